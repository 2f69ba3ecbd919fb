"""The store's file: what is refused, what is made, and that a transaction is whole or not there."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from authz.errors import LoadError, StoreCorruptError, StoreError
from authz.stores.sqlite import database as module
from authz.stores.sqlite.database import NotOursError, open_database
from authz.stores.sqlite.migrations import APPLICATION_ID, LATEST, migrate, schema_version
from authz.stores.sqlite.store import key_path, open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from authz.stores.sqlite.store import SqliteStore

RECORD = '{"kind":"act"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a new store that nobody has open."""
    made = tmp_path / "authz.db"
    store = open_store(made, create=True)
    store.log.append([RECORD] * 3)
    store.close()
    return made


def _refused(path: Path, **how: Any) -> str:  # noqa: ANN401  # as open_database
    with pytest.raises(StoreError) as refusal:
        open_database(path, **how).close()
    text = str(refusal.value)
    assert "\n" not in text
    return text


def _edit(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def _files(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in path.parent.iterdir() if entry.is_file()}


# What is no store of ours


@pytest.mark.parametrize("how", [{}, {"create": True}, {"readonly": True}])
def test_what_is_no_regular_file_is_refused(how: dict[str, bool], tmp_path: Path) -> None:
    """Issue 3: neither is waited for, which a FIFO would make us do for ever."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert _refused(tmp_path / "fifo", **how) == f"`{tmp_path}/fifo` is not a regular file"
    assert _refused(tmp_path, **how) == f"`{tmp_path}` is a folder, not a file"
    assert "is a link to a file that does not exist" in _refused(tmp_path / "gone", **how)
    assert "cannot be opened: too many levels of symbolic links" in _refused(tmp_path / "loop", **how)
    assert "cannot be opened: not a directory" in _refused(tmp_path / "fifo" / "below", **how)
    assert "cannot be opened" in _refused(tmp_path / "a\0b", **how)


@pytest.mark.parametrize("how", [{}, {"readonly": True}, {"readonly": True, "create": True}])
def test_a_file_that_is_missing_is_refused_and_not_made(how: dict[str, bool], tmp_path: Path) -> None:
    """Issue 3: only `create` makes one, and reading never does."""
    assert _refused(tmp_path / "authz.db", **how) == f"`{tmp_path}/authz.db` does not exist"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("readonly", [False, True])
def test_a_file_that_everybody_can_write_is_refused(readonly: bool, path: Path) -> None:  # noqa: FBT001  # a parameter
    """Issue 3: refuse to start rather than run weak."""
    path.chmod(0o666)
    assert _refused(path, readonly=readonly) == f"`{path}` can be written by everybody: `chmod o-w {path}`"


@pytest.mark.parametrize("how", [{}, {"create": True}, {"readonly": True}])
def test_a_database_of_another_program_is_refused_and_not_touched(how: dict[str, bool], tmp_path: Path) -> None:
    """Issue 3: not even what another program left in its WAL is written back."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE policy_version (number)")
        other.execute("INSERT INTO policy_version VALUES (1)")
        before = _files(path)
        assert len(before[path.name + "-wal"]) > 0
        with pytest.raises(NotOursError, match=r"other\.db` is a database of another program"):
            open_database(path, **how)
        assert _files(path) == before


@pytest.mark.parametrize("how", [{}, {"create": True}, {"readonly": True}])
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "is empty"),
        (b"not a database, but a letter\n" * 200, "is not a database"),
        (b"\0" * 8192, "is not a"),
    ],
)
def test_a_file_that_is_no_database_is_refused_and_not_touched(
    how: dict[str, bool], content: bytes, error: str, tmp_path: Path
) -> None:
    """Issue 3; threats 3d-8: an empty one was a store once, for a new one has its name only when it is whole."""
    path = tmp_path / "authz.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorruptError, match=error):
        open_database(path, **how)
    assert path.read_bytes() == content


@pytest.mark.parametrize("readonly", [False, True])
def test_a_store_of_a_newer_version_is_refused_and_not_touched(readonly: bool, path: Path) -> None:  # noqa: FBT001  # a parameter
    """Issue 3: what we do not understand we do not write."""
    _edit(path, f"PRAGMA user_version={LATEST + 1}")
    before = path.read_bytes()
    with pytest.raises(NotOursError, match=f"was written by a newer version of authz \\(schema {LATEST + 1}, this one"):
        open_database(path, readonly=readonly)
    assert path.read_bytes() == before


