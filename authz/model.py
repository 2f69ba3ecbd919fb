"""What is asked and what is answered: frozen values that every door shares.

A `Request` that exists is valid: its constructor checks everything L60 demands, so nothing
after it has to. A `Decision` is what `Program.decide` returns and what every door renders.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 (the type of a field, which dataclasses look at)
from enum import Enum
from operator import attrgetter
from typing import Final, TypeAlias, TypeGuard

from authz.errors import InvalidRequestError

Value: TypeAlias = "bool | int | float | str | Sequence[Value] | Mapping[str, Value] | None"
"""A JSON value: attributes, arguments and context are made of these."""

Attributes: TypeAlias = Mapping[str, Value]

MAX_DEPTH: Final = 32
"""Levels of nesting in attributes, arguments and context (L60)."""
MAX_ITEMS: Final = 10_000
"""Members of one list or one object."""
MAX_VALUES: Final = 100_000
"""Values in one request, counted at every level."""
MAX_IDENTIFIER: Final = 1_024
"""Characters of one identifier."""
MAX_TEXT: Final = 4 * 1024 * 1024
"""Characters in one request, all strings together."""

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # Unicode's category Cc, which will never grow


class Effect(Enum):
    """The answer. CONDITIONAL is given only for requests with unknown parts (L68)."""

    ALLOW = 1
    DENY = 2
    CONDITIONAL = 3


class Reason(Enum):
    """Which step of L61 decided; the numbers are those of `authz.v1.Reason`."""

    ALLOWED = 1
    UNKNOWN_TOOL = 2
    NO_APPLICABLE_RULE = 3
    TENANT_MISMATCH = 4
    TENANT_UNKNOWN = 5
    EXPLICIT_DENY = 6
    MISSING_ROLE = 7
    REQUIREMENT_NOT_MET = 8
    INDETERMINATE = 9
    NO_ALLOW = 10
    INSUFFICIENT_SCOPE = 11
    RATE_LIMITED = 12
    CONDITIONAL = 13


class Part(Enum):
    """A part of a request that may be unknown (L68); the numbers are those of `authz.v1.Part`."""

    ARGUMENTS = 1
    RESOURCE = 2
    CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Obligation:
    """Something the caller must do when it acts on an ALLOW (L64)."""

    name: str
    parameters: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one request, and why.

    `rules` are the deciding rules' names, sorted. `message` is safe for the caller to see.
    `required_scopes` and `missing_scopes` are sorted, and filled exactly with
    INSUFFICIENT_SCOPE (L67).
    """

    effect: Effect
    reason: Reason
    message: str
    rules: tuple[str, ...]
    policy_revision: str
    obligations: tuple[Obligation, ...] = ()
    required_scopes: tuple[str, ...] = ()
    missing_scopes: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Say whether the call may go ahead; anything but a clear ALLOW may not."""
        return self.effect is Effect.ALLOW


class Outcome(Enum):
    """What a condition comes to (L50)."""

    TRUE = 1
    FALSE = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """One operand of a condition and the value it had; `problem` says why there is none."""

    expression: str
    value: Value = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ConditionTrace:
    """One atom of a rule's condition as it was evaluated, with the text it has in the policy."""

    text: str
    file: str
    line: int
    column: int
    outcome: Outcome
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One statement that could have had a say. `kind` is its first words, such as "require role"."""

    name: str
    kind: str
    file: str
    line: int
    column: int
    outcome: Outcome
    conditions: tuple[ConditionTrace, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that the directory knows of a request, and where it stands there: `resource.attributes.owner`.

    `contradicted` says that the request said something else, `given`, and the directory's word counted.
    """

    path: str
    value: Value
    contradicted: bool = False
    given: Value = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and how it came about; `nearest` says what would have helped, "" after ALLOW."""

    decision: Decision
    rules: tuple[RuleTrace, ...]
    nearest: str = ""
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something administrative, through which door, and why; it stands in the decision log.

    `author` is what the door knows of them; `via` names the door: "cli" or "admin".
    """

    author: str
    via: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """What the tool call touches. `ancestors` are entities, `"folder:42"`, all levels (L33)."""

    type: str = ""
    id: str = ""
    tenant: str = ""
    attributes: Attributes = field(default_factory=dict)
    ancestors: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """The OAuth client or agent that acts for the subject."""

    id: str = ""
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolInfo:
    """What the MCP server says of the tool. A hint that is None was not given: not False."""

    server: str = ""
    tags: Sequence[str] = ()
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Ask whether this caller may call this tool, on this resource, with these arguments.

    `now` is the time of the decision; None lets the program read the clock. It must carry an
    offset. `entities` are those that references lead to, by type ("subject" for a subject) and id;
    only the directory supplies them, and what it supplies is not checked again. `unknown` parts are
    left out; of an unknown resource the type may be given (L68).
    Raises `InvalidRequestError`, naming the field, for whatever L60 refuses.
    """

    tool: str
    subject: str = ""
    scopes: Sequence[str] = ()
    roles: Sequence[str] = ()
    tenant: str = ""
    resource: Resource | None = None
    arguments: Attributes = field(default_factory=dict)
    context: Attributes = field(default_factory=dict)
    subject_attributes: Attributes = field(default_factory=dict)
    client: Client | None = None
    tool_info: ToolInfo | None = None
    anonymous: bool = False
    now: datetime | None = None
    entities: Mapping[tuple[str, str], Attributes] = field(default_factory=dict)
    unknown: frozenset[Part] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what L60 refuses."""
        if not self.tool:
            raise InvalidRequestError("tool", "must not be empty")
        if not self.subject and not self.anonymous:
            raise InvalidRequestError("subject", "must not be empty unless `anonymous` is set")
        if self.subject and self.anonymous:
            raise InvalidRequestError("anonymous", "must not be set beside a subject")
        if self.now is not None and self.now.tzinfo is None:
            raise InvalidRequestError("now", "must carry an offset from UTC")
        if self.unknown:
            _check_left_out(self)
        budget = _Budget()
        if not budget.took(*_names(self)):
            _check_names(budget, self)
        if self.resource is not None:
            budget.text("resource.id", self.resource.id)
            budget.attributes("resource.attributes", self.resource.attributes)
            budget.texts("resource.ancestors", self.resource.ancestors)
        budget.attributes("arguments", self.arguments)
        budget.attributes("context", self.context)
        budget.attributes("subject_attributes", self.subject_attributes)
        if self.client is not None:
            budget.attributes("client.attributes", self.client.attributes)

    def by(self, caller: Request) -> Request:
        """Return the question that this request asks, as the caller of another one asks it.

        Both were checked, so nothing is checked again: a caller of many questions is looked at once.
        """
        copy = object.__new__(Request)
        for put, value in zip(_PUT, _question(self) + _caller(caller), strict=True):
            put(copy, value)
        return copy


