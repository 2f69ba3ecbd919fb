"""Read entries from files: JSON lines, CSV, and a server's answer to `tools/list`.

What cannot be read stands in its place as an `EntityError`, and reading goes on. Files may be longer
than memory: a line, or a record of CSV, is bounded.

Most lines are short and plain ASCII, without escapes. Their strings and numbers are within all limits
by that alone, so only their shape is looked at: 15 µs a line instead of 50. Every other line takes
the long way, and whatever the short way cannot read takes it as well, which then says what is wrong.
"""

from __future__ import annotations

import csv
import json
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from authz.directory.checking import checked
from authz.directory.entities import HINTS, MAX_ENTRY_BYTES, MCP_HINTS, Entity, EntityError, Key, Kind
from authz.directory.records import MEMBERS_OF_RECORDS, Defaults, entity_from_record
from authz.errors import InvalidRequestError
from authz.json_form import MAX_EXACT, WHOLE, read_json, shown
from authz.model import MAX_IDENTIFIER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

Read: TypeAlias = "tuple[int, Entity | EntityError]"
"""Where an entry stands, counted from 1, and the entry, or what is wrong with it."""

MAX_LINE: Final = 8 * MAX_ENTRY_BYTES
"""Bytes of one line: what an entry may hold, twice, with every character escaped."""
_MAX_TOOLS: Final = 32 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"


class _NotPlainError(Exception):
    """Raised to send a line the long way."""


def read_lines(stream: BinaryIO, defaults: Defaults) -> Iterator[Read]:
    """Read JSON lines; lines that are blank count, and say nothing."""
    for number, line in enumerate(_lines(stream), 1):
        text = line.strip()
        if text:
            yield number, _entity(text, defaults)


def _entity(line: bytes, defaults: Defaults) -> Entity | EntityError:
    try:
        if len(line) <= MAX_IDENTIFIER and "\\" not in (text := line.decode("ascii")) and "\x7f" not in text:
            record, end = _scan(text, 0)  # which takes no other control character in a string
            if end == len(text) and _strings(record) == text.count('"') // 2:
                return entity_from_record(record, defaults, plain=True)
    except EntityError as error:
        return error
    except (ValueError, StopIteration, RecursionError, _NotPlainError):
        pass
    try:
        return _entity_slowly(line, defaults)
    except EntityError as error:
        return error


def _entity_slowly(line: bytes, defaults: Defaults) -> Entity:
    if len(line) > MAX_LINE:
        raise EntityError("", "", f"the line is longer than {MAX_LINE} bytes")
    return entity_from_record(_json(line), defaults)


def _json(data: bytes) -> object:
    """Return what JSON says. Raises `EntityError`."""
    try:
        return read_json(data.decode())
    except UnicodeDecodeError as error:
        raise EntityError("", "", f"is not valid UTF-8 at byte {error.start + 1}") from None
    except InvalidRequestError as error:
        raise EntityError("", "" if error.field == WHOLE else error.field, error.problem) from None


def _strings(record: object) -> int:
    """Count the strings in a record, names and values.

    They are as many as there are pairs of quotes in its text, unless a name was given twice and one of
    the two is gone. Raises `_NotPlainError` for whatever takes more than a glance.
    """
    if type(record) is not dict:
        raise _NotPlainError
    strings = len(record)
    for member in record.values():
        kind = type(member)
        if kind is str:
            strings += 1
        elif kind is dict:
            strings += len(member) + _strings_of_values(member.values())
        elif kind is list:
            strings += _strings_of_values(member)
        elif kind is not bool and member is not None:
            raise _NotPlainError
    return strings


def _strings_of_values(values: Iterable[Any]) -> int:
    strings = 0
    for value in values:
        kind = type(value)
        if kind is str:
            strings += 1
        elif kind is list:
            for item in value:
                if type(item) is not str:
                    raise _NotPlainError
            strings += len(value)
        elif kind is int:
            if not -MAX_EXACT <= value <= MAX_EXACT:
                raise _NotPlainError
        elif kind is float:
            if value.is_integer() or not math.isfinite(value):
                raise _NotPlainError
        elif kind is not bool and value is not None:
            raise _NotPlainError
    return strings


