"""Everything that docs/language.md says, asked at every door (issue 2, tests)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.conformance import doors
from tests.conformance.cases import LANGUAGE, Case, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES: Final = read_all()
LATER: Final = frozenset({"L69", "L70"})
"""Statements whose engine comes with later issues."""

_GRPC: Final = doors.Grpc()
DOORS: Final[dict[str, doors.Door]] = {
    "engine": doors.engine,
    "reference": doors.reference,
    "cli": doors.CommandLine([case for case in CASES if doors.takes("cli", case)]),
    "grpc": _GRPC,
}


@pytest.fixture(scope="module", autouse=True)
def _end_the_processes() -> Iterator[None]:
    yield
    _GRPC.close()
    doors.PROCESSES.close()


def _questions() -> Iterator[object]:
    for door in DOORS:
        for case in CASES:
            if doors.takes(door, case):
                yield pytest.param(door, case, id=f"{door}-{case.id}")


@pytest.mark.parametrize(("door", "case"), list(_questions()))
def test_the_door_answers_as_the_language_says(door: str, case: Case) -> None:
    """Demanded by the statements that the case names."""
    wrong = doors.differences(case, DOORS[door](case))
    assert not wrong, f"{', '.join(case.statements)}: {case.name}\n" + "\n".join(wrong)


def _statements() -> set[str]:
    return set(re.findall(r"^- (L\d+) ", LANGUAGE.read_text(encoding="utf-8"), re.MULTILINE))


def test_every_statement_of_the_language_has_a_case() -> None:
    """Demanded by issue 2: the conformance data names every L-statement."""
    named = {statement for case in CASES for statement in case.statements}
    assert sorted(_statements() - LATER - named) == []


def test_no_case_names_a_statement_that_does_not_exist() -> None:
    """Demanded by issue 2: a case is worth what the statement behind it is worth."""
    assert sorted({s for case in CASES for s in case.statements} - _statements()) == []


def test_there_are_at_least_three_hundred_cases() -> None:
    """Demanded by issue 2."""
    assert len(CASES) >= 300


def test_each_case_is_answered_by_some_door() -> None:
    """Demanded by issue 2: every door that can express a case answers it."""
    assert [case.id for case in CASES if not any(doors.takes(door, case) for door in DOORS)] == []


def test_the_names_of_cases_are_unique_in_their_file() -> None:
    """Demanded by the data: a name that stands twice is a case copied and forgotten."""
    seen: set[tuple[str, str, str]] = set()
    twice = []
    for case in CASES:
        key = (case.id.rpartition(": ")[0].rpartition("-")[0], case.name, case.policy.key)
        if key in seen:
            twice.append(case.id)
        seen.add(key)
    assert twice == []
