"""An explanation is the same decision, and its trace bears the decision out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given

from authz.model import Effect, Explanation, Outcome, Reason
from tests.strategies import Policy, build, cases

if TYPE_CHECKING:
    from authz.model import Request

DECIDING = {
    Reason.ALLOWED: ("allow", Outcome.TRUE),
    Reason.EXPLICIT_DENY: ("deny", Outcome.TRUE),
    Reason.MISSING_ROLE: ("require role", Outcome.FALSE),
    Reason.REQUIREMENT_NOT_MET: ("require when", Outcome.FALSE),
    Reason.INDETERMINATE: ("", Outcome.UNKNOWN),
}
"""What the deciding statements are and come to, by reason (L61)."""


def _assert_borne_out(explanation: Explanation, told: str) -> None:
    decision = explanation.decision
    traced = {trace.name: trace for trace in explanation.rules}
    assert set(decision.rules) <= set(traced), told
    if decision.reason in DECIDING:
        kind, outcome = DECIDING[decision.reason]
        for name in decision.rules:
            assert traced[name].kind.startswith(kind), told
            assert traced[name].outcome is outcome, told
        if outcome is not Outcome.UNKNOWN:  # all of them decide, not only the first (L61)
            found = {t.name for t in explanation.rules if t.kind.startswith(kind) and t.outcome is outcome}
            assert found == set(decision.rules), told
    if decision.effect is Effect.ALLOW:
        assert decision.rules, told
        assert explanation.nearest == "", told
        for trace in explanation.rules:
            if trace.kind.startswith("deny"):
                assert trace.outcome is Outcome.FALSE, told
            if trace.kind.startswith("require"):
                assert trace.outcome is Outcome.TRUE, told
            if trace.kind.startswith("allow"):
                assert (trace.name in decision.rules) == (trace.outcome is Outcome.TRUE), told


@given(cases())
def test_an_explanation_holds_the_decision_and_a_trace_that_leads_to_it(case: tuple[Policy, list[Request]]) -> None:
    """Issue 2, build 3: `explain` is the same path with a trace; L61, L66."""
    policy, requests = case
    program = build(policy)
    for request in requests:
        explanation = program.explain(request)
        told = f"{policy}\n{request}\n{explanation}"
        assert explanation.decision == program.decide(request), told
        _assert_borne_out(explanation, told)


@given(cases(count=6))
def test_every_trace_covers_the_outline_of_its_rule(case: tuple[Policy, list[Request]]) -> None:
    """Issue 2, build 5: `outline()` is the universe of coverage, under the keys that traces use.

    A trace may hold more: whom a rule speaks of is no condition.
    """
    policy, requests = case
    program = build(policy)
    outlines = {(o.name, o.kind, o.file, o.line, o.column): o.conditions for o in program.outline()}
    for request in requests:
        for trace in program.explain(request).rules:
            told = f"{policy}\n{trace}"
            key = (trace.name, trace.kind, trace.file, trace.line, trace.column)
            assert key in outlines, told
            traced = {(seen.text, seen.file, seen.line, seen.column) for seen in trace.conditions}
            assert {(c.text, c.file, c.line, c.column) for c in outlines[key]} <= traced, told