_QUESTION: Final = ("tool", "resource", "arguments", "tool_info", "entities", "unknown")
CALLER: Final = (
    "subject",
    "scopes",
    "roles",
    "tenant",
    "context",
    "subject_attributes",
    "client",
    "anonymous",
    "now",
)
"""The fields of a request that say who asks, and when and where; the others are the question."""

_question: Final = attrgetter(*_QUESTION)
_caller: Final = attrgetter(*CALLER)
# The slots themselves: lists of tools copy hundreds of requests, and `object.__setattr__` takes twice as long.
_PUT: Final = tuple(Request.__dict__[name].__set__ for name in (*_QUESTION, *CALLER))


def _names(request: Request) -> tuple[list[str], list[Sequence[str]]]:
    """Return all identifiers of a request but the names of attributes: the single ones, and those in lists."""
    names, lists = [request.subject, request.tenant, request.tool], [request.scopes, request.roles]
    if (resource := request.resource) is not None:
        names += (resource.type, resource.tenant)
    if (client := request.client) is not None:
        names.append(client.id)
    if (info := request.tool_info) is not None:
        names.append(info.server)
        lists.append(info.tags)
    return names, lists


def _check_names(budget: _Budget, request: Request) -> None:
    """Refuse the first identifier that is none."""
    budget.identifier("subject", request.subject)
    budget.identifiers("scopes", request.scopes)
    budget.identifiers("roles", request.roles)
    budget.identifier("tenant", request.tenant)
    budget.identifier("tool", request.tool)
    if (resource := request.resource) is not None:
        budget.identifier("resource.type", resource.type)
        budget.identifier("resource.tenant", resource.tenant)
    if (client := request.client) is not None:
        budget.identifier("client.id", client.id)
    if (info := request.tool_info) is not None:
        budget.identifier("tool_info.server", info.server)
        budget.identifiers("tool_info.tags", info.tags)


def _check_left_out(request: Request) -> None:
    """Refuse values of parts that are said to be unknown: one of the two statements must be wrong."""
    resource = request.resource
    for part, name, given in (
        (Part.ARGUMENTS, "arguments", request.arguments),
        (Part.CONTEXT, "context", request.context),
        (Part.RESOURCE, "resource", resource is not None and resource != Resource(type=resource.type)),
    ):
        if given and part in request.unknown:
            raise InvalidRequestError(name, "is given, and named in `unknown` as well")


