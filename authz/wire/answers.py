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
    message = v1.CheckResponse()
    fill_response(message, decision, explanation=explanation, decision_id=decision_id)
    return message


def fill_response(
    message: v1.CheckResponse, decision: Decision, *, explanation: Explanation | None = None, decision_id: str = ""
) -> None:
    """Write a decision into an empty message; what is made elsewhere and put into a batch is copied."""
    message.decision = decision.effect.value  # type: ignore[assignment]  # the same numbers
    message.reason = decision.reason.value  # type: ignore[assignment]  # as above
    message.message = decision.message
    message.policy_revision = decision.policy_revision
    message.decision_id = decision_id
    if decision.rules:
        message.rules.extend(decision.rules)
    if decision.required_scopes:
        message.required_scopes.extend(decision.required_scopes)
    if decision.missing_scopes:
        message.missing_scopes.extend(decision.missing_scopes)
    if decision.obligations:
        message.obligations.extend(map(_obligation, decision.obligations))
    if explanation is not None:
        message.explanation.CopyFrom(_explanation(explanation))


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
