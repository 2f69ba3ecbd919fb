"""Put the server together, run it, and end it so that nobody who asked goes without an answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from functools import partial
from typing import TYPE_CHECKING, Final

from authz.errors import StoreError
from authz.pap.loader import load
from authz.pdp.engine import Engine
from authz.server import enforcement_service
from authz.server.enforcement_service import EnforcementService
from authz.server.gate import Gate, named
from authz.server.health import SERVICE, Health
from authz.server.listening import listen
from authz.server.reload import Folder, Reloader, in_thread, log_warnings
from authz.server.service import DecisionService
from authz.server.transport import credentials, decision_server, require_upb

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import grpc
    from structlog.typing import FilteringBoundLogger

    from authz.audit.writer import Writer
    from authz.pap.history import Activation
    from authz.pap.loader import LoadedPolicy
    from authz.server.admin import Administration
    from authz.server.callers import Callers
    from authz.server.config import Config
    from authz.server.deciding import Complete
    from authz.server.reload import Load, Source
    from authz.server.service import Identify
    from authz.server.stored import Stored
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
    ) -> None:
        """Keep the settings; `clock` and `load` are there for tests to replace."""
        self._config = config
        self._logger = logger
        self._clock = clock
        self._load = load
        self._tasks: list[asyncio.Task[None]] = []
        self._server: grpc.aio.Server | None = None
        self._asked = asyncio.Event()
        self._stored: Stored | None = None
        self._log: Writer | None = None
        self._admin: Administration | None = None
        self._callers: Callers | None = None
        self._drain_admin: Callable[[], None] = lambda: None
        self._closing = contextlib.ExitStack()
        self.health = Health()
        self.address = ""
        self.admin_address = ""

    async def start(self) -> None:
        """Load the policy and listen.

        Raises `PolicyError` and `LoadError` for a policy that cannot be used, `StoreError` for a
        store, `TokenConfigError` for issuers, `ListenError` for an address that cannot be,
        `ConfigError` for certificates and for an installation that cannot.
        """
        require_upb()
        encryption = credentials(self._config, self._logger)
        await self._open_store()
        source = self._source()
        # Before loading, so that no change falls between the two.
        self._tasks.append(asyncio.create_task(source.watch(self.reload, self._logger)))
        await asyncio.sleep(0)
        loaded = await in_thread(source.load)
        self.engine = Engine(loaded.program)
        await self.health.serving()
        self.reloader = Reloader(source.load, self.engine, self.health, self._logger)
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
        handlers = {
            **named(SERVICE, self._service.handlers()),
            **named(enforcement_service.SERVICE, self._enforcement.handlers()),
        }
        self._gate = Gate(handlers, self._config.max_concurrent, self._config.max_streams)
        self._server = decision_server(self._config, self._gate, self.health)
        self.address = listen(self._server, self._config.listen, credentials=encryption)
        await self._server.start()
        await self._administrate()
        self._tasks.append(asyncio.create_task(self._follow()))
        self._logger.info(
            "listening",
            address=self.address,
            tls=self._config.encryption,
            admin_address=self.admin_address or None,
            policies=source.name,
            policy_revision=loaded.program.revision,
        )
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
        self._enforcement.drain()
        self.health.end()
        if self._admin is not None:
            self._drain_admin()
            await self._admin.stop(_MAX_LAME_S)
        assert self._server is not None  # stop() follows start()
        await self._server.stop(max(0.0, ends - asyncio.get_running_loop().time()))
        await self.close()
        self._logger.info("stopped")

    async def close(self) -> None:
        """End at once, whatever is under way."""
        for server in (self._admin, self._server):
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

        return Completer(self._reader(self._stored).directory).complete

    def _reader(self, stored: Stored) -> SqliteStore:
        """Return the store as the event loop's own thread reads it."""
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
        if self._config.policies is None and not await self.reloader.reload():
            raise StoreError("it is active, but this server could not load it and goes on with the one before")

    def _refused(self, method: str) -> None:
        """Tell of an attempt to administrate without the token."""
        self._logger.warning("admin_refused", method=method)
        if self._log is not None:
            from authz.audit.records import authentication_record  # noqa: PLC0415  # see above

            self._log.note(authentication_record("refused", method=method, reason="admin token"))

    def _source(self) -> Source:
        if self._config.policies is not None:
            return Folder(self._config.policies, self._load)
        from authz.server.following import ActiveVersion  # noqa: PLC0415  # see above

        assert self._config.store is not None  # the settings say one or the other
        return ActiveVersion(self._config.store.path)


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
