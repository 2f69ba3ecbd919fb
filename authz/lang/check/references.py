"""References: a root of L30 or a `let`, and the steps from it to an attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lang import ast, checked
from authz.lang.check.attributes import BUILTINS, STRINGS, attribute_type, declared, no_attributes, unknown_attribute
from authz.lang.check.typed import Typed, noun, unknown
from authz.lang.checked import Place
from authz.lang.diagnostics import near
from authz.lang.symbols import ROOTS
from authz.lang.types import DYNAMIC, STRING, TIME, Type, kind_of

if TYPE_CHECKING:
    from authz.lang.check.checker import Checker
    from authz.lang.source import Source


def reference(check: Checker, written: ast.Reference, source: Source) -> Typed:
    """Check a reference (L30)."""
    root, steps = written.root.text, written.steps
    place = Place(source, written.span)
    if root not in ROOTS:
        return _let_reference(check, written, source)
    if root in {"scopes", "roles", "tenant", "now"}:
        if steps:
            return no_attributes(check, f"`{root}`", steps[0], source)
        if root in {"scopes", "roles"}:
            return Typed(checked.Held("scopes" if root == "scopes" else "roles", STRINGS, place), STRINGS)
        type_ = TIME if root == "now" else STRING
        return Typed(checked.Builtin(root, type_, place), type_)
    if not steps:
        check.error(
            "not-a-value",
            f"`{root}` is not a value by itself",
            source,
            written.span,
            f"name an attribute of it, such as `{root}.{next(iter(BUILTINS.get(root, {'name': 0})))}`",
        )
        return unknown(place)
    return _attribute(check, root, steps, source, place)


def _let_reference(check: Checker, written: ast.Reference, source: Source) -> Typed:
    """Put in what a `let` names (L15)."""
    name = written.root.text
    let = check.symbols.let(name, check.scope.section)
    place = Place(source, written.span)
    if let is None:
        visible = [key for key, section in check.symbols.lets if section in {None, check.scope.section}]
        check.report.unless_gaps(
            "unknown-name",
            f"there is no name `{name}`",
            Place(source, written.root.span),
            near(name, [*ROOTS, *visible, "true", "false"]) or "declare it with `let`, or quote it if it is text",
        )
        return unknown(place)
    if let in check.open_lets:  # a cycle, which check_let_cycles() has reported
        return unknown(place)
    if let not in check.lets:
        check.open_lets.append(let)
        check.lets[let] = check.let(let)
        check.open_lets.pop()
    result = check.lets[let]
    return _continue_let(check, result, written, source) if written.steps else result


def _continue_let(check: Checker, base: Typed, written: ast.Reference, source: Source) -> Typed:
    """Read an attribute of what a `let` names, as if the `let` were written out."""
    if isinstance(base.node, (checked.Read, checked.Follow)):
        return _steps(check, base.node, base.type, written.steps, source, Place(source, written.span))
    return no_attributes(check, f"`{written.root.text}`", written.steps[0], source)


def _attribute(
    check: Checker, root: str, steps: tuple[ast.Attribute | ast.Index, ...], source: Source, place: Place
) -> Typed:
    """Read an attribute of `subject`, `client`, `tool`, `resource`, `args` or `context`."""
    first, rest = steps[0], steps[1:]
    name = _name_of(first)
    builtin = BUILTINS.get(root, {}).get(name or "")
    if builtin is not None:
        if rest:
            return no_attributes(check, f"`{root}.{name}`", rest[0], source)
        return Typed(checked.Builtin(f"{root}.{name}", builtin, place), builtin)
    if root == "tool":
        return unknown_attribute(check, "a tool", name or "", BUILTINS["tool"], first, source)
    if name is None:
        read = checked.Read(root, (), DYNAMIC, place)  # type: ignore[arg-type]  # the roots left over have attributes
        if declared(check, root) is not None:
            check.error(
                "not-a-map",
                f"the attributes of `{root}` are declared: a key must be a literal",
                source,
                first.span,
                "name the attribute, or declare a `map` and look the key up in it",
            )
            return unknown(place)
        return _steps(check, read, DYNAMIC, steps, source, place)
    if root == "subject" and name == "groups":
        type_ = STRINGS
    elif (found := attribute_type(check, root, name, first, source)) is not None:
        type_ = found
    else:
        return unknown(place)
    read = checked.Read(root, (name,), type_, place)  # type: ignore[arg-type]  # as above
    return _steps(check, read, type_, rest, source, place)


def _steps(
    check: Checker,
    read: checked.Read | checked.Follow,
    type_: Type,
    steps: tuple[ast.Attribute | ast.Index, ...],
    source: Source,
    place: Place,
) -> Typed:
    """Follow the steps after an attribute."""
    node = read._replace(place=place)
    parts: list[Typed] = []
    for step in steps:
        name = _name_of(step)
        match type_.kind:
            case "record" if name is not None and (field := type_.field(name)) is not None:
                type_ = field.type
            case "record":
                return unknown_attribute(check, "this record", name or "", [f.name for f in type_.fields], step, source)
            case "map":
                type_ = type_.item or DYNAMIC
            case "ref" if name == "id":
                type_ = STRING
                continue
            case "ref":
                node = checked.Follow(node._replace(type=type_), type_.target, (), type_, place)
                type_ = _referenced(check, type_, name, step, source)
            case "dynamic":
                type_ = DYNAMIC
            case "any":
                return unknown(place)
            case _:
                return no_attributes(check, noun(type_), step, source)
        if isinstance(step, ast.Index) and name is None:
            key = check.value(step.key, source)
            if kind_of(key.type) not in {"string", "dynamic"}:
                check.mismatch(f"a key is a string, and this is {noun(key.type)}", Place(source, step.key.span))
            parts.append(key)
            node = node._replace(keys=(*node.keys, key.node))
        else:
            node = node._replace(keys=(*node.keys, name or ""))
    return check.of(node._replace(type=type_), type_, parts, deeper=1 if parts else 0)


def _referenced(check: Checker, type_: Type, name: str | None, step: ast.Attribute | ast.Index, source: Source) -> Type:
    """Return the type of an attribute of a referenced entity (L12); one that is wrong and reported fits everywhere."""
    fields = (
        check.symbols.shapes.get("subject") if type_.target == "subject" else check.symbols.resources.get(type_.target)
    )
    field = next((f for f in fields or () if f.name == name), None)
    if fields is not None and field is None and not check.report.gaps:
        return unknown_attribute(check, f"`{type_.target}`", name or "", [f.name for f in fields], step, source).type
    return field.type if field is not None else DYNAMIC


def _name_of(step: ast.Attribute | ast.Index) -> str | None:
    """Return the name a step asks for, or None for a computed key (L31)."""
    if isinstance(step, ast.Attribute):
        return step.name
    return step.key.value if isinstance(step.key, ast.StringLiteral) else None
