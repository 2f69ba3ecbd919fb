"""Comparisons: equality, order and tests of sets; the other operators have modules of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from authz.lang import ast, checked
from authz.lang.check.agreement import check_options, common_kind, same_items
from authz.lang.check.membership import membership
from authz.lang.check.patterns import like_or_under, matches
from authz.lang.check.typed import Typed, noun, unknown
from authz.lang.checked import Place
from authz.lang.types import BOOL, ORDERED, SCALARS, kind_of

if TYPE_CHECKING:
    from authz.lang.check.checker import Checker
    from authz.lang.source import Source


def compare(check: Checker, written: ast.Compare, source: Source) -> Typed:
    """Check a comparison; a negated operator is `not` before the other (L32)."""
    op, left, right = written.op, written.left, written.right
    place = Place(source, written.span)
    if op in {"!=", "not in", "not like"}:
        positive = {"!=": "==", "not in": "in", "not like": "like"}[op]
        result = compare(check, written._replace(op=cast("ast.CompareOp", positive)), source)
        return result._replace(node=checked.Not(result.node, place))
    match op:
        case "in":
            result = membership(check, left, right, source, place)
        case "like" | "under":
            result = like_or_under(check, op, left, right, source, place)
        case "matches":
            result = matches(check, left, right, source, place)
        case _:
            result = _by_value(check, op, check.value(left, source), check.value(right, source), place)
    return result._replace(terms=result.terms + 1)


def _by_value(check: Checker, op: str, left: Typed, right: Typed, place: Place) -> Typed:
    """Compare two values by `==`, an order or a test of sets."""
    if op == "==":
        return _equal(check, left, right, place)
    if op in {"subset of", "intersects"}:
        return _set_test(check, op, left, right, place)
    kind = common_kind(check, left, right, place)
    if kind is None:
        return unknown(place)
    if kind not in ORDERED | {"dynamic"}:
        return check.mismatch(f"{noun(left.type)} has no order", place, "numbers, times and durations can be ordered")
    return check.of(checked.Order(op, left.node, right.node, kind, place), BOOL, [left, right])  # type: ignore[arg-type]  # the operators left over


def _equal(check: Checker, left: Typed, right: Typed, place: Place) -> Typed:
    """Compare scalars, or sets of them."""
    kind = common_kind(check, left, right, place)
    if kind is None:
        return unknown(place)
    if kind not in SCALARS | {"set", "dynamic"}:
        return check.mismatch(f"{noun(left.type)} cannot be compared", place, "compare its attributes")
    if kind == "set" and not same_items(check, left.type, right.type, place):
        return unknown(place)
    check_options(check, left, right)
    check_options(check, right, left)
    return check.of(checked.Equal(left.node, right.node, kind, place), BOOL, [left, right])


def _set_test(check: Checker, op: str, left: Typed, right: Typed, place: Place) -> Typed:
    """Compare two sets by `subset of` or `intersects`."""
    for side in (left, right):
        if kind_of(side.type) not in {"set", "dynamic"}:
            return check.mismatch(f"`{op}` compares sets, and this is {noun(side.type)}", side.node.place)
    if not same_items(check, left.type, right.type, place):
        return unknown(place)
    check_options(check, left, right)
    check_options(check, right, left)
    node = checked.SetTest("subset of" if op == "subset of" else "intersects", left.node, right.node, place)
    return check.of(node, BOOL, [left, right])
