"""Both servers as processes on loopback, each answering rightly before anybody times it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc

from authz.v1 import decision_pb2 as v1
from scripts.benchmarks import cerbos, peers
from scripts.benchmarks.machine import SERVER, cores
from scripts.benchmarks.measuring import WrongAnswerError
from scripts.benchmarks.workloads import w2_questions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scripts.benchmarks.workloads import Asked, Question

CHECK: Final = "/authz.v1.DecisionService/Check"
BATCH_CHECK: Final = "/authz.v1.DecisionService/BatchCheck"
_PATIENCE: Final = 300
"""Seconds until a server must be ready."""
_IDLE: Final = 0.1
"""Seconds without any work after which a server has nothing left to do."""
_OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True, slots=True)
class Served:
    """A server that is ready."""

    name: str
    port: int
    pid: int
    method: str
    """The gRPC method that asks one question."""
    ask: Callable[[Question], bytes]
    """Return the message of a question."""
    allowed: Callable[[bytes], bool]
    """Say what an answer says."""
    seconds: float = 0.0
    """From its start to its first answer."""

    @property
    def url(self) -> str:
        """Return where one question is asked."""
        return f"http://127.0.0.1:{self.port}{self.method}"

    def memory(self) -> float:
        """Return its resident memory in MB, that of the processes it started included."""
        return sum(_resident(pid) for pid in _family(self.pid))

    def settle(self) -> float:
        """Wait until it has nothing left to do; return for how many seconds it had."""
        began = last = time.perf_counter()
        spent = _spent(self.pid)
        while (now := time.perf_counter()) - last < _IDLE and now - began < _PATIENCE:
            time.sleep(0.01)
            if (more := _spent(self.pid)) != spent:
                spent, last = more, time.perf_counter()
        return last - began

    def check(self, asked: Sequence[Asked]) -> None:
        """Ask over gRPC. Raises `WrongAnswerError` where an answer is not the right one."""
        with channel_to(self.port) as channel:
            call: Callable[..., bytes] = channel.unary_unary(self.method)
            for one in asked:
                self._checked(call, one)

    def answer(self, asked: Asked) -> bytes:
        """Ask once; return the answer's message. Raises `WrongAnswerError` when it is not the right one."""
        with channel_to(self.port) as channel:
            return self._checked(channel.unary_unary(self.method), asked)

    def _checked(self, call: Callable[..., bytes], asked: Asked) -> bytes:
        try:
            answer = call(self.ask(asked.question), timeout=30)
        except grpc.RpcError as error:
            raise WrongAnswerError(f"{self.name} failed: {told(error)}") from None
        if self.allowed(answer) is not asked.allowed:
            raise WrongAnswerError(f"a wrong answer by {self.name} to {asked.question}")
        return answer


def told(error: grpc.RpcError) -> str:
    """Return what a failed call said."""
    call: Any = error  # gRPC raises what is both, and its stubs say it cannot be
    return f"{call.code().name}: {call.details()}"


def channel_to(port: int) -> grpc.Channel:
    """Return a connection of its own to a port."""
    return grpc.insecure_channel(f"127.0.0.1:{port}", [*_OPTIONS, ("grpc.use_local_subchannel_pool", 1)])


def question_message(question: Question) -> v1.CheckRequest:
    """Return a question as our protocol has it."""
    asked = v1.CheckRequest(
        subject=question.subject,
        scopes=question.scopes,
        roles=question.roles,
        tenant=question.tenant,
        tool=question.tool,
    )
    if question.type:
        asked.resource.type, asked.resource.id = question.type, question.id
        asked.resource.tenant = question.of_tenant
        asked.resource.attributes["owner"] = question.owner
    return asked


def says_allow(answer: bytes) -> bool:
    """Say what one of our answers says."""
    return v1.CheckResponse.FromString(answer).decision == v1.DECISION_ALLOW


@contextmanager
def authz(
    name: str, policies: Path, *options: str, wanted: frozenset[int] = SERVER, asked: Sequence[Asked] | None = None
) -> Iterator[Served]:
    """Run our server. Raises `UnavailableError` when it does not start with these options."""
    port = _free_port()
    command = [sys.executable, "-m", "authz.cli.server", "--policies", str(policies), "--listen", f"127.0.0.1:{port}"]
    with _running([*command, "--log-level", "warning", *options], port, wanted) as (pid, started):
        served = Served(name, port, pid, CHECK, lambda one: question_message(one).SerializeToString(), says_allow)
        yield _ready(served, started, asked)


@contextmanager
def cerbos_server(
    name: str, files: Iterable[tuple[str, str]], *, audit: bool, asked: Sequence[Asked] | None = None
) -> Iterator[Served]:
    """Run Cerbos on the server's core, as its own documentation sets it up. Raises `UnavailableError`."""
    program = peers.cerbos()
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as place:
        folder = Path(place) / "policies"
        folder.mkdir()
        for file, text in files:
            (folder / file).write_text(text, encoding="utf-8")
        http, port = _free_port(), _free_port()
        settings = Path(place) / "cerbos.yaml"
        log = Path(place) / "audit.log" if audit else None
        settings.write_text(cerbos.config(folder, http, port, log), encoding="utf-8")
        command = [str(program.path), "server", f"--config={settings}", "--log-level=error"]
        with _running(command, port, SERVER, {"GOMAXPROCS": str(len(SERVER))}) as (pid, started):
            served = Served(
                name,
                port,
                pid,
                cerbos.METHOD,
                lambda one: cerbos.request([one]),
                lambda answer: cerbos.allowed(answer) == [True],
            )
            yield _ready(served, started, asked)
            if log is not None and not log.stat().st_size:
                raise WrongAnswerError("Cerbos wrote no audit log")


def _ready(served: Served, started: float, asked: Sequence[Asked] | None) -> Served:
    """Ask all that the server must know, W2 unless other questions are given."""
    asked = w2_questions() if asked is None else asked
    served.check(asked[:1])
    seconds = time.perf_counter() - started
    served.check(asked)
    return replace(served, seconds=seconds)


@contextmanager
def _running(
    command: Sequence[str], port: int, wanted: frozenset[int], environment: dict[str, str] | None = None
) -> Iterator[tuple[int, float]]:
    """Run a server; yield its process and when it was started, once it takes a connection."""
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        with cores(wanted):
            process = subprocess.Popen(
                command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=errors
            )
        try:
            _wait(process, port, started)
            yield process.pid, started
        except peers.UnavailableError as error:
            errors.seek(0)
            words = [line.strip() for line in errors if line.strip()]
            raise peers.UnavailableError(f"{error}: {words[-1] if words else 'no word'}") from None
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, started: float) -> None:
    while process.poll() is None and time.perf_counter() - started < _PATIENCE:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    if process.poll() is None:
        raise peers.UnavailableError(f"it was not ready in {_PATIENCE} s")
    raise peers.UnavailableError(f"it ended with exit code {process.returncode}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def _family(pid: int) -> list[int]:
    children: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread may end at any time
            children += (task / "children").read_text(encoding="ascii").split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _spent(pid: int) -> int:
    """Return the processor's ticks that a server and those it started have had."""
    total = 0
    for one in _family(pid):
        fields = Path(f"/proc/{one}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
