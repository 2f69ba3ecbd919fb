"""The JSON Schema of a tool's arguments → the declaration of them in the language, where it can be said (L12)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from authz.lang.formatter import quote
from authz.pap.catalogue.schemas import shape_of

if TYPE_CHECKING:
    from authz.pap.catalogue.schemas import Shape

MAX_FIELDS: Final = 50
MAX_OPTIONS: Final = 12
MAX_OPTION: Final = 60
_MAX_DEPTH: Final = 3
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


class DeclaredField(NamedTuple):
    """One argument: its name, whether it may be left out, and its type as policies write it."""

    name: str
    optional: bool
    type: str


Signature: TypeAlias = tuple[DeclaredField, ...]


def signature(schema: object) -> Signature | None:
    """Return the arguments that a schema names; None where one of them, or that there are no others, cannot be said.

    A declaration is closed: what it does not name, no condition can read. So it is all or nothing.
    """
    return _fields(shape_of(schema, schema), schema, 0)


def written(fields: Signature) -> str:
    """Return fields as a declaration holds them."""
    return ", ".join(f"{field.name}{'?' * field.optional}: {field.type}" for field in fields)


def _fields(shape: Shape, root: object, depth: int) -> Signature | None:
    if not shape.named or shape.open or len(shape.members) > MAX_FIELDS:
        return None
    fields: list[DeclaredField] = []
    for name, schema in shape.members.items():
        member = shape_of(schema, root)
        type_ = _type(member, root, depth)
        if type_ is None or _WORD.fullmatch(name) is None:
            return None
        fields.append(DeclaredField(name, name not in shape.required or "null" in member.kinds, type_))
    return tuple(fields)


def _type(shape: Shape, root: object, depth: int) -> str | None:
    kinds = shape.kinds - {"null"}
    if len(kinds) != 1:
        return None
    match next(iter(kinds)):
        case "string":
            return _union(shape.values)
        case "number":
            return "number"
        case "boolean":
            return "bool"
        case "array":
            item = _type(shape_of(shape.items, root), root, depth + 1) if depth < _MAX_DEPTH else None
            return f"set<{item}>" if item is not None else None
        case _:
            fields = _fields(shape, root, depth + 1) if depth < _MAX_DEPTH else None
            if not fields:
                return None
            return f"{{ {written(fields)} }}"


def _union(values: frozenset[str] | None) -> str:
    if not values or len(values) > MAX_OPTIONS or any(not value or len(value) > MAX_OPTION for value in values):
        return "string"
    return " | ".join(quote(value) for value in sorted(values))
