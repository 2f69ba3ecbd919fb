"""Do one piece of work at a time, for all who wait for it, and less often the more it fails."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class Flight:
    """One run at a time of `work`, which never raises; a waiter that is cancelled does not end it.

    Nothing is locked while it runs: whoever need not wait goes on. All calls come from one event loop.
    """

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        """Start nothing yet."""
        self._work = work
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin a run, unless one is under way."""
        if not self.running:
            self._task = asyncio.create_task(self._run())

    async def wait(self) -> None:
        """Wait for the run that is under way, if any."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """End the run that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        await self._work()


def pause(failures: int, *, base: float, cap: float, jitter: Callable[[], float] = random.random) -> float:
    """Return the seconds to leave an address alone after so many failures in a row.

    They double up to `cap`; up to half as much is added by chance, so that replicas do not come back together.
    """
    return min(cap, base * 2.0 ** min(max(failures - 1, 0), 32)) * (1 + jitter() / 2)


def lifetime(headers: Mapping[str, str], *, least: float, most: float, unstated: float) -> float:
    """Return for how many seconds an answer may be kept (RFC 9111, section 5.2.2), within bounds."""
    stated: list[float] = []
    for directive in headers.get("cache-control", "").lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name in {"no-store", "no-cache"}:
            return least
        if name == "max-age":
            stated.append(_seconds(value.strip().strip('"')))
    if not stated:
        return min(most, max(least, unstated))
    return min(most, max(least, min(stated) - _seconds(headers.get("age", "").strip())))


def _seconds(digits: str) -> float:
    """Return a number of seconds; what is none counts as 0, as the RFC has it for a stale answer."""
    return float(digits[:12]) if digits.isascii() and digits.isdigit() else 0.0
