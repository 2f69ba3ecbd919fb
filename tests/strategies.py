"""Random valid policies, and random requests that meet them often.

A policy is drawn as a small tree of text (`Policy`, `File`, `Tenant`, `Block`, `Statement`) over tiny
vocabularies, so that its parts can be shuffled, repeated, added and exchanged without touching the parser.
Conditions are drawn by type: `Writer.value("number", 2)` writes an expression of that type, so that every
policy is valid by construction. What a policy may say of an attribute depends on where it stands (L13): a
`Place` knows which attributes can be read there, and under which type.

With `hiding=False` a policy uses neither `has` nor `??`, which is what L52 is about.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from hypothesis import strategies as st

from authz.lang.parser import parse_policy
from authz.lang.source import Source
from authz.lang.validator import validate
from authz.model import Client, Request, Resource, ToolInfo
from authz.pdp.compiler import compile_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from authz.lang import ast
    from authz.model import Value
    from authz.pdp.program import Program

T = TypeVar("T")

# --- Vocabularies ---------------------------------------------------------------------------

TOOLS: Final = ("read_doc", "write_doc", "delete_doc", "x")
PATTERNS: Final = ("*", "*_doc", "read_doc", "*", "write_doc", "delete_*", "read_*", "x", "w*t*_d*c", "re*_doc*")
SCOPES: Final = ("docs:read", "docs:write", "docs:admin", "mail")
ROLES: Final = ("viewer", "editor", "admin", "auditor", "owner", "fresh", "lead")
TENANTS: Final = ("", "acme", "globex")
STRANGE_SCOPE: Final = "strange:scope"
STRANGE_ROLE: Final = "stranger"
"""Names that no generated policy mentions."""
NOW: Final = datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC)
"""Half a minute before a change to summer time in Berlin."""

RECORD: Final = "{ who: string, level?: number, deep?: { on: bool } }"
UNION: Final = '"private" | "org"'
SHAPES: Final[Mapping[str, Mapping[str, str]]] = {
    "document": {
        "owner": "string",
        "visibility": UNION,
        "size": "number",
        "flag": "bool",
        "made": "time",
        "ttl": "duration",
        "addr": "ip",
        "path": "string",
        "tags": "set<string>",
        "nums": "set<number>",
        "slots": "set<time>",
        "waits": "set<duration>",
        "labels": "map<string>",
        "counts": "map<number>",
        "meta": RECORD,
        "folder": "ref<folder>",
        "keeper": "ref<subject>",
    },
    "folder": {"owner": "string", "size": "number", "tags": "set<string>", "color": "string", "flag": "bool"},
    "subject": {
        "level": "number",
        "department": "string",
        "joined": "time",
        "badges": "set<string>",
        "boss": "ref<subject>",
    },
    "context": {
        "mfa": "bool",
        "ip": "ip",
        "auth_time": "time",
        "risk": "number",
        "channel": "string",
        "window": "duration",
        "seen": "set<ip>",
    },
    "client": {"trust": "number", "verified": "bool"},
    "args": {"path": "string", "force": "bool", "n": "number", "items": "set<string>", "at": "time"},
}
"""The attributes there can be, each under one type wherever it is declared (L13)."""

BUILT_IN: Final[Mapping[str, tuple[str, ...]]] = {
    "string": (
        "subject.id", "client.id", "tenant", "tool.name", "tool.server", "resource.type", "resource.id",
        "resource.tenant",
    ),
    "set<string>": ("scopes", "roles", "subject.groups", "tool.tags", "resource.ancestors"),
    "bool": ("tool.read_only", "tool.destructive", "tool.idempotent", "tool.open_world"),
    "time": ("now",),
}  # fmt: skip

LITERALS: Final[Mapping[str, tuple[str, ...]]] = {
    "string": (
        '"alice"', '"a"', '""', '"acme"', '"editor"', '"docs:read"', '"lead"', '"a*b"', '"\\u{e9}"', '"q\\"\\\\\\n"',
        '"{tenant}"',
    ),
    "number": ("1", "0", "2", "-1", "0.5", "0.0001", "9007199254740992", "-2.25"),
    "bool": ("true", "false"),
    "time": ('time("2026-03-29T00:00:00Z")', 'time("2026-03-29T02:59:30+02:00")', 'time("0001-01-01T00:00:00Z")'),
    "duration": ("15m", "0s", "1h", "-1d", "500ms", "3660000d"),
    "ip": ('ip("10.0.0.1")', 'ip("::ffff:10.0.0.1")', 'ip("2001:db8::1")'),
    "set<string>": ('["a", "b"]', '["alice"]', '["docs:read", "editor"]', '["a", "a"]'),
    "set<number>": ("[1, 2]", "[0.5]", "[1, 1]"),
    "set<duration>": ("[15m, 1h]", "[60s]"),
}  # fmt: skip
SCALARS: Final = ("string", "number", "bool", "time", "duration", "ip")
SETS: Final = ("set<string>", "set<number>", "set<time>", "set<duration>", "set<ip>")
ORDERED: Final = ("number", "time", "duration")

WHOLE_SETS: Final = (
    "size(roles) < 3",
    "size(scopes) > 1",
    "size(roles) != 2",
    'roles subset of ["viewer", "editor", "auditor"]',
    'scopes == ["docs:read"]',
    "size(scopes) in [0, 2]",
    'roles intersects ["admin", "lead"]',
)
"""Conditions that tell a name that is known from one that is not (L30)."""
LIMIT_KEYS: Final = ("subject", "client", "tenant", "tool", "ip")
LIKE: Final = ("a*", "*", "{subject.id}*", "*-{tenant}", "{{*}}", "*{lower(client.id)}", "a\\u{e9}*b")
UNDER: Final = ("/docs", "/docs/{tenant}", "/", "docs/{subject.id}", "/docs/pre-{subject.id}/x")
MATCHES: Final = ("[a-z]+", "(a|b)*", "\\\\d+", ".*", "(?i)ALICE")

GOOD: Final[Mapping[str, tuple[Any, ...]]] = {
    "string": ("alice", "bob", "a", "/docs/acme/x", "docs/alice", "private", ""),
    "number": (1, 0, 2, -1, 0.5, 0.0001, 2**53, 1.0, 900_000_000_000.0),
    "bool": (True, False),
    "time": ("2026-03-29T00:00:00Z", "2026-03-29T02:59:30+02:00", "0001-01-01T00:00:00Z",
             "9999-12-31T23:59:59.999999999Z", "2026-03-29T00:59:30.5Z"),
    "duration": ("15m", "0s", "1h", "500ms", "-1d", "3660000d"),
    "ip": ("10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "192.168.1.7"),
    "set<string>": (["a", "b"], [], ["alice"], ["b", "a", "b"]),
    "set<number>": ([1, 2], [], [0.5, 0.5], [1.0]),
    "set<time>": (["2026-03-29T00:59:30Z"], [], ["2026-03-29T02:59:30+02:00", "2026-03-29T00:59:30Z"]),
    "set<duration>": (["15m", "1h"], [], ["60m"]),
    "set<ip>": (["10.0.0.1"], [], ["::ffff:10.0.0.1", "2001:db8::1"]),
    "map<string>": ({"env": "alice", "alice": "a"}, {}, {"acme": "x"}),
    "map<number>": ({"env": 1}, {}, {"env": 2, "n": 1}),
    RECORD: ({"who": "alice", "level": 1, "deep": {"on": True}}, {"who": "bob"}, {"who": "a", "deep": {"on": False}}),
    UNION: ("private", "org"),
    "ref<folder>": ("f1", "alice"),
    "ref<subject>": ("alice", "bob"),
}  # fmt: skip
"""Request values that are of a type."""

WRONG: Final[tuple[Any, ...]] = (
    None, 1, True, "1", "alice", "public", 2**53 + 1, 0.00001, 0.30000000000000004, 1e300, -9e11 - 0.5, "x\x00y",
    "/docs/../etc", "/docs/%2e%2E/x", "/docs//x", "C:\\x", "e\u0301", "\u202e", "2026-13-01T00:00:00Z", "2026-03-29",
    "2026-03-29t00:00:00z", "2026-03-29T23:59:60Z", "2026-03-29T00:00:00", "0000-01-01T00:00:00Z", "15 m", "1h30m",
    "3660001d", "10.0.0.256", "fe80::1%eth0", "010.0.0.1", "10.0.0.0/8", [], ["a", 1], ["a", None], [True, 1],
    [1, 1.5], [["a"]], [0.00001], {}, {"who": 1}, {"who": None, "deep": {}}, {"env": None}, {"env": ["a"]},
    [{"a": 1}], {"deep": {"on": "true"}}, {"id": "f1", "owner": "alice"},
)  # fmt: skip
"""Values at the borders of types, of which most are of the wrong one wherever they stand."""


# --- Choices --------------------------------------------------------------------------------


@cache
def _below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


class Chooser:
    """Draw choices; the first option is the simplest, to which Hypothesis shrinks."""

    def __init__(self, draw: st.DrawFn) -> None:
        """Draw from one example."""
        self.draw = draw

    def below(self, count: int) -> int:
        """Return a number from 0 to `count` - 1."""
        return self.draw(_below(count)) if count > 1 else 0

    def one(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.below(len(options))]

    def chance(self, wins: int, of: int) -> bool:
        """Return true in `wins` of `of` cases."""
        return self.below(of) >= of - wins

    def some(self, options: Sequence[T], most: int, least: int = 1) -> tuple[T, ...]:
        """Return `least` to `most` different options."""
        rest = list(options)
        count = least + self.below(min(most, len(rest)) - least + 1)
        return tuple(rest.pop(self.below(len(rest))) for _ in range(count))


# --- The tree of text -----------------------------------------------------------------------


def quoted(names: Sequence[str]) -> str:
    """Write names as a list of strings."""
    return ", ".join(f'"{name}"' for name in names)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: `kind "label" who names rest`, whichever there are."""

    kind: str
    label: str = ""
    who: str = ""
    names: tuple[str, ...] = ()
    rest: str = ""

    def __str__(self) -> str:
        label = f'"{self.label}"' if self.label else ""
        return " ".join(part for part in (self.kind, label, self.who, quoted(self.names), self.rest) if part)


