"""Abuse of the service rather than of a question: floods, odd methods, dead callers, forged log lines, wrong starts."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio

from authz.server.log import console_line
from authz.v1 import decision_pb2 as v1
from tests.hostile.check_cases import PLACES
from tests.hostile.support import (
    ALLOWED,
    CANARY,
    GOOD,
    POLICY,
    Outcome,
    assert_tells_nothing,
    but,
    events,
    field,
    log_of,
    outcome_of,
    outcome_of_answer,
    request_bytes,
)
from tests.server.support import SERVING, Scripted, code_of, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from authz.server.config import Transport
    from tests.server.support import Running

CODE = grpc.StatusCode
GOOD_BYTES = request_bytes(GOOD)

one_server = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the policy."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "p.authz").write_text(POLICY, encoding="utf-8")
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(policies: Path, transport: Transport) -> AsyncIterator[Running]:
    """Run one server for all: what one test leaves behind, the next would meet."""
    async with serving(policies=policies, transport=transport) as running:
        log_of(running)
        yield running


async def assert_serves(running: Running) -> None:
    """Fail unless a good question is answered now, with one record."""
    log_of(running)
    assert (await outcome_of(running, GOOD_BYTES))[0] == ALLOWED
    assert events(log_of(running)) == ["decision"]


async def answer_of(call: grpc.aio.StreamStreamCall[bytes, bytes]) -> v1.StreamCheckResponse:
    """Return the next answer of a stream."""
    data = await call.read()
    assert isinstance(data, bytes)
    return v1.StreamCheckResponse.FromString(data)


# --- Deadlines ------------------------------------------------------------------------------


@one_server
async def test_a_caller_who_never_sends_the_question_is_given_up_at_the_deadline(running: Running) -> None:
    """Threats, faults 37: no worker is held; nothing is decided of what was never asked."""
    calls = [running.raw(method)(timeout=0.05) for method in ("Check", "BatchCheck", "StreamCheck") for _ in range(20)]
    assert {await call.code() for call in calls} == {CODE.DEADLINE_EXCEEDED}
    await until(lambda: running.server.under_way == 0)
    assert "decision" not in events(log_of(running))
    await assert_serves(running)


@one_server
async def test_a_stream_ends_at_its_deadline_and_what_was_answered_is_on_record(running: Running) -> None:
    """Issue 2: a stream is many decisions, each with its own record; its end takes none of them back."""
    call = running.raw("StreamCheck")(timeout=5.0)
    for _ in range(10):
        await call.write(field(1, GOOD_BYTES))
    answers = [await answer_of(call) for _ in range(10)]
    call.cancel()
    await until(lambda: running.server.under_way == 0)
    records = log_of(running)
    assert [record["decision_id"] for record in records] == [answer.response.decision_id for answer in answers]
    await assert_serves(running)


# --- Much -----------------------------------------------------------------------------------


@one_server
async def test_a_stream_of_5_000_of_which_half_are_bad_answers_each_in_its_place(running: Running) -> None:
    """Issue 2, bad input: one bad item spoils only itself."""
    deep = field(8, field(1, field(1, "a") + field(2, b"\x2a\x00")))
    bad = (
        b"\xff",
        b"",
        field(1, request_bytes(but(GOOD, ("tool", "x\0")))),
        field(1, request_bytes(but(GOOD, ("subject", "\ud800")))),
        field(1, GOOD_BYTES + deep),
        field(1, GOOD_BYTES) * 2,
    )
    log_of(running)
    call = running.raw("StreamCheck")()

    async def send() -> None:
        for n in range(5_000):
            await call.write(bad[n // 2 % len(bad)] if n % 2 else field(1, GOOD_BYTES))
        await call.done_writing()

    sending = asyncio.create_task(send())
    answers = [v1.StreamCheckResponse.FromString(data) async for data in call]
    await sending
    assert len(answers) == 5_000
    assert [outcome_of_answer(answer.response) for answer in answers[::2]] == [ALLOWED] * 2_500
    assert {answer.error.code for answer in answers[1::2]} == {v1.ERROR_CODE_INVALID_ARGUMENT}
    assert [answer.error.field for answer in answers[1:12:2]] == [
        "request",
        "check",
        "tool",
        "request",
        "context",
        "check",
    ]
    for answer in answers[1:12:2]:
        assert_tells_nothing(str(answer))
    assert events(log_of(running)) == ["decision", "refused"] * 2_500
    await assert_serves(running)


@one_server
async def test_a_batch_of_10_000_is_refused_before_any_is_decided(running: Running) -> None:
    """decision.proto: up to 1000 questions."""
    caller = but(GOOD, ("tool", ...), ("resource", ...), ("arguments", ...), ("tool_info", ...))
    log_of(running)
    data = request_bytes(caller) + field(18, field(5, "export_all")) * 10_000
    assert (await outcome_of(running, data, "BatchCheck"))[0] == Outcome("INVALID_ARGUMENT", "questions")
    assert events(log_of(running)) == ["refused"]
    await assert_serves(running)


async def test_over_the_bound_calls_are_refused_at_once_and_the_others_are_fine(policies: Path) -> None:
    """Issue 2: concurrency is bounded: RESOURCE_EXHAUSTED before evaluation, health answers, nobody else suffers."""
    async with serving(policies=policies, max_concurrent=8) as running:
        gate = running.server._gate
        held = [running.raw("StreamCheck")() for _ in range(7)]
        for call in held:
            await call.wait_for_connection()
        await until(lambda: gate.under_way == 7)
        log_of(running)
        outcomes = await asyncio.gather(*(outcome_of(running, GOOD_BYTES) for _ in range(90)))
        found = {outcome.code for outcome, _ in outcomes}
        allowed = [id_ for outcome, id_ in outcomes if outcome == ALLOWED]
        assert found <= {"ALLOW", "RESOURCE_EXHAUSTED"}
        records = log_of(running)
        assert {record["decision_id"] for record in records} == set(allowed)
        assert len(records) == len(allowed) >= 1
        held.append(running.slow())
        await held[-1].wait_for_connection()
        await until(lambda: gate.under_way == 8)
        refused = await asyncio.gather(*(outcome_of(running, GOOD_BYTES, m) for m in ("Check", "BatchCheck") * 40))
        assert {outcome.code for outcome, _ in refused} == {"RESOURCE_EXHAUSTED"}
        assert not log_of(running)
        assert await running.status() == SERVING
        await held[0].write(field(1, GOOD_BYTES))  # who was let in is still served
        assert (await answer_of(held[0])).response.decision == v1.DECISION_ALLOW
        for call in held:
            call.cancel()
        await until(lambda: gate.under_way == 0)
        await assert_serves(running)


@one_server
async def test_calls_that_are_dropped_at_once_hold_nothing(running: Running) -> None:
    """Threats, faults 40: open and cancel, over and over; others are served meanwhile."""
    for _ in range(20):
        calls = [running.unary("Check")(GOOD_BYTES) for _ in range(50)]
        for call in calls:
            call.cancel()
    assert (await outcome_of(running, GOOD_BYTES))[0] == ALLOWED
    await until(lambda: running.server.under_way == 0)
    assert set(events(log_of(running))) == {"decision"}
    await assert_serves(running)


# --- Methods and metadata -------------------------------------------------------------------

SERVICE = "/authz.v1.DecisionService"


@pytest.mark.parametrize(
    "path",
    [
        f"{SERVICE}/check",
        f"{SERVICE}/CHECK",
        f"{SERVICE}/Check/",
        f"{SERVICE}//Check",
        f"/{SERVICE}/Check",
        f"{SERVICE}/./Check",
        f"{SERVICE}/../DecisionService/Check",
        f"{SERVICE}/Check?x=1",
        f"{SERVICE}/Check;x=1",
        f"{SERVICE}/Check#x",
        f"{SERVICE}/%43heck",
        f"{SERVICE}%2FCheck",
        f"{SERVICE}/Check%00",
        f"{SERVICE}/Check ",
        f"{SERVICE}/",
        SERVICE,
        f"{SERVICE}.Check",
        f"{SERVICE}/Plan",
        f"{SERVICE}/_decide",
        f"{SERVICE}/*",
        "/authz.v1.decisionservice/Check",
        "/AUTHZ.V1.DECISIONSERVICE/CHECK",
        "/authz.v1.DecisionService/BatchCheck/Check",
        "/authz.v2.DecisionService/Check",
        "/DecisionService/Check",
        "/Check",
        "/",
        "//",
        "authz.v1.DecisionService/Check",
        "Check",
        "*",
    ],
)
@one_server
async def test_a_method_that_is_not_exactly_ours_is_unimplemented(
    running: Running, path: str, transport: Transport
) -> None:
    """Threats 2.5 (a path without its slash passed an interceptor): nothing is evaluated under another name."""
    log_of(running)
    if transport == "native" and path.partition("?")[0].partition("#")[0] == f"{SERVICE}/Check" != path:
        # A query is no part of a path (RFC 9113, section 8.3.1): the front drops it, and Check is what was named.
        assert (await outcome_of(running, GOOD_BYTES, path))[0] == ALLOWED
        assert events(log_of(running)) == ["decision"]
        return
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = running.channel.unary_unary(path)
    code, details = await code_of(method(GOOD_BYTES))
    no_path = " " in path or not path.startswith(("/", "*"))  # the native front breaks these off as malformed HTTP/2
    assert code is (CODE.INTERNAL if transport == "native" and no_path else CODE.UNIMPLEMENTED)
    assert_tells_nothing(details)
    assert not log_of(running)
    await assert_serves(running)


@pytest.mark.parametrize(
    "metadata",
    [
        [("x-large", "x" * 20_000)],
        [(f"x-{n}", "x" * 1_000) for n in range(20)],
        [("authorization", f"Bearer {CANARY}"), ("x-large-bin", b"\xff" * 20_000)],
    ],
    ids=["one of 20 KB", "twenty of 1 KB", "binary"],
)
@one_server
async def test_metadata_of_20_kb_is_refused_before_anything_is_decided(
    running: Running, metadata: list[tuple[str, str | bytes]], transport: Transport
) -> None:
    """Threats, faults 38: RESOURCE_EXHAUSTED, and the connection goes on serving.

    The native transport's front says it in HTTP's words (431), which clients read as UNKNOWN.
    """
    log_of(running)
    code, details = await code_of(running.unary("Check")(GOOD_BYTES, metadata=metadata))
    assert code is (CODE.UNKNOWN if transport == "native" else CODE.RESOURCE_EXHAUSTED)
    assert_tells_nothing(details)
    assert not log_of(running)
    await assert_serves(running)


@one_server
async def test_the_metadata_of_a_caller_is_never_logged(running: Running) -> None:
    """Threats 2.6: tokens travel in metadata."""
    metadata = (("authorization", f"Bearer {CANARY}"), ("cookie", CANARY), ("x-canary-4711", "1"))
    for data in (GOOD_BYTES, b"\xff"):
        await running.unary("Check")(data, metadata=metadata).code()
    text = running.log.getvalue()
    assert events(log_of(running)) == ["decision", "refused"]
    assert "4711" not in text


# --- The log --------------------------------------------------------------------------------

INJECTIONS = {
    "newline": 'x\n{"event": "decision", "decision": "ALLOW", "subject": "forged"}',
    "CR LF": "x\r\n2026-01-01 info decision decision=ALLOW",
    "ANSI": "\x1b[2K\x1b[1A\x1b]0;owned\x07",
    "line separator": 'x\u2028{"event": "decision"}\u2029\x85',
    "quote": 'x", "decision": "ALLOW", "forged": "',
    "backslash": "x\\",
    "bidirectional": "\u202ewolla\u202c\u2066",
    "NUL": "\0",
}


@pytest.mark.parametrize("text", INJECTIONS.values(), ids=INJECTIONS.keys())
async def test_no_string_of_a_request_can_forge_a_record(text: str) -> None:
    """Threats, faults 47: one line a record, in every field, as many records as questions."""
    async with serving(Scripted()) as running:
        log_of(running)
        forms = [place.hold(text) for place in PLACES]
        forms += [but(GOOD, (name, text)) for name in ("request_id", "min_policy_revision", "token")]
        for form in forms:
            await outcome_of(running, request_bytes(form))
            written = running.log.getvalue()
            (record,) = log_of(running)  # also fails where a line is not one safe, whole record
            assert record["event"] in {"decision", "refused"}
            assert "forged" not in record
            line = console_line(None, "info", record)
            assert line.isprintable()
            assert written.count("\n") == 1
            if record["event"] == "decision" and form["tool"] == text:
                assert record["tool"] == text


async def test_a_field_that_is_refused_cannot_forge_a_record_by_its_path() -> None:
    """L60: the path of a field holds names from the request; they are cut and escaped in log and answer."""
    names = [text for text in INJECTIONS.values() if not any(c < " " or "\x7f" <= c <= "\x9f" for c in text)]
    async with serving(Scripted()) as running:
        log_of(running)
        for name in (*names, "x" * 1_024):
            for value in (float("nan"), "\ud800"):
                data = request_bytes(but(GOOD, (("context", name), [{name: [value]}])))
                code, details = await code_of(running.unary("Check")(data))
                assert code is CODE.INVALID_ARGUMENT
                assert len(details) <= 500
                (record,) = log_of(running)
                assert record["event"] == "refused"
                assert len(record["field"]) <= 200


# --- Starting -------------------------------------------------------------------------------

SERVER = (sys.executable, "-m", "authz.cli.server")
EVAL = (sys.executable, "-m", "authz.cli.eval")


def said(code: int, *command: str, stdin: str = "") -> str:
    """Run a command that must fail with this code; return the one line that it says."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert_tells_nothing(done.stderr)
    assert done.stderr[:-1].isprintable()
    return done.stderr.removeprefix("error: ")[:-1]


