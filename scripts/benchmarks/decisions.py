"""P1 and P2: one decision in one process, beside the engines that Python programs can call."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scripts.benchmarks import workloads
from scripts.benchmarks.engines.asking import OURS, PEERS, Worker, worker
from scripts.benchmarks.measuring import Point, Skipped, WrongAnswerError, measured, ratio
from scripts.benchmarks.peers import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scripts.benchmarks.measuring import Found

ROUNDS: Final = 15
"""Many and short, since processors change their speed within seconds."""
QUICK: Final = 5
_BARS: Final = {"cedar": "<= 0.005", "casbin": "<= 0.00125"}
_FASTEST: Final = "<= 0.05"
_SIZES: Final = (10, 100, 1_000, 10_000, 100_000)
_ALIKE_SIZES: Final = (10, 100, 1_000, 10_000)
"""No index helps with these, and a request's cost grows with each."""
_PEERS_SIZES: Final = (10, 100, 1_000, 10_000)
_SECONDS: Final = 0.1
"""Of one engine in one round, at most."""


def p1(quick: bool) -> Iterator[Found]:  # noqa: FBT001  # the one argument of every group
    """Yield W2 in each engine, and ours over each."""
    rounds = QUICK if quick else ROUNDS
    with ExitStack() as stack:
        workers = {}
        for engine, name in {OURS: "authz", **PEERS}.items():
            try:
                found = stack.enter_context(worker(engine))
                version = found.version()
                found.build("w2")
            except (UnavailableError, WrongAnswerError) as error:
                yield Skipped(f"W2, {name}", str(error))
                continue
            workers[engine] = found
            yield measured(f"W2, {name} {version}: right answers", [workloads.ASKED], "")
        spent = _in_turn(workers, "w2", 0, rounds)
        for engine, times in spent.items():
            yield measured(f"W2, {_name(engine)}: one decision", [one / 1_000 for one in times], "µs")
        for which in ("allowed", "denied"):
            times = [workers[OURS].time("w2", seconds=_SECONDS, which=which) / 1_000 for _ in range(rounds)]
            yield measured(f"W2, authz: one that is {which}", times, "µs")
        yield from _ratios(spent)


def _ratios(spent: dict[str, list[float]]) -> Iterator[Found]:
    ours = spent.pop(OURS)
    if not spent:
        return
    fastest = min(spent, key=lambda engine: sorted(spent[engine])[len(spent[engine]) // 2])
    yield ratio(f"W2, authz over the fastest peer ({_name(fastest)})", ours, spent[fastest], _FASTEST)
    for engine, times in spent.items():
        if engine in _BARS:
            yield ratio(f"W2, authz over {_name(engine)}", ours, times, _BARS[engine])


def p2(quick: bool) -> Iterator[Found]:  # noqa: FBT001  # as above
    """Yield W3 for more and more rules, ours of each kind, the peers' by names."""
    rounds = QUICK if quick else ROUNDS
    sizes = _SIZES[:4] if quick else _SIZES
    with worker(OURS) as ours:
        for kind in workloads.KINDS[:-1]:
            yield from _flat(ours, kind, sizes, rounds)
        yield from _alike(ours, _ALIKE_SIZES[:3] if quick else _ALIKE_SIZES, rounds)
    for engine, name in PEERS.items():
        try:
            with worker(engine) as peer:
                for size in _PEERS_SIZES[:3] if quick else _PEERS_SIZES:
                    peer.build("exact", size)
                    times = [peer.time("exact", size, seconds=_SECONDS, which="few") / 1_000 for _ in range(rounds)]
                    yield measured(f"W3-{size:,}, {name}", times, "µs", point=Point("rules", name, size))
                    peer.drop("exact", size)
        except (UnavailableError, WrongAnswerError) as error:
            yield Skipped(f"W3, {name}", str(error))


def _flat(ours: Worker, kind: str, sizes: Sequence[int], rounds: int) -> Iterator[Found]:
    """Yield one kind: all sizes are ready at the same time, and asked in turn."""
    ready = []
    for size in sizes:
        try:
            first = ours.build(kind, size) / 1_000
        except WrongAnswerError as error:
            yield Skipped(f"W3-{size:,} by {kind}", str(error))
            continue
        ready.append(size)
        if size >= workloads.ASKED:  # so that each question is about another rule
            yield measured(f"W3-{size:,} by {kind}: a rule asked about for the first time", [first], "µs")
    times: dict[int, list[float]] = {size: [] for size in ready}
    for _ in range(rounds):
        for size in ready:
            times[size].append(ours.time(kind, size, seconds=_SECONDS, which="few") / 1_000)
    for size in ready:
        point = Point("rules", "authz" if kind == "exact" else f"authz, by {kind}", size)
        yield measured(f"W3-{size:,} by {kind}", times[size], "µs", point=point)
    over = [ratio(f"W3-{size:,} over W3-{ready[0]} by {kind}", times[size], times[ready[0]]) for size in ready[1:]]
    yield from over
    if over:
        worst = max(over, key=lambda one: one.median)
        yield replace(worst, name=f"by {kind}, the worst: {worst.name}", bar="<= 1.6")
    for size in ready[-1:]:
        found = [ours.time(kind, size, seconds=_SECONDS) / 1_000 for _ in range(rounds)]
        yield measured(f"W3-{size:,} by {kind}, {workloads.ASKED} different rules asked about", found, "µs")
    for size in ready:
        ours.drop(kind, size)


def _alike(ours: Worker, sizes: Sequence[int], rounds: int) -> Iterator[Found]:
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for size in sizes:
        ours.build("alike", size)
    for _ in range(rounds):
        for size in sizes:
            times[size].append(ours.time("alike", size, seconds=_SECONDS, which="few"))
    for size in sizes:
        point = Point("rules", "authz, no index", size)
        yield measured(
            f"W3-{size:,} that no index tells apart", [one / 1_000 for one in times[size]], "µs", point=point
        )
    few, many = sizes[0], sizes[-1]
    each = [(long - short) / (many - few) for long, short in zip(times[many], times[few], strict=True)]
    yield measured(f"each further rule that no index tells apart, {few} to {many:,}", each, "ns", "<= 50")


def _in_turn(workers: dict[str, Worker], kind: str, rules: int, rounds: int) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {engine: [] for engine in workers}
    for _ in range(rounds):
        for engine, one in workers.items():
            spent[engine].append(one.time(kind, rules, seconds=_SECONDS))
    return spent


def _name(engine: str) -> str:
    return PEERS.get(engine, engine)
