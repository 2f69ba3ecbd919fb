"""A line on stderr that says how far something is."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

PATIENCE: Final = 2.0
"""Seconds before anything is shown."""
_EVERY: Final = 0.2
_WIDTH: Final = 30


@contextmanager
def progress(noun: str, part: Callable[[], float] | None = None) -> Iterator[Callable[[int], None]]:
    """Give a function to tell how many are done; it shows that on a terminal only, and only when it takes long.

    `part` says how much of the whole is done, from 0 to 1, where that is known.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    due = time.monotonic() + PATIENCE
    shown = False

    def step(done: int) -> None:
        nonlocal due, shown
        if time.monotonic() < due:
            return
        due = time.monotonic() + _EVERY
        shown = True
        sys.stderr.write(f"\r\x1b[K{_bar(part()) if part else ''}{done} {noun}")
        sys.stderr.flush()

    try:
        yield step
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def part_of(stream: BinaryIO) -> Callable[[], float] | None:
    """Return what says how much of a file has been read; None for a stream without an end in sight."""
    try:
        size = os.fstat(stream.fileno()).st_size if stream.seekable() else 0
    except OSError:
        return None
    return (lambda: stream.tell() / size) if size else None


def _bar(part: float) -> str:
    part = min(1.0, part)
    return f"[{'#' * int(part * _WIDTH):<{_WIDTH}}] {part:4.0%}  "
