"""P7 and P8: what it costs to begin: a command from a cold start, and a large policy from its text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.benchmarks import cerbos, servers
from scripts.benchmarks.loads import A_FILE, rules_file
from scripts.benchmarks.machine import SERVER, cores
from scripts.benchmarks.measuring import Skipped, WrongAnswerError, measured
from scripts.benchmarks.peers import UnavailableError
from scripts.benchmarks.workloads import Asked, Question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.benchmarks.measuring import Found

_ROOT: Final = Path(__file__).resolve().parents[2]
_SIZES: Final = (1_000, 10_000, 100_000)
_BARS: Final = {10_000: ("<= 3", "<= 0.3", "<= 178")}


def p7(quick: bool) -> Iterator[Found]:  # noqa: FBT001  # the one argument of every group
    """Yield what a dry run takes over a Python that does nothing."""
    rounds = 7 if quick else 25
    program = str(Path(sys.executable).with_name("authz-eval"))
    question = ["--subject", "alice", "--role", "viewer", "--scope", "docs:read", "--tool", "list_documents"]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "authz-eval check": [program, "check", "policies/documents", *question],
    }
    # What is installed has its bytecode; the first run writes it, whatever the environment says.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    asked = commands["authz-eval check"]
    said = subprocess.run(asked, cwd=_ROOT, env=kept, check=False, capture_output=True, text=True)
    if said.returncode or not said.stdout.startswith("ALLOW"):
        yield Skipped("authz-eval check", f"it said `{said.stdout.strip() or said.stderr.strip()}`")
        return
    spent: dict[str, list[float]] = {name: [] for name in commands}
    with cores(SERVER):
        for _ in range(rounds):
            for name, command in commands.items():
                started = time.perf_counter()
                subprocess.run(command, cwd=_ROOT, env=kept, check=True, capture_output=True)
                spent[name].append((time.perf_counter() - started) * 1_000)
    for name, found in spent.items():
        yield measured(name, found, "ms")
    bare, checked = spent.values()
    added = [long - short for long, short in zip(checked, bare, strict=True)]
    yield measured("authz-eval check over python -c pass", added, "ms", "<= 150")


def p8(quick: bool) -> Iterator[Found]:  # noqa: FBT001  # as above
    """Yield what it takes to load a policy, to load it again after a change, and to keep it; Cerbos beside it."""
    rounds = 2 if quick else 5
    sizes = _SIZES[:2] if quick else _SIZES
    colds = {}
    for size in sizes:
        with _policy(size) as folder:
            loads = [_load(folder, size) for _ in range(rounds if size < _SIZES[-1] else 2)]
            cold, changed, kept = ([one[key] for one in loads] for key in ("cold", "changed", "memory"))
            bars = _BARS.get(size, ("", "", ""))
            yield measured(f"{size:,} rules, text to ready", cold, "s", bars[0])
            yield measured(f"{size:,} rules, after a change in one of {size // A_FILE:,} files", changed, "s", bars[1])
            yield measured(f"{size:,} rules, memory of a process that loaded them", kept, "MB")
            yield from _served(folder, size, rounds, bars[2])
            colds[size] = cold
    for fewer, more in pairwise(sizes):
        longer = [colds[more][number] / colds[fewer][number] for number in range(len(colds[more]))]
        # Linear is 10; what does not depend on the size makes it less, and the processor's memory a little more.
        yield measured(f"text to ready, {more:,} rules over {fewer:,}", longer, "x", "<= 12")
    yield from _cerbos(_SIZES[0] if quick else _SIZES[1])


def _load(folder: Path, size: int) -> dict[str, float]:
    """Load in a process of its own. Raises `WrongAnswerError` when the policy then decides otherwise than it should."""
    with cores(SERVER):
        ended = subprocess.run(
            [sys.executable, "-m", "scripts.benchmarks.loads", str(folder), str(size)],
            cwd=_ROOT, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False, capture_output=True, text=True,
        )  # fmt: skip
    if ended.returncode:
        raise WrongAnswerError(f"{size:,} rules: {(ended.stderr.strip() or 'no word').splitlines()[-1]}")
    found: dict[str, float] = json.loads(ended.stdout)
    return found


def _served(folder: Path, size: int, rounds: int, bar: str) -> Iterator[Found]:
    seconds, memory = [], []
    last = size - 1
    right = Question(
        "alice", f"tool{last}", "acme", (f"scope_{last % 10}",), (f"role_{last % 20}",), "document", "d", "eve", "acme"
    )
    asked = [Asked(right, True), Asked(replace(right, roles=()), False)]
    for _ in range(rounds if size < _SIZES[-1] else 1):
        try:
            with servers.authz(f"{size:,} rules", folder, asked=asked) as served:
                seconds.append(served.seconds)
                memory.append(served.memory())
        except UnavailableError as error:
            yield Skipped(f"{size:,} rules served", str(error))
            return
    yield measured(f"{size:,} rules, from the server's start to its first answer", seconds, "s")
    yield measured(f"{size:,} rules, memory of the server", memory, "MB", bar)


def _cerbos(size: int) -> Iterator[Found]:
    name = f"Cerbos, {size:,} policies of one rule"
    right = Question("alice", "read", "acme", ("scope_1",), ("role_1",), f"kind_{size - 19}", "d", "eve", "acme")
    try:
        with servers.cerbos_server(name, cerbos.many_policies(size), audit=False, asked=[Asked(right, True)]) as served:
            yield measured(f"{name}, from its start to its first answer", [served.seconds], "s")
            yield measured(f"{name}, memory", [served.memory()], "MB")
    except (UnavailableError, WrongAnswerError) as error:
        yield Skipped(name, str(error))


@contextmanager
def _policy(size: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as name:
        for first in range(0, size, A_FILE):
            (Path(name) / f"rules{first}.authz").write_text(rules_file(first), encoding="utf-8")
        (Path(name) / "roles.authz").write_text(
            'resource "document" { owner: string }\nrole "owner" when resource.owner == subject.id\n', encoding="utf-8"
        )
        yield Path(name)
