"""PolicyService behind the real administration door, in this process or in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import structlog

from authz.server.admin import AdminDoor
from authz.server.gate import Gate, named
from authz.server.policy_service import PolicyService
from authz.stores.sqlite.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from authz.pap.history import Activation, PolicyStore
    from authz.pap.loader import LoadedPolicy

TOKEN = "t" * 32


@dataclass
class Running:
    """A service, where it listens, and what it had this server decide by."""

    path: Path
    activated: list[tuple[Activation, LoadedPolicy]] = field(default_factory=list)
    address: str = ""
    log: io.StringIO = field(default_factory=io.StringIO)
    service: PolicyService = field(init=False)

    async def take(self, activation: Activation, loaded: LoadedPolicy) -> None:
        """Decide by a version, as far as these tests look."""
        await asyncio.sleep(0)
        self.activated.append((activation, loaded))

    @contextlib.contextmanager
    def store(self) -> Iterator[PolicyStore]:
        """Open the store that the service uses."""
        with contextlib.closing(open_store(self.path, create=True)) as store:
            yield store.policies


@contextlib.asynccontextmanager
async def serving(path: Path, *, token: bytes | None = None, max_watchers: int = 16) -> AsyncIterator[Running]:
    """Serve a store on a port of this machine."""
    running = Running(path)
    logger = structlog.wrap_logger(structlog.WriteLogger(running.log))
    running.service = PolicyService(running.store, running.take, logger, max_watchers=max_watchers)
    gate = Gate(named("authz.v1.PolicyService", running.service.handlers()), 100, 100)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((AdminDoor(gate, token, lambda _method: None),))
    running.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield running
    finally:
        running.service.drain()
        await server.stop(5)


@contextlib.contextmanager
def serving_in_thread(path: Path, *, token: bytes | None = None) -> Iterator[Running]:
    """Serve a store while this thread does something else."""
    started: Future[tuple[Running, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        ends = asyncio.Event()
        async with serving(path, token=token) as running:
            started.set_result((running, asyncio.get_running_loop(), ends))
            await ends.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    running, loop, ends = started.result(30)
    try:
        yield running
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join()
