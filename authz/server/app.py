"""Put the server together, run it, and end it so that nobody who asked goes without an answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf.internal import api_implementation
from grpc_health.v1 import health_pb2_grpc

from authz.pap.loader import load
from authz.pdp.engine import Engine
from authz.server.config import Address, Config, ConfigError, ListenError, claim_socket, why_not
from authz.server.gate import Gate
from authz.server.health import SERVICE, Health
from authz.server.reload import Reloader, in_thread, log_warnings, watch
from authz.server.service import DecisionService

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from structlog.typing import FilteringBoundLogger

    from authz.server.reload import Load

_SPARE: Final = 100  # calls beside the decisions: health checks, reflection, and refusals on their way out
_QUIET_S: Final = 0.1
_MAX_LAME_S: Final = 2.0


class Server:
    """One server process, from its first policy to its last answer."""

    def __init__(
        self,
        config: Config,
        logger: FilteringBoundLogger,
        *,
        clock: Callable[[], datetime] | None = None,
        load: Load = load,
    ) -> None:
        """Keep the settings; `clock` and `load` are there for tests to replace."""
        self._config = config
        self._logger = logger
        self._clock = clock
        self._load = load
        self._tasks: list[asyncio.Task[None]] = []
        self._server: grpc.aio.Server | None = None
        self._asked = asyncio.Event()
        self.health = Health()
        self.address = ""

    async def start(self) -> None:
        """Load the policy and listen.

        Raises `PolicyError` and `LoadError` for a policy that cannot be used, `ListenError` for an
        address that cannot be, `ConfigError` for an installation that cannot.
        """
        require_upb()
        path = self._config.policies
        if path.exists():
            # Before loading, so that no change falls between the two.
            self._tasks.append(asyncio.create_task(watch(path, self.reload, self._logger)))
            await asyncio.sleep(0)
        loaded = await in_thread(lambda: self._load(path))
        self.engine = Engine(loaded.program)
        await self.health.serving()
        self.reloader = Reloader(path, self._load, self.engine, self.health, self._logger)
        self._service = DecisionService(self.engine, self._logger, self._clock)
        self._gate = Gate(self._service.handlers(), self._config.max_concurrent, self._config.max_streams)
        self._server = self._build()
        self.address = _listen(self._server, self._config.listen)
        await self._server.start()
        self._tasks.append(asyncio.create_task(self._follow()))
        revision = loaded.program.revision
        self._logger.info("listening", address=self.address, policies=str(path), policy_revision=revision)
        await log_warnings(self._logger, loaded)

    def reload(self) -> None:
        """Have the policy loaded again soon; before there is one, as soon as there is."""
        self._asked.set()

    async def stop(self) -> None:
        """Say NOT_SERVING, answer what is under way, and end, all within the grace period."""
        self._logger.info("draining", under_way=self._gate.under_way)
        ends = asyncio.get_running_loop().time() + self._config.grace
        await self.health.not_serving()
        await self._rest(min(self._config.grace / 2, _MAX_LAME_S))
        self._service.drain()
        self.health.end()
        assert self._server is not None  # stop() follows start()
        await self._server.stop(max(0.0, ends - asyncio.get_running_loop().time()))
        await self.close()
        self._logger.info("stopped")

    async def close(self) -> None:
        """End at once, whatever is under way."""
        if self._server is not None:
            await self._server.stop(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _follow(self) -> None:
        """Reload whenever asked, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reloader.reload()

    async def _rest(self, at_most: float) -> None:
        """Go on answering until no new question has come for a moment.

        Calls that have reached this machine but not yet this program would otherwise be lost when
        the server stops taking calls.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + at_most
        before = -1
        while (now := self._gate.activity + self._service.received) != before and loop.time() < ends:
            before = now
            await asyncio.sleep(min(_QUIET_S, at_most))

    def _build(self) -> grpc.aio.Server:
        server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", 0),  # else a port in use would be shared silently with whoever has it
                ("grpc.max_receive_message_length", self._config.max_message),
            ),
            maximum_concurrent_rpcs=self._config.max_concurrent + _SPARE,
        )
        server.add_generic_rpc_handlers((self._gate,))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        if self._config.reflection:
            from grpc_reflection.v1alpha import reflection  # noqa: PLC0415  # most servers run without it

            from authz.v1 import decision_pb2  # noqa: F401, PLC0415  # reflection finds the descriptors in the pool

            reflection.enable_server_reflection((SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME), server)
        return server


def require_upb() -> None:
    """Refuse to start on a protobuf without its C implementation.

    The others are slower and bound neither depth nor time in the same way.
    """
    found = api_implementation.Type()
    if found != "upb":
        raise ConfigError(f"protobuf runs on its `{found}` implementation; authz-server needs `upb`")


def _listen(server: grpc.aio.Server, listen: Address) -> str:
    if listen.path is not None:
        claim_socket(listen.path)
    try:
        port = server.add_insecure_port(listen.target)
    except RuntimeError:
        port = 0
    if port == 0:
        raise ListenError(f"cannot listen on `{listen.target}`: {why_not(listen)}")
    return listen.with_port(port)


async def run(config: Config, logger: FilteringBoundLogger) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the process at once. SIGHUP reloads."""
    server = Server(config, logger)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def end() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.close)
        await server.start()
        await ended.wait()
        await server.stop()
