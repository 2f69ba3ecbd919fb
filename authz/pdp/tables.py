"""Ask many rules at once.

Where no index tells rules apart, each costs what asking it costs. Rules of one shape differ only in
their constants, so they become rows of one table, and one loop asks them all: what the rows have in
common is evaluated before it. That takes a fifth of the time of calling one function for each rule.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from authz.pdp.codegen import Emitter, Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from authz.model import Request
    from authz.pdp.plan import CompiledRule

    Rows: TypeAlias = Callable[[Request], list[int]]

_WORTH_A_TABLE: Final = 32
"""Rules of one kind in a plan before they are joined into tables."""
_CONSTANT: Final = re.compile(r"\bk(\d+)\b")
_READ: Final = re.compile(r"\b(?:resource_attributes|client_attributes|subject_attributes|args|context)\.get\(k(\d+)\)")
"""How generated code reads an attribute: where all rows read the same one, it is read once."""


class Rules:
    """The rules of one kind in a plan, in the order of their names."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        """Make the tables when they are first asked for."""
        self.rules = rules
        self._is_long = len(rules) >= _WORTH_A_TABLE
        self._tables: dict[tuple[bool, bool], list[Rows]] = {}

    def __iter__(self) -> Iterator[CompiledRule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def true(self, request: Request) -> list[CompiledRule]:
        """Return those that certainly apply."""
        if not self._is_long:
            return [rule for rule in self.rules if rule.true(request)]
        return self._found(request, face=True, wanted=True)

    def not_true(self, request: Request) -> list[CompiledRule]:
        """Return those that do not certainly apply."""
        if not self._is_long:
            return [rule for rule in self.rules if not rule.true(request)]
        return self._found(request, face=True, wanted=False)

    def not_false(self, request: Request) -> list[CompiledRule]:
        """Return those that may apply, for all that is known."""
        if not self._is_long:
            return [rule for rule in self.rules if not rule.false(request)]
        return self._found(request, face=False, wanted=False)

    def _found(self, request: Request, *, face: bool, wanted: bool) -> list[CompiledRule]:
        tables = self._tables.get((face, wanted))
        if tables is None:
            tables = self._tables[face, wanted] = list(_tables(self.rules, face=face, wanted=wanted))
        found = [index for table in tables for index in table(request)]
        return [self.rules[index] for index in (sorted(found) if len(tables) > 1 else found)]


class _Row(NamedTuple):
    number: int
    constants: list[Any]


class _Shape(NamedTuple):
    """What rules of one shape have in common: the text of their parts, and the locals it needs."""

    parts: tuple[str, ...]
    locals: tuple[str, ...]


def _tables(rules: Sequence[CompiledRule], *, face: bool, wanted: bool) -> Iterator[Rows]:
    shapes: dict[_Shape, list[_Row]] = {}
    for index, rule in enumerate(rules):
        emitter = Emitter(rule.view)
        parts = tuple(emitter.face(rule.rule, true=face))
        shapes.setdefault(_Shape(parts, tuple(emitter.locals)), []).append(_Row(index, emitter.constants))
    for shape, rows in shapes.items():
        yield _table(shape, rows, face=face, wanted=wanted)


def _table(shape: _Shape, rows: list[_Row], *, face: bool, wanted: bool) -> Rows:
    """Make the function that returns the numbers of the rows whose face is `wanted`, in their order."""
    columns = list(zip(*(row.constants for row in rows), strict=True))
    common = {number for number, column in enumerate(columns) if all(value is column[0] for value in column)} | {
        number for number, column in enumerate(columns) if _is_one_name(column)
    }
    own = [number for number in range(len(columns)) if number not in common]
    before = [part for part in shape.parts if _constants(part) <= common and ":=" not in part]
    each = [part for part in shape.parts if part not in before]
    once: dict[str, str] = {}

    def read_once(match: re.Match[str]) -> str:
        return once.setdefault(match[0], f"h{len(once)}") if int(match[1]) in common else match[0]

    each = [_READ.sub(read_once, part) for part in each]
    written = Loop(
        locals=shape.locals,
        once=once,
        before=_joined(before, face=face),
        each=_joined(each, face=face),
        own=own,
        common={f"k{number}": columns[number][0] for number in sorted(common)},
    )
    table = [(row.number, *(row.constants[number] for number in own)) for row in rows]
    return written.function(table, face=face, wanted=wanted)


def _joined(parts: list[str], *, face: bool) -> str:
    return (" and " if face else " or ").join(parts) or str(face)


def _constants(text: str) -> set[int]:
    return {int(number) for number in _CONSTANT.findall(text)}


def _is_one_name(column: Sequence[object]) -> bool:
    """Say whether all rows have the same string or names there; `1` and `True` are equal, and not the same."""
    first = column[0]
    return type(first) in {str, frozenset} and all(type(value) is type(first) and value == first for value in column)
