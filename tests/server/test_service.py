"""DecisionService over real channels: every status, batches, streams, bounds, the log."""

from __future__ import annotations

import asyncio
import io
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from authz.pdp.engine import Engine
from authz.server.asker import Asker
from authz.server.ids import decision_id
from authz.server.service import DecisionService
from authz.v1 import decision_pb2 as v1
from tests.server.support import NOT_SERVING, SERVING, Scripted, ask, code_of, program, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.model import Request
    from tests.server.support import Running

CODE = grpc.StatusCode


async def test_an_answer_comes_with_revision_and_id() -> None:
    """L66: every decision carries the policy's revision; the wire adds an id of its own."""
    async with serving(Scripted()) as running:
        first, second = await running.stub.Check(ask()), await running.stub.Check(ask())
    assert (first.decision, first.reason) == (v1.DECISION_ALLOW, v1.REASON_ALLOWED)
    assert first.policy_revision == "r1"
    assert [obligation.name for obligation in first.obligations] == ["log"]
    assert first.decision_id
    assert first.decision_id != second.decision_id
    assert not first.HasField("explanation")


async def test_an_explanation_comes_only_where_it_was_asked_for() -> None:
    """docs/architecture.md, Wire: `explain`."""
    async with serving(Scripted()) as running:
        answer = await running.stub.Check(ask(explain=True))
    assert answer.HasField("explanation")


async def test_the_clock_can_be_set_and_is_not_by_default() -> None:
    """L30: `now` is the time of the decision; only the program reads the real clock."""
    pinned = datetime(2026, 1, 1, tzinfo=UTC)
    for clock, expected in ((None, None), (lambda: pinned, pinned)):
        scripted = Scripted()
        async with serving(scripted, clock=clock) as running:
            await running.stub.Check(ask())
            await running.stub.BatchCheck(v1.BatchCheckRequest(subject="a", questions=[v1.Question(tool="t")]))
        assert [request.now for request in scripted.decided] == [expected, expected]


async def test_malformed_questions_are_invalid_arguments() -> None:
    """docs/architecture.md, Wire: INVALID_ARGUMENT says which field, malformed bytes included."""
    async with serving(Scripted()) as running:
        assert await code_of(running.stub.Check(ask(tool=""))) == (CODE.INVALID_ARGUMENT, "tool: must not be empty")
        assert (await code_of(running.stub.Check(ask(token="t"))))[1].startswith("token: ")
        unary = running.unary("Check")
        for data in (b"\xff", b"\x0a\x02\xff\xff", b"\x08\x01garbage"):
            code, details = await code_of(unary(data))
            assert (code, details.partition(":")[0]) == (CODE.INVALID_ARGUMENT, "request")
        batch = running.unary("BatchCheck")
        assert (await code_of(batch(b"\xff")))[0] is CODE.INVALID_ARGUMENT


async def test_a_message_that_is_too_large_is_refused_and_the_next_one_served() -> None:
    """Issue 2: over-long input gives RESOURCE_EXHAUSTED."""
    async with serving(Scripted(), max_message=4096) as running:
        large = ask(resource=v1.Resource(id="x" * 5_000))
        assert (await code_of(running.stub.Check(large)))[0] is CODE.RESOURCE_EXHAUSTED
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW


async def test_a_revision_that_is_not_served_is_unavailable() -> None:
    """docs/architecture.md, Wire: UNAVAILABLE is: cannot decide; the asker denies."""
    async with serving(Scripted("r1")) as running:
        assert (await code_of(running.stub.Check(ask(min_policy_revision="r2"))))[0] is CODE.UNAVAILABLE
        running.server.engine.swap(program("r2"))
        for revision in ("", "r1", "r2"):
            assert (await running.stub.Check(ask(min_policy_revision=revision))).policy_revision == "r2"
        batch = v1.BatchCheckRequest(subject="a", min_policy_revision="r3", questions=[v1.Question(tool="t")])
        assert (await code_of(running.stub.BatchCheck(batch)))[0] is CODE.UNAVAILABLE


def fail(request: Request) -> None:
    """Be a defect."""
    if request.tool == "defect":
        raise ZeroDivisionError("secret 4711")


