"""Literals: values as they are written, and sets of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from authz.lang import ast, checked
from authz.lang.check.typed import Typed, noun
from authz.lang.checked import Place
from authz.lang.types import BOOL, DURATION, DYNAMIC, NUMBER, STRING, set_of

if TYPE_CHECKING:
    from authz.lang.check.checker import Checker
    from authz.lang.source import Source


def literal(check: Checker, written: ast.Expr, source: Source) -> Typed:
    """Take a literal as the value it stands for."""
    place = Place(source, written.span)
    match written:
        case ast.StringLiteral(value):
            return Typed(checked.Const(value, STRING, place), STRING)
        case ast.NumberLiteral(value):
            return Typed(checked.Const(value, NUMBER, place), NUMBER)
        case ast.BoolLiteral(value):
            return Typed(checked.Const(value, BOOL, place), BOOL)
        case ast.DurationLiteral(value):
            return Typed(checked.Const(value, DURATION, place), DURATION)
        case ast.SetLiteral(items):
            return _set_literal(check, items, source, place)
    raise AssertionError(written)


def _set_literal(check: Checker, items: tuple[ast.Expr, ...], source: Source, place: Place) -> Typed:
    """Check a set: literals only, and all of one type."""
    parts: list[checked.Const] = []
    for item in items:
        if not isinstance(item, (ast.StringLiteral, ast.NumberLiteral, ast.BoolLiteral, ast.DurationLiteral)):
            check.error("not-a-literal", "a set holds literals only", source, item.span, "join comparisons with `or`")
            continue
        part = cast("checked.Const", literal(check, item, source).node)
        if parts and part.type != parts[0].type:
            check.mismatch(
                f"this set holds {noun(parts[0].type)} and {noun(part.type)}",
                part.place,
                "a set holds literals of one type",
            )
            continue
        parts.append(part)
    type_ = set_of(parts[0].type if parts else DYNAMIC)
    return Typed(checked.Const(frozenset(part.value for part in parts), type_, place), type_)