@dataclass(frozen=True, slots=True)
class Block:
    """One tool block; patterns are written as they stand, with quotes or `@`."""

    patterns: tuple[str, ...]
    excepted: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()

    def __str__(self) -> str:
        head = f"tool {', '.join(self.patterns)}"
        head += f" except {', '.join(self.excepted)}" if self.excepted else ""
        head += f" ({', '.join(self.arguments)})" if self.arguments else ""
        head += f" on {quoted(self.types)}" if self.types else ""
        return "\n".join((f"{head} {{", *(f"  {s}" for s in self.statements), "}"))


@dataclass(frozen=True, slots=True)
class Tenant:
    """One `tenant` block."""

    patterns: tuple[str, ...]
    items: tuple[Item, ...]

    def __str__(self) -> str:
        return "\n".join((f"tenant {quoted(self.patterns)} {{", *map(str, self.items), "}"))


Item = str | Block | Tenant
"""A declaration written out, or a block whose parts can be moved."""


@dataclass(frozen=True, slots=True)
class File:
    """One file. `str()` is its text."""

    name: str
    items: tuple[Item, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.items)) + "\n"


@dataclass(frozen=True, slots=True)
class Policy:
    """Files in some order."""

    files: tuple[File, ...]

    def __str__(self) -> str:
        return "\n".join(f"# --- {file.name}\n{file}" for file in self.files)

    @property
    def text(self) -> str:
        """Return the text of all files."""
        return "".join(map(str, self.files))


def parse_text(name: str, text: str) -> tuple[Source, ast.PolicyFile]:
    """Parse a text that must be free of syntax errors."""
    source = Source(name, text)
    tree, diagnostics = parse_policy(source)
    assert not diagnostics, "\n".join([*map(str, diagnostics), text])
    return source, tree


def parse(policy: Policy) -> list[tuple[Source, ast.PolicyFile]]:
    """Parse every file, in the policy's order."""
    return [parse_text(file.name, str(file)) for file in policy.files]


def build(policy: Policy) -> Program:
    """Compile a policy that must be valid."""
    return compile_policy(validate(parse(policy)))


