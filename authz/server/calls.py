"""What the smaller services do alike: open a store for each call, and end calls that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import grpc

from authz.server.reload import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager
    from typing import Any

    from google.protobuf.message import Message
    from structlog.typing import FilteringBoundLogger

    from authz.server.gate import Context

Store = TypeVar("Store")
T = TypeVar("T")


class Calls(Generic[Store]):
    """Serves calls on one kind of store."""

    def __init__(
        self,
        stores: Callable[[], AbstractContextManager[Store]],
        status: Callable[[Exception], tuple[grpc.StatusCode, str]],
        logger: FilteringBoundLogger,
    ) -> None:
        """Open a store for each call; `status` says what an error is to the asker."""
        self._stores = stores
        self._status = status
        self._logger = logger

    async def with_store(self, work: Callable[[Store], T]) -> T:
        """Do some work with a store, in a thread."""

        def run() -> T:
            with self._stores() as store:
                return work(store)

        return await in_thread(run)

    def unary(self, method: str, answer: Callable[[bytes], Awaitable[Message]]) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the handler of a method with one question and one answer."""

        async def serve(data: bytes, context: Context) -> bytes:
            try:
                return (await answer(data)).SerializeToString()
            except Exception as error:  # noqa: BLE001  # the outermost handler: nothing may reach gRPC, which would tell all
                return await self.fail(context, method, error)

        return grpc.unary_unary_rpc_method_handler(serve)

    async def fail(self, context: Context, method: str, error: Exception) -> bytes:
        """End a call with the status of an error; never returns."""
        return await fail(context, method, error, self._status, self._logger)


async def fail(
    context: Context,
    method: str,
    error: Exception,
    status: Callable[[Exception], tuple[grpc.StatusCode, str]],
    logger: FilteringBoundLogger,
) -> bytes:
    """End a call with what `status` says of an error, and log it; never returns."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    code, details = status(error)
    if code is grpc.StatusCode.INTERNAL:
        logger.error("defect", method=method, exc_info=error)
    else:
        logger.info("refused", method=method, code=code.name)
    await context.abort(code, details)
    raise AssertionError  # abort() raises
