"""P4 and P10: many questions in one message, by one process and by two."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

import grpc

from authz.v1 import decision_pb2 as v1
from scripts.benchmarks import cerbos, servers
from scripts.benchmarks.machine import EVERY, LOAD, SERVER, cores
from scripts.benchmarks.measuring import Skipped, WrongAnswerError, measured, ratio
from scripts.benchmarks.serving import policies, started
from scripts.benchmarks.workloads import ROLES, SCOPES, TOOLS, Question, w2_allows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from scripts.benchmarks.measuring import Found
    from scripts.benchmarks.servers import Served

QUESTIONS: Final = 1_000
MESSAGES: Final = 40
"""Messages asked in turn: more questions than anything would keep the answers of."""
_FLIGHTS: Final = (1, 4, 8)
_CONNECTIONS: Final = 8
"""Of those who ask the workers: the system spreads connections over them, not calls."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One message, and what its answers must say."""

    message: bytes
    expected: tuple[bool, ...]


Read: TypeAlias = "Callable[[bytes], list[bool]]"


def p4(quick: bool) -> Iterator[Found]:  # noqa: FBT001  # the one argument of every group
    """Yield checks a second, each server asked in the batches that suit it best."""
    rounds, seconds = (2, 1.5) if quick else (5, 3.0)
    ours, theirs = batches(QUESTIONS, message), batches(cerbos.MOST_RESOURCES, cerbos.request)
    with ExitStack() as stack:
        place = stack.enter_context(policies())
        native, log = ("--transport", "native"), ("--decision-log-file", str(place / "log"))
        wanted: dict[str, AbstractContextManager[Served]] = {
            "authz": servers.authz("authz", place / "w2", *native),
            "authz, log on": servers.authz("authz, log on", place / "w2", *native, *log),
            "authz, grpcio": servers.authz("authz, grpcio", place / "w2", "--transport", "grpcio"),
            "Cerbos": servers.cerbos_server("Cerbos", cerbos.w2_policies(), audit=False),
            "Cerbos, log on": servers.cerbos_server("Cerbos, log on", cerbos.w2_policies(), audit=True),
        }
        ready = yield from started(stack, wanted)
        rates: dict[str, list[float]] = {name: [] for name in ready}
        for _ in range(rounds):
            for name, served in ready.items():
                who = (served, theirs, cerbos.METHOD, cerbos.allowed) if "Cerbos" in name else _ours(served, ours)
                rates[name].append(max(_rate(*who, flight, seconds / len(_FLIGHTS)) for flight in _FLIGHTS))
    for name, found in rates.items():
        many = cerbos.MOST_RESOURCES if "Cerbos" in name else QUESTIONS
        yield measured(f"{many:,} questions a message, {name}", found, "/s")
    for one, other, bar in (
        ("authz", "Cerbos", ">= 20"),
        ("authz, grpcio", "Cerbos", ""),
        ("authz, log on", "Cerbos, log on", ""),
    ):
        if one in rates and other in rates:
            yield ratio(f"checks in batches, {one} over {other}", rates[one], rates[other], bar)


def p10(quick: bool) -> Iterator[Found]:  # noqa: FBT001  # as above
    """Yield what a second worker on a second core adds; whoever asks needs a part of the two as well."""
    if len(EVERY) == 1:
        yield Skipped("two workers on two cores", "there is one core")
        return
    rounds, seconds = (2, 2.0) if quick else (5, 4.0)
    both = frozenset([*SERVER, *LOAD])
    ours = batches(QUESTIONS, message)
    with ExitStack() as stack:
        place = stack.enter_context(policies())
        wanted: dict[str, AbstractContextManager[Served]] = {
            "one worker": servers.authz("one worker", place / "w2", "--workers", "1"),
            "two workers": servers.authz("two workers", place / "w2", "--workers", "2", wanted=both),
        }
        ready = yield from started(stack, wanted)
        rates: dict[str, list[float]] = {name: [] for name in ready}
        shares = []
        for _ in range(rounds):
            for name, served in ready.items():
                before = time.process_time()
                rates[name].append(_rate(*_ours(served, ours), _CONNECTIONS, seconds))
                shares.append((time.process_time() - before) / seconds)
    for name, found in rates.items():
        yield measured(f"{QUESTIONS:,} questions a message, {_CONNECTIONS} connections, {name}", found, "/s")
    yield measured("what asking took of a core meanwhile", shares, "")
    if len(rates) == len(wanted):
        yield ratio("two workers on two cores over one", rates["two workers"], rates["one worker"], ">= 1.8")


