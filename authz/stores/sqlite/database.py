"""Open the store's file, and keep to one writer at a time.

The discipline that makes it hold for several processes:

- Every connection is in autocommit mode. `writing` takes the write lock first (BEGIN IMMEDIATE), so a
  transaction never finds out at its end that another was faster. It waits for others, within its bound.
- Readers never wait, for writers or for each other, and a writer never waits for them (WAL). What must
  be read of one state is read within `snapshot`; as long as one is open, the WAL cannot be reused and
  grows, so nobody leaves one open.
- A connection is used by one thread at a time, and never after a fork: each process opens its own.
- A commit that was acknowledged is in the file that the name stands for: where the file, or its WAL, was
  moved or removed meanwhile, writing and reading fail from then on, until the store is opened again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from authz.errors import StoreBusyError, StoreCorruptError, StoreError
from authz.stores.sqlite.failures import code, is_busy, store_error, told
from authz.stores.sqlite.files import (
    Identity,
    beside,
    holds_commits,
    identity,
    put_in_place,
    refuse_strangers,
    refuse_unwritable,
)
from authz.stores.sqlite.files import wal_path as wal_path_of
from authz.stores.sqlite.migrations import APPLICATION_ID, LATEST, migrate, schema_problems, schema_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlite_utils import Database as Tables

WAIT_S: Final = 5.0
"""How long a write waits for another process to finish its own."""
_POLL_MS: Final = 8
"""SQLite looks for the lock after 1, 2 and 5 ms, and later every 0.1 s; asking anew keeps it at the first three.

Of two processes that append without a pause, one waited up to 2.8 s for its turn, and so waits 0.4 s at most.
"""
_CACHE_KIB: Final = 32 * 1024
_WAL_BYTES: Final = 64 * 1024 * 1024
"""What stays of a WAL that had to grow, once it has been written back."""
_LOOK_S: Final = 0.1
"""How long a reader may not notice that the file was moved; a writer always does."""
_TICK: Final = 1_000_000
"""Steps of SQLite's machine between two looks at what is going on: some 10 ms."""
_NO_ROOM: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""What SQLite says where it can make no WAL."""
_OPENINGS: Final = 5
"""How often a file may be replaced just while it is opened."""


class NotOursError(StoreCorruptError):
    """Raised when a file is sound, but another program's or written by a newer version."""


