"""Answer the calls of DecisionService: bytes in, one decision by one revision, bytes out."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import grpc

from authz import wire
from authz.errors import InvalidRequestError
from authz.json_form import Call
from authz.server.gate import cancelled_from_outside
from authz.server.log import log_decision
from authz.v1 import decision_pb2 as v1

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from structlog.typing import FilteringBoundLogger

    from authz.pdp.engine import Engine
    from authz.pdp.program import Program
    from authz.server.gate import Context

_BREATH: Final = 25  # questions of a batch between two chances for other calls


class DecisionService:
    """The three methods, and the end of the streams."""

    def __init__(
        self, engine: Engine, logger: FilteringBoundLogger, clock: Callable[[], datetime] | None = None
    ) -> None:
        """Decide by this engine; `clock` gives the time of decisions instead of the program's own."""
        self._engine = engine
        self._logger = logger
        self._clock = clock
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
            active = self._engine.active
            call = wire.read_check(data, self._now())
            active.require(call.min_policy_revision)
            return self._decide(active.program, call).SerializeToString()
        except Exception as error:  # noqa: BLE001  # the outermost handler: nothing may reach gRPC, which would tell all
            return await self._fail(context, "Check", error)

    async def batch_check(self, data: bytes, context: Context) -> bytes:
        """Answer the questions of one caller, all by the program that was active when they came."""
        try:
            return (await self._batch(data)).SerializeToString()
        except Exception as error:  # noqa: BLE001  # as in check
            return await self._fail(context, "BatchCheck", error)

    async def _batch(self, data: bytes) -> v1.BatchCheckResponse:
        active = self._engine.active
        batch = wire.read_batch_check(data, self._now())
        active.require(batch.min_policy_revision)
        results: list[v1.CheckResult] = []
        for request in batch.requests():
            if len(results) % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
            if isinstance(request, InvalidRequestError):
                self._note("BatchCheck", request)
                results.append(v1.CheckResult(error=wire.error_item(request)))
                continue
            try:
                call = Call(request, batch.explain, batch.request_id)
                results.append(v1.CheckResult(response=self._decide(active.program, call)))
            except Exception as error:  # noqa: BLE001  # a defect spoils the one answer that it hits
                self._note("BatchCheck", error)
                results.append(v1.CheckResult(error=wire.error_item(error)))
        return v1.BatchCheckResponse(results=results, policy_revision=active.program.revision)

    async def stream_check(self, _messages: object, context: Context) -> None:
        """Answer questions in their order until the asker or a drain ends the stream."""
        try:
            while (data := await self._next(context)) is not None:
                await context.write(self._answer(data).SerializeToString())
        except Exception as error:  # noqa: BLE001  # as in check
            await self._fail(context, "StreamCheck", error)

    def _answer(self, data: bytes) -> v1.StreamCheckResponse:
        active = self._engine.active
        try:
            call = wire.read_stream_check(data, self._now())
            active.require(call.min_policy_revision)
            return v1.StreamCheckResponse(response=self._decide(active.program, call))
        except Exception as error:  # noqa: BLE001  # a bad question spoils only its own answer
            self._note("StreamCheck", error)
            return v1.StreamCheckResponse(error=wire.error_item(error))

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

    def _decide(self, program: Program, call: Call) -> v1.CheckResponse:
        started = time.perf_counter_ns()
        explanation = program.explain(call.request) if call.explain else None
        decision = explanation.decision if explanation else program.decide(call.request)
        decision_id = uuid.uuid4().hex
        log_decision(
            self._logger,
            call.request,
            decision,
            request_id=call.request_id,
            decision_id=decision_id,
            latency_us=(time.perf_counter_ns() - started) // 1_000,
        )
        return wire.response(decision, explanation=explanation, decision_id=decision_id)

    async def _fail(self, context: Context, method: str, error: Exception) -> bytes:
        """End the call with the status of an error; never returns."""
        if isinstance(error, grpc.aio.AbortError):
            raise error
        self._note(method, error)
        await context.abort(*wire.status(error))
        raise AssertionError  # abort() raises

    def _note(self, method: str, error: Exception) -> None:
        code, _ = wire.status(error)
        if code is grpc.StatusCode.INTERNAL:
            self._logger.error("defect", method=method, exc_info=error)
        else:
            field = error.field[:200] if isinstance(error, InvalidRequestError) else None
            self._logger.info("refused", method=method, code=code.name, field=field)
