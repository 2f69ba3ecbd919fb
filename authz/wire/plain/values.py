"""Read what fields hold. `at` is the place of a field's tag; what was read is returned with where it ended.

Names are gathered in `names`, for whoever began to look at all of them at once: at a quarter of the price.
"""

from __future__ import annotations

import struct
from math import isfinite
from typing import TYPE_CHECKING, Final, TypeAlias

from authz.json_form import as_number

if TYPE_CHECKING:
    from authz.model import Value

    Names: TypeAlias = list[str]

_NESTED: Final = 8  # levels of values; L60 takes four times as many
_double: Final = struct.Struct("<d").unpack_from


class NotPlainError(ValueError):
    """It is not so simple. This is told to nobody: it never leaves the package."""


def length_at(data: bytes, at: int) -> tuple[int, int]:
    """Return the length that stands at a place, and where what has it begins."""
    length = data[at]
    if length < 128:
        return length, at + 1
    more = data[at + 1]
    if not 0 < more < 128:  # spelled longer than it need be, or longer than anything that is plain
        raise NotPlainError
    return length - 128 + (more << 7), at + 2


def name_at(data: bytes, text: str, at: int, names: Names) -> tuple[str, int]:
    """Read a short text, and gather it as a name."""
    length = data[at + 1]
    if length > 127:
        raise NotPlainError
    stop = at + 2 + length
    name = text[at + 2 : stop]
    names.append(name)
    return name, stop


def names_at(data: bytes, text: str, at: int, names: Names) -> tuple[tuple[str, ...], int]:
    """Read all texts that follow each other under one tag, and gather them as names."""
    tag = data[at]
    found = []
    while data[at] == tag:
        length = data[at + 1]
        start = at + 2
        at = start + length
        if length > 127:
            raise NotPlainError
        found.append(text[start:at])
    names += found
    return tuple(found), at


def text_at(data: bytes, text: str, at: int) -> tuple[str, int]:
    """Read a text, whatever is in it and however long it is."""
    length, start = length_at(data, at + 1)
    stop = start + length
    value = text[start:stop]
    return value if value.isascii() else data[start:stop].decode(), stop


def texts_at(data: bytes, text: str, at: int) -> tuple[tuple[str, ...], int]:
    """Read all texts that follow each other under one tag."""
    tag = data[at]
    found = []
    while data[at] == tag:
        value, at = text_at(data, text, at)
        found.append(value)
    return tuple(found), at


def flag_at(data: bytes, at: int) -> tuple[bool, int]:
    """Read a truth value."""
    value = data[at + 1]
    if value > 1:
        raise NotPlainError
    return value == 1, at + 2


def object_at(data: bytes, text: str, at: int, names: Names, level: int) -> tuple[dict[str, Value], int]:
    """Read an object: an entry for each member, and in it the name and the value.

    What is short and what are texts is read here, without a call: half of the time.
    """
    size = data[at + 1]
    at += 2
    if size > 127:
        size, at = length_at(data, at - 1)
    stop = at + size
    found: dict[str, Value] = {}
    while at < stop:
        if data[at] != 0x0A:
            raise NotPlainError
        size = data[at + 1]
        at += 2
        if size > 127:
            size, at = length_at(data, at - 1)
        end = at + size
        start = at + 2
        size = data[at + 1]
        if data[at] != 0x0A or size > 127:
            raise NotPlainError
        at = start + size
        if data[at] != 0x12:
            raise NotPlainError
        name = text[start:at]
        size = data[at + 1]
        at += 2
        if size > 127:
            size, at = length_at(data, at - 1)
        if at + size != end or name in found:
            raise NotPlainError
        names.append(name)
        kind = data[at]
        if kind == 0x1A and data[at + 1] + 2 == size < 130:
            value = text[at + 2 : end]
            found[name] = value if value.isascii() else data[at + 2 : end].decode()
        elif kind == 0x20 and size == 2 and data[at + 1] < 2:
            found[name] = data[at + 1] == 1
        else:
            found[name] = _value(data, text, at, end, names, level)
        at = end
    if at != stop:
        raise NotPlainError
    return found, at


def _value(data: bytes, text: str, at: int, end: int, names: Names, level: int) -> Value:
    """Read a value, whose only field ends where it does."""
    kind = data[at]
    value: Value = None
    if kind == 0x1A:
        value, at = text_at(data, text, at)
    elif kind == 0x20:
        value, at = flag_at(data, at)
    elif kind == 0x11:
        (number,) = _double(data, at + 1)
        if not isfinite(number):
            raise NotPlainError
        value, at = as_number(number), at + 9
    elif kind == 0x08 and data[at + 1] == 0:
        at += 2
    elif kind == 0x2A and level < _NESTED:
        value, at = object_at(data, text, at, names, level + 1)
    elif kind == 0x32 and level < _NESTED:
        value, at = _list(data, text, at, names, level + 1)
    else:
        raise NotPlainError
    if at != end:
        raise NotPlainError
    return value


def _list(data: bytes, text: str, at: int, names: Names, level: int) -> tuple[list[Value], int]:
    """Read a list: a value for each item."""
    size, at = length_at(data, at + 1)
    stop = at + size
    found: list[Value] = []
    while at < stop:
        if data[at] != 0x0A:
            raise NotPlainError
        size, at = length_at(data, at + 1)
        end = at + size
        found.append(_value(data, text, at, end, names, level))
        at = end
    if at != stop:
        raise NotPlainError
    return found, at
