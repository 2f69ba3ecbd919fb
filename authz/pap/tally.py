"""Count what came of a replay, in the order of the log and within bounds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from authz.pap.replay import MAX_NAMED, Answer, Difference, Example, Judged, Problem, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from authz.pap.changes import Turn

MAX_GROUPS: Final = 10_000
"""Groups of changes that are told apart; what is in none of them is counted."""
MAX_EXAMPLES: Final = 3

_Key: TypeAlias = "tuple[Turn, Answer, Answer, str]"


@dataclass(frozen=True, slots=True)
class Group:
    """Records of one tenant that the same rules decided and would decide; `examples` are the first of them."""

    turn: Turn
    before: Answer
    after: Answer
    tenant: str
    count: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay found. `groups` come with DENY→ALLOW first, then the largest first.

    `equal`, `changed`, `incomplete` and `malformed` count records; `ungrouped` those of `changed`
    that are in no group. `problems` are the first malformed lines.
    """

    equal: int
    changed: int
    incomplete: int
    malformed: int
    groups: tuple[Group, ...]
    ungrouped: int
    turns: Mapping[Turn, int]
    problems: tuple[Problem, ...]

    @property
    def decided(self) -> int:
        """Return how many records were decided again."""
        return self.equal + self.changed

    @property
    def widens(self) -> bool:
        """Say whether any answer became wider."""
        return any(turn.widens for turn in self.turns)


class Tally:
    """Counts what came of the lines, in their order, within bounds."""

    def __init__(self, limit: int | None = None) -> None:
        """Count until `limit` records were decided again."""
        self._left = limit
        self._verdicts: Counter[int] = Counter()
        self._turns: Counter[Turn] = Counter()
        self._groups: dict[_Key, list[Example]] = {}
        self._counts: Counter[_Key] = Counter()
        self._problems: list[Problem] = []

    @property
    def read(self) -> int:
        """Return how many lines were looked at."""
        return self._verdicts.total()

    @property
    def full(self) -> bool:
        """Say whether as many were decided as there may be."""
        return self._left is not None and self._left <= 0

    def add(self, judged: Judged) -> None:
        """Count some more."""
        verdicts = self._within_limit(judged.verdicts)
        self._verdicts.update(verdicts)
        for index, difference in judged.differences:
            if index < len(verdicts):
                self._group(difference)
        for index, problem in judged.problems:
            if index < len(verdicts) and len(self._problems) < MAX_NAMED:
                self._problems.append(problem)

    def _within_limit(self, verdicts: bytes) -> bytes:
        if self._left is None:
            return verdicts
        for index, verdict in enumerate(verdicts):
            if self._left <= 0:
                return verdicts[:index]
            self._left -= verdict <= Verdict.DIFFERENT
        return verdicts

    def _group(self, difference: Difference) -> None:
        self._turns[difference.turn] += 1
        key = (difference.turn, difference.before, difference.after, difference.tenant)
        if key not in self._groups and len(self._groups) >= MAX_GROUPS:
            return
        self._counts[key] += 1
        examples = self._groups.setdefault(key, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(difference.example)

    def report(self) -> Report:
        """Return what was found."""
        groups = tuple(sorted(self._made(), key=lambda group: (group.turn.value, -group.count, group.examples[0].line)))
        changed = self._verdicts[Verdict.DIFFERENT]
        return Report(
            equal=self._verdicts[Verdict.EQUAL],
            changed=changed,
            incomplete=self._verdicts[Verdict.INCOMPLETE],
            malformed=self._verdicts[Verdict.MALFORMED],
            groups=groups,
            ungrouped=changed - self._counts.total(),
            turns=dict(self._turns),
            problems=tuple(self._problems),
        )

    def _made(self) -> Iterator[Group]:
        for key, examples in self._groups.items():
            yield Group(*key, self._counts[key], tuple(examples))
