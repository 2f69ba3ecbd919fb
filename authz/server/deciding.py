"""Decide one question with all that belongs to it: the directory's word before, the log's record after.

A server and an enforcement point that has the engine inside both decide here, so that their records agree.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.audit.records import Decided
from authz.server.asker import Asker
from authz.server.log import log_decision
from authz.tokens.asking import asked_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from structlog.typing import FilteringBoundLogger

    from authz.audit.writer import Writer
    from authz.directory.completion import Completed
    from authz.json_form import Call
    from authz.model import Decision, Explanation, Fact, Request
    from authz.pdp.program import Program
    from authz.tokens.caller import Caller

    Complete: TypeAlias = Callable[[Request, Program], Completed]


_NOBODY: Final = Asker()


class Made(NamedTuple):
    """A decision, its name, and the records that must be kept before it is told to anybody."""

    decision: Decision
    explanation: Explanation | None
    decision_id: str
    unkept: tuple[Decided, ...]


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides and records.

    `log` keeps each decision's record; without one, `logger` writes a line for it, if there is one.
    `complete` adds to a request what the directory knows, and raises `StoreError` where it cannot.
    """

    logger: FilteringBoundLogger | None = None
    log: Writer | None = None
    complete: Complete | None = None

    def decide(
        self, program: Program, call: Call, who: Asker = _NOBODY, size: int = 0, caller: Caller | None = None
    ) -> Made:
        """Decide; `size` is that of the question in bytes, `caller` who its token stands for."""
        started = time.perf_counter_ns()
        request = asked_by(call.request, caller) if caller is not None and call.token else call.request
        completed = self.complete(request, program) if self.complete is not None else None
        request = completed.request if completed is not None else request
        facts = completed.facts if completed is not None and call.explain else ()
        explanation = program.explain(request, facts) if call.explain else None
        decision = explanation.decision if explanation else program.decide(request)
        decision_id = secrets.token_hex(16)
        unkept: tuple[Decided, ...] = ()
        if request.unknown:  # of what a list may show there is no record: nothing may be done on the strength of it
            return Made(decision, explanation, decision_id, unkept)
        latency_us = (time.perf_counter_ns() - started) // 1_000
        if self.log is not None:
            decided = Decided(
                request,
                decision,
                time.time_ns(),
                latency_us,
                decision_id,
                call.request_id,
                *who,
                _disputed(completed),
                completed.revision if completed is not None else 0,
                caller,
            )
            if self.log.required:
                unkept = (decided,)
            else:
                self.log.note(decided, size=size)
        elif self.logger is not None:
            log_decision(
                self.logger,
                request,
                decision,
                request_id=call.request_id,
                decision_id=decision_id,
                latency_us=latency_us,
            )
        return Made(decision, explanation, decision_id, unkept)

    def note(self, decided: Sequence[Decided], size: int) -> None:
        """Have records written that nobody waits for any more."""
        if self.log is not None:
            self.log.note(*decided, size=size)

    async def keep(self, decided: Sequence[Decided], size: int) -> None:
        """Return once the records are in the log; raises `LogUnavailableError`, and then there is no answer."""
        if decided and self.log is not None:
            await self.log.keep(*decided, size=size)


def _disputed(completed: Completed | None) -> tuple[Fact, ...]:
    """Return the facts that a record needs: those that contradict the request. Most requests have none."""
    if completed is None or not any(found.contradicted for found in completed.found):
        return ()
    return completed.facts