class _Budget:
    """What one request may still hold; every check of L60 draws on it.

    Each method looks first for what nearly all values are, plain ASCII text and plain numbers, and says
    where something stands only when there is something to say: half of a decision's time is spent here.
    """

    __slots__ = ("characters", "values")

    def __init__(self) -> None:
        self.characters = MAX_TEXT
        self.values = MAX_VALUES

    def took(self, names: list[str], lists: Sequence[Sequence[str]]) -> bool:
        """Count identifiers that are all plain and not many; False, and nothing is counted, where they may not be.

        Looked at as one text, they take a quarter of the time.
        """
        listed = 0
        for values in lists:
            if type(values) is not tuple and type(values) is not list:
                return False
            names += values
            listed += len(values)
        try:
            text = "".join(names)
        except TypeError:
            return False
        if listed > MAX_ITEMS or not _is_plain(text):
            return False
        self.characters -= len(text)
        self.values -= listed
        return True

    def text(self, where: str, value: object) -> None:
        if not isinstance(value, str):
            raise InvalidRequestError(where, "must be a string")
        self.spend(where, len(value))
        if not value.isascii() and _SURROGATE.search(value):
            raise InvalidRequestError(where, "is not valid Unicode: it holds half of a surrogate pair")

    def spend(self, where: str, characters: int) -> None:
        self.characters -= characters
        if self.characters < 0:
            raise InvalidRequestError(where, f"the request holds more than {MAX_TEXT} characters")

    def identifier(self, where: str, value: object) -> None:
        if _is_plain(value):
            self.spend(where, len(value))
            return
        self.text(where, value)
        assert isinstance(value, str)  # text() has refused everything else
        if len(value) > MAX_IDENTIFIER:
            raise InvalidRequestError(where, f"is longer than {MAX_IDENTIFIER} characters")
        if _CONTROL.search(value):
            raise InvalidRequestError(where, "holds a control character")
        if not unicodedata.is_normalized("NFC", value):
            raise InvalidRequestError(where, "is not in Unicode normal form NFC")

    def identifiers(self, where: str, values: object) -> None:
        if type(values) is tuple and not values:
            return
        spent = 0
        for index, value in enumerate(self.sequence(where, values)):
            if _is_plain(value):
                spent += len(value)
            else:
                self.identifier(f"{where}[{index}]", value)
        self.spend(where, spent)

    def texts(self, where: str, values: object) -> None:
        for index, value in enumerate(self.sequence(where, values)):
            self.text(f"{where}[{index}]", value)

    def sequence(self, where: str, values: object) -> Sequence[object]:
        if not isinstance(values, (list, tuple)):
            raise InvalidRequestError(where, "must be a list")
        self.count(where, len(values))
        return values

    def count(self, where: str, length: int) -> None:
        if length > MAX_ITEMS:
            raise InvalidRequestError(where, f"holds more than {MAX_ITEMS} items")
        self.values -= length
        if self.values < 0:
            raise InvalidRequestError(where, f"the request holds more than {MAX_VALUES} values")

    def attributes(self, where: str, values: object, depth: int = 1) -> None:
        if type(values) is dict:
            if not values and depth == 1:
                return
        elif not isinstance(values, Mapping):
            raise InvalidRequestError(where, "must be an object")
        if depth > MAX_DEPTH:
            raise InvalidRequestError(where, f"nests deeper than {MAX_DEPTH} levels")
        self.count(where, len(values))
        spent = 0
        for name, value in values.items():
            if _is_plain(name):
                spent += len(name)
            else:
                self.identifier(f"{where} (a name)", name)
            kind = type(value)
            if kind is str and len(value) <= MAX_IDENTIFIER and value.isascii():
                spent += len(value)
            elif kind is not bool and kind is not int and value is not None:
                self.value(f"{where}.{name}", value, depth)
        self.spend(where, spent)

    def value(self, where: str, value: object, depth: int) -> None:
        match value:
            case None | bool() | int():
                return
            case float():
                if not math.isfinite(value):
                    raise InvalidRequestError(where, "is not a finite number")
            case str():
                self.text(where, value)
            case list() | tuple():
                if depth >= MAX_DEPTH:
                    raise InvalidRequestError(where, f"nests deeper than {MAX_DEPTH} levels")
                for index, item in enumerate(self.sequence(where, value)):
                    self.value(f"{where}[{index}]", item, depth + 1)
            case Mapping():
                self.attributes(where, value, depth + 1)
            case _:
                raise InvalidRequestError(where, "is not a JSON value")


def _is_plain(value: object) -> TypeGuard[str]:
    """Say whether a value is certainly an identifier, as nearly all are."""
    return type(value) is str and value.isascii() and value.isprintable() and len(value) <= MAX_IDENTIFIER
