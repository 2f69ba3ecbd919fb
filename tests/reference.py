"""The reference evaluator: docs/language.md as a program, slow and obvious.

It walks the parser's tree for every request and shares no code with the engine. There is no index,
no cache and no shortcut: every block is scanned, every `let` is put in where it is used, every
derived role is computed, every set of scopes is tried. Read it beside the page, section by section.
It assumes that the policy is valid.

A condition is `True`, `False` or `None` (unknown, L50). A value is a `Val`, tagged with its kind, so
that `1`, `true` and `"1"` never meet (L32); what is not there is a `Problem`.
"""

# ruff: noqa: ANN401  (values of JSON and of the language are of any type; their kind is checked, not their type)
from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from fractions import Fraction
from itertools import combinations
from typing import Any, Final, TypeAlias, assert_never
from unicodedata import category
from zoneinfo import ZoneInfo

import re2

from authz.lang import ast
from authz.lang.parser import parse_expression
from authz.lang.source import Source
from authz.model import Effect, Obligation, Reason, Request

Truth: TypeAlias = bool | None
"""True, False, or None for unknown (L50)."""

Files: TypeAlias = Sequence[tuple[Source, ast.PolicyFile]]


# --- Three values (L50) ---------------------------------------------------------------------


def negate(value: Truth) -> Truth:
    """`not`: unknown stays unknown."""
    return None if value is None else not value


def every(values: Iterable[Truth]) -> Truth:
    """`and`: false if any is false, else unknown if any is unknown."""
    seen = list(values)
    if any(value is False for value in seen):
        return False
    return None if any(value is None for value in seen) else True


def some(values: Iterable[Truth]) -> Truth:
    """`or`: true if any is true, else unknown if any is unknown."""
    return negate(every(negate(value) for value in values))


# --- Values (L12, L32) ----------------------------------------------------------------------


class Problem(Enum):
    """Why there is no value. Only MISSING lets `??` take its right side (L37)."""

    MISSING = "missing"
    BAD = "of the wrong type, unreadable or out of range"


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as the request holds it, and the type it is declared with; None is dynamic (L13)."""

    raw: Any
    type: ast.TypeExpr | None


@dataclass(frozen=True, slots=True)
class Val:
    """A value and its kind: string, number, bool, time, duration, ip, set, object or cidr.

    Numbers are exact fractions, times and durations nanoseconds. `cell` is where it was read, for
    the `.name` that may follow; it has no part in comparisons.
    """

    kind: str
    data: Any
    cell: Cell | None = field(default=None, compare=False)


Result: TypeAlias = Val | Problem

SCALARS: Final = frozenset({"string", "number", "bool", "time", "duration", "ip"})
ORDERED: Final = frozenset({"number", "time", "duration"})

DAY: Final = ast.DURATION_UNITS["d"]
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_DURATION: Final = 3_660_000 * DAY  # L31
MAX_INTEGER: Final = 2**53  # L12
MAX_DECIMAL: Final = 9 * 10**11  # L12
MAX_SETS: Final = 2_000  # L67


def nanoseconds(delta: timedelta) -> int:
    """Turn a timedelta into a count, exactly."""
    return (delta.days * 86_400 + delta.seconds) * ast.SECOND + delta.microseconds * 1_000


FIRST_TIME: Final = nanoseconds(datetime(1, 1, 1, tzinfo=UTC) - EPOCH)
LAST_TIME: Final = nanoseconds(datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) + DAY - 1


def in_range(kind: str, data: Any) -> bool:
    """Say whether a number, time or duration is one that exists (L12, L31)."""
    match kind:
        case "number":
            return bool(abs(data) <= (MAX_INTEGER if data.denominator == 1 else MAX_DECIMAL))
        case "time":
            return bool(FIRST_TIME <= data <= LAST_TIME)
        case _:
            return bool(abs(data) <= MAX_DURATION)


def read_number(raw: float) -> Result:
    """Take an integer within ±2^53, or the one decimal of four digits that rounds to `raw` (L12)."""
    exact = Fraction(raw)
    if exact.denominator != 1:
        floor = int(exact * 10_000 // 1)
        near = [Fraction(floor + step, 10_000) for step in range(-3, 5)]
        decimals = [one for one in near if float(one) == raw and abs(one) <= MAX_DECIMAL]
        if len(decimals) != 1:
            return Problem.BAD
        exact = decimals[0]
    return Val("number", exact) if in_range("number", exact) else Problem.BAD


TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def read_time(text: str) -> Result:
    """Read RFC 3339 with an offset, up to nine fractional digits, years 0001-9999 (L12)."""
    found = TIME.fullmatch(text)
    if found is None:
        return Problem.BAD
    *clock, fraction, sign, hours, minutes = found.groups()
    try:
        year, month, day, hour, minute, second = map(int, clock)
        local = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return Problem.BAD
    offset = 0
    if sign:
        if int(hours) > 23 or int(minutes) > 59:
            return Problem.BAD
        offset = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1)
    instant = nanoseconds(local - EPOCH) + int((fraction or "0").ljust(9, "0"))
    return checked("time", instant - offset * ast.DURATION_UNITS["m"])


def read_duration(text: str) -> Result:
    """Read a duration written like the literal, `15m` (L12, L39)."""
    found = re.fullmatch(r"(-?)(0|[1-9][0-9]{0,30})(ms|s|m|h|d)", text)
    if found is None:
        return Problem.BAD
    count = int(found[2]) * ast.DURATION_UNITS[found[3]]
    return checked("duration", -count if found[1] else count)


def read_ip(text: str) -> Result:
    """Read an IPv4 or IPv6 address without zone; `::ffff:10.0.0.1` is 10.0.0.1 (L12, L38)."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return Problem.BAD
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return Problem.BAD
        address = address.ipv4_mapped or address
    return Val("ip", address)


def read_cidr(text: str) -> Val:
    """Read an address range; one of mapped IPv4 addresses is one of IPv4 addresses (L38)."""
    network = ipaddress.ip_network(text, strict=False)
    mapped = network.network_address.ipv4_mapped if network.version == 6 else None
    if mapped is not None and network.prefixlen >= 96:
        return Val("cidr", ipaddress.ip_network((mapped, network.prefixlen - 96), strict=False))
    return Val("cidr", network)


def checked(kind: str, data: Any) -> Result:
    """Make a value, unless it is out of range."""
    return Val(kind, data) if in_range(kind, data) else Problem.BAD


def is_list(raw: Any) -> bool:
    """Say whether a JSON value is an array."""
    return isinstance(raw, Sequence) and not isinstance(raw, str)


def freeze(raw: Any) -> Any:
    """Turn JSON into something that tells distinct objects apart: kinds tagged, null members left out."""
    if isinstance(raw, Mapping):
        return "object", frozenset((name, freeze(value)) for name, value in raw.items() if value is not None)
    if is_list(raw):
        return "set", frozenset(freeze(item) for item in raw)
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        return "number", Fraction(raw)
    return type(raw).__name__, raw


