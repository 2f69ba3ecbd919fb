"""Translate between the model and `authz.v1` messages, and from errors to gRPC statuses.

This is the only place that does. Messages are parsed here and not by gRPC, which would answer
malformed bytes with INTERNAL. What comes out of `read_*` is a valid request; what does not is an
`InvalidRequestError` that names the field (L60).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from authz.errors import InvalidRequestError
from authz.json_form import Call, abridged, as_number, checked_request_id, refuse_unsupported, shown
from authz.model import (
    MAX_ITEMS,
    MAX_TEXT,
    MAX_VALUES,
    Client,
    ConditionTrace,
    Decision,
    Effect,
    Explanation,
    Obligation,
    Outcome,
    Reason,
    Request,
    Resource,
    RuleTrace,
    Seen,
    ToolInfo,
)
from authz.pdp.engine import RevisionNotServedError
from authz.v1 import decision_pb2 as v1

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message
    from google.protobuf.struct_pb2 import ListValue, Struct
    from google.protobuf.struct_pb2 import Value as ValueMessage

    from authz.model import Value

    MessageT = TypeVar("MessageT", bound=Message)

MAX_QUESTIONS: Final = 1_000
"""Questions in one BatchCheck."""

_CALLER: Final = (
    "subject",
    "scopes",
    "roles",
    "tenant",
    "context",
    "subject_attributes",
    "client",
    "anonymous",
    "now",
)
"""The fields of a request that a batch says once."""

_WHOLE: Final = "request"
_MAX_DETAILS: Final = 500  # characters; percent-encoded they still fit into the 8 KiB that peers take as metadata
_WITH_LENGTH: Final = (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_MESSAGE)
_NAMELESS: Final = (  # messages whose parts a path does not name: it begins below the one, and JSON has not the others
    "authz.v1.StreamCheckRequest",
    "google.protobuf.Value",
    "google.protobuf.ListValue",
)
_MAX_FIELDS: Final = 500_000  # fields of one message that are looked at one by one


# --- Requests -------------------------------------------------------------------------------


def read_check(data: bytes, now: datetime | None = None) -> Call:
    """Read a CheckRequest; `now` is the time of the decision, None for the clock's."""
    message, reader = _parse(v1.CheckRequest, data), _Reader()
    call = _call(message, reader, now)
    _refuse_doubles(message, data)
    return call


def read_stream_check(data: bytes, now: datetime | None = None) -> Call:
    """Read a StreamCheckRequest."""
    message, reader = _parse(v1.StreamCheckRequest, data), _Reader()
    if not message.HasField("check"):
        raise InvalidRequestError("check", "must not be empty")
    call = _call(message.check, reader, now)
    _refuse_doubles(message, data)
    return call


@dataclass(frozen=True, slots=True)
class BatchCall:
    """A BatchCheckRequest whose caller is valid; its questions are read one by one."""

    explain: bool
    request_id: str
    min_policy_revision: str
    _caller: Request
    _caller_size: tuple[int, int]
    _questions: Sequence[v1.Question]
    _doubles: Mapping[int, InvalidRequestError]

    def requests(self) -> Iterator[Request | InvalidRequestError]:
        """Yield for each question the request that it makes with the caller, or what is wrong with it."""
        for index, question in enumerate(self._questions):
            if (double := self._doubles.get(index)) is not None:
                yield double
                continue
            try:
                yield self._request(question)
            except InvalidRequestError as error:
                yield error

    def _request(self, question: v1.Question) -> Request:
        reader = _Reader()
        refuse_unsupported("", question.unknown)
        asked = reader.asked(question)
        # Checked by itself, so that the caller need not be checked 1000 times over.
        request = Request(
            anonymous=True,
            tool=asked.tool,
            resource=asked.resource,
            arguments=asked.arguments,
            tool_info=asked.tool_info,
        )
        values, size = self._caller_size
        if values + reader.values > MAX_VALUES or size + question.ByteSize() > MAX_TEXT:
            raise InvalidRequestError("arguments", "caller and question together hold too much for one request")
        for name in _CALLER:  # nobody else has the request yet, and both halves are checked
            object.__setattr__(request, name, getattr(self._caller, name))
        return request