class Database:
    """One connection to the store's file; it is used by one thread at a time."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        files: tuple[tuple[str, Identity], ...] = (),
        wait: float = WAIT_S,
        readonly: bool = False,
    ) -> None:
        """Made by `open_database`; `files` are those that must stay what their names stand for."""
        self.connection = connection
        self.path = path
        self.readonly = readonly
        self._files = files
        self._wait = wait
        self._process = os.getpid()
        self._looked = 0.0
        self._cursor = connection.cursor()

    @cached_property
    def tables(self) -> Tables:
        """Return the connection as sqlite-utils sees it; its import takes a while, so it waits for who needs it."""
        from sqlite_utils import Database  # noqa: PLC0415  # see above

        return Database(self.connection, recursive_triggers=False, execute_plugins=False)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock; commit at the end, and leave nothing behind where something is raised.

        Raises `StoreBusyError` where others keep the lock for too long, and `StoreError`.
        """
        connection = self.connection
        try:
            self._begin()
            try:
                self._refuse_moved()
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # what went wrong first is what is told
                    connection.execute("ROLLBACK")
                raise
            self._refuse_moved()  # what was committed to a file without a name is lost
        except sqlite3.Error as error:
            raise store_error(self.path, error) from None

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read, with the failures of SQLite told as ours."""
        self._refuse_long_moved()
        try:
            yield self.connection
        except sqlite3.Error as error:
            raise store_error(self.path, error) from None

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Return all that one statement reads, as `reading` would: what every decision asks is worth a shorter way."""
        if self._process != os.getpid() or time.monotonic() - self._looked > _LOOK_S:
            self._refuse_moved()
        try:
            return self._cursor.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise store_error(self.path, error) from None

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Read one state of the store, whatever is committed meanwhile. Within a transaction it is that one's."""
        with self.reading() as connection:
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()  # the first read takes the state
                yield connection
            finally:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed; microseconds' work."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def schema(self) -> int:
        """Return the version of the file's schema."""
        with self.reading() as connection:
            return schema_version(connection)

    def check(self, *, quick: bool) -> list[str]:
        """Return what is wrong with the file, a line each; none where it is sound.

        The quick check reads every page once. The full one also compares each index with its table
        and follows every reference. Raises `StoreError` where the file cannot be read.
        """
        try:
            with self.snapshot() as connection:
                return [*schema_problems(connection), *_integrity(connection, quick=quick)]
        except StoreCorruptError as error:
            return [str(error)]

    def tick(self, ticked: Callable[[], None]) -> None:
        """Call this now and then from within long statements."""

        def handler() -> int:
            ticked()
            return 0  # go on

        self.connection.set_progress_handler(handler, _TICK)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _begin(self) -> None:
        """Take the write lock, or raise SQLITE_BUSY once the wait is over."""
        self._refuse_moved()
        deadline = time.monotonic() + self._wait
        connection = self.connection
        connection.execute(f"PRAGMA busy_timeout={_POLL_MS}")
        try:
            while True:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    if not is_busy(error) or time.monotonic() >= deadline:
                        raise
                else:
                    return
        finally:
            connection.execute(f"PRAGMA busy_timeout={int(self._wait * 1000)}")

    def _refuse_moved(self) -> None:
        if self._process != os.getpid():
            raise StoreError(f"`{self.path}` was opened by the process that this one was forked from")
        for name, was in self._files:
            if identity(name) != was:
                self._looked = 0.0  # whoever asks next is told as well
                raise StoreError(f"`{name}` was removed or replaced while in use: restart on the right file")
        self._looked = time.monotonic()

    def _refuse_long_moved(self) -> None:
        """Refuse what was moved, as far as can be told without asking the file system before every decision."""
        if self._process != os.getpid() or time.monotonic() - self._looked > _LOOK_S:
            self._refuse_moved()


def open_database(
    path: Path, *, create: bool = False, durable: bool = True, readonly: bool = False, wait: float = WAIT_S
) -> Database:
    """Open the file, bring its schema up to date, and return a connection.

    `create` makes a file where there is none; what is there must be a whole store. `durable` makes
    a commit survive the loss of power; without it, only that of the process. `readonly` changes
    nothing in the file, an old schema neither, and does with a file that cannot be written.
    Raised are `StoreError` where the file is missing or cannot be used, `StoreBusyError` where it
    is kept locked, and `StoreCorruptError` where it is another program's, a newer version's or damaged.
    """
    if not refuse_strangers(path):
        if not create or readonly:
            raise StoreError(f"`{path}` does not exist")
        _create(path)
    real = Path(os.path.realpath(path))
    if not readonly:
        refuse_unwritable(real)
    _refuse_foreign(real, path)
    opened = _open_readonly if readonly else _open_writable
    for _ in range(_OPENINGS):
        before = identity(str(real))
        connection, names = opened(real, path, durable=durable, wait=wait)
        files = tuple((name, found) for name in names if (found := identity(name)))
        if files and files[0][1] == before:  # else we may have opened what has no name any more
            return Database(connection, path, files=files, wait=wait, readonly=readonly)
        connection.close()
    raise StoreBusyError(f"`{path}` is being replaced by another process")


def _create(path: Path) -> None:
    """Make a new store under another name, whole, and only then give it its own; another may be faster."""
    path = Path(os.path.realpath(path))
    wal = wal_path_of(path)
    if holds_commits(wal):
        raise StoreError(f"`{path}` is gone, but `{wal}` holds commits to it: restore a backup, or move that aside")
    with beside(path) as new:
        with told(path), contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
            migrate(connection)
            _use_wal(connection, path, WAIT_S)
        with contextlib.suppress(FileExistsError):
            put_in_place(new, path)


def _refuse_foreign(real: Path, path: Path) -> None:
    """Refuse what is another program's before anything, were it only a checkpoint, is done to it.

    A file that others write to may look damaged here, where nothing is locked: that is for a real connection to say.
    """
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(real, "immutable=1", wait=0)) as connection:
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise NotOursError(f"`{path}` is a database of another program")


