"""A decision point inside the process: the engine itself, without a way to go.

`LocalPdp.of` decides by one policy for good, `open_local` by a policy directory and what becomes of
it, `authz.pep.pdps.following.follow` by what a server decides by.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from authz.errors import AuthzError, InvalidRequestError
from authz.json_form import Call
from authz.pap.loader import load
from authz.pdp.engine import Engine
from authz.pep.pdp import PdpError
from authz.pep.pdps.describing import Descriptions
from authz.pep.pdps.events import standard_logger
from authz.server.asker import Asker
from authz.server.deciding import Decider
from authz.server.reload import Folder, Reloader, in_thread, log_warnings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from structlog.typing import FilteringBoundLogger

    from authz.audit.records import Decided
    from authz.audit.writer import Writer
    from authz.model import Decision, Request
    from authz.pdp.program import Program
    from authz.pep.pdp import Answer
    from authz.server.deciding import Complete
    from authz.wire.enforcement import Description

_BREATH: Final = 100  # questions of a batch between two chances for other tasks
_HERE: Final = Asker("in process")


@dataclass(frozen=True, slots=True)
class Keeping:
    """What belongs to a decision beside deciding: as for a server, and shared with it.

    `log` keeps each decision's record, and is started and closed by whoever made it; where it is
    `required`, there is no answer without its record. `complete` adds what the directory knows.
    """

    log: Writer | None = None
    complete: Complete | None = None


_NOTHING: Final = Keeping()


async def _nothing() -> None:
    """End nothing."""


class LocalPdp:
    """Decides by the program that decides now; for one event loop."""

    def __init__(
        self,
        program: Callable[[], Program],
        keeping: Keeping = _NOTHING,
        *,
        end: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """Decide by what `program` returns, which raises `PdpError` where nothing may be decided; `end` closes it."""
        self._program = program
        self._end = end
        self._descriptions: Descriptions | None = None
        plain = keeping.log is None and keeping.complete is None
        self._decider = None if plain else Decider(None, keeping.log, keeping.complete)
        self._pins_time = keeping.log is not None and keeping.log.contents.requests

    @classmethod
    def of(cls, program: Program, keeping: Keeping = _NOTHING) -> LocalPdp:
        """Decide by one program for good."""
        return cls(lambda: program, keeping)

    async def check(self, request: Request, *, request_id: str = "") -> Decision:
        """Return the decision. Raises `PdpError`, and `InvalidRequestError` where the directory makes it too large."""
        program = self._program()
        if self._decider is None:
            return program.decide(request)
        try:
            made = self._decider.decide(program, self._call(request, request_id), _HERE)
            await self._decider.keep(made.unkept, size=0)
        except AuthzError as error:
            raise _failure(error) from error
        return made.decision

    async def check_all(self, requests: Sequence[Request], *, request_id: str = "") -> Sequence[Answer]:
        """Return the answers, all by the program that is active at the beginning. Raises `PdpError`."""
        program = self._program()
        answers: list[Answer] = []
        unkept: list[Decided] = []
        try:
            for request in requests:
                if len(answers) % _BREATH == _BREATH - 1:
                    await asyncio.sleep(0)
                answers.append(self._answer(program, request, request_id, unkept))
        except asyncio.CancelledError:
            if self._decider is not None:
                self._decider.note(unkept, size=0)  # what was decided is recorded, though nobody waits any more
            raise
        if self._decider is not None:
            try:
                await self._decider.keep(unkept, size=0)
            except AuthzError as error:
                raise _failure(error) from error
        return answers

    def _answer(self, program: Program, request: Request, request_id: str, unkept: list[Decided]) -> Answer:
        try:
            if self._decider is None:
                return program.decide(request)
            made = self._decider.decide(program, self._call(request, request_id), _HERE)
        except AuthzError as error:
            return _failure(error)
        except Exception as error:  # noqa: BLE001  # a defect spoils the one answer that it hits
            return PdpError(f"a defect: {error!r}")
        unkept += made.unkept
        return made.decision

    async def describe(self, tools: Sequence[str]) -> tuple[str, tuple[Description, ...]]:
        """Return the active revision and what it reads for these tools. Raises `PdpError`."""
        program = self._program()
        if self._descriptions is None or self._descriptions.program is not program:
            self._descriptions = Descriptions(program)
        return program.revision, await self._descriptions.of(tools)

    async def close(self) -> None:
        """End what follows the policy; nothing is decided any more."""
        self._program = _closed
        await self._end()

    def _call(self, request: Request, request_id: str) -> Call:
        if self._pins_time and request.now is None:
            request = replace(request, now=datetime.now(UTC))  # so that the record can be decided again
        return Call(request, request_id=request_id)


def _closed() -> Program:
    raise PdpError("the decision point is closed")


def _failure(error: AuthzError) -> AuthzError:
    """Return what an enforcement point is told: whose fault it is decides which error the caller gets."""
    return error if isinstance(error, InvalidRequestError) else PdpError(str(error))


async def open_local(
    path: str | Path, keeping: Keeping = _NOTHING, *, logger: FilteringBoundLogger | None = None
) -> LocalPdp:
    """Decide by the policy in a directory or file, and by each whole policy that replaces it there.

    A broken one changes nothing and is told to `logger`, which writes to `logging` by default.
    Raises `PolicyError` and `LoadError` where there is no policy to begin with.
    """
    logger = logger or standard_logger()
    folder = Folder(Path(path), load)
    asked = asyncio.Event()
    tasks = [asyncio.create_task(folder.watch(asked.set, logger))]  # before loading: no change falls between the two
    try:
        await asyncio.sleep(0)
        loaded = await in_thread(folder.load)
        engine = Engine(loaded.program)
        reloader = Reloader(folder.load, engine, _Unheard(), logger)
        tasks.append(asyncio.create_task(_reload(asked, reloader)))
        await log_warnings(logger, loaded)
    except BaseException:
        await _end(tasks)
        raise
    return LocalPdp(lambda: engine.program, keeping, end=lambda: _end(tasks))


class _Unheard:
    """Stands for a health service, which nobody asks here."""

    async def policy(self, *, current: bool) -> None:
        """Tell nobody."""


async def _reload(asked: asyncio.Event, reloader: Reloader) -> None:
    while True:
        await asked.wait()
        asked.clear()
        await reloader.reload()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
