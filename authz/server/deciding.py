"""Decide one question with all that belongs to it: the directory's word before, the log's record after.

A server and an enforcement point that has the engine inside both decide here, so that their records agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.audit.records import Decided
from authz.server.asker import Asker
from authz.server.ids import decision_id as new_id
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
        request = asked_by(call.request, caller) if caller is not None and call.token else call.request
        decision, explanation, decision_id, decided = self.begin(
            program, request, who, caller, call.request_id, explain=call.explain
        )
        unkept = () if decided is None or self.noted(decided, size) else (decided,)
        return Made(decision, explanation, decision_id, unkept)

    def begin(
        self,
        program: Program,
        request: Request,
        who: Asker,
        caller: Caller | None,
        request_id: str,
        *,
        explain: bool,
    ) -> tuple[Decision, Explanation | None, str, Decided | None]:
        """Decide, and return the decision, its explanation and its name, and the record that must be written of it."""
        recorded = self.log is not None or self.logger is not None
        started = perf_counter_ns() if recorded else 0
        completed = None
        if self.complete is not None:
            completed = self.complete(request, program)
            request = completed.request
        explanation = None
        if explain:
            explanation = program.explain(request, completed.facts if completed is not None else ())
            decision = explanation.decision
        else:
            decision = program.decide(request)
        decision_id = new_id()
        if not recorded or request.unknown:  # of what a list may show: nothing may be done on the strength of it
            return decision, explanation, decision_id, None
        latency_us = (perf_counter_ns() - started) // 1_000
        if self.log is None:
            if self.logger is not None:
                log_decision(
                    self.logger,
                    request,
                    decision,
                    request_id=request_id,
                    decision_id=decision_id,
                    latency_us=latency_us,
                )
            return decision, explanation, decision_id, None
        pep, trace_id = who
        facts, revision = (_disputed(completed), completed.revision) if completed is not None else ((), 0)
        fields = (
            request,
            decision,
            time_ns(),
            latency_us,
            decision_id,
            request_id,
            pep,
            trace_id,
            facts,
            revision,
            caller,
        )
        decided = tuple.__new__(Decided, fields)  # a third of its constructor's time, which is written in Python
        return decision, explanation, decision_id, decided

    def noted(self, decided: Decided, size: int) -> bool:
        """Have a record written; False where it must be kept (`keep`) before the decision is told to anybody."""
        if self.log is not None:
            if self.log.required:
                return False
            self.log.note(decided, size=size)
        return True

    async def finish(self, decided: Sequence[Decided], size: int) -> None:
        """Have records written; returns once they are in the log where no answer may be given before.

        Raises `LogUnavailableError`, and then there is no answer.
        """
        if decided and self.log is not None:
            if self.log.required:
                await self.log.keep(*decided, size=size)
            else:
                self.log.note(*decided, size=size)

    def note(self, decided: Sequence[Decided], size: int) -> None:
        """Have records written that nobody waits for any more."""
        if self.log is not None:
            self.log.note(*decided, size=size)

    async def keep(self, decided: Sequence[Decided], size: int) -> None:
        """Return once the records are in the log; raises `LogUnavailableError`, and then there is no answer."""
        if decided and self.log is not None:
            await self.log.keep(*decided, size=size)


def _disputed(completed: Completed) -> tuple[Fact, ...]:
    """Return the facts that a record needs: those that contradict the request. Most requests have none."""
    return completed.facts if any(found.contradicted for found in completed.found) else ()
