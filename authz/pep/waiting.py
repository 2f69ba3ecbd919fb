"""Bound how long something is waited for, at no cost where it turns out that nobody has to wait."""

from __future__ import annotations

import asyncio
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what some work comes to. Raises `TimeoutError` when it is waited for longer than that, from now on.

    Work that has all it needs, such as a verdict by a decision point in the process, has ended before there
    is a timer: setting one and taking it back are a fifth of such a verdict, 6 to 10 µs.
    """
    ends = asyncio.get_running_loop().time() + seconds
    try:
        waiting = work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # what the work returns, by its type
    async with asyncio.timeout_at(ends):
        return await _rest(work, waiting)


@coroutine
def _rest(work: Coroutine[Any, Any, T], waiting: object) -> Generator[Any, Any, T]:
    """Go on with work that waits for something, as `await` does (PEP 380)."""
    while True:
        raised: BaseException | None = None
        sent = None
        try:
            sent = yield waiting
        except BaseException as error:  # noqa: BLE001  # a cancellation too: it is for the work to hear
            raised = error
        try:
            waiting = work.send(sent) if raised is None else work.throw(raised)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # as above
