"""Conditions of the core → Python functions.

Every condition has two faces: *certainly true* and *certainly false* (L51). Both are plain
expressions without exceptions; where only one of three values will do (`V`, inside comparisons)
the runtime's Kleene functions are called instead.

No text of a policy becomes code: attribute names, patterns and constants are arguments of the
generated factory, so two conditions of one shape share one piece of code.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

from authz.lang import checked
from authz.lang.checked import Core, Rule
from authz.lang.types import BOOL, STRING, Type, kind_of
from authz.lang.values import glob, nanoseconds, read_address, read_number, read_time, split_path
from authz.model import Client, Request, Resource, ToolInfo
from authz.pdp import runtime
from authz.pdp.unknown import Open

Test: TypeAlias = Callable[[Request], bool]
Value: TypeAlias = Callable[[Request], Any]

_NO_RESOURCE: Final = Resource()
_NO_CLIENT: Final = Client()
_NO_TOOL: Final = ToolInfo()
_LOCALS: Final = {
    "resource": "q.resource or NO_RESOURCE",
    "resource_attributes": "resource.attributes",
    "client": "q.client or NO_CLIENT",
    "client_attributes": "client.attributes",
    "tool": "q.tool_info or NO_TOOL",
    "subject_attributes": "q.subject_attributes",
    "args": "q.arguments",
    "context": "q.context",
    "scopes": "q.scopes",
    "roles": "q.roles",
}
"""What generated code calls the parts of a request; a later line may use an earlier one."""
_ROOTS: Final = {
    "subject": "subject_attributes",
    "client": "client_attributes",
    "resource": "resource_attributes",
    "args": "args",
    "context": "context",
}
_BUILTINS: Final = {
    "subject.id": ("", "(q.subject or None)"),
    "tenant": ("", "q.tenant"),
    "now": ("", "now(q)"),
    "tool.name": ("", "q.tool"),
    "tool.server": ("tool", "(tool.server or None)"),
    "tool.tags": ("", "(None if q.tool_info is None else frozenset(q.tool_info.tags))"),
    "tool.read_only": ("tool", "tool.read_only"),
    "tool.destructive": ("tool", "tool.destructive"),
    "tool.idempotent": ("tool", "tool.idempotent"),
    "tool.open_world": ("tool", "tool.open_world"),
    "client.id": ("client", "(client.id or None)"),
    "resource.type": ("resource", "(resource.type or None)"),
    "resource.id": ("resource", "(resource.id or None)"),
    "resource.tenant": ("", "(None if q.resource is None else q.resource.tenant)"),
    "resource.ancestors": ("", "(None if q.resource is None else frozenset(q.resource.ancestors))"),
}
"""How each builtin is read, and the local it needs."""


def now(request: Request) -> int:
    """Return the time of the decision; every door pins it, so that one decision has one time."""
    return nanoseconds(request.now if request.now is not None else datetime.now(UTC))


_GLOBALS: Final[dict[str, Any]] = {
    "__builtins__": {"type": type, "str": str, "frozenset": frozenset},
    "NO_RESOURCE": _NO_RESOURCE,
    "NO_CLIENT": _NO_CLIENT,
    "NO_TOOL": _NO_TOOL,
    "now": now,
    "glob": glob,
    "read_number": read_number,
    "read_time": read_time,
    "read_address": read_address,
    **{name: value for name, value in vars(runtime).items() if callable(value) and not name.startswith("__")},
}
_factories: dict[str, Callable[..., Any]] = {}
_MAX_FACTORIES: Final = 10_000


def factory(parameters: str, body: str) -> Callable[..., Any]:
    """Return what makes functions of one text from their constants; no string of a policy may be in it."""
    text = f"def make({parameters}):\n def rule(q):\n{body} return rule\n"
    factory = _factories.get(text)
    if factory is None:
        if len(_factories) >= _MAX_FACTORIES:
            _factories.clear()
        scope: dict[str, Any] = {}
        exec(compile(text, "<authz rule>", "exec"), _GLOBALS, scope)  # noqa: S102 (our own text: no string of a policy or request is in it)
        factory = _factories[text] = cast("Callable[..., Any]", scope["make"])
    return factory


def local_lines(names: Container[str]) -> str:
    """Write the lines that name parts of a request."""
    return "".join(f"  {name} = {text}\n" for name, text in _LOCALS.items() if name in names)


class RoleTests(NamedTuple):
    """How a role can be held for one tenant: by carrying one of some names, or by a derived role's condition."""

    carried: frozenset[str]
    derived: tuple[tuple[Test, Test], ...]