def read(cell: Cell) -> Result:
    """Read a JSON value as its declared type, or as what it is where none is declared (L12, L14)."""
    if cell.raw is None:
        return Problem.MISSING
    result = read_dynamic(cell.raw) if cell.type is None else read_as(cell.type, cell.raw)
    return replace(result, cell=cell) if isinstance(result, Val) else result


def read_dynamic(raw: Any) -> Result:
    """Read a value of no declared type (L12, L13)."""
    match raw:
        case bool():
            return Val("bool", raw)
        case int() | float():
            return read_number(raw)
        case str():
            return Val("string", raw)
        case Mapping():
            return Val("object", freeze(raw))
        case _:
            return read_set(None, raw)


def read_as(declared: ast.TypeExpr, raw: Any) -> Result:
    """Read a value of a declared type; nothing is coerced (L14)."""
    match declared:
        case ast.NamedType(name, _):
            return read_named(name, raw)
        case ast.UnionType(options, _):
            return Val("string", raw) if raw in [option.value for option in options] else Problem.BAD
        case ast.RefType():
            return Val("string", raw) if isinstance(raw, str) else Problem.BAD
        case ast.SetType(item, _):
            return read_set(item, raw) if is_list(raw) else Problem.BAD
        case ast.MapType(item, _):
            well = isinstance(raw, Mapping) and all(fits(item, value) for value in raw.values() if value is not None)
        case ast.RecordType(fields, _):
            well = isinstance(raw, Mapping) and all(
                fits(one.type, raw[one.name.text]) if raw.get(one.name.text) is not None else one.optional
                for one in fields
            )
        case _:
            assert_never(declared)
    return Val("object", freeze(raw)) if well else Problem.BAD


def fits(declared: ast.TypeExpr, raw: Any) -> bool:
    """Say whether a value, all of it, is of a type."""
    return isinstance(read_as(declared, raw), Val)


def read_named(name: str, raw: Any) -> Result:
    """Read a value of one of the plain types of L12."""
    if name in {"string", "time", "duration", "ip"} and isinstance(raw, str):
        readers = {"string": lambda text: Val("string", text), "time": read_time, "duration": read_duration}
        return readers.get(name, read_ip)(raw)
    if name == "bool" and isinstance(raw, bool):
        return Val("bool", raw)
    if name == "number" and isinstance(raw, (int, float)) and not isinstance(raw, bool):
        return read_number(raw)
    return Problem.BAD


def read_set(item: ast.TypeExpr | None, raw: Sequence[Any]) -> Result:
    """Read an array as a set; its members are all of one type, and a null is of another (L12)."""
    members = []
    for one in raw:
        member = Problem.BAD if one is None else read(Cell(one, item))
        if isinstance(member, Problem):
            return Problem.BAD
        members.append(member)
    return Val("set", frozenset(members)) if of_one_kind(members) else Problem.BAD


def of_one_kind(members: Iterable[Val]) -> bool:
    """Say whether all members are of one type, however deep."""
    members = list(members)
    inner = [deep for member in members if member.kind == "set" for deep in member.data]
    return len({member.kind for member in members}) <= 1 and (not inner or of_one_kind(inner))


# --- Comparisons (L32, L33) -----------------------------------------------------------------


def equal(left: Val, right: Val) -> Truth:
    """Compare values of one kind; unlike kinds, records, maps and objects are unknown (L32)."""
    if left.kind != right.kind:
        return None
    if left.kind in SCALARS:
        return bool(left.data == right.data)
    if left.kind != "set" or any(member.kind not in SCALARS for member in left.data | right.data):
        return None
    if left.data and right.data and not of_one_kind(left.data | right.data):
        return None
    return bool(left.data == right.data)


def is_member(value: Val, members: Val) -> Truth:
    """`x in S`: unknown for elements of another type, unless S is empty (L33)."""
    return some(equal(value, member) for member in members.data)


def is_subset(left: Val, right: Val) -> Truth:
    """Say whether A is a subset of B: unknown for two non-empty sets of unlike elements (L33)."""
    if not left.kind == right.kind == "set":
        return None
    if not left.data or not right.data:
        return not left.data
    return every(is_member(value, right) for value in left.data)


def is_intersecting(left: Val, right: Val) -> Truth:
    """Say whether A and B share a member: unknown for two non-empty sets of unlike elements (L33)."""
    if not left.kind == right.kind == "set":
        return None
    if not left.data or not right.data:
        return False
    return some(is_member(value, right) for value in left.data)


def is_matching(text: Val, pattern: Val) -> Truth:
    """Match the whole string against an RE2 pattern (L36)."""
    if not text.kind == pattern.kind == "string":
        return None
    return re2.fullmatch(pattern.data, text.data) is not None


def ordered(test: Callable[[Any, Any], bool]) -> Callable[[Val, Val], Truth]:
    """Compare two numbers, two times or two durations; strings have no order (L31)."""

    def compare(left: Val, right: Val) -> Truth:
        return test(left.data, right.data) if left.kind == right.kind and left.kind in ORDERED else None

    return compare


OPERATORS: Final[Mapping[str, Callable[[Val, Val], Truth]]] = {
    "==": equal,
    "<": ordered(operator.lt),
    "<=": ordered(operator.le),
    ">": ordered(operator.gt),
    ">=": ordered(operator.ge),
    "matches": is_matching,
    "subset of": is_subset,
    "intersects": is_intersecting,
}
NEGATED: Final[Mapping[str, ast.CompareOp]] = {"!=": "==", "not in": "in", "not like": "like"}


def is_within(value: Val, low: Val, high: Val) -> Truth:
    """`x in a..b`, both ends included; numbers, times and durations only (L31)."""
    if value.kind not in ORDERED or not value.kind == low.kind == high.kind:
        return None
    return bool(low.data <= value.data <= high.data)


def is_inside(value: Val, network: Val) -> Truth:
    """`x in cidr(…)` (L33, L38)."""
    return value.data in network.data if value.kind == "ip" else None


# --- Patterns and paths (L20, L34, L35) -----------------------------------------------------


def glob(chunks: Sequence[str], text: str) -> bool:
    """Match the whole text against literal chunks with a `*`, any run of characters, between them (L20)."""
    if len(chunks) == 1:
        return text == chunks[0]
    first, *middle, last = chunks
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    rest = text[len(first) : len(text) - len(last)]
    for chunk in middle:
        at = rest.find(chunk)
        if at < 0:
            return False
        rest = rest[at + len(chunk) :]
    return True


def matches_pattern(pattern: str, text: str) -> bool:
    """Match a tool, type or tenant pattern (L20)."""
    return glob(pattern.split("*"), text)


def template(text: str) -> list[str | ast.Expr]:
    """Split a pattern into literal text and the expressions in braces; `{{` and `}}` are braces (L34)."""
    parts: list[str | ast.Expr] = []
    at = 0
    while at < len(text):
        if text[at : at + 2] in {"{{", "}}"}:
            parts.append(text[at])
            at += 2
        elif text[at] == "{":
            end = closing_brace(text, at + 1)
            parts.append(parse_expression(text[at + 1 : end]))
            at = end + 1
        else:
            parts.append(text[at])
            at += 1
    return parts


