"""The types of values (L12), as the validator sees them.

One shape for all of them: `kind` says which, the rest is filled where the kind has it.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Type(NamedTuple):
    """A type. `item` belongs to sets and maps, `fields` to records, `options` to unions, `target` to refs."""

    kind: str
    item: Type | None = None
    fields: tuple[FieldType, ...] = ()
    options: tuple[str, ...] = ()
    target: str = ""

    def field(self, name: str) -> FieldType | None:
        """Return a record's field."""
        return next((field for field in self.fields if field.name == name), None)

    def __str__(self) -> str:
        match self.kind:
            case "set" | "map":
                return f"{self.kind}<{self.item}>"
            case "record":
                return "record"
            case "union":
                return " | ".join(f'"{option}"' for option in self.options)
            case "ref":
                return f"ref<{self.target}>"
            case _:
                return self.kind


class FieldType(NamedTuple):
    """One attribute of a shape."""

    name: str
    type: Type
    optional: bool


STRING: Final = Type("string")
NUMBER: Final = Type("number")
BOOL: Final = Type("bool")
TIME: Final = Type("time")
DURATION: Final = Type("duration")
IP: Final = Type("ip")
CIDR: Final = Type("cidr")
RANGE: Final = Type("range")
DYNAMIC: Final = Type("dynamic")
"""Of an undeclared attribute: known only when it is evaluated (L13)."""
ANY: Final = Type("any")
"""Of an expression that is wrong, or can only be unknown: fits everywhere, so that one error is not said twice."""

NAMED: Final = {type_.kind: type_ for type_ in (STRING, NUMBER, BOOL, TIME, DURATION, IP)}
SCALARS: Final = frozenset({"string", "number", "bool", "time", "duration", "ip"})
ORDERED: Final = frozenset({"number", "time", "duration"})


def set_of(item: Type) -> Type:
    """Return the type of sets of `item`."""
    return Type("set", item)


def kind_of(type_: Type) -> str:
    """Return the kind that comparisons go by: unions and refs are strings, wrong ones are dynamic (L32)."""
    return {"union": "string", "ref": "string", "any": "dynamic"}.get(type_.kind, type_.kind)
