"""The tree of a policy as it was written, before anything is looked up.

Nodes are named tuples: one class costs a tenth of a frozen dataclass at import and one node half,
and both show in the start-up of `authz-eval`. Every node ends with its `span`. Compare trees with
`without_spans`, which also tells apart two kinds of node that hold the same fields.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform

    # To the type checker nodes are frozen dataclasses: matching on unions of named tuples that hold
    # each other takes mypy minutes.
    @dataclass_transform(frozen_default=True)
    class Node:
        """What every node of a tree is."""

        _fields: ClassVar[tuple[str, ...]]

        def _replace(self, **changes: Any) -> Self: ...
else:

    class _NodeMaker(type):
        """Makes named tuples, as `typing.NamedTuple` does in three times the time: it reads every annotation."""

        def __new__(cls, name: str, _: tuple[type, ...], body: dict[str, object]) -> type[tuple]:
            fields = tuple(body.get("__annotations__", ()))
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(  # noqa: PYI024  # what `typing.NamedTuple` calls itself
                name, fields, defaults=defaults, module=body["__module__"]
            )
            for key, value in body.items():
                setattr(made, key, value)
            return made

    Node = type.__new__(_NodeMaker, "Node", (), {})


class Span(NamedTuple):
    """A half-open range of characters in one file's text."""

    start: int
    end: int


class Name(Node):
    """A bare word that the policy itself defines or that names an attribute (L4)."""

    text: str
    span: Span


class Text(Node):
    """A quoted string, its escapes resolved: a scope, role, tool, type, tenant, label or message."""

    value: str
    span: Span


# --- Types of attributes (L12) --------------------------------------------------------------


class NamedType(Node):
    """`string`, `number`, `bool`, `time`, `duration` or `ip`; other words are an error later."""

    name: str
    span: Span


class UnionType(Node):
    """One of several literal strings."""

    options: tuple[Text, ...]
    span: Span


class SetType(Node):
    """`set<item>`."""

    item: TypeExpr
    span: Span


class MapType(Node):
    """`map<item>`: string keys, values of one type."""

    item: TypeExpr
    span: Span


class RefType(Node):
    """`ref<target>`: an entity of a resource type, or of `subject`."""

    target: Name | Text
    span: Span


class Field(Node):
    """One attribute of a shape, `name: type` or `name?: type`."""

    name: Name
    optional: bool
    type: TypeExpr
    span: Span


class RecordType(Node):
    """`{ field… }`."""

    fields: tuple[Field, ...]
    span: Span


TypeExpr: TypeAlias = NamedType | UnionType | SetType | MapType | RefType | RecordType

# --- Expressions (L30-L39) ------------------------------------------------------------------

SECOND: Final = 1_000_000_000
DURATION_UNITS: Final = {
    "ms": SECOND // 1000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3_600 * SECOND,
    "d": 86_400 * SECOND,
}
"""Nanoseconds in each unit of a duration literal (L39)."""


class StringLiteral(Node):
    """A quoted string used as a value. For `like` and `under` it may hold `{expr}` parts."""

    value: str
    span: Span


class NumberLiteral(Node):
    """A number; a value without a fraction is an int."""

    value: int | float
    span: Span


class BoolLiteral(Node):
    """`true` or `false`."""

    value: bool
    span: Span


class DurationLiteral(Node):
    """A duration in nanoseconds; `text` keeps the unit that was written."""

    nanoseconds: int
    text: str
    span: Span


class SetLiteral(Node):
    """`["a", "b"]`, in the order written."""

    items: tuple[Expr, ...]
    span: Span


class Attribute(Node):
    """`.name`."""

    name: str
    span: Span


class Index(Node):
    """`[key]`."""

    key: Expr
    span: Span


class Reference(Node):
    """A root of L30 or a `let`, and the steps from it: `resource.labels["a"]`."""

    root: Name
    steps: tuple[Attribute | Index, ...]
    span: Span


class Call(Node):
    """`function(argument, …)`."""

    function: Name
    arguments: tuple[Expr, ...]
    span: Span


class Not(Node):
    """`not operand`."""

    operand: Expr
    span: Span


class And(Node):
    """Two or more operands joined by `and`."""

    items: tuple[Expr, ...]
    span: Span


class Or(Node):
    """Two or more operands joined by `or`."""

    items: tuple[Expr, ...]
    span: Span


