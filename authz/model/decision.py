"""What is answered: a decision, and how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authz.model.values import Attributes, Value


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
