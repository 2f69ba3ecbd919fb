"""Answer the calls of DecisionService: bytes in, one decision by one revision, one record, bytes out."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import grpc

from authz import wire
from authz.errors import InvalidRequestError, StoreError
from authz.server.asker import Asker, asker
from authz.server.deciding import Decider
from authz.server.gate import cancelled_from_outside
from authz.tokens.asking import asked_by

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
    from typing import TypeAlias

    from structlog.typing import FilteringBoundLogger

    from authz.audit.records import Decided
    from authz.audit.writer import Writer
    from authz.json_form import Call
    from authz.model import Request
    from authz.pdp.engine import Active, Engine
    from authz.server.deciding import Complete
    from authz.server.gate import Context
    from authz.tokens.caller import Caller

    Identify: TypeAlias = Callable[[str, Request], Awaitable[Caller]]

_BREATH: Final = 25  # questions of a batch between two chances for other calls


class DecisionService:
    """The three methods, and the end of the streams."""

    def __init__(
        self,
        engine: Engine,
        logger: FilteringBoundLogger,
        clock: Callable[[], datetime] | None = None,
        log: Writer | None = None,
        complete: Complete | None = None,
        identify: Identify | None = None,
    ) -> None:
        """Decide by this engine; `clock` gives the time of decisions instead of the program's own.

        `log` keeps each decision's record; without one, the server's own log has a line for it.
        `complete` adds to a request what the directory knows, and raises `StoreError` where it cannot.
        `identify` returns the caller that a token stands for, and raises `TokenError`; without it,
        requests that bring a token are refused.
        """
        self._engine = engine
        self._logger = logger
        self._clock = clock or (_utc_now if log is not None and log.contents.requests else None)
        self._log = log
        self._decider = Decider(logger if logger.is_enabled_for(logging.INFO) else None, log, complete)
        self._identify = identify
        self._draining = False
        self._reads: set[asyncio.Future[Any]] = set()
        self.received = 0
        """Messages that streams have delivered."""

    def handlers(self) -> Mapping[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the handlers by method name. They take and give bytes: `wire` does the parsing."""
        return {
            "Check": grpc.unary_unary_rpc_method_handler(self.check),
            "BatchCheck": grpc.unary_unary_rpc_method_handler(self.batch_check),
            "StreamCheck": grpc.stream_stream_rpc_method_handler(self.stream_check),
        }

    async def check(self, data: bytes, context: Context) -> bytes:
        """Answer one question."""
        try:
            answer = self.begin_check(data, self._asker(context))
            return answer if isinstance(answer, bytes) else await answer
        except Exception as error:  # noqa: BLE001  # the outermost handler: nothing may reach gRPC, which would tell all
            return await self._fail(context, "Check", error)

    def begin_check(self, data: bytes, who: Asker) -> bytes | Coroutine[Any, Any, bytes]:
        """Answer one question at once, or return what must be awaited for it: a token's issuer, the log.

        Raises what `refuse` makes a status of. The awaiting is for the server's event loop.
        """
        active = self._engine.active
        call = wire.read_check(data, self._now(), tokens=self._identify is not None)
        active.require(call.min_policy_revision)
        size = len(data)
        if call.token:
            return self._check_identified(active, call, who, size)
        decision, why, name, decided = self._decider.begin(
            active.program, call.request, who, None, call.request_id, explain=call.explain
        )
        answer = wire.check_answer(decision, name, why)
        if decided is None or self._decider.noted(decided, size):
            return answer
        return self._kept(answer, (decided,), size)

    async def _check_identified(self, active: Active, call: Call, who: Asker, size: int) -> bytes:
        caller = await self._caller(call.token, call.request)
        made = self._decider.decide(active.program, call, who, size, caller)
        return await self._kept(wire.check_answer(made.decision, made.decision_id, made.explanation), made.unkept, size)

    async def _kept(self, answer: bytes, records: Sequence[Decided], size: int) -> bytes:
        await self._decider.keep(records, size=size)
        return answer

    async def batch_check(self, data: bytes, context: Context) -> bytes:
        """Answer the questions of one caller, all by the program that was active when they came."""
        try:
            return await self.answer_batch(data, self._asker(context))
        except Exception as error:  # noqa: BLE001  # as in check
            return await self._fail(context, "BatchCheck", error)

    async def answer_batch(self, data: bytes, who: Asker) -> bytes:
        """Answer a batch; for the server's event loop. Raises what `refuse` makes a status of."""
        active = self._engine.active
        batch = wire.read_batch_check(data, self._now(), tokens=self._identify is not None)
        active.require(batch.min_policy_revision)
        caller: Caller | None = None
        if batch.token:
            caller = identified = await self._caller(batch.token, batch.asker)
            batch = batch.by(lambda request: asked_by(request, identified))
        results: list[bytes] = []
        records: list[Decided] = []
        program, begin = active.program, self._decider.begin
        explain, request_id = batch.explain, batch.request_id
        try:
            for request in batch.requests():
                if len(results) % _BREATH == _BREATH - 1:
                    await asyncio.sleep(0)
                if isinstance(request, InvalidRequestError):
                    self._note("BatchCheck", request)
                    results.append(wire.batch_error(request))
                    continue
                try:
                    decision, why, name, decided = begin(program, request, who, caller, request_id, explain=explain)
                    results.append(wire.batch_result(decision, name, why))
                    if decided is not None:
                        records.append(decided)
                except Exception as error:  # noqa: BLE001  # a defect spoils the one answer that it hits
                    self._note("BatchCheck", error)
                    results.append(wire.batch_error(error))
        except asyncio.CancelledError:
            self._decider.note(records, size=len(data))  # what was decided is recorded, though nobody waits any more
            raise
        await self._decider.finish(records, size=len(data))
        return wire.batch_answer(results, program.revision)

    async def stream_check(self, _messages: object, context: Context) -> None:
        """Answer questions in their order until the asker or a drain ends the stream."""
        try:
            who = self._asker(context)
            while (data := await self._next(context)) is not None:
                await context.write(await self._answer(data, who))
        except Exception as error:  # noqa: BLE001  # as in check
            await self._fail(context, "StreamCheck", error)

    async def _answer(self, data: bytes, who: Asker) -> bytes:
        active = self._engine.active
        try:
            call = wire.read_stream_check(data, self._now(), tokens=self._identify is not None)
            active.require(call.min_policy_revision)
            caller = await self._caller(call.token, call.request) if call.token else None
            made = self._decider.decide(active.program, call, who, len(data), caller)
            await self._decider.keep(made.unkept, size=len(data))
            return wire.stream_answer(made.decision, made.decision_id, made.explanation)
        except Exception as error:  # noqa: BLE001  # a bad question spoils only its own answer
            self._note("StreamCheck", error)
            return wire.stream_error(error)

    async def _next(self, context: Context) -> bytes | None:
        """Return the next message of a stream, None at its end and once the server drains."""
        if self._draining:
            return None
        read: asyncio.Future[Any] = asyncio.ensure_future(context.read())
        self._reads.add(read)
        try:
            data = await read
        except asyncio.CancelledError:
            if cancelled_from_outside():
                raise
            return None
        finally:
            self._reads.discard(read)
        if data is grpc.aio.EOF:
            return None
        self.received += 1
        assert isinstance(data, bytes)  # the handler has no deserialiser
        return data

    def drain(self) -> None:
        """Let the streams end once they have answered what they have received."""
        self._draining = True
        for read in tuple(self._reads):
            read.cancel()

    def _now(self) -> datetime | None:
        return self._clock() if self._clock is not None else None

    def _asker(self, context: Context) -> Asker:
        return asker(context) if self._log is not None else Asker()

    async def _caller(self, token: str, request: Request) -> Caller:
        assert self._identify is not None  # without it, a token was refused when the message was read
        return await self._identify(token, request)

    async def _fail(self, context: Context, method: str, error: Exception) -> bytes:
        """End the call with the status of an error; never returns."""
        if isinstance(error, grpc.aio.AbortError):
            raise error
        await context.abort(*self.refuse(method, error))
        raise AssertionError  # abort() raises

    def refuse(self, method: str, error: Exception) -> tuple[grpc.StatusCode, str]:
        """Return the status of an error, and log it as it deserves."""
        self._note(method, error)
        return wire.status(error)

    def _note(self, method: str, error: Exception) -> None:
        code, _ = wire.status(error)
        if code is grpc.StatusCode.INTERNAL:
            self._logger.error("defect", method=method, exc_info=error)
        elif isinstance(error, StoreError):
            self._logger.warning("unavailable", method=method, problem=str(error))
        else:
            field = error.field[:200] if isinstance(error, InvalidRequestError) else None
            self._logger.info("refused", method=method, code=code.name, field=field)


def _utc_now() -> datetime:
    """Pin the time of a decision, so that its record can be decided again."""
    return datetime.now(UTC)
