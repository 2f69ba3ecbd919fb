"""Sealed segments: what was retired from a log, in files that are verified as the log is.

A segment is JSON lines. The first says where it begins and holds its signed heads; each other line is a
record in its place: `{"hash":"…","record":{"seq":…}}`. One segment begins where another ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.audit.chain import Head, Link
from authz.audit.store import SignedHead
from authz.errors import LoadError, StoreCorruptError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from authz.audit.store import LogReader

_NAME: Final = re.compile(r"segment-([0-9]{1,19})-([0-9]{1,19})\.jsonl\Z")
_MAX_LINE: Final = 64 * 1024 * 1024
_BETWEEN: Final = '","record":'


class Part(NamedTuple):
    """The records of a log between two heads, as a log of their own (`authz.audit.store.LogReader`)."""

    log: LogReader
    start: SignedHead
    kept: Sequence[SignedHead]
    """The checkpoints after the start; the last one ends it."""

    def frozen(self) -> contextlib.AbstractContextManager[object]:
        """Let everything that is read within be of one moment."""
        return self.log.frozen()

    def head(self) -> SignedHead:
        """Return where it ends."""
        return self.kept[-1]

    def links(self, first: int = 1) -> Iterator[Link]:
        """Yield its records."""
        for link in self.log.links(max(first, self.start.head.seq + 1)):
            if link.seq > self.kept[-1].head.seq:
                return
            yield link

    def checkpoints(self) -> Iterator[SignedHead]:
        """Yield where it starts, unless at the beginning of the log, and its checkpoints."""
        yield from (self.start, *self.kept) if self.start.head.seq else self.kept


class Segment:
    """A segment's file (`authz.audit.store.LogReader`)."""

    def __init__(self, path: Path) -> None:
        """Read its first line. Raises `StoreCorruptError` where that is no segment's, and `LoadError`."""
        self.path = path
        with self._opened() as lines:
            try:
                header = json.loads(next(lines, ""))
                log = bytes.fromhex(header["log"])
                self.start, *self.kept = [_read_head(log, head) for head in (header["start"], *header["checkpoints"])]
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                raise StoreCorruptError(f"`{path}` does not begin as a segment of a log does") from None
        if not self.kept:
            raise StoreCorruptError(f"`{path}` has no signed end")

    def frozen(self) -> contextlib.AbstractContextManager[object]:
        """Do nothing: nobody appends to a sealed segment."""
        return contextlib.nullcontext()

    def head(self) -> SignedHead:
        """Return where it ends."""
        return self.kept[-1]

    def links(self, first: int = 1) -> Iterator[Link]:
        """Yield its records."""
        with self._opened() as lines:
            next(lines, None)
            for line in lines:
                start, between, rest = line.partition(_BETWEEN)
                number = _NUMBER.match(rest)
                if not between or number is None or not rest.endswith("}\n") or not start.startswith('{"hash":"'):
                    raise StoreCorruptError("the line in its place is not a record's")
                try:
                    hash_ = bytes.fromhex(start[9:])
                except ValueError:
                    raise StoreCorruptError("the hash in its place is none") from None
                if (seq := int(number[1])) >= first:
                    yield Link(seq, hash_, rest[:-2])

    def checkpoints(self) -> Iterator[SignedHead]:
        """Yield where it starts, unless at the beginning of the log, and its checkpoints."""
        yield from (self.start, *self.kept) if self.start.head.seq else self.kept

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Iterator[str]]:
        try:
            with self.path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                yield iter(lambda: file.readline(_MAX_LINE), "")
        except OSError as error:
            raise LoadError(f"`{self.path}` cannot be read: {(error.strerror or 'it failed').lower()}") from None


_NUMBER: Final = re.compile(r'\{"seq":([0-9]{1,19})[,}]')


def write_segment(folder: Path, part: Part) -> Path:
    """Write a segment, durably and whole, and return its file. Raises `StoreError`."""
    first, last = part.start.head.seq + 1, part.kept[-1].head.seq
    path = folder / f"segment-{first}-{last}.jsonl"
    new = folder / f".{path.name}.{secrets.token_hex(6)}.new"  # nobody can put a link there
    header = {
        "segment": 1,
        "log": part.start.head.log.hex(),
        "start": _head_to_json(part.start),
        "checkpoints": [_head_to_json(signed) for signed in part.kept],
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(header, separators=(",", ":")) + "\n")
            for link in part.links():
                file.write(f'{{"hash":"{link.hash.hex()}{_BETWEEN}{link.text}}}\n')
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync(folder)
    except OSError as error:
        raise StoreError(f"`{path}` cannot be written: {(error.strerror or 'it failed').lower()}") from None
    finally:
        new.unlink(missing_ok=True)
    return path


def find_segments(folder: Path) -> list[Path]:
    """Return the files of segments in a folder, in the order of their records. Raises `LoadError`."""
    try:
        found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.match(path.name))]
    except OSError as error:
        raise LoadError(f"`{folder}` cannot be read: {(error.strerror or 'it failed').lower()}") from None
    return [path for _, path in sorted(found)]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _head_to_json(signed: SignedHead) -> dict[str, object]:
    head = signed.head
    return {
        "seq": head.seq,
        "hash": head.hash.hex(),
        "frontier": [subtree.hex() for subtree in head.frontier],
        "time": signed.time,
        "signature": signed.signature.hex(),
    }


def _read_head(log: bytes, form: dict[str, object]) -> SignedHead:
    seq, hash_, frontier, time, signature = (form[name] for name in ("seq", "hash", "frontier", "time", "signature"))
    if not (isinstance(seq, int) and isinstance(time, str) and isinstance(frontier, list) and seq >= 0):
        raise ValueError
    head = Head(log, seq, bytes.fromhex(str(hash_)), tuple(bytes.fromhex(subtree) for subtree in frontier))
    return SignedHead(head, time, bytes.fromhex(str(signature)), "checkpoint")
