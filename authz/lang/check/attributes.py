"""The attributes that a policy may read: those that every request has, and those that shapes declare (L13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.lang import ast
from authz.lang.check.typed import Typed, noun, unknown
from authz.lang.checked import Place
from authz.lang.diagnostics import near
from authz.lang.types import BOOL, DYNAMIC, STRING, Type, set_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.lang.check.checker import Checker
    from authz.lang.source import Source

STRINGS: Final = set_of(STRING)
BUILTINS: Final = {
    "subject": {"id": STRING},
    "client": {"id": STRING},
    "resource": {"type": STRING, "id": STRING, "tenant": STRING, "ancestors": STRINGS},
    "tool": {
        "name": STRING,
        "server": STRING,
        "tags": STRINGS,
        "read_only": BOOL,
        "destructive": BOOL,
        "idempotent": BOOL,
        "open_world": BOOL,
    },
}


def declared(check: Checker, root: str) -> object:
    """Return what is declared of the attributes of a root, or None where nothing is."""
    if root == "args":
        return check.scope.arguments
    if root == "resource":
        return check.scope.types or None
    return check.symbols.shapes.get(root)


def attribute_type(
    check: Checker, root: str, name: str, step: ast.Attribute | ast.Index, source: Source
) -> Type | None:
    """Return the type of a first-level attribute, or None where it is wrong and reported (L13)."""
    if root == "resource":
        return _resource_attribute_type(check, name, step, source)
    fields = check.scope.arguments if root == "args" else check.symbols.shapes.get(root)
    if fields is None:
        return DYNAMIC
    for field in fields:
        if field.name == name:
            return field.type
    what = "this block" if root == "args" else f"`{root}`"
    kind = "argument" if root == "args" else "attribute"
    check.report.unless_gaps(
        "unknown-attribute",
        f"{what} has no {kind} `{name}`",
        Place(source, step.span),
        near(name, (field.name for field in fields)) or "declare it, or remove it here",
    )
    return None if not check.report.gaps else DYNAMIC


def _resource_attribute_type(check: Checker, name: str, step: ast.Attribute | ast.Index, source: Source) -> Type | None:
    """Return the type that all resource types in scope give an attribute, or None as above."""
    types = check.scope.types
    if not types or check.report.gaps:
        return DYNAMIC
    having = [(t, f.type) for t in types for f in check.symbols.resources[t] if f.name == name]
    missing = [t for t in types if t not in {t for t, _ in having}]
    if not having or (check.scope.every and missing):
        known = [f.name for t in types for f in check.symbols.resources[t]]
        what = f"resource `{missing[0]}`" if len(types) == 1 or having else "no declared resource"
        verb = "has no attribute" if what.startswith("resource") else "has an attribute"
        check.error(
            "unknown-attribute",
            f"{what} {verb} `{name}`",
            source,
            step.span,
            near(name, known) or "declare it, or remove it here",
        )
        return None
    if any(type_ != having[0][1] for _, type_ in having):
        shown = " and ".join(f"{noun(type_)} in `{t}`" for t, type_ in having[:3])
        check.error(
            "conflicting-types",
            f"`{name}` is {shown}",
            source,
            step.span,
            "say with `on` which resources are meant, or give the attribute one type",
        )
        return None
    return having[0][1]


def unknown_attribute(
    check: Checker, what: str, name: str, known: Iterable[str], step: ast.Attribute | ast.Index, source: Source
) -> Typed:
    """Report a name that nothing declares."""
    check.error("unknown-attribute", f"{what} has no attribute `{name}`", source, step.span, near(name, known))
    return unknown(Place(source, step.span))


def no_attributes(check: Checker, what: str, step: ast.Attribute | ast.Index, source: Source) -> Typed:
    """Report a step into a value that has no parts."""
    check.error("unknown-attribute", f"{what} has no attributes", source, step.span, "leave this out")
    return unknown(Place(source, step.span))
