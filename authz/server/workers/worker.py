"""One worker: a server that listens, loads and ends when its parent says so, or when there is no parent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from typing import TYPE_CHECKING, assert_never

from authz.server import log, looping
from authz.server.app import Server
from authz.server.reload import log_warnings
from authz.server.transport import TransportError
from authz.server.workers.channel import Channel
from authz.server.workers.messages import (
    Current,
    Drop,
    FromParent,
    FromWorker,
    Listen,
    Listening,
    Load,
    Loaded,
    Ready,
    Reload,
    Reloaded,
    Stop,
    Take,
    Taken,
)

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from structlog.typing import FilteringBoundLogger

    from authz.pap.loader import LoadedPolicy
    from authz.server.config import Config


def work(number: int, config: Config, pipe: Connection) -> None:
    """Serve as worker `number` until told to end. Raises what `Server.prepare` and `Server.listen` do."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent says when to load
    logger, outlet = log.configure(config.log_format, config.log_level)
    try:
        looping.run(_Worker(config, logger.bind(worker=number), pipe).run())
    finally:
        outlet.close()


class _Worker:
    def __init__(self, config: Config, logger: FilteringBoundLogger, pipe: Connection) -> None:
        self._server = Server(config, logger, reload=self._reload_all, reuse_port=True)
        self._logger = logger
        self._pipe = pipe
        self._orders: asyncio.Queue[Listen | Load | Take | Current] = asyncio.Queue()
        self._drain = True
        self._listening = False
        self._loaded: LoadedPolicy | Exception | None = None
        self._advice: asyncio.Task[None] | None = None
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[bool]] = {}

    async def run(self) -> None:
        self._channel: Channel[FromParent, FromWorker] = Channel(self._pipe, self._told, self._server.ended.set)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._terminate)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._server.close)
            await self._server.prepare()
            self._channel.send(Ready(self._server.engine.program.revision))
            obeying = asyncio.create_task(self._obey())
            ended = asyncio.create_task(self._server.ended.wait())
            await asyncio.wait({obeying, ended}, return_when=asyncio.FIRST_COMPLETED)
            if obeying.done():
                obeying.result()  # it has no end of its own but a failure
            obeying.cancel()
            await asyncio.wait({obeying})
            if self._server.broken:
                raise TransportError("a defect has left nobody to answer: the worker ends")
            if self._drain and self._listening:
                await self._server.stop()

    def _terminate(self) -> None:
        """End after answering what is under way; a second signal ends at once."""
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._channel.close()  # the parent counts on this one no more
        self._server.ended.set()

    def _told(self, message: FromParent) -> None:
        """Hear the parent; what ends, or is waited for, does not stand behind what takes its time."""
        match message:
            case Stop(drain):
                self._drain = drain
                self._server.ended.set()
            case Reloaded(number, done):
                waiting = self._asked.pop(number, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(done)
            case Drop(tell):
                if tell and isinstance(self._loaded, Exception):
                    self._server.reloader.tell_broken(self._loaded)
                self._loaded = None
            case _:
                self._orders.put_nowait(message)

    async def _obey(self) -> None:
        while True:
            message = await self._orders.get()
            match message:
                case Listen(current, tell):
                    await self._server.health.policy(current=current)
                    await self._server.listen(tell=tell)
                    self._listening = True
                    self._channel.send(Listening())
                case Load():
                    loaded = self._loaded = await self._load()
                    self._channel.send(Loaded(None if isinstance(loaded, Exception) else loaded.program.revision))
                case Take(tell):
                    taken, self._loaded = self._loaded, None
                    assert taken is not None  # those are told to take it who said that they have loaded it
                    assert not isinstance(taken, Exception)
                    changed = self._server.reloader.take(taken)
                    self._channel.send(Taken())
                    if changed and tell:
                        self._advice = asyncio.create_task(log_warnings(self._logger, taken))
                case Current(current):
                    await self._server.health.policy(current=current)
                case _:
                    assert_never(message)

    async def _load(self) -> LoadedPolicy | Exception:
        try:
            return await self._server.reloader.load()
        except Exception as error:  # noqa: BLE001  # whatever a policy does to us, the last good one goes on deciding
            return error

    async def _reload_all(self) -> bool:
        """Have all workers load the policy; return whether all decide by the newest one."""
        number = next(self._numbers)
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked[number] = waiting
        self._channel.send(Reload(number))
        return await waiting
