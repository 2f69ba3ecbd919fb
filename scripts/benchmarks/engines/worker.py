"""Runs in an engine's process: builds policies, checks every answer, times decisions.

`python -m scripts.benchmarks.engines.worker ENGINE` reads one command a line from stdin, as JSON, and answers each
with one line.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import sys
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from scripts.benchmarks import workloads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scripts.benchmarks.engines.engine import Engine

_FEW, _MANY = 20, 200
"""Questions of one pass."""
_QUICK: Final = 100_000
"""Nanoseconds of a decision below which a pass has many."""
_PASSES: Final = 200


def main() -> None:
    """Answer commands until there are no more."""
    engine = importlib.import_module(f"scripts.benchmarks.engines.{sys.argv[1]}")
    built: dict[str, tuple[Engine, dict[str, Sequence[workloads.Asked]]]] = {}
    for line in sys.stdin:
        command = json.loads(line)
        match command:
            case {"do": "version"}:
                answer: Any = metadata.version(engine.PACKAGE)
            case {"do": "build", "as": name, "kind": kind, "rules": rules}:
                asked = _asked(kind, rules)
                made = engine.w2() if kind == "w2" else engine.w3(kind, rules)
                built[name] = made, asked
                wrong, first = _answered(made, asked["all"])
                answer = {"first": first, "wrong": wrong}
            case {"do": "time", "as": name, "seconds": seconds, "which": which}:
                made, asked = built[name]
                answer = _timed(made, asked[which], seconds)
            case {"do": "drop", "as": name}:
                del built[name]
                answer = gc.collect()
            case _:
                raise ValueError(line)
        print(json.dumps(answer), flush=True)


def _asked(kind: str, rules: int) -> dict[str, Sequence[workloads.Asked]]:
    """Return a workload's questions, all of them and parts of them."""
    every = workloads.w2_questions() if kind == "w2" else workloads.w3_questions(kind, rules)
    return {
        "all": every,
        "allowed": [one for one in every if one.allowed],
        "denied": [one for one in every if not one.allowed],
        "few": every if kind == "w2" else workloads.w3_questions(kind, rules, workloads.FEW),
    }


def _answered(engine: Engine, asked: Sequence[workloads.Asked]) -> tuple[list[str], float]:
    """Return the questions that the engine answers otherwise than it should, and the nanoseconds of one such answer.

    They are the first that this policy is asked, each mostly about another rule.
    """
    prepared = [engine.prepare(one.question) for one in asked]
    started = time.process_time_ns()
    answers = [engine.decide(one) for one in prepared]
    spent = time.process_time_ns() - started
    pairs = zip(asked, answers, strict=True)
    return [repr(one.question) for one, answer in pairs if engine.allowed(answer) is not one.allowed], spent / len(
        asked
    )


def _timed(engine: Engine, asked: Sequence[workloads.Asked], seconds: float) -> float:
    """Return the nanoseconds of one decision, in the quickest of many short passes: what disturbs only adds.

    Each pass is over questions prepared just before, as a request is read just before it is decided: no object is
    asked about twice.
    """
    questions = itertools.cycle([one.question for one in asked])
    spent: list[float] = []
    many = _FEW
    gc.collect()
    gc.disable()
    while len(spent) < _PASSES and sum(spent) * many < seconds * 1e9:
        prepared = [engine.prepare(question) for question in itertools.islice(questions, many)]
        spent.append(_pass(engine.decide, prepared) / many)
        if many == _FEW and spent[0] < _QUICK:
            many, spent = _MANY, []
    gc.enable()
    return min(spent)


def _pass(decide: Callable[[Any], Any], prepared: list[Any]) -> int:
    started = time.process_time_ns()  # what else runs on the machine does not count
    for one in prepared:
        decide(one)
    return time.process_time_ns() - started


if __name__ == "__main__":
    main()
