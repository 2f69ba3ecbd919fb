"""P3, P5 and P9: one Check a call over gRPC, beside Cerbos, with and without the log, and while policies change."""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from authz.v1 import decision_pb2 as v1
from scripts.benchmarks import cerbos, peers, servers
from scripts.benchmarks.engines.authz import w2_policy, w3_files
from scripts.benchmarks.h2load import Load, loaded
from scripts.benchmarks.measuring import Point, Skipped, WrongAnswerError, measured, ratio
from scripts.benchmarks.workloads import w2_questions

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from contextlib import AbstractContextManager

    from scripts.benchmarks.measuring import Found
    from scripts.benchmarks.servers import Served
    from scripts.benchmarks.workloads import Asked

FLIGHTS: Final = (1, 8, 64)
BAR_FLIGHT: Final = 8
NATIVE, GRPCIO, CERBOS = "authz, native", "authz, grpcio", "Cerbos"
_TRANSPORTS: Final = {NATIVE: ("--transport", "native"), GRPCIO: ("--transport", "grpcio")}
_BARS: Final = {NATIVE: (">= 10", "<= 0.1"), GRPCIO: (">= 1.5", "<= 0.5")}
"""Of Cerbos's requests a second, and of its p99."""
_WARM: Final = 0.5
_PAUSE: Final = 1.0
"""Seconds between two changes of the policy."""

Runs = dict[str, dict[int, list[Load]]]


def p3(quick: bool) -> Iterator[Found]:  # noqa: FBT001  # the one argument of every group
    """Yield Check at more and more calls in flight, each server writing down what it decides."""
    with policies() as place:
        logs = {name: place / f"{options[1]}.log" for name, options in _TRANSPORTS.items()}
        wanted: dict[str, AbstractContextManager[Served]] = {
            name: servers.authz(name, place / "w2", *options, "--decision-log-file", str(logs[name]))
            for name, options in _TRANSPORTS.items()
        }
        wanted[CERBOS] = servers.cerbos_server(CERBOS, cerbos.w2_policies(), audit=True)
        with ExitStack() as stack:
            ready = yield from started(stack, wanted)
            runs = yield from _runs(ready, FLIGHTS, quick)
        kept = {name: _lines(log) for name, log in logs.items() if name in runs}
    for name, records in kept.items():
        answered = sum(one.answered for rounds in runs[name].values() for one in rounds)
        yield measured(f"{name}: records on disk over answers counted", [records / answered], "", ">= 1")
    for name, flights in runs.items():
        for flight, rounds in flights.items():
            rates, slow = [one.rate for one in rounds], [one.p99 for one in rounds]
            point = Point("flight", name, flight)
            yield measured(f"Check, {flight} in flight, {name}, log on", rates, "/s", point=point)
            yield measured(f"Check, {flight} in flight, {name}, log on: p99", slow, "ms")
    if CERBOS in runs:
        for name in [one for one in _TRANSPORTS if one in runs]:
            yield from _beside(name, runs[name][BAR_FLIGHT], runs[CERBOS][BAR_FLIGHT])


def _beside(name: str, ours: Sequence[Load], theirs: Sequence[Load]) -> Iterator[Found]:
    rate, slow = _BARS[name]
    yield ratio(f"{BAR_FLIGHT} in flight, {name} over Cerbos", [a.rate for a in ours], [b.rate for b in theirs], rate)
    name = f"{BAR_FLIGHT} in flight, p99 of {name} over Cerbos's"
    yield ratio(name, [a.p99 for a in ours], [b.p99 for b in theirs], slow)


def p5(quick: bool) -> Iterator[Found]:  # noqa: FBT001  # as above
    """Yield what the decision log takes from the throughput, for a file and for a store."""
    with ExitStack() as stack:
        place = stack.enter_context(policies())
        logs = {
            "off": (),
            "in a file": ("--decision-log-file", str(place / "log")),
            "in a store": ("--store", str(place / "b.db"), "--decision-log", "best-effort"),
            "in a store, required": ("--store", str(place / "r.db"), "--decision-log", "required"),
        }
        wanted: dict[str, AbstractContextManager[Served]] = {
            f"{name}, log {kind}": servers.authz(f"{name}, log {kind}", place / "w2", *transport, *options)
            for name, transport in _TRANSPORTS.items()
            for kind, options in logs.items()
        }
        ready = yield from started(stack, wanted)
        runs = yield from _runs(ready, (BAR_FLIGHT,), quick)
    rates = {name: [one.rate for one in flights[BAR_FLIGHT]] for name, flights in runs.items()}
    for name, found in rates.items():
        yield measured(f"Check, {BAR_FLIGHT} in flight, {name}", found, "/s")
    for name in _TRANSPORTS:
        for kind in list(logs)[1:]:
            logged, bare = rates.get(f"{name}, log {kind}"), rates.get(f"{name}, log off")
            if logged and bare:
                bar = "" if "required" in kind else ">= 0.85"
                yield ratio(f"{name}: the log {kind} over off", logged, bare, bar)


