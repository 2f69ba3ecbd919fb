"""Where the records of a log go beside its store: JSON lines, one for each record."""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from authz.audit.records import loss_record
from authz.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Sink(Protocol):
    """Takes lines, and holds nobody up for long."""

    def write(self, lines: Sequence[str]) -> int:
        """Write lines, and return how many of them are lost. Raises nothing."""

    def close(self) -> None:
        """Write what waits, and let go."""


class JsonLines:
    """Appends lines to a file, which several processes may share and whoever rotates it may move away."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it, for its owner only. Raises `LoadError` where that cannot be done."""
        self._path = path
        self._descriptor = -1
        self._torn = False
        self._lost = 0
        self._since = datetime.now(UTC)
        try:
            self._open()
        except OSError as error:
            raise LoadError(f"`{path}` cannot be written: {(error.strerror or 'it failed').lower()}") from None

    def write(self, lines: Sequence[str]) -> int:
        """Append lines; a line that says how many were lost before comes first, where any were."""
        text = [loss_record(self._lost, self._since)] if self._lost else []
        text += lines
        data = "".join(f"{line}\n" for line in text).encode()
        if self._torn:
            data = b"\n" + data  # ends the line that could not be finished, so that it spoils no other
        written = 0
        try:
            self._follow()
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            return self._missed(data[:written], len(text) - len(lines), len(lines))
        self._torn, self._lost = False, 0
        return 0

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _missed(self, written: bytes, stated: int, count: int) -> int:
        """Take stock of a write that broke off; return how many of the lines it was for are lost."""
        whole = max(0, written.count(b"\n") - self._torn)
        if written:
            self._torn = not written.endswith(b"\n")
        if stated and whole:  # the line that says what was lost is there
            self._lost = 0
            whole -= 1
        lost = count - whole
        if lost and not self._lost:
            self._since = datetime.now(UTC)
        self._lost += lost
        return lost

    def _follow(self) -> None:
        """Open the file anew where another one, or none, has its name now."""
        try:
            found = os.stat(self._path)  # noqa: PTH116  # once for every batch
        except FileNotFoundError:
            found = None
        if self._descriptor >= 0:
            ours = os.fstat(self._descriptor)
            if found is not None and (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                return
            self.close()
            self._torn = False
        self._open()

    def _open(self) -> None:
        # A pipe would hold us up; where a link leads may be decided by who rotates the file, again and again.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(0, "it is a link") from None
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "it is not a regular file")
        self._descriptor = descriptor