# --- What can be read where (L13) -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Schema:
    """Which attributes a policy declares: shape to attribute to whether it is optional."""

    declared: Mapping[str, Mapping[str, bool]]
    global_folder: bool

    def write(self) -> list[str]:
        """Write the declarations."""
        return [self._shape(shape) for shape in self.declared if shape != "args"]

    def fields(self, shape: str) -> tuple[str, ...]:
        """Write the fields of one shape."""
        types = SHAPES[shape]
        return tuple(
            f"{name}{'?' if optional else ''}: {self.type(types[name])}"
            for name, optional in self.declared[shape].items()
        )

    def type(self, name: str) -> str:
        """Return the type under which an attribute is declared: a `ref` needs its target declared."""
        return "string" if name == "ref<folder>" and "folder" not in self.declared else name

    def _shape(self, shape: str) -> str:
        head = f'resource "{shape}"' if shape in {"document", "folder"} else shape
        head += " global" if shape == "folder" and self.global_folder else ""
        return f"{head} {{ {', '.join(self.fields(shape))} }}"


@dataclass(frozen=True, slots=True)
class Place:
    """What an expression may read at one place, by type.

    `attributes` are those that can stand before `??` and, split at the last dot, after `has`.
    `typed` are the leaves whose type is declared: two dynamic values make no time or duration by `+` and `-`.
    `lets` are the names known here, with their types.
    """

    leaves: Mapping[str, Sequence[str]]
    typed: Mapping[str, Sequence[str]]
    attributes: Mapping[str, Sequence[str]]
    lets: Mapping[str, str] = field(default_factory=dict)
    hiding: bool = True


def place(schema: Schema, types: Sequence[str], *, args: bool | None, everywhere: bool = False) -> Place:
    """Find what can be read in a block on these types ("" for none named), and with arguments declared or not.

    With `everywhere`, find what can be read at every place: what a `let` may say.
    """
    leaves: dict[str, list[str]] = {kind: list(names) for kind, names in BUILT_IN.items()}
    typed: dict[str, list[str]] = {"time": ["now"]}
    attributes: dict[str, list[str]] = {"string": ["client.id", "resource.id"], "bool": ["tool.read_only"]}
    for root, names, declared in _shapes(schema, types, args=args, everywhere=everywhere):
        kinds = {**SHAPES["folder"], **SHAPES["document"]} if root == "resource" else SHAPES[root]
        for name in names:
            kind = schema.type(kinds[name])
            leaves.setdefault(kind, []).append(f"{root}.{name}")
            attributes.setdefault(kind, []).append(f"{root}.{name}")
            if declared and not (everywhere and root in {"args", "resource"}):
                typed.setdefault(kind, []).append(f"{root}.{name}")
            _inner(schema, leaves, attributes, f"{root}.{name}", kind, declared=declared)
            if not declared and not everywhere and kind in {"time", "ip"}:
                leaves[kind].append(f"{kind}({root}.{name})")
    return Place(leaves, typed, attributes)


def _shapes(
    schema: Schema, types: Sequence[str], *, args: bool | None, everywhere: bool
) -> list[tuple[str, list[str], bool]]:
    shapes: list[tuple[str, list[str], bool]] = []
    for shape in ("subject", "context", "client"):
        known = schema.declared.get(shape)
        shapes.append((shape, list(SHAPES[shape] if known is None else known), known is not None))
    arguments = schema.declared["args"]
    # What is declared for some blocks only is dynamic in the others: a `let` takes what is valid in both.
    shapes.append(("args", list(arguments if args or everywhere else SHAPES["args"]), bool(args)))
    resources = [shape for shape in ("document", "folder") if shape in schema.declared]
    if types and not everywhere:
        resources = [r for r in resources if any(t == r or (t.endswith("*") and r.startswith(t[:-1])) for t in types)]
    sets = [schema.declared[shape] for shape in resources]
    strict = everywhere or (bool(types) and set(types) <= set(resources))
    names = list(SHAPES["document"]) if not sets else [
        name for name in {**SHAPES["document"], **SHAPES["folder"]}
        if (all if strict else any)(name in known for known in sets)
    ]  # fmt: skip
    shapes.append(("resource", names, bool(sets)))
    return shapes


def _inner(
    schema: Schema,
    leaves: dict[str, list[str]],
    attributes: dict[str, list[str]],
    path: str,
    kind: str,
    *,
    declared: bool,
) -> None:
    if kind == RECORD:
        inner = {"string": f"{path}.who", "number": f'{path}["level"]', "bool": f"{path}.deep.on"}
        for inner_kind, inner_path in inner.items():
            leaves.setdefault(inner_kind, []).append(inner_path)
        attributes["string"].append(f"{path}.who")
        attributes["bool"].append(f"{path}.deep.on")
    if kind in {"map<string>", "map<number>"}:
        item = kind[4:-1]
        leaves.setdefault(item, []).extend((f"{path}.env", f'{path}["n"]', f"{path}[subject.id]"))
        attributes[item].append(f"{path}.env")
    if kind.startswith("ref<") and declared:
        leaves["string"].append(f"{path}.id")
        target = kind[4:-1]
        known = schema.declared.get(target, {})
        for behind in (path, f"{path}.boss") if "boss" in known else (path,):  # a reference behind a reference
            for name in known:
                inner_kind = schema.type(SHAPES[target][name])
                leaves.setdefault(inner_kind, []).append(f"{behind}.{name}")
                attributes.setdefault(inner_kind, []).append(f"{behind}.{name}")


# --- Expressions (L30-L39) ------------------------------------------------------------------

IF, OR, AND, NOT, COMPARE, RANGE, SUM, COALESCE, ATOM = range(9)


class Text(NamedTuple):
    """An expression, and how loosely its outermost operator binds."""

    text: str
    level: int = ATOM


