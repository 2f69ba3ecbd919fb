"""A program that has answered much answers as it did at first: what it remembers is never another request's answer."""

from __future__ import annotations

import gc
import random
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.lang.validator import validate
from authz.model import Client, Part, Request, Resource, ToolInfo
from authz.pdp.compiler import compile_policy
from tests.reference import reference_decide
from tests.strategies import Policy, build, cases, parse_text

if TYPE_CHECKING:
    from authz.model import Decision, Value
    from authz.pdp.program import Program
    from tests.reference import ReferenceResult

_ALIKE: Final = 45
"""More rules of one shape than a plan asks one by one."""

VOCABULARY: Final = """
resource "doc" { owner: string, level: number, tags: set<string> }
resource "board" global { level: number }
scope "docs:admin" implies "docs:read", "docs:write"
scope "docs:read"
scope "docs:write"
role "viewer"
role "editor" extends "viewer"
role "chief" extends "editor"
role "owner" when resource.owner == subject.id
role "trusted" when client.id == "agent" or context.mfa
"""

POLICIES: Final = {
    "scopes": VOCABULARY
    + """
tool "read_*" on "doc" {
  require scope "docs:read"
  allow role "viewer" when resource.level < 3
  allow "own" role "owner"
  allow "wide" scope "docs:admin" when "secret" in resource.tags
  deny "odd" role "editor" when resource.level == 1 and not context.mfa
}
tool "write_doc" {
  require scope any "docs:write", "docs:admin"
  require role "editor"
  allow when resource.owner == subject.id or "shared" in resource.tags
  allow scope "docs:admin"
}
tool "read_doc" on "board" { allow anyone  deny when "docs:write" in scopes }
""",
    "roles": VOCABULARY
    + 'tool "read_doc", "write_doc" on "doc" {\n  require role any "viewer", "trusted"\n'
    + "".join(f'  allow "a{i}" role "r{i % 9}" when resource.level == {i % 4}\n' for i in range(20))
    + '  deny "no" role all "r1", "r2"\n  allow "late" role "trusted" when "r3" in roles\n}\n'
    + "".join(f'role "r{i}"\n' for i in range(9)),
    "tenants": VOCABULARY
    + """
tool "read_doc" on "doc" { allow role "viewer" }
tool "*" on "board" { allow role "chief" }
tenant "acme" {
  role "helper" when subject.id in ["u1", "u2"]
  tool "read_doc" on "doc" { allow role "helper"  deny when resource.level > 2 }
}
tenant "globex", "acme" {
  tool "write_doc" on "doc" { require scope "docs:write"  allow role "owner" }
}
""",
    "alike": VOCABULARY
    + 'tool "read_doc", "write_doc" on "doc" {\n  require scope "docs:read"\n'
    + "".join(f'  allow "a{i}" when resource.owner == "u{i}" and resource.level == {i % 5}\n' for i in range(_ALIKE))
    + "".join(f'  deny "d{i}" when args.n == {i} and resource.owner == "u{i}"\n' for i in range(_ALIKE))
    + "".join(f'  allow "t{i}" role "trusted" when "u{i}" in resource.tags\n' for i in range(_ALIKE))
    + "}\n",
}


def _request(chance: random.Random) -> Request:
    """Draw a request that often meets the rules above."""

    def some(*names: str) -> tuple[str, ...]:
        return tuple(chance.sample(names, chance.randint(0, min(3, len(names)))))

    def maybe(**values: Value) -> dict[str, Value]:
        return {name: value for name, value in values.items() if chance.random() < 0.85}

    user = f"u{chance.randrange(6)}"
    tenant = chance.choice(["", "acme", "acme", "globex", "other"])
    resource = None
    if chance.random() < 0.9:
        attributes = maybe(
            owner=f"u{chance.choice([0, 1, 2, 3, 4, 5, 44])}",
            level=chance.choice([0, 1, 2, 3, "1"]),
            tags=list(some("secret", "shared", "u7", "u40")),
        )
        own = tenant if chance.random() < 0.85 else "globex"
        resource = Resource(chance.choice(["doc", "doc", "doc", "board", "else"]), "d1", own, attributes)
    return Request(
        tool=chance.choice(["read_doc", "read_doc", "write_doc", "none"]),
        subject=user,
        scopes=some("docs:read", "docs:write", "docs:admin", "strange"),
        roles=some("viewer", "editor", "chief", "helper", "owner", "trusted", *(f"r{i}" for i in range(9))),
        tenant=tenant,
        resource=resource,
        arguments=maybe(n=chance.randrange(6)),
        context=maybe(mfa=chance.choice([True, False, 1])),
        client=chance.choice([None, Client("agent"), Client("other")]),
        tool_info=chance.choice([None, ToolInfo(read_only=True)]),
    )


