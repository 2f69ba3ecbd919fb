"""What every store of policies does (`authz.pap.history.PolicyStore`), whatever engine it is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from authz.errors import NotStoredError, StoreError
from authz.model import Act
from authz.pap.history import NewVersion, PolicyText

if TYPE_CHECKING:
    from authz.stores.sqlite.store import SqliteStore

ACT = Act("alice", "cli", "a note; DROP TABLE policy_version --")
ONE = NewVersion((PolicyText("a.authz", "one"), PolicyText("a_test.authz", "'\"\n\U0001f600")), "r1", "d1", 2, 1)
TWO = NewVersion((PolicyText("a.authz", "two"), PolicyText("b/c.authz", "")), "r2", "d2", 0, 0)


def acts(store: SqliteStore) -> list[dict[str, Any]]:
    """Return what the decision log says was done."""
    return [json.loads(link.text) for link in store.log.links()]


def test_a_version_is_returned_as_it_was_put(store: SqliteStore) -> None:
    """Issue 3: canonical text, digest, author, time, note and the results of the tests."""
    began = datetime.now(UTC)
    version = store.policies.put(ONE, ACT)
    assert (version.number, version.revision, version.digest) == (1, "r1", "d1")
    assert (version.author, version.note, version.tests_passed, version.tests_failed) == ("alice", ACT.note, 2, 1)
    assert began <= version.time <= datetime.now(UTC)
    assert store.policies.version(1) == version
    assert store.policies.files(1) == ONE.files


def test_the_same_files_again_are_the_version_that_they_were(store: SqliteStore) -> None:
    """Issue 3: putting again changes nothing, not even who put it, and is no second act."""
    first = store.policies.put(ONE, ACT)
    store.policies.put(TWO, ACT)
    assert store.policies.put(replace(ONE, tests_failed=0), Act("bob", "admin")) == first
    assert [version.number for version in store.policies.versions()] == [2, 1]
    assert len(acts(store)) == 2


def test_one_revision_may_be_that_of_several_versions(store: SqliteStore) -> None:
    """L66: versions that differ in their tests alone decide alike."""
    store.policies.put(ONE, ACT)
    assert store.policies.put(replace(ONE, digest="d3"), ACT).number == 2


def test_activations_are_kept_in_their_order(store: SqliteStore) -> None:
    """Issue 3: what decided when."""
    store.policies.put(ONE, ACT)
    store.policies.put(TWO, ACT)
    assert store.policies.active() is None
    assert not store.policies.activations()
    made = [
        store.policies.activate(1, "activate", ACT),
        store.policies.activate(2, "activate", ACT),
        store.policies.activate(1, "rollback", Act("bob", "admin")),
    ]
    assert [(a.sequence, a.version, a.revision, a.kind, a.author, a.note) for a in made] == [
        (1, 1, "r1", "activate", "alice", ACT.note),
        (2, 2, "r2", "activate", "alice", ACT.note),
        (3, 1, "r1", "rollback", "bob", ""),
    ]
    assert store.policies.active() == made[-1]
    assert list(store.policies.activations()) == made[::-1]


@pytest.mark.parametrize("number", [-1, 0, 2, 2**63, 2**64])
def test_what_names_no_version_is_told_so(store: SqliteStore, number: int) -> None:
    """Issue 3: an unknown version is one clear line."""
    with pytest.raises(NotStoredError, match=f"there is no version {number}; there is none yet"):
        store.policies.version(number)
    store.policies.put(ONE, ACT)
    for attempt in (
        lambda: store.policies.version(number),
        lambda: store.policies.files(number),
        lambda: store.policies.activate(number, "activate", ACT),
    ):
        with pytest.raises(NotStoredError, match=f"there is no version {number}; the newest is 1"):
            attempt()
    assert store.policies.active() is None
    assert len(acts(store)) == 1


def test_each_act_stands_in_the_decision_log(store: SqliteStore) -> None:
    """Issue 3: one record for every administrative act."""
    store.policies.put(ONE, ACT)
    store.policies.activate(1, "activate", Act("bob", "admin"))
    store.policies.activate(1, "rollback", ACT)
    put, activated, back = acts(store)
    assert (put["act"], put["author"], put["via"], put["note"]) == ("policy.put", "alice", "cli", ACT.note)
    assert (put["number"], put["revision"], put["digest"], put["tests_failed"]) == (1, "r1", "d1", 1)
    assert (activated["act"], activated["author"], activated["via"]) == ("policy.activate", "bob", "admin")
    assert (activated["number"], activated["revision"], activated["previous"]) == (1, "r1", None)
    assert (back["act"], back["previous"]) == ("policy.rollback", 1)


def test_an_act_that_cannot_be_told_is_not_done(store: SqliteStore) -> None:
    """Issue 3: the record is written in the same transaction as the act itself."""
    store.policies.put(ONE, ACT)
    store.database.connection.execute("ALTER TABLE log_record RENAME TO elsewhere")
    with pytest.raises(StoreError):
        store.policies.put(TWO, ACT)
    with pytest.raises(StoreError):
        store.policies.activate(1, "activate", ACT)
    assert [version.number for version in store.policies.versions()] == [1]
    assert store.policies.active() is None


def test_a_version_is_whole_or_not_there(store: SqliteStore) -> None:
    """Issue 3: never a half-written policy."""
    twice = replace(ONE, files=(PolicyText("a.authz", "x"), PolicyText("a.authz", "y")))
    with pytest.raises(StoreError):
        store.policies.put(twice, ACT)
    assert not store.policies.versions()
    assert not acts(store)
    assert store.policies.put(ONE, ACT).number == 1
