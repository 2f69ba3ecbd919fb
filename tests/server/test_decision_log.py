"""The decision log of a running server: one record for each decision, and no answer without it where it is required."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
import sqlite3
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from authz.server.asker import trace_id
from authz.server.config import DecisionLogConfig, StoreConfig
from authz.stores.sqlite.store import open_store
from authz.v1 import decision_pb2 as v1
from authz.v1.decision_pb2_grpc import DecisionServiceStub
from tests.server.support import Scripted, ask, code_of, serving, until
from tests.server.test_process import Process, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from authz.model import Request
    from tests.server.support import Running

CODE = grpc.StatusCode
MODES = ("required", "best-effort")
BASE = "/authz.v1.DecisionService"


class Logged:
    """A store with a decision log, and a server that writes to it."""

    def __init__(self, folder: Path) -> None:
        """Keep the store in a folder."""
        self.path = folder / "store.db"

    @contextlib.asynccontextmanager
    async def serving(
        self,
        program: Scripted,
        mode: str = "required",
        **settings: Any,  # noqa: ANN401  # fields of the log's settings
    ) -> AsyncIterator[Running]:
        """Run the server; when this ends everything is in the log."""
        log = DecisionLogConfig(mode, **settings)  # type: ignore[arg-type]  # one of the two
        async with serving(program, store=StoreConfig(self.path), decision_log=log) as running:
            yield running

    def records(self, kind: str = "decision") -> list[dict[str, Any]]:
        """Return the records of a kind, in their order."""
        with contextlib.closing(open_store(self.path, readonly=True)) as store:
            records = [json.loads(link.text) for link in store.log.links()]
        return [record for record in records if record["kind"] == kind]


def files(folder: Path) -> list[bytes]:
    """Return what the files of a folder hold."""
    return [path.read_bytes() for path in folder.iterdir() if path.is_file()]


@pytest.fixture
def logged(tmp_path: Path) -> Logged:
    """Return a store that does not exist yet."""
    return Logged(tmp_path)


@pytest.mark.parametrize("mode", MODES)
async def test_each_answer_has_one_record_whichever_call_gave_it(logged: Logged, mode: str) -> None:
    """Issue 3, S5, S63: log records = decisions; what is refused or fails is no decision and has none."""
    scripted = Scripted()

    def defect(request: Request) -> None:
        if request.tool == "defect":
            raise ZeroDivisionError

    scripted.on_decide = defect
    ids: list[str] = []
    async with logged.serving(scripted, mode) as running:
        ids += [(await running.stub.Check(ask(explain=explain))).decision_id for explain in (False, True)]
        assert (await code_of(running.stub.Check(ask(tool=""))))[0] is CODE.INVALID_ARGUMENT
        assert (await code_of(running.stub.Check(ask(tool="defect"))))[0] is CODE.INTERNAL
        assert (await code_of(running.stub.Check(ask(min_policy_revision="r9"))))[0] is CODE.UNAVAILABLE
        tools = [f"t{n}" for n in range(100)]
        tools[17], tools[50] = "", "defect"
        questions = [v1.Question(tool=tool) for tool in tools]
        batch = await running.stub.BatchCheck(v1.BatchCheckRequest(subject="a", questions=questions))
        ids += [result.response.decision_id for result in batch.results if result.HasField("response")]
        call = running.raw("StreamCheck")()
        for data in (v1.StreamCheckRequest(check=ask()).SerializeToString(), b"\xff") * 20:
            await call.write(data)
        await call.done_writing()
        answers = [v1.StreamCheckResponse.FromString(data) async for data in call]
        ids += [answer.response.decision_id for answer in answers if answer.HasField("response")]
        assert not running.records("decision")  # it would be written twice
    assert len(ids) == 2 + 98 + 20
    assert [record["decision_id"] for record in logged.records()] == ids


async def test_what_a_list_may_show_has_no_record(logged: Logged) -> None:
    """L68: a question with unknown parts is about no call; 121 tools would be 121 records for each look at a list."""
    async with logged.serving(Scripted()) as running:
        assert (await running.stub.Check(ask(unknown=[v1.PART_ARGUMENTS]))).decision_id
        asked = await running.stub.Check(ask())
    assert [record["decision_id"] for record in logged.records()] == [asked.decision_id]


@pytest.mark.parametrize("mode", MODES)
async def test_many_calls_at_once_each_have_their_own_record(logged: Logged, mode: str) -> None:
    """Issue 3: log records = decisions, under 200 concurrent calls."""
    async with logged.serving(Scripted(), mode) as running:
        answers = await asyncio.gather(*(running.stub.Check(ask(request_id=f"r{n}")) for n in range(200)))
        if mode == "required":
            assert len(logged.records()) == 200  # before the server ends
    found = {record["request_id"]: record["decision_id"] for record in logged.records()}
    assert found == {f"r{n}": answer.decision_id for n, answer in enumerate(answers)}
    assert len(logged.records()) == 200


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_that_is_given_up_has_its_record_once_it_is_decided(logged: Logged, mode: str) -> None:
    """Issue 3: log records = decisions; threats 3d-37: the asker has gone, the decision was made."""
    scripted = Scripted()
    async with logged.serving(scripted, mode) as running:
        for n in range(100):
            call = running.stub.Check(ask(request_id=f"r{n}"), timeout=0.001 if n % 2 else None)
            if n % 2 == 0:
                await asyncio.sleep(0)
                call.cancel()
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
                await call
        questions = [v1.Question(tool=f"t{n}") for n in range(1_000)]
        batch = running.stub.BatchCheck(v1.BatchCheckRequest(subject="a", questions=questions))

        def give_up(request: Request) -> None:
            if request.tool == "t300":
                asyncio.get_running_loop().call_soon(batch.cancel)

        scripted.on_decide = give_up
        with contextlib.suppress(asyncio.CancelledError):
            await batch
        await until(lambda: running.server.under_way == 0)
    assert len(scripted.decided) > 300
    assert len(logged.records()) == len(scripted.decided)


async def test_a_record_says_who_asked_and_in_which_trace(logged: Logged) -> None:
    """Issue 3: PEP, request and trace id; W3C Trace Context for the form."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    metadata = (("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),)
    async with logged.serving(Scripted()) as running:
        await running.stub.Check(ask(request_id="r-7", tenant="acme"), metadata=metadata)
        await running.stub.Check(ask(), metadata=(("traceparent", "00-forged"),))
        await running.stub.Check(ask())
    first, *others = logged.records()
    assert (first["trace_id"], first["request_id"], first["tenant"]) == (trace, "r-7", "acme")
    assert first["pep"].startswith("ipv4:127.0.0.1:")
    assert not any("trace_id" in record for record in others)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "a" * 32),
        ("01-" + "a" * 32 + "-" + "b" * 16 + "-01-more", "a" * 32),
        ("00-" + "a" * 32 + "-" + "b" * 16 + "-01-more", ""),
        ("ff-" + "a" * 32 + "-" + "b" * 16 + "-01", ""),
        ("00-" + "0" * 32 + "-" + "b" * 16 + "-01", ""),
        ("00-" + "a" * 32 + "-" + "0" * 16 + "-01", ""),
        ("00-" + "A" * 32 + "-" + "b" * 16 + "-01", ""),
        ("00-" + "a" * 32 + "-" + "b" * 16 + "-01\n", ""),
        ("", ""),
        (b"\xff", ""),
    ],
)
def test_a_trace_id_is_taken_only_from_a_header_that_is_well_formed(header: str | bytes, expected: str) -> None:
    """W3C Trace Context, section 3.2.2."""
    assert trace_id(header) == expected