async def test_a_defect_is_internal_and_tells_nothing() -> None:
    """docs/architecture.md, Wire: INTERNAL is a defect; CONTRIBUTING.md: the outermost handler denies and logs."""
    async with serving(Scripted(on_decide=fail)) as running:
        assert await code_of(running.stub.Check(ask(tool="defect"))) == (CODE.INTERNAL, "internal error")
        questions = [v1.Question(tool="t"), v1.Question(tool="defect"), v1.Question(tool="t")]
        batch = await running.stub.BatchCheck(v1.BatchCheckRequest(subject="a", questions=questions))
        assert [result.WhichOneof("result") for result in batch.results] == ["response", "error", "response"]
        assert batch.results[1].error.code == v1.ERROR_CODE_INTERNAL
        assert "secret" not in str(batch)
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
        assert [record["level"] for record in running.records("defect")] == ["error", "error"]


async def test_a_batch_is_answered_in_order_by_one_revision() -> None:
    """Issue 2, S106: BatchCheck: one caller, many questions, one policy revision, even when a reload falls into it."""
    scripted = Scripted("r1")

    def swap_midway(request: Request) -> None:
        if request.tool == "t500":
            running.server.engine.swap(program("r2"))

    scripted.on_decide = swap_midway
    async with serving(scripted) as running:
        questions = [v1.Question(tool=f"t{n}" if n % 10 else "") for n in range(1, 1_001)]
        answer = await running.stub.BatchCheck(v1.BatchCheckRequest(subject="a", questions=questions))
        assert len(answer.results) == 1_000
        for question, result in zip(questions, answer.results, strict=True):
            expected = "response" if question.tool else "error"
            assert result.WhichOneof("result") == expected
        assert [request.tool for request in scripted.decided] == [q.tool for q in questions if q.tool]
        revisions = {r.response.policy_revision for r in answer.results if r.HasField("response")}
        assert revisions | {answer.policy_revision} == {"r1"}
        assert answer.results[9].error == v1.CheckError(
            code=v1.ERROR_CODE_INVALID_ARGUMENT, field="tool", message="must not be empty"
        )


async def test_a_batch_has_its_bounds() -> None:
    """Issue 2: 1000 questions; a malformed caller fails the whole call."""
    async with serving(Scripted()) as running:
        too_many = v1.BatchCheckRequest(subject="a", questions=[v1.Question(tool="t")] * 1_001)
        code, details = await code_of(running.stub.BatchCheck(too_many))
        assert (code, details.partition(":")[0]) == (CODE.INVALID_ARGUMENT, "questions")
        empty = await running.stub.BatchCheck(v1.BatchCheckRequest(subject="a"))
        assert (len(empty.results), empty.policy_revision) == (0, "r1")
        nobody = v1.BatchCheckRequest(questions=[v1.Question(tool="t")])
        assert (await code_of(running.stub.BatchCheck(nobody)))[0] is CODE.INVALID_ARGUMENT


async def stream(running: Running, messages: Iterable[bytes]) -> list[v1.StreamCheckResponse]:
    """Send all messages at once, then read all answers."""
    call = running.raw("StreamCheck")()
    for message in messages:
        await call.write(message)
    await call.done_writing()
    return [v1.StreamCheckResponse.FromString(data) async for data in call]


async def test_a_stream_answers_in_order_and_bad_items_spoil_only_themselves() -> None:
    """Issue 2: StreamCheck is pipelined; an invalid item is answered by an error."""
    good = v1.StreamCheckRequest(check=ask()).SerializeToString()
    later = v1.StreamCheckRequest(check=ask(min_policy_revision="r9")).SerializeToString()
    defect = v1.StreamCheckRequest(check=ask(tool="defect")).SerializeToString()
    messages = [good, b"\xff", good, b"", later, defect, good] * 30
    async with serving(Scripted(on_decide=fail)) as running:
        answers = await stream(running, messages)
        assert len(answers) == len(messages)
        expected = [0, 3, 0, 3, 14, 13, 0] * 30
        assert [answer.error.code for answer in answers] == expected
        assert all(answer.HasField("response") for answer in answers if not answer.error.code)


async def test_a_stream_follows_a_reload_question_by_question() -> None:
    """Issue 2: every decision is made by exactly one revision."""
    message = v1.StreamCheckRequest(check=ask()).SerializeToString()
    async with serving(Scripted("r1")) as running:
        call = running.raw("StreamCheck")()
        seen: list[str] = []
        for revision in ("r1", "r2", "r3"):
            running.server.engine.swap(program(revision))
            await call.write(message)
            data = await call.read()
            assert isinstance(data, bytes)
            seen.append(v1.StreamCheckResponse.FromString(data).response.policy_revision)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is CODE.OK
    assert seen == ["r1", "r2", "r3"]


