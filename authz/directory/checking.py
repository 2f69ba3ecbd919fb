"""Check entries as they come from outside: what passes here can be completed from without another look."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from authz.directory.entities import HINTS, MAX_ENTRY_BYTES, Entity, EntityError, Key, Kind
from authz.json_form import shown
from authz.model import MAX_DEPTH, MAX_IDENTIFIER, MAX_ITEMS

if TYPE_CHECKING:
    from collections.abc import Sequence

MEMBERS: Final = {
    Kind.SUBJECT: ("", "id", "groups"),
    Kind.GROUP: ("", "id", "groups"),
    Kind.ROLE_BINDING: ("subject", "role", ""),
    Kind.RESOURCE: ("type", "id", "ancestors"),
    Kind.TOOL: ("server", "name", ""),
    Kind.CLIENT: ("", "id", ""),
}
"""What a record calls the type, the id and the `within` of its key; "" for what a kind has not."""

_TOOL_MEMBERS: Final = (*HINTS, "tags", "input_schema")
_PRINCIPALS: Final = ("subject:", "group:")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=dict).encode


def checked(entity: Entity) -> Entity:
    """Return a valid entry as it is. Raises `EntityError`, naming the member of its record that is wrong."""
    kind = checked_key(entity.key).kind
    _check_within(kind, entity.within)
    _check_attributes(kind, entity.attributes)
    for member, value in (("attributes", entity.attributes), (MEMBERS[kind][2], entity.within)):
        if value and len(_encode(value).encode()) > MAX_ENTRY_BYTES:
            raise EntityError(kind, member, f"holds more than {MAX_ENTRY_BYTES} bytes of JSON")
    return entity


def checked_key(key: Key) -> Key:
    """Return a valid key as it is. Raises `EntityError`."""
    kind = key.kind
    type_, id_, _ = MEMBERS[kind]
    check_identifier(kind, "tenant", key.tenant)
    if kind is Kind.ROLE_BINDING:
        principal, colon, name = key.type.partition(":")
        if f"{principal}{colon}" not in _PRINCIPALS:
            raise EntityError(kind, "type", "must be `subject:ID` or `group:ID`")
        check_name(kind, principal, name)
        if principal == "group":
            check_group(kind, principal, name)
    elif kind is Kind.RESOURCE:
        check_name(kind, type_, key.type)
        if ":" in key.type:
            raise EntityError(kind, type_, "must not hold a colon")
    elif kind is Kind.TOOL:
        check_identifier(kind, type_, key.type)
    elif key.type:
        raise EntityError(kind, "type", "must be empty")
    if kind is Kind.RESOURCE:
        if not key.id:
            raise EntityError(kind, id_, "must not be empty")
        check_id(kind, id_, key.id)
    else:
        check_name(kind, id_, key.id)
    if kind is Kind.GROUP:
        check_group(kind, id_, key.id)
    return key


def check_name(kind: str, member: str, value: object) -> None:
    """Refuse what is no identifier, or empty."""
    if value == "":
        raise EntityError(kind, member, "must not be empty")
    check_identifier(kind, member, value)


def check_identifier(kind: str, member: str, value: object) -> None:
    """Refuse what is no identifier (L60); the empty one is one."""
    check_id(kind, member, value)
    assert isinstance(value, str)  # check_id has refused everything else
    if not value.isascii() and not unicodedata.is_normalized("NFC", value):
        raise EntityError(kind, member, "is not in Unicode normal form NFC")


def check_id(kind: str, member: str, value: object) -> None:
    """Refuse what is no resource's id: those are of any normal form, as names of files are."""
    _check_text(kind, member, value)
    assert isinstance(value, str)  # _check_text has refused everything else
    if len(value) > MAX_IDENTIFIER:
        raise EntityError(kind, member, f"is longer than {MAX_IDENTIFIER} characters")
    if _CONTROL.search(value):
        raise EntityError(kind, member, "holds a control character")


def check_group(kind: str, member: str, group: str) -> None:
    """Refuse a group that decisions would take for another: in a request, `group:eng` is `eng` (L33)."""
    if group.startswith("group:"):
        raise EntityError(kind, member, "must not begin with `group:`")


def _check_text(kind: str, member: str, value: object) -> None:
    if not isinstance(value, str):
        raise EntityError(kind, member, "must be a string")
    if not value.isascii() and _SURROGATE.search(value):
        raise EntityError(kind, member, "is not valid Unicode: it holds half of a surrogate pair")


def _check_within(kind: Kind, within: Sequence[str]) -> None:
    member = MEMBERS[kind][2]
    if not within:
        return
    if not member:
        raise EntityError(kind, "within", "must be empty")
    _check_count(kind, member, len(within))
    for index, name in enumerate(within):
        place = f"{member}[{index}]"
        if kind is not Kind.RESOURCE:
            check_name(kind, place, name)
            check_group(kind, place, name)
            continue
        check_id(kind, place, name)
        type_, _, id_ = name.partition(":")
        if not type_ or not id_:
            raise EntityError(kind, place, "must be an entity, such as `folder:7`")
        check_identifier(kind, place, type_)


def _check_attributes(kind: Kind, attributes: object) -> None:
    if not isinstance(attributes, Mapping):
        raise EntityError(kind, "attributes", "must be an object")
    if kind is Kind.ROLE_BINDING and attributes:
        raise EntityError(kind, "attributes", "must be empty")
    if kind is Kind.TOOL:
        _check_tool(attributes)
        for name, value in attributes.items():
            _check_value(kind, name, value, 1)
        return
    _check_value(kind, "attributes", attributes, 1)


def _check_tool(attributes: Mapping[object, object]) -> None:
    for name, value in attributes.items():
        if name not in _TOOL_MEMBERS:
            raise EntityError(Kind.TOOL, shown(str(name)), "is no member of a tool")
        if name in HINTS and not isinstance(value, bool):
            raise EntityError(Kind.TOOL, str(name), "must be true or false")
        if name == "input_schema" and not isinstance(value, Mapping):
            raise EntityError(Kind.TOOL, "input_schema", "must be an object")
    tags = attributes.get("tags", [])
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
        raise EntityError(Kind.TOOL, "tags", "must be a list of strings")
    for index, tag in enumerate(tags):
        check_name(Kind.TOOL, f"tags[{index}]", tag)


def _check_value(kind: Kind, member: str, value: object, depth: int) -> None:
    match value:
        case None | bool() | int():
            return
        case float():
            if not math.isfinite(value):
                raise EntityError(kind, member, "is not a finite number")
        case str():
            _check_text(kind, member, value)
        case list() | tuple():
            _check_depth(kind, member, depth)
            _check_count(kind, member, len(value))
            for index, item in enumerate(value):
                _check_value(kind, f"{member}[{index}]", item, depth + 1)
        case Mapping():
            _check_depth(kind, member, depth)
            _check_count(kind, member, len(value))
            for name, item in value.items():
                check_identifier(kind, f"{member} (a name)", name)
                _check_value(kind, f"{member}.{shown(name)}", item, depth + 1)
        case _:
            raise EntityError(kind, member, "is not a JSON value")


def _check_depth(kind: Kind, member: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise EntityError(kind, member.partition(".")[0], f"nests deeper than {MAX_DEPTH} levels")


def _check_count(kind: Kind, member: str, length: int) -> None:
    if length > MAX_ITEMS:
        raise EntityError(kind, member, f"holds more than {MAX_ITEMS} items")
