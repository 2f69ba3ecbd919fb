"""The arguments that a policy declares and reads, held against the schemas of the tools that it does so for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from authz.lang import ast
from authz.lang.checked import Place
from authz.lang.diagnostics import Diagnostic, Severity, near
from authz.lang.types import NAMED
from authz.pap.catalogue.schemas import shape_at, shape_of
from authz.pap.catalogue.uses import JSON_KINDS, uses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from authz.lang.checked import Core
    from authz.lang.source import Source
    from authz.pap.catalogue.schemas import Shape
    from authz.pap.catalogue.tools import Tool
    from authz.pap.catalogue.uses import Use

MAX_NAMED: Final = 3
"""Tools that one finding names; the others are counted."""
MAX_LISTED: Final = 6
"""Arguments or values that a help lists."""


class Schemas:
    """The schemas of a catalogue, each argument of each tool looked up once."""

    def __init__(self) -> None:
        """Start with nothing looked up."""
        self._known: dict[tuple[str, tuple[str, ...]], Shape | None] = {}

    def at(self, tool: Tool, path: tuple[str, ...]) -> Shape | None:
        """Return what an argument of a tool may be; None where it certainly has none."""
        key = (tool.name, path)
        if key not in self._known:
            self._known[key] = shape_at(tool.schema, path)
        return self._known[key]

    def with_argument(self, tools: Iterable[Tool], path: tuple[str, ...]) -> tuple[tuple[Tool, Shape], ...]:
        """Return the tools that may have an argument, and what it may be."""
        found = ((tool, self.at(tool, path)) for tool in tools)
        return tuple((tool, shape) for tool, shape in found if shape is not None)

    def names_beside(self, tools: Iterable[Tool], path: tuple[str, ...]) -> set[str]:
        """Return the arguments that there are where one was looked for in vain."""
        return {name for _, shape in self.with_argument(tools, path[:-1]) for name in shape.members}


class Subject(NamedTuple):
    """The tools that some text of the policy is about, and how to speak of them."""

    tools: tuple[Tool, ...]
    they: str


def _warning(code: str, message: str, place: Place, help_: str) -> Diagnostic:
    return Diagnostic(code, message, place.source, place.span, help_, severity=Severity.WARNING)


def named(tools: Sequence[Tool]) -> str:
    """Return the names of tools in backticks, and no more of them than fit a line."""
    shown = [f"`{tool.name[:60]}`" for tool in tools]
    if len(shown) <= MAX_NAMED:
        return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
    return f"{', '.join(shown[:MAX_NAMED])} and {len(shown) - MAX_NAMED} more"


# --- Declared -------------------------------------------------------------------------------


def declared(block: ast.ToolBlock, source: Source, subject: Subject, schemas: Schemas) -> Iterator[Diagnostic]:
    """Warn of declared arguments that no tool of the block has, or that are of another type."""
    for field in block.arguments or ():
        yield from _field(field, (), source, subject, schemas)


def _field(
    field: ast.Field, before: tuple[str, ...], source: Source, subject: Subject, schemas: Schemas
) -> Iterator[Diagnostic]:
    path = (*before, field.name.text)
    having = schemas.with_argument(subject.tools, path)
    if not having:
        yield _unknown(path, Place(source, field.name.span), subject, schemas)
        return
    yield from _type(field.type, path, source, having)
    if isinstance(field.type, ast.RecordType):
        for inner in field.type.fields:
            yield from _field(inner, path, source, subject._replace(tools=tuple(t for t, _ in having)), schemas)


def _type(
    written: ast.TypeExpr, path: tuple[str, ...], source: Source, having: Sequence[tuple[Tool, Shape]]
) -> Iterator[Diagnostic]:
    kind = _written_kind(written)
    place = Place(source, written.span)
    what = f"`{'.'.join(path)[:60]}` is declared as {_a(kind)}"
    yield from _mismatch(kind, what, place, having)
    if isinstance(written, ast.SetType):
        of_items = [(tool, shape_of(shape.items, tool.schema)) for tool, shape in having if "array" in shape.kinds]
        item = _written_kind(written.item)
        yield from _mismatch(
            item, f"the members of `{'.'.join(path)[:60]}` are declared as {_a(item)}", place, of_items
        )
    if isinstance(written, ast.UnionType):
        for option in written.options:
            yield from _value(option.value, Place(source, option.span), [shape for _, shape in having])


def _written_kind(written: ast.TypeExpr) -> str:
    match written:
        case ast.NamedType(name):
            return name if name in NAMED else ""
        case ast.UnionType():
            return "union"
        case ast.SetType():
            return "set"
        case ast.MapType():
            return "map"
        case ast.RefType():
            return "ref"
        case ast.RecordType():
            return "record"


# --- Read -----------------------------------------------------------------------------------


def read(condition: Core, subject: Subject, schemas: Schemas, *, typed: bool, allows: bool) -> Iterator[Diagnostic]:
    """Warn of arguments that a condition reads and no tool has, or that it reads as what they are not.

    `typed` says that the block declares its arguments, so that `declared` has looked at them; `allows` that the
    condition has to be true for a call to be allowed.
    """
    found = tuple(uses(condition))
    guarded = {use.path for use in found if use.guarded}
    for use in found:
        having = schemas.with_argument(subject.tools, use.path)
        if not having:
            if not typed:
                yield _unknown(use.path, use.read.place, subject, schemas)
            continue
        if use.whole:
            yield from _wanted(use, having, typed=typed)
            if allows and use.path not in guarded and use.path:
                yield from _optional(use, having, schemas)


def _wanted(use: Use, having: Sequence[tuple[Tool, Shape]], *, typed: bool) -> Iterator[Diagnostic]:
    place, kind = use.read.place, use.wanted.kind
    if not typed:
        yield from _mismatch(kind, f"`{_named_by(use)}` is read as {_a(kind)}", place, having)
    shapes = [shape for _, shape in having]
    if kind == "set":
        members = _members(having)
        shapes = [shape for _, shape in members]
        if not typed:
            item = use.wanted.item
            yield from _mismatch(item, f"a member of `{_named_by(use)}` is read as {_a(item)}", place, members)
    for value in sorted(use.wanted.texts):
        yield from _value(value, place, shapes)


def _named_by(use: Use) -> str:
    return ".".join(("args", *use.path))[:60]


def _optional(use: Use, having: Sequence[tuple[Tool, Shape]], schemas: Schemas) -> Iterator[Diagnostic]:
    *before, name = use.path
    outside = [schemas.at(tool, tuple(before)) for tool, _ in having]
    if all(shape is not None and shape.named and not shape.open and name not in shape.required for shape in outside):
        yield _warning(
            "schema-optional-argument",
            f"`{_named_by(use)}` may be left out, and then this allow does not apply",
            use.read.place,
            f"if a call without it is meant too, say `… ?? …`, or `not (… has {name}) or …`",
        )


# --- Findings -------------------------------------------------------------------------------


def _unknown(path: tuple[str, ...], place: Place, subject: Subject, schemas: Schemas) -> Diagnostic:
    known = sorted(schemas.names_beside(subject.tools, path))
    return _warning(
        "schema-unknown-argument",
        f"{subject.they} argument `{'.'.join(path)[:60]}`",
        place,
        near(path[-1], known) or (f"there are {_listed(known)}" if known else "leave it out"),
    )


def _mismatch(kind: str, what: str, place: Place, having: Sequence[tuple[Tool, Shape]]) -> Iterator[Diagnostic]:
    wanted = JSON_KINDS.get(kind, "")
    other = [(tool, shape) for tool, shape in having if wanted and wanted not in shape.kinds]
    if other:
        tools = [tool for tool, _ in other]
        kinds = sorted({kind for _, shape in other for kind in shape.kinds} - {"null"}) or ["null"]
        yield _warning(
            "schema-type-mismatch",
            f"{what}, and the schema of {named(tools)} says {' or '.join(kinds)}",
            place,
            "nothing is converted: a value of another type is unknown, which no allow accepts and every deny heeds",
        )


def _value(value: str, place: Place, shapes: Sequence[Shape]) -> Iterator[Diagnostic]:
    texts = [shape.values for shape in shapes if "string" in shape.kinds]
    if texts and all(values is not None and value not in values for values in texts):
        known = sorted(set().union(*(values or () for values in texts)))
        yield _warning(
            "schema-value-mismatch",
            f"`{value[:60]}` is none of the values that the schema knows",
            place,
            near(value, known) or (f"they are {_listed(known)}" if known else "it knows none"),
        )


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"`{word[:40]}`" for word in words[:MAX_LISTED]) + (", …" if len(words) > MAX_LISTED else "")


def _members(having: Sequence[tuple[Tool, Shape]]) -> list[tuple[Tool, Shape]]:
    """Return what the members of an argument may be, where it is a list."""
    return [(tool, shape_of(shape.items, tool.schema)) for tool, shape in having if "array" in shape.kinds]


def _a(kind: str) -> str:
    word = "string" if kind in {"union", "ref"} else kind
    return f"{'an' if word == 'ip' else 'a'} {word}"
