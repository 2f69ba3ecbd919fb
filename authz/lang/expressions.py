"""Expressions as written → expressions of the core, every name resolved and every type known.

One `Checker` stands for one place where conditions mean the same: a tool block, or a derived
role. A `let` is checked at each such place, because its text means there what it would mean if it
were written out (L15); within one place it is checked once and shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from authz.lang import ast, checked
from authz.lang.checked import Core, Place
from authz.lang.diagnostics import near
from authz.lang.parser import parse_expression
from authz.lang.symbols import ROOTS, Let, Reporter, Symbols
from authz.lang.types import (
    ANY,
    BOOL,
    CIDR,
    DURATION,
    DYNAMIC,
    IP,
    NUMBER,
    ORDERED,
    SCALARS,
    STRING,
    TIME,
    Type,
    kind_of,
    set_of,
)
from authz.lang.values import read_address, read_network, read_time, split_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.lang.limits import Limits
    from authz.lang.source import Source
    from authz.lang.types import FieldType

STRINGS: Final = set_of(STRING)
_BUILTINS: Final = {
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
_FUNCTIONS: Final[dict[str, tuple[tuple[Type, ...], Type]]] = {
    "time": ((STRING,), TIME),
    "ip": ((STRING,), IP),
    "cidr": ((STRING,), CIDR),
    "hour": ((TIME, STRING), NUMBER),
    "weekday": ((TIME, STRING), NUMBER),
    "size": ((ANY,), NUMBER),
    "lower": ((STRING,), STRING),
    "starts_with": ((STRING, STRING), BOOL),
    "ends_with": ((STRING, STRING), BOOL),
    "contains": ((STRING, STRING), BOOL),
}
_USAGE: Final = {
    "time": 'time("2026-01-31T08:00:00Z")',
    "ip": 'ip("10.0.0.1")',
    "cidr": 'cidr("10.0.0.0/8")',
    "hour": 'hour(now, "Europe/Berlin")',
    "weekday": 'weekday(now, "Europe/Berlin")',
    "size": "size(roles)",
    "lower": "lower(subject.id)",
    "starts_with": 'starts_with(subject.id, "svc-")',
    "ends_with": 'ends_with(subject.id, "@example.com")',
    "contains": 'contains(subject.id, "@")',
}
_SIZED: Final = frozenset({"string", "set", "map", "dynamic"})


class Typed(NamedTuple):
    """A core expression, its type, and what it costs of the limits of L6, `let`s counted as written out."""

    node: Core
    type: Type
    terms: int = 0
    depth: int = 0


class Scope(NamedTuple):
    """Where a condition stands: what its block says of arguments and resource types.

    `arguments` is None where none are declared. `types` are the declared resource types it may
    meet; `every` says that an attribute must be declared by all of them.
    """

    section: int | None
    arguments: tuple[FieldType, ...] | None
    types: tuple[str, ...]
    every: bool


class Checker:
    """Checks the expressions of one scope."""

    def __init__(self, symbols: Symbols, scope: Scope, limits: Limits, report: Reporter) -> None:
        """Check against `symbols`, reporting to `report`."""
        self.symbols = symbols
        self.scope = scope
        self.limits = limits
        self.report = report
        self.lets: dict[int, Typed] = {}
        self.open_lets: list[int] = []

    def condition(self, written: ast.Expr, source: Source) -> Core:
        """Check a whole condition: of type bool, or of none that is known (L50)."""
        result = self.truth(written, source)
        if result.terms > self.limits.condition_terms:
            self.report.error(
                "condition-too-long",
                f"this condition has more than {self.limits.condition_terms} terms, `let`s included",
                Place(source, written.span),
                "split the rule, or use a set and `in`",
            )
        return result.node

    def let(self, let: Let) -> Typed:
        """Check a `let` as it would be checked where it is used."""
        return self.value(let.declaration.value, let.source)

    # --- Truth --------------------------------------------------------------------------------

    def truth(self, written: ast.Expr, source: Source) -> Typed:
        result = self.any(written, source)
        if kind_of(result.type) not in {"bool", "dynamic"}:
            self.error(
                "not-a-condition",
                f"this is {_a(result.type)}, not a condition",
                source,
                written.span,
                "compare it with something",
            )
        return result._replace(terms=max(result.terms, 1))

    def any(self, written: ast.Expr, source: Source) -> Typed:
        """Check any expression but those that only stand in special places."""
        place = Place(source, written.span)
        match written:
            case ast.And(items) | ast.Or(items):
                parts = [self.truth(item, source) for item in items]
                nodes = tuple(part.node for part in parts)
                node = checked.And(nodes, place) if isinstance(written, ast.And) else checked.Or(nodes, place)
                return self.of(node, BOOL, parts)
            case ast.Not(operand):
                part = self.truth(operand, source)
                return self.of(checked.Not(part.node, place), BOOL, [part], deeper=1)
            case ast.If():
                return self.choice(written, source)
            case ast.Compare():
                return self.compare(written, source)
            case ast.Chain():
                self.error(
                    "chained-comparison",
                    "comparisons do not chain",
                    source,
                    written.span,
                    "join two comparisons with `and`, or put one in brackets",
                )
                return Typed(checked.Unknown(ANY, place), ANY, 1)
            case ast.Has(operand, path):
                return self.has(operand, path, source, place)
            case ast.Coalesce(items):
                return self.coalesce(items, source, place)
            case ast.Sum():
                return self.sum(written, source)
            case ast.Call():
                return self.call(written, source)
            case ast.Reference():
                return self.reference(written, source)
            case ast.Range():
                self.error(
                    "misplaced-range",
                    "a range stands only on the right of `in`",
                    source,
                    written.span,
                    "ask with `in`, as in `context.risk in 0..50`",
                )
                return Typed(checked.Unknown(ANY, place), ANY)
            case _:
                return self.literal(written, source)

    def value(self, written: ast.Expr, source: Source) -> Typed:
        result = self.any(written, source)
        if result.type is CIDR:
            self.error(
                "misplaced-cidr",
                "`cidr` stands only on the right of `in`",
                source,
                written.span,
                'ask with `in`, as in `context.ip in cidr("10.0.0.0/8")`',
            )
            return result._replace(type=ANY, node=checked.Unknown(ANY, Place(source, written.span)))
        return result

    def of(self, node: Core, type_: Type, parts: Iterable[Typed], deeper: int = 0) -> Typed:
        """Add up what the parts cost; past a limit the whole is reported once and put out of the way."""
        parts = tuple(parts)
        terms = sum(part.terms for part in parts)
        depth = max((part.depth for part in parts), default=0) + deeper
        if depth > self.limits.nesting:
            self.error(
                "nesting-too-deep",
                f"this nests deeper than {self.limits.nesting} levels once `let`s are put in",
                node.place.source,
                node.place.span,
                "join conditions with `and` and `or`, which do not nest",
            )
            return Typed(checked.Unknown(ANY, node.place), ANY, 1)
        return Typed(node, type_, terms, depth)

    def error(self, code: str, message: str, source: Source, span: ast.Span, help_: str = "") -> None:
        self.report.error(code, message, Place(source, span), help_)

    def mismatch(self, message: str, place: Place, help_: str = "") -> Typed:
        self.report.error("type-mismatch", message, place, help_)
        return Typed(checked.Unknown(ANY, place), ANY, 1)

    # --- Literals and references ----------------------------------------------------------------

    def literal(self, written: ast.Expr, source: Source) -> Typed:
        place = Place(source, written.span)
        match written:
            case ast.StringLiteral(value):
                return Typed(checked.Const(value, STRING, place), STRING)
            case ast.NumberLiteral(value):
                return Typed(checked.Const(value, NUMBER, place), NUMBER)
            case ast.BoolLiteral(value):
                return Typed(checked.Const(value, BOOL, place), BOOL)
            case ast.DurationLiteral(value):
                return Typed(checked.Const(value, DURATION, place), DURATION)
            case ast.SetLiteral(items):
                return self.set_literal(items, source, place)
        raise AssertionError(written)

    def set_literal(self, items: tuple[ast.Expr, ...], source: Source, place: Place) -> Typed:
        parts: list[checked.Const] = []
        for item in items:
            if not isinstance(item, (ast.StringLiteral, ast.NumberLiteral, ast.BoolLiteral, ast.DurationLiteral)):
                self.error(
                    "not-a-literal", "a set holds literals only", source, item.span, "join comparisons with `or`"
                )
                continue
            part = cast("checked.Const", self.literal(item, source).node)
            if parts and part.type != parts[0].type:
                self.mismatch(
                    f"this set holds {_a(parts[0].type)} and {_a(part.type)}",
                    part.place,
                    "a set holds literals of one type",
                )
                continue
            parts.append(part)
        type_ = set_of(parts[0].type if parts else DYNAMIC)
        return Typed(checked.Const(frozenset(part.value for part in parts), type_, place), type_)

    def reference(self, written: ast.Reference, source: Source) -> Typed:
        root, steps = written.root.text, written.steps
        place = Place(source, written.span)
        if root not in ROOTS:
            return self.let_reference(written, source)
        if root in {"scopes", "roles", "tenant", "now"}:
            if steps:
                return self.no_attributes(f"`{root}`", steps[0], source)
            if root in {"scopes", "roles"}:
                return Typed(checked.Held("scopes" if root == "scopes" else "roles", STRINGS, place), STRINGS)
            type_ = TIME if root == "now" else STRING
            return Typed(checked.Builtin(root, type_, place), type_)
        if not steps:
            self.error(
                "not-a-value",
                f"`{root}` is not a value by itself",
                source,
                written.span,
                f"name an attribute of it, such as `{root}.{next(iter(_BUILTINS.get(root, {'name': 0})))}`",
            )
            return Typed(checked.Unknown(ANY, place), ANY)
        return self.attribute(root, steps, source, place)

    def let_reference(self, written: ast.Reference, source: Source) -> Typed:
        name = written.root.text
        let = self.symbols.lets.get((name, self.scope.section)) or self.symbols.lets.get((name, None))
        place = Place(source, written.span)
        if let is None:
            visible = [key for key, section in self.symbols.lets if section in {None, self.scope.section}]
            self.report.unless_gaps(
                "unknown-name",
                f"there is no name `{name}`",
                Place(source, written.root.span),
                near(name, [*ROOTS, *visible, "true", "false"]) or "declare it with `let`, or quote it if it is text",
            )
            return Typed(checked.Unknown(ANY, place), ANY)
        if id(let) in self.open_lets:  # a cycle, which collect() has reported
            return Typed(checked.Unknown(ANY, place), ANY)
        if id(let) not in self.lets:
            self.open_lets.append(id(let))
            self.lets[id(let)] = self.let(let)
            self.open_lets.pop()
        result = self.lets[id(let)]
        return self.continue_let(result, written, source) if written.steps else result

    def continue_let(self, base: Typed, written: ast.Reference, source: Source) -> Typed:
        """Read an attribute of what a `let` names, as if the `let` were written out."""
        if isinstance(base.node, checked.Read):
            return self.steps(base.node, base.type, written.steps, source, Place(source, written.span))
        return self.no_attributes(f"`{written.root.text}`", written.steps[0], source)

    def attribute(self, root: str, steps: tuple[ast.Attribute | ast.Index, ...], source: Source, place: Place) -> Typed:
        first, rest = steps[0], steps[1:]
        name = _name_of(first)
        builtin = _BUILTINS.get(root, {}).get(name or "")
        if builtin is not None:
            if rest:
                return self.no_attributes(f"`{root}.{name}`", rest[0], source)
            return Typed(checked.Builtin(f"{root}.{name}", builtin, place), builtin)
        if root == "tool":
            return self.unknown_attribute("a tool", name or "", _BUILTINS["tool"], first, source)
        if name is None:
            read = checked.Read(root, (), DYNAMIC, place)  # type: ignore[arg-type]  # the roots left over have attributes
            declared = self.declared(root) is not None
            if declared:
                self.error(
                    "not-a-map",
                    f"the attributes of `{root}` are declared: a key must be a literal",
                    source,
                    first.span,
                    "name the attribute, or declare a `map` and look the key up in it",
                )
                return Typed(checked.Unknown(ANY, place), ANY)
            return self.steps(read, DYNAMIC, steps, source, place)
        if root == "subject" and name == "groups":
            type_ = STRINGS
        elif (found := self.field(root, name, first, source)) is not None:
            type_ = found
        else:
            return Typed(checked.Unknown(ANY, place), ANY)
        read = checked.Read(root, (name,), type_, place)  # type: ignore[arg-type]  # as above
        return self.steps(read, type_, rest, source, place)

    def declared(self, root: str) -> object:
        if root == "args":
            return self.scope.arguments
        if root == "resource":
            return self.scope.types or None
        return self.symbols.shapes.get(root)

    def field(self, root: str, name: str, step: ast.Attribute | ast.Index, source: Source) -> Type | None:
        """Return the type of a first-level attribute, or None where it is wrong and reported (L13)."""
        if root == "resource":
            return self.resource_field(name, step, source)
        fields = self.scope.arguments if root == "args" else self.symbols.shapes.get(root)
        if fields is None:
            return DYNAMIC
        for field in fields:
            if field.name == name:
                return field.type
        what = "this block" if root == "args" else f"`{root}`"
        kind = "argument" if root == "args" else "attribute"
        self.report.unless_gaps(
            "unknown-attribute",
            f"{what} has no {kind} `{name}`",
            Place(source, step.span),
            near(name, (field.name for field in fields)) or "declare it, or remove it here",
        )
        return None if not self.report.gaps else DYNAMIC

    def resource_field(self, name: str, step: ast.Attribute | ast.Index, source: Source) -> Type | None:
        types = self.scope.types
        if not types or self.report.gaps:
            return DYNAMIC
        having = [(t, f.type) for t in types for f in self.symbols.resources[t] if f.name == name]
        missing = [t for t in types if t not in {t for t, _ in having}]
        if not having or (self.scope.every and missing):
            known = [f.name for t in types for f in self.symbols.resources[t]]
            what = f"resource `{missing[0]}`" if len(types) == 1 or having else "no declared resource"
            verb = "has no attribute" if what.startswith("resource") else "has an attribute"
            self.error(
                "unknown-attribute",
                f"{what} {verb} `{name}`",
                source,
                step.span,
                near(name, known) or "declare it, or remove it here",
            )
            return None
        if any(type_ != having[0][1] for _, type_ in having):
            shown = " and ".join(f"{_a(type_)} in `{t}`" for t, type_ in having[:3])
            self.error(
                "conflicting-types",
                f"`{name}` is {shown}",
                source,
                step.span,
                "say with `on` which resources are meant, or give the attribute one type",
            )
            return None
        return having[0][1]

    def steps(
        self,
        read: checked.Read,
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
                    return self.unknown_attribute(
                        "this record", name or "", [f.name for f in type_.fields], step, source
                    )
                case "map":
                    type_ = type_.item or DYNAMIC
                case "ref" if name == "id":
                    type_ = STRING
                    continue
                case "ref":
                    return self.referenced(type_, name, step, source, place)
                case "dynamic":
                    type_ = DYNAMIC
                case "any":
                    return Typed(checked.Unknown(ANY, place), ANY)
                case _:
                    return self.no_attributes(_a(type_), step, source)
            if isinstance(step, ast.Index) and name is None:
                key = self.value(step.key, source)
                if kind_of(key.type) not in {"string", "dynamic"}:
                    self.mismatch(f"a key is a string, and this is {_a(key.type)}", Place(source, step.key.span))
                parts.append(key)
                node = node._replace(keys=(*node.keys, key.node))
            else:
                node = node._replace(keys=(*node.keys, name or ""))
        return self.of(node._replace(type=type_), type_, parts, deeper=1 if parts else 0)

    def referenced(
        self, type_: Type, name: str | None, step: ast.Attribute | ast.Index, source: Source, place: Place
    ) -> Typed:
        """Read an attribute of a referenced entity: known by type, missing until a directory supplies it (L12)."""
        fields = (
            self.symbols.shapes.get("subject")
            if type_.target == "subject"
            else self.symbols.resources.get(type_.target)
        )
        field = next((f for f in fields or () if f.name == name), None)
        if fields is not None and field is None and not self.report.gaps:
            return self.unknown_attribute(f"`{type_.target}`", name or "", [f.name for f in fields], step, source)
        result = field.type if field is not None else DYNAMIC
        return Typed(checked.Unknown(result, place), result)

    def unknown_attribute(
        self, what: str, name: str, known: Iterable[str], step: ast.Attribute | ast.Index, source: Source
    ) -> Typed:
        self.error("unknown-attribute", f"{what} has no attribute `{name}`", source, step.span, near(name, known))
        return Typed(checked.Unknown(ANY, Place(source, step.span)), ANY)

    def no_attributes(self, what: str, step: ast.Attribute | ast.Index, source: Source) -> Typed:
        self.error("unknown-attribute", f"{what} has no attributes", source, step.span, "leave this out")
        return Typed(checked.Unknown(ANY, Place(source, step.span)), ANY)

    # --- Comparisons ----------------------------------------------------------------------------

    def compare(self, written: ast.Compare, source: Source) -> Typed:
        op, left, right = written.op, written.left, written.right
        place = Place(source, written.span)
        if op in {"!=", "not in", "not like"}:
            positive = {"!=": "==", "not in": "in", "not like": "like"}[op]
            result = self.compare(written._replace(op=cast("ast.CompareOp", positive)), source)
            return result._replace(node=checked.Not(result.node, place))
        match op:
            case "in":
                result = self.membership(left, right, source, place)
            case "like" | "under":
                result = self.pattern(op, left, right, source, place)
            case "matches":
                result = self.matches(left, right, source, place)
            case _:
                result = self.values(op, self.value(left, source), self.value(right, source), place)
        return result._replace(terms=result.terms + 1)

    def values(self, op: str, left: Typed, right: Typed, place: Place) -> Typed:
        if op == "==":
            return self.equal(left, right, place)
        if op in {"subset of", "intersects"}:
            return self.set_test(op, left, right, place)
        kind = self.common(left, right, place)
        if kind is None or kind not in ORDERED | {"dynamic"}:
            return (
                self.mismatch(
                    f"{_a(left.type if kind else right.type)} has no order",
                    place,
                    "numbers, times and durations can be ordered",
                )
                if kind
                else Typed(checked.Unknown(ANY, place), ANY)
            )
        return self.of(checked.Order(op, left.node, right.node, kind, place), BOOL, [left, right])  # type: ignore[arg-type]  # the operators left over

    def common(self, left: Typed, right: Typed, place: Place) -> str | None:
        """Return the kind two operands share, `dynamic` where neither is known, or report (L32)."""
        kinds = {kind_of(left.type), kind_of(right.type)} - {"dynamic"}
        if len(kinds) > 1:
            self.mismatch(
                f"{_a(left.type)} is compared with {_a(right.type)}", place, "there is no conversion between types"
            )
            return None
        return kinds.pop() if kinds else "dynamic"

    def equal(self, left: Typed, right: Typed, place: Place) -> Typed:
        kind = self.common(left, right, place)
        if kind is None:
            return Typed(checked.Unknown(ANY, place), ANY)
        if kind not in SCALARS | {"set", "dynamic"}:
            return self.mismatch(f"{_a(left.type)} cannot be compared", place, "compare its attributes")
        if kind == "set" and not self.same_items(left.type, right.type, place):
            return Typed(checked.Unknown(ANY, place), ANY)
        self.options(left, right)
        self.options(right, left)
        return self.of(checked.Equal(left.node, right.node, kind, place), BOOL, [left, right])

    def options(self, union: Typed, other: Typed) -> None:
        """Refuse a literal that a union does not list (L13)."""
        options = union.type.options or (union.type.item.options if union.type.item else ())
        if not options or not isinstance(other.node, checked.Const):
            return
        values = other.node.value if isinstance(other.node.value, frozenset) else {other.node.value}
        for value in sorted(v for v in values if isinstance(v, str) and v not in options):
            self.report.error(
                "not-in-union",
                f"`{value[:60]}` is not one of {_listed(options)}",
                other.node.place,
                near(value, options) or "use one of these, or add it where the attribute is declared",
            )

    def same_items(self, left: Type, right: Type, place: Place) -> bool:
        items = [kind_of(t.item) for t in (left, right) if t.item is not None]
        known = {item for item in items if item != "dynamic"}
        if len(known) > 1 or not known <= SCALARS:
            self.mismatch(f"{_a(left)} is compared with {_a(right)}", place, "there is no conversion between types")
            return False
        return True

    def set_test(self, op: str, left: Typed, right: Typed, place: Place) -> Typed:
        for side in (left, right):
            if kind_of(side.type) not in {"set", "dynamic"}:
                return self.mismatch(f"`{op}` compares sets, and this is {_a(side.type)}", side.node.place)
        if not self.same_items(left.type, right.type, place):
            return Typed(checked.Unknown(ANY, place), ANY)
        self.options(left, right)
        self.options(right, left)
        node = checked.SetTest("subset of" if op == "subset of" else "intersects", left.node, right.node, place)
        return self.of(node, BOOL, [left, right])

    def membership(self, left: ast.Expr, right: ast.Expr, source: Source, place: Place) -> Typed:
        if isinstance(left, ast.Reference) and not left.steps and left.root.text in {"resource", "subject"}:
            return self.entity(left.root.text, right, source, place)
        item = self.value(left, source)
        if isinstance(right, ast.Range):
            return self.in_range(item, right, source, place)
        container = self.any(right, source)
        kind = kind_of(item.type)
        match kind_of(container.type):
            case "cidr":
                if kind not in {"ip", "dynamic"}:
                    return self.mismatch(
                        f"{_a(item.type)} is not an address", item.node.place, "read a string with `ip(…)`"
                    )
                if not isinstance(container.node, checked.Const):
                    return Typed(container.node, ANY)
                return self.of(checked.InNetwork(item.node, container.node, place), BOOL, [item])
            case "set" | "dynamic":
                member = kind_of(container.type.item) if container.type.item is not None else "dynamic"
                kinds = {kind, member} - {"dynamic"}
                if len(kinds) > 1 or not kinds <= SCALARS:
                    return self.mismatch(
                        f"{_a(item.type)} cannot be a member of {_a(container.type)}",
                        place,
                        "there is no conversion between types",
                    )
                self.options(item, container)
                if container.type.item is not None:
                    self.options(container, item)
                node = checked.InSet(item.node, container.node, kinds.pop() if kinds else "dynamic", place)
                return self.of(node, BOOL, [item, container])
            case "string":
                return self.mismatch(
                    "`in` needs a set on its right, and this is a string",
                    container.node.place,
                    "to look inside a string use `contains(…)`",
                )
            case _:
                return self.mismatch(
                    f"`in` needs a set on its right, and this is {_a(container.type)}", container.node.place
                )

    def in_range(self, item: Typed, written: ast.Range, source: Source, place: Place) -> Typed:
        low, high = self.value(written.low, source), self.value(written.high, source)
        kinds = {kind_of(part.type) for part in (item, low, high)} - {"dynamic"}
        if len(kinds) > 1:
            return self.mismatch(
                f"{_a(item.type)} is compared with a range from {_a(low.type)} to {_a(high.type)}",
                place,
                "all three must be of one type",
            )
        kind = kinds.pop() if kinds else "dynamic"
        if kind not in ORDERED | {"dynamic"}:
            return self.mismatch(f"{_a(item.type)} has no order", place, "numbers, times and durations have ranges")
        return self.of(checked.InRange(item.node, low.node, high.node, kind, place), BOOL, [item, low, high])

    def entity(self, root: str, right: ast.Expr, source: Source, place: Place) -> Typed:
        entities = self.value(right, source)
        kind = kind_of(entities.type)
        if kind not in {"string", "set", "dynamic"} or (
            entities.type.item and kind_of(entities.type.item) not in {"string", "dynamic"}
        ):
            return self.mismatch(f'`{root} in` needs an entity such as "folder:42", or a set of them', place)
        if isinstance(entities.node, checked.Const):
            values = entities.node.value if kind == "set" else {entities.node.value}
            for value in sorted(values):
                type_, colon, name = value.partition(":")
                if not (type_ and colon and name) or (root == "subject" and type_ != "group"):
                    wanted = '`"group:name"`' if root == "subject" else '`"type:id"`'
                    self.error(
                        "invalid-entity",
                        f"`{value[:60]}` does not name an entity that can hold the {root}",
                        entities.node.place.source,
                        entities.node.place.span,
                        f"write it as {wanted}",
                    )
        node = checked.InEntity("resource" if root == "resource" else "subject", entities.node, place)
        return self.of(node, BOOL, [entities])

    # --- Patterns -------------------------------------------------------------------------------

    def text_operand(self, written: ast.Expr, op: str, source: Source) -> Typed:
        operand = self.value(written, source)
        if kind_of(operand.type) not in {"string", "dynamic"}:
            self.mismatch(f"`{op}` tests a string, and this is {_a(operand.type)}", Place(source, written.span))
        return operand

    def text_pattern(self, written: ast.Expr, op: str, source: Source) -> str | None:
        if isinstance(written, ast.StringLiteral):
            return written.value
        self.error(
            "pattern-not-literal",
            f"the right side of `{op}` is not written out as a string",
            source,
            written.span,
            "write it in quotes; `{…}` inserts a value" if op != "matches" else "write the expression in quotes",
        )
        return None

    def pattern(self, op: str, left: ast.Expr, right: ast.Expr, source: Source, place: Place) -> Typed:
        operand = self.text_operand(left, op, source)
        text = self.text_pattern(right, op, source)
        if text is None:
            return Typed(checked.Unknown(ANY, place), ANY)
        right_place = Place(source, right.span)
        parts, inserted = self.template(text, right_place)
        if op == "like":
            return self.of(checked.Like(operand.node, _pieces(parts), place), BOOL, [operand, *inserted])
        sample = "".join(part if isinstance(part, str) else "x" for part in parts)
        if split_path(sample) is None:
            self.report.error(
                "invalid-path",
                f"`{text[:60]}` is not a normal path",
                right_place,
                "leave out empty, `.` and `..` segments, a slash at the end, backslashes and `%2f`",
            )
        return self.of(checked.Under(operand.node, parts, place), BOOL, [operand, *inserted])

    def template(self, text: str, place: Place) -> tuple[tuple[str | Core, ...], list[Typed]]:
        """Split `a{expr}b` into text and expressions; `{{` and `}}` are the braces themselves (L34)."""
        parts: list[str | Core] = []
        inserted: list[Typed] = []
        literal = ""
        at = 0
        while at < len(text):
            character = text[at]
            if character in "{}" and text[at + 1 : at + 2] == character:
                literal += character
                at += 2
            elif character == "{":
                end = _closing_brace(text, at)
                if end is None:
                    self.report.error(
                        "invalid-pattern", "`{` without `}` in this pattern", place, "write `{{` for the brace itself"
                    )
                    break
                parts.append(literal)
                literal = ""
                value = self.insertion(text[at + 1 : end], place)
                inserted.append(value)
                parts.append(value.node)
                at = end + 1
            elif character == "}":
                self.report.error(
                    "invalid-pattern", "`}` without `{` in this pattern", place, "write `}}` for the brace itself"
                )
                break
            else:
                literal += character
                at += 1
        parts.append(literal)
        return tuple(part for part in parts if part != ""), inserted

    def insertion(self, text: str, place: Place) -> Typed:
        try:
            value = self.value(_moved(parse_expression(text, self.limits), place.span), place.source)
        except ValueError as error:
            problem = error if text.strip() else "it is empty"
            self.report.error(
                "invalid-pattern",
                f"cannot read `{{{text[:60]}}}` in this pattern: {problem}",
                place,
                "write `{{` for the brace itself",
            )
            return Typed(checked.Unknown(ANY, place), ANY)
        if kind_of(value.type) not in {"string", "dynamic"}:
            self.mismatch(f"`{{{text[:60]}}}` inserts {_a(value.type)}, and a pattern takes strings", place)
        return value._replace(terms=value.terms + 1)

    def matches(self, left: ast.Expr, right: ast.Expr, source: Source, place: Place) -> Typed:
        operand = self.text_operand(left, "matches", source)
        pattern = self.text_pattern(right, "matches", source)
        if pattern is None:
            return Typed(checked.Unknown(ANY, place), ANY)
        problem = regex_problem(pattern)
        if problem:
            what, _, where = problem.partition(": ")
            where = where and f" in `{where[:60]}`"
            self.error(
                "invalid-regex",
                f"this is not an RE2 expression: {what}{where}",
                source,
                right.span,
                "RE2 has no back-references and no look-around",
            )
        return self.of(checked.Matches(operand.node, pattern, place), BOOL, [operand])

    # --- The rest -------------------------------------------------------------------------------

    def has(self, operand: ast.Expr, path: tuple[ast.Name, ...], source: Source, place: Place) -> Typed:
        if not isinstance(operand, ast.Reference):
            self.error(
                "not-an-attribute",
                "`has` asks for an attribute",
                source,
                operand.span,
                "write it as in `context has mfa`",
            )
            return Typed(checked.Unknown(ANY, place), ANY, 1)
        steps = (*operand.steps, *(ast.Attribute(name.text, name.span) for name in path))
        result = self.reference(ast.Reference(operand.root, steps, place.span), source)
        if not isinstance(result.node, (checked.Read, checked.Builtin, checked.Unknown)):
            self.error(
                "not-an-attribute",
                "`has` asks for an attribute",
                source,
                operand.span,
                "write it as in `context has mfa`",
            )
            return Typed(checked.Unknown(ANY, place), ANY, 1)
        return self.of(checked.Has(result.node, place), BOOL, [result])._replace(terms=result.terms + 1)

    def coalesce(self, items: tuple[ast.Expr, ...], source: Source, place: Place) -> Typed:
        parts = [self.value(item, source) for item in items]
        for part, item in zip(parts[:-1], items, strict=False):
            if part.type != ANY and not isinstance(part.node, (checked.Read, checked.Builtin, checked.Unknown)):
                self.error(
                    "not-an-attribute",
                    "the left of `??` is not an attribute",
                    source,
                    item.span,
                    "write `??` right after the attribute that may be missing",
                )
        kinds = {kind_of(part.type) for part in parts} - {"dynamic"}
        if len(kinds) > 1:
            shown = " and ".join(_a(part.type) for part in parts)
            return self.mismatch(f"`??` joins values of one type, and these are {shown}", place)
        for part in parts[:-1]:
            self.options(part, parts[-1])
        type_ = next((part.type for part in reversed(parts) if kind_of(part.type) != "dynamic"), DYNAMIC)
        result = self.of(checked.Coalesce(tuple(part.node for part in parts), type_, place), type_, parts)
        return result._replace(terms=result.terms + len(parts))

    def choice(self, written: ast.If, source: Source) -> Typed:
        condition = self.truth(written.condition, source)
        yes, no = self.value(written.yes, source), self.value(written.no, source)
        place = Place(source, written.span)
        kinds = {kind_of(yes.type), kind_of(no.type)} - {"dynamic"}
        if len(kinds) > 1:
            return self.mismatch(f"`if` gives {_a(yes.type)} or {_a(no.type)}", place, "both sides must be of one type")
        type_ = yes.type if kind_of(yes.type) != "dynamic" else no.type
        node = checked.If(condition.node, yes.node, no.node, type_, place)
        return self.of(node, type_, [condition, yes, no], deeper=1)

    def sum(self, written: ast.Sum, source: Source) -> Typed:
        place = Place(source, written.span)
        total = self.value(written.first, source)
        parts = [total]
        operands = [(1, total.node)]
        kind = kind_of(total.type)
        for term in written.rest:
            part = self.value(term.operand, source)
            parts.append(part)
            operands.append((1 if term.sign == "+" else -1, part.node))
            running = _sum_kind(kind, term.sign, kind_of(part.type))
            if running is None:
                return self.mismatch(
                    f"`{term.sign}` has no meaning between {_a(Type(kind))} and {_a(part.type)}",
                    Place(source, term.span),
                    "numbers go with numbers, durations with times and durations",
                )
            kind = running
        type_ = {"number": NUMBER, "time": TIME, "duration": DURATION}.get(kind, ANY)
        result = self.of(checked.Sum(tuple(operands), type_, place), type_, parts)
        return result._replace(terms=result.terms + len(parts))

    def call(self, written: ast.Call, source: Source) -> Typed:
        name = written.function.text
        place = Place(source, written.span)
        if name not in _FUNCTIONS:
            self.error(
                "unknown-function",
                f"there is no function `{name}`",
                source,
                written.function.span,
                near(name, _FUNCTIONS) or f"the functions are {_listed(_FUNCTIONS)}",
            )
            return Typed(checked.Unknown(ANY, place), ANY)
        wanted, type_ = _FUNCTIONS[name]
        if len(written.arguments) != len(wanted):
            self.error(
                "wrong-arguments",
                f"`{name}` takes {len(wanted)} argument{'s' * (len(wanted) > 1)}, and here "
                f"{'is' if len(written.arguments) == 1 else 'are'} {len(written.arguments)}",
                source,
                written.span,
                f"write it as in `{_USAGE[name]}`",
            )
            return Typed(checked.Unknown(ANY, place), ANY)
        parts = [self.value(argument, source) for argument in written.arguments]
        for part, type_wanted in zip(parts, wanted, strict=True):
            self.argument(name, part, type_wanted)
        if name in {"time", "ip", "cidr", "hour", "weekday"}:
            constant = self.constant(name, parts, type_, place)
            if constant is not None:
                return constant
        node = checked.Call(name, tuple(part.node for part in parts), type_, place)
        result = self.of(node, type_, parts, deeper=1)
        return result._replace(terms=result.terms + (type_ is BOOL))

    def argument(self, name: str, part: Typed, wanted: Type) -> None:
        kind = kind_of(part.type)
        fits = kind in _SIZED if wanted is ANY else kind in {wanted.kind, "dynamic"}
        if not fits:
            expected = "a string, set or map" if wanted is ANY else _a(wanted)
            self.mismatch(
                f"`{name}` takes {expected}, and this is {_a(part.type)}",
                part.node.place,
                f"write it as in `{_USAGE[name]}`",
            )

    def constant(self, name: str, parts: list[Typed], type_: Type, place: Place) -> Typed | None:
        """Read literal times, addresses, networks and zones now, so that a typing error shows at once."""
        last = parts[-1].node
        if not isinstance(last, checked.Const):
            if name in {"cidr", "hour", "weekday"}:
                what = "a network" if name == "cidr" else "a zone"
                self.error(
                    "not-a-literal",
                    f"`{name}` takes {what} as a literal",
                    last.place.source,
                    last.place.span,
                    f"write it as in `{_USAGE[name]}`",
                )
                return Typed(checked.Unknown(ANY, place), ANY)
            return None
        if not isinstance(last.value, str):
            return Typed(checked.Unknown(ANY, place), ANY)  # argument() has reported it
        if name in {"hour", "weekday"}:
            if not _zone_exists(last.value):
                self.error(
                    "unknown-zone",
                    f"there is no time zone `{last.value}`",
                    last.place.source,
                    last.place.span,
                    'zones are named as in `"Europe/Berlin"`',
                )
            return None
        readers = {"time": read_time, "ip": read_address, "cidr": read_network}
        value = readers[name](last.value)
        if value is None:
            forms = {"time": "a time with an offset", "ip": "an address", "cidr": "a network"}
            self.error(
                f"invalid-{name}",
                f"`{last.value[:60]}` is not {forms[name]}",
                last.place.source,
                last.place.span,
                f"write it as in `{_USAGE[name]}`",
            )
            return Typed(checked.Unknown(ANY, place), ANY)
        return Typed(checked.Const(value, type_, place), type_)


def _a(type_: Type) -> str:
    """Return a type as a noun with its article."""
    if type_.kind == "union":
        return f"one of {_listed(type_.options)}"
    if type_.kind == "set" and type_.item is not None and type_.item.kind == "dynamic":
        return "an empty set"
    return f"{'an' if type_.kind == 'ip' else 'a'} {type_}"


def _listed(words: Iterable[str]) -> str:
    """Return words in backticks, and no more of them than fit a line."""
    shown = [f"`{word[:60]}`" for word in words]
    return ", ".join([*shown[:10], "…"] if len(shown) > 11 else shown)


def regex_problem(pattern: str) -> str:
    """Return what RE2 says of an expression, or "" when it compiles."""
    import re2  # noqa: PLC0415 (only policies with `matches` pay for it)

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it does not compile"
        return reason.decode() if isinstance(reason, bytes) else str(reason)
    return ""


def _zone_exists(zone: str) -> bool:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 (only policies that ask for local time pay for it)

    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):
        return False
    return True


def _name_of(step: ast.Attribute | ast.Index) -> str | None:
    """Return the name a step asks for, or None for a computed key (L31)."""
    if isinstance(step, ast.Attribute):
        return step.name
    return step.key.value if isinstance(step.key, ast.StringLiteral) else None


def _sum_kind(left: str, sign: str, right: str) -> str | None:
    """Return the kind of a sum (L31), or None where it has no meaning."""
    if "dynamic" in {left, right}:
        known = ({left, right} - {"dynamic"} or {"number"}).pop()
        if known == "number":
            return "number"
        return "dynamic" if known in ORDERED else None  # an undeclared value is never a time or duration: unknown
    table = {
        ("number", "+", "number"): "number",
        ("number", "-", "number"): "number",
        ("duration", "+", "duration"): "duration",
        ("duration", "-", "duration"): "duration",
        ("time", "+", "duration"): "time",
        ("time", "-", "duration"): "time",
        ("time", "-", "time"): "duration",
    }
    return table.get((left, sign, right))


def _closing_brace(text: str, at: int) -> int | None:
    """Find the `}` that ends the expression opened at `at`; strings inside may hold braces."""
    quoted = False
    for index in range(at + 1, len(text)):
        character = text[index]
        if character == '"' and text[index - 1] != "\\":
            quoted = not quoted
        elif character == "}" and not quoted:
            return index
    return None


def _moved(written: ast.Expr, span: ast.Span) -> ast.Expr:
    """Give every part of an inserted expression the place of its pattern: its own offsets mean nothing there."""

    def move(node: object) -> object:
        if isinstance(node, ast.Span):
            return span
        if isinstance(node, tuple):
            moved: list[Any] = [move(item) for item in node]
            return type(node)(*moved) if hasattr(node, "_fields") else tuple(moved)
        return node

    return cast("ast.Expr", move(written))


def _pieces(parts: tuple[str | Core, ...]) -> tuple[tuple[str | Core, ...], ...]:
    """Split at each `*` of the text; what is inserted never splits."""
    pieces: list[list[str | Core]] = [[]]
    for part in parts:
        if not isinstance(part, str):
            pieces[-1].append(part)
            continue
        first, *more = part.split("*")
        if first:
            pieces[-1].append(first)
        pieces.extend([[text] if text else [] for text in more])
    return tuple(map(tuple, pieces))