async def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    """Issue 2: concurrency is bounded, so a slot must come back whatever the client does."""
    async with serving(Scripted(), max_concurrent=2) as running:
        for _ in range(5):
            calls = [running.raw("StreamCheck")(), running.raw("Check")()]
            for call in calls:
                await call.wait_for_connection()
            await until(lambda: running.server.under_way == 2)
            for call in calls:
                call.cancel()
            await until(lambda: running.server.under_way == 0)
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
        assert not running.records("defect")


async def test_calls_over_the_limit_are_refused_at_once_and_health_still_answers() -> None:
    """Issue 2: concurrency is bounded; RESOURCE_EXHAUSTED: shed before evaluation."""
    async with serving(Scripted(), max_concurrent=3) as running:
        gate = running.server._gate
        held = [running.raw("StreamCheck")() for _ in range(2)] + [running.slow()]
        for call in held:
            await call.wait_for_connection()
        await until(lambda: gate.under_way == 3)
        for _ in range(5):
            assert (await code_of(running.stub.Check(ask())))[0] is CODE.RESOURCE_EXHAUSTED
        refused = running.raw("StreamCheck")()  # refused although it sends nothing
        assert await refused.code() is CODE.RESOURCE_EXHAUSTED
        assert await running.status() == SERVING
        await held[0].done_writing()
        await until(lambda: gate.under_way == 2)
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
        for call in held[1:]:
            call.cancel()


async def test_idle_streams_leave_room_for_calls() -> None:
    """Issue 2: concurrency is bounded, and who holds a stream open and asks nothing shuts nobody else out."""
    async with serving(Scripted(), max_concurrent=20) as running:
        gate = running.server._gate
        held = [running.raw("StreamCheck")() for _ in range(18)]
        for call in held:
            await call.wait_for_connection()
        await until(lambda: gate.streams == 18)
        for _ in range(5):
            refused = running.raw("StreamCheck")()
            assert await refused.code() is CODE.RESOURCE_EXHAUSTED
            assert await refused.details() == "the server has 18 streams open"
            assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
        await held[0].done_writing()
        await until(lambda: gate.streams == gate.under_way == 17)
        assert len(await stream(running, [v1.StreamCheckRequest(check=ask()).SerializeToString()])) == 1
        for call in held[1:]:
            call.cancel()
        await until(lambda: gate.streams == gate.under_way == 0)


async def test_unknown_methods_are_unimplemented() -> None:
    """gRPC: a name that nobody serves."""
    async with serving(Scripted()) as running:
        for method in ("/authz.v1.DecisionService/Plan", "/authz.v2.DecisionService/Check", "/x/y"):
            assert (await code_of(running.unary(method)(b"")))[0] is CODE.UNIMPLEMENTED


async def test_health_knows_three_names() -> None:
    """Issue 2: standard gRPC health, with the policy's health beside the service's."""
    async with serving(Scripted()) as running:
        for service in ("", "authz.v1.DecisionService", "authz.policy"):
            assert await running.status(service) == SERVING
        unknown = running.health.Check(health_pb2.HealthCheckRequest(service="other"))
        assert (await code_of(unknown))[0] is CODE.NOT_FOUND
        watch = running.health.Watch(health_pb2.HealthCheckRequest(service="authz.policy"))
        assert (await watch.read()).status == SERVING
        await running.server.health.policy(current=False)
        assert (await watch.read()).status == NOT_SERVING
        assert await running.status() == SERVING
        watch.cancel()


@pytest.mark.parametrize("reflection", [False, True])
async def test_reflection_is_served_only_where_asked_for(*, reflection: bool) -> None:
    """Issue 2: reflection behind a flag."""
    async with serving(Scripted(), reflection=reflection) as running:
        call = reflection_pb2_grpc.ServerReflectionStub(running.channel).ServerReflectionInfo()
        if not reflection:
            assert await call.code() is CODE.UNIMPLEMENTED
            return
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        names = {service.name for service in answer.list_services_response.service}
        assert {"authz.v1.DecisionService", "grpc.health.v1.Health"} <= names
        await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="authz.v1.CheckRequest"))
        assert (await call.read()).file_descriptor_response.file_descriptor_proto
        await call.done_writing()


SENSITIVE = "s3cret"