def test_a_store_of_an_older_version_is_not_migrated_by_a_reader(path: Path) -> None:
    """Issue 3: reading changes nothing; it says who does."""
    _edit(path, f"PRAGMA user_version={LATEST - 1}")
    before = path.read_bytes()
    assert "open it once with authz-server" in _refused(path, readonly=True)
    assert path.read_bytes() == before


def test_a_file_system_without_shared_memory_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 3: SQLite's locking by files has none, as some network file systems."""
    _edit(path, "PRAGMA journal_mode=DELETE")
    connect = module._connect  # no other door leads to another way of locking
    monkeypatch.setattr(
        module, "_connect", lambda real, how, *, wait: connect(real, how + "&vfs=unix-dotfile", wait=wait)
    )
    assert "its file system has no shared memory for SQLite's WAL mode" in _refused(path)


# What is opened


def test_a_new_store_is_for_its_owner_only_and_survives_the_loss_of_power(path: Path) -> None:
    """Issue 3: WAL, FULL, and what lies beside the file as protected as itself."""
    with closing(open_database(path)) as database:
        beside = [path, path.with_name("authz.db-wal"), path.with_name("authz.db-shm")]
        assert [entry.stat().st_mode & 0o777 for entry in beside] == [0o600] * 3
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "trusted_schema", "application_id")
        found = [database.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
        assert found == ["wal", 2, 1, 1, 0, APPLICATION_ID]


def test_a_link_leads_to_the_store(path: Path, tmp_path: Path) -> None:
    """Issue 3: what lies beside the file lies beside what the link leads to."""
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(path)
    with closing(open_database(link)) as database, database.writing() as connection:
        connection.execute("UPDATE directory_revision SET revision = 7")
    with closing(open_database(path, readonly=True)) as database:
        assert database.connection.execute("SELECT revision FROM directory_revision").fetchone()[0] == 7


@pytest.mark.parametrize("name", ["a b.db", "a?mode=memory.db", "a#b%20.db", "ä.db", "'\";--.db"])
def test_a_name_is_only_a_name(name: str, tmp_path: Path) -> None:
    """Issue 3: nothing in it is an option, a comment or an end of a text."""
    open_store(tmp_path / name, create=True).close()
    with closing(open_database(tmp_path / name, readonly=True)) as database:
        assert database.schema() == LATEST
    assert (tmp_path / name).is_file()


def test_a_reader_changes_nothing_and_cannot(path: Path) -> None:
    """Issue 3: `readonly`."""
    before = path.read_bytes()
    with closing(open_database(path, readonly=True)) as database:
        with pytest.raises(StoreError, match="it is read-only"), database.writing():
            pytest.fail("a reader may write")
        assert database.check(quick=False) == []
    assert path.read_bytes() == before


def test_a_reader_needs_no_key_and_cannot_append(path: Path) -> None:
    """Issue 3: whoever verifies the log has no business with the key that signs it."""
    key_path(path).unlink()
    store = open_store(path, readonly=True)
    try:
        assert store.log.head().head.seq == 3
        with pytest.raises(StoreError):
            store.log.append([RECORD])
    finally:
        store.close()


def test_a_store_is_refused_with_another_key_than_that_of_its_log(path: Path, tmp_path: Path) -> None:
    """Issue 3: from there on, the log would verify with neither."""
    open_store(tmp_path / "other.db", create=True).close()
    with pytest.raises(StoreError, match="was not signed with the key in"):
        open_store(path, key=key_path(tmp_path / "other.db"))


def test_a_key_that_others_can_read_is_refused(path: Path) -> None:
    """Issue 3: refuse to start rather than run weak."""
    key_path(path).chmod(0o640)
    with pytest.raises(LoadError, match="can be read by others than its owner"):
        open_store(path)


def test_no_store_is_made_where_its_key_cannot_be(tmp_path: Path) -> None:
    """Issue 3: key and store, or neither."""
    with pytest.raises(LoadError, match=r"nowhere/key` cannot be written: no such file or directory"):
        open_store(tmp_path / "authz.db", key=tmp_path / "nowhere" / "key", create=True)
    assert list(tmp_path.iterdir()) == []


# Transactions


def test_a_transaction_that_fails_leaves_nothing(store: SqliteStore) -> None:
    """Issue 3: whole or not there, whatever ends it; and the next one is not disturbed."""

    def fail(end: Callable[[sqlite3.Connection], object]) -> None:
        with store.database.writing() as connection:
            store.log.append_within(connection, [RECORD])
            end(connection)

    def interrupt(_connection: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    with pytest.raises(ZeroDivisionError):
        fail(lambda _: 1 // 0)
    assert store.log.head().head.seq == 0
    with pytest.raises(KeyboardInterrupt):
        fail(interrupt)
    assert store.log.head().head.seq == 0
    with pytest.raises(StoreError, match="NOT NULL"):
        fail(lambda connection: connection.execute("INSERT INTO log_record VALUES (99, NULL, '')"))
    assert store.log.append([RECORD]).seq == 1


def test_a_snapshot_within_a_transaction_is_of_that_transaction(store: SqliteStore) -> None:
    """Issue 3: so that what reads may be called by what writes."""
    with store.database.writing() as connection:
        store.log.append_within(connection, [RECORD])
        with store.database.snapshot():
            assert store.log.head().head.seq == 1
    assert store.log.head().head.seq == 1


def test_the_data_version_changes_with_the_commits_of_others_only(path: Path) -> None:
    """Issue 3: how caches learn of a change in another process."""
    with closing(open_database(path)) as one, closing(open_database(path)) as other:
        before = one.data_version()
        assert one.data_version() == before
        with other.writing() as connection:
            connection.execute("UPDATE directory_revision SET revision = revision + 1")
        assert one.data_version() != before


# Schema and migrations

OLD = (("CREATE TABLE a (x)",),)
NEW = (*OLD, ("CREATE TABLE b (y)", "INSERT INTO b SELECT x FROM a"), ("ALTER TABLE b ADD COLUMN z",))


def test_migrations_bring_an_old_file_up_to_date_step_by_step() -> None:
    """Issue 3: versioned migrations; what is there is kept."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, OLD)
        connection.execute("INSERT INTO a VALUES (7)")
        migrate(connection, NEW)
        assert schema_version(connection) == 3
        assert connection.execute("SELECT y, z FROM b").fetchall() == [(7, None)]
        migrate(connection, NEW)  # nothing is left to do


def test_a_migration_that_fails_leaves_the_file_as_it_was() -> None:
    """Issue 3: all steps or none."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, OLD)
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, (*NEW, ("CREATE TABLE a (x)",)))
        assert schema_version(connection) == 1
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("a",)]
        assert not connection.in_transaction


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        ("DROP TABLE policy_activation", "table `policy_activation` is missing"),
        ("ALTER TABLE log_record ADD COLUMN more TEXT", "table `log_record` was changed"),
        (
            "CREATE TRIGGER t AFTER INSERT ON log_record BEGIN DELETE FROM log_record; END",
            "trigger `t` is not ours",
        ),
    ],
)
def test_a_schema_that_is_not_ours_is_found_by_the_check(edit: str, problem: str, path: Path) -> None:
    """Issue 3: a trigger would act within our own transactions."""
    _edit(path, edit)
    with closing(open_database(path)) as database:
        assert problem in database.check(quick=True)


