"""Imports: exact counts, and nothing, what came before, or all others after a bad entry (issue 3, bad input)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from authz.directory.entities import Entity, EntityError, Key, Kind
from authz.directory.importing import MAX_PROBLEMS, Imported, OnError, Problem, import_entities
from authz.model import Act
from authz.stores.sqlite.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from authz.directory.reading import Read
    from authz.stores.sqlite.store import SqliteStore

ACT = Act("tester", "cli")
BAD = EntityError("subject", "id", "is missing")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Return a store with nothing in it."""
    opened = open_store(tmp_path / "authz.db", create=True)
    yield opened
    opened.close()


def subject(id_: str, *groups: str) -> Entity:
    """Return a subject."""
    return Entity(Key(Kind.SUBJECT, "", id_, "t"), {}, groups)


def group(id_: str, *within: str) -> Entity:
    """Return a group."""
    return Entity(Key(Kind.GROUP, "", id_, "t"), {}, within)


def ids(store: SqliteStore) -> set[str]:
    """Return the ids of all that is in the directory."""
    return {entity.key.id for entity in store.directory.entities()}


@pytest.mark.parametrize(
    ("on_error", "expected", "there"),
    [
        (OnError.NOTHING, (0, 2), set()),
        (OnError.STOP, (2, 1), {"a", "b"}),
        (OnError.SKIP, (4, 2), {"a", "b", "d", "f"}),
    ],
)
def test_a_bad_entry_spoils_what_it_was_said_to(
    store: SqliteStore, on_error: OnError, expected: tuple[int, int], there: set[str]
) -> None:
    """Issue 3: the import goes on or stops as asked, with an exact count."""
    entries: list[Read] = [
        (1, subject("a")),
        (2, subject("b")),
        (5, BAD),
        (6, subject("d")),
        (7, BAD),
        (8, subject("f")),
    ]
    imported = import_entities(store.directory, iter(entries), ACT, on_error)
    assert (imported.written, imported.refused) == expected
    assert imported.problems[0] == Problem(5, "subject: `id` is missing")
    assert ids(store) == there
    assert len(list(store.log.links())) == (1 if there else 0)


def test_an_entry_that_is_given_twice_counts_once(store: SqliteStore) -> None:
    """Issue 3: exact counts."""
    entries: list[Read] = [(1, subject("a")), (2, subject("a", "eng")), (3, subject("b"))]
    assert import_entities(store.directory, entries, ACT) == Imported(2, 1, 0, ())


def test_only_the_first_problems_are_kept_and_all_are_counted(store: SqliteStore) -> None:
    """What is told is bounded, however bad a file is."""
    entries: list[Read] = [(n, BAD) for n in range(1, 5001)]
    imported = import_entities(store.directory, entries, ACT, OnError.SKIP)
    assert (imported.written, imported.refused, len(imported.problems)) == (0, 5000, MAX_PROBLEMS)


@pytest.mark.parametrize("on_error", [OnError.NOTHING, OnError.STOP])
def test_a_cycle_of_groups_is_a_problem_and_nothing_is_written(store: SqliteStore, on_error: OnError) -> None:
    """Issue 3: a cycle of groups is refused at write."""
    entries: list[Read] = [(1, subject("a")), (2, group("x", "y")), (3, group("z")), (4, group("y", "x"))]
    imported = import_entities(store.directory, entries, ACT, on_error)
    assert (imported.written, imported.refused) == (0, 1)
    ((place, message, cycle),) = imported.problems
    assert (place, cycle) == (4, True)
    assert message.startswith("group: groups would be in themselves: ")
    assert ids(store) == set()


def test_the_entry_that_closes_a_cycle_is_skipped_and_named(store: SqliteStore) -> None:
    """Issue 3: the others go in."""
    entries: list[Read] = [
        (1, group("x", "y")),
        (2, group("y", "z")),
        (3, BAD),
        (4, group("z", "x")),
        (5, group("self", "self")),
        (6, subject("a", "x")),
    ]
    imported = import_entities(store.directory, entries, ACT, OnError.SKIP)
    assert (imported.written, imported.repeated, imported.refused) == (3, 0, 3)
    assert [problem.place for problem in imported.problems] == [3, 4, 5]
    assert "`self` in `self`" in imported.problems[2].message
    assert ids(store) == {"x", "y", "a"}


def test_whatever_groups_are_skipped_what_is_stored_has_no_cycle(store: SqliteStore) -> None:
    """Issue 3: also after many imports that each would close some; checked by a naive walk."""
    draw = random.Random(7)
    for _ in range(30):
        entries: list[Read] = [
            (n, group(str(draw.randrange(12)), *{str(draw.randrange(12)) for _ in range(draw.randrange(3))}))
            for n in range(1, draw.randrange(2, 9))
        ]
        imported = import_entities(store.directory, entries, ACT, OnError.SKIP)
        assert imported.written + imported.repeated + imported.refused == len(entries)
        within = {entity.key.id: set(entity.within) for entity in store.directory.entities()}
        for start, directly in within.items():
            reached = set(directly)
            for _ in within:
                reached |= {above for one in reached for above in within.get(one, ())}
            assert start not in reached


def test_ten_thousand_groups_one_in_the_other_are_taken(store: SqliteStore) -> None:
    """Depth is no recursion."""
    entries: list[Read] = [(n + 1, group(str(n), str(n + 1))) for n in range(10_000)]
    assert import_entities(store.directory, entries, ACT).written == 10_000
