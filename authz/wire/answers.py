"""Write a decision and its explanation as the message that answers a question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.json_form import abridged
from authz.v1 import decision_pb2 as v1
from authz.wire.parts import fill_struct, fill_value

if TYPE_CHECKING:
    from authz.model import ConditionTrace, Decision, Explanation, Fact, Obligation, RuleTrace, Seen


def response(decision: Decision, *, explanation: Explanation | None = None, decision_id: str = "") -> v1.CheckResponse:
    """Return the message that carries a decision."""
    return v1.CheckResponse(
        decision=v1.Decision.ValueType(decision.effect.value),
        reason=v1.Reason.ValueType(decision.reason.value),
        message=decision.message,
        rules=decision.rules,
        required_scopes=decision.required_scopes,
        missing_scopes=decision.missing_scopes,
        obligations=[_obligation(obligation) for obligation in decision.obligations],
        policy_revision=decision.policy_revision,
        decision_id=decision_id,
        explanation=None if explanation is None else _explanation(explanation),
    )


def _obligation(obligation: Obligation) -> v1.Obligation:
    message = v1.Obligation(name=obligation.name)
    if obligation.parameters:
        fill_struct(message.parameters, obligation.parameters)
    return message


def _explanation(explanation: Explanation) -> v1.Explanation:
    return v1.Explanation(
        rules=[_rule(rule) for rule in explanation.rules],
        nearest=explanation.nearest,
        facts=[_fact(fact) for fact in explanation.facts],
    )


def _fact(fact: Fact) -> v1.Fact:
    message = v1.Fact(path=fact.path, contradicted=fact.contradicted)
    fill_value(message.value, abridged(fact.value))
    if fact.contradicted:
        fill_value(message.given, abridged(fact.given))
    return message


def _rule(rule: RuleTrace) -> v1.RuleTrace:
    return v1.RuleTrace(
        name=rule.name,
        kind=rule.kind,
        file=rule.file,
        line=rule.line,
        column=rule.column,
        outcome=v1.Outcome.ValueType(rule.outcome.value),
        conditions=[_condition(condition) for condition in rule.conditions],
    )


def _condition(condition: ConditionTrace) -> v1.ConditionTrace:
    return v1.ConditionTrace(
        text=condition.text,
        file=condition.file,
        line=condition.line,
        column=condition.column,
        outcome=v1.Outcome.ValueType(condition.outcome.value),
        seen=[_seen(seen) for seen in condition.seen],
    )


def _seen(seen: Seen) -> v1.Seen:
    message = v1.Seen(expression=seen.expression, problem=seen.problem)
    if not seen.problem:
        fill_value(message.value, abridged(seen.value))
    return message
