"""Scopes that an answer names help, and no fewer would."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from hypothesis import given

from authz.model import Effect, Reason
from tests.strategies import Policy, build, cases

if TYPE_CHECKING:
    from authz.model import Request


@given(cases(depth=1, count=20))
def test_missing_scopes_are_exactly_what_would_help(case: tuple[Policy, list[Request]]) -> None:
    """L67: with them the same request is ALLOW, with only some of them it is not."""
    policy, requests = case
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
