"""Write the records of decisions: a thread of its own, many records to a commit, every loss counted.

Whoever decides only hands over references; the thread writes them down, hashes and commits. While a
commit is under way the next records gather. `keep` returns when its records are durable, or raises;
`note` never waits, and what it cannot take is counted, told at once, and stated in the log as soon
as that can be written again. At every moment `taken == written + dropped + waiting`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.audit.appending import Appender
from authz.audit.batch import UNAVAILABLE, Batch
from authz.audit.bell import Bell
from authz.audit.records import NOTHING_MORE, Contents, Decided, loss_record
from authz.errors import AuthzError, LogUnavailableError, StoreBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from authz.audit.appending import Keeping
    from authz.audit.batch import Item
    from authz.audit.bell import Alarm
    from authz.audit.sinks import Sink

MAX_RECORDS: Final = 100_000
"""Records that may wait."""
MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes that the questions of waiting records may have had on the wire."""

_MOST: Final = 2_000  # records in one commit: whoever waits for the first should not wait for a hundred thousand
_MOST_BYTES: Final = 16 * 1024 * 1024
_GATHER_S: Final = 0.05  # a thread that woke for every record would cost the deciding one a quarter of its throughput
_COMPANY_S: Final = 0.002  # at most; a commit for one alone costs ten times what it costs for each of eight
_SLICE: Final = 32  # records that are written down in one go: the deciding thread may wait for a fifth of a millisecond
_LINES: Final = 64  # that a sink gets at a time: a million bytes of two thousand take new memory, and twice as long
_BREATH_S: Final = 0.00005
_RETRY_S: Final = 1.0  # after which a loss is stated where no record comes that it could go with

_GIVEN_UP: Final = "the decision log is locked, and it is time to end"
_FULL: Final = "the queue of the decision log is full, or closed"


class Counts(NamedTuple):
    """What became of the records so far. Those that `keep` raised for are among the dropped."""

    taken: int
    written: int
    dropped: int
    waiting: int


