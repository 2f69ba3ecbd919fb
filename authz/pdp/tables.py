"""Ask many rules at once.

Where no index tells rules apart, each costs what asking it costs. Rules of one shape differ only in
their constants, so they become rows of one table, and one loop asks them all, as `loops` writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from authz.model import Request
    from authz.pdp.plan import CompiledRule

    Rows: TypeAlias = Callable[[Request], list[int]]

_WORTH_A_TABLE: Final = 32
"""Rules of one kind in a plan before they are joined into tables."""


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
            from authz.pdp.loops import tables_of  # noqa: PLC0415  # few plans have so many rules

            tables = self._tables[face, wanted] = list(tables_of(self.rules, face=face, wanted=wanted))
        found = [number for table in tables for number in table(request)]
        return [self.rules[number] for number in (sorted(found) if len(tables) > 1 else found)]
