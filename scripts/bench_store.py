"""What the store costs: the decision log, verification, completion from the directory, import."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc

from authz.audit.signing import load_verifier, public_path
from authz.audit.verify import verify
from authz.directory.completion import Completer
from authz.model import Request, Resource
from authz.pap.loader import load
from authz.stores.sqlite.store import key_path, open_store
from authz.v1 import decision_pb2 as v1
from authz.v1.decision_pb2_grpc import DecisionServiceStub
from scripts.measuring import Measure, measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.stores.sqlite.store import SqliteStore

POLICY: Final = """\
scope "docs:read"
resource "document" { owner: string  level: number }
role "owner" when resource.owner == subject.id
tool "read" on "document" { require scope "docs:read"  allow role "owner" when resource.level < 5 }
"""
IN_FLIGHT: Final = 8


def measure(quick: bool) -> Iterator[Measure]:  # noqa: FBT001  # the one argument of every group
    """Yield the figures of the store, each as soon as it is there."""
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as folder:
        place = Path(folder)
        (place / "p.authz").write_text(POLICY, encoding="utf-8")
        yield from _log_price(place, rounds=3 if quick else 7, seconds=1.0 if quick else 3.0)
        yield from _durable(place, rounds=3 if quick else 5, records=5_000 if quick else 20_000)
        yield from _verification(place, records=50_000 if quick else 500_000)
        yield from _directory(place, resources=50_000 if quick else 1_000_000)


# --- The log's price ------------------------------------------------------------------------


def _log_price(place: Path, rounds: int, seconds: float) -> Iterator[Measure]:
    """Ask three servers in turn: without a log, with one that answers do not wait for, and with a required one."""
    options: dict[str, tuple[str, ...]] = {
        "off": (),
        "best-effort": ("--store", str(place / "b.db"), "--decision-log", "best-effort"),
        "required": ("--store", str(place / "r.db"), "--decision-log", "required"),
    }
    rates: dict[str, list[float]] = {mode: [] for mode in options}
    with ExitStack() as stack:
        servers = {mode: stack.enter_context(_server(place, mode, given)) for mode, given in options.items()}
        _pin(0)
        for _ in range(rounds):
            for mode, address in servers.items():
                rates[mode].append(asyncio.run(_load(address, seconds)))
        _pin(None)
    for mode in options:
        yield measured(f"Check over gRPC, {IN_FLIGHT} in flight, log {mode}", rates[mode], "/s")
    ratios = [logged / bare for logged, bare in zip(rates["best-effort"], rates["off"], strict=True)]
    yield measured("the log's price: best-effort against off", ratios, "×", ">= 0.85")


@contextmanager
def _server(place: Path, mode: str, options: tuple[str, ...]) -> Iterator[str]:
    address = f"unix:{place}/{mode}.sock"
    command = [sys.executable, "-m", "authz.cli.server", "--policies", str(place / "p.authz"), "--listen", address]
    process = subprocess.Popen([*command, "--log-level", "warning", *options])
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
        if cores := _cores():
            os.sched_setaffinity(process.pid, {cores[-1]})
        yield address
    finally:
        process.terminate()
        process.wait(30)


async def _load(address: str, seconds: float) -> float:
    """Return how many questions a second one server answers, rightly."""
    request = v1.CheckRequest(subject="alice", scopes=["docs:read"], tool="read")
    request.resource.type, request.resource.id = "document", "d1"
    request.resource.attributes.update({"owner": "alice", "level": 3})
    answered = 0
    async with grpc.aio.insecure_channel(address) as channel:
        stub = DecisionServiceStub(channel)
        ends = time.perf_counter() + seconds

        async def ask() -> None:
            nonlocal answered
            while time.perf_counter() < ends:
                answer = await stub.Check(request)
                assert answer.decision == v1.DECISION_ALLOW, answer
                answered += 1

        started = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)))
        return answered / (time.perf_counter() - started)


def _cores() -> list[int]:
    found = sorted(os.sched_getaffinity(0))
    return found if len(found) > 1 else []


def _pin(core: int | None) -> None:
    if cores := _cores() or None:
        os.sched_setaffinity(0, {cores[core]} if core is not None else set(range(os.cpu_count() or 1)))