class Writer:
    """Write expressions by type for one place."""

    def __init__(self, chooser: Chooser, where: Place) -> None:
        """Read what can be read there."""
        self.choose = chooser
        self.where = where

    # A name for each way of writing; those that read more or nest deeper come later.
    def condition(self, depth: int = 2) -> Text:
        """Write a condition."""
        ways = [self._equal, self._order, self._member, self._truth, self._text_test, self._sets, self._entity]
        ways += [self._measure, self._names]
        if self.where.hiding:
            ways.append(self._has)
        if depth > 0:
            ways += [self._junction, self._junction, self._not, self._if, self._compared]
        return self.choose.one(ways)(depth)

    def written(self, depth: int = 2) -> str:
        """Write a condition where it needs no parentheses."""
        return self.condition(depth).text

    def value(self, kind: str, depth: int) -> Text:
        """Write a value of a type."""
        ways = [self._leaf, self._leaf, self._literal]
        if kind in self.where.lets.values():
            ways.append(self._let)
        if depth > 0:
            if kind in ORDERED:
                ways += [self._sum, self._sum]
            if kind in {"string", "number"}:
                ways += [self._function, self._function]
            if self.where.hiding:
                ways.append(self._coalesce)
            ways.append(self._if_value)
        return self.choose.one(ways)(kind, depth)

    def _at(self, text: Text, level: int) -> str:
        return text.text if text.level >= level else f"({text.text})"

    def _leaf(self, kind: str, depth: int) -> Text:
        leaves = self.where.leaves.get(kind)
        return Text(self.choose.one(leaves)) if leaves else self._literal(kind, depth)

    def _literal(self, kind: str, depth: int) -> Text:
        literals = LITERALS.get(kind)
        return Text(self.choose.one(literals)) if literals else Text(self.choose.one(self.where.leaves[kind]))

    def _let(self, kind: str, depth: int) -> Text:
        return Text(self.choose.one([name for name, of in self.where.lets.items() if of == kind]))

    def _if_value(self, kind: str, depth: int) -> Text:
        condition, yes, no = self.condition(depth - 1), self.value(kind, depth - 1), self.value(kind, depth - 1)
        return Text(f"if {condition.text} then {yes.text} else {no.text}", IF)

    def _coalesce(self, kind: str, depth: int) -> Text:
        paths = self.where.attributes.get(kind)
        if not paths:
            return self._leaf(kind, depth)
        left = [*self.choose.some(paths, 2), *(name for name, of in self.where.lets.items() if of == f"attr {kind}")]
        return Text(" ?? ".join([*left, self._at(self.value(kind, 0), ATOM)]), COALESCE)

    def _sum(self, kind: str, depth: int) -> Text:
        sign = self.choose.one(("-", "+"))
        if kind == "duration" and self.choose.chance(1, 3):
            return self._joined("time", "-", "time", depth)
        return self._joined(kind, sign, "duration" if kind == "time" else kind, depth)

    def _joined(self, left: str, sign: str, right: str, depth: int) -> Text:
        first, second = self._operand(left, depth - 1), self._operand(right, depth - 1)
        return Text(f"{self._at(first, SUM)} {sign} {self._at(second, COALESCE)}", SUM)

    def _operand(self, kind: str, depth: int) -> Text:
        if kind == "number":
            return self.value(kind, depth)
        if depth > 0 and self.choose.chance(1, 2):
            return self._sum(kind, depth)
        return Text(self.choose.one((*self.where.typed.get(kind, ()), *LITERALS[kind])))

    def _function(self, kind: str, depth: int) -> Text:
        inner = max(depth - 1, 0)
        if kind == "string":
            return Text(f"lower({self.value('string', inner).text})")
        match self.choose.below(3):
            case 0:
                return Text(f"size({self.value(self.choose.one(self._sized()), inner).text})")
            case 1:
                return Text(f'hour({self.value("time", inner).text}, "Europe/Berlin")')
            case _:
                return Text(f'weekday({self.value("time", inner).text}, "Pacific/Kiritimati")')

    def _sized(self) -> list[str]:
        return ["string", "set<string>", *(k for k in (*SETS, "map<string>") if k in self.where.leaves)]

    def _kinds(self, kinds: Sequence[str]) -> list[str]:
        return [kind for kind in kinds if kind in self.where.leaves or kind in LITERALS]

    # --- conditions ---

    def _equal(self, depth: int) -> Text:
        op = self.choose.one(("==", "!="))
        special = self.choose.below(8)
        if special == 7 and (unions := self.where.leaves.get(UNION)):
            option = self.choose.one(('"org"', '"private"'))
            return Text(f"{self.choose.one(unions)} {op} {option}", COMPARE)
        refs = [*self.where.leaves.get("ref<subject>", ()), *self.where.leaves.get("ref<folder>", ())]
        if special == 6 and refs:
            return Text(f"{self.choose.one(refs)} {op} {self._at(self.value('string', 1), RANGE)}", COMPARE)
        kind = self.choose.one(self._kinds((*SCALARS, *SETS)))
        left, right = self._leaf(kind, 0), self.value(kind, max(depth, 1))
        return Text(f"{left.text} {op} {self._at(right, RANGE)}", COMPARE)

    def _order(self, depth: int) -> Text:
        kind = self.choose.one(ORDERED)
        op = self.choose.one(("<", "<=", ">", ">="))
        left, right = self.value(kind, max(depth, 1)), self.value(kind, max(depth - 1, 0))
        return Text(f"{self._at(left, RANGE)} {op} {self._at(right, RANGE)}", COMPARE)

    def _member(self, depth: int) -> Text:
        op = self.choose.one(("in", "not in"))
        match self.choose.below(4):
            case 0:
                name = self.choose.one((*ROLES, *SCOPES))
                return Text(f'"{name}" {op} {"scopes" if ":" in name else "roles"}', COMPARE)
            case 1:
                kind = self.choose.one(ORDERED)
                left, low, high = (self.value(kind, max(depth - 1, 0)) for _ in range(3))
                return Text(f"{self._at(left, RANGE)} {op} {self._at(low, SUM)}..{self._at(high, SUM)}", COMPARE)
            case 2:
                net = self.choose.one(("10.0.0.0/8", "2001:db8::/32", "10.0.0.1/32", "0.0.0.0/0"))
                return Text(f'{self._at(self.value("ip", 0), RANGE)} {op} cidr("{net}")', COMPARE)
            case _:
                kind = self.choose.one(self._kinds(SETS))
                left, right = self.value(kind[4:-1], 0), self.value(kind, depth - 1)
                return Text(f"{self._at(left, RANGE)} {op} {self._at(right, RANGE)}", COMPARE)

    def _truth(self, depth: int) -> Text:
        if "condition" in self.where.lets.values() and self.choose.chance(2, 3):
            return self._let("condition", depth)
        text = self.value("bool", 0)
        return text if text.level == ATOM else Text(f"({text.text})")

    def _text_test(self, depth: int) -> Text:
        left = self.choose.one([self.value("string", max(depth - 1, 0)), *map(Text, self._strings())])
        side = self._at(left, RANGE)
        match self.choose.below(5):
            case 0:
                return Text(f'{side} {self.choose.one(("like", "not like"))} "{self.choose.one(LIKE)}"', COMPARE)
            case 1 | 2:
                paths = [leaf for leaf in self.where.leaves["string"] if leaf.endswith("path")]
                side = self.choose.one(paths) if paths else side
                return Text(f'{side} under "{self.choose.one(UNDER)}"', COMPARE)
            case 3:
                return Text(f'{side} matches "{self.choose.one(MATCHES)}"', COMPARE)
            case _:
                name = self.choose.one(("starts_with", "ends_with", "contains"))
                return Text(f"{name}({left.text}, {self.value('string', 0).text})")

    def _strings(self) -> list[str]:
        """Return what is a string for `like` and its kind, though of another type."""
        return list(self.where.leaves.get(UNION, ()))

    def _sets(self, depth: int) -> Text:
        kind = self.choose.one(self._kinds(SETS))
        op = self.choose.one(("intersects", "subset of"))
        left, right = self._leaf(kind, 0), self.value(kind, depth - 1)
        return Text(f"{left.text} {op} {self._at(right, RANGE)}", COMPARE)

    def _names(self, _depth: int) -> Text:
        """Read all roles or scopes that are held: every name that is known counts (L30)."""
        return Text(self.choose.one(WHOLE_SETS), COMPARE)

    def _measure(self, depth: int) -> Text:
        measure = self._function("number", depth)
        test = self.choose.one(("== 1", "in 1..6", "> 0", "!= 2", "<= 3", "in [2, 7]"))
        return Text(f"{measure.text} {test}", COMPARE)

    def _entity(self, _depth: int) -> Text:
        op = self.choose.one(("in", "not in"))
        if self.choose.chance(1, 2):
            right = self.choose.one(('"group:eng"', '["group:eng", "group:ops"]', "client.id", "subject.groups"))
            return Text(f"subject {op} {right}", COMPARE)
        right = self.choose.one(('"folder:42"', '["folder:7", "folder:42"]', "resource.ancestors", "resource.id"))
        return Text(f"resource {op} {right}", COMPARE)

    def _has(self, _depth: int) -> Text:
        path = self.choose.one(self.where.attributes[self.choose.one(sorted(self.where.attributes))])
        cut = path.rfind(".") if self.choose.chance(1, 2) else path.find(".")
        return Text(f"{path[:cut]} has {path[cut + 1 :]}", COMPARE)

    def _junction(self, depth: int) -> Text:
        word, level = self.choose.one((("and", AND), ("or", OR)))
        items = [self.condition(depth - 1) for _ in range(2 + self.choose.below(2))]
        return Text(f" {word} ".join(self._at(item, level + 1) for item in items), level)

    def _not(self, depth: int) -> Text:
        return Text(f"not {self._at(self.condition(depth - 1), NOT)}", NOT)

    def _if(self, depth: int) -> Text:
        parts = [self.condition(depth - 1).text for _ in range(3)]
        return Text("if {} then {} else {}".format(*parts), IF)

    def _compared(self, depth: int) -> Text:
        """Use a condition as a value (L50)."""
        left, right = self.condition(depth - 1), self.value("bool", 0)
        return Text(f"({left.text}) {self.choose.one(('==', '!='))} {self._at(right, RANGE)}", COMPARE)


