"""The way of log records out of the process, which must never hold up an answer.

A reader of stderr that stops reading fills the pipe, and a write into a full pipe waits for ever.
So a thread writes, and the event loop only puts records into its queue. Where the queue is full
too, records are dropped, and a record in their place says how many.
"""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_WAITING: Final = 16 * 1024 * 1024
"""Characters that may wait to be written; some 40 000 records."""
_GATHER_S: Final = 0.02
"""Pause after each writing: a thread that woke for every record would cost a quarter of the throughput."""
_CLOSE_S: Final = 1.0


class Outlet:
    """Writes lines to a descriptor, beside the threads that have them; structlog takes it for a logger."""

    def __init__(self, descriptor: int, lost: Callable[[int], str], most: int = MAX_WAITING) -> None:
        """Write to `descriptor`; `lost` words how many were dropped, and `most` characters may wait."""
        self._descriptor = descriptor
        self._lost = lost
        self._most = most
        self._waiting: list[str] = []
        self._size = 0
        self._dropped = 0
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def line(self, text: str) -> None:
        """Have a line written soon, or dropped where too many wait."""
        with self._changed:
            # Once one is dropped all are, until the thread has come: the count then stands in their very place.
            if self._dropped or self._size + len(text) > self._most:
                self._dropped += 1
                return
            self._waiting.append(text)
            self._size += len(text)
            if self._size > self._most // 4:
                self._hurry.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="authz-log")
                self._thread.start()
            self._changed.notify()

    debug = info = warning = error = critical = line

    def close(self, seconds: float = _CLOSE_S) -> None:
        """Write what waits, but wait no longer than this for a reader."""
        with self._changed:
            self._closed = True
            self._hurry.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while (lines := self._take()) is not None:
            for data in _gathered(lines):
                self._write(data)
            self._hurry.wait(_GATHER_S)

    def _take(self) -> list[str] | None:
        """Wait for lines and return all, with the count of those that were dropped after them; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            lines, dropped = self._waiting, self._dropped
            self._waiting, self._size, self._dropped = [], 0, 0
            if not self._closed:
                self._hurry.clear()
        if dropped:
            lines.append(self._lost(dropped))
        return lines or None

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever shares the pipe may have made it so
                select.select((), (self._descriptor,), ())
            except OSError:  # nobody is there to read any more; a later reader gets later records
                return


def _gathered(lines: Iterable[str]) -> Iterator[bytes]:
    """Put lines together into what a pipe takes at once, so that those of several processes do not mix (pipe(7))."""
    waiting = bytearray()
    for line in lines:
        data = f"{line}\n".encode(errors="backslashreplace")
        if waiting and len(waiting) + len(data) > select.PIPE_BUF:
            yield bytes(waiting)
            waiting.clear()
        waiting += data
    if waiting:
        yield bytes(waiting)