async def test_a_decision_is_one_record_without_attributes() -> None:
    """Issue 2: structured logs; SECURITY.md: secrets in arguments never reach the log."""
    request = ask(
        tenant="acme", request_id="r-7", resource=v1.Resource(type="document", id="d1"), client=v1.Client(id="agent")
    )
    for struct in (request.arguments, request.context, request.subject_attributes, request.resource.attributes):
        struct.update({"password": SENSITIVE})
    async with serving(Scripted()) as running:
        answer = await running.stub.Check(request)
        (record,) = running.records("decision")
        text = running.log.getvalue()
    assert SENSITIVE not in text
    assert "password" not in text
    assert record["decision_id"] == answer.decision_id
    assert isinstance(record["latency_us"], int)
    wanted = {
        "request_id": "r-7",
        "subject": "alice",
        "tenant": "acme",
        "client": "agent",
        "tool": "ping",
        "resource_type": "document",
        "resource_id": "d1",
        "decision": "ALLOW",
        "reason": "ALLOWED",
        "rules": ["a:1"],
        "policy_revision": "r1",
    }
    assert wanted.items() <= record.items()


@pytest.mark.parametrize(
    "id_", ['x"}\n{"event": "decision", "decision": "ALLOW"}', "\u2028\x1b[31m\r\n\u202e", "y" * 50_000]
)
async def test_no_value_can_forge_a_record(id_: str) -> None:
    """SECURITY.md: log injection; values are escaped, and long ones cut."""
    async with serving(Scripted()) as running:
        await running.stub.Check(ask(resource=v1.Resource(type="document", id=id_)))
        (line,) = [line for line in running.log.getvalue().split("\n") if '"decision_id"' in line]
        (record,) = running.records("decision")
    assert line.isascii()
    assert line.isprintable()
    assert record["resource_id"][:1_000] == id_[:1_000]
    assert len(line) < 8_000


async def test_a_refusal_is_logged_without_its_value() -> None:
    """Issue 2: what was refused can be found by field; the value stays out."""
    async with serving(Scripted()) as running:
        await code_of(running.stub.Check(ask(subject=f"{SENSITIVE}\n")))
        (record,) = running.records("refused")
        assert (record["field"], record["code"]) == ("subject", "INVALID_ARGUMENT")
        assert SENSITIVE not in running.log.getvalue()


async def test_many_calls_at_once_each_get_their_own_answer() -> None:
    """Issue 2: answers never mix."""
    async with serving(Scripted()) as running:
        answers = await asyncio.gather(*(running.stub.Check(ask(request_id=f"r{n}")) for n in range(300)))
        ids = {record["request_id"]: record["decision_id"] for record in running.records("decision")}
    assert len({answer.decision_id for answer in answers}) == 300
    assert [ids[f"r{n}"] for n in range(300)] == [answer.decision_id for answer in answers]


@pytest.mark.parametrize(("level", "lines"), [(logging.INFO, 3), (logging.WARNING, 0)])
async def test_a_decision_has_its_line_in_the_log_where_the_level_asks_for_it(level: int, lines: int) -> None:
    """Issue 6, build 2: what the level filters out is not even gathered."""
    out = io.StringIO()
    wrapper = structlog.make_filtering_bound_logger(level)
    logger = structlog.wrap_logger(structlog.WriteLogger(out), wrapper_class=wrapper)
    service = DecisionService(Engine(program("r1")), logger)
    batch = v1.BatchCheckRequest(subject="a", questions=[v1.Question(tool="t")] * 2)
    assert service.begin_check(ask().SerializeToString(), Asker())
    assert await service.answer_batch(batch.SerializeToString(), Asker())
    assert out.getvalue().count("decision_id") == lines


def test_no_two_decisions_have_one_name() -> None:
    """Issue 6, build 2: names are drawn many at once, and each is given once, whichever thread asks."""
    with ThreadPoolExecutor(4) as pool:
        names = [name for some in pool.map(lambda _: [decision_id() for _ in range(2_000)], range(8)) for name in some]
    assert len(set(names)) == len(names)
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)


def test_a_process_that_forks_shares_no_names_with_its_child() -> None:
    """Issue 6, build 2: a record's name must be no other record's, in no process."""
    script = """
import os
from authz.server.ids import decision_id

decision_id()
read, write = os.pipe()
child = os.fork()
names = " ".join(decision_id() for _ in range(500))
if child == 0:
    os.write(write, names.encode())
    os._exit(0)
os.waitpid(child, 0)
theirs = os.read(read, 100_000).decode()
print(len({*names.split(), *theirs.split()}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1000\n"
