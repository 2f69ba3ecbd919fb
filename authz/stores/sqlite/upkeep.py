"""Look after a store's file: say whether it is sound, copy it while it is in use, put a copy back."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from authz.errors import StoreBusyError, StoreCorruptError, StoreError
from authz.stores.sqlite.database import NotOursError, open_database
from authz.stores.sqlite.failures import told
from authz.stores.sqlite.files import (
    beside,
    held_alone,
    holds_commits,
    keep_aside,
    move_aside,
    put_in_its_place,
    put_in_place,
    refuse_strangers,
    wal_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Progress: TypeAlias = Callable[[int, int], None]
    """Called now and then with what is done, and how much there is."""

_PAGES: Final = 2_048
"""Pages copied between two looks at the progress: 8 MiB."""
_COUNTED: Final = {
    "policy_versions": "policy_version",
    "policy_activations": "policy_activation",
    "directory_entries": "entity",
    "log_records": "log_record",
}
"""What is counted, and in which table."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What a file was found to be: `problems` is empty where it is sound, and then the rest is known."""

    problems: tuple[str, ...]
    schema: int = 0
    counts: Mapping[str, int] | None = None
    foreign: bool = False
    """Whether it is another program's, or a newer version's: not ours to repair or to move."""


def examine(path: Path, *, quick: bool = False, ticked: Callable[[], None] | None = None) -> Examined:
    """Say whether a file is a sound store, changing nothing; `ticked` is called now and then.

    Raises `StoreError` where it cannot be read.
    """
    try:
        with contextlib.closing(open_database(path, readonly=True)) as database:
            if ticked is not None:
                database.tick(ticked)
            problems = tuple(database.check(quick=quick))
            if problems:
                return Examined(problems)
            with database.snapshot():
                counts = {name: database.tables.table(table).count for name, table in _COUNTED.items()}
            return Examined((), database.schema(), counts)
    except StoreCorruptError as error:
        return Examined((str(error),), foreign=isinstance(error, NotOursError))


def back_up(path: Path, target: Path, progress: Progress | None = None) -> None:
    """Copy one state of a store to a new file, while others write to it; the copy is checked before it has its name.

    Raises `StoreError`, also where there is a file already, and `StoreCorruptError` where the copy is damaged.
    """
    _refuse_existing(target)
    with beside(target) as new:
        _copy(path, new, progress)
        _refuse_damaged(new, path)
        try:
            put_in_place(new, target)
        except FileExistsError:
            raise StoreError(f"`{target}` exists already") from None


def restore(backup: Path, path: Path, *, replace: bool = False, progress: Progress | None = None) -> Path | None:
    """Put a backup where a store is to be, and return where the file that was there is now, if there was one.

    At every moment, the file is the old one or the restored one. Raises `StoreCorruptError` where
    the backup is damaged, `StoreBusyError` where another process has the store open, and
    `StoreError`; the store is then as it was.
    """
    if not refuse_strangers(backup):
        raise StoreError(f"`{backup}` does not exist")
    path = path if not path.is_symlink() else path.resolve()
    there = os.path.lexists(path)
    if there and not replace:
        raise StoreError(f"`{path}` exists already: say `--replace` to restore in its place")
    if there and path.samefile(backup):
        raise StoreError(f"`{backup}` and the store are the same file")
    _refuse_damaged(backup, backup)
    with beside(path) as new:
        _copy(backup, new, progress)
        with told(path), contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        if there:
            return _replace(new, path)
        return _put_new(new, path)


def quarantine(path: Path) -> Path:
    """Move a file aside that no process has open, and return where it is. Raises `StoreBusyError`, `StoreError`."""
    with held_alone(path):
        return move_aside(path)


def _put_new(new: Path, path: Path) -> Path | None:
    """Give the restored file its name; commits to a file that is gone must not be read into it."""
    aside = move_aside(path) if holds_commits(wal_path(path)) else None
    try:
        put_in_place(new, path)
    except FileExistsError:
        raise StoreBusyError(f"`{path}` was made by another process just now") from None
    return aside


def _replace(new: Path, path: Path) -> Path:
    with held_alone(path):
        pass  # nobody else has it open; what is done to it next must not be done under a server
    try:
        with contextlib.closing(open_database(path)):
            pass  # the last to close writes the WAL back and removes it
    except NotOursError:
        raise
    except StoreCorruptError:  # then its WAL cannot be written back: both are moved, and nothing is where it was
        aside = quarantine(path)
        _put_new(new, path)
        return aside
    with held_alone(path):
        if wal_path(path).exists():
            raise StoreBusyError(f"`{path}` is in use by another process: stop it first")
        aside = keep_aside(path)
        put_in_its_place(new, path)
    return aside


def _copy(path: Path, new: Path, progress: Progress | None) -> None:
    """Copy one state: the snapshot keeps the copy from beginning anew with every commit of others."""
    with (
        contextlib.closing(open_database(path, readonly=True)) as source,
        source.snapshot() as connection,
        told(new),
        contextlib.closing(sqlite3.connect(new, isolation_level=None)) as target,
    ):
        target.execute("PRAGMA synchronous=OFF")  # it is written to the disk before it has its name
        connection.backup(target, pages=_PAGES, progress=_report(progress))
        target.execute("PRAGMA journal_mode=DELETE")  # one file, which can be read where nothing can be written


def _report(progress: Progress | None) -> Callable[[int, int, int], object] | None:
    if progress is None:
        return None
    return lambda _status, remaining, total: progress(total - remaining, total)


def _refuse_damaged(path: Path, shown: Path) -> None:
    problems = examine(path).problems
    if problems:
        raise StoreCorruptError(problems[0] if f"`{shown}`" in problems[0] else f"`{shown}` is damaged: {problems[0]}")


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise StoreError(f"`{path}` exists already")
