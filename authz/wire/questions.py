"""Write what an enforcement point asks: no more of a request than the policy reads, and nothing inexact."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from authz.errors import InvalidRequestError
from authz.pdp.reads import project
from authz.v1 import decision_pb2 as v1
from authz.wire.parts import fill_struct, path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.struct_pb2 import Struct

    from authz.model import Attributes, Part, Request, ToolInfo, Value
    from authz.pdp.reads import Paths, ToolReads

MOST_WRITTEN: Final = 10_000
"""Questions that are kept as they were written."""
_SHORT: Final = 512  # bytes of one that is worth it
_MAX_EXACT: Final = 2**53  # the wire knows doubles only; every integer up to here is one


def check_message(request: Request, reads: ToolReads, request_id: str) -> v1.CheckRequest:
    """Return the message that asks one question; `now` stays behind, the server has its own clock.

    Raises `InvalidRequestError` for an integer that the wire cannot carry exactly: another one would
    be decided about than the one that is acted on.
    """
    message = v1.CheckRequest(tool=request.tool, unknown=_unknown(request.unknown))
    _fill_caller(message, request, request_id, (reads,))
    _fill_question(message, request, reads)
    return message


class Written:
    """Questions of lists as they were written before: of each item, the same is asked for every caller.

    Only the very same object is found again. Writing takes thirty times as long as finding. Any thread may ask.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Begin with none."""
        self._known: dict[str, tuple[Request, bytes]] = {}

    def of(self, request: Request, reads: ToolReads) -> bytes:
        """Return one question as a part of a batch. Raises `InvalidRequestError`, as `check_message` does."""
        known = self._known.get(request.tool)
        if known is not None and known[0] is request:
            return known[1]
        question = v1.Question(tool=request.tool, unknown=_unknown(request.unknown))
        _fill_question(question, request, reads)
        data = v1.BatchCheckRequest(questions=(question,)).SerializeToString()
        if request.unknown and len(data) <= _SHORT and not _has_values(request):
            if len(self._known) >= MOST_WRITTEN:
                self._known.clear()
            self._known[request.tool] = request, data
        return data

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._known)


def _has_values(request: Request) -> bool:
    """Say whether it depends on what the policy reads how much of a question is sent."""
    return bool(request.arguments or (request.resource is not None and request.resource.attributes))


def batch_bytes(
    caller: Request, asked: Sequence[tuple[Request, ToolReads]], request_id: str, written: Written
) -> tuple[bytes, Mapping[int, InvalidRequestError]]:
    """Return the bytes that ask questions of one caller, and by their places those that cannot be sent.

    Of the caller they hold what any question needs; who the questions name themselves does not count. Raises
    `InvalidRequestError`, as `check_message` does, where the caller cannot be sent.
    """
    message = v1.BatchCheckRequest()
    spoilt: dict[int, InvalidRequestError] = {}
    _fill_caller(message, caller, request_id, (reads for _, reads in asked))
    parts = [message.SerializeToString()]  # messages one after the other are one, with the questions of all
    for index, (request, reads) in enumerate(asked):
        try:
            parts.append(written.of(request, reads))
        except InvalidRequestError as error:
            spoilt[index] = error
    return b"".join(parts), spoilt


@lru_cache(maxsize=8)  # as many as there are sets of three parts
def _unknown(parts: frozenset[Part]) -> tuple[v1.Part.ValueType, ...]:
    return tuple(sorted(v1.Part.ValueType(part.value) for part in parts))


def _fill_caller(
    message: v1.CheckRequest | v1.BatchCheckRequest, request: Request, request_id: str, reads: Iterable[ToolReads]
) -> None:
    message.subject = request.subject
    message.scopes.extend(request.scopes)
    message.roles.extend(request.roles)
    message.tenant = request.tenant
    message.anonymous = request.anonymous
    message.request_id = request_id
    if (client := request.client) is not None:
        message.client.id = client.id
        message.client.SetInParent()
    context, subject, of_client = request.context, request.subject_attributes, client.attributes if client else {}
    if not (context or subject or of_client):
        return
    distinct = {id(one): one for one in reads}.values()
    _fill(message.context, "context", context, [one.context for one in distinct])
    _fill(message.subject_attributes, "subject_attributes", subject, [one.subject for one in distinct])
    _fill(message.client.attributes, "client.attributes", of_client, [one.client for one in distinct])


def _fill_question(message: v1.CheckRequest | v1.Question, request: Request, reads: ToolReads) -> None:
    if (resource := request.resource) is not None:
        written = message.resource
        written.SetInParent()
        written.type = resource.type
        written.id = resource.id
        written.tenant = resource.tenant
        if resource.ancestors:
            written.ancestors.extend(resource.ancestors)
        if resource.attributes:
            _fill(written.attributes, "resource.attributes", resource.attributes, [reads.resource])
    if request.arguments:
        _fill(message.arguments, "arguments", request.arguments, [reads.arguments])
    if (info := request.tool_info) is not None:
        _fill_info(message.tool_info, info)


def _fill_info(message: v1.ToolInfo, info: ToolInfo) -> None:
    message.SetInParent()
    message.server = info.server
    if info.tags:
        message.tags.extend(info.tags)
    if info.read_only is not None:
        message.read_only = info.read_only
    if info.destructive is not None:
        message.destructive = info.destructive
    if info.idempotent is not None:
        message.idempotent = info.idempotent
    if info.open_world is not None:
        message.open_world = info.open_world


def _fill(struct: Struct, where: str, values: Attributes, paths: Sequence[Paths]) -> None:
    """Write what the paths of several tools lead to."""
    if not values:
        return
    all_paths = paths[0] if len(paths) == 1 else tuple(sorted({one for some in paths for one in some}))
    if not all_paths:
        return
    sent = project(values, all_paths)
    _refuse_inexact(where, sent)
    if sent:
        fill_struct(struct, sent)


def _refuse_inexact(where: str, values: Attributes) -> None:
    for name, value in values.items():
        _refuse_inexact_value(where, name, value)


def _refuse_inexact_value(where: str, key: str | int, value: Value) -> None:
    match value:
        case str() | float() | None:
            return
        case int():
            if abs(value) > _MAX_EXACT and not _is_double(value):
                raise InvalidRequestError(path(where, key), "is an integer that cannot be sent exactly")
        case Mapping():
            _refuse_inexact(path(where, key), value)
        case _:
            for index, item in enumerate(value):
                _refuse_inexact_value(path(where, key), index, item)


def _is_double(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False