@pytest.mark.parametrize("value", ['x"}\n{"kind":"decision"}', "\x1b[31m\r\n", "\u2028\u202e", "nul\0", "y" * 50_000])
async def test_no_value_can_forge_a_record(logged: Logged, tmp_path: Path, value: str) -> None:
    """Threats 3d-47: one JSON line for each record, escaped; as many records as requests."""
    file = tmp_path / "log.jsonl"
    async with logged.serving(Scripted(), file=file, attributes=("context.x", "arguments.x"), requests=True) as running:
        request = ask(resource=v1.Resource(type="document", id=value))
        request.context.update({"x": value})
        request.arguments.update({"x": value})
        for _ in range(3):
            await running.stub.Check(request)
    assert len(logged.records()) == 3
    lines = file.read_text().split("\n")
    assert len(lines) == 4
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert [json.loads(line) for line in lines[:-1]] == logged.records()


@pytest.mark.parametrize("mode", MODES)
async def test_secrets_stay_out_of_the_log(logged: Logged, tmp_path: Path, mode: str) -> None:
    """SECURITY.md: arguments, attributes and context never enter a log where they are not asked for."""
    canary, file = "s3cret-4711", tmp_path / "log.jsonl"
    request = ask(resource=v1.Resource(type="document", id="d"), client=v1.Client(id="agent"))
    for struct in (request.arguments, request.context, request.subject_attributes, request.resource.attributes):
        struct.update({canary: canary})
    request.client.attributes.update({"token": canary})
    async with logged.serving(Scripted(), mode, file=file, attributes=("context.ip",)) as running:
        await running.stub.Check(request)
        text = running.log.getvalue()
    assert len(logged.records()) == 1
    written = files(tmp_path)
    assert len(written) >= 2
    assert not any(canary.encode() in data for data in (text.encode(), *written))


