"""Decide which calls run, and know what is under way.

A call counts from its arrival, before its message is read, until its task has ended, so that slow
senders count as well. A stream counts for as long as it is open, idle or not; streams therefore
have a lower bound of their own, which leaves room for the calls that end by themselves. Health
checks and reflection pass by: a full server must still say so. The native transport's calls that
wait for something count here as well, so that there is one bound for all.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    Context = grpc.aio.ServicerContext[Any, Any]
    Serve = Callable[[bytes, Context], Coroutine[None, None, bytes]]


def cancelled_from_outside() -> bool:
    """Say, where a CancelledError was caught, whether this task was meant and not what it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Gate(grpc.GenericRpcHandler):
    """Hands calls to their handlers while there is room, and refuses them at once where there is none."""

    def __init__(self, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]], limit: int, streams: int) -> None:
        """Take the handlers by the methods' full names, how many calls may be under way, how many of them streams."""
        self._handlers = handlers
        self._limit = limit
        self._max_streams = streams
        self.full = f"the server has {limit} calls under way"
        """What a call is told that there is no room for."""
        self._full = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, self.full)
        self._full_of_streams = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the server has {streams} streams open")
        self._counting = threading.Lock()
        self.under_way = 0
        self.streams = 0
        """Those of the calls under way that are streams."""
        self.activity = 0
        """Grows with every call and every message in a stream; a drain waits until it rests."""

    def knows(self, method: str) -> bool:
        """Say whether there is such a method here."""
        return method in self._handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the handler of a call that has arrived; gRPC asks this in the call's own task."""
        handler = self._handlers.get(handler_call_details.method)
        if handler is None:
            return None
        self.activity += 1
        task = asyncio.current_task()
        streams = handler.request_streaming or handler.response_streaming
        if streams and self.has_room and self.streams >= self._max_streams:
            return self._full_of_streams
        if task is None or not self.enter():
            return self._full
        task.add_done_callback(self._leave)
        if streams:
            self.streams += 1
            task.add_done_callback(self._leave_stream)
        return handler

    @property
    def has_room(self) -> bool:
        """Say whether one more call may be under way; for any thread."""
        return self.under_way < self._limit

    def enter(self) -> bool:
        """Count a call that begins, if there is room; for any thread. `leave` when it has ended."""
        with self._counting:
            if self.under_way >= self._limit:
                return False
            self.under_way += 1
            return True

    def leave(self) -> None:
        """Count a call that has ended; for any thread."""
        with self._counting:
            self.under_way -= 1

    def _leave(self, _task: asyncio.Task[Any]) -> None:
        self.leave()

    def _leave_stream(self, _task: asyncio.Task[Any]) -> None:
        self.streams -= 1


def named(
    service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """Return handlers by the full names of their methods, as a gate takes them."""
    return {f"/{service}/{method}": handler for method, handler in handlers.items()}


def refusal(code: grpc.StatusCode, details: str) -> grpc.RpcMethodHandler[Any, Any]:
    """Return a handler that refuses any kind of call before its message has come."""

    async def refuse(_messages: object, context: Context) -> None:
        await context.abort(code, details)

    return grpc.stream_stream_rpc_method_handler(refuse)
