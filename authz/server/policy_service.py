"""Answer the calls of PolicyService, on the administration listener.

Reading, compiling and testing a policy happens in threads, one call's at a time: it is work that
takes the processor, and decisions go on beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import grpc

from authz.pap import versions
from authz.pap.changes import answer_changes, gravest_first, policy_changes
from authz.server.calls import Calls
from authz.v1 import policy_pb2 as v1
from authz.wire import policies as wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractContextManager

    from google.protobuf.message import Message
    from structlog.typing import FilteringBoundLogger

    from authz.pap.history import Activation, PolicyStore
    from authz.pap.loader import LoadedPolicy
    from authz.server.gate import Context

MAX_WATCHERS: Final = 16
"""WatchPolicy calls at the same time: fewer than the listener takes in all, so that acts still get through."""
_POLL_S: Final = 0.1


class PolicyService:
    """The methods of PolicyService, and the end of those who watch."""

    def __init__(
        self,
        stores: Callable[[], AbstractContextManager[PolicyStore]],
        activated: Callable[[Activation, LoadedPolicy], Awaitable[None]],
        logger: FilteringBoundLogger,
        *,
        max_watchers: int = MAX_WATCHERS,
    ) -> None:
        """Open a store for each call; `activated` returns when this server decides by what was activated."""
        self._stores = stores
        self._activated = activated
        self._calls = Calls(stores, wire.policy_status, logger)
        self._max_watchers = max_watchers
        self._watchers = 0
        self._draining = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()  # also keeps activations and their taking effect in one order

    def handlers(self) -> Mapping[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the handlers by method name. They take and give bytes: `wire` does the parsing."""
        return {
            "PutPolicy": self._calls.unary("PutPolicy", self._put),
            "ListPolicies": self._calls.unary("ListPolicies", self._list),
            "GetPolicy": self._calls.unary("GetPolicy", self._get),
            "ActivatePolicy": self._calls.unary("ActivatePolicy", self._activate),
            "RollbackPolicy": self._calls.unary("RollbackPolicy", self._rollback),
            "DiffPolicies": self._calls.unary("DiffPolicies", self._diff),
            "WatchPolicy": grpc.unary_stream_rpc_method_handler(self.watch),
        }

    def drain(self) -> None:
        """Let those who watch go, so that the server can end."""
        self._draining.set()

    # --- One answer ---------------------------------------------------------------------------

    async def _put(self, data: bytes) -> Message:
        files, act = wire.read_put(data)
        async with self._one_at_a_time:
            version = await self._calls.with_store(lambda store: versions.put(store, files, act))
        return wire.put_response(version)

    async def _list(self, data: bytes) -> Message:
        wire.read_nothing(v1.ListPoliciesRequest, data)
        kept, active = await self._calls.with_store(lambda store: (store.versions(), store.active()))
        return wire.list_response(kept, active)

    async def _get(self, data: bytes) -> Message:
        number = wire.read_get(data)
        version, files = await self._calls.with_store(
            lambda store: versions.version_files(store, versions.number_or_active(store, number))
        )
        return wire.get_response(version, files)

    async def _activate(self, data: bytes) -> Message:
        number, act = wire.read_activate(data)
        return wire.activate_response(await self._take_effect(lambda store: versions.activate(store, number, act)))

    async def _rollback(self, data: bytes) -> Message:
        number, act = wire.read_rollback(data)
        return wire.rollback_response(await self._take_effect(lambda store: versions.rollback(store, number, act)))

    async def _take_effect(self, work: Callable[[PolicyStore], tuple[Activation, LoadedPolicy]]) -> Activation:
        async with self._one_at_a_time:
            activation, loaded = await self._calls.with_store(work)
            await self._activated(activation, loaded)
        return activation

    async def _diff(self, data: bytes) -> Message:
        old, new, requests = wire.read_diff(data)

        def compare(store: PolicyStore) -> Message:
            before = versions.load_version(store, versions.number_or_active(store, old))
            after = versions.load_version(store, new)
            answers = gravest_first(answer_changes(before.program, after.program, requests))
            return wire.diff_response(policy_changes(before, after), answers)

        async with self._one_at_a_time:
            return await self._calls.with_store(compare)

    # --- Watching -----------------------------------------------------------------------------

    async def watch(self, data: bytes, context: Context) -> None:
        """Send the active version and each activation, until the asker goes or the server drains."""
        if self._watchers >= self._max_watchers:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"the server has {self._max_watchers} watchers already"
            )
        self._watchers += 1
        try:
            wire.read_nothing(v1.WatchPolicyRequest, data)
            await self._tell(context)
        except Exception as error:  # noqa: BLE001  # the outermost handler: nothing may reach gRPC, which would tell all
            await self._calls.fail(context, "WatchPolicy", error)
        finally:
            self._watchers -= 1

    async def _tell(self, context: Context) -> None:
        run = asyncio.get_running_loop().run_in_executor
        # One thread has the store to itself, so that a watch that is cancelled closes it after what it was asked last.
        thread, stack = ThreadPoolExecutor(1, "authz-watch"), contextlib.ExitStack()
        seen: int | None = None
        try:
            store = await run(thread, lambda: stack.enter_context(self._stores()))
            while not self._draining.is_set():
                for activation in await run(thread, versions.activations_since, store, seen):
                    await context.write(wire.watch_response(activation).SerializeToString())
                    seen = activation.sequence
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._draining.wait(), _POLL_S)
        finally:
            thread.submit(stack.close)
            thread.shutdown(wait=False)