async def test_a_recorded_request_carries_the_time_it_was_decided_at(logged: Logged) -> None:
    """Issue 3: a full request is recorded only when asked for, so that it can be decided again."""
    scripted = Scripted()
    async with logged.serving(scripted, requests=True) as running:
        await running.stub.Check(ask(scopes=["b", "a"]))
    (record,) = logged.records()
    now = scripted.decided[0].now
    assert now is not None
    assert record["request"]["check"] == {"subject": "alice", "scopes": ["a", "b"], "tool": "ping"}
    assert record["request"]["now"] == now.isoformat(timespec="microseconds").replace("+00:00", "Z")


async def test_a_required_log_that_cannot_be_written_stops_every_answer_until_it_can(logged: Logged) -> None:
    """Threats 3d-5 and 3d-9: `required` gives UNAVAILABLE, tells no path, and recovers by itself."""
    moved = logged.path.with_name("moved.db")
    async with logged.serving(Scripted()) as running:
        await running.stub.Check(ask())
        for suffix in ("", "-wal", "-shm"):
            logged.path.with_name(logged.path.name + suffix).rename(moved.with_name(moved.name + suffix))
        assert await code_of(running.stub.Check(ask())) == (CODE.UNAVAILABLE, "the store cannot be used now")
        batch = v1.BatchCheckRequest(subject="a", questions=[v1.Question(tool="t")] * 3)
        assert (await code_of(running.stub.BatchCheck(batch)))[0] is CODE.UNAVAILABLE
        call = running.raw("StreamCheck")()
        await call.write(v1.StreamCheckRequest(check=ask()).SerializeToString())
        data = await call.read()
        assert isinstance(data, bytes)
        assert v1.StreamCheckResponse.FromString(data).error.code == v1.ERROR_CODE_UNAVAILABLE
        (alarm, *_) = running.records("decision_log")
        assert (alarm["level"], alarm["lost"]) == ("error", 1)
        for suffix in ("", "-wal", "-shm"):
            moved.with_name(moved.name + suffix).rename(logged.path.with_name(logged.path.name + suffix))
        answer = await running.stub.Check(ask())
    assert [record["decision_id"] for record in logged.records()][-1] == answer.decision_id
    assert len(logged.records()) == 2


# --- Real processes ---------------------------------------------------------------------------


@contextlib.contextmanager
def stub(process: Process) -> Any:  # noqa: ANN401  # a generator of stubs
    """Return a client of a server process."""
    with grpc.insecure_channel(process.record("listening")["address"]) as channel:
        yield DecisionServiceStub(channel)


