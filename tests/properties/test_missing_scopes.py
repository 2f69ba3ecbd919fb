"""Scopes that an answer names help, and no fewer would."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from hypothesis import given

from authz.model import Effect, Reason, Request
from tests.reference import reference_decide
from tests.strategies import SCOPES, Policy, build, cases, parse, scope_policies

REQUESTS = [
    Request(tool="read_doc", subject="alice", roles=roles, scopes=scopes)
    for roles in ((), ("viewer",), ("editor",))
    for count in range(len(SCOPES) + 1)
    for scopes in combinations(SCOPES, count)
]


def _assert_exact(policy: Policy, requests: list[Request]) -> None:
    program = build(policy)
    for request in requests:
        decision = program.decide(request)
        missing, required = decision.missing_scopes, decision.required_scopes
        told = f"{policy}\n{request}\n{decision}"
        if decision.reason is not Reason.INSUFFICIENT_SCOPE:
            assert missing == required == (), told
            continue
        assert missing, told
        assert not set(missing) & set(request.scopes), told
        assert set(missing) <= set(required), told
        assert list(missing) == sorted(set(missing)), told
        assert list(required) == sorted(set(required)), told
        for count in range(len(missing)):
            for some in combinations(missing, count):
                less = program.decide(replace(request, scopes=(*request.scopes, *some)))
                assert less.effect is Effect.DENY, f"{told}\nenough: {some}"
        more = program.decide(replace(request, scopes=(*request.scopes, *missing)))
        assert more.effect is Effect.ALLOW, told


@given(scope_policies())
def test_missing_scopes_are_exactly_what_would_help(policy: Policy) -> None:
    """L67, S91: with them the same request is ALLOW, with only some of them it is not; for every set of scopes held."""
    _assert_exact(policy, REQUESTS)


@given(cases(depth=1))
def test_missing_scopes_help_in_any_policy(case: tuple[Policy, list[Request]]) -> None:
    """L67."""
    _assert_exact(*case)


@given(scope_policies())
def test_missing_scopes_are_those_of_the_reference(policy: Policy) -> None:
    """L67: fewest, then alphabetically first, named as narrowly as the policy does; issue 2, build 3."""
    files, program = parse(policy), build(policy)
    for request in REQUESTS:
        decision, expected = program.decide(request), reference_decide(files, request)
        assert (decision.reason, decision.rules, decision.required_scopes, decision.missing_scopes) == (
            expected.reason,
            expected.rules,
            expected.required_scopes,
            expected.missing_scopes,
        ), f"{policy}\n{request}"
