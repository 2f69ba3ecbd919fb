"""Starts an engine's process, and says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scripts.benchmarks import peers
from scripts.benchmarks.machine import SERVER, cores
from scripts.benchmarks.measuring import WrongAnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS: Final = "authz"
PEERS: Final = {
    "rego": "rego in Rust",
    "cedar": "Cedar",
    "casbin": "casbin Enforcer",
    "casbin_fast": "casbin FastEnforcer",
    "vakt": "vakt",
}
"""Their modules, and what to call them."""
_PACKAGES: Final = {
    "rego": "opa-eval", "cedar": "cedarpy", "casbin": "casbin", "casbin_fast": "casbin", "vakt": "vakt",
}  # fmt: skip
_ROOT: Final = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Worker:
    """An engine in a process of its own."""

    engine: str
    process: subprocess.Popen[str]

    def version(self) -> str:
        """Return the engine's version."""
        return str(self._ask({"do": "version"}))

    def build(self, kind: str, rules: int = 0) -> float:
        """Give it a policy; return the nanoseconds of the first answers. Raises `WrongAnswerError` where it errs."""
        built = self._ask({"do": "build", "as": f"{kind}-{rules}", "kind": kind, "rules": rules})
        if built["wrong"]:
            raise WrongAnswerError(f"{len(built['wrong'])} wrong answers by {self.engine}, as to {built['wrong'][0]}")
        return float(built["first"])

    def time(self, kind: str, rules: int = 0, *, seconds: float, which: str = "all") -> float:
        """Return the nanoseconds of a decision: of all questions, of the `allowed`, the `denied`, or on `few` rules."""
        return float(self._ask({"do": "time", "as": f"{kind}-{rules}", "seconds": seconds, "which": which}))

    def drop(self, kind: str, rules: int = 0) -> None:
        """Let it forget a policy."""
        self._ask({"do": "drop", "as": f"{kind}-{rules}"})

    def _ask(self, command: dict[str, Any]) -> Any:  # noqa: ANN401  # JSON
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None
        line = self.process.stdout.readline()
        if not line:
            raise self._gone()
        return json.loads(line)

    def _gone(self) -> peers.UnavailableError:
        assert self.process.stderr is not None
        last = (self.process.stderr.read().strip() or "no word").splitlines()[-1]
        return peers.UnavailableError(f"its process ended: {last}")


@contextmanager
def worker(engine: str) -> Iterator[Worker]:
    """Run an engine on the server's core. Raises `UnavailableError` when it does not start."""
    python = sys.executable if engine == OURS else str(peers.python(_PACKAGES[engine]))
    command = [python, "-m", "scripts.benchmarks.engines.worker", engine]
    with cores(SERVER):
        process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    with process:  # leaving it closes its stdin, at which it ends
        yield Worker(engine, process)