def told(call: Callable[[], object]) -> grpc.StatusCode | None:
    """Return the status that a call fails with, None where it does not."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code()  # it is a call as well
    return None


def test_a_full_disk_stops_a_required_log_and_space_brings_it_back(policies: Path, logged: Logged) -> None:
    """Threats 3d-5: the limit of a file's size stands for the disk's."""
    options = ("--store", str(logged.path), "--decision-log", "required")
    with server(policies, *options) as process, stub(process) as client:
        answered = [client.Check(ask()).decision_id]
        pid = process.popen.pid
        wal = logged.path.with_name(logged.path.name + "-wal").stat().st_size
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (wal + 1_000, hard))
        assert told(lambda: client.Check(ask())) is CODE.UNAVAILABLE
        assert told(lambda: client.Check(ask())) is CODE.UNAVAILABLE
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        answered.append(client.Check(ask()).decision_id)
        assert process.record("decision_log")["level"] == "error"
        assert process.end() == 0
    found = [record["decision_id"] for record in logged.records()]
    assert set(answered) <= set(found)


def test_a_full_disk_does_not_stop_a_best_effort_log_and_every_loss_is_counted(policies: Path, logged: Logged) -> None:
    """Threats 3d-5 and 3d-48: counter and alarm, never silent."""
    options = ("--store", str(logged.path), "--decision-log", "best-effort")
    with server(policies, *options) as process, stub(process) as client:
        for _ in range(10):
            client.Check(ask())
        pid = process.popen.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4_096, hard))
        for _ in range(100):
            client.Check(ask())
        process.record("decision_log", level="error")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        for _ in range(10):
            client.Check(ask())
        assert process.end() == 0
        closed = process.record("decision_log_closed")
    dropped = sum(record["dropped"] for record in logged.records("loss"))
    assert (closed["written"], closed["dropped"]) == (len(logged.records()), dropped)
    assert closed["written"] + dropped == 120
    assert dropped > 0


@pytest.mark.slow
def test_a_locked_store_holds_up_a_required_log_and_nothing_else(policies: Path, logged: Logged) -> None:
    """Threats 3d-7: a lock that stays gives UNAVAILABLE; best-effort answers at once, and loses nothing."""
    required = ("--store", str(logged.path), "--decision-log", "required")
    with server(policies, *required) as process, stub(process) as client:
        client.Check(ask())
        with contextlib.closing(sqlite3.connect(logged.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert told(lambda: client.Check(ask(), timeout=60)) is CODE.UNAVAILABLE
            other.execute("ROLLBACK")
        client.Check(ask())
        assert process.end() == 0
    best_effort = ("--store", str(logged.path), "--decision-log", "best-effort")
    with server(policies, *best_effort) as process, stub(process) as client:
        with contextlib.closing(sqlite3.connect(logged.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(50):
                client.Check(ask())
            process.record("decision_log", lost=0)  # told, while nothing is lost
            other.execute("ROLLBACK")
        assert process.end() == 0
    assert len(logged.records()) == 2 + 50
    assert not logged.records("loss")


@pytest.mark.parametrize("mode", MODES)
def test_a_drain_writes_every_record(policies: Path, logged: Logged, mode: str) -> None:
    """Threats 3d-43: SIGTERM under load: no answer is lost, and the log is written to its end."""
    with server(policies, "--store", str(logged.path), "--decision-log", mode) as process, stub(process) as client:
        client.Check(ask())
        calls = [client.Check.future(ask(request_id=f"r{n}")) for n in range(300)]
        calls[0].result(30)
        process.popen.send_signal(signal.SIGTERM)
        ids = [call.result().decision_id for call in calls if call.exception(60) is None]
        assert process.popen.wait(60) == 0
    found = [record["decision_id"] for record in logged.records()]
    assert set(ids) <= set(found)
    assert len(ids) > 0


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 20, 150])
def test_a_process_that_is_killed_loses_no_record_that_was_required(policies: Path, logged: Logged, after: int) -> None:
    """Threats 3d-1 to 3d-3: kill -9: every acknowledged record is there."""
    options = ("--store", str(logged.path), "--decision-log", "required")
    with server(policies, *options) as process, stub(process) as client:
        calls = [client.Check.future(ask(request_id=f"r{n}")) for n in range(300)]
        for call in calls[:after]:
            call.result(30)
        process.popen.kill()
        ids = {call.result().decision_id for call in calls if call.exception(60) is None}
    assert len(ids) >= after
    assert ids <= {record["decision_id"] for record in logged.records()}
