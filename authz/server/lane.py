"""The fast lane of the native transport: Check and BatchCheck, answered call by call in one thread.

What can be answered at once is answered in that thread, without the event loop, which would cost
more than the decision does. What must wait (for a token's issuer, for the log's commit) and batches
go to the event loop; those count at the gate as calls under way, of the others there is one at a time.
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from grpc import StatusCode
from pygrpc_native import EVENT_CALL

from authz.server.asker import Asker, asker_at

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from pygrpc_native import NativeGrpcFront
    from pygrpc_native._native import CallDetails
    from structlog.typing import FilteringBoundLogger

    from authz.server.gate import Gate
    from authz.server.service import DecisionService

CHECK: Final = "Check"
BATCH_CHECK: Final = "BatchCheck"
METHODS: Final = (CHECK, BATCH_CHECK)
"""The methods of DecisionService that the lane answers; a call names them by their place here."""

_AT_ONCE: Final = 64  # calls taken from the front at a time
_NOBODY: Final = Asker()


class _Waiting(NamedTuple):
    """A call whose answer must be awaited."""

    call_id: int
    method: str
    answer: Coroutine[Any, Any, bytes]


class Lane:
    """Answers the calls of one front until the front is closed."""

    def __init__(
        self,
        front: NativeGrpcFront,
        service: DecisionService,
        gate: Gate,
        logger: FilteringBoundLogger,
        *,
        max_message: int,
        askers: bool,
        broken: Callable[[], None],
    ) -> None:
        """Have calls answered by `service` while the gate has room; `askers` says whether it is to know who asks.

        `broken` is called, on the event loop, where a defect has ended the lane.
        """
        self._front = front
        self._service = service
        self._gate = gate
        self._logger = logger
        self._max_message = max_message
        self._askers = askers
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True, name="authz-calls")
        self.refusing = False
        """Whether calls that come now are told that the server is ending."""

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Return how many calls the event loop is answering; the gate counts them too."""
        return len(self._tasks)

    async def end(self) -> None:
        """Give up what is not answered; the front has been closed."""
        if self._thread.ident is not None:
            self._thread.join()
        await asyncio.sleep(0)  # what the thread has handed over last
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- In the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (events := self._front.recv_batch_details(_AT_ONCE)) is not None:
                waiting = [call for event in events if (call := self._event(*event)) is not None]
                if waiting:
                    self._loop.call_soon_threadsafe(self._take, waiting)
        except BaseException:  # half a server must not go on as if it were whole
            self._logger.exception("defect", method="native transport")
            self._loop.call_soon_threadsafe(self._broken)

    def _event(
        self, kind: int, call_id: int, method: int, data: bytes | None, _: object, details: CallDetails | None
    ) -> _Waiting | None:
        """Answer a call, or return what must be awaited for its answer."""
        if kind != EVENT_CALL or data is None or details is None:  # the client is gone
            self._loop.call_soon_threadsafe(self._cancel, call_id)
            return None
        if (refusal := self._refusal(data)) is not None:
            self._front.fail(call_id, *_as_sent(*refusal))
            return None
        who = asker_at(details[1], details[0]) if self._askers else _NOBODY
        name = METHODS[method]
        try:
            answer = self._service.begin_check(data, who) if name == CHECK else self._service.answer_batch(data, who)
            if not isinstance(answer, bytes):
                return self._to_wait(_Waiting(call_id, name, answer))
            self._front.respond(call_id, answer)
        except Exception as error:  # noqa: BLE001  # the outermost handler: the caller is told a status, not all
            self._front.fail(call_id, *_as_sent(*self._service.refuse(name, error)))
        return None

    def _refusal(self, data: bytes) -> tuple[StatusCode, str] | None:
        """Return why a call is not begun."""
        if len(data) > self._max_message:
            too_large = f"SERVER: Received message larger than max ({len(data)} vs. {self._max_message})"  # as grpcio
            return StatusCode.RESOURCE_EXHAUSTED, too_large
        if self.refusing:
            return StatusCode.UNAVAILABLE, "the server is ending"
        if not self._gate.has_room:
            return StatusCode.RESOURCE_EXHAUSTED, self._gate.full
        return None

    def _to_wait(self, call: _Waiting) -> _Waiting | None:
        """Count a call that is to be awaited. What was answered at once was never beside another."""
        if self._gate.enter():
            return call
        call.answer.close()
        self._front.fail(call.call_id, *_as_sent(StatusCode.RESOURCE_EXHAUSTED, self._gate.full))
        return None

    # --- On the event loop --------------------------------------------------------------------

    def _take(self, calls: Sequence[_Waiting]) -> None:
        for call in calls:
            task = self._loop.create_task(self._answer(call))
            self._tasks.add(task)
            task.add_done_callback(partial(self._done, call))

    async def _answer(self, call: _Waiting) -> None:
        task = asyncio.current_task()
        assert task is not None  # this is one
        self._running[call.call_id] = task
        try:
            self._front.respond(call.call_id, await call.answer)
        except Exception as error:  # noqa: BLE001  # as in the thread
            self._front.fail(call.call_id, *_as_sent(*self._service.refuse(call.method, error)))

    def _done(self, call: _Waiting, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._running.pop(call.call_id, None)
        call.answer.close()  # one that never began would complain
        self._gate.leave()

    def _cancel(self, call_id: int) -> None:
        """End what nobody waits for any more; what has not begun runs on, for it may have a record to keep."""
        if (task := self._running.get(call_id)) is not None:
            task.cancel()


def _as_sent(code: StatusCode, details: str) -> tuple[int, str]:
    return code.value[0], details