def p9(quick: bool) -> Iterator[Found]:  # noqa: FBT001  # as above
    """Yield what those who ask notice of a policy that changes every second."""
    rounds, seconds = (2, 3.0) if quick else (5, 6.0)
    for name, transport in _TRANSPORTS.items():
        with ExitStack() as stack:
            place = stack.enter_context(policies(more=1_000))
            ready = yield from started(stack, {name: servers.authz(name, place / "w2", *transport)})
            if not ready:
                continue
            quiet, changing, revisions = [], [], 0
            program, asked = peers.h2load(), _allowed()[0]
            loaded(program, ready[name], asked, BAR_FLIGHT, _WARM)
            for _ in range(rounds):
                quiet.append(loaded(program, ready[name], asked, BAR_FLIGHT, seconds))
                found, seen = _while_changing(program, ready[name], asked, seconds, place / "w2")
                changing.append(found)
                revisions += seen
        yield measured(f"{name}, 1,100 rules: p99 without a reload", [one.p99 for one in quiet], "ms")
        yield measured(f"{name}: p99 while the policy changes every second", [one.p99 for one in changing], "ms")
        yield measured(f"{name}: the slowest call without a reload", [one.slowest for one in quiet], "ms")
        yield measured(f"{name}: the slowest call while it changes", [one.slowest for one in changing], "ms")
        yield measured(f"{name}: revisions that decided meanwhile, no call failed", [revisions], "", ">= 2")
        before, during = [one.p99 for one in quiet], [one.p99 for one in changing]
        yield ratio(f"{name}: p99 with reloads over without", during, before, "<= 1.5")


def started(
    stack: ExitStack, wanted: dict[str, AbstractContextManager[Served]]
) -> Generator[Found, None, dict[str, Served]]:
    """Start servers that run until the stack ends; yield those that cannot be had, and return the others by name."""
    ready = {}
    for name, server in wanted.items():
        try:
            ready[name] = stack.enter_context(server)
        except (peers.UnavailableError, WrongAnswerError) as error:
            yield Skipped(name, str(error))
    return ready


def _runs(
    ready: dict[str, Served],
    flights: Sequence[int],
    quick: bool,  # noqa: FBT001  # as above
) -> Generator[Found, None, Runs]:
    """Load the servers in turn, round by round, each round with another question; return what each did."""
    rounds, seconds = (2, 1.0) if quick else (5, 3.0)
    runs: Runs = {name: {flight: [] for flight in flights} for name in ready}
    try:
        program = peers.h2load()
    except peers.UnavailableError as error:
        yield Skipped("Check over gRPC", str(error))
        return {}
    for name in list(runs):
        try:
            loaded(program, ready[name], _allowed()[0], BAR_FLIGHT, _WARM)
        except WrongAnswerError as error:
            yield Skipped(name, str(error))
            del runs[name]
    for number in range(rounds):
        for flight in flights:
            for name in runs:
                runs[name][flight].append(loaded(program, ready[name], _allowed()[number], flight, seconds))
    return runs


def _while_changing(
    program: peers.Program, served: Served, asked: Asked, seconds: float, folder: Path
) -> tuple[Load, int]:
    """Load a server while one file of its policy changes each second; return how many revisions decided."""
    seen = set()
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool, servers.channel_to(served.port) as channel:
        run = pool.submit(loaded, program, served, asked, BAR_FLIGHT, seconds)
        run.add_done_callback(lambda _: ended.set())
        call: Callable[..., bytes] = channel.unary_unary(served.method)
        number = 0
        while not ended.wait(_PAUSE):
            answer = v1.CheckResponse.FromString(call(served.ask(asked.question), timeout=30))
            seen.add(answer.policy_revision)
            number += 1
            new = folder.parent / "changed"
            new.write_text(f'tool "changed{number}" {{ allow role "reader" }}\n', encoding="utf-8")
            new.replace(folder / "changing.authz")
        return run.result(), len(seen)


@contextmanager
def policies(more: int = 0) -> Iterator[Path]:
    """Make a folder with the policy W2 in `w2`, and with so many rules beside it."""
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as name:
        place = Path(name)
        (place / "w2").mkdir()
        for file, text in {"w2.authz": w2_policy(), **dict(w3_files("prefix", more))}.items():
            (place / "w2" / file).write_text(text, encoding="utf-8")
        yield place


def _lines(log: Path) -> int:
    with log.open("rb") as text:
        return sum(1 for _ in text)


def _allowed() -> list[Asked]:
    return [one for one in w2_questions() if one.allowed]
