"""Servers of several processes: started, asked over many connections, and watched by their log."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authz.v1.decision_pb2_grpc import DecisionServiceStub
from tests.server.support import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from authz.v1 import decision_pb2 as v1

COMMAND = (sys.executable, "-m", "authz.cli.server")
DENY_ALL = 'tool "ping" { deny because "closed" }\n'
BROKEN = 'tool "ping" { allow role }\n'
CONNECTIONS = 24
"""So many that all go to one of two workers once in eight million times."""
_WAIT_S = 60.0


@dataclass
class Crew:
    """A parent and its workers, and the log that all of them write."""

    popen: subprocess.Popen[str]
    log: list[dict[str, Any]] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)
    ended: bool = False

    def follow(self, stream: IO[str]) -> None:
        """Read the log until every process has let go of it."""
        for line in stream:
            with self.came:
                self.log.append(json.loads(line) if line.startswith("{") else {"event": "not a record", "line": line})
                self.came.notify_all()
        with self.came:
            self.ended = True
            self.came.notify_all()

    def records(self, event: str, **values: object) -> list[dict[str, Any]]:
        """Return the records that fit, as far as they have come."""
        return [record for record in self.log if record["event"] == event and values.items() <= record.items()]

    def record(self, event: str, number: int = 1, **values: object) -> dict[str, Any]:
        """Wait until so many records fit, and return the last of them."""
        self.wait(lambda: self.ended or len(self.records(event, **values)) >= number)
        found = self.records(event, **values)
        assert len(found) >= number, (event, values, self.log)
        return found[number - 1]

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait for something that the log shows."""
        with self.came:
            assert self.came.wait_for(condition, _WAIT_S), self.log

    def gone(self) -> None:
        """Wait until no process is left."""
        self.wait(lambda: self.ended)

    @property
    def address(self) -> str:
        """Return where they listen."""
        return str(self.record("workers_listening")["address"])

    def pid(self, worker: int) -> int:
        """Return the id of a worker's newest process."""
        return int(self.records("worker_started", worker=worker)[-1]["pid"])

    @contextlib.contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """Open a connection of its own, which the kernel gives to any of the workers."""
        options = (("grpc.use_local_subchannel_pool", 1),)
        with grpc.insecure_channel(self.address, options) as channel:
            yield channel

    def check(self, request: v1.CheckRequest) -> v1.CheckResponse:
        """Ask over a connection of its own."""
        with self.channel() as channel:
            return DecisionServiceStub(channel).Check(request, timeout=30)

    def revisions(self) -> Counter[str]:
        """Ask over many connections; return how many answers came from which revision."""
        return Counter(self.check(ask()).policy_revision for _ in range(CONNECTIONS))

    def health(self, service: str = "authz.policy") -> set[int]:
        """Ask for the health over many connections; return what was said."""
        return {self._health(service) for _ in range(CONNECTIONS)}

    def _health(self, service: str) -> int:
        with self.channel() as channel:
            request = health_pb2.HealthCheckRequest(service=service)
            return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=30).status)

    def end(self, number: int) -> int:
        """Send the parent a signal, and return its exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(_WAIT_S)


@contextlib.contextmanager
def crew(*options: str | Path, workers: int = 2) -> Iterator[Crew]:
    """Start a server of several processes on a port that the system chooses, and leave none of them behind."""
    command = (*COMMAND, "--listen", "127.0.0.1:0", "--workers", str(workers), *map(str, options))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as popen:
        running = Crew(popen)
        assert popen.stderr is not None
        reader = threading.Thread(target=running.follow, args=(popen.stderr,))
        reader.start()
        try:
            running.record("workers_listening")
            for worker in range(1, workers + 1):  # their own records take another way
                running.record("listening", worker=worker)
            yield running
        finally:
            popen.kill()  # the workers end by themselves then
            reader.join(_WAIT_S)
            assert not reader.is_alive()


def until(condition: Callable[[], object]) -> None:
    """Wait until something holds that the log does not show; fail the test when it never does."""
    ends = time.monotonic() + _WAIT_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def failure(*options: str | Path, code: int) -> str:
    """Return what a server of several processes says that does not start."""
    command = (*COMMAND, "--workers", "2", "--log-level", "error", *map(str, options))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def put(policies: Path, text: str) -> None:
    """Change the policy in one step."""
    (policies / "a.new").write_text(text)
    (policies / "a.new").rename(policies / "a.authz")