def closing_brace(text: str, at: int) -> int:
    """Find the `}` that ends an inserted expression; those in its strings do not."""
    quoted = False
    while quoted or text[at] != "}":
        if quoted and text[at] == "\\":
            at += 1
        elif text[at] == '"':
            quoted = not quoted
        at += 1
    return at


ENCODED: Final = re.compile(r"%(?:2f|5c|2e|25|[01][0-9a-f]|7f|c2%[89][0-9a-f])", re.IGNORECASE)


def is_normal(path: str) -> bool:
    """Say whether a path is one that L35 compares, rather than one that means something else elsewhere."""
    if path == "/":
        return True
    segments = path.removeprefix("/").split("/")
    return (
        not any(segment in {"", ".", ".."} for segment in segments)
        and "\\" not in path
        and not any(category(character) == "Cc" for character in path)
        and ENCODED.search(path) is None
    )


def is_under(path: str, base: str) -> Truth:
    """`p under "PATH"`: segment by segment, and unknown unless both are normal paths (L35)."""
    if not is_normal(path) or not is_normal(base):
        return None
    if path.startswith("/") != base.startswith("/"):
        return False
    segments = [segment for segment in path.split("/") if segment]
    above = [segment for segment in base.split("/") if segment]
    return segments[: len(above)] == above


# --- What the policy holds for one tenant (section 2, L24) ----------------------------------

Lets: TypeAlias = Mapping[str, ast.Expr]
Fields: TypeAlias = Mapping[str, ast.TypeExpr]


@dataclass(frozen=True, slots=True)
class Block:
    """A tool block, its file, and the lets that it may use."""

    source: Source
    node: ast.ToolBlock
    lets: Lets


@dataclass(frozen=True, slots=True)
class Role:
    """A declared role, and the lets that its condition may use."""

    node: ast.RoleDeclaration
    lets: Lets


@dataclass(frozen=True, slots=True)
class Policy:
    """All declarations that a request of one tenant can see; those of other tenants do not exist (L24)."""

    blocks: tuple[Block, ...]
    roles: tuple[Role, ...]
    scopes: tuple[ast.ScopeDeclaration, ...]
    groups: Mapping[str, ast.GroupDeclaration]
    shapes: tuple[ast.ShapeDeclaration, ...]

    def fields(self, kind: str) -> Fields | None:
        """Return the declared attributes of subject, context or client; None where there are none (L12)."""
        for shape in self.shapes:
            if shape.kind == kind:
                return {one.name.text: one.type for one in shape.fields}
        return None

    def fields_of(self, resource_type: str) -> Fields | None:
        """Return the declared attributes of one resource type (L12)."""
        for shape in self.shapes:
            if shape.name is not None and shape.name.value == resource_type:
                return {one.name.text: one.type for one in shape.fields}
        return None

    def resource_fields(self, types: Sequence[ast.Text] | None) -> Fields | None:
        """Return the attributes of the declared types that a condition may meet; None for dynamic (L13)."""
        met = [
            shape
            for shape in self.shapes
            if shape.name is not None
            and (types is None or any(matches_pattern(one.value, shape.name.value) for one in types))
        ]
        return {one.name.text: one.type for shape in met for one in shape.fields} if met else None

    def is_global(self, resource_type: str) -> bool:
        """Say whether a resource type belongs to no tenant (L12)."""
        return any(s.is_global and s.name is not None and s.name.value == resource_type for s in self.shapes)


def visible(files: Files, tenant: str) -> Policy:
    """Take the union of all files (L1), with the tenant blocks whose patterns match this tenant (L24)."""
    declared = [(source, one) for source, file in files for one in file.declarations]
    shared = {one.name.text: one.value for _, one in declared if isinstance(one, ast.LetDeclaration)}
    places = [(source, one, shared) for source, one in declared]
    for source, one in declared:
        if isinstance(one, ast.TenantBlock) and any(matches_pattern(p.value, tenant) for p in one.patterns):
            own = {item.name.text: item.value for item in one.items if isinstance(item, ast.LetDeclaration)}
            places += [(source, item, {**shared, **own}) for item in one.items]
    return Policy(
        blocks=tuple(Block(source, one, lets) for source, one, lets in places if isinstance(one, ast.ToolBlock)),
        roles=tuple(Role(one, lets) for _, one, lets in places if isinstance(one, ast.RoleDeclaration)),
        scopes=tuple(one for _, one, _ in places if isinstance(one, ast.ScopeDeclaration)),
        groups={one.name.text: one for _, one, _ in places if isinstance(one, ast.GroupDeclaration)},
        shapes=tuple(one for _, one, _ in places if isinstance(one, ast.ShapeDeclaration)),
    )


def tool_patterns(policy: Policy, patterns: Iterable[ast.Pattern]) -> Iterator[str]:
    """Put in the groups (L16)."""
    for pattern in patterns:
        if isinstance(pattern, ast.GroupReference):
            yield from tool_patterns(policy, policy.groups[pattern.name.text].patterns)
        else:
            yield pattern.value


def matches_tool(policy: Policy, block: Block, tool: str) -> bool:
    """Say whether a block speaks of a tool: one of its patterns matches and none after `except` (L20)."""
    return any(matches_pattern(one, tool) for one in tool_patterns(policy, block.node.patterns)) and not any(
        matches_pattern(one, tool) for one in tool_patterns(policy, block.node.excepted)
    )


def applies(policy: Policy, block: Block, request: Request) -> bool:
    """Say whether a block applies: the tool matches and, after `on`, the resource's type (L21)."""
    if not matches_tool(policy, block, request.tool):
        return False
    if block.node.types is None:
        return True
    resource = request.resource
    return resource is not None and any(matches_pattern(one.value, resource.type) for one in block.node.types)


# --- What a policy mentions (L30, L65, L67) -------------------------------------------------


def nodes(node: object, lets: Lets) -> Iterator[object]:
    """Yield every node of an expression, with lets put in and the expressions inside patterns."""
    yield node
    if isinstance(node, ast.Reference) and node.root.text in lets:
        yield from nodes(lets[node.root.text], lets)
    if isinstance(node, ast.Compare) and node.op in {"like", "not like", "under"}:
        pattern = put_in(node.right, lets)
        if isinstance(pattern, ast.StringLiteral):
            for part in template(pattern.value):
                yield from () if isinstance(part, str) else nodes(part, lets)
    if isinstance(node, tuple):
        for child in node:
            yield from nodes(child, lets)


def strings(condition: ast.Expr, lets: Lets) -> set[str]:
    """Return every string that stands in a condition."""
    return {one.value for one in nodes(condition, lets) if isinstance(one, ast.StringLiteral)}


def reads_scopes(condition: ast.Expr, lets: Lets) -> bool:
    """Say whether a condition reads `scopes`."""
    return any(isinstance(one, ast.Reference) and one.root.text == "scopes" for one in nodes(condition, lets))


