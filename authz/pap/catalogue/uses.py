"""Where the conditions of a policy read the arguments of a call, and what each place wants of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from authz.lang import checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from authz.lang.checked import Core

JSON_KINDS: Final = {
    "string": "string",
    "time": "string",
    "duration": "string",
    "ip": "string",
    "ref": "string",
    "union": "string",
    "number": "number",
    "bool": "boolean",
    "set": "array",
    "map": "object",
    "record": "object",
}
"""The kind of JSON value that each type of the language is read from (L12)."""
_OF_STRINGS: Final = frozenset({"time", "ip", "lower", "starts_with", "ends_with", "contains"})


class Wanted(NamedTuple):
    """What a place wants of a value: its kind, that of its members, and the texts that it is held against.

    A kind is one of the language; "" wants nothing in particular.
    """

    kind: str = ""
    item: str = ""
    texts: frozenset[str] = frozenset()


class Use(NamedTuple):
    """One place that reads an argument; `guarded` says that the place is meant for arguments that may be missing."""

    read: checked.Read
    wanted: Wanted
    guarded: bool

    @property
    def path(self) -> tuple[str, ...]:
        """Return the names that lead to the argument, up to the first one that is computed."""
        names: list[str] = []
        for key in self.read.keys:
            if not isinstance(key, str):
                break
            names.append(key)
        return tuple(names)

    @property
    def whole(self) -> bool:
        """Whether the path names the very value that is read, not one on the way to it."""
        return len(self.path) == len(self.read.keys)


def uses(condition: Core) -> Iterator[Use]:
    """Yield each place of a condition that reads an argument, in no particular order."""
    waiting: list[tuple[Core, Wanted, bool]] = [(condition, Wanted("bool"), False)]
    while waiting:
        node, wanted, guarded = waiting.pop()
        if isinstance(node, checked.Read):
            if node.root == "args":
                yield Use(node, wanted, guarded)
            waiting += [(key, Wanted("string"), guarded) for key in node.keys if not isinstance(key, str)]
        else:
            waiting += [(part, want, guarded or hides) for part, want, hides in _parts(node, wanted)]


def _parts(node: Core, wanted: Wanted) -> Iterable[tuple[Core, Wanted, bool]]:  # noqa: C901, PLR0912  # one case for each kind of node
    """Return the parts of a node, what it wants of each, and whether that may be missing."""
    match node:
        case checked.And(items) | checked.Or(items):
            return [(item, Wanted("bool"), False) for item in items]
        case checked.Not(operand):
            return [(operand, Wanted("bool"), False)]
        case checked.If(condition, yes, no):
            return [(condition, Wanted("bool"), False), (yes, wanted, False), (no, wanted, False)]
        case checked.Equal(left, right, kind):
            return [(left, _like(kind, right), False), (right, _like(kind, left), False)]
        case checked.Order(_, left, right, kind):
            return [(left, _kind(kind), False), (right, _kind(kind), False)]
        case checked.InSet(item, members, kind):
            return [(item, _kind(kind, texts=_texts(members)), False), (members, Wanted("set", _named(kind)), False)]
        case checked.InRange(item, low, high, kind):
            return [(part, _kind(kind), False) for part in (item, low, high)]
        case checked.InNetwork(address):
            return [(address, Wanted("ip"), False)]
        case checked.InEntity(_, entities):
            return [(entities, Wanted(), False)]
        case checked.SetTest(_, left, right):
            return [(left, _members_like(right), False), (right, _members_like(left), False)]
        case checked.Like(operand, pieces):
            inserted = [part for piece in pieces for part in piece if not isinstance(part, str)]
            return [(part, Wanted("string"), False) for part in (operand, *inserted)]
        case checked.Under(operand, parts):
            inserted = [part for part in parts if not isinstance(part, str)]
            return [(part, Wanted("string"), False) for part in (operand, *inserted)]
        case checked.Matches(operand):
            return [(operand, Wanted("string"), False)]
        case checked.Has(operand):
            return [(operand, Wanted(), True)]
        case checked.Coalesce(items):
            return [(item, wanted, True) for item in items]
        case checked.Sum(operands, type_):
            return [(part, Wanted("number" if type_.kind == "number" else ""), False) for _, part in operands]
        case checked.Call(function, arguments):
            return [(part, Wanted("string" if function in _OF_STRINGS else ""), False) for part in arguments]
        case checked.Follow(reference, _, keys):
            computed = [key for key in keys if not isinstance(key, str)]
            return [(part, Wanted("string"), False) for part in (reference, *computed)]
        case checked.Read() | checked.Const() | checked.Builtin() | checked.Held() | checked.Unknown():
            return []
        case _:
            assert_never(node)


def _named(kind: str) -> str:
    return "" if kind == "dynamic" else kind


def _kind(kind: str, texts: frozenset[str] = frozenset()) -> Wanted:
    return Wanted(_named(kind), texts=texts)


def _like(kind: str, other: Core) -> Wanted:
    """Return what `==` wants of one side."""
    if kind == "set":
        return _members_like(other)
    return _kind(kind, _texts(other))


def _members_like(other: Core) -> Wanted:
    item = other.type.item if isinstance(other, checked.Const) else None
    return Wanted("set", _named(item.kind) if item is not None else "", _texts(other))


def _texts(node: Core) -> frozenset[str]:
    """Return the texts that a literal holds."""
    if not isinstance(node, checked.Const):
        return frozenset()
    values = node.value if isinstance(node.value, frozenset) else (node.value,)
    return frozenset(value for value in values if isinstance(value, str))