class Writer:
    """Takes records from any thread and writes them in its own."""

    def __init__(
        self,
        open_log: Callable[[], Keeping] | None,
        *,
        required: bool = False,
        contents: Contents = NOTHING_MORE,
        sinks: Sequence[Sink] = (),
        alarm: Alarm = lambda _problem, _lost: None,
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Write to the log that `open_log` returns, called in the writing thread, and to the sinks.

        `required` says that no answer may be given without its record, and needs a log. `alarm` is
        told what fails and how many records are lost by it, at once and then now and again.
        """
        assert open_log is not None or not required  # whoever reads the settings has seen to it
        self.required = required
        self.contents = contents
        self._appender = Appender(open_log, contents)
        self._sinks = tuple(sinks)
        self._bell = Bell(alarm)
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._hurry_records, self._hurry_bytes = max_records // 4, max_bytes // 4
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._hurry = threading.Event()
        self._queue: deque[Item] = deque()
        self._waiting = self._bytes = 0
        self._taken = self._written = self._dropped = 0
        self._unstated = 0
        self._since = datetime.now(UTC)
        self._asleep = self._given_up = False
        self._company = 0  # items with a waiter that a commit should wait for
        self._gathers = False
        self._closed = True  # until it is started
        self._thread: threading.Thread | None = None
        self._refusal: Exception | None = None

    @property
    def counts(self) -> Counts:
        """Return what became of the records so far."""
        with self._lock:
            return Counts(self._taken, self._written, self._dropped, self._waiting)

    def start(self) -> None:
        """Open the log, and begin. Raises `StoreError` or `LoadError` where it cannot be opened."""
        opened = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(opened,), daemon=True, name="authz-audit")
        self._thread.start()
        opened.wait()
        if self._refusal is not None:
            raise self._refusal

    async def keep(self, *entries: Decided | str, size: int = 0) -> None:
        """Return once all these records are durably in the log. Raises `LogUnavailableError`.

        A record is a decision, or the finished body of something else; `size` says how large the
        question was. What this raised for may be in the log all the same; nothing is missing if it
        did not raise.
        """
        waiter = asyncio.get_running_loop().create_future()
        if not self._take((entries, size, waiter)):
            raise LogUnavailableError(UNAVAILABLE)
        await waiter

    def note(self, *entries: Decided | str, size: int = 0) -> None:
        """Have records written soon. Never waits, never raises."""
        self._take((entries, size, None))

    def close(self) -> Counts:
        """Write what waits, end the thread, and return what became of all records."""
        with self._lock:
            self._closed = True
            self._hurry.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        self._bell.again(now=True)
        return self.counts

    def _take(self, item: Item) -> bool:
        """Put records into the queue; where there is no room, count them as lost and say so."""
        entries, size, waiter = item
        count = len(entries)
        with self._lock:
            self._taken += count
            waiting, bytes_ = self._waiting + count, self._bytes + size
            if waiting <= self._max_records and bytes_ <= self._max_bytes and not self._closed:
                self._queue.append(item)
                self._waiting, self._bytes = waiting, bytes_
                hurries = waiter is not None or waiting > self._hurry_records or bytes_ > self._hurry_bytes
                if hurries and not self._hurry.is_set():
                    self._hurry.set()
                if self._asleep or (self._gathers and len(self._queue) >= self._company):
                    self._asleep = self._gathers = False
                    self._changed.notify()
                return True
            self._lose(count, count if waiter is None else 0)
        self._bell.ring(_FULL, count)
        return False

    def _lose(self, count: int, unwaited: int) -> None:
        """Count records as lost; the lock is held. The log will state those that nobody waited for."""
        self._dropped += count
        if unwaited:
            if not self._unstated:
                self._since = datetime.now(UTC)
            self._unstated += unwaited

    # What follows runs in the thread and nowhere else.

    def _run(self, opened: threading.Event) -> None:
        try:
            self._appender.open()
            self._closed = False
        except Exception as error:  # noqa: BLE001  # whoever started the thread is told
            self._refusal = error
            self._end()
            return
        finally:
            opened.set()
        while self._comes():
            self._write()
            self._bell.again()
            if not self._closed:
                self._hurry.wait(_GATHER_S)
        self._write()  # what was lost meanwhile
        self._end()

    def _end(self) -> None:
        self._appender.close()
        for sink in self._sinks:
            sink.close()

    def _comes(self) -> bool:
        """Wait for records, or for the time to state a loss; False at the end."""
        with self._lock:
            if not self._queue and not self._closed:
                self._asleep = True
                self._changed.wait(_RETRY_S if self._unstated or self._bell.waits else None)
                self._asleep = False
            if len(self._queue) < self._company and not self._closed:
                self._gathers = True  # those of the last commit ask again at about the same time
                self._changed.wait(_COMPANY_S)
                self._gathers = False
            return bool(self._queue) or not self._closed

    def _write(self) -> None:
        """Write one batch down and commit it; whatever happens, each of its records is counted once."""
        batch = Batch()
        with self._lock:
            unstated, since, before = self._unstated, self._since, datetime.now(UTC)
        if unstated:
            batch.bodies.append(loss_record(unstated, since))
        try:
            self._write_down(batch)
            first = self._appender.append(batch.bodies, self._patient) if batch.bodies else 0
        except Exception as error:  # noqa: BLE001  # the thread must outlive a defect, and every record be counted
            if isinstance(error, StoreBusyError):
                self._given_up = self._closed
            else:
                self._appender.close()  # a new connection may find what this one has lost
            self._fail(batch, str(error) if isinstance(error, AuthzError) else f"the log has a defect: {error!r}")
            return
        if first:
            self._count(batch, 0, unstated, before)
        batch.settle(done=True)
        lost = self._pass_on(first, batch.bodies)
        if not first:
            self._count(batch, lost, 0 if lost else unstated, before)

    def _write_down(self, batch: Batch) -> None:
        """Fill a batch from the queue. What is raised concerns the log, and all that a batch could hold."""
        items = self._items(batch)
        try:
            self._open()
            body, bodies = self._appender.body, batch.bodies
            due = len(bodies) + _SLICE
            for item in items:
                whole = len(bodies)
                try:
                    for entry in item[0]:
                        bodies.append(body(entry))
                        if len(bodies) >= due:
                            due += _SLICE
                            self._breathe(batch)
                except AuthzError:
                    batch.add(item)
                    raise
                except Exception as error:  # noqa: BLE001  # a defect in one record must not cost the others
                    del bodies[whole:]
                    bad = Batch()
                    bad.add(item)
                    batch.size += bad.size  # they leave the queue together
                    self._fail(bad, f"a record cannot be written down: {error!r}")
                else:
                    batch.add(item)
        except Exception:
            for item in items:
                batch.add(item)
            raise
        finally:
            self._leave_queue(batch)

    def _open(self) -> None:
        if self._given_up:
            raise StoreBusyError(_GIVEN_UP)
        self._appender.open()

    def _items(self, batch: Batch) -> Iterator[Item]:
        """Yield items from the queue until there are no more or the batch is full."""
        queue = self._queue
        while queue and batch.count < _MOST and batch.size < _MOST_BYTES:
            yield queue.popleft()  # by this thread alone, so it needs no lock

    def _breathe(self, batch: Batch) -> None:
        """Let others run; two threads that both want to take turns only every few milliseconds."""
        if not batch.waiters and not self._closed:
            time.sleep(_BREATH_S)

    def _leave_queue(self, batch: Batch) -> None:
        """Make room for the bytes of others, and guess how many will come together next time."""
        with self._lock:
            self._bytes -= batch.size
            waited_for = len(batch.waiters)
            reached = waited_for >= self._company  # perhaps one more would come, too: without asking it stays at two
            self._company = waited_for + reached if waited_for > 1 else 0
            if not self._queue and not self._closed:
                self._hurry.clear()

    def _count(self, batch: Batch, lost: int, stated: int, before: datetime) -> None:
        """Count records as written, but for those that are lost; so many older losses are stated now."""
        lost = min(lost, batch.count)
        with self._lock:
            self._waiting -= batch.count
            self._written += batch.count - lost
            self._dropped += lost
            self._unstated -= stated
            self._since = before

    def _fail(self, batch: Batch, problem: str) -> None:
        """Count records as lost, and tell whoever waits for them."""
        with self._lock:
            self._lose(batch.count, batch.count - batch.waited)
            self._waiting -= batch.count
        batch.settle(done=False)
        if batch.count:
            self._bell.ring(problem, batch.count)

    def _patient(self, error: StoreBusyError) -> bool:
        """Say whether to try a locked log again: not while callers wait, nor at the end."""
        if self.required or self._closed or self._given_up:
            return False
        self._bell.ring(str(error), 0)
        return True

    def _pass_on(self, first: int, bodies: list[str]) -> int:
        """Give the sinks the lines of the log, or without one its bodies; return how many records no sink has."""
        least = len(bodies)
        for sink in self._sinks:
            lost = 0
            for at in range(0, max(len(bodies), 1), _LINES):  # without any, a sink may still have a loss to state
                lines = bodies[at : at + _LINES]
                if first:
                    lines = [f'{{"seq":{seq},{body[1:]}' for seq, body in enumerate(lines, first + at)]
                try:
                    lost += sink.write(lines)
                except Exception:  # noqa: BLE001  # a defect; what is in the log stays there
                    lost += len(lines)
            if lost:
                self._bell.ring("a sink of the decision log cannot be written", lost)
            least = min(least, lost)
        return least
