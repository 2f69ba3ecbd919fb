"""Read JSON text within bounds, and refuse what two readers could read differently (L60)."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Final, NoReturn

from authz.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_JSON_DEPTH: Final = 64
"""Levels of nesting that `read_json` takes: what L60 allows, and the messages around it."""
MAX_EXACT: Final = 2**53
"""The largest integer that the wire carries exactly (L12)."""

WHOLE: Final = "request"
"""Stands for the field in an error that concerns the whole text."""

_BRACKETS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)


def read_json(text: str) -> object:
    """Read one JSON value, in time linear in its length.

    Integral numbers within ±2^53 come back as int, whatever their spelling, as they do from the
    wire. Raises `InvalidRequestError` for text that is not JSON, for a name that occurs twice in
    an object, a number that is not finite, and nesting deeper than `MAX_JSON_DEPTH` (L60).
    """
    _check_depth(text)
    flawed: list[object] = []

    def pairs(members: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(members)
        if len(found) < len(members):
            flawed.append(found)
            found = _Doubled(found)
            found.name = _first_double(name for name, _ in members)
        return found

    def number(digits: str) -> int | float:
        # int() takes quadratic time, and 17 characters hold every integer that counts.
        value = int(digits) if len(digits) <= 17 and digits.lstrip("-").isdigit() else float(digits)
        if not math.isfinite(value):
            flawed.append(value)
        return as_number(value)

    def constant(name: str) -> NoReturn:
        raise InvalidRequestError(WHOLE, f"is not valid JSON: it holds `{name}`")

    try:
        value: object = json.loads(
            text, object_pairs_hook=pairs, parse_int=number, parse_float=number, parse_constant=constant
        )
    except json.JSONDecodeError as error:
        problem = error.msg[:1].lower() + error.msg[1:]
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequestError(WHOLE, f"is not valid JSON: {problem} at {place}") from None
    if flawed:
        _refuse_flaw(value, "")
    return value


def as_number(value: float) -> int | float:
    """Return an integral number within ±2^53 as an int, anything else as it is."""
    if abs(value) <= MAX_EXACT and (whole := int(value)) == value:
        return whole
    return value


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the JSON reader, which is recursive, sees it."""
    if text.count("[") + text.count("{") <= MAX_JSON_DEPTH:
        return
    depth = 0
    for token in _BRACKETS.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise InvalidRequestError(WHOLE, f"nests deeper than {MAX_JSON_DEPTH} levels")
        elif first != '"':
            depth -= 1


class _Doubled(dict[str, object]):
    """An object in which `name` occurs twice; it never leaves `read_json`."""

    name: str


def _first_double(names: Iterable[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add returns None, which is falsy


def _refuse_flaw(value: object, where: str) -> None:
    """Find what `read_json` noticed, and raise with its path."""
    if isinstance(value, _Doubled):
        raise InvalidRequestError(where or WHOLE, f"holds the name `{shown(value.name)}` twice")
    if isinstance(value, dict):
        for name, member in value.items():
            _refuse_flaw(member, f"{where}.{shown(name)}" if where else shown(name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _refuse_flaw(member, f"{where}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequestError(where or WHOLE, "is not a finite number")


def shown(name: str) -> str:
    """Return a name from outside so that it is short and safe to print."""
    cut = name if len(name) <= 64 else name[:63] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
