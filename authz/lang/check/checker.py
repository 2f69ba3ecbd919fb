"""Expressions as written → expressions of the core, every name resolved and every type known.

One `Checker` stands for one place where conditions mean the same: a tool block, or a derived
role. A `let` is checked at each such place, because its text means there what it would mean if it
were written out (L15); within one place it is checked once and shared. What each kind of
expression asks for is said by the modules that `Checker.any` names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from authz.lang import ast, checked
from authz.lang.check import calls, comparisons, literals, operators, references
from authz.lang.check.typed import Typed, noun, unknown
from authz.lang.checked import Core, Place
from authz.lang.types import ANY, BOOL, CIDR, Type, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.lang.limits import Limits
    from authz.lang.source import Source
    from authz.lang.symbols import LetKey, Reporter, Symbols
    from authz.lang.types import FieldType


class Scope(NamedTuple):
    """Where a condition stands: what its block says of arguments and resource types.

    `arguments` is None where none are declared. `types` are the declared resource types it may
    meet; `every` says that an attribute must be declared by all of them.
    """

    section: int | None
    arguments: tuple[FieldType, ...] | None
    types: tuple[str, ...]
    every: bool


class Checker:
    """Checks the expressions of one scope."""

    def __init__(self, symbols: Symbols, scope: Scope, limits: Limits, report: Reporter) -> None:
        """Check against `symbols`, reporting to `report`."""
        self.symbols = symbols
        self.scope = scope
        self.limits = limits
        self.report = report
        self.lets: dict[LetKey, Typed] = {}
        self.open_lets: list[LetKey] = []

    def condition(self, written: ast.Expr, source: Source) -> Core:
        """Check a whole condition: of type bool, or of none that is known (L50)."""
        result = self.truth(written, source)
        if result.terms > self.limits.condition_terms:
            self.report.error(
                "condition-too-long",
                f"this condition has more than {self.limits.condition_terms} terms, `let`s included",
                Place(source, written.span),
                "split the rule, or use a set and `in`",
            )
        return result.node

    def let(self, key: LetKey) -> Typed:
        """Check a `let` as it would be checked where it is used."""
        let = self.symbols.lets[key]
        return self.value(let.declaration.value, let.source)

    def truth(self, written: ast.Expr, source: Source) -> Typed:
        """Check a condition, or a part of one: of type bool, or of none that is known (L50)."""
        result = self.any(written, source)
        if kind_of(result.type) not in {"bool", "dynamic"}:
            self.error(
                "not-a-condition",
                f"this is {noun(result.type)}, not a condition",
                source,
                written.span,
                "compare it with something",
            )
        return result._replace(terms=max(result.terms, 1))

    def any(self, written: ast.Expr, source: Source) -> Typed:
        """Check any expression but those that only stand in special places."""
        place = Place(source, written.span)
        match written:
            case ast.And(items) | ast.Or(items):
                parts = [self.truth(item, source) for item in items]
                nodes = tuple(part.node for part in parts)
                node = checked.And(nodes, place) if isinstance(written, ast.And) else checked.Or(nodes, place)
                return self.of(node, BOOL, parts)
            case ast.Not(operand):
                part = self.truth(operand, source)
                return self.of(checked.Not(part.node, place), BOOL, [part], deeper=1)
            case ast.If():
                return operators.choice(self, written, source)
            case ast.Compare():
                return comparisons.compare(self, written, source)
            case ast.Chain():
                self.error(
                    "chained-comparison",
                    "comparisons do not chain",
                    source,
                    written.span,
                    "join two comparisons with `and`, or put one in brackets",
                )
                return unknown(place, terms=1)
            case ast.Has(operand, path):
                return operators.has(self, operand, path, source, place)
            case ast.Coalesce(items):
                return operators.coalesce(self, items, source, place)
            case ast.Sum():
                return operators.addition(self, written, source)
            case ast.Call():
                return calls.call(self, written, source)
            case ast.Reference():
                return references.reference(self, written, source)
            case ast.Range():
                self.error(
                    "misplaced-range",
                    "a range stands only on the right of `in`",
                    source,
                    written.span,
                    "ask with `in`, as in `context.risk in 0..50`",
                )
                return unknown(place)
            case _:
                return literals.literal(self, written, source)

    def value(self, written: ast.Expr, source: Source) -> Typed:
        """Check an expression that gives a value: any but a network, which only `in` takes."""
        result = self.any(written, source)
        if result.type is CIDR:
            self.error(
                "misplaced-cidr",
                "`cidr` stands only on the right of `in`",
                source,
                written.span,
                'ask with `in`, as in `context.ip in cidr("10.0.0.0/8")`',
            )
            return result._replace(type=ANY, node=checked.Unknown(ANY, Place(source, written.span)))
        return result

    def of(self, node: Core, type_: Type, parts: Iterable[Typed], deeper: int = 0) -> Typed:
        """Add up what the parts cost; past a limit the whole is reported once and put out of the way."""
        parts = tuple(parts)
        terms = sum(part.terms for part in parts)
        depth = max((part.depth for part in parts), default=0) + deeper
        if depth > self.limits.nesting:
            self.error(
                "nesting-too-deep",
                f"this nests deeper than {self.limits.nesting} levels once `let`s are put in",
                node.place.source,
                node.place.span,
                "join conditions with `and` and `or`, which do not nest",
            )
            return unknown(node.place, terms=1)
        return Typed(node, type_, terms, depth)

    def error(self, code: str, message: str, source: Source, span: ast.Span, help_: str = "") -> None:
        """Report an error."""
        self.report.error(code, message, Place(source, span), help_)

    def mismatch(self, message: str, place: Place, help_: str = "") -> Typed:
        """Report that types do not fit, and stand in for the result."""
        self.report.error("type-mismatch", message, place, help_)
        return unknown(place, terms=1)