def _told(decision: Decision | ReferenceResult) -> tuple[object, ...]:
    """Return what a decision says but for its words."""
    return (
        decision.effect,
        decision.reason,
        decision.rules,
        tuple(obligation.name for obligation in decision.obligations),
        decision.required_scopes,
        decision.missing_scopes,
    )


@pytest.mark.parametrize("name", POLICIES)
def test_a_program_that_has_answered_much_answers_as_the_reference(name: str) -> None:
    """Issue 6 (a decision is never reused for a request that it is not of); L61, L67.

    The same program answers all, in a drawn order; the same words come from one that has answered nothing before.
    """
    chance = random.Random(name)
    files = [parse_text("p.authz", POLICIES[name])]
    policy = validate(files)
    warm = compile_policy(policy)
    asked = [_request(chance) for _ in range(250)]
    for request in chance.sample(asked * 2, 2 * len(asked)):
        warm.decide(request)
    for request in asked:
        decision, expected = warm.decide(request), reference_decide(files, request)
        assert _told(decision) == _told(expected), f"{request}"
        assert decision == compile_policy(policy).decide(request), f"{request}"


@given(cases(count=3), st.randoms(use_true_random=False))
def test_the_order_of_requests_changes_no_answer(case: tuple[Policy, list[Request]], chance: random.Random) -> None:
    """Issue 6 (as above): each is asked three times, in any order, and is answered as by a program that is new."""
    policy, requests = case
    warm = build(policy)
    for request in chance.sample(requests * 3, 3 * len(requests)):
        assert warm.decide(request) == build(policy).decide(request), f"{policy}\n{request}"


def _parts(program: Program, request: Request) -> list[object]:
    plan = program.plan(request)
    return [plan, plan.narrowed(request), plan.view]


@pytest.mark.parametrize("name", POLICIES)
def test_nothing_of_a_program_stays_when_it_goes(name: str) -> None:
    """Issue 6 (bound everything): servers keep Python's collector away from policies, so a cycle would stay."""
    chance = random.Random(name)
    program = compile_policy(validate([parse_text("p.authz", POLICIES[name])]))
    gone: list[weakref.ref[object]] = [weakref.ref(program)]
    gc.collect()
    gc.disable()
    try:
        for request in [_request(chance) for _ in range(300)]:
            for _ in range(3):
                program.decide(request)
            program.decide(replace(request, arguments={}, unknown=frozenset({Part.ARGUMENTS})))
            program.explain(request)
            gone += map(weakref.ref, _parts(program, request))
        del program
        assert not [one for reference in gone if (one := reference()) is not None]
    finally:
        gc.enable()


def test_one_role_is_known_where_the_set_of_roles_is_not() -> None:
    """L30, L50: whether a role is carried does not hang on a derived role that is unknown, inside `if` as outside."""
    text = """
role "viewer"
role "fresh" when context.mfa
tool "t" { allow anyone  require when if tool.read_only then "viewer" in roles else size(roles) < 3 }
"""
    files = [parse_text("p.authz", text)]
    request = Request(tool="t", subject="s", tool_info=ToolInfo(read_only=True))
    decision = compile_policy(validate(files)).decide(request)
    assert _told(decision) == _told(reference_decide(files, request))
