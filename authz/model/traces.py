"""How a decision came about: what only explanations need, and what `authz.model` imports when it is asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authz.model.decision import Decision
    from authz.model.values import Value


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
