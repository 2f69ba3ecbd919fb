"""Keep, somewhere else, what a log's head was: the one thing that shows a log put back to an older state.

A witness's file is JSON lines, each a signed head; whoever can write to the log should not be able to
write to it. Each line is appended whole and made durable.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.audit.chain import HASH_BYTES, root_statement
from authz.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path

    from authz.audit.store import SignedHead

_MAX_LINE: Final = 4 * 1024
_BEGINNING: Final = b'{"log":"'
"""What the first line of a file begins with, as far as it was written."""


class Witness(NamedTuple):
    """A head as somebody saw it: enough to check its signature, and to compare it with a log."""

    log: bytes
    seq: int
    hash: bytes
    root: bytes
    time: str
    signature: bytes

    def statement(self) -> bytes:
        """Return what the signature covers."""
        return root_statement("head", self.log, self.seq, self.hash, self.root, self.time)

    def line(self) -> str:
        """Return it as a line of JSON, without the end of the line."""
        return json.dumps(
            {
                "log": self.log.hex(),
                "seq": self.seq,
                "hash": self.hash.hex(),
                "root": self.root.hex(),
                "time": self.time,
                "signature": self.signature.hex(),
            },
            separators=(",", ":"),
        )


def witness(signed: SignedHead) -> Witness:
    """Return what a witness keeps of a head."""
    head = signed.head
    return Witness(head.log, head.seq, head.last, head.root, signed.time, signed.signature)


def append_witness(path: Path, signed: SignedHead) -> bool:
    """Append a head to a witness's file, durably, unless it is the last one there or has no record yet.

    Says whether it did. Raises `LoadError`.
    """
    seen = witness(signed)
    try:
        # No link: what it leads to would be cut where it does not end with a line.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a pipe might never answer
                raise LoadError(f"`{path}` is not a regular file")
            if not _BEGINNING.startswith(file.read(len(_BEGINNING))):  # else a store, or a key, would be cut
                raise LoadError(f"`{path}` is no witness's file: name a new one")
            last = _last_line(file)
            if not seen.seq or last == seen.line().encode():
                return False
            file.write(seen.line().encode() + b"\n")
            os.fsync(descriptor)
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else (error.strerror or "it failed").lower()
        raise LoadError(f"`{path}` cannot be written: {why}") from None
    return True


def _last_line(file: FileIO) -> bytes:
    """Return the last line and stay behind it; one that was cut off by a crash goes."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2 * _MAX_LINE))
    *lines, torn = file.readall().split(b"\n")
    if torn:
        file.truncate(size - len(torn))
    file.seek(0, os.SEEK_END)
    return lines[-1] if lines else b""


def read_witnesses(path: Path) -> Iterator[Witness]:
    """Yield the heads in a witness's file. Raises `LoadError`, which names the line."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE + 1):
                number += 1
                torn = len(line) <= _MAX_LINE and not line.endswith(b"\n")  # by a crash, or it is being written
                if line.strip() and not torn:
                    yield _read(line, f"line {number} of `{path}`")
    except OSError as error:
        raise LoadError(f"`{path}` cannot be read: {(error.strerror or 'it failed').lower()}") from None


def _read(line: bytes, where: str) -> Witness:
    try:
        found = json.loads(line)
        log, hash_, root, signature = (bytes.fromhex(found[name]) for name in ("log", "hash", "root", "signature"))
        seq, time = found["seq"], found["time"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LoadError(f"{where} is no head of a log") from None
    sizes = {len(log), len(hash_), len(root)}
    if sizes != {HASH_BYTES} or not isinstance(seq, int) or seq < 1 or not isinstance(time, str):
        raise LoadError(f"{where} is no head of a log")
    return Witness(log, seq, hash_, root, time, signature)