def conditions(statement: ast.Statement) -> tuple[ast.Expr, ...]:
    """Return the conditions of a statement."""
    match statement:
        case ast.RequireWhen(condition, _):
            return (condition,)
        case ast.Rule(when=when, unless=unless):
            return tuple(one for one in (when, unless) if one is not None)
        case _:
            return ()


def named(statement: ast.Statement, kind: str) -> set[str]:
    """Return the roles or scopes that a statement names."""
    match statement:
        case ast.Require():
            who: ast.Require | ast.Who | None = statement
        case ast.Rule():
            who = statement.who
        case _:
            return set()
    return {one.value for one in who.names} if who is not None and who.kind == kind else set()


def mentioned(policy: Policy, kind: str) -> set[str]:
    """Return the roles or scopes that are known: in a declaration, a rule or as a string in a condition (L30)."""
    known: set[str] = set()
    if kind == "scope":
        known.update(text.value for one in policy.scopes for text in (one.name, *one.implies))
    else:
        known.update(text.value for one in policy.roles for text in (one.node.name, *one.node.extends))
    for role in policy.roles:
        if role.node.when is not None:
            known |= strings(role.node.when, role.lets)
    for block in policy.blocks:
        for statement in block.node.statements:
            known |= named(statement, kind)
            for condition in conditions(statement):
                known |= strings(condition, block.lets)
    return known


def closure(held: Iterable[str], implied: Sequence[tuple[str, tuple[ast.Text, ...]]]) -> set[str]:
    """Add what is held with what is held, again and again (L10, L11)."""
    result = set(held)
    while True:
        more = {text.value for name, texts in implied if name in result for text in texts} - result
        if not more:
            return result
        result |= more


# --- Conditions and values (section 4) ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles that are held (`sure`) and those that may be: an unknown derived role gives them (L30)."""

    sure: frozenset[str]
    maybe: frozenset[str]
    certain: bool

    def holds(self, name: str) -> Truth:
        """Say whether a role is held."""
        if name in self.sure:
            return True
        return None if name in self.maybe else False


BUILT_IN: Final = ast.Span(0, 0)
STRING: Final = ast.NamedType("string", BUILT_IN)
STRINGS: Final = ast.SetType(STRING, BUILT_IN)
BOOL: Final = ast.NamedType("bool", BUILT_IN)


