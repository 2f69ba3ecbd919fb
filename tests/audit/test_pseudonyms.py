"""A person has one name in the log until they are erased, and then nobody can tell which (issue 3, 4)."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from authz.audit.pseudonyms import Pseudonyms, erase, find
from authz.audit.verify import verify
from authz.model import Act
from authz.stores.sqlite.pseudonyms import SqlitePseudonymKeys
from authz.stores.sqlite.store import SqliteStore, open_store

if TYPE_CHECKING:
    from pathlib import Path

ACT = Act("olga", "cli", "she asked for it")


@pytest.fixture
def keys(tmp_path: Path) -> object:
    """Return the keys of a new store."""
    with contextlib.closing(open_store(tmp_path / "a.db", create=True)) as store:
        yield keys_of(store)


def keys_of(store: SqliteStore) -> SqlitePseudonymKeys:
    """Return a store's keys."""
    return SqlitePseudonymKeys(store.database, store.log)


def test_a_pseudonym_is_one_for_one_person_of_one_tenant(keys: SqlitePseudonymKeys) -> None:
    """Issue 3, 4: pseudonymised with a per-tenant key."""
    names = Pseudonyms(keys)
    alice = names.of("acme", "alice")
    assert alice.startswith("p:") and "alice" not in alice  # noqa: PT018  # one statement
    assert names.of("acme", "alice") == Pseudonyms(keys).of("acme", "alice") == alice
    assert len({alice, names.of("acme", "bob"), names.of("globex", "alice"), names.of("", "alice")}) == 4
    assert find(keys, "alice", "acme") == (alice,)
    assert set(find(keys, "alice")) == {alice, names.of("globex", "alice"), names.of("", "alice")}
    assert find(keys, "nobody") == ()


def test_who_was_erased_gets_another_name_and_the_old_one_is_nobody_s(keys: SqlitePseudonymKeys) -> None:
    """Issue 3, 4: erasure of a person by dropping the pseudonym key."""
    names = Pseudonyms(keys, fresh=0)
    alice, bob = names.of("acme", "alice"), names.of("acme", "bob")
    assert erase(keys, "acme", "alice", ACT)
    assert find(keys, "alice") == ()
    assert not erase(keys, "acme", "alice", ACT)
    assert names.of("acme", "alice") != alice
    assert names.of("acme", "bob") == bob


def test_a_tenant_s_key_goes_with_all_its_persons(keys: SqlitePseudonymKeys) -> None:
    """Issue 3, 4; and no other tenant's persons are touched."""
    names = Pseudonyms(keys, fresh=0)
    before = names.of("acme", "alice"), names.of("acme", "bob"), names.of("globex", "alice")
    assert erase(keys, "acme", None, ACT)
    assert find(keys, "bob", "acme") == ()
    after = names.of("acme", "alice"), names.of("acme", "bob"), names.of("globex", "alice")
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]


def test_an_erasure_by_another_process_is_noticed(tmp_path: Path) -> None:
    """Issue 3, 4: a server goes on while an administrator erases somebody."""
    with (
        contextlib.closing(open_store(tmp_path / "a.db", create=True)) as server,
        contextlib.closing(open_store(tmp_path / "a.db")) as administrator,
    ):
        names = Pseudonyms(keys_of(server), fresh=0)
        alice = names.of("acme", "alice")
        assert names.of("acme", "alice") == alice
        assert Pseudonyms(keys_of(administrator)).of("acme", "alice") == alice
        erase(keys_of(administrator), "acme", "alice", ACT)
        assert names.of("acme", "alice") != alice


def test_the_cache_is_bounded_and_forgets_only_what_it_can_make_again(keys: SqlitePseudonymKeys) -> None:
    """Issue 3: bound everything that comes from outside."""
    names = Pseudonyms(keys, cached=3)
    first = [names.of("acme", f"user-{number}") for number in range(10)]
    assert len(names._known) == 3
    assert [names.of("acme", f"user-{number}") for number in range(10)] == first


def test_an_erasure_stands_in_the_log_without_the_person_s_name(tmp_path: Path) -> None:
    """Issue 3, 4: administrative acts are recorded, and this one must not undo what it does."""
    with contextlib.closing(open_store(tmp_path / "a.db", create=True)) as store:
        keys = keys_of(store)
        name = Pseudonyms(keys).of("acme", "alice")
        store.log.append([json.dumps({"kind": "decision", "subject": name})])
        erase(keys, "acme", "alice", ACT)
        record = json.loads(list(store.log.links())[-1].text)
        assert (record["act"], record["tenant"], record["erased"]) == ("log.erase", "acme", "subject")
        assert "alice" not in json.dumps(record)
        assert name not in json.dumps(record)
        assert store.log._signer is not None
        assert verify(store.log, store.log._signer.public).findings == ()


def test_neither_subject_nor_what_was_erased_stands_in_the_files(tmp_path: Path) -> None:
    """Issue 3, 4; threats 5: what is erased is erased, in the WAL as well."""
    with contextlib.closing(open_store(tmp_path / "a.db", create=True)) as store:
        keys = keys_of(store)
        Pseudonyms(keys).of("acme", "alice-the-unmistakable")
        key = keys.tenant_key("acme")
        (salt,) = store.database.connection.execute("SELECT salt FROM log_person").fetchone()
        assert key
        assert any(salt in path.read_bytes() for path in tmp_path.glob("a.db*"))
        assert not any(b"alice-the-unmistakable" in path.read_bytes() for path in tmp_path.glob("a.db*"))
        erase(keys, "acme", "alice-the-unmistakable", ACT)
        assert not any(salt in path.read_bytes() for path in tmp_path.glob("a.db*"))
        erase(keys, "acme", None, ACT)
        assert not any(key in path.read_bytes() for path in tmp_path.glob("a.db*"))
