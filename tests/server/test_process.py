"""`authz-server` as a process: how it starts, what it says, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from authz.cli.server import main
from authz.v1 import decision_pb2 as v1
from authz.v1.decision_pb2_grpc import DecisionServiceStub
from tests.server.support import NOT_SERVING, POLICY, Carrier, ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from authz.server.config import Transport

COMMAND = (sys.executable, "-m", "authz.cli.server")
DENY_ALL = 'tool "ping" { deny because "closed" }\n'


@dataclass
class Process:
    """A server process and its log, which is read as it comes."""

    popen: subprocess.Popen[str]
    log: list[dict[str, Any]] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)
    ended: bool = False

    def follow(self, stream: IO[str]) -> None:
        """Read the log to its end."""
        for line in stream:
            with self.came:
                self.log.append(json.loads(line) if line.startswith("{") else {"event": "not a record", "line": line})
                self.came.notify_all()
        with self.came:
            self.ended = True
            self.came.notify_all()

    def record(self, event: str, **values: object) -> dict[str, Any]:
        """Wait for a record and return the newest that fits."""

        def found() -> dict[str, Any] | None:
            fits = [r for r in self.log if r["event"] == event and values.items() <= r.items()]
            return fits[-1] if fits else None

        with self.came:
            self.came.wait_for(lambda: self.ended or found() is not None, 60)
            record = found()
        assert record is not None, (event, self.log)
        return record

    def check(self, request: v1.CheckRequest) -> v1.CheckResponse:
        """Ask one question over a channel of its own."""
        with grpc.insecure_channel(self.record("listening")["address"]) as channel:
            return DecisionServiceStub(channel).Check(request, timeout=30)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(60)


@contextlib.contextmanager
def server(policies: Path, *options: str) -> Iterator[Process]:
    """Start a server on a port of its own choice."""
    options = ("--listen", "127.0.0.1:0", "--transport", Carrier.chosen, *options)
    command = (*COMMAND, "--policies", str(policies), *options)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as popen:
        process = Process(popen)
        assert popen.stderr is not None
        reader = threading.Thread(target=process.follow, args=(popen.stderr,))
        reader.start()
        try:
            process.record("listening")
            yield process
        finally:
            popen.kill()
            reader.join(30)


def failure(*options: str, code: int) -> str:
    """Return what a server says that does not start."""
    done = subprocess.run((*COMMAND, *options), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def shared_policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the policy directory of the shared server."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "a.authz").write_text(POLICY)
    return folder


@pytest.fixture(scope="module")
def shared(shared_policies: Path, transport: Transport) -> Iterator[Process]:
    """Run one server for the tests that leave it as they find it."""
    with server(shared_policies, "--transport", transport) as process:
        yield process


def usage_error(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Return what the command says of options that it does not take; it starts no server."""
    with pytest.raises(SystemExit) as ended:
        main(options)
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    return said.err


def put(policies: Path, text: str) -> None:
    """Change the policy in one step."""
    (policies / "a.new").write_text(text)
    (policies / "a.new").rename(policies / "a.authz")


def test_a_server_decides_by_the_policy_of_its_directory(shared: Process) -> None:
    """Issue 2: real decisions over gRPC, from policy text."""
    document = v1.Resource(type="document", id="d1")
    document.attributes.update({"owner": "alice"})
    allowed = shared.check(ask("read_it", scopes=["docs:read"], resource=document))
    assert (allowed.decision, list(allowed.rules)) == (v1.DECISION_ALLOW, ["a:owner"])
    lacking = shared.check(ask("read_it", resource=document, explain=True))
    assert (lacking.reason, list(lacking.missing_scopes)) == (v1.REASON_INSUFFICIENT_SCOPE, ["docs:read"])
    assert lacking.explanation.rules
    other = shared.check(ask("read_it", subject="bob", scopes=["docs:read"], resource=document))
    assert (other.decision, other.reason) == (v1.DECISION_DENY, v1.REASON_NO_ALLOW)
    assert shared.check(ask("nothing")).reason == v1.REASON_UNKNOWN_TOOL
    record = shared.record("decision", decision_id=allowed.decision_id)
    assert record["policy_revision"] == allowed.policy_revision


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_zero(policies: Path, number: int) -> None:
    """Issue 2: graceful drain: NOT_SERVING first, every call in flight answered, exit 0."""
    with server(policies) as process, grpc.insecure_channel(process.record("listening")["address"]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answers = DecisionServiceStub(channel).StreamCheck(iter([v1.StreamCheckRequest(check=ask())] * 50))
        pending = [DecisionServiceStub(channel).Check.future(ask()) for _ in range(100)]
        watch = health.Watch(health_pb2.HealthCheckRequest())
        statuses = [next(watch).status]
        process.popen.send_signal(number)
        statuses += [answer.status for answer in watch]
        assert statuses[-1] == NOT_SERVING
        assert [answer.response.decision for answer in answers] == [v1.DECISION_ALLOW] * 50
        assert {call.result(30).decision for call in pending} == {v1.DECISION_ALLOW}
        assert process.popen.wait(60) == 0
        assert process.record("stopped")


def test_a_second_signal_ends_at_once(policies: Path) -> None:
    """Issue 2: whoever insists is not kept waiting by a call that never ends."""
    never = threading.Event()

    def asked() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        never.wait()

    with (
        server(policies, "--grace", "3000", "--reflection") as process,
        grpc.insecure_channel(process.record("listening")["address"]) as channel,
    ):
        # A reflection stream ends when its caller does, whatever the server wants; its answer shows that it is there.
        held = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked())
        assert next(held).HasField("list_services_response")
        process.popen.send_signal(signal.SIGTERM)
        process.record("draining")
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(60) == -signal.SIGTERM
        never.set()


