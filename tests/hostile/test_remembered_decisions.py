"""What is remembered of decisions: nobody who waits for the right moment, or asks often, gets another one's answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

import pytest

from authz import wire
from authz.lang.parser import parse_policy
from authz.lang.source import Source
from authz.lang.validator import validate
from authz.model import Decision, Effect, Reason, Request
from authz.pdp import codegen, program
from authz.pdp.compiler import compile_policy
from authz.v1 import decision_pb2 as v1
from authz.wire import answers

if TYPE_CHECKING:
    from datetime import tzinfo

    from authz.pdp.program import Program

POLICY = 'tool "open_safe" { allow when hour(now, "Etc/UTC") >= 9 }\n'
NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)
ASKED = Request(tool="open_safe", subject="mallory")


class Ticking(datetime):
    """A clock that moves by a microsecond each time that it is read."""

    at: ClassVar[datetime] = NINE

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Ticking:
        """Return the time, and let it pass."""
        Ticking.at += timedelta(microseconds=1)
        return cls.fromtimestamp(Ticking.at.timestamp(), tz)


def compiled(text: str) -> Program:
    """Compile one file's text."""
    source = Source("p.authz", text)
    tree, findings = parse_policy(source)
    return compile_policy(validate([(source, tree)], found=findings))


@pytest.mark.parametrize("reads", range(1, 12))
def test_a_right_that_begins_while_a_denial_is_made_is_not_remembered_for_the_next_night(
    monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    """Issue 6 (a decision is never reused for a request that it is not of); L61.

    The hour strikes after so many looks at the clock; what is answered then is not what holds at three in the night.
    """
    monkeypatch.setattr(codegen, "datetime", Ticking)
    monkeypatch.setattr(program, "datetime", Ticking)
    asked = compiled(POLICY)
    Ticking.at = NINE - timedelta(hours=1)
    assert asked.decide(ASKED).effect is Effect.DENY  # from now on denials are told apart
    Ticking.at = NINE - timedelta(microseconds=reads)
    asked.decide(ASKED)
    Ticking.at = NINE + timedelta(hours=18)
    assert asked.decide(ASKED).effect is Effect.DENY


def test_no_answer_is_written_for_another_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 6 (a decision is never reused across revisions): answers are remembered by decisions that come and go."""
    monkeypatch.setattr(answers, "_MAX_PREPARED", 7)
    writers = (
        (wire.check_answer, v1.CheckResponse.FromString),
        (wire.stream_answer, lambda data: v1.StreamCheckResponse.FromString(data).response),
        (wire.batch_result, lambda data: v1.BatchCheckResponse.FromString(data).results[0].response),
    )
    for number in range(3_000):
        effect = Effect.ALLOW if number % 3 else Effect.DENY
        decision = Decision(effect, Reason.ALLOWED, f"m{number}", (f"a:{number}",), f"r{number}")
        for write, read in writers:
            for name in (f"{number:032d}", "f" * 32):
                said = read(write(decision, name, None))
                told = (int(said.decision), said.message, list(said.rules), said.policy_revision, said.decision_id)
                assert told == (effect.value, f"m{number}", [f"a:{number}"], f"r{number}", name)