@dataclass(frozen=True, slots=True)
class Scene:
    """One place in the policy and one request: all that an expression there can see."""

    policy: Policy
    request: Request
    scopes: frozenset[str]
    roles: Roles
    lets: Lets
    args: Fields | None
    resource: Fields | None

    # Conditions, see L31 and L50

    def truth(self, expr: ast.Expr) -> Truth:
        """Evaluate a condition (L50)."""
        expr = put_in(expr, self.lets)
        match expr:
            case ast.Not(operand, _):
                return negate(self.truth(operand))
            case ast.And(items, _):
                return every([self.truth(item) for item in items])
            case ast.Or(items, _):
                return some([self.truth(item) for item in items])
            case ast.If(condition, yes, no, _):
                test = self.truth(condition)
                return some([every([test, self.truth(yes)]), every([negate(test), self.truth(no)])])
            case ast.Compare():
                return self.compare(expr)
            case ast.Has():
                return self.has(expr)
            case _:
                value = self.value(expr)
                return value.data if isinstance(value, Val) and value.kind == "bool" else None

    def compare(self, node: ast.Compare) -> Truth:
        """Evaluate one comparison (L31-L36)."""
        if node.op in NEGATED:
            return negate(self.compare(node._replace(op=NEGATED[node.op])))
        match node.op:
            case "in":
                return self.member(node.left, node.right)
            case "like":
                return self.like(node)
            case "under":
                return self.under(node)
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(left, Problem) or isinstance(right, Problem):
            return None  # an atom that reads what is missing is unknown (L50)
        return OPERATORS[node.op](left, right)

    def member(self, left: ast.Expr, right: ast.Expr) -> Truth:
        """`in` (L33)."""
        left, right = put_in(left, self.lets), put_in(right, self.lets)
        if isinstance(left, ast.Reference) and not left.steps and left.root.text in {"resource", "subject"}:
            return self.descends(left.root.text, right)
        value = self.value(left)
        if isinstance(value, Problem):
            return None
        if isinstance(right, ast.Reference) and right.root.text == "roles" and value.kind == "string":
            return self.roles.holds(value.data)
        if isinstance(right, ast.Range):
            low, high = self.value(right.low), self.value(right.high)
            return is_within(value, low, high) if isinstance(low, Val) and isinstance(high, Val) else None
        members = self.value(right)
        if isinstance(members, Problem):
            return None
        if members.kind == "cidr":
            return is_inside(value, members)
        return is_member(value, members) if members.kind == "set" else None

    def descends(self, root: str, right: ast.Expr) -> Truth:
        """`resource in "folder:42"`, `subject in "group:eng"`: one of the entity's ancestors (L33)."""
        read_ancestors = self.locate(root, "ancestors" if root == "resource" else "groups")
        ancestors = read(read_ancestors) if isinstance(read_ancestors, Cell) else read_ancestors
        wanted = self.value(right)
        if isinstance(ancestors, Problem) or isinstance(wanted, Problem):
            return None
        entities = {one.data for one in ancestors.data}
        if root == "subject":
            entities = {f"group:{one.removeprefix('group:')}" for one in entities}
        asked = {wanted} if wanted.kind == "string" else wanted.data if wanted.kind == "set" else {wanted}
        if any(one.kind != "string" for one in asked):
            return None
        return any(one.data in entities for one in asked)

    def like(self, node: ast.Compare) -> Truth:
        """`s like "PATTERN"`: what `{expr}` inserts is matched literally, a `*` in it too (L34)."""
        text, pattern = self.value(node.left), put_in(node.right, self.lets)
        if not isinstance(pattern, ast.StringLiteral):
            return None
        chunks = [""]
        for part in template(pattern.value):
            if part == "*":
                chunks.append("")
                continue
            inserted = self.text(part)
            if inserted is None:
                return None
            chunks[-1] += inserted
        return glob(chunks, text.data) if isinstance(text, Val) and text.kind == "string" else None

    def under(self, node: ast.Compare) -> Truth:
        """`p under "PATH"`: what `{expr}` inserts is a non-empty part of one segment (L35)."""
        path, pattern = self.value(node.left), put_in(node.right, self.lets)
        if not isinstance(pattern, ast.StringLiteral):
            return None
        base = ""
        for part in template(pattern.value):
            inserted = self.text(part)
            if inserted is None or (not isinstance(part, str) and (not inserted or "/" in inserted)):
                return None
            base += inserted
        return is_under(path.data, base) if isinstance(path, Val) and path.kind == "string" else None

    def text(self, part: str | ast.Expr) -> str | None:
        """Return a part of a pattern: literal text, or the string that an expression gives (L34)."""
        if isinstance(part, str):
            return part
        value = self.value(part)
        return value.data if isinstance(value, Val) and value.kind == "string" else None

    def has(self, node: ast.Has) -> bool:
        """`x has a.b`: there and of its type; where nothing is declared, there and not null (L37)."""
        operand = put_in(node.operand, self.lets)
        path = [one.text for one in node.path]
        if isinstance(operand, ast.Reference):
            cell = self.find(ast.Reference(operand.root, (*operand.steps, *steps(path)), operand.span))
        else:
            value = self.value(operand)
            start = value.cell if isinstance(value, Val) else None
            cell = self.walk(start or Problem.BAD, steps(path))
        if isinstance(cell, Problem) or cell.raw is None:
            return False
        return cell.type is None or isinstance(read(cell), Val)

    # Values, see L30 and L37 to L39

    def value(self, expr: ast.Expr) -> Result:
        """Evaluate an expression to a value."""
        expr = put_in(expr, self.lets)
        match expr:
            case ast.StringLiteral(text, _):
                return Val("string", text)
            case ast.NumberLiteral(number, _):
                return read_number(number)
            case ast.BoolLiteral(truth, _):
                return Val("bool", truth)
            case ast.DurationLiteral(count, _, _):
                return checked("duration", count)
            case ast.SetLiteral(items, _):
                return self.set_literal(items)
            case ast.Reference():
                return self.reference(expr)
            case ast.Call():
                return self.call(expr)
            case ast.Not() | ast.And() | ast.Or() | ast.Compare() | ast.Has():
                result = self.truth(expr)
                return Problem.BAD if result is None else Val("bool", result)
            case ast.If(condition, yes, no, _):
                return self.choose(self.truth(condition), self.value(yes), self.value(no))
            case ast.Sum():
                return self.sum(expr)
            case ast.Coalesce(items, _):
                return self.coalesce(items)
            case ast.Range() | ast.Chain():  # validation refuses both here
                return Problem.BAD
            case _:
                assert_never(expr)

    def set_literal(self, items: Sequence[ast.Expr]) -> Result:
        """Evaluate `["a", "b"]` (L39)."""
        members = [self.value(item) for item in items]
        known = [member for member in members if isinstance(member, Val)]
        return Val("set", frozenset(known)) if len(known) == len(members) and of_one_kind(known) else Problem.BAD

    def choose(self, test: Truth, yes: Result, no: Result) -> Result:
        """`if` as a value: unknown when the condition is, unless both sides are equal (L50)."""
        if test is not None:
            return yes if test else no
        same = isinstance(yes, Val) and isinstance(no, Val) and equal(yes, no) is True
        return yes if same else Problem.BAD

    def coalesce(self, items: Sequence[ast.Expr]) -> Result:
        """Evaluate `a ?? b`: b where a is missing or null; one of the wrong type stays unknown (L37)."""
        result: Result = Problem.MISSING
        for item in items:
            result = self.value(item)
            if result is not Problem.MISSING:
                return result
        return result

    def sum(self, node: ast.Sum) -> Result:
        """Add and subtract from left to right; no result may leave its range (L31)."""
        result = self.value(node.first)
        for term in node.rest:
            operand = self.value(term.operand)
            if isinstance(result, Problem) or isinstance(operand, Problem):
                return Problem.BAD
            result = add(result, term.sign, operand)
        return result

    def reference(self, node: ast.Reference) -> Result:
        """Read a name of L30, or an attribute."""
        match node.root.text:
            case "now":
                assert self.request.now is not None
                return checked("time", nanoseconds(self.request.now - EPOCH))
            case "tenant":
                return Val("string", self.request.tenant)
            case "scopes":
                return Val("set", frozenset(Val("string", one) for one in self.scopes))
            case "roles":
                held = Val("set", frozenset(Val("string", one) for one in self.roles.sure))
                return held if self.roles.certain else Problem.BAD
        cell = self.find(node)
        return read(cell) if isinstance(cell, Cell) else cell

    def find(self, node: ast.Reference) -> Cell | Problem:
        """Follow a reference to the attribute it names (L30, L37)."""
        if node.root.text in self.lets:
            value = put_in(self.lets[node.root.text], self.lets)
            if isinstance(value, ast.Reference):  # a let means its text: `f.a` is `resource.folder.a`
                return self.find(ast.Reference(value.root, (*value.steps, *node.steps), node.span))
            result = self.value(value)
            if isinstance(result, Problem):
                return result
            return self.walk(result.cell or Problem.BAD, node.steps)
        if not node.steps:
            return Problem.BAD
        name = self.step_name(node.steps[0])
        if isinstance(name, Problem):
            return name
        return self.walk(self.locate(node.root.text, name), node.steps[1:])

    def step_name(self, step: ast.Attribute | ast.Index) -> str | Problem:
        """Return the name that a step asks for; a computed key is any string expression (L31)."""
        if isinstance(step, ast.Attribute):
            return step.name
        key = self.value(step.key)
        return key.data if isinstance(key, Val) and key.kind == "string" else Problem.BAD

    def walk(self, cell: Cell | Problem, rest: Sequence[ast.Attribute | ast.Index]) -> Cell | Problem:
        """Take further steps: what is missing stays missing, what holds no attributes is of the wrong type (L37)."""
        for step in rest:
            name = self.step_name(step)
            if isinstance(name, Problem):
                return name
            if isinstance(cell, Problem):
                return cell
            cell = self.behind(cell, name) if isinstance(cell.type, ast.RefType) else attribute(cell, name)
        return cell

    def behind(self, cell: Cell, name: str) -> Cell | Problem:
        """Follow a reference: what no directory supplies is missing; `.id` is the reference itself (L12)."""
        if cell.raw is None:
            return Problem.MISSING
        if not isinstance(cell.raw, str):
            return Problem.BAD
        if name == "id":
            return Cell(cell.raw, STRING)
        assert isinstance(cell.type, ast.RefType)
        target = cell.type.target.text if isinstance(cell.type.target, ast.Name) else cell.type.target.value
        attributes = self.request.entities.get((target, cell.raw))
        if attributes is None:
            return Problem.MISSING
        fields = self.policy.fields("subject") if target == "subject" else self.policy.fields_of(target)
        return self.attribute_of(attributes, fields, name)

    def locate(self, root: str, name: str) -> Cell | Problem:
        """Return an attribute of one of the names of L30; its built-in ones cannot be declared (L12)."""
        request = self.request
        match root, name:
            case "subject", "id":
                return Cell(None if request.anonymous else request.subject, STRING)
            case "subject", "groups":
                return Cell(request.subject_attributes.get("groups"), STRINGS)
            case "subject", _:
                return self.attribute_of(request.subject_attributes, self.policy.fields("subject"), name)
            case "context", _:
                return self.attribute_of(request.context, self.policy.fields("context"), name)
            case "args", _:
                return self.attribute_of(request.arguments, self.args, name)
            case "client", "id":
                return Cell((request.client.id if request.client else "") or None, STRING)
            case "client", _:
                attributes = request.client.attributes if request.client else {}
                return self.attribute_of(attributes, self.policy.fields("client"), name)
            case "tool", _:
                return self.tool(name)
            case "resource", _:
                return self.resource_attribute(name)
            case _:
                return Problem.BAD

    def tool(self, name: str) -> Cell | Problem:
        """Return an attribute of `tool`; a hint that is not given is missing (L30)."""
        info = self.request.tool_info
        match name:
            case "name":
                return Cell(self.request.tool, STRING)
            case "server":
                return Cell((info.server if info else "") or None, STRING)
            case "tags":
                return Cell(info.tags if info else None, STRINGS)
            case "read_only" | "destructive" | "idempotent" | "open_world":
                return Cell(getattr(info, name) if info else None, BOOL)
            case _:
                return Problem.BAD

    def resource_attribute(self, name: str) -> Cell | Problem:
        """Return an attribute of `resource`; all are missing where there is none (L30)."""
        resource = self.request.resource
        match name:
            case "type" | "id":
                return Cell((getattr(resource, name) if resource else "") or None, STRING)
            case "tenant":
                return Cell(resource.tenant if resource else None, STRING)
            case "ancestors":
                return Cell(resource.ancestors if resource else None, STRINGS)
            case _:
                return self.attribute_of(resource.attributes if resource else {}, self.resource, name)

    def attribute_of(self, attributes: Mapping[str, Any], fields: Fields | None, name: str) -> Cell:
        """Return an attribute with the type it is declared with (L13)."""
        return Cell(attributes.get(name), (fields or {}).get(name))

    # Functions, see L38

    def call(self, node: ast.Call) -> Result:
        """Call a function; arguments of another type make the atom unknown (L38)."""
        values = [self.value(argument) for argument in node.arguments]
        known = [value for value in values if isinstance(value, Val)]
        if len(known) < len(values):
            return Problem.BAD
        if node.function.text == "size":
            return size(known[0])
        kinds = [value.kind for value in known]
        data = [value.data for value in known]
        if node.function.text in {"hour", "weekday"}:
            return clock(node.function.text, *data) if kinds == ["time", "string"] else Problem.BAD
        return text_function(node.function.text, data) if set(kinds) == {"string"} else Problem.BAD