def test_a_port_in_use_is_one_line_that_names_the_address(policies: Path) -> None:
    """Issue 2, bad input: a port in use: one clear line and its exit code."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = said(1, *SERVER, "--policies", str(policies), "--listen", address)
    assert line == f"cannot listen on `{address}`: the address is in use"


@pytest.mark.parametrize("name", ["none", "none\nerror: forged", "\x1b[31mnone"], ids=["missing", "newline", "ANSI"])
def test_a_missing_policy_directory_is_one_line_that_names_it(tmp_path: Path, name: str) -> None:
    """Issue 2, bad input: a missing file: one clear line and exit code 1, whatever the name holds."""
    missing = str(tmp_path / name)
    lines = [said(1, *SERVER, "--policies", missing), said(1, *EVAL, "check", missing, "--tool", "t", "--anonymous")]
    for line in lines:
        assert str(tmp_path) in line
        assert "none" in line


def test_an_unknown_flag_is_one_line_that_names_it(policies: Path) -> None:
    """Issue 2, bad input: an unknown flag: one clear line and exit code 2."""
    lines = [
        said(2, *SERVER, "--policies", str(policies), "--refelction"),
        said(2, *EVAL, "check", str(policies), "--tenent", "x"),
        said(2, *EVAL, "chek", str(policies)),
    ]
    for line, word in zip(lines, ("--refelction", "--tenent", "chek"), strict=True):
        assert word in line


def test_a_malformed_request_is_one_line_that_names_the_field(policies: Path) -> None:
    """Issue 2, bad input: INVALID_ARGUMENT with the field's path, on the command line with exit code 2."""
    for change, path in (
        (("tool", "x\n"), "tool"),
        (("context.\u202ea", [{"b": "\ud800"}]), "context."),
        (("token", CANARY), "token"),
    ):
        line = said(2, *EVAL, "check", str(policies), "--request", "-", stdin=json.dumps(but(GOOD, change)))
        assert line.startswith(f"the request is malformed: {path}")
