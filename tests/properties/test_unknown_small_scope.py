"""Every policy of at most two rules from a menu, asked with parts unknown and then with every completion there is.

No two conditions of the menu read the same attribute, and each may come to true and to false. Of such
policies docs/language.md says (L68) that CONDITIONAL is never over-cautious.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, Final

import pytest

from authz.lang.validator import validate
from authz.model import Effect, Part, Request, Resource
from authz.pdp.compiler import compile_policy
from tests.properties.test_unknown import Hiding, hidden
from tests.reference import reference_decide
from tests.strategies import parse_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.pdp.program import Program

WORLD: Final = 'role "viewer"\nrole "editor"\n'
MENU: Final = (
    'tool "read" { allow "1" anyone when args.a }',
    'tool "*" on "doc*" { allow "2" role "viewer" unless args.b }',
    'tool "*" { deny "3" when context.c }',
    'tool "*" { deny "4" role "editor" when not context.d }',
    'tool "*" on "document" { require when resource.e }',
    'role "owner" when resource.f tool "*" { allow "5" role "owner" }',
    'tool "*" { allow "6" role "viewer" across tenants when args.g or args.g2 }',
    'tool "*" { require scope "s" }',
    'tool "*" { allow "7" scope "s" when if args.h then subject.id == "alice" else context.i }',
    'tool "*" { deny "8" when args has j }',
    'tool "*" { allow "9" anyone }',
    'tool "*" { require role "viewer" }',
    'tool "*" { require when (args.k ?? true) and not (resource.l == "x") }',
    'tenant "acme" { tool "*" { allow "10" anyone across tenants unless args.m and context.n } }',
)
READ: Final[dict[Part, dict[str, tuple[Any, ...]]]] = {
    Part.ARGUMENTS: dict.fromkeys(("a", "b", "g", "g2", "h", "j", "k", "m"), (None, True, False)),
    Part.CONTEXT: dict.fromkeys(("c", "d", "i", "n"), (None, True, False)),
    Part.RESOURCE: {"e": (None, True, False), "f": (None, True, False), "l": (None, "x", "y")},
}
ROOTS: Final = {Part.ARGUMENTS: "args", Part.CONTEXT: "context", Part.RESOURCE: "resource"}
UNKNOWN: Final = (
    frozenset({Part.ARGUMENTS}),
    frozenset({Part.RESOURCE}),
    frozenset({Part.ARGUMENTS, Part.CONTEXT}),
    frozenset(Part),
)
CALLERS: Final = (((), ()), (("viewer",), ()), (("editor",), ("s",)), (("viewer",), ("s",)))
REQUESTS: Final = tuple(
    Request(
        tool="read",
        subject="alice",
        tenant="acme",
        roles=roles,
        scopes=scopes,
        resource=Resource("document", "d", "acme", {"e": True, "l": "y"}),
        arguments={"a": True, "g": False, "k": True},
        context={"c": False, "d": True},
    )
    for roles, scopes in CALLERS
)


def _values(text: str, part: Part) -> Iterator[dict[str, Any]]:
    """Yield all that a part may hold of what a policy reads."""
    root = ROOTS[part]
    read = {n: v for n, v in READ[part].items() if f"{root}.{n}" in text.replace(f"{root} has ", f"{root}.")}
    for chosen in product(*read.values()):
        yield {name: value for name, value in zip(read, chosen, strict=True) if value is not None}


def _completions(request: Request, text: str) -> Iterator[Request]:
    def values(part: Part, own: Any) -> list[Any]:  # noqa: ANN401  # JSON
        return list(_values(text, part)) if part in request.unknown else [own]

    assert request.resource is not None
    resources = [request.resource]
    if Part.RESOURCE in request.unknown:
        resources = [
            Resource("document", "d", tenant, attributes)
            for tenant in ("acme", "globex")
            for attributes in _values(text, Part.RESOURCE)
        ]
    for arguments, context, resource in product(
        values(Part.ARGUMENTS, request.arguments), values(Part.CONTEXT, request.context), resources
    ):
        yield replace(request, unknown=frozenset(), arguments=arguments, context=context, resource=resource)


def _what_is_certain(program: Program, partial: Request, text: str) -> Effect:
    found = {program.decide(whole).effect for whole in _completions(partial, text)}
    return next(iter(found)) if len(found) == 1 else Effect.CONDITIONAL


@pytest.mark.parametrize("first", range(len(MENU)))
def test_what_is_conditional_has_both_endings(first: int) -> None:
    """Issue 5, build 1; L68: where no attribute is read twice, the answer is as exact as it can be."""
    for second in range(first, len(MENU)):
        text = "\n".join(dict.fromkeys((WORLD, MENU[first], MENU[second])))
        files = [parse_text("p.authz", text)]
        program = compile_policy(validate(files))
        for request, unknown in product(REQUESTS, UNKNOWN):
            partial = hidden(request, Hiding(unknown))
            answer = program.decide(partial)
            told = f"{text}\n{partial}\n{answer}"
            assert answer.effect is _what_is_certain(program, partial, text), told
            expected = reference_decide(files, partial)
            assert (answer.effect, answer.reason, answer.rules, answer.missing_scopes) == (
                expected.effect,
                expected.reason,
                expected.rules,
                expected.missing_scopes,
            ), told


def test_the_small_world_shows_every_answer() -> None:
    """Issue 5: a world in which some answer never came up would prove nothing about it."""
    seen = set()
    for rules in combinations(MENU, 2):
        program = compile_policy(validate([parse_text("p.authz", "\n".join((WORLD, *rules)))]))
        for request, unknown in product(REQUESTS, UNKNOWN):
            seen.add(program.decide(hidden(request, Hiding(unknown))).effect)
    assert seen == set(Effect)


_DEPENDENT: Final = (
    ('allow anyone when args.x == "a" and args.x == "b"', "two conditions that exclude each other"),
    ('allow anyone when args.x == "a" deny when args.x == "a"', "a deny of all that is allowed"),
    ("allow anyone when size(args.x) < 0", "a condition that is never true"),
    ("allow anyone when resource.tenant != tenant", "another tenant's resource, but no `across tenants`"),
)


@pytest.mark.parametrize("rules", [rules for rules, _ in _DEPENDENT], ids=[why for _, why in _DEPENDENT])
def test_what_hangs_together_may_be_conditional_for_caution(rules: str) -> None:
    """L68: CONDITIONAL may be over-cautious; this is where it is, and the page says so."""
    program = compile_policy(validate([parse_text("p.authz", f'tool "t" {{ {rules} }}')]))
    request = Request(tool="t", subject="alice", resource=Resource("document"), unknown=frozenset(Part))
    assert program.decide(request).effect is Effect.CONDITIONAL
