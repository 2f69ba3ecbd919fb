"""Which rules of a policy, and which outcomes of its conditions, the tests have seen.

A rule is one point: it was true once. A condition is two: it was true once, and false once.
What was only ever unknown is not covered, for a misspelt attribute looks just like that.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from authz.model import Explanation, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.pdp.outline import RuleOutline
    from authz.pdp.program import Program

Place: TypeAlias = tuple[str, int, int]
"""File, line and column."""

_Counts: TypeAlias = Counter[tuple[Place, Place | None, Outcome]]


@dataclass(frozen=True, slots=True)
class ConditionCoverage:
    """How often one condition of a rule came to each outcome (L50)."""

    text: str
    file: str
    line: int
    column: int
    true: int
    false: int
    unknown: int


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """How often a rule came to each outcome, and how often it was among the deciding ones (L66)."""

    name: str
    kind: str
    file: str
    line: int
    column: int
    true: int
    false: int
    unknown: int
    decisive: int
    conditions: tuple[ConditionCoverage, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """One point that no test has reached; `missing` is "never true" or "never false".

    `text` is the condition's, or the rule's kind where `condition` is False.
    """

    rule: str
    condition: bool
    text: str
    file: str
    line: int
    column: int
    missing: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a set of requests has seen of a policy; rules and gaps in the order of their places."""

    rules: tuple[RuleCoverage, ...]
    uncovered: tuple[Gap, ...]
    points: int

    @property
    def covered(self) -> int:
        """Return how many of the points were reached."""
        return self.points - len(self.uncovered)

    @property
    def percent(self) -> float:
        """Return 0 to 100. It is 100 only when nothing is missing; a policy without rules has 100."""
        return 100 * self.covered / self.points if self.points else 100.0


def measure(program: Program, explanations: Iterable[Explanation]) -> Coverage:
    """Count what the explained decisions have seen of the program's outline."""
    counts: _Counts = Counter()
    decisive: Counter[str] = Counter()
    for explanation in explanations:
        decisive.update(explanation.decision.rules)
        counts.update(_seen(explanation))
    outline = sorted(program.outline(), key=lambda rule: (rule.file, rule.line, rule.column, rule.name))
    rules = tuple(_rule(rule, counts, decisive[rule.name]) for rule in outline)
    points = sum(1 + 2 * len(rule.conditions) for rule in rules)
    return Coverage(rules, tuple(gap for rule in rules for gap in _gaps(rule)), points)


def _seen(explanation: Explanation) -> Iterable[tuple[Place, Place | None, Outcome]]:
    """Name each outcome of one decision once: a `let` may stand in a rule several times."""
    outcomes: dict[tuple[Place, Place | None, Outcome], None] = {}
    for rule in explanation.rules:
        place = (rule.file, rule.line, rule.column)
        outcomes[place, None, rule.outcome] = None
        for condition in rule.conditions:
            outcomes[place, (condition.file, condition.line, condition.column), condition.outcome] = None
    return list(outcomes)


def _rule(rule: RuleOutline, counts: _Counts, decisive: int) -> RuleCoverage:
    place = (rule.file, rule.line, rule.column)
    inside = {(c.file, c.line, c.column): c.text for c in rule.conditions}
    conditions = tuple(
        ConditionCoverage(
            text,
            *where,
            counts[place, where, Outcome.TRUE],
            counts[place, where, Outcome.FALSE],
            counts[place, where, Outcome.UNKNOWN],
        )
        for where, text in inside.items()
    )
    return RuleCoverage(
        rule.name,
        rule.kind,
        *place,
        counts[place, None, Outcome.TRUE],
        counts[place, None, Outcome.FALSE],
        counts[place, None, Outcome.UNKNOWN],
        decisive,
        conditions,
    )


def _gaps(rule: RuleCoverage) -> Iterable[Gap]:
    if not rule.true:
        yield Gap(rule.name, False, rule.kind, rule.file, rule.line, rule.column, "never true")
    for condition in rule.conditions:
        for count, missing in ((condition.true, "never true"), (condition.false, "never false")):
            if not count:
                yield Gap(rule.name, True, condition.text, condition.file, condition.line, condition.column, missing)
