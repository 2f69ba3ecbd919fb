"""Whether two operands go together: there is no conversion between types (L32)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lang import checked
from authz.lang.check.typed import Typed, listed, noun
from authz.lang.diagnostics import near
from authz.lang.types import SCALARS, Type, kind_of

if TYPE_CHECKING:
    from authz.lang.check.checker import Checker
    from authz.lang.checked import Place


def common_kind(check: Checker, left: Typed, right: Typed, place: Place) -> str | None:
    """Return the kind two operands share, `dynamic` where neither is known, or report (L32)."""
    kinds = {kind_of(left.type), kind_of(right.type)} - {"dynamic"}
    if len(kinds) > 1:
        check.mismatch(
            f"{noun(left.type)} is compared with {noun(right.type)}", place, "there is no conversion between types"
        )
        return None
    return kinds.pop() if kinds else "dynamic"


def check_options(check: Checker, union: Typed, other: Typed) -> None:
    """Refuse a literal that a union does not list (L13)."""
    options = union.type.options or (union.type.item.options if union.type.item else ())
    if not options or not isinstance(other.node, checked.Const):
        return
    values = other.node.value if isinstance(other.node.value, frozenset) else {other.node.value}
    for value in sorted(v for v in values if isinstance(v, str) and v not in options):
        check.report.error(
            "not-in-union",
            f"`{value[:60]}` is not one of {listed(options)}",
            other.node.place,
            near(value, options) or "use one of these, or add it where the attribute is declared",
        )


def same_items(check: Checker, left: Type, right: Type, place: Place) -> bool:
    """Say whether the members of two sets are of one type, or report that they are not (L32)."""
    items = [kind_of(t.item) for t in (left, right) if t.item is not None]
    known = {item for item in items if item != "dynamic"}
    if len(known) > 1 or not known <= SCALARS:
        check.mismatch(f"{noun(left)} is compared with {noun(right)}", place, "there is no conversion between types")
        return False
    return True
