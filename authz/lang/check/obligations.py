"""Obligations: a name and literal parameters (L22)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lang import ast
from authz.lang.checked import Place
from authz.model import Obligation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.lang.source import Source
    from authz.lang.symbols import Reporter
    from authz.model import Value


def read_obligation(clause: ast.ObligationClause, source: Source, report: Reporter) -> Obligation:
    """Read an obligation; each parameter is given once."""
    parameters: dict[str, Value] = {}
    for parameter in clause.parameters:
        if parameter.name.text in parameters:
            report.error(
                "duplicate-declaration",
                f"`{parameter.name.text}` is given twice",
                Place(source, parameter.name.span),
                "leave one of them out",
            )
        parameters[parameter.name.text] = _literal(parameter.value, source, report)
    return Obligation(clause.name.value, parameters)


def _literal(value: ast.Expr, source: Source, report: Reporter) -> Value:
    """Return the value of a parameter, None where it is no literal and reported."""
    match value:
        case ast.StringLiteral(text) | ast.DurationLiteral(text=text):
            return text
        case ast.NumberLiteral(number):
            return number
        case ast.BoolLiteral(truth):
            return truth
        case ast.SetLiteral(items):
            return [_literal(item, source, report) for item in items]
        case _:
            report.error(
                "not-a-literal",
                "an obligation takes literals only",
                Place(source, value.span),
                "write a string, number, bool, duration or set of these",
            )
            return None


def unique(obligations: Iterable[Obligation]) -> tuple[Obligation, ...]:
    """Keep the first of equal obligations."""
    kept: list[Obligation] = []
    for obligation in obligations:
        if obligation not in kept:
            kept.append(obligation)
    return tuple(kept)