def read_batch_check(data: bytes, now: datetime | None = None) -> BatchCall:
    """Read a BatchCheckRequest. An error is the caller's or the whole batch's, never one question's."""
    message, reader = _parse(v1.BatchCheckRequest, data), _Reader()
    refuse_unsupported(message.token, ())
    if len(message.questions) > MAX_QUESTIONS:
        raise InvalidRequestError("questions", f"holds more than {MAX_QUESTIONS} items")
    caller = _request(message, reader, _Asked("-"), now)
    doubles = _refuse_doubles(message, data)
    questions = tuple(message.questions)
    size = message.ByteSize() - sum(question.ByteSize() for question in questions)
    return BatchCall(
        message.explain,
        checked_request_id(message.request_id),
        message.min_policy_revision,
        caller,
        (reader.values, size),
        questions,
        doubles,
    )


def _parse(kind: type[MessageT], data: bytes) -> MessageT:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        name = kind.DESCRIPTOR.name
        problem = "nests too deeply" if "MaxDepth" in str(error) else f"is not a well-formed {name} message"
        raise InvalidRequestError(_WHOLE, problem) from None


def _call(message: v1.CheckRequest, reader: _Reader, now: datetime | None) -> Call:
    refuse_unsupported(message.token, message.unknown)
    request = _request(message, reader, reader.asked(message), now)
    return Call(request, message.explain, checked_request_id(message.request_id), message.min_policy_revision)


class _Asked(NamedTuple):
    """The part of a request that differs from question to question."""

    tool: str
    resource: Resource | None = None
    arguments: Mapping[str, Value] = {}  # a default that nobody is handed to change
    tool_info: ToolInfo | None = None


def _request(
    message: v1.CheckRequest | v1.BatchCheckRequest, reader: _Reader, asked: _Asked, now: datetime | None
) -> Request:
    return Request(
        subject=message.subject,
        scopes=reader.texts("scopes", message.scopes),
        roles=reader.texts("roles", message.roles),
        tenant=message.tenant,
        tool=asked.tool,
        resource=asked.resource,
        arguments=asked.arguments,
        context=reader.struct("context", message.context),
        subject_attributes=reader.struct("subject_attributes", message.subject_attributes),
        client=reader.client(message),
        tool_info=asked.tool_info,
        anonymous=message.anonymous,
        now=now,
    )


