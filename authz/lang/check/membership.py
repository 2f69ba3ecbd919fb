"""`in`: members of sets, ranges and networks, and entities below others (L33)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lang import ast, checked
from authz.lang.check.agreement import check_options
from authz.lang.check.typed import Typed, noun
from authz.lang.types import ANY, BOOL, ORDERED, SCALARS, kind_of

if TYPE_CHECKING:
    from authz.lang.check.checker import Checker
    from authz.lang.checked import Place
    from authz.lang.source import Source


def membership(check: Checker, left: ast.Expr, right: ast.Expr, source: Source, place: Place) -> Typed:
    """Check `in`, whose meaning its right side decides."""
    if isinstance(left, ast.Reference) and not left.steps and left.root.text in {"resource", "subject"}:
        return _in_entity(check, left.root.text, right, source, place)
    item = check.value(left, source)
    if isinstance(right, ast.Range):
        return _in_range(check, item, right, source, place)
    container = check.any(right, source)
    kind = kind_of(item.type)
    match kind_of(container.type):
        case "cidr":
            if kind not in {"ip", "dynamic"}:
                return check.mismatch(
                    f"{noun(item.type)} is not an address", item.node.place, "read a string with `ip(…)`"
                )
            if not isinstance(container.node, checked.Const):
                return Typed(container.node, ANY)
            return check.of(checked.InNetwork(item.node, container.node, place), BOOL, [item])
        case "set" | "dynamic":
            member = kind_of(container.type.item) if container.type.item is not None else "dynamic"
            kinds = {kind, member} - {"dynamic"}
            if len(kinds) > 1 or not kinds <= SCALARS:
                return check.mismatch(
                    f"{noun(item.type)} cannot be a member of {noun(container.type)}",
                    place,
                    "there is no conversion between types",
                )
            check_options(check, item, container)
            if container.type.item is not None:
                check_options(check, container, item)
            node = checked.InSet(item.node, container.node, kinds.pop() if kinds else "dynamic", place)
            return check.of(node, BOOL, [item, container])
        case "string":
            return check.mismatch(
                "`in` needs a set on its right, and this is a string",
                container.node.place,
                "to look inside a string use `contains(…)`",
            )
        case _:
            return check.mismatch(
                f"`in` needs a set on its right, and this is {noun(container.type)}", container.node.place
            )


def _in_range(check: Checker, item: Typed, written: ast.Range, source: Source, place: Place) -> Typed:
    """Check an item against a range: all three of one ordered type."""
    low, high = check.value(written.low, source), check.value(written.high, source)
    kinds = {kind_of(part.type) for part in (item, low, high)} - {"dynamic"}
    if len(kinds) > 1:
        return check.mismatch(
            f"{noun(item.type)} is compared with a range from {noun(low.type)} to {noun(high.type)}",
            place,
            "all three must be of one type",
        )
    kind = kinds.pop() if kinds else "dynamic"
    if kind not in ORDERED | {"dynamic"}:
        return check.mismatch(f"{noun(item.type)} has no order", place, "numbers, times and durations have ranges")
    return check.of(checked.InRange(item.node, low.node, high.node, kind, place), BOOL, [item, low, high])


def _in_entity(check: Checker, root: str, right: ast.Expr, source: Source, place: Place) -> Typed:
    """Check `resource in` or `subject in`, which take entities by name (L33)."""
    entities = check.value(right, source)
    kind = kind_of(entities.type)
    if kind not in {"string", "set", "dynamic"} or (
        entities.type.item and kind_of(entities.type.item) not in {"string", "dynamic"}
    ):
        return check.mismatch(f'`{root} in` needs an entity such as "folder:42", or a set of them', place)
    if isinstance(entities.node, checked.Const):
        values = entities.node.value if kind == "set" else {entities.node.value}
        for value in sorted(values):
            type_, colon, name = value.partition(":")
            if not (type_ and colon and name) or (root == "subject" and type_ != "group"):
                wanted = '`"group:name"`' if root == "subject" else '`"type:id"`'
                check.error(
                    "invalid-entity",
                    f"`{value[:60]}` does not name an entity that can hold the {root}",
                    entities.node.place.source,
                    entities.node.place.span,
                    f"write it as {wanted}",
                )
    node = checked.InEntity("resource" if root == "resource" else "subject", entities.node, place)
    return check.of(node, BOOL, [entities])
