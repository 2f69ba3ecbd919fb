"""A further deny or requirement never opens a door, and a further allow never closes one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from authz.model import Effect, Request
from tests.strategies import Addition, additions, build, requests


@st.composite
def _cases(draw: st.DrawFn, *kinds: str) -> tuple[Addition, list[Request]]:
    addition = draw(additions(kinds))
    return addition, draw(requests(addition.after, count=20))


@given(_cases("deny", "require"))
def test_adding_a_deny_or_a_require_never_turns_deny_into_allow(drawn: tuple[Addition, list[Request]]) -> None:
    """L65; among roles and scopes that the policy mentions already (L30)."""
    addition, asked = drawn
    before, after = build(addition.before), build(addition.after)
    for request in asked:
        if before.decide(request).effect is Effect.DENY:
            assert after.decide(request).effect is Effect.DENY, f"{addition.after}\n{addition.statement}\n{request}"


@given(_cases("allow"))
def test_adding_an_allow_never_turns_allow_into_deny(drawn: tuple[Addition, list[Request]]) -> None:
    """L65; among roles and scopes that the policy mentions already (L30)."""
    addition, asked = drawn
    before, after = build(addition.before), build(addition.after)
    for request in asked:
        if before.decide(request).effect is Effect.ALLOW:
            assert after.decide(request).effect is Effect.ALLOW, f"{addition.after}\n{addition.statement}\n{request}"
