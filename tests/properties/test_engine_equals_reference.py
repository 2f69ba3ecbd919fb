"""The compiled program and the slow reference evaluator give the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given

from tests.reference import reference_decide
from tests.strategies import Policy, build, cases, parse

if TYPE_CHECKING:
    from authz.model import Obligation, Request, Value


def _plain(obligations: tuple[Obligation, ...]) -> list[str]:
    """Write obligations down; a parameter that is a set may be a list or a tuple."""

    def plain(value: Value) -> Value:
        return list(value) if isinstance(value, tuple) else value

    return [f"{o.name} { {key: plain(value) for key, value in o.parameters.items()} }" for o in obligations]


def _assert_same(policy: Policy, requests: list[Request]) -> None:
    files, program = parse(policy), build(policy)
    for request in requests:
        actual, expected = program.decide(request), reference_decide(files, request)
        assert (
            actual.effect,
            actual.reason,
            actual.rules,
            _plain(actual.obligations),
            actual.required_scopes,
            actual.missing_scopes,
        ) == (
            expected.effect,
            expected.reason,
            expected.rules,
            _plain(expected.obligations),
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