def put_in(expr: ast.Expr, lets: Lets) -> ast.Expr:
    """Put in the text of a `let` (L15)."""
    while isinstance(expr, ast.Reference) and not expr.steps and expr.root.text in lets:
        expr = lets[expr.root.text]
    return expr


def steps(path: Sequence[str]) -> tuple[ast.Attribute, ...]:
    """Turn names into steps."""
    return tuple(ast.Attribute(name, BUILT_IN) for name in path)


def attribute(cell: Cell, name: str) -> Cell | Problem:
    """Take one step from an attribute, any but a reference, to one of its own (L37)."""
    if cell.raw is None:
        return Problem.MISSING
    match cell.type:
        case ast.RecordType(fields, _):
            inner: ast.TypeExpr | None = {one.name.text: one.type for one in fields}.get(name)
        case ast.MapType(item, _):
            inner = item
        case None:
            inner = None
        case _:
            return Problem.BAD
    return Cell(cell.raw.get(name), inner) if isinstance(cell.raw, Mapping) else Problem.BAD


def add(left: Val, sign: str, right: Val) -> Result:
    """Add or subtract: number ± number, duration ± duration, time ± duration, time - time (L31)."""
    kinds = (left.kind, sign, right.kind)
    if kinds == ("time", "-", "time"):
        kind = "duration"
    elif left.kind == right.kind and left.kind in {"number", "duration"}:
        kind = left.kind
    elif (left.kind, right.kind) == ("time", "duration"):
        kind = "time"
    else:
        return Problem.BAD
    return checked(kind, left.data + right.data if sign == "+" else left.data - right.data)


def size(value: Val) -> Result:
    """Count the characters of a string, the distinct members of a set, the entries of a map (L38)."""
    match value.kind:
        case "string" | "set":
            return Val("number", Fraction(len(value.data)))
        case "object" if value.cell is not None and not isinstance(value.cell.type, ast.RecordType):
            return Val("number", Fraction(sum(one is not None for one in value.cell.raw.values())))
        case _:
            return Problem.BAD