class Names(Protocol):
    """Whose scopes and roles a condition sees: a `View`."""

    def scope_names(self, name: str) -> frozenset[str]:
        """Return the scopes that grant a scope."""

    def role_tests(self, name: str) -> RoleTests:
        """Return how a role can be held."""

    def held_scopes(self, request: Request) -> frozenset[str]:
        """Return all scopes held."""

    def held_roles(self, request: Request) -> frozenset[str] | None:
        """Return all roles held, None when that is not known."""


class Emitter:
    """Writes one function's text, and collects the constants it takes."""

    def __init__(self, view: Names) -> None:
        """Write for the requests of one view."""
        self.view = view
        self.constants: list[Any] = []
        self.locals: dict[str, None] = {}
        self.temporaries = 0

    # --- Pieces -------------------------------------------------------------------------------

    def constant(self, value: object) -> str:
        self.constants.append(value)
        return f"k{len(self.constants) - 1}"

    def literal(self, node: checked.Const) -> str:
        return self.constant(node.value)

    def local(self, name: str) -> str:
        if name == "resource_attributes":
            self.locals["resource"] = None
        if name == "client_attributes":
            self.locals["client"] = None
        self.locals[name] = None
        return name

    def temporary(self) -> str:
        self.temporaries += 1
        return f"v{self.temporaries}"

    def function(self, expression: str) -> Callable[[Request], Any]:
        """Make the function of an expression; functions of one text share their code."""
        parameters = ", ".join(f"k{index}" for index in range(len(self.constants)))
        body = f"{local_lines(self.locals)}  return {expression}\n"
        return cast("Callable[[Request], Any]", factory(parameters, body)(*self.constants))

    # --- Rules --------------------------------------------------------------------------------

    def who(self, rule: Rule, *, true: bool) -> list[str]:
        """Write *certainly true* or *certainly false* of a rule's WHO, in parts.

        It is true where all parts hold, and false where one does.
        """
        parts = []
        if (rule.kind == "allow" and rule.who != "public") or rule.who == "anyone":
            parts.append("q.subject" if true else "not q.subject")
        if isinstance(rule.who, checked.Names):
            parts.append(self.who_true(rule.who) if true else self.who_false(rule.who))
        return parts

    def face_text(self, rule: Rule, *, true: bool) -> str:
        """Write *certainly true* or *certainly false* of a rule, its WHO and condition."""
        parts = self.who(rule, true=true)
        if rule.condition is not None:
            parts.append(self.true(rule.condition) if true else self.false(rule.condition))
        return (" and " if true else " or ").join(parts) or str(true)

    # --- Conditions ---------------------------------------------------------------------------

    def true(self, node: Core) -> str:
        """Write *certainly true*."""
        match node:
            case checked.And(items):
                return f"({' and '.join(map(self.true, items))})"
            case checked.Or(items):
                return f"({' or '.join(map(self.true, items))})"
            case checked.Not(operand):
                return self.false(operand)
            case checked.Const(value):
                return str(value is True)
            case checked.Unknown():
                return "False"
            case Open(_, possible):
                return str(possible)
            case checked.InSet(checked.Const(value=str() as name), checked.Held(what)):
                return self.held_true(what, name)
            case checked.Equal(left, right, "string") if isinstance(right, checked.Const):
                return f"{self.raw(left)} == {self.literal(right)}"
            case checked.Equal(left, right, kind) if kind not in {"set", "dynamic"}:
                return f"(({self.bind(left, kind)}) is not None and {self.last} == {self.value(right, kind)})"
            case checked.InSet(item, checked.Const() as items, kind) if kind != "dynamic":
                return f"({self.value(item, kind)} in {self.literal(items)})"
            case checked.InSet(item, items, kind) if _is_set_of(items, kind):
                bound = self.bind(item, kind)
                first = self.last
                return f"(({bound}) is not None and ({self.bind(items, 'set')}) is not None and {first} in {self.last})"
            case _:
                return f"({self.truth(node)} is True)"

    def false(self, node: Core) -> str:
        """Write *certainly false*."""
        match node:
            case checked.And(items):
                return f"({' or '.join(map(self.false, items))})"
            case checked.Or(items):
                return f"({' and '.join(map(self.false, items))})"
            case checked.Not(operand):
                return self.true(operand)
            case checked.Const(value):
                return str(value is False)
            case checked.Unknown():
                return "False"
            case Open(_, possible):
                return str(possible)
            case checked.InSet(checked.Const(value=str() as name), checked.Held(what)):
                return self.held_false(what, name)
            case checked.Equal(left, right, kind) if kind not in {"set", "dynamic"}:
                one = self.bind(left, kind)
                first = self.last
                two = self.bind(right, kind)
                return f"(({one}) is not None and ({two}) is not None and {first} != {self.last})"
            case checked.InSet(item, checked.Const() as items, kind) if kind != "dynamic":
                bound = self.bind(item, kind)
                return f"(({bound}) is not None and {self.last} not in {self.literal(items)})"
            case _:
                return f"({self.truth(node)} is False)"

    last = ""
    """The temporary that `bind` assigned last."""

    def bind(self, node: Core, kind: str) -> str:
        """Write an assignment of a value to a temporary, named by `last`."""
        value = self.value(node, kind)
        self.last = self.temporary()
        return f"{self.last} := {value}"

    def truth(self, node: Core) -> str:
        """Write a condition as True, False or None."""
        match node:
            case checked.And(items):
                return f"both(({', '.join(map(self.truth, items))},))"
            case checked.Or(items):
                return f"either(({', '.join(map(self.truth, items))},))"
            case checked.Not(operand):
                return f"negate({self.truth(operand)})"
            case checked.If(condition, yes, no):
                return f"choose_truth({self.truth(condition)}, {self.truth(yes)}, {self.truth(no)})"
            case checked.Equal() | checked.Order() | checked.InRange() | checked.SetTest():
                return self.comparison(node)
            case checked.InSet() | checked.InNetwork() | checked.InEntity():
                return self.membership(node)
            case checked.Like() | checked.Under() | checked.Matches():
                return self.text_test(node)
            case checked.Has(operand):
                return self.has(operand)
            case _:
                return self.value(node, "bool")

    def comparison(self, node: checked.Equal | checked.Order | checked.InRange | checked.SetTest) -> str:
        match node:
            case checked.Equal(left, right, "set"):
                return f"sets_equal({self.as_set(left)}, {self.as_set(right)})"
            case checked.Equal(left, right, "dynamic"):
                return f"equal({self.any_value(left)}, {self.any_value(right)})"
            case checked.Equal(left, right, kind):
                return self.when_known((left, right), kind, "{0} == {1}")
            case checked.Order(op, left, right, kind):
                return self.when_known((left, right), _ordered(kind), f"{{0}} {op} {{1}}")
            case checked.InRange(item, low, high, kind):
                return self.when_known((low, item, high), _ordered(kind), "{0} <= {1} <= {2}")
            case checked.SetTest(op, left, right):
                function = "subset" if op == "subset of" else "intersects"
                return f"{function}({self.as_set(left)}, {self.as_set(right)})"

    def when_known(self, operands: Iterable[Core], kind: str, template: str) -> str:
        """Write a comparison that is None where an operand is."""
        names, tests = [], []
        for operand in operands:
            if isinstance(operand, checked.Const):
                names.append(self.literal(operand))
            else:
                tests.append(f"({self.bind(operand, kind)}) is None")
                names.append(self.last)
        comparison = template.format(*names)
        return f"(None if {' or '.join(tests)} else {comparison})" if tests else f"({comparison})"

    def membership(self, node: checked.InSet | checked.InNetwork | checked.InEntity) -> str:
        match node:
            case checked.InSet(checked.Const(value=str() as name), checked.Held(what)):
                # One name may be known to be held or not where the whole set is unknown, as in `true` and `false`.
                return f"(True if {self.held_true(what, name)} else False if {self.held_false(what, name)} else None)"
            case checked.InSet(item, items, kind):
                value = self.any_scalar(item) if kind == "dynamic" else self.value(item, kind)
                return f"member({value}, {self.as_set(items)})"
            case checked.InNetwork(address, network):
                return f"in_network({self.value(address, 'ip')}, {self.literal(network)})"
            case checked.InEntity("resource", entities):
                ancestors = "(None if q.resource is None else q.resource.ancestors)"
                return f"in_entities({ancestors}, {self.any_value(entities)})"
            case checked.InEntity(_, entities):
                reader = self.constant(runtime.reader(_GROUPS))
                groups = f"{reader}({self.local('subject_attributes')}.get({self.constant('groups')}))"
                return f"in_groups({groups}, {self.any_value(entities)})"

    def text_test(self, node: checked.Like | checked.Under | checked.Matches) -> str:
        operand = self.value(node.operand, "string")
        match node:
            case checked.Matches(_, pattern):
                name = self.temporary()
                search = self.constant(_full_match(pattern))
                return f"(None if ({name} := {operand}) is None else {search}({name}) is not None)"
            case checked.Like(_, pieces):
                return f"like({operand}, ({', '.join(map(self.piece, pieces))},))"
            case checked.Under(_, parts):
                if all(isinstance(part, str) for part in parts):
                    return f"under({operand}, {self.constant(split_path(''.join(cast('tuple[str, ...]', parts))))})"
                inserted = tuple(at for at, part in enumerate(parts) if not isinstance(part, str))
                written = ", ".join(self.part(part) for part in parts)
                return f"under({operand}, path_of(({written},), {self.constant(inserted)}))"

    def part(self, part: str | Core) -> str:
        return self.constant(part) if isinstance(part, str) else self.value(part, "string")

    def piece(self, piece: tuple[str | Core, ...]) -> str:
        if all(isinstance(part, str) for part in piece):
            return self.constant("".join(cast("tuple[str, ...]", piece)))
        return f"join(({', '.join(map(self.part, piece))},))"

    def has(self, operand: checked.Read | checked.Follow | checked.Builtin | checked.Unknown) -> str:
        return "False" if isinstance(operand, checked.Unknown) else f"({self.any_value(operand)} is not None)"

    # --- Held scopes and roles ----------------------------------------------------------------

    def held_true(self, what: str, name: str) -> str:
        if what == "scopes":
            return self.carries("scopes", self.view.scope_names(name))
        tests = self.view.role_tests(name)
        return self.role(tests, 0)

    def held_false(self, what: str, name: str) -> str:
        if what == "scopes":
            return f"(not {self.carries('scopes', self.view.scope_names(name))})"
        return self.role(self.view.role_tests(name), 1)

    def carries(self, what: str, names: frozenset[str]) -> str:
        if not names:
            return "False"
        if len(names) == 1:
            return f"({self.constant(next(iter(names)))} in {self.local(what)})"
        return f"(not {self.constant(names)}.isdisjoint({self.local(what)}))"

    def role(self, tests: RoleTests, face: int) -> str:
        """Write that a role is certainly held (face 0) or certainly not (face 1)."""
        carried = self.carries("roles", tests.carried)
        derived = [f"{self.constant(pair[face])}(q)" for pair in tests.derived]
        if face == 0:
            return f"({' or '.join([carried, *derived])})"
        return f"({' and '.join([f'not {carried}', *derived])})"

    def who_true(self, who: checked.Names) -> str:
        """Write that the caller certainly holds the roles or scopes asked for."""
        joint = " and " if who.mode == "all" else " or "
        return f"({joint.join(self.held_true(f'{who.what}s', name) for name in who.names)})"

    def who_false(self, who: checked.Names) -> str:
        """Write that the caller certainly does not hold them."""
        joint = " or " if who.mode == "all" else " and "
        return f"({joint.join(self.held_false(f'{who.what}s', name) for name in who.names)})"

    # --- Values -------------------------------------------------------------------------------

    def value(self, node: Core, kind: str) -> str:
        """Write a value of a known kind, None where it is unknown or of another kind."""
        text = self.any_value(node)
        if isinstance(node, (checked.Const, checked.Builtin)) or kind_of(_type(node)) == kind:
            return text
        name = self.temporary()
        match kind:
            case "string":
                return f"({name} if type({name} := {text}) is str else None)"
            case "bool":
                return f"({name} if ({name} := {text}) is True or {name} is False else None)"
            case "number":
                return f"read_number({text})"
            case "dynamic":
                return text
            case _:  # an undeclared value is never a time, duration or address
                return "None"

    def any_scalar(self, node: Core) -> str:
        text = self.any_value(node)
        return f"as_scalar({text})" if kind_of(_type(node)) == "dynamic" else text

    def raw(self, node: Core) -> str:
        """Write a value whose type a comparison with a constant string will settle."""
        if isinstance(node, (checked.Read, checked.Follow)) and all(isinstance(key, str) for key in node.keys):
            return self.walk(node)
        return self.value(node, "string")

    def any_value(self, node: Core) -> str:
        """Write a value as its type says, or as it is where it has none."""
        match node:
            case checked.Const():
                return self.literal(node)
            case checked.Read() | checked.Follow():
                return self.read(node)
            case checked.Builtin(name):
                needed, text = _BUILTINS[name]
                if needed:
                    self.local(needed)
                return text
            case checked.Held(what):
                return f"{self.constant(self.view.held_scopes if what == 'scopes' else self.view.held_roles)}(q)"
            case checked.Unknown():
                return "None"
            case checked.If(condition, yes, no, type_):
                kind = kind_of(type_)
                sides = [self.any_value(side) if kind == "dynamic" else self.typed(side, kind) for side in (yes, no)]
                choose = "choose_any" if kind == "dynamic" else "choose"
                return f"{choose}({self.truth(condition)}, {sides[0]}, {sides[1]})"
            case checked.Coalesce(items, type_):
                return self.coalesce(items, kind_of(type_))
            case checked.Sum():
                return self.sum(node)
            case checked.Call():
                return self.call(node)
            case _:
                return self.truth(node)

    def typed(self, node: Core, kind: str) -> str:
        return self.as_set(node) if kind == "set" else self.value(node, kind)

    def as_set(self, node: Core) -> str:
        text = self.any_value(node)
        return text if kind_of(_type(node)) == "set" else f"as_set({text})"

    def walk(self, node: checked.Read | checked.Follow) -> str:
        root = self.entity(node) if isinstance(node, checked.Follow) else self.local(_ROOTS[node.root])
        if len(node.keys) == 1 and isinstance(node.keys[0], str):
            return f"{root}.get({self.constant(node.keys[0])})"
        return f"walk({root}, ({self.keys(node)}))"

    def entity(self, node: checked.Follow) -> str:
        """Write the attributes of the entity that a reference leads to; none where there is no such entity."""
        return f"follow(q.entities, {self.constant(node.target)}, {self.read(node.reference)})"

    def keys(self, node: checked.Read | checked.Follow) -> str:
        keys = [self.constant(key) if isinstance(key, str) else self.value(key, "string") for key in node.keys]
        return "".join(f"{key}, " for key in keys)

    def read(self, node: checked.Read | checked.Follow) -> str:
        text = self.walk(node)
        name = self.temporary()
        match node.type.kind:
            case "dynamic" | "any":
                return text
            case "string" | "ref":
                return f"({name} if type({name} := {text}) is str else None)"
            case "bool":
                return f"({name} if ({name} := {text}) is True or {name} is False else None)"
            case "number":
                return f"read_number({text})"
            case _:
                return f"{self.constant(runtime.reader(node.type))}({text})"

    def coalesce(self, items: tuple[Core, ...], kind: str) -> str:
        """Write each attribute beside the test of its absence, and what stands where all are missing (L37)."""
        *attributes, last = items
        pairs = []
        for item in attributes:
            if isinstance(item, checked.Unknown):
                continue
            value = self.typed(item, kind) if kind != "dynamic" else self.any_value(item)
            pairs.append(f"({self.absent(item)}, {value}), ")
        text = self.typed(last, kind) if kind != "dynamic" else self.any_value(last)
        return f"first_present(({''.join(pairs)}), {text})"

    def absent(self, node: Core) -> str:
        """Write that an attribute is missing, rather than there and of the wrong type (L37)."""
        match node:
            case checked.Read():
                return f"absent({self.local(_ROOTS[node.root])}, ({self.keys(node)}))"
            case checked.Follow(reference, target):
                lost = f"{self.absent(reference)}, {self.constant(target)}, {self.read(reference)}"
                return f"absent_behind(q.entities, {lost}, ({self.keys(node)}))"
            case _:
                return f"{self.any_value(node)} is None"

    def sum(self, node: checked.Sum) -> str:
        kind = node.type.kind
        if kind not in {"number", "time", "duration"}:
            return "None"
        if kind == "number":
            written = "".join(f"({sign}, {self.value(operand, 'number')}), " for sign, operand in node.operands)
            return f"sum_numbers(({written}))"
        written = "".join(
            f"({sign}, {self.value(operand, kind_of(_type(operand)))}), " for sign, operand in node.operands
        )
        return f"sum_times(({written}), {self.constant(_running_kinds(node))})"

    def call(self, node: checked.Call) -> str:
        first = node.arguments[0]
        match node.function:
            case "time":
                return f"read_time({self.value(first, 'string')})"
            case "ip":
                return f"read_address({self.value(first, 'string')})"
            case "hour" | "weekday":
                zone = self.literal(cast("checked.Const", node.arguments[1]))
                return f"{node.function}({self.value(first, 'time')}, {zone})"
            case "size":
                return f"size({self.any_value(first)})"
            case _:
                arguments = ", ".join(self.value(argument, "string") for argument in node.arguments)
                return f"{node.function}({arguments})"