def _open_writable(real: Path, path: Path, *, durable: bool, wait: float) -> tuple[sqlite3.Connection, tuple[str, ...]]:
    with told(path):
        connection = _connect(real, "mode=rw", wait=wait)
        try:
            _configure(connection)
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            _identify(connection, path)
            _use_wal(connection, path, wait)
            migrate(connection)
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()  # opens the WAL
        except BaseException:
            connection.close()
            raise
    return connection, (str(real), str(wal_path_of(real)))


def _open_readonly(real: Path, path: Path, *, durable: bool, wait: float) -> tuple[sqlite3.Connection, tuple[str, ...]]:
    """Open a file for reading; where nothing can be written next to it, as one that nobody writes to.

    That is right as long as nobody can: without a WAL nobody has it open, and this folder takes none.
    """
    del durable
    with told(path):
        try:
            return _reader(real, path, "mode=ro", wait), (str(real), str(wal_path_of(real)))
        except sqlite3.OperationalError as error:
            if code(error) not in _NO_ROOM or holds_commits(wal_path_of(real)):
                raise
            return _reader(real, path, "immutable=1", wait), (str(real),)


def _reader(real: Path, path: Path, how: str, wait: float) -> sqlite3.Connection:
    connection = _connect(real, how, wait=wait)
    try:
        _configure(connection)
        connection.execute("PRAGMA query_only=ON")
        _refuse_old(_identify(connection, path), path)
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_old(version: int, path: Path) -> None:
    if version < LATEST:
        raise StoreError(
            f"`{path}` was written by an older version of authz (schema {version}, this one reads {LATEST}): "
            "open it once with authz-server"
        )


def _connect(real: Path, how: str, *, wait: float) -> sqlite3.Connection:
    """Connect; SQLite itself never makes a file, for the URI says so."""
    return sqlite3.connect(
        f"{real.as_uri()}?{how}", uri=True, timeout=wait, isolation_level=None, check_same_thread=False
    )


def _configure(connection: sqlite3.Connection) -> None:
    for statement in (
        "PRAGMA trusted_schema=OFF",
        "PRAGMA cell_size_check=ON",
        "PRAGMA foreign_keys=ON",
        "PRAGMA secure_delete=ON",  # what is erased is overwritten: a pseudonym key must not be found again
        f"PRAGMA cache_size=-{_CACHE_KIB}",
        f"PRAGMA journal_size_limit={_WAL_BYTES}",
    ):
        connection.execute(statement)


def _identify(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of the schema; refuse a file that is not ours or newer than we are."""
    version = schema_version(connection)
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise NotOursError(f"`{path}` is a database of another program")
    if version > LATEST:
        raise NotOursError(
            f"`{path}` was written by a newer version of authz (schema {version}, this one knows {LATEST})"
        )
    return version


def _use_wal(connection: sqlite3.Connection, path: Path, wait: float) -> None:
    """Turn WAL mode on, where it is not: for that SQLite wants the file alone, and does not wait for it by itself."""
    deadline = time.monotonic() + wait
    while (mode := _mode_after_asking_for_wal(connection)) is None:
        if time.monotonic() >= deadline:
            raise StoreBusyError(f"`{path}` is locked by another process")
        time.sleep(_POLL_MS / 1000)
    if mode != "wal":
        raise StoreError(f"`{path}` cannot be used: its file system has no shared memory for SQLite's WAL mode")


def _mode_after_asking_for_wal(connection: sqlite3.Connection) -> str | None:
    """Return the journal mode, None where another connection is in the way."""
    try:
        return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
    except sqlite3.OperationalError as error:
        if is_busy(error):
            return None
        raise


def _integrity(connection: sqlite3.Connection, *, quick: bool) -> list[str]:
    found = connection.execute("PRAGMA quick_check" if quick else "PRAGMA integrity_check")
    problems = [line for (text,) in found for line in text.splitlines() if line != "ok"]
    if not quick:
        references = connection.execute("PRAGMA foreign_key_check").fetchmany(100)
        problems += [f"a row of `{table}` refers to a missing row of `{other}`" for table, _, other, _ in references]
    return problems
