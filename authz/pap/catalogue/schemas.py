"""What a JSON Schema says of the arguments of a tool, as far as a policy can be compared with it.

This is no validator. It answers which kinds of value an argument may be, and which arguments there
are, erring on the side of "anything": what is not understood — a reference that leads out of the
schema or in a circle, a keyword that adds members under conditions — rules nothing out.
A schema that names members and does not speak of others is read as naming all of them, though JSON
Schema would allow more: servers that mean to take more say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

KINDS: Final = frozenset({"string", "number", "boolean", "array", "object", "null"})

MAX_STEPS: Final = 2_000
"""Parts of a schema looked at for one answer: references can make a small text mean a huge one."""
MAX_DEPTH: Final = 100
"""Parts of a schema inside each other, references followed."""
_MAX_VALUES: Final = 1_000

_CONDITIONAL: Final = frozenset(
    {"if", "then", "else", "dependentSchemas", "$dynamicRef", "$recursiveRef", "patternProperties"}
)
"""Keywords that may let members in which `properties` does not name."""


class Shape(NamedTuple):
    """What a value may be. A member's schema refers into the same schema as that of the whole.

    `values` are the only texts that it may hold, None where any text may do. `named` says that its
    members are named at all, `open` that there may be others than these.
    """

    kinds: frozenset[str] = KINDS
    values: frozenset[str] | None = None
    members: Mapping[str, object] = {}
    required: frozenset[str] = frozenset()
    named: bool = False
    open: bool = False
    items: object = True

    def lacks(self, name: str) -> bool:
        """Say whether it has certainly no member of this name."""
        return "object" not in self.kinds or (self.named and not self.open and name not in self.members)


ANYTHING: Final = Shape(open=True)


@dataclass(slots=True)
class _Look:
    """One question: the whole schema, which references are being followed, and how much work is left."""

    root: object
    following: set[str] = field(default_factory=set)
    steps: int = MAX_STEPS


def shape_of(schema: object, root: object) -> Shape:
    """Return what a schema lets a value be; `root` is the whole that its references refer to."""
    return _shape(schema, _Look(root), 0)


def shape_at(root: object, path: Sequence[str]) -> Shape | None:
    """Return what an argument may be, by the names that lead to it; None where there is certainly none."""
    schema: object = root
    for name in path:
        shape = shape_of(schema, root)
        if shape.lacks(name):
            return None
        schema = shape.members.get(name, True)
    return shape_of(schema, root)


def _shape(schema: object, look: _Look, depth: int) -> Shape:
    look.steps -= 1
    if schema is False:
        return Shape(kinds=frozenset())
    if not isinstance(schema, dict) or look.steps < 0 or depth > MAX_DEPTH:
        return ANYTHING
    parts = [_own(schema)]
    if "$ref" in schema:
        parts.append(_referenced(schema["$ref"], look, depth))
    parts += [_shape(part, look, depth + 1) for part in _schemas(schema.get("allOf"))]
    for keyword in ("anyOf", "oneOf"):
        choices = _schemas(schema.get(keyword))
        if choices:
            parts.append(_either([_shape(choice, look, depth + 1) for choice in choices]))
    return _both(parts)


def _own(schema: Mapping[str, object]) -> Shape:
    """Read what a schema says itself, not by other schemas that it joins."""
    kinds = _kinds_named(schema.get("type"))
    values: frozenset[str] | None = None
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(allowed, list) and len(allowed) <= _MAX_VALUES:
        kinds &= frozenset(_kind(value) for value in allowed)
        values = frozenset(value for value in allowed if isinstance(value, str))
    members = schema.get("properties")
    more = schema.get("additionalProperties")
    required = schema.get("required")
    return Shape(
        kinds,
        values,
        members if isinstance(members, dict) else {},
        frozenset(name for name in required if isinstance(name, str)) if isinstance(required, list) else frozenset(),
        named=isinstance(members, dict) or more is False,
        open=(more is not None and more is not False) or not _CONDITIONAL.isdisjoint(schema),
        items=schema.get("items", True) if "prefixItems" not in schema else True,
    )


def _kinds_named(type_: object) -> frozenset[str]:
    names = [type_] if isinstance(type_, str) else type_
    if not isinstance(names, list):
        return KINDS
    kinds = frozenset("number" if name == "integer" else name for name in names if isinstance(name, str))
    return kinds if kinds <= KINDS and kinds else KINDS


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "number"


def _schemas(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _referenced(reference: object, look: _Look, depth: int) -> Shape:
    """Follow a reference inside the schema (JSON Pointer, RFC 6901)."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return ANYTHING
    if reference in look.following:
        return ANYTHING
    target = look.root
    for step in unquote(reference[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, dict) and name in target:
            target = target[name]
        elif (
            isinstance(target, list) and name.isascii() and name.isdigit() and len(name) < 6 and int(name) < len(target)
        ):
            target = target[int(name)]
        else:
            return ANYTHING
    look.following.add(reference)
    shape = _shape(target, look, depth + 1)
    look.following.discard(reference)
    return shape


def _both(shapes: Sequence[Shape]) -> Shape:
    """Return what fits all of these."""
    if len(shapes) == 1:
        return shapes[0]
    limited = [shape.values for shape in shapes if shape.values is not None]
    return Shape(
        frozenset.intersection(*(shape.kinds for shape in shapes)),
        frozenset.intersection(*limited) if limited else None,
        {name: _joined("allOf", shapes, name) for name in _names(shapes)},
        frozenset.union(*(shape.required for shape in shapes)),
        named=any(shape.named for shape in shapes),
        open=any(shape.open for shape in shapes),
        items=_one("allOf", [shape.items for shape in shapes if shape.items is not True]),
    )


def _either(shapes: Sequence[Shape]) -> Shape:
    """Return what fits at least one of these."""
    texts = [shape for shape in shapes if "string" in shape.kinds]
    values: frozenset[str] | None = None
    if texts and all(shape.values is not None for shape in texts):
        values = frozenset[str]().union(*(shape.values or () for shape in texts))
    objects = [shape for shape in shapes if "object" in shape.kinds]
    lists = [shape for shape in shapes if "array" in shape.kinds]
    return Shape(
        frozenset.union(*(shape.kinds for shape in shapes)),
        values,
        {name: _joined("anyOf", [s for s in objects if name in s.members], name) for name in _names(objects)},
        frozenset.intersection(*(shape.required for shape in objects)) if objects else frozenset(),
        named=all(shape.named for shape in objects),
        open=any(shape.open for shape in objects),
        items=_one("anyOf", [shape.items for shape in lists]),
    )


def _names(shapes: Iterable[Shape]) -> dict[str, None]:
    """Return the names of members, each once, in the order of the schema."""
    return {name: None for shape in shapes for name in shape.members}


def _joined(keyword: str, shapes: Iterable[Shape], name: str) -> object:
    return _one(keyword, [shape.members[name] for shape in shapes if name in shape.members])


def _one(keyword: str, schemas: list[object]) -> object:
    """Return one schema for several."""
    if not schemas:
        return True
    return schemas[0] if len(schemas) == 1 else {keyword: schemas}