class If(Node):
    """`if condition then yes else no`."""

    condition: Expr
    yes: Expr
    no: Expr
    span: Span


CompareOp: TypeAlias = Literal[
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "not in",
    "like",
    "not like",
    "matches",
    "under",
    "subset of",
    "intersects",
]


class Compare(Node):
    """`left op right`."""

    op: CompareOp
    left: Expr
    right: Expr
    span: Span


class Has(Node):
    """`operand has a.b`."""

    operand: Expr
    path: tuple[Name, ...]
    span: Span


class Chain(Node):
    """`a < b < c`: the validator refuses it, with a better message than the parser could give."""

    items: tuple[Expr, ...]
    ops: tuple[CompareOp, ...]
    span: Span


class Range(Node):
    """`low..high`, both ends included; only on the right of `in`."""

    low: Expr
    high: Expr
    span: Span


class Term(Node):
    """One further operand of a sum, with the sign before it."""

    sign: Literal["+", "-"]
    operand: Expr
    span: Span


class Sum(Node):
    """`first + …  - …`, from left to right."""

    first: Expr
    rest: tuple[Term, ...]
    span: Span


class Coalesce(Node):
    """`a ?? b ?? c`: two or more items."""

    items: tuple[Expr, ...]
    span: Span


Expr: TypeAlias = (
    StringLiteral
    | NumberLiteral
    | BoolLiteral
    | DurationLiteral
    | SetLiteral
    | Reference
    | Call
    | Not
    | And
    | Or
    | If
    | Compare
    | Chain
    | Has
    | Range
    | Sum
    | Coalesce
)
LiteralExpr: TypeAlias = StringLiteral | NumberLiteral | BoolLiteral | DurationLiteral | SetLiteral

# --- Statements of a tool block (L22) -------------------------------------------------------

Mode: TypeAlias = Literal["any", "all"]


class Who(Node):
    """Whom a rule speaks of. `mode` is None where none was written; `names` only for role and scope."""

    kind: Literal["role", "scope", "anyone", "public"]
    mode: Mode | None
    names: tuple[Text, ...]
    span: Span


class Parameter(Node):
    """One `key: literal` of an obligation."""

    name: Name
    value: LiteralExpr
    span: Span


class ObligationClause(Node):
    """`"name" { key: literal, … }`; the braces may be left out."""

    name: Text
    parameters: tuple[Parameter, ...]
    span: Span


class Require(Node):
    """`require role|scope …`."""

    kind: Literal["role", "scope"]
    mode: Mode | None
    names: tuple[Text, ...]
    span: Span


class RequireWhen(Node):
    """`require when CONDITION`."""

    condition: Expr
    span: Span


class Rule(Node):
    """An `allow` or a `deny`. `across`, `because` and `obligations` as written."""

    effect: Literal["allow", "deny"]
    label: Text | None
    who: Who | None
    across: bool
    when: Expr | None
    unless: Expr | None
    because: Text | None
    obligations: tuple[ObligationClause, ...]
    span: Span


class Limit(Node):
    """`limit N per DURATION by KEY, …`."""

    calls: NumberLiteral
    per: DurationLiteral
    keys: tuple[Name, ...]
    span: Span


class Oblige(Node):
    """`oblige "obligation" {…}`."""

    obligation: ObligationClause
    span: Span


Statement: TypeAlias = Require | RequireWhen | Rule | Limit | Oblige

# --- Declarations (L10-L24) -----------------------------------------------------------------


class GroupReference(Node):
    """`@NAME` where a tool pattern may stand."""

    name: Name
    span: Span


Pattern: TypeAlias = Text | GroupReference


class ScopeDeclaration(Node):
    """`scope "S" implies …`."""

    name: Text
    implies: tuple[Text, ...]
    span: Span


class RoleDeclaration(Node):
    """`role "R" extends … when …`."""

    name: Text
    extends: tuple[Text, ...]
    when: Expr | None
    span: Span


class ShapeDeclaration(Node):
    """`resource "T" { … }` (with a `name`), `subject { … }`, `context { … }` or `client { … }`."""

    kind: Literal["resource", "subject", "context", "client"]
    name: Text | None
    is_global: bool
    fields: tuple[Field, ...]
    span: Span


