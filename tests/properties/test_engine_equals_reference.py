"""The compiled program and the slow reference evaluator give the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given

from tests.reference import reference_decide
from tests.strategies import Policy, build, cases, parse

if TYPE_CHECKING:
    from authz.model import Request


def _assert_same(policy: Policy, requests: list[Request]) -> None:
    files, program = parse(policy), build(policy)
    for request in requests:
        actual, expected = program.decide(request), reference_decide(files, request)
        assert (
            actual.effect,
            actual.reason,
            actual.rules,
            actual.obligations,
            actual.required_scopes,
            actual.missing_scopes,
        ) == (
            expected.effect,
            expected.reason,
            expected.rules,
            expected.obligations,
            expected.required_scopes,
            expected.missing_scopes,
        ), f"{policy}\n{request}"


@given(cases())
def test_engine_agrees_with_the_reference(case: tuple[Policy, list[Request]]) -> None:
    """Issue 2, build 3; L10-L67."""
    _assert_same(*case)


@given(cases(depth=4, count=6))
def test_engine_agrees_with_the_reference_on_deep_conditions(case: tuple[Policy, list[Request]]) -> None:
    """Issue 2, build 3; L31, L50: operators inside each other."""
    _assert_same(*case)