_GROUPS: Final = Type("set", STRING)


def _is_set_of(node: Core, kind: str) -> bool:
    """Say whether a set is declared to hold one scalar kind: then no members can be unlike."""
    item = _type(node).item
    return kind != "dynamic" and item is not None and kind_of(item) == kind


def _ordered(kind: str) -> str:
    """Two undeclared values can only be ordered as numbers."""
    return "number" if kind == "dynamic" else kind


def _type(node: Core) -> Type:
    return getattr(node, "type", BOOL)


def _running_kinds(node: checked.Sum) -> tuple[str, ...]:
    """Return the kind of each partial result of a sum of times and durations."""
    kinds: list[str] = []
    for sign, operand in node.operands:
        kind = kind_of(_type(operand))
        before = kinds[-1] if kinds else ""
        if before == "time" and kind == "time" and sign < 0:
            kinds.append("duration")
        else:
            kinds.append("time" if "time" in {before, kind} else "duration")
    return tuple(kinds)


def _full_match(pattern: str) -> Callable[[str], object]:
    import re2  # noqa: PLC0415 (only policies with `matches` pay for it)

    options = re2.Options()
    options.log_errors = False
    return cast("Callable[[str], object]", re2.compile(pattern, options).fullmatch)


def condition_tests(view: Names, condition: Core) -> tuple[Test, Test]:
    """Return the functions *certainly true* and *certainly false* of a condition."""
    true, false = Emitter(view), Emitter(view)
    return true.function(true.true(condition)), false.function(false.false(condition))


def value_of(view: Names, node: Core) -> Value:
    """Return the function that evaluates an expression; None means unknown."""
    emitter = Emitter(view)
    return emitter.function(emitter.any_value(node))
