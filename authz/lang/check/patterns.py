"""Patterns: `like` and `under` with values inserted (L34), and `matches` with RE2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from authz.lang import ast, checked
from authz.lang.check.typed import Typed, noun, unknown
from authz.lang.checked import Core, Place
from authz.lang.parser import parse_expression
from authz.lang.types import BOOL, kind_of
from authz.lang.values import split_path

if TYPE_CHECKING:
    from authz.lang.check.checker import Checker
    from authz.lang.source import Source


def like_or_under(check: Checker, op: str, left: ast.Expr, right: ast.Expr, source: Source, place: Place) -> Typed:
    """Check `like` or `under`, whose right side is text with values inserted (L34)."""
    operand = _operand(check, left, op, source)
    text = _pattern_text(check, right, op, source)
    if text is None:
        return unknown(place)
    right_place = Place(source, right.span)
    parts, inserted = _template(check, text, right_place)
    if op == "like":
        return check.of(checked.Like(operand.node, _pieces(parts), place), BOOL, [operand, *inserted])
    sample = "".join(part if isinstance(part, str) else "x" for part in parts)
    if split_path(sample) is None:
        check.report.error(
            "invalid-path",
            f"`{text[:60]}` is not a normal path",
            right_place,
            "leave out empty, `.` and `..` segments, a slash at the end, backslashes and `%2f`",
        )
    return check.of(checked.Under(operand.node, parts, place), BOOL, [operand, *inserted])


def matches(check: Checker, left: ast.Expr, right: ast.Expr, source: Source, place: Place) -> Typed:
    """Check `matches`, whose right side RE2 has to accept."""
    operand = _operand(check, left, "matches", source)
    pattern = _pattern_text(check, right, "matches", source)
    if pattern is None:
        return unknown(place)
    problem = regex_problem(pattern)
    if problem:
        what, _, where = problem.partition(": ")
        where = where and f" in `{where[:60]}`"
        check.error(
            "invalid-regex",
            f"this is not an RE2 expression: {what}{where}",
            source,
            right.span,
            "RE2 has no back-references and no look-around",
        )
    return check.of(checked.Matches(operand.node, pattern, place), BOOL, [operand])


def regex_problem(pattern: str) -> str:
    """Return what RE2 says of an expression, or "" when it compiles."""
    import re2  # noqa: PLC0415 (only policies with `matches` pay for it)

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it does not compile"
        return reason.decode() if isinstance(reason, bytes) else str(reason)
    return ""


def _operand(check: Checker, written: ast.Expr, op: str, source: Source) -> Typed:
    """Check the left side: a string."""
    operand = check.value(written, source)
    if kind_of(operand.type) not in {"string", "dynamic"}:
        check.mismatch(f"`{op}` tests a string, and this is {noun(operand.type)}", Place(source, written.span))
    return operand


def _pattern_text(check: Checker, written: ast.Expr, op: str, source: Source) -> str | None:
    """Return the right side, which must be written out, or None."""
    if isinstance(written, ast.StringLiteral):
        return written.value
    check.error(
        "pattern-not-literal",
        f"the right side of `{op}` is not written out as a string",
        source,
        written.span,
        "write it in quotes; `{…}` inserts a value" if op != "matches" else "write the expression in quotes",
    )
    return None


def _template(check: Checker, text: str, place: Place) -> tuple[tuple[str | Core, ...], list[Typed]]:
    """Split `a{expr}b` into text and expressions; `{{` and `}}` are the braces themselves (L34)."""
    parts: list[str | Core] = []
    inserted: list[Typed] = []
    literal = ""
    at = 0
    while at < len(text):
        character = text[at]
        if character in "{}" and text[at + 1 : at + 2] == character:
            literal += character
            at += 2
        elif character == "{":
            end = _closing_brace(text, at)
            if end is None:
                check.report.error(
                    "invalid-pattern", "`{` without `}` in this pattern", place, "write `{{` for the brace itself"
                )
                break
            parts.append(literal)
            literal = ""
            value = _insertion(check, text[at + 1 : end], place)
            inserted.append(value)
            parts.append(value.node)
            at = end + 1
        elif character == "}":
            check.report.error(
                "invalid-pattern", "`}` without `{` in this pattern", place, "write `}}` for the brace itself"
            )
            break
        else:
            literal += character
            at += 1
    parts.append(literal)
    return tuple(part for part in parts if part != ""), inserted


def _insertion(check: Checker, text: str, place: Place) -> Typed:
    """Check one expression that a pattern inserts: a string."""
    try:
        value = check.value(_moved(parse_expression(text, check.limits), place.span), place.source)
    except ValueError as error:
        problem = error if text.strip() else "it is empty"
        check.report.error(
            "invalid-pattern",
            f"cannot read `{{{text[:60]}}}` in this pattern: {problem}",
            place,
            "write `{{` for the brace itself",
        )
        return unknown(place)
    if kind_of(value.type) not in {"string", "dynamic"}:
        check.mismatch(f"`{{{text[:60]}}}` inserts {noun(value.type)}, and a pattern takes strings", place)
    return value._replace(terms=value.terms + 1)


def _closing_brace(text: str, at: int) -> int | None:
    """Find the `}` that ends the expression opened at `at`; strings inside may hold braces."""
    quoted = False
    for index in range(at + 1, len(text)):
        character = text[index]
        if character == '"' and text[index - 1] != "\\":
            quoted = not quoted
        elif character == "}" and not quoted:
            return index
    return None


def _moved(written: ast.Expr, span: ast.Span) -> ast.Expr:
    """Give every part of an inserted expression the place of its pattern: its own offsets mean nothing there."""

    def move(node: object) -> object:
        if isinstance(node, ast.Span):
            return span
        if isinstance(node, tuple):
            moved: list[Any] = [move(item) for item in node]
            return type(node)(*moved) if hasattr(node, "_fields") else tuple(moved)
        return node

    return cast("ast.Expr", move(written))


def _pieces(parts: tuple[str | Core, ...]) -> tuple[tuple[str | Core, ...], ...]:
    """Split at each `*` of the text; what is inserted never splits."""
    pieces: list[list[str | Core]] = [[]]
    for part in parts:
        if not isinstance(part, str):
            pieces[-1].append(part)
            continue
        first, *more = part.split("*")
        if first:
            pieces[-1].append(first)
        pieces.extend([[text] if text else [] for text in more])
    return tuple(map(tuple, pieces))
