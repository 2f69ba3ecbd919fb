"""Remember answers for a moment, so that what is asked again and again need not be decided again and again.

What is remembered was true of exactly this question when it was asked: the key is a digest of all of it.
It counts for `ttl` seconds, and only while the policy revision is the one that was heard of last. A
decision that is used again has no record of its own in the decision log.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from authz.model import Decision, Effect
from authz.pep.pdps.keys import is_plain, request_key
from authz.server.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from authz.model import Request
    from authz.pep.pdp import Answer, Pdp
    from authz.wire.enforcement import Description

MAX_TTL_S: Final = 60.0


class Remembering:
    """Remembers decisions that are ALLOW; everything else is asked each time."""

    def __init__(
        self, pdp: Pdp, *, ttl: float = 1.0, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember at most so many answers of `pdp`, each for `ttl` seconds. Raises `ConfigError` beyond 60."""
        self._pdp = pdp
        self._kept = _Kept(ttl, most, clock)

    async def check(self, request: Request, *, request_id: str = "") -> Decision:
        """Return the decision, or the remembered one of the very same question. Raises `PdpError`."""
        if not is_plain(request):
            return await self._pdp.check(request, request_id=request_id)
        key = request_key(request)
        found = self._kept.get(key)
        if found is not None:
            return found
        asked = self._kept.asking()
        decision = await self._pdp.check(request, request_id=request_id)
        self._kept.heard(decision.policy_revision)
        if decision.effect is Effect.ALLOW:
            self._kept.put(key, decision, asked)
        return decision

    async def check_all(self, requests: Sequence[Request], *, request_id: str = "") -> Sequence[Answer]:
        """Return the answers; none is remembered. Raises `PdpError`."""
        answers = await self._pdp.check_all(requests, request_id=request_id)
        self._kept.heard(*revisions(answers))
        return answers

    async def describe(self, tools: Sequence[str]) -> tuple[str, tuple[Description, ...]]:
        """Return what the active revision reads. Raises `PdpError`."""
        revision, described = await self._pdp.describe(tools)
        self._kept.heard(revision)
        return revision, described

    async def close(self) -> None:
        """Forget everything, and close what is asked."""
        self._kept.clear()
        await self._pdp.close()


def revisions(answers: Sequence[Answer]) -> set[str]:
    """Return the revisions by which questions were decided; more than one where something is wrong."""
    return {answer.policy_revision for answer in answers if isinstance(answer, Decision)}


class _Kept:
    """What is remembered of one revision, the longest unused forgotten first."""

    __slots__ = ("_clock", "_entries", "_most", "_revision", "_ttl", "_turn")

    def __init__(self, ttl: float, most: int, clock: Callable[[], float]) -> None:
        if not 0 < ttl <= MAX_TTL_S:
            raise ConfigError(f"answers are remembered for more than 0 and at most {MAX_TTL_S:g} seconds, not {ttl:g}")
        if most < 1:
            raise ConfigError("remember at least one answer, or none by leaving this out")
        self._ttl = ttl
        self._most = most
        self._clock = clock
        self._revision = ""
        self._turn = 0
        self._entries: OrderedDict[bytes, tuple[float, Decision]] = OrderedDict()

    def get(self, key: bytes) -> Decision | None:
        """Return what is remembered, None where that is nothing or too old."""
        found = self._entries.get(key)
        if found is None:
            return None
        ends, answer = found
        if self._clock() >= ends:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return answer

    def asking(self) -> tuple[int, float]:
        """Return what `put` must know: what had been heard, and how late it was, when the question was asked."""
        return self._turn, self._clock()

    def heard(self, *heard: str) -> None:
        """Forget everything if an answer was by another revision than the last one."""
        if any(revision != self._revision for revision in heard):
            self._entries.clear()
            self._turn += bool(self._revision)  # the first one changes nothing
            self._revision = heard[0] if len(heard) == 1 else ""

    def put(self, key: bytes, answer: Decision, asked: tuple[int, float]) -> None:
        """Remember an answer, unless the policy has changed since it was asked for: it may be the older one."""
        turn, at = asked
        if turn == self._turn and self._revision:
            self._entries[key] = (at + self._ttl, answer)
            self._entries.move_to_end(key)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
