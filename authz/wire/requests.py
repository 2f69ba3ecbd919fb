"""Read the questions that are asked over the wire.

Messages are parsed here and not by gRPC, which would answer malformed bytes with INTERNAL. What
comes out of `read_*` is a valid request; what does not is an `InvalidRequestError` that names the
field (L60). Nearly all messages are read by `plain`; the rest, and with them all that are wrong, by protobuf.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeVar

from authz.errors import InvalidRequestError
from authz.json_form import Call, anonymous_until_known, checked_request_id, refuse_unsupported
from authz.model import MAX_TEXT, MAX_VALUES, Part, Request
from authz.v1 import decision_pb2 as v1
from authz.wire import plain
from authz.wire.doubles import refuse_doubles
from authz.wire.parts import Asked, Reader, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from google.protobuf.message import Message

    MessageT = TypeVar("MessageT", bound=Message)

MAX_QUESTIONS: Final = 1_000
"""Questions in one BatchCheck."""


def read_check(data: bytes, now: datetime | None = None, *, tokens: bool = False) -> Call:
    """Read a CheckRequest; `now` is the time of the decision, None for the clock's.

    `tokens` says that whoever gets the call sees to its token; else one is refused.
    """
    return plain.read_check(data, now, tokens=tokens) or read_check_carefully(data, now, tokens=tokens)


def read_check_carefully(data: bytes, now: datetime | None = None, *, tokens: bool = False) -> Call:
    """Read any CheckRequest, as in `read_check`, and say what is wrong with it."""
    message, reader = parse(v1.CheckRequest, data), Reader()
    call = _call(message, reader, now, tokens=tokens)
    refuse_doubles(message, data)
    return call


def read_stream_check(data: bytes, now: datetime | None = None, *, tokens: bool = False) -> Call:
    """Read a StreamCheckRequest; as in `read_check`."""
    return plain.read_stream_check(data, now, tokens=tokens) or read_stream_check_carefully(data, now, tokens=tokens)


def read_stream_check_carefully(data: bytes, now: datetime | None = None, *, tokens: bool = False) -> Call:
    """Read any StreamCheckRequest, as in `read_stream_check`, and say what is wrong with it."""
    message, reader = parse(v1.StreamCheckRequest, data), Reader()
    if not message.HasField("check"):
        raise InvalidRequestError("check", "must not be empty")
    call = _call(message.check, reader, now, tokens=tokens)
    refuse_doubles(message, data)
    return call


@dataclass(frozen=True, slots=True)
class BatchCall:
    """A BatchCheckRequest whose caller is valid; what is wrong with a question shows when it is its turn."""

    explain: bool
    request_id: str
    min_policy_revision: str
    token: str = field(repr=False)
    asker: Request
    """What the batch says of its caller, as a request without a question."""
    _questions: Callable[[Request], Iterator[Request | InvalidRequestError]]

    def by(self, who: Callable[[Request], Request]) -> BatchCall:
        """Return the batch with another caller: what `who` makes of the one that it has."""
        return replace(self, asker=who(self.asker))

    def requests(self) -> Iterator[Request | InvalidRequestError]:
        """Yield for each question the request that it makes with the caller, or what is wrong with it."""
        return self._questions(self.asker)


@dataclass(frozen=True, slots=True)
class _Questions:
    """The questions of a batch, which are read one by one."""

    caller_size: tuple[int, int]
    """How many values the caller holds, and about how many characters."""
    messages: Sequence[v1.Question]
    doubles: Mapping[int, InvalidRequestError]

    def by(self, caller: Request) -> Iterator[Request | InvalidRequestError]:
        for index, question in enumerate(self.messages):
            if (double := self.doubles.get(index)) is not None:
                yield double
                continue
            try:
                yield self._request(question, caller)
            except InvalidRequestError as error:
                yield error

    def _request(self, question: v1.Question, caller: Request) -> Request:
        request, held = _asked(question)
        if caller.context and Part.CONTEXT in request.unknown:
            raise InvalidRequestError("context", "is given for the batch, and named in `unknown` of this question")
        values, size = self.caller_size
        if values + held > MAX_VALUES or size + question.ByteSize() > MAX_TEXT:
            raise InvalidRequestError("arguments", "caller and question together hold too much for one request")
        return request.by(caller)


def _asked(question: v1.Question) -> tuple[Request, int]:
    """Return a question as a request of nobody's, and how many values it holds.

    It is checked by itself, so that the caller need not be checked 1000 times over.
    """
    reader = Reader()
    asked = reader.asked(question)
    request = Request(
        anonymous=True,
        tool=asked.tool,
        resource=asked.resource,
        arguments=asked.arguments,
        tool_info=asked.tool_info,
        unknown=asked.unknown,
    )
    return request, reader.values


def read_batch_check(data: bytes, now: datetime | None = None, *, tokens: bool = False) -> BatchCall:
    """Read a BatchCheckRequest; as in `read_check`. An error is the caller's or the whole batch's."""
    batch = plain.read_batch(data, now, tokens=tokens, most=MAX_QUESTIONS)
    if batch is None:
        return read_batch_check_carefully(data, now, tokens=tokens)

    def by(caller: Request) -> Iterator[Request]:
        return plain.requests_by(caller, batch.questions)

    return BatchCall(batch.explain, batch.request_id, batch.min_policy_revision, batch.token, batch.caller, by)


def read_batch_check_carefully(data: bytes, now: datetime | None = None, *, tokens: bool = False) -> BatchCall:
    """Read any BatchCheckRequest, as in `read_batch_check`, and say what is wrong with it."""
    message, reader = parse(v1.BatchCheckRequest, data), Reader()
    refuse_unsupported("" if tokens else message.token)
    if len(message.questions) > MAX_QUESTIONS:
        raise InvalidRequestError("questions", f"holds more than {MAX_QUESTIONS} items")
    caller = _request(message, reader, Asked("-"), now)
    doubles = refuse_doubles(message, data)
    questions = tuple(message.questions)
    size = message.ByteSize() - sum(question.ByteSize() for question in questions)
    return BatchCall(
        message.explain,
        checked_request_id(message.request_id),
        message.min_policy_revision,
        message.token,
        caller,
        _Questions((reader.values, size), questions, doubles).by,
    )


def _call(message: v1.CheckRequest, reader: Reader, now: datetime | None, *, tokens: bool) -> Call:
    refuse_unsupported("" if tokens else message.token)
    request = _request(message, reader, reader.asked(message), now)
    request_id = checked_request_id(message.request_id)
    return Call(request, message.explain, request_id, message.min_policy_revision, message.token)


def _request(
    message: v1.CheckRequest | v1.BatchCheckRequest, reader: Reader, asked: Asked, now: datetime | None
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
        anonymous=anonymous_until_known(message.token, message.subject, anonymous=message.anonymous),
        now=now,
        unknown=asked.unknown,
    )
