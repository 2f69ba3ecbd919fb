"""The file that a store is, before and beside SQLite: who may have it, what lies next to it, how it is put there.

Nothing here opens the file of a store that may be in use: closing a descriptor drops every lock that
the process holds on the file (POSIX), those of its connections among them. `held_alone` is for files
that this process has not open otherwise.
"""

# The care taken here needs descriptors, which pathlib does not give.
# ruff: noqa: PTH104, PTH105
from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.errors import StoreBusyError, StoreCorruptError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK_BYTES: Final = (0x4000_0000, 512)
"""Where SQLite locks a database file, and how many bytes (sqlite.org/fileformat2.html, the lock-byte page).

Every connection in WAL mode holds a shared lock there as long as it is open.
"""
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class Identity(NamedTuple):
    """Which file a name stands for."""

    device: int
    inode: int


def identity(path: str) -> Identity | None:
    """Return which file a name stands for, None where it stands for none."""
    try:
        found = os.stat(path)  # noqa: PTH116  # before every decision; pathlib takes twice as long
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino)


def wal_path(path: Path) -> Path:
    """Return where SQLite keeps what has been committed but is not in the file yet."""
    return path.with_name(path.name + "-wal")


def shared_memory_path(path: Path) -> Path:
    """Return where connections share their index of the WAL; it says nothing after the last has closed."""
    return path.with_name(path.name + "-shm")


def holds_commits(wal: Path) -> bool:
    """Return whether there is a WAL with something in it; an empty one may be left by whoever only read."""
    try:
        return wal.stat().st_size > 0
    except OSError:
        return False


def refuse_strangers(path: Path) -> bool:
    """Return whether there is a file. Raises `StoreError` where it must not be used as a store.

    An empty one never was a store, or is one no longer: a new store has its name once it is whole.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise StoreError(f"`{path}` is a link to a file that does not exist") from None
        return False
    except OSError as error:
        raise failed(path, "opened", error) from None
    except ValueError:  # a NUL in the name
        raise StoreError(f"`{path}` cannot be opened: this is no name of a file") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder, not a file" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise StoreError(f"`{path}` is {kind}")
    if found.st_mode & stat.S_IWOTH:
        raise StoreError(f"`{path}` can be written by everybody: `chmod o-w {path}`")
    if found.st_size == 0:
        raise StoreCorruptError(f"`{path}` is empty: restore a backup, or remove it where it never held anything")
    return True


def refuse_unwritable(path: Path) -> None:
    """Raise `StoreError` where the file, or the folder that the WAL goes into, cannot be written."""
    effective = os.access in os.supports_effective_ids
    for place, what in ((path, "is"), (path.parent, "is in a folder that is")):
        if not os.access(place, os.W_OK, effective_ids=effective):
            raise StoreError(f"`{path}` cannot be written: it {what} read-only")


@contextlib.contextmanager
def held_alone(path: Path) -> Iterator[None]:
    """Hold a file that no other process has open as a store, and let none open it meanwhile.

    Raises `StoreBusyError` where one has. It needs no sound database: a damaged file can be held.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise failed(path, "opened", error) from None
    try:
        start, length = _LOCK_BYTES
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise StoreBusyError(f"`{path}` is in use by another process: stop it first") from None
            raise failed(path, "locked", error) from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Make an empty file next to where a new one is to be, for its owner only; what is left of it goes at the end.

    Raises `StoreError` where none can be made.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    try:
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except (OSError, ValueError) as error:
        raise failed(path, "created", error) from None
    try:
        yield new
    finally:
        for left in (new, wal_path(new), shared_memory_path(new), new.with_name(new.name + "-journal")):
            with contextlib.suppress(OSError):
                left.unlink()


def put_in_place(new: Path, path: Path) -> None:
    """Give a finished file its name, durably. Raises `FileExistsError` where another has it, and `StoreError`."""
    try:
        _sync(new)
        try:
            os.link(new, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if path.exists():  # a file system without links leaves a moment between this and the next line
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            os.rename(new, path)
        _sync(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise failed(path, "created", error) from None


def put_in_its_place(new: Path, path: Path) -> None:
    """Give a finished file the name that another has, which is gone then. Raises `StoreError`."""
    try:
        _sync(new)
        os.replace(new, path)
        _sync(path.parent)
    except OSError as error:
        raise failed(path, "replaced", error) from None


def move_aside(path: Path) -> Path:
    """Move a file, with what SQLite keeps next to it, to `NAME.damaged-1` or the next that is free.

    The file goes first: what stays where this is interrupted is a WAL without a file, which is
    refused, and never a file without its WAL, which would be an older state.
    """
    aside = _free(path, "damaged")
    try:
        for old, new in (
            (path, aside),
            (wal_path(path), wal_path(aside)),
            (shared_memory_path(path), shared_memory_path(aside)),
        ):
            with contextlib.suppress(FileNotFoundError):
                os.rename(old, new)
        _sync(path.parent)
    except OSError as error:
        raise failed(path, "moved aside", error) from None
    return aside


def keep_aside(path: Path) -> Path:
    """Give a file without a WAL a second name, `NAME.replaced-1` or the next that is free. Raises `StoreError`."""
    aside = _free(path, "replaced")
    try:
        os.link(path, aside)
    except OSError as error:
        raise failed(path, "kept aside", error) from None
    return aside


def failed(path: Path, done: str, error: OSError | ValueError) -> StoreError:
    """Return the error that says what could not be done with a file, and why."""
    why = (error.strerror if isinstance(error, OSError) else None) or "it failed"
    return StoreError(f"`{path}` cannot be {done}: {why[:1].lower()}{why[1:]}")


def _free(path: Path, word: str) -> Path:
    names = (path.with_name(f"{path.name}.{word}-{number}") for number in range(1, 1_000_000))
    return next(name for name in names if not os.path.lexists(name))


def _sync(path: Path) -> None:
    """Write a file, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