def _ours(served: Served, asked: Sequence[Batch]) -> tuple[Served, Sequence[Batch], str, Read]:
    return served, asked, servers.BATCH_CHECK, _allowed


def _rate(served: Served, asked: Sequence[Batch], method: str, read: Read, flight: int, seconds: float) -> float:
    """Return the checks a second; each answer is looked at afterwards. Raises `WrongAnswerError`.

    Each call in flight has its own connection; its share of the messages is asked round and round. All begin
    together, once each had an answer.
    """
    began = 0.0

    def begin() -> None:
        nonlocal began
        began = time.perf_counter()

    together = threading.Barrier(flight, begin)

    def ask(first: int) -> list[tuple[Batch, bytes]]:
        answers = []
        with servers.channel_to(served.port) as channel:
            call: Callable[..., bytes] = channel.unary_unary(method)
            call(asked[first].message, timeout=60)
            together.wait(60)
            ends = began + seconds
            for batch in itertools.cycle(asked[first::flight]):
                answers.append((batch, call(batch.message, timeout=60)))
                if time.perf_counter() > ends:
                    return answers
        raise AssertionError

    with cores(LOAD), ThreadPoolExecutor(flight) as pool:  # its threads inherit the core
        try:
            answered = list(pool.map(ask, range(flight)))
        except (grpc.RpcError, threading.BrokenBarrierError) as error:
            said = servers.told(error) if isinstance(error, grpc.RpcError) else "not every connection had an answer"
            raise WrongAnswerError(f"{served.name} failed under load: {said}") from None
        spent = time.perf_counter() - began
    checks = 0
    for batch, answer in itertools.chain.from_iterable(answered):
        if tuple(read(answer)) != batch.expected:
            raise WrongAnswerError(f"a wrong answer by {served.name} under load")
        checks += len(batch.expected)
    return checks / spent


def batches(many: int, message: Callable[[Sequence[Question]], bytes]) -> list[Batch]:
    """Return messages of so many questions, all of them different, of one caller each."""
    made = []
    for number in range(MESSAGES):
        caller = Question(
            subject=f"user_{number}",
            tool="",
            tenant="acme",
            scopes=tuple(f"scope_{(number + one) % SCOPES}" for one in range(SCOPES * 4 // 5)),
            roles=tuple(f"role_{(number + one) % ROLES}" for one in range(4)),
            type="document",
            of_tenant="acme",
        )
        asked = [
            replace(
                caller,
                tool=f"tool_{one * 7 % TOOLS}",
                id=f"doc_{number}_{one}",
                owner=caller.subject if one % 3 else f"user_{number + 1}",
            )
            for one in range(many)
        ]
        made.append(Batch(message(asked), tuple(map(w2_allows, asked))))
    assert 0.3 < statistics.mean(one for batch in made for one in batch.expected) < 0.9, "both answers must occur"
    return made


def message(asked: Sequence[Question]) -> bytes:
    """Return one of our messages that asks all of them, which must be the same caller's."""
    caller = servers.question_message(replace(asked[0], tool="", type=""))
    batch = v1.BatchCheckRequest(subject=caller.subject, scopes=caller.scopes, roles=caller.roles, tenant=caller.tenant)
    for one in asked:
        question = servers.question_message(one)
        batch.questions.add(tool=question.tool, resource=question.resource)
    return batch.SerializeToString()


def _allowed(answer: bytes) -> list[bool]:
    return [one.response.decision == v1.DECISION_ALLOW for one in v1.BatchCheckResponse.FromString(answer).results]
