"""One question again and again over one connection, by h2load on a core of its own."""

from __future__ import annotations

import math
import os
import re
import struct
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.benchmarks.machine import LOAD, cores
from scripts.benchmarks.measuring import WrongAnswerError, percentile

if TYPE_CHECKING:
    from scripts.benchmarks.peers import Program
    from scripts.benchmarks.servers import Served
    from scripts.benchmarks.workloads import Asked

_STATUS: Final = re.compile(r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", re.MULTILINE)
_REQUESTS: Final = re.compile(
    r"^requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", re.MULTILINE
)
_RATE: Final = re.compile(r"^finished in .*?, ([\d.]+) req/s", re.MULTILINE)
_DATA: Final = re.compile(r"\((\d+)\) data$", re.MULTILINE)
_FRAME: Final = 5
"""Bytes that gRPC puts before a message."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run measured."""

    rate: float
    """Answers a second."""
    p99: float
    """Milliseconds that 99 of a hundred answers did not exceed."""
    slowest: float
    """Milliseconds."""
    answered: int


def loaded(program: Program, served: Served, asked: Asked, flight: int, seconds: float) -> Load:
    """Ask for so long, with so many calls in flight. Raises `WrongAnswerError` when a call failed.

    h2load counts an answer by its HTTP status alone, which gRPC sends with errors as well. An error has no message; so
    the answers of the run must have had, together, as many bytes as so many right ones. (Its own warm-up would count
    in the bytes and not in the answers: whoever wants one asks for a short run before.)
    An answer is not done before its record is written: the time until the server is idle again counts as well.
    """
    message = served.ask(asked.question)
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as place:
        data, log = Path(place) / "data", Path(place) / "log"
        data.write_bytes(b"\0" + struct.pack(">I", len(message)) + message)
        command = [str(program.path), f"-D{int(seconds * 1_000)}ms", "-c1", f"-m{flight}"]
        headers = ["-Hcontent-type: application/grpc", "-Hte: trailers"]
        with cores(LOAD):
            ended = subprocess.run(
                [*command, *headers, f"-d{data}", f"--log-file={log}", served.url],
                env={**os.environ, **program.environment},
                check=False,
                capture_output=True,
                text=True,
                timeout=seconds + 60,
            )
        settled = served.settle()
        found, data_bytes = _read(served, ended, log)
    expected = found.answered * (len(served.answer(asked)) + _FRAME)
    if not math.isclose(data_bytes, expected, rel_tol=0.02, abs_tol=flight * 1_000):
        raise WrongAnswerError(f"{served.name} answered {data_bytes} bytes under load instead of {expected}")
    return replace(found, rate=found.answered / (found.answered / found.rate + settled))


def _read(served: Served, ended: subprocess.CompletedProcess[str], log: Path) -> tuple[Load, int]:
    text = ended.stdout
    rate, status, requests, data = (one.search(text) for one in (_RATE, _STATUS, _REQUESTS, _DATA))
    if rate is None or status is None or requests is None or data is None:
        said = (ended.stderr.strip() or text.strip() or "nothing").splitlines()[-1]
        raise WrongAnswerError(f"{served.name} was not measured: h2load said `{said}`")
    answered, others = int(status[1]), sum(map(int, status.groups()[1:]))
    if others or any(map(int, requests.groups()[1:])) or not answered:
        raise WrongAnswerError(f"{served.name} failed under load: {status[0]}; {requests[0]}")
    spent = [int(line.rsplit("\t", 1)[1]) / 1_000 for line in log.read_text(encoding="ascii").splitlines()]
    return Load(float(rate[1]), percentile(spent, 0.99), max(spent), answered), int(data[1])