class _Reader:
    """Reads the parts of one request, and stops as soon as it is too large (L60)."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values = 0

    def asked(self, message: v1.CheckRequest | v1.Question) -> _Asked:
        resource = self.resource(message)
        arguments = self.struct("arguments", message.arguments)
        return _Asked(message.tool, resource, arguments, self.tool_info(message))

    def texts(self, where: str, texts: Sequence[str]) -> tuple[str, ...]:
        self._count(where, len(texts))
        return tuple(texts)

    def resource(self, message: v1.CheckRequest | v1.Question) -> Resource | None:
        if not message.HasField("resource"):
            return None
        resource = message.resource
        return Resource(
            type=resource.type,
            id=resource.id,
            tenant=resource.tenant,
            attributes=self.struct("resource.attributes", resource.attributes),
            ancestors=self.texts("resource.ancestors", resource.ancestors),
        )

    def client(self, message: v1.CheckRequest | v1.BatchCheckRequest) -> Client | None:
        if not message.HasField("client"):
            return None
        return Client(message.client.id, self.struct("client.attributes", message.client.attributes))

    def tool_info(self, message: v1.CheckRequest | v1.Question) -> ToolInfo | None:
        if not message.HasField("tool_info"):
            return None
        info = message.tool_info
        return ToolInfo(
            server=info.server,
            tags=self.texts("tool_info.tags", info.tags),
            read_only=info.read_only if info.HasField("read_only") else None,
            destructive=info.destructive if info.HasField("destructive") else None,
            idempotent=info.idempotent if info.HasField("idempotent") else None,
            open_world=info.open_world if info.HasField("open_world") else None,
        )

    def struct(self, where: str, struct: Struct) -> dict[str, Value]:
        """Return an object as a dict; `where` is its path."""
        fields = struct.fields
        self._count(where, len(fields))
        return {name: self.value(where, name, value) for name, value in fields.items()}

    def _list(self, where: str, values: ListValue) -> list[Value]:
        self._count(where, len(values.values))
        return [self.value(where, index, value) for index, value in enumerate(values.values)]

    def value(self, where: str, key: str | int, value: ValueMessage) -> Value:
        match value.WhichOneof("kind"):
            case "string_value":
                return value.string_value
            case "number_value":
                return as_number(value.number_value)
            case "bool_value":
                return value.bool_value
            case "null_value":
                return None
            case "struct_value":
                return self.struct(_path(where, key), value.struct_value)
            case "list_value":
                return self._list(_path(where, key), value.list_value)
        raise InvalidRequestError(_path(where, key), "is a value of no kind")

    def _count(self, where: str, length: int) -> None:
        self.values += length
        if length > MAX_ITEMS:
            raise InvalidRequestError(where, f"holds more than {MAX_ITEMS} items")
        if self.values > MAX_VALUES:
            raise InvalidRequestError(where, f"the request holds more than {MAX_VALUES} values")


def _path(where: str, key: str | int) -> str:
    return f"{where}[{key}]" if isinstance(key, int) else f"{where}.{shown(key)}"


# --- Names that occur twice -----------------------------------------------------------------


def _refuse_doubles(message: Message, data: bytes) -> Mapping[int, InvalidRequestError]:
    """Refuse a message that gives one name or one field twice (L60); return the questions of a batch that do.

    Protobuf lets the last one win, so that two readers could see two different requests. A
    message that says everything once is as long as its own encoding, or says some default
    explicitly; only then its bytes are worth a look. Entries whose name or value is left out are
    the one thing that the encoding spells longer, and could make up for a double.
    """
    encoded = message.SerializeToString()
    if len(data) != len(encoded) or b"\x0a\x00" in encoded or b"\x12\x00" in encoded:
        scan = _Scan()
        scan.message(message.DESCRIPTOR, data, "")  # type: ignore[arg-type]  # the stub adds the C twin of Descriptor
        return scan.spoilt
    return {}


class _Scan:
    """Walks the bytes of a message that protobuf has already found well-formed."""

    __slots__ = ("fields", "spoilt")

    def __init__(self) -> None:
        self.fields = 0
        self.spoilt: dict[int, InvalidRequestError] = {}
        """What is wrong with questions of a batch, by their places: one spoils only itself."""

    def message(self, descriptor: Descriptor | None, data: bytes, where: str) -> None:
        assert descriptor is not None  # asked only of fields that are messages
        is_struct = descriptor.full_name == "google.protobuf.Struct"
        seen: set[str] = set()
        item = 0
        for field, payload in self._known(descriptor, data):
            if is_struct and (entry := field.message_type) is not None:
                name = self._name(entry, payload)
                self._once(seen, name, _path(where, name))
                self._entry(entry, payload, _path(where, name))
                continue
            path = f"{where}.{field.name}" if where else field.name
            if not field.is_repeated:
                oneof = field.containing_oneof
                self._once(seen, oneof.name if oneof else field.name, path)
            if field.message_type is None:
                continue
            if field.message_type is v1.Question.DESCRIPTOR:
                self._question(payload, item)
            else:
                inside = where if descriptor.full_name in _NAMELESS else path
                self.message(field.message_type, payload, f"{inside}[{item}]" if field.is_repeated else inside)
            item += field.is_repeated

    def _question(self, payload: bytes, index: int) -> None:
        try:
            self.message(v1.Question.DESCRIPTOR, payload, "")
        except InvalidRequestError as error:
            self.spoilt[index] = error

    def _entry(self, entry: Descriptor, payload: bytes, where: str) -> None:
        seen: set[str] = set()
        for part, value in self._known(entry, payload):
            self._once(seen, part.name, where)
            if part.message_type is not None:
                self.message(part.message_type, value, where)

    def _name(self, entry: Descriptor, payload: bytes) -> str:
        names = [value for part, value in self._known(entry, payload) if part.number == 1]
        return names[-1].decode() if names else ""

    def _once(self, seen: set[str], name: str, where: str) -> None:
        if name in seen:
            raise InvalidRequestError(where, "is given twice")
        seen.add(name)

    def _known(self, descriptor: Descriptor, data: bytes) -> Iterator[tuple[FieldDescriptor, bytes]]:
        """Yield the fields that the descriptor knows, with the payload of those that have a length."""
        at, end = 0, len(data)
        while at < end:
            self.fields += 1
            if self.fields > _MAX_FIELDS:
                raise InvalidRequestError(_WHOLE, "holds too many fields")
            key, at = _varint(data, at)
            start, at = self._payload(key & 7, data, at)
            field = descriptor.fields_by_number.get(key >> 3)
            # Known by its number but of another wire type, it is an unknown field to protobuf.
            if field is not None and (field.cpp_type in _WITH_LENGTH) == (key & 7 == 2):
                yield field, data[start:at]

    def _payload(self, wire_type: int, data: bytes, at: int) -> tuple[int, int]:
        match wire_type:
            case 0:
                return at, _varint(data, at)[1]
            case 1:
                return at, at + 8
            case 2:
                length, at = _varint(data, at)
                return at, at + length
            case 5:
                return at, at + 4
        raise InvalidRequestError(_WHOLE, "holds a group")  # only ever as an unknown field


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


# --- Answers --------------------------------------------------------------------------------


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
        _fill_struct(message.parameters, obligation.parameters)
    return message


def _explanation(explanation: Explanation) -> v1.Explanation:
    return v1.Explanation(rules=[_rule(rule) for rule in explanation.rules], nearest=explanation.nearest)


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
        _fill_value(message.value, abridged(seen.value))
    return message


def _fill_struct(struct: Struct, values: Mapping[str, Value]) -> None:
    struct.SetInParent()
    for name, value in values.items():
        _fill_value(struct.fields[name], value)


def _fill_value(message: ValueMessage, value: Value) -> None:
    match value:
        case None:
            message.null_value = 0  # type: ignore[assignment]  # the stub names the enum, whose only member is 0
        case bool():
            message.bool_value = value
        case int() | float():
            message.number_value = value
        case str():
            message.string_value = value
        case Mapping():
            _fill_struct(message.struct_value, value)
        case _:
            message.list_value.SetInParent()
            for item in value:
                _fill_value(message.list_value.values.add(), item)


# --- Errors ---------------------------------------------------------------------------------


def status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return the gRPC status of an error, and the details that the asker may see."""
    match error:
        case InvalidRequestError():
            code, details = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        case RevisionNotServedError():
            code, details = grpc.StatusCode.UNAVAILABLE, str(error)
        case _:
            code, details = grpc.StatusCode.INTERNAL, "internal error"
    return code, details if len(details) <= _MAX_DETAILS else details[: _MAX_DETAILS - 1] + "…"