def clock(function: str, instant: int, zone: str) -> Result:
    """Return the hour or the day of the week, 1 for Monday, in a time zone (L38)."""
    try:
        local = (EPOCH + timedelta(seconds=instant // ast.SECOND)).astimezone(ZoneInfo(zone))
    except OverflowError:  # a local time outside the years 0001-9999
        return Problem.BAD
    return Val("number", Fraction(local.hour if function == "hour" else local.isoweekday()))


def text_function(function: str, texts: list[str]) -> Result:
    """Apply a function to strings (L38)."""
    match function, texts:
        case "time", [text]:
            return read_time(text)
        case "ip", [text]:
            return read_ip(text)
        case "cidr", [text]:
            return read_cidr(text)
        case "lower", [text]:
            return Val("string", text.lower())
        case "starts_with", [text, start]:
            return Val("bool", text.startswith(start))
        case "ends_with", [text, end]:
            return Val("bool", text.endswith(end))
        case "contains", [text, inner]:
            return Val("bool", inner in text)
        case _:
            return Problem.BAD


# --- The decision (section 6) ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReferenceResult:
    """What a `model.Decision` says, its message left out."""

    effect: Effect
    reason: Reason
    rules: tuple[str, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    required_scopes: tuple[str, ...] = ()
    missing_scopes: tuple[str, ...] = ()
    policy_revision: str = ""


@dataclass(frozen=True, slots=True)
class Stated:
    """A statement of a block that applies, and its name (L23)."""

    name: str
    block: Block
    node: ast.Statement


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the steps of L61 come to for one set of scopes.

    `reason` is that of the first of steps 1-4 that decides, and None when none does. `allows` are those
    that apply, `unsure` those that missing data keeps from applying, `failing` the scope requirements.
    """

    reason: Reason | None
    deciding: tuple[Stated, ...] = ()
    allows: tuple[Stated, ...] = ()
    unsure: tuple[Stated, ...] = ()
    failing: tuple[Stated, ...] = ()

    @property
    def is_allow(self) -> bool:
        """Say whether the answer is ALLOW (step 8)."""
        return self.reason is None and bool(self.allows) and not self.failing


def reference_decide(files: Files, request: Request, revision: str = "") -> ReferenceResult:
    """Answer a request as L61 says, and name the deciding rules (L66)."""
    if request.now is None:
        request = replace(request, now=datetime.now(UTC))
    policy = visible(files, request.tenant)
    result = decide_unknown(policy, request) if request.unknown else decide(Judge(policy, request))
    return replace(result, policy_revision=revision)


def decide_unknown(policy: Policy, request: Request) -> ReferenceResult:
    """Answer a request with unknown parts (L68)."""
    from tests.reference_unknown import decide_unknown as decide_it  # it uses all that stands here

    return decide_it(policy, request)


def decide(judge: Judge) -> ReferenceResult:
    """Take the steps of L61 and, where only scopes may be lacking, look for them (L67)."""
    first = judge.judge(frozenset())
    if first.reason is not None:
        return ReferenceResult(Effect.DENY, first.reason, names(first.deciding))
    if first.is_allow:
        return ReferenceResult(Effect.ALLOW, Reason.ALLOWED, names(first.allows), obligations(first.allows))
    missing = judge.missing_scopes()
    if missing is not None:
        then = judge.judge(missing)
        return ReferenceResult(
            Effect.DENY,
            Reason.INSUFFICIENT_SCOPE,
            names((*first.failing, *(() if first.allows else then.allows))),
            required_scopes=tuple(sorted(judge.required_scopes(missing, then.allows))),
            missing_scopes=tuple(sorted(missing)),
        )
    if first.allows:  # a `require scope` fails, and no scopes would help (L61)
        return ReferenceResult(Effect.DENY, Reason.NO_ALLOW, ())
    reason = Reason.INDETERMINATE if first.unsure else Reason.NO_ALLOW
    return ReferenceResult(Effect.DENY, reason, names(first.unsure))


def names(stated: Iterable[Stated]) -> tuple[str, ...]:
    """Return the names of rules, sorted by code points, without duplicates (L61)."""
    return tuple(sorted({one.name for one in stated}))


@dataclass(frozen=True, slots=True)
class Judge:
    """One policy, as one tenant sees it, and one request."""

    policy: Policy
    request: Request

    def applicable(self) -> list[Block]:
        """Return the blocks that apply (L21)."""
        return [block for block in self.policy.blocks if applies(self.policy, block, self.request)]

    def statements(self) -> list[Stated]:
        """Return the statements of the blocks that apply, sorted by name (L23, L65)."""
        stated = [
            Stated(rule_name(block.source, node), block, node)
            for block in self.applicable()
            for node in block.node.statements
        ]
        return sorted(stated, key=lambda one: (one.name, one.node.span))

    def judge(self, added: frozenset[str]) -> Judgement:
        """Take steps 1-6 of L61 for the request with some scopes added."""
        if not self.applicable():
            known = any(matches_tool(self.policy, block, self.request.tool) for block in self.policy.blocks)
            return Judgement(Reason.NO_APPLICABLE_RULE if known else Reason.UNKNOWN_TOOL)
        case = self.case(added)
        stated = self.statements()
        allows = [(one, case.allow(one)) for one in stated if isinstance(one.node, ast.Rule)]
        sure = tuple(one for one, outcome in allows if outcome is True)
        unsure = tuple(one for one, outcome in allows if outcome is None)
        if case.foreign and not sure:  # only `across tenants` allows apply to another tenant's resource (L63)
            return Judgement(self.tenant_reason())
        for reason, deciding in (*case.denied(stated), *case.required(stated)):
            if deciding:
                return Judgement(reason, deciding)
        failing = tuple(one for one in stated if case.lacks_scope(one.node))
        return Judgement(None, (), sure, unsure, failing)

    def tenant_reason(self) -> Reason:
        """Name the reason of step 2 (L61)."""
        resource_tenant = self.request.resource.tenant if self.request.resource else ""
        both = self.request.tenant and resource_tenant
        return Reason.TENANT_MISMATCH if both else Reason.TENANT_UNKNOWN

    def is_foreign(self) -> bool:
        """Say whether the resource is another tenant's; "" is a tenant like any other (L62)."""
        resource = self.request.resource
        if resource is None or self.policy.is_global(resource.type):
            return False
        return resource.tenant != self.request.tenant

    def held_scopes(self, added: frozenset[str]) -> frozenset[str]:
        """Return the known scopes that are held (L10, L30)."""
        implied = [(one.name.value, one.implies) for one in self.policy.scopes]
        return frozenset(closure({*self.request.scopes, *added}, implied) & mentioned(self.policy, "scope"))

    def carried_roles(self) -> frozenset[str]:
        """Return the known roles that are held without a condition (L11, L30)."""
        implied = [(one.node.name.value, one.node.extends) for one in self.policy.roles]
        derived = {role.node.name.value for role in self.policy.roles if role.node.when is not None}
        return frozenset(closure(set(self.request.roles) - derived, implied) & mentioned(self.policy, "role"))

    def case(self, added: frozenset[str]) -> Case:
        """Compute what is held, derived roles included (L11)."""
        scopes = self.held_scopes(added)
        implied = [(one.node.name.value, one.node.extends) for one in self.policy.roles]
        derived = [role for role in self.policy.roles if role.node.when is not None]
        plain = self.carried_roles()
        inside = Roles(plain, frozenset(), certain=True)
        sure, maybe, certain = set(plain), set[str](), True
        for role in derived:
            assert role.node.when is not None
            given = closure({role.node.name.value}, implied)
            scene = Scene(self.policy, self.request, scopes, inside, role.lets, None, self.policy.resource_fields(None))
            match scene.truth(role.node.when):
                case True:
                    sure |= given
                case None:
                    maybe |= given
                    certain = False
        roles = Roles(frozenset(sure), frozenset(maybe - sure), certain)
        return Case(self.policy, self.request, scopes, roles, self.is_foreign())

    # Scopes that would help (L67)

    def missing_scopes(self) -> frozenset[str] | None:
        """Find the fewest scopes, then the alphabetically first, with which the request is ALLOW."""
        candidates = sorted(self.candidates() - self.held_scopes(frozenset()))
        looked = 0
        for count in range(1, len(candidates) + 1):
            for chosen in combinations(candidates, count):
                looked += 1
                if looked > MAX_SETS:
                    return None
                if self.judge(frozenset(chosen)).is_allow:
                    return self.narrowed(frozenset(chosen), candidates)
        return None

    def narrowed(self, missing: frozenset[str], candidates: Sequence[str]) -> frozenset[str]:
        """Exchange broad scopes for narrower ones, one at a time, as long as the request stays ALLOW."""
        implied = [(one.name.value, one.implies) for one in self.policy.scopes]
        for scope in sorted(missing):
            for narrower in candidates:
                is_narrower = narrower in closure({scope}, implied) and scope not in closure({narrower}, implied)
                exchanged = missing - {scope} | {narrower}
                if is_narrower and narrower not in missing and self.judge(exchanged).is_allow:
                    return self.narrowed(exchanged, candidates)
        return missing

    def candidates(self) -> set[str]:
        """Return the scopes that the applicable blocks name."""
        found: set[str] = set()
        for one in self.statements():
            if not (isinstance(one.node, ast.Rule) and one.node.effect == "deny"):
                found |= named(one.node, "scope")
            asked = conditions(one.node)
            if any(reads_scopes(condition, one.block.lets) for condition in asked):
                found.update(*(strings(condition, one.block.lets) for condition in asked))
        return found

    def required_scopes(self, missing: frozenset[str], allows: Sequence[Stated]) -> set[str]:
        """Add to the missing scopes the held ones that the request leans on."""
        held = self.held_scopes(frozenset())
        required = set(missing)
        for one in self.statements():
            if isinstance(one.node, ast.Require) and one.node.kind == "scope":
                required |= leaned_on(one.node, held)
        whos = [one.node.who for one in allows if isinstance(one.node, ast.Rule)]
        if all(who is not None and who.kind == "scope" for who in whos) and whos[0] is not None:
            required |= leaned_on(whos[0], held)
        return required


def leaned_on(who: ast.Require | ast.Who, held: frozenset[str]) -> set[str]:
    """Return the held names of an `all` list, the alphabetically first held one of an `any` list (L67)."""
    named_and_held = sorted({one.value for one in who.names} & held)
    return set(named_and_held[:1] if who.mode == "any" else named_and_held)


@dataclass(frozen=True, slots=True)
class Case:
    """A request with all that is known of its caller: what each statement comes to."""

    policy: Policy
    request: Request
    scopes: frozenset[str]
    roles: Roles
    foreign: bool

    def condition(self, stated: Stated, condition: ast.Expr | None, *, default: bool) -> Truth:
        """Evaluate a condition of a statement, in its place (L13)."""
        if condition is None:
            return default
        block = stated.block.node
        args = None if block.arguments is None else {one.name.text: one.type for one in block.arguments}
        resource = self.policy.resource_fields(block.types)
        lets = stated.block.lets
        return Scene(self.policy, self.request, self.scopes, self.roles, lets, args, resource).truth(condition)

    def conditions(self, stated: Stated, rule: ast.Rule) -> Truth:
        """`unless C` is `when not (C)` (L23)."""
        when = self.condition(stated, rule.when, default=True)
        return every([when, negate(self.condition(stated, rule.unless, default=False))])

    def holds(self, who: ast.Require | ast.Who) -> Truth:
        """Compare a list of roles (any unless said) or scopes (all unless said) with what is held (L22)."""
        if who.kind == "scope":
            held: list[Truth] = [one.value in self.scopes for one in who.names]
            return some(held) if who.mode == "any" else every(held)
        held = [self.roles.holds(one.value) for one in who.names]
        return every(held) if who.mode == "all" else some(held)

    def allow(self, stated: Stated) -> Truth:
        """Say whether an allow applies: certainly true, WHO and condition together (L22, L51)."""
        rule = stated.node
        if not isinstance(rule, ast.Rule) or rule.effect != "allow" or (self.foreign and not rule.across):
            return False
        kind = rule.who.kind if rule.who else "anyone"
        if self.request.anonymous and kind != "public":
            return False
        who = self.holds(rule.who) if rule.who and kind in {"role", "scope"} else True
        return every([who, self.conditions(stated, rule)])

    def deny(self, stated: Stated) -> Truth:
        """Say whether a deny's WHO and condition hold, whoever the caller is (L22)."""
        rule = stated.node
        if not isinstance(rule, ast.Rule) or rule.effect != "deny":
            return False
        who: Truth = True
        if rule.who and rule.who.kind == "anyone":
            who = not self.request.anonymous
        elif rule.who and rule.who.kind in {"role", "scope"}:
            who = self.holds(rule.who)
        return every([who, self.conditions(stated, rule)])

    def denied(self, stated: Sequence[Stated]) -> list[tuple[Reason, tuple[Stated, ...]]]:
        """Step 3: a deny applies unless it is certainly false (L51)."""
        outcomes = [(one, self.deny(one)) for one in stated]
        return [
            (Reason.EXPLICIT_DENY, tuple(one for one, outcome in outcomes if outcome is True)),
            (Reason.INDETERMINATE, tuple(one for one, outcome in outcomes if outcome is None)),
        ]

    def required(self, stated: Sequence[Stated]) -> list[tuple[Reason, tuple[Stated, ...]]]:
        """Step 4: requirements must be certainly true (L51)."""
        roles = [(one, self.holds(one.node)) for one in stated if is_require_role(one.node)]  # type: ignore[arg-type]
        whens = [
            (one, self.condition(one, one.node.condition, default=True))
            for one in stated
            if isinstance(one.node, ast.RequireWhen)
        ]
        return [
            (Reason.MISSING_ROLE, tuple(one for one, outcome in roles if outcome is False)),
            (Reason.REQUIREMENT_NOT_MET, tuple(one for one, outcome in whens if outcome is False)),
            (Reason.INDETERMINATE, tuple(one for one, outcome in (*roles, *whens) if outcome is None)),
        ]

    def lacks_scope(self, node: ast.Statement) -> bool:
        """Step 6: say whether a `require scope` fails."""
        return isinstance(node, ast.Require) and node.kind == "scope" and not self.holds(node)


def is_require_role(node: ast.Statement) -> bool:
    """Say whether a statement is a `require role`."""
    return isinstance(node, ast.Require) and node.kind == "role"


def rule_name(source: Source, node: ast.Statement) -> str:
    """Name a statement: `file:label`, or `file:line` without a label (L23)."""
    if isinstance(node, ast.Rule) and node.label is not None:
        return f"{source.module}:{node.label.value}"
    line, _ = source.place(node.span.start)
    return f"{source.module}:{line}"


# --- Obligations (L64) ----------------------------------------------------------------------


def obligations(allows: Iterable[Stated]) -> tuple[Obligation, ...]:
    """Return those of each allow, then of its block, in the order of the rules' names, each once."""
    found: list[tuple[Any, Obligation]] = []
    for one in allows:
        assert isinstance(one.node, ast.Rule)
        block = [node.obligation for node in one.block.node.statements if isinstance(node, ast.Oblige)]
        for clause in (*one.node.obligations, *block):
            identity = clause.name.value, frozenset((p.name.text, meaning(p.value)) for p in clause.parameters)
            if identity not in [known for known, _ in found]:
                parameters = {p.name.text: as_json(p.value) for p in clause.parameters}
                found.append((identity, Obligation(clause.name.value, parameters)))
    return tuple(obligation for _, obligation in found)


def meaning(literal: ast.Expr) -> Any:
    """Return a literal's value, to tell whether two are the same."""
    match literal:
        case ast.SetLiteral(items, _):
            return "set", frozenset(meaning(item) for item in items)
        case ast.NumberLiteral(number, _):
            return "number", Fraction(number)
        case ast.DurationLiteral(count, _, _):
            return "duration", count
        case ast.StringLiteral(text, _):
            return "string", text
        case ast.BoolLiteral(truth, _):
            return "bool", truth
        case _:
            raise TypeError(literal)


def as_json(literal: ast.Expr) -> Any:
    """Return a literal as JSON: a set is a tuple as written, a duration the text of its literal (L12)."""
    match literal:
        case ast.SetLiteral(items, _):
            return tuple(as_json(item) for item in items)
        case ast.DurationLiteral(_, text, _):
            return text
        case ast.NumberLiteral() | ast.StringLiteral() | ast.BoolLiteral():
            return literal.value
        case _:
            raise TypeError(literal)
