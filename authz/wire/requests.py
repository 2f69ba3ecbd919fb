"""Read the questions that are asked over the wire.

Messages are parsed here and not by gRPC, which would answer malformed bytes with INTERNAL. What
comes out of `read_*` is a valid request; what does not is an `InvalidRequestError` that names the
field (L60).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from authz.errors import InvalidRequestError
from authz.json_form import Call, anonymous_until_known, checked_request_id, refuse_unsupported
from authz.model import MAX_TEXT, MAX_VALUES, Part, Request
from authz.v1 import decision_pb2 as v1
from authz.wire.doubles import refuse_doubles
from authz.wire.parts import Asked, Reader, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from google.protobuf.message import Message

    MessageT = TypeVar("MessageT", bound=Message)

MAX_QUESTIONS: Final = 1_000
"""Questions in one BatchCheck."""
_SHORT: Final = 512  # bytes of a question that is worth remembering


def read_check(data: bytes, now: datetime | None = None, *, tokens: bool = False) -> Call:
    """Read a CheckRequest; `now` is the time of the decision, None for the clock's.

    `tokens` says that whoever gets the call sees to its token; else one is refused.
    """
    message, reader = parse(v1.CheckRequest, data), Reader()
    call = _call(message, reader, now, tokens=tokens)
    refuse_doubles(message, data)
    return call


def read_stream_check(data: bytes, now: datetime | None = None, *, tokens: bool = False) -> Call:
    """Read a StreamCheckRequest; as in `read_check`."""
    message, reader = parse(v1.StreamCheckRequest, data), Reader()
    if not message.HasField("check"):
        raise InvalidRequestError("check", "must not be empty")
    call = _call(message.check, reader, now, tokens=tokens)
    refuse_doubles(message, data)
    return call


@dataclass(frozen=True, slots=True)
class BatchCall:
    """A BatchCheckRequest whose caller is valid; its questions are read one by one."""

    explain: bool
    request_id: str
    min_policy_revision: str
    token: str = field(repr=False)
    _caller: Request
    _caller_size: tuple[int, int]
    _questions: Sequence[v1.Question]
    _doubles: Mapping[int, InvalidRequestError]

    @property
    def asker(self) -> Request:
        """Return what the batch says of its caller, as a request without a question."""
        return self._caller

    def by(self, who: Callable[[Request], Request]) -> BatchCall:
        """Return the batch with another caller: what `who` makes of the one that it has."""
        return replace(self, _caller=who(self._caller))

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
        data = question.SerializeToString()
        open_ = len(question.unknown) > 0 and len(data) <= _SHORT
        request, held = _listed(data) if open_ else _asked(question)
        if self._caller.context and Part.CONTEXT in request.unknown:
            raise InvalidRequestError("context", "is given for the batch, and named in `unknown` of this question")
        values, size = self._caller_size
        if values + held > MAX_VALUES or size + len(data) > MAX_TEXT:
            raise InvalidRequestError("arguments", "caller and question together hold too much for one request")
        return request.by(self._caller)


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


@lru_cache(maxsize=4_096)
def _listed(data: bytes) -> tuple[Request, int]:
    """Return what `_asked` does, remembered: whoever lists tools asks the same of each for every caller.

    Nothing in it depends on who asks or on the policy. Reading takes five times as long as deciding.
    """
    return _asked(v1.Question.FromString(data))


def read_batch_check(data: bytes, now: datetime | None = None, *, tokens: bool = False) -> BatchCall:
    """Read a BatchCheckRequest; as in `read_check`. An error is the caller's or the whole batch's."""
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
        (reader.values, size),
        questions,
        doubles,
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
