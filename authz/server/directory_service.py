"""Answer the calls of DirectoryService, on the administration listener.

The store is asked in threads. An import is one transaction, so its entries are read from the stream
by the thread that writes them, message by message: nothing of it is held in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final

import grpc

from authz.directory.importing import OnError, import_entities
from authz.errors import InvalidRequestError
from authz.server.calls import Calls
from authz.server.reload import in_thread
from authz.wire import directory as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from google.protobuf.message import Message
    from structlog.typing import FilteringBoundLogger

    from authz.directory.importing import Imported
    from authz.directory.reading import Read
    from authz.directory.store import DirectoryStore
    from authz.server.gate import Context

_LAST_LOOK_S: Final = 0.05
"""How long the end of a stream waits for the news that its sender has only vanished."""


_EXPORT_S: Final = 600.0
"""How long an export may take: as long as it is read, what others write piles up in the store's WAL."""


class _AbandonedError(Exception):
    """Raised in the thread of an import whose call has ended before its stream did."""


class DirectoryService:
    """The methods of DirectoryService."""

    def __init__(
        self, stores: Callable[[], AbstractContextManager[DirectoryStore]], logger: FilteringBoundLogger
    ) -> None:
        """Open a store for each call."""
        self._stores = stores
        self._logger = logger
        self._calls = Calls(stores, wire.directory_status, logger)

    def handlers(self) -> Mapping[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the handlers by method name. They take and give bytes: `wire` does the parsing."""
        return {
            "ImportEntities": grpc.stream_unary_rpc_method_handler(self.import_entities),
            "ExportEntities": grpc.unary_stream_rpc_method_handler(self.export_entities),
            "GetEntity": self._calls.unary("GetEntity", self._get),
            "DeleteEntities": self._calls.unary("DeleteEntities", self._delete),
        }

    async def import_entities(self, _messages: object, context: Context) -> bytes:
        """Write the entries of a stream, all in one transaction once the stream has come to its end."""
        try:
            return await self._import(context)
        except Exception as error:  # noqa: BLE001  # the outermost handler: nothing may reach gRPC, which would tell all
            return await self._calls.fail(context, "ImportEntities", error)

    async def _import(self, context: Context) -> bytes:
        data = await context.read()
        if not isinstance(data, bytes):
            raise InvalidRequestError("author", "must not be empty")
        first = wire.read_import(data, first=True)
        assert first.act is not None  # the first message has one
        act, on_error = first.act, first.on_error
        stream = _Stream(context, asyncio.get_running_loop())
        try:
            imported = await self._calls.with_store(
                lambda store: import_entities(store, stream.entries(first), act, on_error)
            )
        finally:
            stream.abandon()  # without effect, unless the call was cancelled
        if imported.refused and (on_error is OnError.NOTHING or (not imported.written and _only_cycles(imported))):
            self._logger.info("refused", method="ImportEntities", refused=imported.refused)
            await context.abort(*wire.import_refusal(imported))
        return wire.import_response(imported).SerializeToString()

    async def export_entities(self, data: bytes, context: Context) -> None:
        """Send the entries of one moment, in the order of their keys."""
        try:
            call = wire.read_export(data)
            with contextlib.ExitStack() as stack:
                store = await in_thread(lambda: stack.enter_context(self._stores()))
                entities = store.entities(call.tenant, call.kind)
                stack.callback(entities.close)  # type: ignore[attr-defined]  # a generator holds a snapshot until then
                async with asyncio.timeout(_EXPORT_S):
                    while (part := await in_thread(lambda: wire.export_part(entities))) is not None:
                        await context.write(part.SerializeToString())
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the export was read too slowly: begin anew")
        except Exception as error:  # noqa: BLE001  # as in import_entities
            await self._calls.fail(context, "ExportEntities", error)

    async def _get(self, data: bytes) -> Message:
        key = wire.read_get(data)
        found = await self._calls.with_store(lambda store: store.get(key))
        if found is None:
            raise wire.not_there(key)
        return wire.get_response(found)

    async def _delete(self, data: bytes) -> Message:
        keys, act = wire.read_delete(data)
        return wire.delete_response(await self._calls.with_store(lambda store: store.delete(keys, act)))


class _Stream:
    """The rest of an import's messages, read from the thread that writes."""

    def __init__(self, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop
        self._abandoned = threading.Event()
        self._task: asyncio.Task[Any] | None = None

    def entries(self, part: wire.ImportPart) -> Iterator[Read]:
        """Yield all entries with their places in the stream."""
        place = 0
        while True:
            for entry in part.entries:
                place += 1
                yield place, entry
            data = self._next()
            if data is None:
                return
            part = wire.read_import(data, first=False)

    def abandon(self) -> None:
        """Let the thread find out that nobody waits for it any more; called in the loop."""
        self._abandoned.set()
        if self._task is not None:
            self._task.cancel()

    def _next(self) -> bytes | None:
        if self._abandoned.is_set():
            raise _AbandonedError
        try:
            data = asyncio.run_coroutine_threadsafe(self._read(), self._loop).result()
        except BaseException:
            if self._abandoned.is_set():
                raise _AbandonedError from None
            raise
        if isinstance(data, bytes):
            return data
        # gRPC says that a stream is at its end also when its sender is gone, and only then that it is gone.
        # Half an import must not be taken for a whole one.
        if self._abandoned.wait(_LAST_LOOK_S) or self._context.cancelled():
            raise _AbandonedError
        return None

    async def _read(self) -> object:
        self._task = asyncio.current_task()
        return await self._context.read()


def _only_cycles(imported: Imported) -> bool:
    return any(problem.cycle for problem in imported.problems)
