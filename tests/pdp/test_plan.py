"""What keeps decisions fast does not change them: the index by role, the fused function, faces made late."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from authz.lang.parser import parse_policy
from authz.lang.source import Source
from authz.lang.validator import validate
from authz.model import Reason, Request, Resource
from authz.pdp.compiler import compile_policy
from tests.reference import reference_decide

if TYPE_CHECKING:
    from authz.lang.ast import PolicyFile
    from authz.pdp.program import Program

ROLES = [f"r{number}" for number in range(12)]
MANY_ROLES = (
    'scope "s"\nrole "boss" extends "r0"\n'
    + "".join(f'role "{role}"\n' for role in ROLES)
    + 'role "self" extends "r1" when resource.owner == subject.id\n'
    + 'tool "t" on "doc" {\n  require scope "s"\n'
    + "".join(f'  allow "a{i}" role "{role}" when resource.level == {i % 3}\n' for i, role in enumerate(ROLES))
    + '  allow "two" role all "r2", "r3"\n  allow "late" role "r4" when "wide" in scopes\n'
    + '  deny "not-both" role all "r5", "r6"\n  deny "never-seven" role "r7"\n}\n'
)


def compiled(text: str) -> tuple[Program, list[tuple[Source, PolicyFile]]]:
    """Compile one file's text."""
    source = Source("p.authz", text)
    tree, findings = parse_policy(source)
    return compile_policy(validate([(source, tree)], found=findings)), [(source, tree)]


@pytest.mark.parametrize("owner", ["ann", "bob"])
@pytest.mark.parametrize("level", [0, 1, 2, None])
def test_leaving_out_rules_of_other_roles_changes_no_answer(owner: str, level: int | None) -> None:
    """Issue 2, build 3: the index by role is sound. Each request is asked twice, before and after fusing."""
    program, files = compiled(MANY_ROLES)
    resource = Resource("doc", "d", attributes={"owner": owner, "level": level})
    held = [(), ("boss",), ("self",), *combinations([*ROLES[:8], "stranger"], 1), *combinations(ROLES[2:8], 2)]
    for roles in held:
        for scopes in ((), ("s",), ("s", "wide")):
            request = Request(tool="t", subject="ann", roles=roles, scopes=scopes, resource=resource)
            expected = reference_decide(files, request)
            for _ in range(3):
                actual = program.decide(request)
                assert (actual.effect, actual.reason, actual.rules, actual.missing_scopes) == (
                    expected.effect,
                    expected.reason,
                    expected.rules,
                    expected.missing_scopes,
                ), request


def test_a_denial_for_other_roles_still_names_the_nearest_rule() -> None:
    """L61 step 5: the message names the nearest rule, even one that the roles rule out."""
    program, _ = compiled(MANY_ROLES)
    request = Request(
        tool="t",
        subject="ann",
        roles=("stranger",),
        scopes=("s",),
        resource=Resource("doc", attributes={"owner": "bob"}),
    )
    decision = program.decide(request)
    assert (decision.reason, decision.message) == (Reason.NO_ALLOW, "no rule allows this; the nearest is p:a0")


NESTED = {
    "?? of many": " ?? ".join(f"args.a{i}" for i in range(900)) + ' == "x"',
    "or of many": " or ".join(['args.a == "y"'] * 1000),
    "and in or": "(".join(['args.a == "y" or ', "args.b and "] * 30) + "args.b" + ")" * 59,
    "not": "not " * 62 + "args.b",
    "if in else": "if args.b then " * 30 + "args.b" + " else args.b" * 30,
    "if in if": "if (" * 30 + "args.b" + ") then args.b else args.b" * 30,
    "if as a value": "args.a == " + "(if args.b then " * 30 + '"x"' + ' else "y")' * 30,
    "lower": "lower(" * 60 + "args.a" + ")" * 60 + ' == "x"',
    "==": "(args.b == " * 60 + "args.b" + ")" * 60,
    "keys": "args" + "[args" * 30 + ".a" + "]" * 30 + ' == "x"',
    "sum": " + ".join(["args.n"] * 900) + " == 900",
    "inserted": 'args.a like "' + "{args.a}*" * 300 + '"',
    "a set": "args.a in [" + ", ".join(f'"x{i}"' for i in range(5000)) + "]",
}


@pytest.mark.parametrize("condition", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("effect", ["allow anyone", "deny"])
def test_whatever_the_limits_let_through_compiles(condition: str, effect: str) -> None:
    """L6, L40: no condition within the limits is too deep or too long for the code made of it."""
    text = f'tool "t" {{ {effect} when {condition}\nallow "rest" when {condition} }}'
    program, files = compiled(text)
    request = Request(tool="t", subject="ann", arguments={"a": "x", "b": True, "n": 1})
    expected = reference_decide(files, request)
    for _ in range(3):
        assert program.decide(request).reason is expected.reason
    assert program.explain(request).decision == program.decide(request)


def test_texts_of_a_policy_never_become_code() -> None:
    """Issue 2, build 3: constants are passed as constants."""
    hostile = ["k0", '"); raise SystemExit #', "{q}", "__import__('os')", "\\n", "q.subject", "%s", "'''", "\u2028"]
    for text in hostile:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("{", "{{").replace("}", "}}")
        key = quoted.replace("{{", "{").replace("}}", "}")
        program, _ = compiled(f'tool "t" {{ allow "a" when args["{key}"] == "{key}" and args.x like "{quoted}" }}')
        request = Request(tool="t", subject="ann", arguments={text: text, "x": text})
        assert [program.decide(request).allowed for _ in range(3)] == [True] * 3, text
