"""Open the store's file, and keep to one writer at a time.

Every connection is in autocommit mode; `writing` takes the write lock first (BEGIN IMMEDIATE), so a
transaction never finds out at its end that another process was faster. Readers never wait (WAL).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from typing import TYPE_CHECKING, Final

from sqlite_utils import Database as Tables

from authz.errors import StoreBusyError, StoreCorruptError, StoreError
from authz.stores.sqlite.migrations import LATEST, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APPLICATION_ID: Final = 0x61757A31
"""`auz1`, in the file's header: what tells our files from those of other programs."""
WAIT_S: Final = 5.0
"""How long a write waits for another process to finish its own."""
_CACHE_KIB: Final = 32 * 1024


class Database:
    """One connection to the store's file; it is used by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Made by `open_database`."""
        self.connection = connection
        self.path = path
        self.tables = Tables(connection, recursive_triggers=False, execute_plugins=False)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock; commit at the end, and leave nothing behind where something is raised."""
        with told(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # what went wrong first is what is told
                    self.connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read, with the failures of SQLite told as ours."""
        with told(self.path):
            yield self.connection

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed; a microsecond's work."""
        with told(self.path):
            return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def open_database(path: Path, *, create: bool = False, durable: bool = True, wait: float = WAIT_S) -> Database:
    """Open the file, bring its schema up to date, and return a connection.

    `durable` makes a commit survive the loss of power; without it, only that of the process.
    Raised are `StoreError` where the file is missing (unless `create`) or cannot be used, and
    `StoreCorruptError` where it is another program's, a newer version's or damaged.
    """
    _refuse_strangers(path, create=create)
    with told(path):
        connection = sqlite3.connect(path, timeout=wait, isolation_level=None, check_same_thread=False)
        try:
            _configure(connection, durable=durable)
            _identify(connection, path)
            migrate(connection)
        except BaseException:
            connection.close()
            raise
    return Database(connection, path)


def _refuse_strangers(path: Path, *, create: bool) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        if not create:
            raise StoreError(f"`{path}` does not exist") from None
        with contextlib.suppress(FileExistsError), _as_store_error(path):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        return
    except OSError as error:
        raise StoreError(f"`{path}` cannot be opened: {(error.strerror or 'it failed').lower()}") from None
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"`{path}` is not a regular file")
    if found.st_mode & stat.S_IWOTH:
        raise StoreError(f"`{path}` can be written by everybody: `chmod o-w {path}`")


@contextlib.contextmanager
def _as_store_error(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise StoreError(f"`{path}` cannot be created: {(error.strerror or 'it failed').lower()}") from None


def _configure(connection: sqlite3.Connection, *, durable: bool) -> None:
    for statement in (
        "PRAGMA trusted_schema=OFF",
        "PRAGMA cell_size_check=ON",
        "PRAGMA foreign_keys=ON",
        "PRAGMA secure_delete=ON",  # what is erased is overwritten: a pseudonym key must not be found again
        f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}",
        f"PRAGMA cache_size=-{_CACHE_KIB}",
    ):
        connection.execute(statement)


def _identify(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is not ours or newer than we are; only then is anything written to it."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if application != APPLICATION_ID and not (empty and application == 0 and version == 0):
        raise StoreCorruptError(f"`{path}` is a database of another program")
    if version > LATEST:
        raise StoreCorruptError(
            f"`{path}` was written by a newer version of authz (schema {version}, this one knows {LATEST})"
        )
    if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        raise StoreError(f"`{path}` cannot be used: its file system has no shared memory for SQLite's WAL mode")
    if application != APPLICATION_ID:
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Tell a failure of SQLite as one of ours, in a line that says what to do about it."""
    try:
        yield
    except sqlite3.Error as error:
        raise _told(path, error) from None


def _told(path: Path, error: sqlite3.Error) -> StoreError:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusyError(f"`{path}` is locked by another process")
        case sqlite3.SQLITE_NOTADB:
            return StoreCorruptError(f"`{path}` is not a database: restore a backup, or move it aside")
        case sqlite3.SQLITE_CORRUPT:
            return StoreCorruptError(f"`{path}` is damaged: restore a backup, or move it aside")
        case sqlite3.SQLITE_FULL:
            return StoreError(f"`{path}` cannot be written: the disk is full")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreError(f"`{path}` cannot be written: it is read-only")
        case sqlite3.SQLITE_CANTOPEN:
            return StoreError(f"`{path}` cannot be opened")
        case _:
            return StoreError(f"`{path}` cannot be used: {error}")
