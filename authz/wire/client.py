"""The client's side: write a question as a message, and read the message that answers it."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from authz.model import (
    ConditionTrace,
    Decision,
    Effect,
    Explanation,
    Fact,
    Obligation,
    Outcome,
    Reason,
    RuleTrace,
    Seen,
)
from authz.v1 import decision_pb2 as v1
from authz.wire.parts import Reader, fill_struct

if TYPE_CHECKING:
    from authz.json_form import Call


def check_request(call: Call) -> v1.CheckRequest:
    """Return the message that asks a server what a call asks; `now` stays behind, the server has its own clock."""
    request = call.request
    message = v1.CheckRequest(
        subject=request.subject,
        scopes=request.scopes,
        roles=request.roles,
        tenant=request.tenant,
        tool=request.tool,
        anonymous=request.anonymous,
        explain=call.explain,
        request_id=call.request_id,
        min_policy_revision=call.min_policy_revision,
        token=call.token,
        unknown=[v1.Part.ValueType(part.value) for part in sorted(request.unknown, key=attrgetter("value"))],
    )
    if call.token:  # the request only seems to be anonymous
        message.anonymous = False
    if (resource := request.resource) is not None:
        message.resource.MergeFrom(
            v1.Resource(type=resource.type, id=resource.id, tenant=resource.tenant, ancestors=resource.ancestors)
        )
        message.resource.SetInParent()
        fill_struct(message.resource.attributes, resource.attributes)
    if (client := request.client) is not None:
        message.client.id = client.id
        fill_struct(message.client.attributes, client.attributes)
    if (info := request.tool_info) is not None:
        message.tool_info.CopyFrom(
            v1.ToolInfo(
                server=info.server,
                tags=info.tags,
                read_only=info.read_only,
                destructive=info.destructive,
                idempotent=info.idempotent,
                open_world=info.open_world,
            )
        )
        message.tool_info.SetInParent()
    for struct, values in (
        (message.arguments, request.arguments),
        (message.context, request.context),
        (message.subject_attributes, request.subject_attributes),
    ):
        if values:
            fill_struct(struct, values)
    return message


def decision_from(message: v1.CheckResponse) -> Decision:
    """Return the decision that a response carries; an unknown or missing one is a DENY."""
    effects, reasons = {effect.value: effect for effect in Effect}, {reason.value: reason for reason in Reason}
    return Decision(
        effect=effects.get(message.decision, Effect.DENY),
        reason=reasons.get(message.reason, Reason.NO_ALLOW),
        message=message.message,
        rules=tuple(message.rules),
        policy_revision=message.policy_revision,
        obligations=tuple(
            Obligation(obligation.name, Reader().struct("obligations", obligation.parameters))
            for obligation in message.obligations
        ),
        required_scopes=tuple(message.required_scopes),
        missing_scopes=tuple(message.missing_scopes),
    )


def explanation_from(message: v1.CheckResponse) -> Explanation | None:
    """Return the explanation that a response carries, if any."""
    if not message.HasField("explanation"):
        return None
    rules = tuple(
        RuleTrace(
            name=rule.name,
            kind=rule.kind,
            file=rule.file,
            line=rule.line,
            column=rule.column,
            outcome=_outcome(rule.outcome),
            conditions=tuple(_condition_from(condition) for condition in rule.conditions),
        )
        for rule in message.explanation.rules
    )
    facts = tuple(_fact_from(fact) for fact in message.explanation.facts)
    return Explanation(decision_from(message), rules, message.explanation.nearest, facts)


def _fact_from(fact: v1.Fact) -> Fact:
    value, given = (
        Reader().value("facts", 0, one) if one.WhichOneof("kind") else None for one in (fact.value, fact.given)
    )
    return Fact(fact.path, value, fact.contradicted, given)


def _condition_from(condition: v1.ConditionTrace) -> ConditionTrace:
    return ConditionTrace(
        text=condition.text,
        file=condition.file,
        line=condition.line,
        column=condition.column,
        outcome=_outcome(condition.outcome),
        seen=tuple(_seen_from(seen) for seen in condition.seen),
    )


def _seen_from(seen: v1.Seen) -> Seen:
    value = Reader().value("seen", 0, seen.value) if seen.value.WhichOneof("kind") else None
    return Seen(seen.expression, value, seen.problem)


def _outcome(value: int) -> Outcome:
    return next((outcome for outcome in Outcome if outcome.value == value), Outcome.UNKNOWN)
