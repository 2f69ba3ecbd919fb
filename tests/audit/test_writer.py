"""The writer of the log: nothing that was acknowledged is lost, and every loss is counted and stated."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from authz.audit.appending import Keeping
from authz.audit.records import Decided
from authz.audit.sinks import JsonLines
from authz.audit.writer import Counts, Writer
from authz.errors import LoadError, LogUnavailableError, StoreBusyError, StoreError
from authz.model import Decision, Effect, Reason, Request
from authz.stores.sqlite.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from authz.audit.chain import Head

DECISION = Decision(Effect.ALLOW, Reason.ALLOWED, "", ("a",), "r1")


def decided(number: int, **more: object) -> Decided:
    """Return a decision with a number to find it by."""
    request = Request(tool="t", subject="alice", **more)  # type: ignore[arg-type]  # fields of a request
    return Decided(request, DECISION, 1_767_323_045_000_000_000, 5, f"d{number}")


class Alarms(list[tuple[str, int]]):
    """Remembers what it is told."""

    def __call__(self, problem: str, lost: int) -> None:
        """Remember an alarm."""
        self.append((problem, lost))


class Guarded:
    """A real store whose appending a test can hold up or make fail."""

    def __init__(self, path: Path) -> None:
        """Use the store at a path, which is made if need be."""
        self.path = path
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Event()
        self.failures: list[Exception] = []
        self.opened = 0

    def open(self) -> Keeping:
        """Open the store."""
        self.opened += 1
        store = open_store(self.path, create=True, durable=False)
        outer = self

        class Held:
            def append(self, bodies: Sequence[str]) -> Head:
                outer.entered.set()
                outer.go.wait(60)
                if outer.failures:
                    raise outer.failures.pop(0)
                return store.log.append(bodies)

        return Keeping(Held(), store.close)

    def records(self) -> list[dict[str, object]]:
        """Return what is in the log, in its order."""
        with contextlib.closing(open_store(self.path, readonly=True)) as store:
            return [json.loads(link.text) for link in store.log.links()]

    def ids(self) -> list[object]:
        """Return the numbers of the decisions in the log."""
        return [record["decision_id"] for record in self.records() if record["kind"] == "decision"]


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    """Return a store that obeys."""
    return Guarded(tmp_path / "store.db")


@contextlib.contextmanager
def writing(open_log: Callable[[], Keeping] | None, **settings: object) -> Iterator[Writer]:
    """Run a writer."""
    writer = Writer(open_log, **settings)  # type: ignore[arg-type]  # its own settings
    writer.start()
    try:
        yield writer
    finally:
        writer.close()


def balanced(counts: Counts) -> bool:
    """Say whether every record is accounted for."""
    return counts.taken == counts.written + counts.dropped + counts.waiting


async def test_what_is_kept_is_in_the_log_when_keep_returns(guarded: Guarded) -> None:
    """Issue 3: `required`: no record, no answer; nothing acknowledged is ever lost."""
    with writing(guarded.open, required=True) as writer:
        for number in range(3):
            await writer.keep(decided(number))
            assert guarded.ids() == [f"d{n}" for n in range(number + 1)]
        await writer.keep(decided(3), decided(4), '{"kind":"authentication"}')
        assert [record["seq"] for record in guarded.records()] == [1, 2, 3, 4, 5, 6]
        assert writer.counts == Counts(6, 6, 0, 0)


async def test_callers_at_the_same_time_share_commits_and_each_gets_its_record(guarded: Guarded) -> None:
    """Issue 3: group commit."""
    with writing(guarded.open, required=True) as writer:
        guarded.go.clear()
        first = asyncio.create_task(writer.keep(decided(0)))
        await asyncio.to_thread(guarded.entered.wait, 60)
        rest = [asyncio.create_task(writer.keep(decided(n))) for n in range(1, 500)]
        while writer.counts.taken < 500:  # noqa: ASYNC110  # the tasks run while this one does not
            await asyncio.sleep(0)
        assert not any(task.done() for task in (first, *rest))
        guarded.go.set()
        await asyncio.gather(first, *rest)
    assert guarded.ids() == [f"d{n}" for n in range(500)]


@pytest.mark.parametrize("error", [StoreError("full"), StoreBusyError("locked"), ZeroDivisionError("defect")])
async def test_where_a_record_cannot_be_kept_keep_raises_and_later_records_are_kept_again(
    guarded: Guarded, error: Exception
) -> None:
    """Threats 3d-5 to 3d-7: `audit=required` gives UNAVAILABLE, and recovers by itself."""
    alarms = Alarms()
    with writing(guarded.open, required=True, alarm=alarms) as writer:
        guarded.failures = [error]
        with pytest.raises(LogUnavailableError, match="cannot be written now"):
            await writer.keep(decided(1))
        await writer.keep(decided(2))
        assert writer.counts == Counts(2, 1, 1, 0)
    assert guarded.ids() == ["d2"]
    assert [record["kind"] for record in guarded.records()] == ["decision"]  # whoever asked was told: no loss to state
    assert [lost for _, lost in alarms] == [1]


async def test_a_caller_that_goes_away_harms_nobody_and_leaves_its_record(guarded: Guarded) -> None:
    """Issue 3: log records = decisions, also where the asker has gone."""
    with writing(guarded.open, required=True) as writer:
        guarded.go.clear()
        tasks = [asyncio.create_task(writer.keep(decided(n))) for n in range(3)]
        await asyncio.to_thread(guarded.entered.wait, 60)
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        guarded.go.set()
        await asyncio.gather(tasks[0], tasks[2])
    assert sorted(map(str, guarded.ids())) == ["d0", "d1", "d2"]


async def test_a_full_queue_fails_keep_at_once(guarded: Guarded) -> None:
    """Threats 3d-48: overflow denies; everything from outside is bounded."""
    with writing(guarded.open, required=True, max_records=2) as writer:
        guarded.go.clear()
        held = [asyncio.create_task(writer.keep(decided(n))) for n in range(2)]
        await asyncio.to_thread(guarded.entered.wait, 60)
        with pytest.raises(LogUnavailableError):
            await writer.keep(decided(2))
        guarded.go.set()
        await asyncio.gather(*held)
    assert guarded.ids() == ["d0", "d1"]


@pytest.mark.parametrize("bound", [{"max_records": 10}, {"max_bytes": 1_000}])
def test_an_overflow_is_counted_told_and_stated_in_the_log(guarded: Guarded, bound: dict[str, int]) -> None:
    """Threats 3d-48: drop counter exact: written + dropped == decided."""
    alarms = Alarms()
    with writing(guarded.open, alarm=alarms, **bound) as writer:
        guarded.go.clear()
        writer.note(decided(0), size=100)
        assert guarded.entered.wait(60)
        for number in range(1, 100):
            writer.note(decided(number), size=100)
            assert balanced(writer.counts)
        assert alarms  # at once, while the store stands still
        guarded.go.set()
        counts = writer.close()
    kept = guarded.ids()
    assert counts == Counts(100, len(kept), 100 - len(kept), 0)
    assert 10 <= len(kept) <= 12
    (loss,) = (record for record in guarded.records() if record["kind"] == "loss")
    assert loss["dropped"] == counts.dropped == sum(lost for _, lost in alarms)
    assert str(loss["since"]) <= str(loss["time"])


def test_a_dropped_batch_is_stated_with_the_next_records(guarded: Guarded) -> None:
    """Issue 3: `best-effort`: an exact count of what was dropped, in the log itself."""
    alarms = Alarms()
    with writing(guarded.open, alarm=alarms) as writer:
        guarded.failures = [StoreError("`/x` cannot be written: the disk is full")]
        guarded.go.clear()
        writer.note(decided(0), decided(1))
        assert guarded.entered.wait(60)
        writer.note(decided(2))
        guarded.go.set()
        assert writer.close() == Counts(3, 1, 2, 0)
    assert [(r["kind"], r.get("dropped"), r.get("decision_id")) for r in guarded.records()] == [
        ("loss", 2, None),
        ("decision", None, "d2"),
    ]
    assert alarms == [("`/x` cannot be written: the disk is full", 2)]
    assert guarded.opened == 2  # a new connection may find what the old one has lost


def test_a_locked_store_is_waited_for_and_nothing_is_lost(guarded: Guarded) -> None:
    """Threats 3d-7: retry with a budget; decisions are not blocked."""
    alarms = Alarms()
    with writing(guarded.open, alarm=alarms) as writer:
        guarded.failures = [StoreBusyError("locked")] * 3
        for number in range(50):
            writer.note(decided(number))
        while (counts := writer.counts).written != 50:
            assert balanced(counts)
    assert guarded.ids() == [f"d{n}" for n in range(50)]
    assert alarms[0] == ("locked", 0)  # told although nothing is lost yet


def test_a_store_that_stays_locked_does_not_keep_the_end_waiting(guarded: Guarded) -> None:
    """Threats 3d-43 and 3d-44: the process ends, and says what it could not write."""
    alarms = Alarms()
    with writing(guarded.open, alarm=alarms) as writer:
        guarded.failures = [StoreBusyError("locked")] * 100
        for number in range(5_000):
            writer.note(decided(number))
        assert guarded.entered.wait(60)
        counts = writer.close()
    assert counts == Counts(5_000, 0, 5_000, 0)
    assert sum(lost for _, lost in alarms) == 5_000
    assert len(guarded.failures) > 90


def test_one_record_that_cannot_be_written_down_costs_no_other(guarded: Guarded) -> None:
    """Issue 3: exact counts across errors in one record."""
    alarms = Alarms()
    broken = decided(1, context={"x": float(1)})
    broken.request.context["x"] = object()  # type: ignore[index]  # no request can be made so
    with writing(guarded.open, alarm=alarms) as writer:
        guarded.go.clear()
        writer.note(decided(0))
        assert guarded.entered.wait(60)
        for entry in (decided(2), broken, decided(3)):
            writer.note(entry)
        guarded.go.set()
        assert writer.close() == Counts(4, 3, 1, 0)
    assert guarded.ids() == ["d0", "d2", "d3"]
    assert [record.get("dropped") for record in guarded.records() if record["kind"] == "loss"] == [1]


def test_close_writes_everything_and_later_records_are_counted(guarded: Guarded) -> None:
    """Threats 3d-43: a drain loses nothing."""
    with writing(guarded.open) as writer:
        for number in range(7_000):
            writer.note(decided(number))
        assert writer.close() == Counts(7_000, 7_000, 0, 0)
        writer.note(decided(1))
        assert writer.counts == Counts(7_001, 7_000, 1, 0)
        with pytest.raises(LogUnavailableError):
            asyncio.run(writer.keep(decided(2)))
    assert len(guarded.ids()) == 7_000


def test_many_threads_lose_nothing(guarded: Guarded) -> None:
    """Issue 3: the count is exact, whoever writes."""
    with writing(guarded.open, max_records=1_000) as writer:

        def note(first: int) -> None:
            for number in range(first, first + 1_000):
                writer.note(decided(number))

        threads = [threading.Thread(target=note, args=(n * 1_000,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts = writer.close()
    assert counts.taken == 4_000
    assert balanced(counts)
    assert len(guarded.ids()) == counts.written
    assert sum(int(str(r["dropped"])) for r in guarded.records() if r["kind"] == "loss") == counts.dropped


def test_a_store_that_cannot_be_opened_keeps_the_writer_from_starting(tmp_path: Path) -> None:
    """Threats 3d-8: start refuses, with a clear message."""
    path = tmp_path / "store.db"
    path.write_bytes(b"no database" * 1_000)
    writer = Writer(lambda: Keeping(open_store(path).log, lambda: None))
    with pytest.raises((StoreError, LoadError)):
        writer.start()
    writer.note(decided(1))
    assert writer.close() == Counts(1, 0, 1, 0)


# --- Sinks ------------------------------------------------------------------------------------


def test_a_sink_gets_the_very_lines_of_the_log(guarded: Guarded, tmp_path: Path) -> None:
    """Issue 3: JSON lines to a file, beside SQLite."""
    path = tmp_path / "log.jsonl"
    with writing(guarded.open, sinks=(JsonLines(path),)) as writer:
        for number in range(2_500):
            writer.note(decided(number))
    with contextlib.closing(open_store(guarded.path, readonly=True)) as store:
        assert path.read_text().splitlines() == [link.text for link in store.log.links()]
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_a_store_the_sink_gets_records_without_numbers(tmp_path: Path) -> None:
    """Issue 3: sinks; what is not in a chain has no place in it."""
    path = tmp_path / "log.jsonl"
    with writing(None, sinks=(JsonLines(path),)) as writer:
        writer.note(decided(1))
        assert writer.close() == Counts(1, 1, 0, 0)
    (record,) = map(json.loads, path.read_text().splitlines())
    assert (record["decision_id"], "seq" in record) == ("d1", False)


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    """Issue 3: rotation."""
    path = tmp_path / "log.jsonl"
    sink = JsonLines(path)
    assert sink.write(["1"]) == 0
    path.rename(tmp_path / "old")
    assert sink.write(["2"]) == 0
    path.unlink()
    assert sink.write(["3"]) == 0
    sink.close()
    assert ((tmp_path / "old").read_text(), path.read_text()) == ("1\n", "3\n")


def test_a_sink_that_fails_costs_no_record_of_the_store(guarded: Guarded, tmp_path: Path) -> None:
    """Issue 3: a sink beside the store; its losses are counted and told, and stated in it once it works again."""
    folder, alarms = tmp_path / "sink", Alarms()
    folder.mkdir()
    sink = JsonLines(folder / "log.jsonl")
    (folder / "log.jsonl").unlink()
    folder.rmdir()
    with writing(guarded.open, sinks=(sink,), alarm=alarms) as writer:
        writer.note(decided(1), decided(2))
        assert writer.close() == Counts(2, 2, 0, 0)
    assert guarded.ids() == ["d1", "d2"]
    assert alarms == [("a sink of the decision log cannot be written", 2)]
    folder.mkdir()
    assert sink.write(["{}"]) == 0
    sink.close()
    loss, line = (folder / "log.jsonl").read_text().splitlines()
    assert (json.loads(loss)["dropped"], line) == (2, "{}")


def test_what_is_no_file_is_no_sink(tmp_path: Path) -> None:
    """CONTRIBUTING.md: refuse to start rather than run weak; a pipe without a reader would hold the log up."""
    with pytest.raises(LoadError, match="cannot be written"):
        JsonLines(tmp_path)
    with pytest.raises(LoadError, match="not a regular file"):
        JsonLines(type(tmp_path)("/dev/null"))


CHILD = """
import resource, sys
from pathlib import Path
from authz.audit.sinks import JsonLines
sink = JsonLines(Path(sys.argv[1]))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_050, hard))
print(sink.write([f"{n:099}" for n in range(15)]), sink.write(["none"]))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print(sink.write(["last"]))
"""


def test_a_line_that_broke_off_spoils_no_other_and_the_losses_are_exact(tmp_path: Path) -> None:
    """Threats 3d-5: a full disk breaks a line off; what follows can be read, and says how many are missing."""
    path = tmp_path / "log.jsonl"
    done = subprocess.run((sys.executable, "-c", CHILD, str(path)), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "1", "0"]
    *whole, torn, loss, last = path.read_text().splitlines()
    assert whole == [f"{n:099}" for n in range(10)]
    assert (len(torn), json.loads(loss)["dropped"], last) == (50, 6, "last")