_scan: Final = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # what `raw_decode` calls, without its wrapping


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of one that is too long, the beginning."""
    first = True
    for line in iter(partial(stream.readline, MAX_LINE + 2), b""):
        text = line.removeprefix(_BOM) if first else line
        first = False
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            while (more := stream.readline(MAX_LINE)) and not more.endswith(b"\n"):
                pass
        yield text


# --- CSV ------------------------------------------------------------------------------------


def read_csv(stream: BinaryIO, defaults: Defaults) -> Iterator[Read]:
    """Read CSV whose first row names the members; `attributes.NAME` is one attribute.

    An empty cell was not given. A cell of an attribute is JSON where it is JSON, else text; lists are
    JSON or separated by `;`. An entry's place is the line on which it begins.
    """
    lines = _CsvLines(stream)
    rows = csv.reader(lines, strict=True)
    columns: list[str] | None = None
    while True:
        lines.taken = 0
        place = rows.line_num + 1
        try:
            row = next(rows)
            if not row:
                continue
            if columns is None:
                columns = _columns(row)
                continue
            found: Entity | EntityError = entity_from_record(_record(columns, row), defaults)
        except StopIteration:
            if lines.problem:
                yield place, EntityError("", "", lines.problem)
            return
        except csv.Error as error:
            found = EntityError("", "", f"is not valid CSV: {error}")
        except EntityError as error:
            found = error
        yield place, found
        if columns is None:  # nothing below a header that is wrong means anything
            return


class _CsvLines:
    """Yields the lines of a file to a reader of CSV, and ends where one record goes on and on."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = _lines(stream)
        self.taken = 0
        self.problem = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.taken += len(line)
            if self.taken > MAX_LINE:
                self.problem = f"the record is longer than {MAX_LINE} bytes; nothing below it was read"
                return
            yield line.decode(errors="surrogateescape")  # half of a pair is refused wherever it then stands


def _columns(row: list[str]) -> list[str]:
    columns = [cell.strip() for cell in row]
    for index, column in enumerate(columns):
        name = column.removeprefix("attributes.")
        if not name or (column == name and column not in MEMBERS_OF_RECORDS):
            hint = ""
            if ";" in column:
                hint = ": cells are separated by commas"
            elif name and column == name:
                hint = f": an attribute's column is `attributes.{shown(name)}`"
            raise EntityError("", shown(column), f"is no column of a directory{hint}")
        if column in columns[:index]:
            raise EntityError("", shown(column), "is a column twice")
    return columns


def _record(columns: list[str], row: list[str]) -> dict[str, object]:
    if len(row) != len(columns):
        raise EntityError("", "", f"holds {len(row)} cells where the header holds {len(columns)}")
    record: dict[str, object] = {}
    attributes: dict[str, object] = {}
    for column, cell in zip(columns, row, strict=True):
        if not cell:
            continue
        if column.startswith("attributes."):
            attributes[column.removeprefix("attributes.")] = _value(column, cell)
        elif column in {"attributes", "input_schema", *HINTS}:
            record[column] = _value(column, cell)
        elif column in {"groups", "ancestors", "tags"}:
            record[column] = _value(column, cell) if cell.startswith("[") else cell.split(";")
        else:
            record[column] = cell
    if not attributes:
        return record
    given = record.setdefault("attributes", {})
    if not isinstance(given, dict) or given.keys() & attributes.keys():
        raise EntityError("", "attributes", "is given twice, in two columns")
    record["attributes"] = {**given, **attributes}
    return record


def _value(column: str, cell: str) -> object:
    """Return what a cell means: JSON where it is JSON, else the text itself."""
    try:
        return read_json(cell)
    except InvalidRequestError as error:
        if _is_json(cell):  # JSON that is out of bounds is no text
            raise EntityError("", shown(column), error.problem) from None
        return cell


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


# --- tools/list -----------------------------------------------------------------------------


def read_tools(stream: BinaryIO, server: str, tenant: str = "") -> Iterator[Read]:
    """Read the answer of a server to `tools/list`: the result, the whole JSON-RPC message, or the list.

    Of a tool its name, hints and input schema are taken; a place is that in the list. What else a
    server says is not ours to judge. Where there is no list, its place is 0.
    """
    try:
        yield from ((place, _tool(item, server, tenant)) for place, item in enumerate(_tools(stream), 1))
    except EntityError as error:
        yield 0, error


def _tools(stream: BinaryIO) -> Iterable[object]:
    data = stream.read(_MAX_TOOLS + 1)
    if len(data) > _MAX_TOOLS:
        raise EntityError("", "", f"the answer is larger than {_MAX_TOOLS} bytes")
    value = _json(data)
    for name in ("result", "tools"):
        if isinstance(value, dict) and name in value:
            value = value[name]
    if not isinstance(value, list):
        raise EntityError("", "", "is no answer to tools/list: it holds no list of tools")
    return value


def _tool(item: object, server: str, tenant: str) -> Entity | EntityError:
    kind = Kind.TOOL
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        return EntityError(kind, "name", "is missing")
    hints = item.get("annotations")
    given = hints if isinstance(hints, dict) else {}
    attributes = {ours: given[theirs] for theirs, ours in MCP_HINTS.items() if given.get(theirs) is not None}
    if item.get("inputSchema") is not None:
        attributes["input_schema"] = item["inputSchema"]
    try:
        return checked(Entity(Key(kind, server, item["name"], tenant), attributes))
    except EntityError as error:
        return error
