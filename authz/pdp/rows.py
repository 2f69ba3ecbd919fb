"""Rules → rows: the text that rules of one shape share, and the constants that each has for itself.

Rules of one shape differ in nothing but the constants of their conditions, so the text is written for
the first of them, and the others only hand over their constants: that takes a twentieth of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from authz.lang import checked
from authz.lang.types import SCALARS, Type
from authz.pdp.codegen import Emitter
from authz.pdp.unknown import Open

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.lang.checked import Core, Rule
    from authz.pdp.codegen import Names
    from authz.pdp.plan import CompiledRule


class Sought(NamedTuple):
    """A part that holds for one value only, or for those of a set: the names of what is read and what is sought."""

    value: str
    constant: str
    is_set: bool


class Text(NamedTuple):
    """What rules of one shape have in common.

    A face is true where all `parts` hold, and false where one does. `reads` are values with the names
    that they have in the parts and in later reads.
    """

    parts: tuple[str, ...]
    reads: tuple[tuple[str, str], ...]
    locals: tuple[str, ...]
    sought: tuple[Sought, ...]


class Row(NamedTuple):
    """One rule: its number, and the constants of its text."""

    number: int
    constants: tuple[Any, ...]


def rows_of(rules: Sequence[CompiledRule], *, face: bool) -> dict[Text, list[Row]]:
    """Return the rules as rows, by the text of their true or false face."""
    found: dict[Text, list[Row]] = {}
    written: dict[object, _Template] = {}
    for number, compiled in enumerate(rules):
        rule = compiled.rule
        literals: list[checked.Const] = []
        key = (id(compiled.view), rule.kind == "allow", rule.who, _shape(rule.condition, literals))
        template = written.get(key)
        if template is None:
            template = written[key] = _template(compiled.view, rule, literals, face=face)
        found.setdefault(template.text, []).append(Row(number, template.constants_of(literals)))
    return found


class _Hole(NamedTuple):
    """Stands where each rule has a literal of its own: this one of its condition."""

    number: int


class _Template(NamedTuple):
    text: Text
    constants: list[Any]
    holes: list[tuple[int, int]]

    def constants_of(self, literals: Sequence[checked.Const]) -> tuple[Any, ...]:
        filled = self.constants.copy()
        for at, number in self.holes:
            filled[at] = literals[number].value
        return tuple(filled)


def _template(view: Names, rule: Rule, literals: Sequence[checked.Const], *, face: bool) -> _Template:
    emitter = _RowEmitter(view, literals)
    parts = emitter.who(rule, true=face)
    for node in _conjuncts(rule.condition):
        parts.append(emitter.true(node) if face else emitter.false(node))
        emitter.seek(node)
    reads = tuple((name, text) for text, name in emitter.reads.items())
    text = Text(tuple(parts), reads, tuple(emitter.locals), tuple(emitter.sought))
    holes = [(at, value.number) for at, value in enumerate(emitter.constants) if isinstance(value, _Hole)]
    return _Template(text, emitter.constants, holes)


def _conjuncts(condition: Core | None) -> Sequence[Core]:
    if condition is None:
        return ()
    return condition.items if isinstance(condition, checked.And) else (condition,)


class _RowEmitter(Emitter):
    """Writes each value once, by a name, so that the same values of all rows are read before the rows are."""

    def __init__(self, view: Names, literals: Sequence[checked.Const]) -> None:
        super().__init__(view)
        self.reads: dict[str, str] = {}
        self.sought: list[Sought] = []
        self._holes = {id(node): _Hole(number) for number, node in enumerate(literals)}
        self._names: dict[int, str] = {}
        self._values: dict[tuple[int, str], str] = {}

    def literal(self, node: checked.Const) -> str:
        hole = self._holes.get(id(node))
        if hole is None:
            return super().literal(node)
        if hole.number not in self._names:
            self._names[hole.number] = self.constant(hole)
        return self._names[hole.number]

    def value(self, node: Core, kind: str) -> str:
        name = self._values.get((id(node), kind))
        if name is None:
            name = self._values[id(node), kind] = self._read(super().value(node, kind))
        return name

    def any_value(self, node: Core) -> str:
        return self._read(super().any_value(node))

    def raw(self, node: Core) -> str:
        return self.value(node, "string")

    def bind(self, node: Core, kind: str) -> str:
        self.last = self.value(node, kind)
        return self.last

    def _read(self, text: str) -> str:
        return text if text.isidentifier() else self.reads.setdefault(text, f"h{len(self.reads)}")

    def seek(self, node: Core) -> None:
        """Note what a part that was just written looks for, if it compares a value with a constant."""
        match node:
            case checked.Equal(left, checked.Const() as constant, kind) if kind in SCALARS:
                self.sought.append(Sought(self.value(left, kind), self.literal(constant), is_set=False))
            case checked.InSet(item, checked.Const() as constant, kind) if kind in SCALARS:
                if not isinstance(item, checked.Const):
                    self.sought.append(Sought(self.value(item, kind), self.literal(constant), is_set=True))


def _shape(node: object, literals: list[checked.Const]) -> object:
    """Return what the text of a condition depends on, and collect its literals in the order of their place in it.

    Literals that the text depends on are part of the shape: bools, and a name looked for in `scopes` or `roles`.
    """
    if not isinstance(node, tuple) or isinstance(node, Type):
        return node
    match node:
        case checked.Place():
            return None
        case checked.Const(value, type_):
            if value is True or value is False:
                return checked.Const, value
            literals.append(node)
            return checked.Const, type_
        case checked.InSet(checked.Const(value=str() as name), checked.Held(what)):
            return checked.InSet, name, what
        case Open(_, possible):
            return Open, possible
        case _:
            return type(node), *[_shape(one, literals) for one in node]
