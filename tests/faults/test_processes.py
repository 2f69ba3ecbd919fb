"""Several processes on one store: one chain, one writer at a time, and readers that never wait."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from authz.errors import LoadError, StoreBusyError, StoreError
from authz.stores.sqlite.database import open_database
from authz.stores.sqlite.upkeep import back_up, examine
from tests.faults.child import ACT, records, version
from tests.faults.support import child, make, opened, sound, whole_log

if TYPE_CHECKING:
    from pathlib import Path


def test_two_processes_append_to_one_chain_and_lose_no_record(tmp_path: Path) -> None:
    """Threats 3d-52: no fork, nothing lost, and neither is refused because the other is busy."""
    path = make(tmp_path / "authz.db")
    with child("appends", path, "2000") as one, child("appends", path, "2000") as other:
        told = [one.rest(), other.rest()]
        assert (one.code, other.code) == (0, 0)
    with opened(path) as store:
        found = [record["n"] for record in whole_log(store)]
    done = [lines[-1]["done"] for lines in told]
    assert sorted(found) == sorted([*range(done[0]), *range(done[1])])
    ends = [line["seq"] for lines in told for line in lines]
    assert len(set(ends)) == len(ends)  # no place in the chain was given twice


def test_a_forked_process_is_refused_the_store_of_its_parent(tmp_path: Path) -> None:
    """Threats 3d-52: SQLite's locks do not survive a fork, so using the same connection would tear the file."""
    path = make(tmp_path / "authz.db")
    with child("forks", path) as running:
        *refused, last = running.rest()
    assert ["forked from" in line["refused"] for line in refused] == [True, True]
    assert last == {"seq": 2}
    with opened(path) as store:
        assert len(whole_log(store)) == 2
        sound(store)


def test_a_writer_waits_for_another_and_then_writes(tmp_path: Path) -> None:
    """Threats 3d-7: locked for a bounded time."""
    path = make(tmp_path / "authz.db")
    with opened(path) as store, child("appends", path, "1500") as busy:
        seqs = [store.log.append(records(n, 1)).seq for n in range(30)]
        busy.rest()
        assert seqs == sorted(set(seqs))
        assert len(whole_log(store)) >= 1530


def test_a_writer_that_waits_too_long_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """Threats 3d-7: locked for longer than the wait; everything that writes says so, readers go on."""
    path = make(tmp_path / "authz.db")
    with opened(path, wait=0.05) as store, child("holds", path) as holder:
        holder.next()
        with pytest.raises(StoreBusyError, match="is locked by another process"):
            store.log.append(records(0, 1))
        with pytest.raises(StoreBusyError, match="is locked by another process"):
            store.policies.put(version(1), ACT)
        assert whole_log(store) == []
        assert store.policies.versions() == []
        with opened(path, readonly=True) as reader:
            assert reader.log.head().head.seq == 0
        holder.go()
        assert holder.next() == {"held": False}
        assert store.log.append(records(0, 1)).seq == 1


def test_a_snapshot_is_one_state_and_holds_nobody_up(tmp_path: Path) -> None:
    """Issue 3: the writer discipline; a reader sees what was when it began."""
    path = make(tmp_path / "authz.db")
    with opened(path, wait=0.05) as store:
        store.log.append(records(0, 3))
        with child("reads", path) as reader:
            assert reader.next() == {"seq": 3}
            assert store.log.append(records(3, 3)).seq == 6
            reader.go()
            assert reader.next() == {"seq": 3}


def test_processes_that_start_at_the_same_time_make_one_store_with_one_key(tmp_path: Path) -> None:
    """Issue 3; threats 3d-52: `create` at the same moment."""
    path = tmp_path / "authz.db"
    with contextlib.ExitStack() as stack:
        starting = [stack.enter_context(child("creates", path)) for _ in range(5)]
        for each in starting:
            each.go()
        told = [line for each in starting for line in each.rest()]
    assert len({line["key"] for line in told}) == 1
    assert len({line["log"] for line in told}) == 1
    assert sorted(line["seq"] for line in told) == [1, 2, 3, 4, 5]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["authz.db", "authz.db.key", "authz.db.key.pub"]
    with opened(path) as store:
        assert len(whole_log(store)) == 5


def test_a_start_that_ended_between_key_and_store_is_finished_with_that_key(tmp_path: Path) -> None:
    """Issue 3: a key without a store is what such a start leaves."""
    path = make(tmp_path / "authz.db")
    path.unlink()
    path.with_name("authz.db.key.pub").unlink()
    key = path.with_name("authz.db.key")
    was = key.read_bytes()
    with opened(path, create=True) as store:
        store.log.append(records(0, 1))
        whole_log(store)  # which reads the public key
    assert key.read_bytes() == was


def test_a_store_without_its_key_is_refused_and_no_key_is_made(tmp_path: Path) -> None:
    """Issue 3: refuse to start rather than go on with a log that nobody can verify."""
    path = make(tmp_path / "authz.db")
    key = path.with_name("authz.db.key")
    key.unlink()
    for create in (False, True):
        with pytest.raises(LoadError, match=r"authz\.db\.key` does not exist: it is the key that signs the log"):
            opened(path, create=create).__enter__()
    assert not key.exists()


def test_a_store_counts_as_open_as_long_as_one_connection_of_a_process_is(tmp_path: Path) -> None:
    """Issue 3: closing one descriptor of a file drops all locks of the process (POSIX); ours must not go that way."""
    path = make(tmp_path / "authz.db")
    with opened(path, readonly=True):
        with opened(path) as store:
            store.log.append(records(0, 1))
        examine(path)
        back_up(path, tmp_path / "backup.db")
        with pytest.raises(StoreError):
            open_database(tmp_path / "nothing.db")
        with child("alone", path) as other:
            assert "is in use by another process" in other.rest()[0]["refused"]
    with child("alone", path) as other:
        assert other.rest() == [{"alone": True}]
