"""What differs between two policies: rule by rule, and in their answers.

Rules are told apart by their names and by what they say, never by the lines they stand on:
moving, renaming or reordering files, and writing other comments, is no change.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from authz.model import Effect
from authz.pap.parts import Part, parts

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from authz.model import Decision, Request
    from authz.pap.loader import LoadedPolicy
    from authz.pdp.program import Program

T = TypeVar("T")

_NUMBER: Final = re.compile(r"(\d+)", re.ASCII)

# --- Rules ----------------------------------------------------------------------------------


class PolicyChange(NamedTuple):
    """What became of one rule or declaration: its canonical text before and after, "" where it is not there.

    `name` is that of its newer form: `documents:owner`, or what it declares, `role editor`.
    """

    name: str
    before: str
    after: str


_CLUES: Final[tuple[Callable[[Part], Hashable], ...]] = (
    lambda part: part.key,
    lambda part: part.own,
    lambda part: part.label,
    lambda part: part.words,
    lambda part: part.place,
)
"""What makes two parts the same one, the surest first; whoever finds its like by one is not asked for the next."""


def policy_changes(old: LoadedPolicy, new: LoadedPolicy) -> tuple[PolicyChange, ...]:
    """Return what was added, removed and changed, in the order of the names."""
    before, after = parts(old.checked), parts(new.checked)
    pairs: list[tuple[Part, Part]] = []
    for clue in _CLUES:
        found, before, after = _paired(before, after, clue)
        pairs += found
    changes = [PolicyChange(now.name, was.text, now.text) for was, now in pairs if was.key != now.key]
    changes += [PolicyChange(part.name, part.text, "") for part in before]
    changes += [PolicyChange(part.name, "", part.text) for part in after]
    return tuple(sorted(changes, key=lambda change: (_natural(change.name), change)))


def _paired(
    before: Sequence[Part], after: Sequence[Part], clue: Callable[[Part], Hashable]
) -> tuple[list[tuple[Part, Part]], tuple[Part, ...], tuple[Part, ...]]:
    """Pair parts that have this clue in common, in their order; return the pairs and what is left on each side."""
    waiting: defaultdict[Hashable, deque[Part]] = defaultdict(deque)
    left: list[Part] = []
    for part in before:
        if (found := clue(part)) is None:
            left.append(part)
        else:
            waiting[found].append(part)
    pairs: list[tuple[Part, Part]] = []
    added: list[Part] = []
    for part in after:
        same = waiting.get(clue(part))
        if same:
            pairs.append((same.popleft(), part))
        else:
            added.append(part)
    return pairs, (*left, *(part for same in waiting.values() for part in same)), tuple(added)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts `documents:9` before `documents:10`."""
    runs = enumerate(_NUMBER.split(name))
    return [(len(run.lstrip("0")), run.lstrip("0")) if index % 2 else (0, run) for index, run in runs]


# --- Answers --------------------------------------------------------------------------------


class Turn(Enum):
    """How an answer changed; in this order they are worth a look. The first two are a widening."""

    NOW_ALLOWED = 1
    FEWER_OBLIGATIONS = 2
    NO_LONGER_ALLOWED = 3
    OTHER_OBLIGATIONS = 4

    @property
    def widens(self) -> bool:
        """Say whether somebody may do now what they could not do before, or with less asked of them."""
        return self in {Turn.NOW_ALLOWED, Turn.FEWER_OBLIGATIONS}


@dataclass(frozen=True, slots=True)
class AnswerChange:
    """A request that two policies answer differently; `index` is its place among the requests, from 0."""

    index: int
    request: Request
    before: Decision
    after: Decision


def answer_changes(old: Program, new: Program, requests: Iterable[Request]) -> Iterator[AnswerChange]:
    """Decide each request by both and yield those that are answered differently, in their order.

    An answer differs in its effect or in its obligations; another reason for the same effect is no
    change. Requests that name no time are all decided at one and the same.
    """
    now = datetime.now(UTC)
    for index, asked in enumerate(requests):
        request = asked if asked.now is not None else replace(asked, now=now)
        before, after = old.decide(request), new.decide(request)
        if _turn(before, after) is not None:
            yield AnswerChange(index, request, before, after)


def turn_of(change: AnswerChange) -> Turn:
    """Return how the answer changed."""
    turn = _turn(change.before, change.after)
    assert turn is not None  # else it were no change
    return turn


def is_widening(change: AnswerChange) -> bool:
    """Say whether the new policy allows what the old one denied, or asks less of an allowed caller."""
    return turn_of(change).widens


def gravest_first(changes: Iterable[AnswerChange]) -> list[AnswerChange]:
    """Return the changes so that DENY→ALLOW comes first, and those of one kind in the order of the requests."""
    return sorted(changes, key=lambda change: (turn_of(change).value, change.index))


def turn(before: Effect, after: Effect, had: AbstractSet[str], has: AbstractSet[str]) -> Turn | None:
    """Compare two answers with the obligations that they had and have; None is no change."""
    if before is not after:
        return Turn.NOW_ALLOWED if after is Effect.ALLOW else Turn.NO_LONGER_ALLOWED
    if had == has:
        return None
    return Turn.FEWER_OBLIGATIONS if had - has else Turn.OTHER_OBLIGATIONS


def _turn(before: Decision, after: Decision) -> Turn | None:
    return turn(before.effect, after.effect, _obligations(before), _obligations(after))


def _obligations(decision: Decision) -> frozenset[str]:
    """Return what a caller must do, parameters among it; in which order it is told means nothing."""
    return frozenset(
        json.dumps([obligation.name, obligation.parameters], sort_keys=True, default=dict)
        for obligation in decision.obligations
    )
