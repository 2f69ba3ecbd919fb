"""What the store costs: the decision log, verification, completion from the directory, import."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from authz.audit.appending import Keeping
from authz.audit.records import Decided, decision_record
from authz.audit.signing import load_verifier, public_path
from authz.audit.verify import verify
from authz.audit.writer import Writer
from authz.directory.completion import Completer
from authz.model import Reason, Request, Resource
from authz.pap.loader import load
from authz.stores.sqlite.store import key_path, open_store
from authz.v1 import decision_pb2 as v1
from authz.v1.decision_pb2_grpc import DecisionServiceStub
from scripts.benchmarks.machine import LOAD, SERVER, cores
from scripts.benchmarks.measuring import Measure, measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from authz.model import Decision, Value

POLICY: Final = """\
scope "docs:read"
resource "document" { owner: string  level: number }
role "owner" when resource.owner == subject.id
tool "read" on "document" { require scope "docs:read"  allow role "owner" when resource.level < 5 }
"""
IN_FLIGHT: Final = 8
CALLERS: Final = 64


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
        "off": ("--store", str(place / "o.db"), "--decision-log", "off"),
        "best-effort": ("--store", str(place / "b.db"), "--decision-log", "best-effort"),
        "required": ("--store", str(place / "r.db"), "--decision-log", "required"),
    }
    rates: dict[str, list[float]] = {mode: [] for mode in options}
    with ExitStack() as stack:
        servers = {mode: stack.enter_context(_server(place, mode, given)) for mode, given in options.items()}
        for _ in range(rounds):
            for mode, address in servers.items():
                with cores(LOAD):
                    rates[mode].append(asyncio.run(_load(address, seconds)))
    for mode in options:
        yield measured(f"Check over gRPC, {IN_FLIGHT} in flight, log {mode}", rates[mode], "/s")
    ratios = [logged / bare for logged, bare in zip(rates["best-effort"], rates["off"], strict=True)]
    yield measured("the log's price: best-effort against off", ratios, "", ">= 0.85")


@contextmanager
def _server(place: Path, mode: str, options: tuple[str, ...]) -> Iterator[str]:
    address = f"unix:{place}/{mode}.sock"
    command = [sys.executable, "-m", "authz.cli.server", "--policies", str(place / "p.authz"), "--listen", address]
    with cores(SERVER):
        process = subprocess.Popen([*command, "--log-level", "warning", *options])
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
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


# --- Records that are durable before they are answered for ----------------------------------


def _durable(place: Path, rounds: int, records: int) -> Iterator[Measure]:
    """Keep the records of callers that each wait for theirs, many at a time."""
    decided = Decided(
        _request(1, owner="alice"),
        load(place / "p.authz").program.decide(_request(1, owner="alice")),
        time.time_ns(),
        10,
        "d" * 32,
    )
    path = place / "durable.db"
    open_store(path, create=True).close()

    def open_log() -> Keeping:
        store = open_store(path)
        return Keeping(store.log, store.close)

    writer = Writer(open_log, required=True)
    writer.start()

    async def callers() -> float:
        async def caller() -> None:
            for _ in range(records // CALLERS):
                await writer.keep(decided)

        started = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return records // CALLERS * CALLERS / (time.perf_counter() - started)

    rates = [asyncio.run(callers()) for _ in range(rounds)]
    counts = writer.close()
    assert counts.dropped == 0, counts
    yield measured(f"required: durable decisions, {CALLERS} callers waiting", rates, "/s", ">= 3000")


def _verification(place: Path, records: int) -> Iterator[Measure]:
    """Verify a log, as `authz-eval log verify` does."""
    path = place / "verified.db"
    request = _request(1, owner="alice")
    decided = Decided(request, load(place / "p.authz").program.decide(request), time.time_ns(), 10, "d" * 32)
    body = decision_record(decided)
    with closing(open_store(path, create=True)) as store:
        for _ in range(records // 1_000):
            store.log.append([body] * 1_000)
    rates = []
    with closing(open_store(path, readonly=True)) as store:
        for _ in range(3):
            started = time.perf_counter()
            found = verify(store.log, load_verifier(public_path(key_path(path))))
            rates.append(records / (time.perf_counter() - started))
            assert not found.findings, found
    yield measured(f"verify a log of {records:,} records", rates, "/s", ">= 100000")


# --- The directory --------------------------------------------------------------------------


def _directory(place: Path, resources: int) -> Iterator[Measure]:
    """Import resources from a file, and complete requests that name them."""
    file, path = place / "resources.jsonl", place / "directory.db"
    with file.open("w", encoding="utf-8") as lines:
        for number in range(resources):
            lines.write(
                json.dumps(
                    {
                        "kind": "resource",
                        "tenant": "acme",
                        "type": "document",
                        "id": f"d{number}",
                        "owner": f"u{number % 1000}",
                        "attributes": {"level": number % 10, "title": "a plan"},
                    }
                )
                + "\n"
            )
    command = [sys.executable, "-m", "authz.cli.eval", "directory", "import", str(file), "--store", str(path)]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    rate = resources / (time.perf_counter() - started)
    yield measured(f"directory import of {resources:,} records, the whole command", [rate], "/s", ">= 50000")
    yield from _completion(place, path, resources)


def _completion(place: Path, path: Path, resources: int) -> Iterator[Measure]:
    """Compare a decision on a request that carries its attributes with one that the directory completes."""
    program = load(place / "p.authz").program
    draw = random.Random(1)  # noqa: S311  # which resources are asked for is no secret
    with closing(open_store(path, readonly=True)) as store:
        completer = Completer(store.directory)

        def carried(number: int) -> float:
            request = _request(number, owner=f"u{number % 1000}", level=number % 10)
            return _timed(lambda: program.decide(request))

        def completed(number: int) -> float:
            request = _request(number)
            return _timed(lambda: program.decide(completer.complete(request, program).request))

        numbers = [draw.randrange(resources) for _ in range(20_000)]
        bare = [carried(number) for number in numbers]
        cold = [completed(number) for number in numbers]
        kept = numbers[-1_000:] * 5
        warm = [completed(number) for number in kept]
    base = statistics.median(bare)
    name = f"completion from {resources:,} resources, over a request that carries them"
    yield _over(f"{name}: not read before", cold, base)
    yield _over(f"{name}: read before", warm, base)


def _over(name: str, times: list[float], base: float) -> Measure:
    low, median, high = (value - base for value in statistics.quantiles(times, n=20)[::9][:3])
    return Measure(name, median, low, high, "µs", "<= 30")


def _timed(work: Callable[[], Decision]) -> float:
    started = time.perf_counter_ns()
    decision = work()
    spent = (time.perf_counter_ns() - started) / 1_000
    assert decision.reason in {Reason.ALLOWED, Reason.NO_ALLOW}, decision
    return spent


def _request(number: int, **attributes: Value) -> Request:
    resource = Resource("document", f"d{number}", "acme", attributes)
    subject = f"u{number % 1000}"
    return Request(subject=subject, tenant="acme", scopes=("docs:read",), tool="read", resource=resource)