# --- Declarations and blocks ----------------------------------------------------------------


class _Author:
    """Write one policy."""

    def __init__(self, draw: st.DrawFn, *, hiding: bool, depth: int) -> None:
        self.choose = Chooser(draw)
        self.hiding = hiding
        self.depth = depth
        self.schema = self._schema()
        self.lets: dict[str, str] = {}
        self.groups: list[str] = []
        self.labels = 0

    def _schema(self) -> Schema:
        declared: dict[str, Mapping[str, bool]] = {}
        for shape, types in SHAPES.items():
            if shape != "args" and self.choose.chance(1, 4):
                continue
            flags = self.choose.below(1 << len(types))
            declared[shape] = {name: bool(flags >> i & 1) for i, name in enumerate(types)}
        declared.setdefault("args", dict.fromkeys(SHAPES["args"], True))
        return Schema(declared, global_folder=self.choose.chance(1, 2))

    def writer(self, types: Sequence[str] = (), *, args: bool | None = None, everywhere: bool = False) -> Writer:
        found = place(self.schema, types, args=args, everywhere=everywhere)
        return Writer(self.choose, replace(found, lets=dict(self.lets), hiding=self.hiding))

    def condition(self, writer: Writer) -> str:
        return writer.written(self.choose.below(self.depth + 1))

    def declarations(self) -> list[str]:
        items = self.schema.write()
        if self.choose.chance(3, 4):
            items.append('scope "docs:admin" implies "docs:write", "mail"')
            items.append('scope "docs:write" implies "docs:read"' if self.choose.chance(1, 2) else 'scope "docs:write"')
        items.append('role "viewer"')
        if self.choose.chance(3, 4):
            items += ['role "editor" extends "viewer"', 'role "admin" extends "editor"']
        if self.choose.chance(2, 3):
            items.append('tools reading = "read_*", "x"')
            items.append('tools more = @reading, "delete_*"')
            self.groups = ["@reading", "@more"]
        items += self.let_declarations("global", self.choose.below(4))
        for name in self.choose.some(("owner", "fresh"), 2, 0):
            items.append(self.derived_role(name))
        return items

    def let_declarations(self, prefix: str, count: int) -> list[str]:
        items: list[str] = []
        for number in range(count):
            writer = self.writer(everywhere=True)
            name = f"{prefix}{number}"
            kind = self.choose.one(("condition", "string", "number", "set<string>", "attr string", "time"))
            if kind == "condition":
                text = self.condition(writer)
            elif kind == "attr string":
                text = self.choose.one(writer.where.attributes["string"])
            else:
                text = writer.value(kind, self.choose.below(2)).text
            items.append(f"let {name} = {text}")
            self.lets[name] = kind
        return items

    def derived_role(self, name: str) -> str:
        extends = ' extends "viewer"' if self.choose.chance(1, 2) else ""
        return f'role "{name}"{extends} when {self.condition(self.writer())}'

    def patterns(self, most: int) -> tuple[str, ...]:
        if most > 1 and self.choose.chance(1, 3):
            return ('"*"',)
        return self.choose.some([*(f'"{p}"' for p in PATTERNS), *self.groups], most)

    def block(self) -> Block:
        types = self.choose.one(
            ((), (), ("document",), ("doc*",), ("blob",), ("document", "folder"), ("*",), ("document", "blob"))
        )
        args = self.choose.chance(1, 2)
        writer = self.writer(types, args=args)
        statements = [self.statement(writer) for _ in range(1 + self.choose.below(4))]
        return Block(
            patterns=self.patterns(2),
            excepted=self.patterns(1) if self.choose.chance(1, 5) else (),
            arguments=self.schema.fields("args") if args else (),
            types=types,
            statements=tuple(statements),
        )

    def statement(self, writer: Writer, kinds: Sequence[str] = ()) -> Statement:
        ways = {
            "allow": self.allow,
            "deny": self.deny,
            "require": self.require,
            "oblige": self.oblige,
            "limit": self.limit,
        }
        weighted = kinds or ("allow",) * 6 + ("deny",) * 3 + ("require",) * 3 + ("oblige", "limit")
        return ways[self.choose.one(weighted)](writer)

    def allow(self, writer: Writer) -> Statement:
        who, names = self.who(("role", "role any", "role all", "scope", "scope any", "anyone", "public", ""))
        across = self.choose.chance(1, 5)
        must = across or not who
        rest = "across tenants" if across else ""
        rest += self.tests(writer, must=must)
        rest += self.because()
        for _ in range(self.choose.below(3) if self.choose.chance(1, 3) else 0):
            rest += f" then {self.obligation()}"
        return Statement("allow", self.label(), who, names, rest.strip())

    def deny(self, writer: Writer) -> Statement:
        who, names = self.who(("", "role", "role all", "scope", "scope any", "anyone", "public"))
        return Statement("deny", self.label(), who, names, (self.tests(writer, must=not who) + self.because()).strip())

    def require(self, writer: Writer) -> Statement:
        who, names = self.who(("", "scope", "", "role", "scope any", "", "scope all", "role all"))
        return Statement("require", "", who, names, "" if who else f"when {self.condition(writer)}")

    def oblige(self, _writer: Writer) -> Statement:
        return Statement("oblige", rest=self.obligation())

    def limit(self, _writer: Writer) -> Statement:
        return Statement("limit", rest=f"10 per 1m by {', '.join(self.choose.some(LIMIT_KEYS, 5))}")

    def who(self, forms: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        form = self.choose.one(forms)
        if form in {"", "anyone", "public"}:
            return form, ()
        return form, self.choose.some(ROLES if form.startswith("role") else SCOPES, 2)

    def tests(self, writer: Writer, *, must: bool) -> str:
        when = must or self.choose.chance(1, 2)
        text = f" when {self.condition(writer)}" if when else ""
        return text + (f" unless {self.condition(writer)}" if self.choose.chance(1, 4) else "")

    def because(self) -> str:
        return ' because "Told \\"so\\" {here} \\u{e9}"' if self.choose.chance(1, 5) else ""

    def label(self) -> str:
        self.labels += 1
        return f"{self.choose.one('mza')}{self.labels}" if self.choose.chance(3, 4) else ""

    def obligation(self) -> str:
        name = self.choose.one(("log", "notify"))
        parameters = ("", ' { to: "x" }', " { n: 1, on: true }", ' { wait: 5m, of: ["a"] }', " {}")
        return f'"{name}"{self.choose.one(parameters)}'

    def tenant_block(self, patterns: tuple[str, ...], role: str = "") -> Tenant:
        before = dict(self.lets)
        items: list[Item] = list(self.let_declarations(f"local_{len(self.lets)}_", self.choose.below(3)))
        if role and self.choose.chance(2, 3):
            items.append(self.derived_role(role))
        items += [self.block() for _ in range(1 + self.choose.below(2))]
        self.lets = before
        return Tenant(patterns, tuple(items))


@st.composite
def policies(draw: st.DrawFn, *, hiding: bool = True, depth: int = 2, labelled: bool = False) -> Policy:
    """Draw a valid policy of one to three files; with `labelled`, every allow and deny has a label."""
    author = _Author(draw, hiding=hiding, depth=depth)
    items: list[Item] = [*author.declarations()]
    items += [author.block() for _ in range(1 + author.choose.below(3))]
    files = [File("main.authz", tuple(items))]
    if author.choose.chance(1, 3):
        files.append(File("more/rules.authz", tuple(author.block() for _ in range(2))))
    if author.choose.chance(1, 3):
        patterns, role = author.choose.one(
            ((("acme",), "lead"), (("gl*",), "lead"), (("acme", "globex"), "lead"), (("*",), "lead"), (("none",), ""))
        )
        files.append(File("tenants.authz", (author.tenant_block(patterns, role),)))
    policy = Policy(tuple(files))
    return relabelled(policy) if labelled else policy


_HIERARCHIES: Final = (
    (),
    ('scope "docs:admin" implies "docs:write", "mail"', 'scope "docs:write" implies "docs:read"'),
    ('scope "mail" implies "docs:admin"', 'scope "docs:read"'),
)
_OF_SCOPES: Final = (
    "",
    "",
    'when "mail" in scopes',
    'unless "docs:read" in scopes',
    'when scopes intersects ["docs:write", "mail"]',
    "when size(scopes) < 3",
    'when "docs:admin" in scopes and "editor" in roles',
)


@st.composite
def scope_policies(draw: st.DrawFn) -> Policy:
    """Draw a policy that speaks of little but scopes: what L67 is about."""
    choose = Chooser(draw)

    def statement(label: int) -> Statement:
        kind = choose.one(("allow", "require", "allow", "allow", "deny"))
        if kind == "require":
            return Statement(kind, "", choose.one(("scope any", "scope", "scope all")), choose.some(SCOPES, 3))
        rest = choose.one(_OF_SCOPES if kind == "allow" else _OF_SCOPES[2:])
        if choose.chance(1, 4):
            return Statement(kind, f"r{label}", "role", choose.some(ROLES[:2], 1), rest)
        return Statement(kind, f"r{label}", choose.one(("scope any", "scope")), choose.some(SCOPES, 3), rest)

    statements = tuple(statement(label) for label in range(1 + choose.below(4)))
    block = Block(choose.one((('"*"',), ('"*_doc"',))), statements=statements)
    return Policy((File("main.authz", (*choose.one(_HIERARCHIES), block)),))


@dataclass(frozen=True, slots=True)
class TenantCase:
    """A policy in which only the part of some tenants differs, and the tenants that must not notice (L24)."""

    one: Policy
    other: Policy
    unaffected: tuple[str, ...]


@st.composite
def whole_set_policies(draw: st.DrawFn) -> Policy:
    """Draw a policy that counts all roles and scopes that are held, and mentions few."""
    choose = Chooser(draw)
    kinds = (("allow", "r0"), ("require", ""), ("allow", "r1"), ("deny", "r2"))
    statements = [
        Statement(*choose.one(kinds[:1] if first else kinds[1:]), rest=f"when {choose.one(WHOLE_SETS)}")
        for first in (True, False)
    ]
    declarations = ('role "editor" extends "viewer"', 'role "viewer"', 'scope "mail" implies "docs:read"')
    items: tuple[Item, ...] = (*choose.some(declarations[1:], 2, 0), Block(('"*"',), statements=tuple(statements)))
    return Policy((File("main.authz", items),))


_LEAKS: Final = (
    Statement("allow", "l0", "role", ("lead",)),
    Statement("deny", "l1", rest="when size(roles) == 2"),
    Statement("deny", "l2", "role", ("lead",), 'because "lead"'),
    Statement("require", rest="when size(scopes) < 3"),
    Statement("allow", "l3", rest='when "lead" in roles or size(scopes) == 1'),
)
"""Global statements through which another tenant's derived roles or names would show."""


@st.composite
def tenant_cases(draw: st.DrawFn) -> TenantCase:
    """Draw two policies that differ in one tenant's blocks only; those stand in a file of their own."""
    author = _Author(draw, hiding=True, depth=1)
    leaks = Block(('"*"',), statements=author.choose.some(_LEAKS, 2))
    if author.choose.chance(1, 2):
        main = File("main.authz", (*author.declarations(), leaks, author.block()))
    else:  # few names are known here, so that one more would show
        whole = Statement("allow", "whole", rest=f"when {author.choose.one(WHOLE_SETS)}")
        main = File("main.authz", ('role "viewer"', *author.schema.write(), replace(leaks, statements=(whole,))))
    mine = File("acme.authz", (author.tenant_block(("acme",), "lead"),))
    patterns = author.choose.one((("globex",), ("gl*", "other"), ("*x",)))
    theirs = [File("zone.authz", (author.tenant_block(patterns, "lead"),)) for _ in range(2)]
    last = theirs[1] if author.choose.chance(1, 2) else File("zone.authz", ())
    files = (main, mine) if author.choose.chance(1, 2) else (main,)
    return TenantCase(Policy((*files, theirs[0])), Policy((*files, last)), ("", "acme"))


class Addition(NamedTuple):
    """A policy, and the same with one more statement in one of its blocks."""

    before: Policy
    after: Policy
    statement: Statement


@st.composite
def additions(draw: st.DrawFn, kinds: Sequence[str]) -> Addition:
    """Draw a policy and a statement of one of these kinds, at the end of a block at the end of the last file.

    There the names of the others stay, which are made of lines (L23). Every role and scope there can be is
    mentioned by the policy already: a new statement that mentions one would make it known (L30).
    """
    author = _Author(draw, hiding=True, depth=1)
    mentions = (Statement("require", "", "role", ROLES), Statement("require", "", "scope", SCOPES))
    known = Block(('"known"',), statements=mentions)
    items: list[Item] = [*author.declarations(), known, author.block(), author.block()]
    block = author.block()
    writer = author.writer(block.types, args=bool(block.arguments))
    statement = author.statement(writer, kinds)
    more = replace(block, statements=(*block.statements, statement))
    return Addition(
        Policy((File("main.authz", (*items, block)),)), Policy((File("main.authz", (*items, more)),)), statement
    )


def relabelled(policy: Policy) -> Policy:
    """Give every allow and deny a label, so that its name does not depend on its line."""
    count = iter(range(1_000_000))

    def statement(one: Statement) -> Statement:
        return replace(one, label=f"r{next(count)}") if one.kind in {"allow", "deny"} else one

    def item(one: Item) -> Item:
        match one:
            case Block():
                return replace(one, statements=tuple(map(statement, one.statements)))
            case Tenant():
                return replace(one, items=tuple(map(item, one.items)))
            case _:
                return one

    return Policy(tuple(File(file.name, tuple(map(item, file.items))) for file in policy.files))


# --- Requests -------------------------------------------------------------------------------

_SUBJECTS: Final = ("alice", "bob", "a*")
_TYPES: Final = ("document", "folder", "blob", "docx", "")
_GROUPS: Final[tuple[Any, ...]] = (["eng"], ["group:eng", "ops"], [], None, "eng", ["eng", 1])
_ANCESTORS: Final = ((), ("folder:42",), ("folder:7", "folder:42", "folder:42"))
_HINTS: Final = (None, True, False)
_ENTITIES: Final = (("folder", "f1"), ("subject", "alice"), ("subject", "bob"))
"""What references lead to: others than these lead nowhere."""


class _Asker:
    """Draw requests for a policy, each from an earlier one by a few changes: near misses tell most."""

    def __init__(self, draw: st.DrawFn, policy: Policy) -> None:
        self.choose = Chooser(draw)
        text = policy.text
        every = [(self._root(shape), name) for shape, types in SHAPES.items() for name in types]
        self.read = [(root, n) for root, n in every if f"{root}.{n}" in text or f"{root} has {n}" in text] or every
        self.edits = (
            [self._attribute] * 6
            + [self._scopes, self._roles, self._resource] * 2
            + [self._tool, self._tenant, self._subject, self._client, self._tool_info, self._groups, self._entity]
        )

    def first(self) -> Request:
        """Draw a request whose attributes are all there and of their types."""
        values = {shape: {name: GOOD[kind][0] for name, kind in types.items()} for shape, types in SHAPES.items()}
        tenant = self.choose.one(TENANTS[1:])
        return Request(
            tool=self.choose.one((*TOOLS, *TOOLS[:3])),
            subject="alice",
            scopes=self._names((*SCOPES, STRANGE_SCOPE)),
            roles=self._names((*ROLES, STRANGE_ROLE)),
            tenant=tenant,
            resource=Resource(self.choose.one(_TYPES[:2]), "d1", tenant, values["document"], _ANCESTORS[1]),
            arguments=values["args"],
            context=values["context"],
            subject_attributes={**values["subject"], "groups": _GROUPS[0]},
            client=Client("agent", values["client"]),
            tool_info=ToolInfo("files", ("a",), True, False, True, False),
            now=NOW,
            entities={(shape, id_): values[shape] for shape, id_ in _ENTITIES},
        )

    def next(self, request: Request) -> Request:
        """Change one to four things."""
        for _ in range(1 + self.choose.below(4)):
            request = self.choose.one(self.edits)(request)
        return request

    @staticmethod
    def _root(shape: str) -> str:
        return "resource" if shape in {"document", "folder"} else shape

    def _names(self, names: Sequence[str]) -> tuple[str, ...]:
        bits = self.choose.below(1 << len(names))
        return tuple(name for index, name in enumerate(names) if bits >> index & 1)

    def _attribute(self, request: Request) -> Request:
        root, name = self.choose.one(self.read)
        match root:
            case "args":
                return replace(request, arguments=self._changed(request.arguments, root, name))
            case "context":
                return replace(request, context=self._changed(request.context, root, name))
            case "subject":
                return replace(request, subject_attributes=self._changed(request.subject_attributes, root, name))
            case "client" if request.client is not None:
                changed = self._changed(request.client.attributes, root, name)
                return replace(request, client=replace(request.client, attributes=changed))
            case "resource" if request.resource is not None:
                changed = self._changed(request.resource.attributes, root, name)
                return replace(request, resource=replace(request.resource, attributes=changed))
            case _:
                return request

    def _changed(self, values: Mapping[str, Value], root: str, name: str) -> dict[str, Value]:
        kinds = {**SHAPES["folder"], **SHAPES["document"]} if root == "resource" else SHAPES[root]
        rest = {other: value for other, value in values.items() if other != name}
        match self.choose.below(8):
            case 0 | 1 | 2 | 3 | 4:
                return {**rest, name: self.choose.one(GOOD[kinds[name]])}
            case 5:
                return rest
            case _:
                return {**rest, name: self.choose.one(WRONG)}

    def _scopes(self, request: Request) -> Request:
        return replace(request, scopes=self._names((*SCOPES, STRANGE_SCOPE)))

    def _roles(self, request: Request) -> Request:
        return replace(request, roles=self._names((*ROLES, STRANGE_ROLE)))

    def _resource(self, request: Request) -> Request:
        old = request.resource
        if old is None:
            return replace(request, resource=self.first().resource)
        match self.choose.below(6):
            case 0:
                return replace(request, resource=replace(old, type=self.choose.one(_TYPES)))
            case 1:
                return replace(request, resource=replace(old, tenant=self.choose.one((request.tenant, *TENANTS))))
            case 2 | 3:
                return replace(request, resource=replace(old, id=self.choose.one(("d1", "alice", "folder:42", ""))))
            case 4:
                return replace(request, resource=replace(old, ancestors=self.choose.one(_ANCESTORS)))
            case _:
                return replace(request, resource=None)

    def _tool(self, request: Request) -> Request:
        return replace(request, tool=self.choose.one((*TOOLS, "read_*", "unknown")))

    def _tenant(self, request: Request) -> Request:
        tenant = self.choose.one((*TENANTS, "ac*"))
        moves = request.resource is not None and self.choose.chance(4, 5)
        resource = replace(request.resource, tenant=tenant) if moves and request.resource else request.resource
        return replace(request, tenant=tenant, resource=resource)

    def _subject(self, request: Request) -> Request:
        anonymous = self.choose.chance(1, 3)
        return replace(request, anonymous=anonymous, subject="" if anonymous else self.choose.one(_SUBJECTS))

    def _client(self, request: Request) -> Request:
        known = self.choose.chance(2, 3)
        attributes = request.client.attributes if request.client else {"trust": 2}
        return replace(
            request, client=Client(self.choose.one(("alice", "agent", "", "group:eng")), attributes) if known else None
        )

    def _tool_info(self, request: Request) -> Request:
        hint = self.choose.one
        info = ToolInfo(hint(("", "files")), hint(((), ("a",), ("b", "a"))), hint(_HINTS), hint(_HINTS))
        return replace(request, tool_info=info if self.choose.chance(2, 3) else None)

    def _entity(self, request: Request) -> Request:
        """Change what a directory says of an entity, or let it know nothing of it."""
        shape, _ = key = self.choose.one(_ENTITIES)
        rest = {other: values for other, values in request.entities.items() if other != key}
        if self.choose.chance(1, 4):
            return replace(request, entities=rest)
        root = "resource" if shape == "folder" else shape
        changed = self._changed(request.entities.get(key, {}), root, self.choose.one(tuple(SHAPES[shape])))
        return replace(request, entities={**rest, key: changed})

    def _groups(self, request: Request) -> Request:
        rest = {name: value for name, value in request.subject_attributes.items() if name != "groups"}
        if self.choose.chance(1, 4):
            return replace(request, subject_attributes=rest)
        return replace(request, subject_attributes={**rest, "groups": self.choose.one(_GROUPS)})


@st.composite
def requests(draw: st.DrawFn, policy: Policy, *, count: int = 12) -> list[Request]:
    """Draw requests in which varies what the policy reads."""
    asker = _Asker(draw, policy)
    found = [asker.next(asker.first())]
    while len(found) < count:
        found.append(asker.next(asker.choose.one(found[::-1])))
    return found


@st.composite
def cases(
    draw: st.DrawFn, *, hiding: bool = True, depth: int = 2, labelled: bool = False, count: int = 12
) -> tuple[Policy, list[Request]]:
    """Draw a policy and requests for it: compiling costs more than deciding."""
    policy = draw(policies(hiding=hiding, depth=depth, labelled=labelled))
    return policy, draw(requests(policy, count=count))
