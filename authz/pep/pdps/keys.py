"""What tells questions apart: one digest of everything that can change an answer.

The text that is hashed is JSON with sorted names, in which no two different values look the same:
`true`, `1`, `1.0` and `"1"` are four, `["a"]` is not `"a"`, and each field has its own place.
"""

from __future__ import annotations

import dataclasses
import json
from hashlib import sha256
from operator import attrgetter
from typing import Final

from authz.model import CALLER, Client, Request, Resource, ToolInfo

_NOT_ASKED: Final = frozenset({"now", "entities"})
"""Fields that a question of an enforcement point does not have; see `is_plain`."""
_FIELDS: Final = tuple(field.name for field in dataclasses.fields(Request) if field.name not in _NOT_ASKED)
_OF_CALLER: Final = tuple(name for name in _FIELDS if name in CALLER)
_OF_QUESTION: Final = tuple(name for name in _FIELDS if name not in CALLER and name != "tool_info")
_caller: Final = attrgetter(*_OF_CALLER)
_rest: Final = attrgetter(*_OF_QUESTION)
_info: Final = attrgetter(*(field.name for field in dataclasses.fields(ToolInfo)))


def _question(request: Request) -> tuple[object, ...]:
    info = request.tool_info
    return _rest(request), None if info is None else _info(info)


def is_plain(request: Request) -> bool:
    """Say whether the key of a request holds all of it: neither a time of its own nor what a directory brought."""
    return request.now is None and not request.entities


def caller_key(request: Request) -> bytes:
    """Return what is the same for requests of the same caller in the same context, and for no others."""
    return _digest(_caller(request))


def request_key(request: Request) -> bytes:
    """Return what is the same for the same requests, and for no others."""
    return _digest((_caller(request), _question(request)))


def _digest(value: object) -> bytes:
    return sha256(_write(value).encode()).digest()


def _plain(value: object) -> object:
    """Return what JSON does not know in a form that it does."""
    match value:
        case Resource():
            return [value.type, value.id, value.tenant, value.attributes, value.ancestors]
        case Client():
            return [value.id, value.attributes]
        case frozenset():
            return sorted(part.value for part in value)
    return dict(value)  # type: ignore[call-overload]  # all else that a request holds is a mapping


_write: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), check_circular=False, allow_nan=False, default=_plain
).encode
