"""Share a replay between processes; what comes of it is the same however many there are.

Each worker compiles the policy from the texts that were read once, so all decide by the same one,
whatever happens to the files. A worker gets the next lines when its last answer was fetched: little
is in memory at a time, and a worker whose parent is gone finds its pipe closed and ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from itertools import chain, cycle, islice
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.errors import AuthzError
from authz.lang.parser import parse_policy
from authz.lang.source import Source
from authz.lang.validator import validate
from authz.pap.replay import EVERY_DECISION, Judged, Line, Wanted, judge, prepared
from authz.pap.tally import Tally
from authz.pdp.compiler import compile_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from authz.pap.loader import LoadedPolicy
    from authz.pap.tally import Report

_MOST_LINES: Final = 500
_MOST_CHARACTERS: Final = 1024 * 1024
_ALONE: Final = 4
"""Chunks that one process decides before others could have started."""


class ReplayError(AuthzError):
    """Raised when a worker ended before its answer came."""


def replay(
    policy: LoadedPolicy,
    lines: Iterable[Line],
    *,
    wanted: Wanted = EVERY_DECISION,
    jobs: int = 1,
    limit: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Decide the records of a log again and report what comes out differently.

    `limit` is the most records that are decided; `progress` is told how many lines were read.
    Raises `ReplayError` where a worker was killed, and what reading the lines raises.
    """
    tally = Tally(limit)
    with contextlib.closing(_judged(policy, _chunks(lines), wanted, jobs)) as judged:
        for part in judged:
            tally.add(part)
            progress(tally.read)
            if tally.full:
                break
    return tally.report()


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    chunk: list[Line] = []
    characters = 0
    for line in lines:
        chunk.append(line)
        characters += len(line.text)
        if len(chunk) >= _MOST_LINES or characters >= _MOST_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _judged(
    policy: LoadedPolicy, chunks: Iterator[list[Line]], wanted: Wanted, jobs: int
) -> Generator[Judged, None, None]:
    first = list(islice(chunks, _ALONE)) if jobs > 1 else []
    if jobs == 1 or len(first) < _ALONE:
        by = prepared(policy.program, wanted)
        for chunk in chain(first, chunks):
            yield judge(by, chunk)
        return
    with _started(policy, wanted, jobs) as workers:
        busy: deque[_Worker] = deque()
        for worker, chunk in zip(cycle(workers), chain(first, chunks), strict=False):
            if len(busy) == len(workers):  # the next in turn is the one whose answer is the next in order
                yield busy.popleft().answer()
            worker.ask(chunk)
            busy.append(worker)
        while busy:
            yield busy.popleft().answer()


# --- Workers --------------------------------------------------------------------------------


class _Worker(NamedTuple):
    """One process and the pipe to it; it has one question at a time, so neither side waits for the other to read."""

    process: BaseProcess
    pipe: Connection

    def ask(self, chunk: list[Line]) -> None:
        try:
            self.pipe.send(chunk)
        except OSError:
            raise ReplayError(_LOST) from None

    def answer(self) -> Judged:
        try:
            judged: Judged = self.pipe.recv()
        except (EOFError, OSError):
            raise ReplayError(_LOST) from None
        return judged


_LOST: Final = "a process of the replay ended early, perhaps for want of memory: try fewer with `--jobs`"


@contextlib.contextmanager
def _started(policy: LoadedPolicy, wanted: Wanted, jobs: int) -> Iterator[list[_Worker]]:
    """Start workers, and let none of them outlive the block."""
    context = multiprocessing.get_context("spawn")
    texts = tuple((source.name, source.text) for source in policy.sources)
    workers: list[_Worker] = []
    try:
        for _ in range(jobs):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, texts, wanted), daemon=True)
            process.start()
            theirs.close()
            workers.append(_Worker(process, ours))
        yield workers
    finally:
        for worker in workers:
            worker.pipe.close()
        for worker in workers:
            worker.process.join(1)
            worker.process.kill()  # nothing, where it has ended as it should
            worker.process.join()
            worker.process.close()


def _work(pipe: Connection, texts: tuple[tuple[str, str], ...], wanted: Wanted) -> None:
    """Decide what comes through the pipe until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent closes the pipe
    sources = [Source(name, text) for name, text in texts]
    by = prepared(compile_policy(validate([(source, parse_policy(source)[0]) for source in sources])), wanted)
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(judge(by, pipe.recv()))
