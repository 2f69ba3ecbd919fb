"""Read a question, or a batch of them."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from authz.json_form import Call, call_of
from authz.model import Part, Request, Resource, ToolInfo, unchecked_request
from authz.wire.plain.fields import ALL_KNOWN, head, more, what, who, wishes
from authz.wire.plain.values import NotPlainError, length_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from authz.model import Attributes
    from authz.wire.plain.values import Names

    Asked: TypeAlias = tuple[str, Resource | None, Attributes, ToolInfo | None, frozenset[Part]]

SMALL: Final = 16_383
"""Bytes of a question with its caller. Two bytes say any length in it, and no limit of L60 on numbers of items,
values and characters can be passed: what is counted takes two bytes at least."""

_LARGE: Final = 1_000_000
"""Bytes of a batch that is plain. A field takes two at least, and the careful reader looks at half as many fields."""

_END: Final = b"\0"  # follows the message: no field has this tag
_SHORT: Final = 512  # bytes of a question that is worth remembering


class Batch(NamedTuple):
    """A plain batch: its caller as a request without a question, and what is asked."""

    caller: Request
    questions: list[Asked]
    explain: bool
    request_id: str
    min_policy_revision: str
    token: str


def read_check(data: bytes, now: datetime | None, *, tokens: bool) -> Call | None:
    """Read a CheckRequest; None where it is not plain. `tokens` says that it may bring a token."""
    if len(data) > SMALL:
        return None
    try:
        return _check(data, now, tokens)
    except (LookupError, ValueError, struct.error):
        return None


def read_stream_check(data: bytes, now: datetime | None, *, tokens: bool) -> Call | None:
    """Read a StreamCheckRequest; as in `read_check`."""
    try:
        size, at = length_at(data, 1)
    except (LookupError, ValueError):
        return None
    return read_check(data[at:], now, tokens=tokens) if data[0] == 0x0A and at + size == len(data) else None


def read_batch(data: bytes, now: datetime | None, *, tokens: bool, most: int) -> Batch | None:
    """Read a BatchCheckRequest of at most so many questions; None where any of it is not plain."""
    if len(data) > _LARGE:
        return None
    try:
        return _batch(data, now, tokens, most)
    except (LookupError, ValueError, struct.error):
        return None


def requests_by(caller: Request, questions: Iterable[Asked]) -> Iterator[Request]:
    """Yield the requests that the questions of a batch make with its caller; `Request.by` for what is none yet."""
    subject, scopes, roles, tenant = caller.subject, caller.scopes, caller.roles, caller.tenant
    context, about, client = caller.context, caller.subject_attributes, caller.client
    anonymous, now, entities = caller.anonymous, caller.now, caller.entities
    for tool, resource, arguments, tool_info, unknown in questions:
        yield unchecked_request(
            tool,
            subject,
            scopes,
            roles,
            tenant,
            resource,
            arguments,
            context,
            about,
            client,
            tool_info,
            anonymous,
            now,
            entities,
            unknown,
        )


def _check(data: bytes, now: datetime | None, tokens: bool) -> Call:  # noqa: FBT001  # all calls here are by place
    names: Names = []
    text, data = data.decode("latin-1"), data + _END
    subject, scopes, roles, tenant, at = head(data, text, names)
    tool, resource, arguments, at = what(data, text, at, names)
    context, about, client, at = who(data, text, at, names) if 0x42 <= data[at] <= 0x52 else ({}, {}, None, at)
    tool_info, unknown, at = more(data, text, at, names) if 0x5A <= data[at] <= 0x62 else (None, ALL_KNOWN, at)
    anonymous = explain = False
    request_id = revision = token = ""
    if at != len(text):
        anonymous, explain, request_id, revision, token, at = wishes(data, text, at, names)
    anonymous = _anonymous(subject, token, anonymous, tokens)
    if at != len(text) or not tool or not _are_plain(names) or (now is not None and now.tzinfo is None):
        raise NotPlainError
    if unknown:
        _refuse_given(unknown, resource, arguments, context)
    return call_of(
        unchecked_request(
            tool,
            subject,
            scopes,
            roles,
            tenant,
            resource,
            arguments,
            context,
            about,
            client,
            tool_info,
            anonymous,
            now,
            {},
            unknown,
        ),
        explain,
        request_id,
        revision,
        token,
    )


def _batch(data: bytes, now: datetime | None, tokens: bool, most: int) -> Batch:  # noqa: FBT001  # as above
    names: Names = []
    text, data = data.decode("latin-1"), data + _END
    subject, scopes, roles, tenant, at = head(data, text, names)
    context, about, client, at = who(data, text, at, names) if data[at] <= 0x52 else ({}, {}, None, at)
    anonymous, explain, request_id, revision, token, at = wishes(data, text, at, names)
    anonymous = _anonymous(subject, token, anonymous, tokens)
    room = SMALL - at
    if room < 0:
        raise NotPlainError
    questions: list[Asked] = []
    while data[at] == 0x92 and data[at + 1] == 1 and len(questions) < most:
        size, at = length_at(data, at + 2)
        stop = at + size
        # One that leaves parts open ends with them: the tag 0x62, their number, and the parts.
        may_be_listed = size <= min(room, _SHORT) and 0x62 in data[stop - 5 : stop - 2]
        if may_be_listed and (asked := _listed(data[at:stop])) is not None:
            if context and Part.CONTEXT in asked[4]:
                raise NotPlainError
            questions.append(asked)
            at = stop
            continue
        tool, resource, arguments, at = what(data, text, at, names)
        tool_info, unknown, at = more(data, text, at, names) if at < stop else (None, ALL_KNOWN, at)
        if at != stop or not tool or size > room:
            raise NotPlainError
        if unknown:
            _refuse_given(unknown, resource, arguments, context)
        questions.append((tool, resource, arguments, tool_info, unknown))
    if at != len(text) or not _are_plain(names) or (now is not None and now.tzinfo is None):
        raise NotPlainError
    caller = unchecked_request(
        "-", subject, scopes, roles, tenant, None, {}, context, about, client, None, anonymous, now, {}, ALL_KNOWN
    )
    return Batch(caller, questions, explain, request_id, revision, token)


@lru_cache(maxsize=4_096)
def _listed(data: bytes) -> Asked | None:
    """Read a question that leaves something open, None where it is none or not plain; remembered.

    Whoever lists tools asks the same of each for every caller: nothing in it depends on who asks or on the
    policy. A batch of such questions takes a third of the time.
    """
    names: Names = []
    text, data = data.decode("latin-1"), data + _END
    try:
        tool, resource, arguments, at = what(data, text, 0, names)
        tool_info, unknown, at = more(data, text, at, names)
        if at != len(text) or not tool or not unknown or not _are_plain(names):
            return None
        _refuse_given(unknown, resource, arguments, {})
    except (LookupError, ValueError, struct.error):
        return None
    return tool, resource, arguments, tool_info, unknown


def _anonymous(subject: str, token: str, anonymous: bool, tokens: bool) -> bool:  # noqa: FBT001  # as above
    """Return whether a request has no subject yet, which it may only say or leave to its token."""
    if token:
        if anonymous or not tokens:
            raise NotPlainError
        return not subject
    if bool(subject) is anonymous:
        raise NotPlainError
    return anonymous


def _refuse_given(
    unknown: frozenset[Part], resource: Resource | None, arguments: Attributes, context: Attributes
) -> None:
    """Refuse a part that is given and said to be unknown; of a resource the type may be given (L68)."""
    if (
        (arguments and Part.ARGUMENTS in unknown)
        or (context and Part.CONTEXT in unknown)
        or (resource is not None and Part.RESOURCE in unknown and resource != Resource(resource.type))
    ):
        raise NotPlainError


def _are_plain(names: Names) -> bool:
    """Say whether identifiers are printable ASCII, which is in normal form NFC; their lengths have been looked at."""
    joined = "".join(names)
    return joined.isascii() and joined.isprintable()