def test_a_changed_policy_takes_effect_and_a_broken_one_does_not(policies: Path) -> None:
    """Issue 2: hot reload: all-or-nothing, last good policy stays, SIGHUP asks again."""
    with server(policies) as process, grpc.insecure_channel(process.record("listening")["address"]) as channel:
        first = process.record("listening")["policy_revision"]
        put(policies, DENY_ALL)
        second = process.record("policy_reloaded", before=first)["policy_revision"]
        assert process.check(ask()).policy_revision == second
        put(policies, 'tool "ping" { allow anyone\n  allow role }\n')
        process.record("policy_broken", still_serving=second)
        assert process.record("policy_error")["line"] == 2
        assert process.check(ask()).policy_revision == second
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(service="authz.policy")).status == NOT_SERVING
        broken = sum(record["event"] == "policy_broken" for record in process.log)
        process.popen.send_signal(signal.SIGHUP)
        with process.came:
            assert process.came.wait_for(lambda: sum(r["event"] == "policy_broken" for r in process.log) > broken, 60)
        put(policies, POLICY)
        process.record("policy_reloaded", policy_revision=first)
        assert process.check(ask(min_policy_revision=second)).policy_revision == first
        assert process.end() == 0


def test_an_invalid_policy_is_reported_and_ends_with_four(policies: Path) -> None:
    """Issue 2, bad input: refused with diagnostics, exit 4, nothing half-loaded."""
    (policies / "b.authz").write_text('tool "x" { allow role }\n')
    said = failure("--policies", str(policies), code=4)
    assert "b.authz:1:" in said


def test_what_cannot_run_says_so_in_one_line(
    policies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 2, bad input: a missing directory, a port in use, an unknown flag: one clear line and its exit code."""
    lines = [failure("--policies", str(tmp_path / "none"), code=1)]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        lines.append(failure("--policies", str(policies), "--listen", f"127.0.0.1:{port}", code=1))
        assert "in use" in lines[-1]
    lines += [
        failure("--policies", str(policies), "--listen", "192.0.2.1:80", "--insecure-bind", code=1),
        failure("--policies", str(policies), "--listen", f"unix:{tmp_path}/no/s", code=1),
        failure(code=2),
        usage_error(capsys, "--policies", str(policies), "--listen", "0.0.0.0:0"),
        usage_error(capsys, "--policies", str(policies), "--listen", "nonsense"),
        usage_error(capsys, "--policies", str(policies), "--max-concurrent", "0"),
        usage_error(capsys, "--policies", str(policies), "--bogus"),
    ]
    for line in lines:
        assert line.startswith("error: ")
        assert line.count("\n") == 1


def test_two_servers_cannot_share_a_port(shared: Process, shared_policies: Path) -> None:
    """Issue 2: a port in use is an error, also when the other one is a gRPC server."""
    address = shared.record("listening")["address"]
    assert "in use" in failure("--policies", str(shared_policies), "--listen", address, code=1)


def test_a_log_that_nobody_reads_holds_up_no_answer(policies: Path) -> None:
    """Issue 2: every call is answered; what the log then lacks is counted to the record."""
    command = (*COMMAND, "--policies", str(policies), "--listen", "127.0.0.1:0", "--grace", "0")
    with subprocess.Popen(command, stderr=subprocess.PIPE) as popen:
        assert popen.stderr is not None
        address = json.loads(popen.stderr.readline())["address"]
        batch = v1.BatchCheckRequest(subject="\U0001f600" * 1_000, questions=[v1.Question(tool="ping")] * 1_000)
        with grpc.insecure_channel(address) as channel:
            for _ in range(3):  # far more than pipe and queue hold
                assert len(DecisionServiceStub(channel).BatchCheck(batch, timeout=60).results) == 1_000
        popen.terminate()
        records = [json.loads(line) for line in popen.stderr.read().splitlines()]
        assert popen.wait(60) == 0
    lost = [record["records"] for record in records if record["event"] == "records_lost"]
    assert lost
    written = sum(record["event"] in {"decision", "draining", "stopped"} for record in records)
    assert written + sum(lost) == 3_002


def test_a_unix_socket_is_served_and_freed(policies: Path, tmp_path: Path) -> None:
    """Issue 2: `unix:/path` keeps the network out altogether."""
    address = f"unix:{tmp_path}/s"
    with server(policies, "--listen", address) as process:
        assert process.record("listening")["address"] == address
        assert "another process" in failure("--policies", str(policies), "--listen", address, code=1)
    assert (tmp_path / "s").exists()  # it was killed; the next one takes the place of what it left
    with server(policies, "--listen", address) as process:
        assert process.check(ask()).decision == v1.DECISION_ALLOW


def test_help_starts_without_grpc() -> None:
    """CONTRIBUTING.md: help and mistakes must not wait for what they do not need."""
    code = "import sys, authz.cli.server; print([m for m in sys.modules if m.partition('.')[0] in ('grpc', 'google')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
