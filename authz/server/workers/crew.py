"""The processes as their parent sees them: started, heard, ended, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from authz.server.workers.channel import Channel
from authz.server.workers.messages import FromParent, FromWorker, Listen, Listening, Loaded, Ready, Reload, Stop, Taken

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from authz.server.config import Config

    Work = Callable[[int, Config, Connection], None]

Answer = TypeVar("Answer", Loaded, Taken)

_LET_GO_S: Final = 2.0
"""How long one that was taken out may take to close its log."""
SPARE_S: Final = 5.0
"""Time to end beside the grace period, to write the decision log's last records."""


class Worker:
    """One process, and what it has said of itself."""

    def __init__(
        self, number: int, config: Config, work: Work, heard: Callable[[Worker, Ready | Listening | Reload], None]
    ) -> None:
        """Start it; `work` is what it does, and `heard` is told what it says unasked."""
        context = multiprocessing.get_context("spawn")  # a fork would inherit what must not be shared, gRPC above all
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(number, config, theirs), name=f"authz-worker-{number}")
        process.daemon = True  # ended with the parent, should it fail
        os.environ["PYTHONSAFEPATH"] = "1"  # else it would take modules from the working directory before its own
        try:
            process.start()
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._process = process
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._answers: dict[type[Loaded | Taken], asyncio.Future[Loaded | Taken | None]] = {}
        self._channel: Channel[FromWorker, FromParent] = Channel(
            ours, self._told, partial(self._let_go, config.grace + SPARE_S)
        )
        self._loop.add_reader(process.sentinel, self._gone)
        self.number = number
        self.pid = process.pid
        self.started = self._loop.time()
        self.revision: str | None = None
        """What it decides by, or would; None until it is ready."""
        self.admitted = False
        """Whether it was told to listen."""
        self.listening_since: float | None = None
        self.out = False
        """Whether it is on its way out, and counts no more."""
        self.ended: asyncio.Future[int] = self._loop.create_future()
        """Its exit code; negative for a signal's number."""

    def send(self, message: FromParent) -> None:
        """Tell it something; one that no longer reads is ended."""
        self._channel.send(message)

    def ask(self, message: FromParent, answer: type[Answer]) -> asyncio.Future[Answer | None]:
        """Ask it something, and return what will be its answer; None where it ends instead."""
        waiting: asyncio.Future[Answer | None] = self._loop.create_future()
        self._answers[answer] = waiting  # type: ignore[assignment]  # `_told` gives each future its own type
        if self.ended.done():
            waiting.set_result(None)
        self.send(message)
        return waiting

    def admit(self, *, current: bool, tell: bool = False) -> None:
        """Have it listen; `current` is whether what it decides by is the newest policy."""
        self.admitted = True
        self.send(Listen(current, tell))

    def take_out(self) -> None:
        """End it without waiting for what it has under way."""
        self.send(Stop(drain=False))
        self._let_go(_LET_GO_S)

    def _let_go(self, seconds: float) -> None:
        """Count on it no more, and give it some time to end by itself."""
        self.out = True
        self._loop.call_later(seconds, self.kill)

    def kill(self) -> None:
        """End it at once."""
        self.out = True
        if not self.ended.done():
            self._process.kill()

    def _told(self, message: FromWorker) -> None:
        if isinstance(message, Loaded | Taken):
            waiting = self._answers.pop(type(message), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
            return
        match message:
            case Ready(revision):
                self.revision = revision
            case Listening():
                self.listening_since = self._loop.time()
        self._heard(self, message)

    def _gone(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._process.join()
        self._channel.close()
        code = self._process.exitcode
        self._process.close()
        self.ended.set_result(0 if code is None else code)
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_result(None)


def status(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
