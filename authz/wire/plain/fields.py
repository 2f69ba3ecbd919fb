"""Read the fields of a question, from the least number to the largest; each function says where it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.model import Client, Part, Resource, ToolInfo, resource_of
from authz.wire.plain.values import NotPlainError, flag_at, length_at, name_at, names_at, object_at, text_at, texts_at

if TYPE_CHECKING:
    from authz.model import Attributes, Value
    from authz.wire.plain.values import Names

ALL_KNOWN: Final[frozenset[Part]] = frozenset()
_PARTS: Final = {part.value: part for part in Part}


def head(data: bytes, text: str, names: Names) -> tuple[str, tuple[str, ...], tuple[str, ...], str, int]:
    """Read fields 1 to 4: subject, scopes, roles, tenant."""
    subject = tenant = ""
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    at = 0
    if data[0] == 0x0A:
        subject, at = name_at(data, text, 0, names)
    if data[at] == 0x12:
        scopes, at = names_at(data, text, at, names)
    if data[at] == 0x1A:
        roles, at = names_at(data, text, at, names)
    if data[at] == 0x22:
        tenant, at = name_at(data, text, at, names)
    return subject, scopes, roles, tenant, at


def what(data: bytes, text: str, at: int, names: Names) -> tuple[str, Resource | None, Attributes, int]:
    """Read fields 5 to 7: tool, resource, arguments."""
    tool = ""
    resource = None
    arguments: dict[str, Value] = {}
    if data[at] == 0x2A:
        size, start = data[at + 1], at + 2
        at = start + size
        names.append(tool := text[start:at])
        if size > 127:
            raise NotPlainError
    if data[at] == 0x32:
        resource, at = _resource(data, text, at, names)
    if data[at] == 0x3A:
        arguments, at = object_at(data, text, at, names, 1)
    return tool, resource, arguments, at


def who(data: bytes, text: str, at: int, names: Names) -> tuple[Attributes, Attributes, Client | None, int]:
    """Read fields 8 to 10: context, attributes of the subject, client."""
    context: dict[str, Value] = {}
    about: dict[str, Value] = {}
    client = None
    if data[at] == 0x42:
        context, at = object_at(data, text, at, names, 1)
    if data[at] == 0x4A:
        about, at = object_at(data, text, at, names, 1)
    if data[at] == 0x52:
        client, at = _client(data, text, at, names)
    return context, about, client, at


def more(data: bytes, text: str, at: int, names: Names) -> tuple[ToolInfo | None, frozenset[Part], int]:
    """Read fields 11 and 12: what is known of the tool, and what is unknown."""
    info = None
    unknown = ALL_KNOWN
    if data[at] == 0x5A:
        info, at = _tool_info(data, text, at, names)
    if data[at] == 0x62:
        size, at = length_at(data, at + 1)
        if size > len(_PARTS):
            raise NotPlainError
        unknown = frozenset([_PARTS[part] for part in data[at : at + size]])
        at += size
    return info, unknown, at


def wishes(data: bytes, text: str, at: int, names: Names) -> tuple[bool, bool, str, str, str, int]:
    """Read fields 13 to 17: anonymous, explain, request id, policy revision, token."""
    anonymous = explain = False
    request_id = revision = token = ""
    if data[at] == 0x68:
        anonymous, at = flag_at(data, at)
    if data[at] == 0x70:
        explain, at = flag_at(data, at)
    if data[at] == 0x7A:
        request_id, at = name_at(data, text, at, names)
    if data[at] == 0x82 and data[at + 1] == 1:
        revision, at = name_at(data, text, at + 1, names)
    if data[at] == 0x8A and data[at + 1] == 1:
        size, start = length_at(data, at + 2)
        at = start + size
        token = text[start:at]
        names.append(token)
    return anonymous, explain, request_id, revision, token, at


def _resource(data: bytes, text: str, at: int, names: Names) -> tuple[Resource, int]:
    """Read a resource; nearly all questions have one, and so what is short is read without a call."""
    size = data[at + 1]
    at += 2
    if size > 127:
        size, at = length_at(data, at - 1)
    stop = at + size
    type_ = id_ = tenant = ""
    attributes: dict[str, Value] = {}
    ancestors: tuple[str, ...] = ()
    if data[at] == 0x0A:
        size, start = data[at + 1], at + 2
        at = start + size
        names.append(type_ := text[start:at])
        if size > 127:
            raise NotPlainError
    if data[at] == 0x12:
        size, start = data[at + 1], at + 2
        at = start + size
        id_ = text[start:at]
        if size > 127 or not id_.isascii():
            id_, at = text_at(data, text, start - 2)
    if data[at] == 0x1A:
        size, start = data[at + 1], at + 2
        at = start + size
        names.append(tenant := text[start:at])
        if size > 127:
            raise NotPlainError
    if data[at] == 0x22:
        attributes, at = object_at(data, text, at, names, 1)
    if data[at] == 0x2A:
        ancestors, at = texts_at(data, text, at)
    if at != stop:
        raise NotPlainError
    return resource_of(type_, id_, tenant, attributes, ancestors), at


def _client(data: bytes, text: str, at: int, names: Names) -> tuple[Client, int]:
    size, at = length_at(data, at + 1)
    stop = at + size
    id_ = ""
    attributes: dict[str, Value] = {}
    if data[at] == 0x0A:
        id_, at = name_at(data, text, at, names)
    if data[at] == 0x12:
        attributes, at = object_at(data, text, at, names, 1)
    if at != stop:
        raise NotPlainError
    return Client(id_, attributes), at


def _tool_info(data: bytes, text: str, at: int, names: Names) -> tuple[ToolInfo, int]:
    size, at = length_at(data, at + 1)
    stop = at + size
    server = ""
    tags: tuple[str, ...] = ()
    hints: list[bool | None] = []
    if data[at] == 0x0A:
        server, at = name_at(data, text, at, names)
    if data[at] == 0x12:
        tags, at = names_at(data, text, at, names)
    for tag in (0x18, 0x20, 0x28, 0x30):
        hint = None
        if data[at] == tag:
            hint, at = flag_at(data, at)
        hints.append(hint)
    if at != stop:
        raise NotPlainError
    return ToolInfo(server, tags, *hints), at
