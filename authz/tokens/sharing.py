"""Let those who ask the very same question at the same time share one answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from authz.tokens.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class Sharing(Generic[T]):
    """Work under way, by question. All calls come from one event loop.

    The first to ask does the work itself; where it is cancelled, or fails in a way that has no name,
    the next one who waited does it. Nothing is kept once an answer is there.
    """

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._running: dict[bytes, asyncio.Future[T | TokenError]] = {}

    async def once(self, question: bytes, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` returns for whoever came first with this question. Raises `TokenError` as it did."""
        while (other := self._running.get(question)) is not None:
            await asyncio.wait([other])  # unlike awaiting it, this leaves it alone when the waiter is cancelled
            if not other.cancelled():
                outcome = other.result()
                if isinstance(outcome, TokenError):
                    raise TokenError(outcome.reason, outcome.message, outcome.detail)
                return outcome
        mine: asyncio.Future[T | TokenError] = asyncio.get_running_loop().create_future()
        self._running[question] = mine
        try:
            answer = await work()
        except TokenError as error:
            mine.set_result(error)
            raise
        except BaseException:
            mine.cancel()
            raise
        finally:
            del self._running[question]
        mine.set_result(answer)
        return answer
