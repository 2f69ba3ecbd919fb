"""What is neither comparison nor call: `has`, `??`, `if`, and sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.lang import ast, checked
from authz.lang.check.agreement import check_options
from authz.lang.check.references import reference
from authz.lang.check.typed import Typed, noun, unknown
from authz.lang.checked import Place
from authz.lang.types import ANY, BOOL, DURATION, DYNAMIC, NUMBER, ORDERED, TIME, Type, kind_of

if TYPE_CHECKING:
    from authz.lang.check.checker import Checker
    from authz.lang.source import Source

_ATTRIBUTES: Final = (checked.Read, checked.Follow, checked.Builtin, checked.Unknown)


def has(check: Checker, operand: ast.Expr, path: tuple[ast.Name, ...], source: Source, place: Place) -> Typed:
    """Check `has`, which asks for one attribute."""
    if not isinstance(operand, ast.Reference):
        return _not_an_attribute(check, operand, source, place)
    steps = (*operand.steps, *(ast.Attribute(name.text, name.span) for name in path))
    result = reference(check, ast.Reference(operand.root, steps, place.span), source)
    if not isinstance(result.node, _ATTRIBUTES):
        return _not_an_attribute(check, operand, source, place)
    return check.of(checked.Has(result.node, place), BOOL, [result])._replace(terms=result.terms + 1)


def _not_an_attribute(check: Checker, operand: ast.Expr, source: Source, place: Place) -> Typed:
    """Report a `has` that asks for anything else."""
    check.error(
        "not-an-attribute",
        "`has` asks for an attribute",
        source,
        operand.span,
        "write it as in `context has mfa`",
    )
    return unknown(place, terms=1)


def coalesce(check: Checker, items: tuple[ast.Expr, ...], source: Source, place: Place) -> Typed:
    """Check `??`: attributes, then anything of their type."""
    parts = [check.value(item, source) for item in items]
    for part, item in zip(parts[:-1], items, strict=False):
        if part.type != ANY and not isinstance(part.node, _ATTRIBUTES):
            check.error(
                "not-an-attribute",
                "the left of `??` is not an attribute",
                source,
                item.span,
                "write `??` right after the attribute that may be missing",
            )
    kinds = {kind_of(part.type) for part in parts} - {"dynamic"}
    if len(kinds) > 1:
        shown = " and ".join(noun(part.type) for part in parts)
        return check.mismatch(f"`??` joins values of one type, and these are {shown}", place)
    for part in parts[:-1]:
        check_options(check, part, parts[-1])
    type_ = next((part.type for part in reversed(parts) if kind_of(part.type) != "dynamic"), DYNAMIC)
    result = check.of(checked.Coalesce(tuple(part.node for part in parts), type_, place), type_, parts)
    return result._replace(terms=result.terms + len(parts))


def choice(check: Checker, written: ast.If, source: Source) -> Typed:
    """Check `if`: both sides of one type."""
    condition = check.truth(written.condition, source)
    yes, no = check.value(written.yes, source), check.value(written.no, source)
    place = Place(source, written.span)
    kinds = {kind_of(yes.type), kind_of(no.type)} - {"dynamic"}
    if len(kinds) > 1:
        return check.mismatch(
            f"`if` gives {noun(yes.type)} or {noun(no.type)}", place, "both sides must be of one type"
        )
    type_ = yes.type if kind_of(yes.type) != "dynamic" else no.type
    node = checked.If(condition.node, yes.node, no.node, type_, place)
    return check.of(node, type_, [condition, yes, no], deeper=1)


def addition(check: Checker, written: ast.Sum, source: Source) -> Typed:
    """Check a chain of `+` and `-` (L31)."""
    place = Place(source, written.span)
    total = check.value(written.first, source)
    parts = [total]
    operands = [(1, total.node)]
    kind = kind_of(total.type)
    for term in written.rest:
        part = check.value(term.operand, source)
        parts.append(part)
        operands.append((1 if term.sign == "+" else -1, part.node))
        running = _sum_kind(kind, term.sign, kind_of(part.type))
        if running is None:
            return check.mismatch(
                f"`{term.sign}` has no meaning between {noun(Type(kind))} and {noun(part.type)}",
                Place(source, term.span),
                "numbers go with numbers, durations with times and durations",
            )
        kind = running
    type_ = {"number": NUMBER, "time": TIME, "duration": DURATION}.get(kind, ANY)
    result = check.of(checked.Sum(tuple(operands), type_, place), type_, parts)
    return result._replace(terms=result.terms + len(parts))


def _sum_kind(left: str, sign: str, right: str) -> str | None:
    """Return the kind of a sum (L31), or None where it has no meaning."""
    if "dynamic" in {left, right}:
        known = ({left, right} - {"dynamic"} or {"number"}).pop()
        if known == "number":
            return "number"
        return "dynamic" if known in ORDERED else None  # an undeclared value is never a time or duration: unknown
    table = {
        ("number", "+", "number"): "number",
        ("number", "-", "number"): "number",
        ("duration", "+", "duration"): "duration",
        ("duration", "-", "duration"): "duration",
        ("time", "+", "duration"): "time",
        ("time", "-", "duration"): "time",
        ("time", "-", "time"): "duration",
    }
    return table.get((left, sign, right))