def test_what_others_add_beside_is_theirs(path: Path) -> None:
    """Issue 3: an index of the operator's, or ANALYZE, is no damage."""
    _edit(path, "CREATE INDEX mine ON log_record (hash)", "ANALYZE", "CREATE TABLE notes (text)")
    with closing(open_database(path)) as database:
        assert database.check(quick=False) == []


def test_a_reference_that_leads_nowhere_is_found_by_the_full_check(path: Path) -> None:
    """Issue 3: foreign keys."""
    _edit(path, "INSERT INTO policy_file VALUES (99, 'a.authz', '')")
    with closing(open_database(path)) as database:
        assert database.check(quick=True) == []
        assert database.check(quick=False) == ["a row of `policy_file` refers to a missing row of `policy_version`"]


def _cut_index(path: Path) -> None:
    """Take a row out of a table and leave it in the index."""
    _edit(
        path,
        "CREATE INDEX mine ON log_record (hash)",
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX mine ON log_record (hash) WHERE seq < 0' WHERE name = 'mine'",
    )
    _edit(path, "DELETE FROM log_record WHERE seq = 2")
    _edit(
        path,
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX mine ON log_record (hash)' WHERE name = 'mine'",
    )


@pytest.mark.parametrize("damage", [_cut_index])
def test_an_index_that_is_not_its_table_s_is_found_by_the_full_check(
    damage: Callable[[Path], None], path: Path
) -> None:
    """Issue 3: integrity."""
    damage(path)
    with closing(open_database(path)) as database:
        assert any("index mine" in problem for problem in database.check(quick=False))
