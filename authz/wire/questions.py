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


def batch_message(
    asked: Sequence[tuple[Request, ToolReads]], request_id: str
) -> tuple[v1.BatchCheckRequest, Mapping[int, InvalidRequestError]]:
    """Return the message that asks questions of one caller, and by their places those that cannot be sent.

    The caller is the first one's; the others must have the same. The message holds of it what any
    question needs. Raises `InvalidRequestError`, as `check_message` does, where the caller cannot be sent.
    """
    message = v1.BatchCheckRequest()
    spoilt: dict[int, InvalidRequestError] = {}
    _fill_caller(message, asked[0][0], request_id, [reads for _, reads in asked])
    questions = message.questions
    for index, (request, reads) in enumerate(asked):
        question = questions.add(tool=request.tool, unknown=_unknown(request.unknown))
        try:
            _fill_question(question, request, reads)
        except InvalidRequestError as error:
            spoilt[index] = error
            del questions[-1]
    return message, spoilt


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
    distinct = {id(one): one for one in reads}.values()
    if request.context:
        _fill(message.context, "context", request.context, [one.context for one in distinct])
    if request.subject_attributes:
        given = request.subject_attributes
        _fill(message.subject_attributes, "subject_attributes", given, [one.subject for one in distinct])
    if (client := request.client) is not None:
        message.client.id = client.id
        message.client.SetInParent()
        _fill(message.client.attributes, "client.attributes", client.attributes, [one.client for one in distinct])


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
