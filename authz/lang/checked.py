"""A policy after validation: names resolved, types known, nothing left that could fail.

Only `authz.lang.validator` makes a CheckedPolicySet; the compiler relies on it. Expressions are
a core of the language: `let`s are put in, patterns are split, literals are values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from authz.lang.ast import Mode, Node, Span
from authz.lang.source import Source
from authz.lang.types import Type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.lang.ast import PolicyFile
    from authz.lang.limits import Limits
    from authz.model import Obligation


class Place(NamedTuple):
    """Where something stands."""

    source: Source
    span: Span


# --- Expressions ----------------------------------------------------------------------------


class Const(Node):
    """A value of the policy: text, number, bool, nanoseconds, address, network or frozenset."""

    value: Any
    type: Type
    place: Place


class Read(Node):
    """An attribute: a root of L30 and the keys from it, each a name or an expression."""

    root: Literal["subject", "client", "resource", "args", "context"]
    keys: tuple[str | Core, ...]
    type: Type
    place: Place


class Follow(Node):
    """An attribute of the entity that a reference leads to (L12); `target` is its type, `keys` start there."""

    reference: Read | Follow
    target: str
    keys: tuple[str | Core, ...]
    type: Type
    place: Place


class Builtin(Node):
    """What every request has a place for, such as `subject.id`, `tenant` or `now`."""

    name: str
    type: Type
    place: Place


class Held(Node):
    """`scopes` or `roles` as a set (L30)."""

    what: Literal["scopes", "roles"]
    type: Type
    place: Place


class Unknown(Node):
    """Stands for what is wrong and reported; no valid policy holds it."""

    type: Type
    place: Place


class Not(Node):
    """Negation."""

    operand: Core
    place: Place


class And(Node):
    """Conjunction of two or more."""

    items: tuple[Core, ...]
    place: Place


class Or(Node):
    """Disjunction of two or more."""

    items: tuple[Core, ...]
    place: Place


class If(Node):
    """A choice, of conditions or of values."""

    condition: Core
    yes: Core
    no: Core
    type: Type
    place: Place


class Equal(Node):
    """`==` of two values of one kind: a scalar kind, `set`, or `dynamic` where neither side is declared."""

    left: Core
    right: Core
    kind: str
    place: Place


class Order(Node):
    """`<`, `<=`, `>` or `>=` of numbers, times or durations."""

    op: Literal["<", "<=", ">", ">="]
    left: Core
    right: Core
    kind: str
    place: Place


class InSet(Node):
    """Membership in a set; `kind` is that of the member, `dynamic` where nothing is declared."""

    item: Core
    set: Core
    kind: str
    place: Place


class InRange(Node):
    """Membership in a range, both ends included."""

    item: Core
    low: Core
    high: Core
    kind: str
    place: Place


class InNetwork(Node):
    """An address in a network."""

    address: Core
    network: Const
    place: Place


class InEntity(Node):
    """`resource` or `subject` in one of the entities named (L33)."""

    root: Literal["resource", "subject"]
    entities: Core
    place: Place


class SetTest(Node):
    """`subset of` or `intersects`."""

    op: Literal["subset of", "intersects"]
    left: Core
    right: Core
    place: Place


class Like(Node):
    """The whole string against pieces with a `*` between each two; a piece is text and inserted expressions."""

    operand: Core
    pieces: tuple[tuple[str | Core, ...], ...]
    place: Place


class Under(Node):
    """A path at or below another; the other is text and inserted expressions."""

    operand: Core
    parts: tuple[str | Core, ...]
    place: Place


class Matches(Node):
    """The whole string against an RE2 expression."""

    operand: Core
    pattern: str
    place: Place


class Has(Node):
    """Whether an attribute is there and of its type."""

    operand: Read | Follow | Builtin | Unknown
    place: Place


class Coalesce(Node):
    """The first item that is not missing; all but the last are attributes."""

    items: tuple[Core, ...]
    type: Type
    place: Place


class Sum(Node):
    """Operands with their signs, +1 or -1; `kind` of the result."""

    operands: tuple[tuple[int, Core], ...]
    type: Type
    place: Place


class Call(Node):
    """A function of L38 and its arguments; zones are Const."""

    function: str
    arguments: tuple[Core, ...]
    type: Type
    place: Place


Core: TypeAlias = (
    Const
    | Read
    | Follow
    | Builtin
    | Held
    | Unknown
    | Not
    | And
    | Or
    | If
    | Equal
    | Order
    | InSet
    | InRange
    | InNetwork
    | InEntity
    | SetTest
    | Like
    | Under
    | Matches
    | Has
    | Coalesce
    | Sum
    | Call
)

# --- Rules ----------------------------------------------------------------------------------


class Names(Node):
    """Roles or scopes that a rule asks for, any or all of them; sorted, each once."""

    what: Literal["role", "scope"]
    mode: Mode
    names: tuple[str, ...]


class Rule(Node):
    """One statement. Which fields count depends on `kind`; a limit is not kept here (L70).

    `who` is None for a requirement with a condition and for a deny that speaks of every caller;
    "anyone" and "public" stand for themselves. `condition` joins `when` and `unless`.
    """

    kind: Literal["allow", "deny", "require role", "require scope", "require when"]
    name: str
    who: Names | Literal["anyone", "public"] | None
    across: bool
    condition: Core | None
    because: str
    obligations: tuple[Obligation, ...]
    place: Place


class Block(Node):
    """A tool block, its groups put in. `types` is None without `on`; `section` is None outside tenant blocks."""

    patterns: tuple[str, ...]
    excepted: tuple[str, ...]
    types: tuple[str, ...] | None
    rules: tuple[Rule, ...]
    section: int | None
    place: Place


class DerivedRole(Node):
    """A role held exactly when a condition is true; `holds` is what it extends, itself included."""

    name: str
    holds: frozenset[str]
    condition: Core
    section: int | None
    place: Place


class Mentions(Node):
    """The scopes and roles that some part of a policy knows (L30, L65)."""

    scopes: frozenset[str]
    roles: frozenset[str]


class FilePart(Node):
    """What checking has made of one file's tool blocks, and the file's canonical text (L90)."""

    source: Source
    tree: PolicyFile
    blocks: tuple[Block, ...]
    lets: frozenset[tuple[str, int | None]]
    """The `let`s that the blocks use."""
    mentions: Mapping[int | None, Mentions]
    """What the blocks mention, by the tenant block they stand in."""
    canonical: bytes


class Parts(Node):
    """The parts of a policy by their files' names, and what they were checked against.

    A file that has not changed has the same part in another version of the policy, as long as what
    its blocks may refer to has not changed: `around`.
    """

    limits: Limits
    around: object
    files: Mapping[str, FilePart]


class CheckedPolicySet(Node):
    """A valid policy.

    `scopes` and `roles` map each name to all it stands for, itself included. `sections` are the
    tenant patterns of each tenant block. `known` holds the scopes and roles that L30 calls
    mentioned: first those of the global text, then those of each section.
    """

    revision: str
    blocks: tuple[Block, ...]
    sections: tuple[tuple[str, ...], ...]
    derived: tuple[DerivedRole, ...]
    scopes: Mapping[str, frozenset[str]]
    roles: Mapping[str, frozenset[str]]
    global_types: frozenset[str]
    known: tuple[Mentions, ...]
    files: tuple[tuple[Source, PolicyFile], ...]
    parts: Parts
