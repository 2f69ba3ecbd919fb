"""The failures of SQLite, told as ours: one line that says what to do about it."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from authz.errors import StoreBusyError, StoreCorruptError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Tell a failure of SQLite as one of ours, in a line that says what to do about it."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(path, error) from None


def code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, 0 where the failure is none of SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another connection is in the way."""
    return code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Return our error for one of SQLite's."""
    match code(error):
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
            return StoreError(f"`{path}` cannot be opened: it, or `{path.name}-wal` beside it, is out of reach")
        case sqlite3.SQLITE_IOERR:
            return StoreError(f"`{path}` cannot be read or written: its disk fails, or takes no more")
        case _:
            return StoreError(f"`{path}` cannot be used: {error}")
