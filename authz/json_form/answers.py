"""Write the JSON form of `authz.v1.CheckResponse`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.model import ConditionTrace, Decision, Explanation, Fact, Obligation, RuleTrace, Seen, Value

_MAX_SEEN_TEXT: Final = 1_000
_MAX_SEEN_VALUES: Final = 100
_MAX_SEEN_DEPTH: Final = 8


def decision_to_json(
    decision: Decision, *, explanation: Explanation | None = None, decision_id: str = ""
) -> dict[str, object]:
    """Return the JSON form of the CheckResponse: proto names, empty fields left out."""
    return _filled(
        {
            "decision": f"DECISION_{decision.effect.name}",
            "reason": f"REASON_{decision.reason.name}",
            "message": decision.message,
            "rules": list(decision.rules),
            "required_scopes": list(decision.required_scopes),
            "missing_scopes": list(decision.missing_scopes),
            "obligations": [_obligation_to_json(obligation) for obligation in decision.obligations],
            "policy_revision": decision.policy_revision,
            "decision_id": decision_id,
            "explanation": None if explanation is None else explanation_to_json(explanation),
        }
    )


def explanation_to_json(explanation: Explanation) -> dict[str, object]:
    """Return the JSON form of the Explanation message, which does not repeat the decision."""
    return _filled(
        {
            "rules": [_rule_to_json(rule) for rule in explanation.rules],
            "nearest": explanation.nearest,
            "facts": [_fact_to_json(fact) for fact in explanation.facts],
        }
    )


def abridged(value: Value) -> Value:
    """Return a value short enough for an explanation; `…` stands where something was left out.

    An explanation may show a value once for each condition that read it, so whole values could
    make an answer many times as large as its question, and deeper than a message may be.
    """
    return _abridged(value, 1, count(1))


def _abridged(value: Value, depth: int, visited: Iterator[int]) -> Value:
    if isinstance(value, str):
        return value if len(value) <= _MAX_SEEN_TEXT else value[:_MAX_SEEN_TEXT] + "…"
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth > _MAX_SEEN_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        members: dict[str, Value] = {}
        for name, member in value.items():
            if next(visited) > _MAX_SEEN_VALUES:
                members["…"] = "…"
                break
            members[name] = _abridged(member, depth + 1, visited)
        return members
    items: list[Value] = []
    for item in value:
        if next(visited) > _MAX_SEEN_VALUES:
            items.append("…")
            break
        items.append(_abridged(item, depth + 1, visited))
    return items


def _filled(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [])}


def _obligation_to_json(obligation: Obligation) -> dict[str, object]:
    form: dict[str, object] = {"name": obligation.name}
    if obligation.parameters:
        form["parameters"] = dict(obligation.parameters)
    return form


def _rule_to_json(rule: RuleTrace) -> dict[str, object]:
    return _filled(
        {
            "name": rule.name,
            "kind": rule.kind,
            "file": rule.file,
            "line": rule.line,
            "column": rule.column,
            "outcome": f"OUTCOME_{rule.outcome.name}",
            "conditions": [_condition_to_json(condition) for condition in rule.conditions],
        }
    )


def _condition_to_json(condition: ConditionTrace) -> dict[str, object]:
    return _filled(
        {
            "text": condition.text,
            "file": condition.file,
            "line": condition.line,
            "column": condition.column,
            "outcome": f"OUTCOME_{condition.outcome.name}",
            "seen": [_seen_to_json(seen) for seen in condition.seen],
        }
    )


def _fact_to_json(fact: Fact) -> dict[str, object]:
    form: dict[str, object] = {"path": fact.path, "value": abridged(fact.value)}
    if fact.contradicted:
        form |= {"contradicted": True, "given": abridged(fact.given)}
    return form


def _seen_to_json(seen: Seen) -> dict[str, object]:
    form: dict[str, object] = {"expression": seen.expression}
    if seen.problem:
        form["problem"] = seen.problem
    else:
        form["value"] = abridged(seen.value)
    return form
