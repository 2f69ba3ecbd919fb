"""Look after the workers, from the first to the last, and serve nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, assert_never

from authz.errors import AuthzError
from authz.server.reload import source
from authz.server.workers.agreement import Agreement
from authz.server.workers.crew import SPARE_S, Worker, status
from authz.server.workers.messages import Listening, Ready, Reload, Reloaded, Stop
from authz.server.workers.port import reserved

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from authz.pap.loader import LoadedPolicy
    from authz.server.config import Config
    from authz.server.workers.crew import Work

FIRST: Final = 1
"""The worker that finds out whether the settings can be used, and that serves administration."""
_TRIES: Final = 3
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_STEADY_S: Final = 10.0
"""Time to answer calls after which the end of a worker counts as its first."""


class WorkerError(AuthzError):
    """Raised when the workers cannot be had."""


class Supervisor:
    """The parent of the workers."""

    def __init__(self, config: Config, logger: FilteringBoundLogger, work: Work) -> None:
        """Run `config.workers` processes that do `work`; `config.listen` has the port that was reserved."""
        self._config = config
        self._logger = logger
        self._work = work
        self._workers: dict[int, Worker] = {}
        self._agreement = Agreement(self._ready, logger)
        self._asked = asyncio.Event()
        self._changed = asyncio.Event()
        self._complete = False
        self._witness: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run(self) -> int:
        """Serve until `stop`; return the exit code, another than 0 where a worker has said why it cannot start.

        Raises `WorkerError`, and what watching the policy does.
        """
        try:
            self._do(source(self._config, _load_nothing).watch(self.reload, self._logger))
            self._do(self._begin())
            code = await self._over
        finally:
            await self._end()
        if code == 0:
            self._logger.info("stopped", workers=self._config.workers)
        return code

    def reload(self) -> None:
        """Have all load the policy again soon."""
        self._asked.set()

    def stop(self) -> None:
        """End, after what is under way is answered."""
        if not self._over.done():
            self._over.set_result(0)

    def kill(self) -> None:
        """End every worker at once."""
        for worker in self._workers.values():
            worker.kill()

    # --- The processes ------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Have the first worker listen, and then the others."""
        self._do(self._keep(FIRST))
        await self._until_listening(1)
        self._do(self._follow())
        for number in range(FIRST + 1, self._config.workers + 1):
            self._do(self._keep(number))
        await self._until_listening(self._config.workers)
        self._complete = True
        self._logger.info(
            "workers_listening",
            address=self._config.listen.target,
            workers=self._config.workers,
            policy_revision=self._agreement.revision,
        )
        self._see_log()

    async def _until_listening(self, count: int) -> None:
        while sum(worker.listening_since is not None for worker in self._ready()) < count:
            self._changed.clear()
            await self._changed.wait()

    async def _keep(self, number: int) -> None:
        """Have a worker of this number at all times; after quick ends, with growing pauses between."""
        quick = 0
        while True:
            try:
                worker = self._start(number)
            except OSError as error:
                quick += 1
                ended = f"it cannot be started: {(error.strerror or 'it failed').lower()}"
            else:
                await asyncio.wait({worker.ended})  # awaited itself, it would be cancelled with this task
                code = worker.ended.result()
                if code > 0 and not self._complete:  # it has said why
                    self._refuse(code)
                    return
                quick = 1 if self._was_steady(worker) else quick + 1
                ended = status(code)
            if quick == _TRIES and not self._complete:
                raise WorkerError(f"worker {number} ended {quick} times before all could serve: {ended}")
            pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (quick - 1))
            self._logger.error("worker_ended", worker=number, status=ended, again_in_s=pause)
            await asyncio.sleep(pause)

    def _start(self, number: int) -> Worker:
        config = self._config
        own = replace(
            config,
            admin=config.admin if number == FIRST else None,
            decision_log=replace(config.decision_log, witness=None) if config.decision_log is not None else None,
        )
        worker = self._workers[number] = Worker(number, own, self._work, self._heard)
        self._logger.info("worker_started", worker=number, pid=worker.pid)
        return worker

    def _was_steady(self, worker: Worker) -> bool:
        since = worker.listening_since
        return since is not None and asyncio.get_running_loop().time() - since > _STEADY_S

    def _ready(self) -> list[Worker]:
        """Return the workers that count: all have loaded a policy, and none is on its way out."""
        alive = (worker for worker in self._workers.values() if not worker.out and not worker.ended.done())
        return [worker for worker in alive if worker.revision is not None]

    def _refuse(self, code: int) -> None:
        if not self._over.done():
            self._over.set_result(code)

    def _see_log(self) -> None:
        """Have the witness look at the log, which all workers write to."""
        log, store = self._config.decision_log, self._config.store
        if log is None or log.witness is None or store is None:
            return
        from authz.server.stored import Stored  # noqa: PLC0415  # most servers run without a store

        self._witness = asyncio.create_task(Stored(store).witness(log.witness, self._logger))

    async def _end(self) -> None:
        """Let all answer what is under way, and end those that do not come to an end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._end_workers()
        if self._witness is not None:  # its last look comes after the last record
            self._witness.cancel()
            await asyncio.gather(self._witness, return_exceptions=True)

    async def _end_workers(self) -> None:
        ended = [worker.ended for worker in self._workers.values() if not worker.ended.done()]
        for worker in self._workers.values():
            if worker.admitted:
                worker.send(Stop(drain=True))
            else:
                worker.kill()
        if ended:
            _, late = await asyncio.wait(ended, timeout=self._config.grace + SPARE_S)
            self.kill()
            if late:
                await asyncio.wait(late)

    # --- What they say, and what they are told ------------------------------------------------

    def _heard(self, worker: Worker, message: Ready | Listening | Reload) -> None:
        if self._over.done():  # all that they are told now is to end
            return
        match message:
            case Ready():
                self._do(self._admit(worker))
            case Listening():
                self._changed.set()
            case Reload(number):
                self._do(self._reload_for(worker, number))
            case _:
                assert_never(message)

    async def _admit(self, worker: Worker) -> None:
        if not await self._agreement.admit(worker):
            self.reload()

    async def _reload_for(self, worker: Worker, number: int) -> None:
        """Have all decide by what an administrator has activated, before that is said."""
        worker.send(Reloaded(number, await self._agreement.reload()))

    async def _follow(self) -> None:
        """Have all load whenever asked, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._agreement.reload()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the rest; where it fails, so does the service."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._over.done():
            self._over.set_exception(error)


async def run(config: Config, logger: FilteringBoundLogger, work: Work) -> int:
    """Serve with `config.workers` processes that do `work`, until SIGTERM or SIGINT; return the exit code.

    A second signal ends all at once. SIGHUP reloads. Raises `ListenError`, `WorkerError`, and what
    `Supervisor.run` does.
    """
    with reserved(config.listen) as address:
        supervisor = Supervisor(replace(config, listen=address), logger, work)
        loop = asyncio.get_running_loop()

        def end(number: int) -> None:
            for each in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(each, end_at_once, each)
            logger.info("draining", signal=signal.Signals(number).name)
            supervisor.stop()

        def end_at_once(number: int) -> None:
            supervisor.kill()
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end, number)
        loop.add_signal_handler(signal.SIGHUP, supervisor.reload)
        return await supervisor.run()


def _load_nothing(path: Path) -> LoadedPolicy:
    """Stand for the loader where a source is only watched."""
    raise AssertionError(path)
