"""Have all workers decide by the same policy, or by none that the others do not have.

Each loads it and says its revision, going on with the one before. Where all say the same, all are told
to take it; where the policy is broken for all, all go on with what they have. Files may change between
two reads: where they differ, all load again, a few times. Whoever differs then, or does not answer in
time, is taken out and begins anew: it listens only once it has what the others decide by.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from authz.server.workers.messages import Current, Drop, Load, Loaded, Take, Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from authz.server.workers.crew import Answer, Worker

_TRIES: Final = 3
_PAUSE_S: Final = 0.5
_LEEWAY_S: Final = 5.0
"""How much longer than the others a worker may take, beside twice the time that they did."""

_MOST_S: Final = 120.0
"""The time until the first has loaded at most, beside ten times what it took before; then all are taken out."""


class Agreement:
    """What all decide by, and how it changes; one change at a time."""

    def __init__(self, workers: Callable[[], Sequence[Worker]], logger: FilteringBoundLogger) -> None:
        """Speak to those whom `workers` returns: all that are ready and not on their way out."""
        self._workers = workers
        self._logger = logger
        self._one_at_a_time = asyncio.Lock()
        self._longest = 0.0
        self.revision: str | None = None
        """What every worker that listens decides by; None before the first."""
        self.current = True
        """Whether that is the newest policy."""

    async def admit(self, worker: Worker) -> bool:
        """Let a worker listen that has what the others decide by; return whether it may stay like this.

        Where not, all have to load: it may have seen a newer policy than they have.
        """
        async with self._one_at_a_time:
            self._longest = max(self._longest, asyncio.get_running_loop().time() - worker.started)
            first = self.revision is None
            if first:
                self.revision = worker.revision
            if worker.revision == self.revision and not worker.admitted:
                worker.admit(current=self.current, tell=first)
            return worker.revision == self.revision and self.current

    async def reload(self) -> bool:
        """Have all load the policy; return whether all that listen decide by the newest one now."""
        async with self._one_at_a_time:
            found = await self._load()
            if not found:  # those who come after them load by themselves
                return False
            newest = _most(found)
            if newest is None:
                self._keep(found)
            else:
                await self._take(found, newest)
            return newest is not None

    async def _load(self) -> Mapping[Worker, str | None]:
        """Return what each worker has loaded, as far as possible the same; None where it could not."""
        found = await self._load_once()
        for again in range(1, _TRIES):
            if len(set(found.values())) <= 1:
                break
            self._say(current=False)
            await asyncio.sleep(again * _PAUSE_S)
            found = await self._load_once()
        return found

    async def _load_once(self) -> Mapping[Worker, str | None]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        asked = {worker: worker.ask(Load(), Loaded) for worker in self._workers()}
        await _first(asked.values(), began + _MOST_S + 10 * self._longest)
        self._longest = max(self._longest, loop.time() - began)
        if any(not answer.done() for answer in asked.values()):
            await asyncio.wait(asked.values(), timeout=_LEEWAY_S + 2 * self._longest)
        answers = self._answers(asked, "it has not loaded the policy in time")
        return {worker: answer.revision for worker, answer in answers.items()}

    async def _take(self, found: Mapping[Worker, str | None], newest: str) -> None:
        for worker, revision in found.items():
            if revision != newest:
                worker.send(Drop(tell=True))
                self._take_out(worker, "it cannot load the policy that the others have loaded")
        takers = [worker for worker, revision in found.items() if revision == newest]
        asked = {worker: worker.ask(Take(tell=worker is takers[0]), Taken) for worker in takers}
        self.revision = newest
        await asyncio.wait(asked.values(), timeout=_LEEWAY_S)
        for worker in self._answers(asked, "it has not taken the policy in time"):
            worker.revision = newest
        self._say(current=True)
        self._admit(found)

    def _keep(self, found: Mapping[Worker, str | None]) -> None:
        for place, worker in enumerate(found):
            worker.send(Drop(tell=place == 0))  # all would say the same
        self._say(current=False)
        self._admit(found)

    def _admit(self, workers: Iterable[Worker]) -> None:
        """Let those listen that were waiting for the others, or take them out."""
        for worker in workers:
            if worker.out:
                continue
            if worker.revision != self.revision:
                self._take_out(worker, "it has loaded a policy that the others have not")
            elif not worker.admitted:
                worker.admit(current=self.current)

    def _say(self, *, current: bool) -> None:
        """Have every health service say whether the newest policy decides."""
        self.current = current
        for worker in self._workers():
            worker.send(Current(current))

    def _answers(self, asked: Mapping[Worker, asyncio.Future[Answer | None]], problem: str) -> dict[Worker, Answer]:
        """Return the answers of those who are still there; whoever has not answered is taken out."""
        answers = {}
        for worker, waiting in asked.items():
            if not waiting.done():
                self._take_out(worker, problem)
            elif (answer := waiting.result()) is not None and not worker.out:
                answers[worker] = answer
        return answers

    def _take_out(self, worker: Worker, problem: str) -> None:
        self._logger.error("worker_taken_out", worker=worker.number, pid=worker.pid, problem=problem)
        worker.take_out()


async def _first(answers: Iterable[asyncio.Future[Answer | None]], until: float) -> None:
    """Wait for the first answer, if there is to be one; the end of a worker is none."""
    pending = {answer for answer in answers if not answer.done()}
    while pending:
        left = until - asyncio.get_running_loop().time()
        done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if not done or any(answer.result() is not None for answer in done):
            return


def _most(found: Mapping[Worker, str | None]) -> str | None:
    """Return the revision that most have, of equally many the first; None where nobody has any."""
    counts = Counter(revision for revision in found.values() if revision is not None)
    return counts.most_common(1)[0][0] if counts else None
