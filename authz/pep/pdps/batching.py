"""Ask together what is asked at once: the checks of one caller in one turn of the event loop are one batch.

A lone check waits for nobody: it gives way to the event loop once, and whoever asks in the same turn
joins it. Different callers never share a batch, and the ids of all who do are in its request id.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from authz.errors import AuthzError
from authz.json_form import checked_request_id
from authz.model import MAX_IDENTIFIER
from authz.pep.pdp import PdpError
from authz.pep.pdps.asking import copied, only
from authz.pep.pdps.keys import caller_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from authz.model import Decision, Request
    from authz.pep.pdp import Answer

    Ask: TypeAlias = Callable[[Sequence[Request], str], Awaitable[Sequence[Answer]]]

MOST: Final = 30
"""Checks in one batch: so many ids of 32 characters fit into its request id."""


class _Waiting(NamedTuple):
    request: Request
    request_id: str
    answer: asyncio.Future[Decision]


class Batching:
    """Gathers checks; for one event loop."""

    def __init__(self, ask: Ask) -> None:
        """Ask by `ask`, which takes questions of one caller and a request id, and raises `AuthzError`."""
        self._ask = ask
        self._open: dict[bytes, list[_Waiting]] = {}
        """Who joined whom, by the callers' keys."""
        self._lone: tuple[Request, list[_Waiting]] | None = None
        """The first of this turn, whose key is worked out only where somebody else comes."""
        self._under_way: set[asyncio.Task[None]] = set()

    async def check(self, request: Request, request_id: str) -> Decision:
        """Return the decision. Raises what `ask` raises, and `InvalidRequestError` for a bad request id."""
        checked_request_id(request_id)  # one that is bad must not spoil a batch
        others: list[_Waiting] = []
        if self._lone is None and not self._open:
            self._lone = request, others
        else:
            self._find_lone()
            key = caller_key(request)
            joined = self._open.get(key)
            if joined is not None and len(joined) < MOST - 1:
                return await self._join(joined, request, request_id)
            self._open[key] = others
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._begin(others)  # who joined this one waits for its batch
            raise
        finally:
            self._close(request, others)
        if not others:
            return only(await self._ask((request,), request_id))
        own = self._join(others, request, request_id)
        self._begin(others)
        return await own

    def _find_lone(self) -> None:
        """Let the first one of this turn be found by its key, too."""
        if self._lone is not None:
            request, others = self._lone
            self._lone = None
            self._open[caller_key(request)] = others

    def _close(self, request: Request, others: list[_Waiting]) -> None:
        """Let nobody join any more; a full group has been replaced already."""
        if self._lone is not None and self._lone[1] is others:
            self._lone = None
        elif self._open.get(key := caller_key(request)) is others:
            del self._open[key]

    async def end(self) -> None:
        """End what is under way; who waits for it is told that there is no answer."""
        for task in tuple(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _join(self, waiting: list[_Waiting], request: Request, request_id: str) -> asyncio.Future[Decision]:
        answer: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        waiting.append(_Waiting(request, request_id, answer))
        return answer

    def _begin(self, waiting: list[_Waiting]) -> None:
        if waiting:
            task = asyncio.create_task(self._together(waiting))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _together(self, waiting: list[_Waiting]) -> None:
        try:
            answers = await self._ask([one.request for one in waiting], _joined(waiting))
        except AuthzError as error:
            answers = [copied(error)] * len(waiting)
        except BaseException as error:
            answers = [PdpError(f"the batch has ended: {error!r}")] * len(waiting)
            if not isinstance(error, Exception):
                raise
        finally:
            _settle(waiting, answers)


def _settle(waiting: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
    for one, answer in zip(waiting, answers, strict=True):
        if one.answer.done():  # whoever waited has been cancelled
            continue
        if isinstance(answer, AuthzError):
            one.answer.set_exception(copied(answer))  # one exception cannot be raised in several tasks
        else:
            one.answer.set_result(answer)


def _joined(waiting: Sequence[_Waiting]) -> str:
    """Return an id under which each of the checks is found in the server's log, as far as they fit."""
    ids = ",".join(dict.fromkeys(one.request_id for one in waiting if one.request_id))
    return ids if len(ids) <= MAX_IDENTIFIER else ids[: ids.rindex(",", 0, MAX_IDENTIFIER + 1)]