class LetDeclaration(Node):
    """`let NAME = EXPRESSION`."""

    name: Name
    value: Expr
    span: Span


class GroupDeclaration(Node):
    """`tools NAME = PATTERN, …`."""

    name: Name
    patterns: tuple[Pattern, ...]
    span: Span


class ToolBlock(Node):
    """`tool … [except …] [(…)] [on …] { … }`; `arguments` and `types` are None where not written."""

    patterns: tuple[Pattern, ...]
    excepted: tuple[Pattern, ...]
    arguments: tuple[Field, ...] | None
    types: tuple[Text, ...] | None
    statements: tuple[Statement, ...]
    span: Span


class TenantBlock(Node):
    """`tenant PATTERN, … { … }`."""

    patterns: tuple[Text, ...]
    items: tuple[Declaration, ...]
    span: Span


Declaration: TypeAlias = (
    ScopeDeclaration | RoleDeclaration | ShapeDeclaration | LetDeclaration | GroupDeclaration | ToolBlock | TenantBlock
)


class Comment(Node):
    """From `#` to the end of its line; `text` starts with the `#`."""

    text: str
    span: Span


class PolicyFile(Node):
    """One `.authz` file. `broken` says that some declaration was left out for a syntax error."""

    declarations: tuple[Declaration, ...]
    comments: tuple[Comment, ...]
    broken: bool
    span: Span


# --- Tests (L80) ----------------------------------------------------------------------------


class JsonNull(Node):
    """`null` in a fixture."""

    span: Span


class JsonList(Node):
    """`[ … ]` in a fixture: any values, in order."""

    items: tuple[JsonValue, ...]
    span: Span


class JsonMember(Node):
    """`key: value` in a fixture; the key may be quoted."""

    key: str
    value: JsonValue
    span: Span


class JsonObject(Node):
    """`{ … }` in a fixture."""

    members: tuple[JsonMember, ...]
    span: Span


JsonValue: TypeAlias = JsonNull | StringLiteral | NumberLiteral | BoolLiteral | JsonList | JsonObject


class SubjectSpec(Node):
    """`subject "id" { attributes }`, or `anonymous` when `id` is None."""

    id: Text | None
    attributes: JsonObject | None
    span: Span


class ResourceSpec(Node):
    """`resource "type" "id" { attributes }`; `tenant` and `ancestors` stand among the attributes."""

    type: Text
    id: Text
    attributes: JsonObject | None
    span: Span


class Clause(Node):
    """One part of a caller or call, such as `scopes "a", "b"` or `context { … }`.

    `texts` holds the strings, `attributes` the braces, whichever the kind takes.
    """

    kind: Literal["scopes", "roles", "tenant", "context", "subject", "client", "tool"]
    texts: tuple[Text, ...]
    attributes: JsonObject | None
    span: Span


class Fixture(Node):
    """`fixture NAME = subject … | resource …`, with clauses after a subject."""

    name: Name
    value: SubjectSpec | ResourceSpec
    clauses: tuple[Clause, ...]
    span: Span


class Expectation(Node):
    """`expect allow|deny [REASON] [by "rule", …] [missing "scope", …] [then "obligation" {…}]…`.

    What is not written (None) is not compared.
    """

    effect: Literal["allow", "deny"]
    reason: Name | None
    rules: tuple[Text, ...] | None
    missing: tuple[Text, ...] | None
    obligations: tuple[ObligationClause, ...] | None
    span: Span


class TestCase(Node):
    """`test "name" { as … [with …] call … [on …] [at …] expect … }`."""

    name: Text
    caller: Name | SubjectSpec
    clauses: tuple[Clause, ...]
    tool: Text
    arguments: JsonObject | None
    resource: Name | ResourceSpec | None
    at: Text | None
    expectation: Expectation
    span: Span


class TestFile(Node):
    """One `_test.authz` file."""

    items: tuple[Fixture | TestCase, ...]
    comments: tuple[Comment, ...]
    broken: bool
    span: Span


def without_spans(node: object) -> object:
    """Return the tree as nested tuples of class names and fields, to compare what was meant."""
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        fields = zip(node._fields, node, strict=True)
        return (type(node).__name__, *(without_spans(v) for k, v in fields if k not in {"span", "comments"}))
    if isinstance(node, tuple):
        return tuple(without_spans(item) for item in node)
    return node