def error_item(error: Exception) -> v1.CheckError:
    """Return the message that stands for the answer to a question which has none."""
    code, details = status(error)
    if isinstance(error, InvalidRequestError):
        return v1.CheckError(code=v1.ERROR_CODE_INVALID_ARGUMENT, field=error.field, message=error.problem)
    known = v1.ERROR_CODE_UNAVAILABLE if code is grpc.StatusCode.UNAVAILABLE else v1.ERROR_CODE_INTERNAL
    return v1.CheckError(code=known, message=details)


# --- The client's side ----------------------------------------------------------------------


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
    )
    if (resource := request.resource) is not None:
        message.resource.MergeFrom(
            v1.Resource(type=resource.type, id=resource.id, tenant=resource.tenant, ancestors=resource.ancestors)
        )
        message.resource.SetInParent()
        _fill_struct(message.resource.attributes, resource.attributes)
    if (client := request.client) is not None:
        message.client.id = client.id
        _fill_struct(message.client.attributes, client.attributes)
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
            _fill_struct(struct, values)
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
            Obligation(obligation.name, _Reader().struct("obligations", obligation.parameters))
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
    return Explanation(decision_from(message), rules, message.explanation.nearest)


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
    value = _Reader().value("seen", 0, seen.value) if seen.value.WhichOneof("kind") else None
    return Seen(seen.expression, value, seen.problem)


def _outcome(value: int) -> Outcome:
    return next((outcome for outcome in Outcome if outcome.value == value), Outcome.UNKNOWN)
