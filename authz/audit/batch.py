"""The records of one commit, written down, and who waits for them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from authz.errors import LogUnavailableError

if TYPE_CHECKING:
    import asyncio
    from typing import TypeAlias

    from authz.audit.records import Decided

    Item: TypeAlias = tuple[tuple[Decided | str, ...], int, asyncio.Future[None] | None]
    """Records that belong together, the size of their question in bytes, and who waits for them."""

UNAVAILABLE: Final = "the decision log cannot be written now"


class Batch:
    """Bodies of records, and how many records there were, whatever becomes of them.

    The decisions themselves are let go one by one as they are written down: to free two thousand requests
    at once would hold up the other threads for a millisecond.
    """

    __slots__ = ("bodies", "count", "size", "waited", "waiters")

    def __init__(self) -> None:
        """Begin with none."""
        self.bodies: list[str] = []
        self.count = 0
        self.size = 0
        self.waited = 0
        """Records that somebody waits for; of others that are lost, the log states how many."""
        self.waiters: list[asyncio.Future[None]] = []

    def add(self, item: Item) -> None:
        """Count an item."""
        entries, size, waiter = item
        count = len(entries)
        self.count += count
        self.size += size
        if waiter is not None:
            self.waited += count
            self.waiters.append(waiter)

    def settle(self, *, done: bool) -> None:
        """Tell those who wait, with one wake-up for each event loop."""
        loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for waiter in self.waiters:
            loops.setdefault(waiter.get_loop(), []).append(waiter)
        for loop, waiters in loops.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(_resolve, waiters, done)


def _resolve(waiters: list[asyncio.Future[None]], done: bool) -> None:  # noqa: FBT001  # call_soon takes no names
    for waiter in waiters:
        if waiter.done():  # whoever waited has been cancelled
            continue
        if done:
            waiter.set_result(None)
        else:
            waiter.set_exception(LogUnavailableError(UNAVAILABLE))
