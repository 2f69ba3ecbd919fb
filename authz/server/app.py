"""Put the server together, run it, and end it so that nobody who asked goes without an answer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from authz.errors import StoreError
from authz.pap import collector
from authz.pap.loader import load
from authz.pdp.engine import Engine
from authz.server import enforcement_service
from authz.server.config import ListenError
from authz.server.enforcement_service import EnforcementService
from authz.server.gate import Gate, named
from authz.server.grpcio import Grpcio, credentials, require_upb
from authz.server.health import SERVICE, Health
from authz.server.reload import Reloader, in_thread, log_warnings, source
from authz.server.service import DecisionService
from authz.server.transport import TransportError, way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from structlog.typing import FilteringBoundLogger

    from authz.audit.writer import Writer
    from authz.directory.completion import Completed
    from authz.model import Request
    from authz.pap.history import Activation
    from authz.pap.loader import LoadedPolicy
    from authz.pdp.program import Program
    from authz.server.admin import Administration
    from authz.server.callers import Callers
    from authz.server.config import Config
    from authz.server.deciding import Complete
    from authz.server.reload import Load
    from authz.server.service import Identify
    from authz.server.stored import Stored
    from authz.server.transport import Transport
    from authz.stores.sqlite.store import SqliteStore

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
        reload: Callable[[], Awaitable[bool]] | None = None,
        reuse_port: bool = False,
    ) -> None:
        """Keep the settings; `clock` and `load` are there for tests to replace.

        A worker (`authz.server.workers`) is told when to load: it watches nothing, and asks for it by `reload`.
        `reuse_port` lets other processes answer on the same port.
        """
        self._config = config
        self._logger = logger
        self._clock = clock
        self._source = source(config, load)
        self._reload_all = reload
        self._reuse_port = reuse_port
        self._tasks: list[asyncio.Task[None]] = []
        self._transport: Transport | None = None
        self._asked = asyncio.Event()
        self._stored: Stored | None = None
        self._log: Writer | None = None
        self._admin: Administration | None = None
        self._callers: Callers | None = None
        self._drain_admin: Callable[[], None] = lambda: None
        self._closing = contextlib.ExitStack()
        self.health = Health()
        self.ended = asyncio.Event()
        """Set when it is time to end."""
        self.broken = False
        """Whether that is because a defect has left nobody to answer."""
        self.address = ""
        self.admin_address = ""

    async def start(self) -> None:
        """Load the policy and listen. Raises what `prepare` and `listen` do."""
        await self.prepare()
        await self.listen()

    async def prepare(self) -> None:
        """Load the policy, and make ready to answer.

        Raises `PolicyError` and `LoadError` for a policy that cannot be used, `StoreError` for a
        store, `TokenConfigError` for issuers, `ConfigError` for certificates and for an
        installation that cannot.
        """
        require_upb()
        self._encryption = credentials(self._config, self._logger)
        await self._open_store()
        if self._reload_all is None:
            # Before loading, so that no change falls between the two.
            self._tasks.append(asyncio.create_task(self._source.watch(self.reload, self._logger)))
            await asyncio.sleep(0)
        self._first = await in_thread(self._load_policy)
        self.engine = Engine(self._first.program)
        await self.health.serving()
        self.reloader = Reloader(self._load_policy, self.engine, self.health, self._logger)
        self._service = DecisionService(
            self.engine,
            self._logger,
            self._clock,
            log=await self._decision_log(),
            complete=self._completion(),
            identify=await self._identification(),
        )
        self._enforcement = EnforcementService(
            self.engine,
            self._logger,
            share=self._config.share_policy,
            besides=enforcement_service.besides(self._config),
        )

    async def listen(self, *, tell: bool = True) -> None:
        """Take calls; `tell` has written down what `lint` says of the policy. Raises `ListenError`."""
        handlers = {
            **named(SERVICE, self._service.handlers()),
            **named(enforcement_service.SERVICE, self._enforcement.handlers()),
        }
        self._gate = Gate(handlers, self._config.max_concurrent, self._config.max_streams)
        self._transport = self._carrier()
        self.address = await self._transport.start()
        await self._administrate()
        self._tasks.append(asyncio.create_task(self._follow()))
        self._logger.info(
            "listening",
            address=self.address,
            transport=self._transport.name,
            tls=self._config.encryption,
            admin_address=self.admin_address or None,
            policies=self._source.name,
            policy_revision=self.engine.program.revision,
        )
        if tell:
            await log_warnings(self._logger, self._first)
        del self._first  # its trees are large

    def reload(self) -> None:
        """Have the policy loaded again soon; before there is one, as soon as there is."""
        self._asked.set()

    async def stop(self) -> None:
        """Say NOT_SERVING, answer what is under way, and end, all within the grace period."""
        assert self._transport is not None  # stop() follows start()
        self._logger.info("draining", under_way=self._transport.under_way)
        ends = asyncio.get_running_loop().time() + self._config.grace
        await self.health.not_serving()
        await self._rest(self._transport, min(self._config.grace / 2, _MAX_LAME_S))
        self._service.drain()
        self._enforcement.drain()
        self.health.end()
        if self._admin is not None:
            self._drain_admin()
            await self._admin.stop(_MAX_LAME_S)
        await self._transport.stop(max(0.0, ends - asyncio.get_running_loop().time()))
        await self.close()
        self._logger.info("stopped")

    async def close(self) -> None:
        """End at once, whatever is under way."""
        for server in (self._admin, self._transport):
            if server is not None:
                await server.stop(None)
        if self._callers is not None:
            await self._callers.close()
            self._callers = None
        if self._log is not None:
            counts = await in_thread(self._log.close)
            self._log = None
            self._logger.info("decision_log_closed", written=counts.written, dropped=counts.dropped)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._closing.close()

    def _load_policy(self) -> LoadedPolicy:
        """Load the policy, and keep Python's collector away from what was loaded for good.

        Walking through 10 000 rules takes it 430 ms, in which no call is answered. It would find
        nothing: policies have no cycles, so the old ones go when the last reference to them does.
        """
        gc.collect()  # what is garbage now would never be looked at again
        with collector.paused():
            loaded = self._source.load()
            gc.freeze()
        return loaded

    async def _follow(self) -> None:
        """Reload whenever asked, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reloader.reload()

    @property
    def under_way(self) -> int:
        """Return how many calls on the decision listener have arrived and not ended."""
        return self._transport.under_way if self._transport is not None else 0

    def _carrier(self) -> Transport:
        """Return what carries the calls."""
        config = self._config
        if way(config) == "native":
            from authz.server.native import Native  # noqa: PLC0415  # it may not be installed

            parts = (config, self._gate, self.health, self._service, self._logger)
            try:
                return Native(*parts, self._break, reuse_port=self._reuse_port)
            except ListenError:  # there is nowhere to write
                if config.transport == "native":
                    raise
        return Grpcio(config, self._gate, self.health, self._encryption, reuse_port=self._reuse_port)

    def _break(self) -> None:
        self.broken = True
        self.ended.set()

    async def _rest(self, transport: Transport, at_most: float) -> None:
        """Go on answering until no new question has come for a moment.

        Calls that have reached this machine but not yet this program would otherwise be lost when
        the server stops taking calls.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + at_most
        before = -1
        while (now := transport.activity + self._service.received) != before and loop.time() < ends:
            before = now
            await asyncio.sleep(min(_QUIET_S, at_most))

    # --- What a store adds; its modules are imported only where there is one -------------------

    async def _open_store(self) -> None:
        """Look the store over; one that is damaged, or not ours, keeps the server from starting."""
        if self._config.store is None:
            return
        from authz.server.stored import Stored  # noqa: PLC0415  # see above

        stored = self._stored = Stored(self._config.store)
        create = self._config.policies is not None  # a new store has no policy to serve
        await in_thread(lambda: stored.prepare(create=create))

    async def _decision_log(self) -> Writer | None:
        """Start what keeps the decisions, if anything does."""
        config, stored = self._config.decision_log, self._stored
        if config is None:
            return None
        from authz.server.keeping import decision_log  # noqa: PLC0415  # see above

        open_log = None
        if stored is not None:
            open_log = partial(stored.log, durable=config.mode == "required", pseudonyms=config.pseudonyms)
        self._log = decision_log(config, open_log, self._logger)
        await in_thread(self._log.start)
        if stored is not None and config.witness is not None:
            self._tasks.append(asyncio.create_task(stored.witness(config.witness, self._logger)))
        return self._log

    def _completion(self) -> Complete | None:
        """Return what completes requests from the directory, if there is one."""
        if self._stored is None:
            return None
        from authz.directory.completion import Completer  # noqa: PLC0415  # see above

        completer = Completer(self._reader(self._stored).directory)
        one_at_a_time = threading.Lock()  # the native transport decides in a thread of its own, beside the event loop

        def complete(request: Request, program: Program) -> Completed:
            with one_at_a_time:
                return completer.complete(request, program)

        return complete

    def _reader(self, stored: Stored) -> SqliteStore:
        """Return the store to read from, in one thread at a time."""
        return self._closing.enter_context(contextlib.closing(stored.reader()))

    async def _identification(self) -> Identify | None:
        """Return what says who a token stands for, if requests may bring one."""
        if self._config.tokens is None:
            return None
        from authz.server.callers import Callers  # noqa: PLC0415  # see above

        keep = self._log.note if self._log is not None else None
        revocations = self._reader(self._stored).revocations if self._stored is not None else None
        self._callers = Callers(self._config.tokens, self._logger, keep, revocations)
        await self._callers.start()
        return self._callers.identify

    async def _administrate(self) -> None:
        """Serve administration on a listener of its own, if there is one."""
        config, stored = self._config.admin, self._stored
        if config is None or stored is None:
            return
        from authz.server import admin  # noqa: PLC0415  # see above
        from authz.server.directory_service import DirectoryService  # noqa: PLC0415
        from authz.server.policy_service import PolicyService  # noqa: PLC0415

        policies = PolicyService(stored.policies, self._activated, self._logger)
        directory = DirectoryService(stored.directory, self._logger)
        handlers = {**named(admin.POLICIES, policies.handlers()), **named(admin.DIRECTORY, directory.handlers())}
        self._drain_admin = policies.drain
        self._admin = admin.Administration(config, handlers, self._refused)
        self.admin_address = await self._admin.start()

    async def _activated(self, _activation: Activation, _policy: LoadedPolicy) -> None:
        """Decide by what the store says is active, if that is what is served.

        Raises `StoreError` where that cannot be loaded, so that nobody is told that it decides.
        """
        reload = self._reload_all or self.reloader.reload
        if self._config.policies is None and not await reload():
            raise StoreError("it is active, but this server could not load it and goes on with the one before")

    def _refused(self, method: str) -> None:
        """Tell of an attempt to administrate without the token."""
        self._logger.warning("admin_refused", method=method)
        if self._log is not None:
            from authz.audit.records import authentication_record  # noqa: PLC0415  # see above

            self._log.note(authentication_record("refused", method=method, reason="admin token"))


async def run(config: Config, logger: FilteringBoundLogger) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the process at once. SIGHUP reloads.

    Raises what `Server.start` does, and `TransportError`.
    """
    server = Server(config, logger)
    loop = asyncio.get_running_loop()

    def end() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        server.ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.close)
        await server.start()
        await server.ended.wait()
        if server.broken:
            raise TransportError("a defect has left nobody to answer: the server ends")
        await server.stop()
