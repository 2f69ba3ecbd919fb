"""Write a decision and its explanation as the message that answers a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from authz.json_form import abridged
from authz.v1 import decision_pb2 as v1
from authz.wire.errors import error_item
from authz.wire.parts import fill_struct, fill_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from authz.model import ConditionTrace, Decision, Explanation, Fact, Obligation, RuleTrace, Seen


_ID_SIZE: Final = 32
_NO_ID: Final = "0" * _ID_SIZE
_MAX_PREPARED: Final = 1_024
_LONG: Final = 4_096  # bytes of an answer that is not worth remembering


class _Prepared(NamedTuple):
    """The bytes of an answer up to the decision's name, which ends them.

    It holds the decision, so that its `id` is no other's.
    """

    decision: Decision
    head: bytes


def _writer(write: Callable[[v1.CheckResponse], bytes]) -> Callable[[Decision, str, Explanation | None], bytes]:
    """Return what writes a decision, its name and its explanation down; a decision by itself is written once.

    Programs answer alike with the very same decision, and to write it takes ten times as long as to find it.
    """
    known: dict[int, _Prepared] = {}

    def prepare(decision: Decision) -> _Prepared:
        made = _Prepared(decision, write(response(decision, decision_id=_NO_ID))[:-_ID_SIZE])
        if len(made.head) < _LONG:
            if len(known) >= _MAX_PREPARED:
                known.clear()
            known[id(decision)] = made
        return made

    def answer(decision: Decision, decision_id: str, explanation: Explanation | None) -> bytes:
        if explanation is not None:
            return write(response(decision, explanation=explanation, decision_id=decision_id))
        return (known.get(id(decision)) or prepare(decision)).head + decision_id.encode()

    return answer


check_answer: Final = _writer(lambda message: message.SerializeToString())
"""Return the CheckResponse in bytes. The decision's name has 32 characters of ASCII, here and below."""

stream_answer: Final = _writer(lambda message: v1.StreamCheckResponse(response=message).SerializeToString())
"""Return the StreamCheckResponse in bytes."""

batch_result: Final = _writer(
    lambda message: v1.BatchCheckResponse(results=[v1.CheckResult(response=message)]).SerializeToString()
)
"""Return one result of a batch in bytes, for `batch_answer`."""


def stream_error(error: Exception) -> bytes:
    """Return the StreamCheckResponse that says why there is no answer."""
    return v1.StreamCheckResponse(error=error_item(error)).SerializeToString()


def batch_error(error: Exception) -> bytes:
    """Return the result of a batch that says why there is no answer."""
    return v1.BatchCheckResponse(results=[v1.CheckResult(error=error_item(error))]).SerializeToString()


def batch_answer(results: Iterable[bytes], revision: str) -> bytes:
    """Return the BatchCheckResponse in bytes."""
    # Messages one after the other are one message, with the results of all.
    return b"".join(results) + v1.BatchCheckResponse(policy_revision=revision).SerializeToString()


def response(decision: Decision, *, explanation: Explanation | None = None, decision_id: str = "") -> v1.CheckResponse:
    """Return the message that carries a decision."""
    message = v1.CheckResponse(
        decision=v1.Decision.ValueType(decision.effect.value),  # the same numbers
        reason=v1.Reason.ValueType(decision.reason.value),
        message=decision.message,
        rules=decision.rules,
        required_scopes=decision.required_scopes,
        missing_scopes=decision.missing_scopes,
        obligations=map(_obligation, decision.obligations),
        policy_revision=decision.policy_revision,
        decision_id=decision_id,
    )
    if explanation is not None:
        message.explanation.CopyFrom(_explanation(explanation))
    return message


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
