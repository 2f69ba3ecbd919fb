"""Hold the policy that decides now, and swap it whole.

Reading is one attribute load and needs no lock: a reader that took an `Active` keeps deciding by
it, whatever is swapped in meanwhile, so every decision is made by exactly one revision.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from authz.errors import AuthzError

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.model import Decision, Explanation, Request
    from authz.pdp.program import Program

REVISIONS_REMEMBERED: Final = 1_000
"""How many revisions a process remembers to have served; the oldest are forgotten first."""


class RevisionNotServedError(AuthzError):
    """Raised when a request asks for a policy revision that has not arrived here."""


@dataclass(frozen=True, slots=True)
class Active:
    """One program, and the revisions that it is at least as new as, its own among them."""

    program: Program
    revisions: frozenset[str]

    def require(self, revision: str) -> None:
        """Raise `RevisionNotServedError` unless this is that revision or a later one; "" is any."""
        if revision and revision not in self.revisions:
            raise RevisionNotServedError("`min_policy_revision` is not a revision that this server has served")


class Engine:
    """The one place that knows which program is active."""

    def __init__(self, program: Program) -> None:
        """Start with a program; there is no engine without a policy."""
        self._swapping = threading.Lock()
        self._served: dict[str, None] = {program.revision: None}
        self._active = Active(program, frozenset(self._served))
        self._followers: dict[object, Callable[[], None]] = {}

    @property
    def active(self) -> Active:
        """Return what decides now. Read it once for each call, and decide by what was read."""
        return self._active

    @property
    def program(self) -> Program:
        """Return the program that decides now."""
        return self._active.program

    def swap(self, program: Program) -> None:
        """Let another program decide from now on; decisions under way finish with their own."""
        with self._swapping:
            self._served.pop(program.revision, None)
            self._served[program.revision] = None
            while len(self._served) > REVISIONS_REMEMBERED:
                del self._served[next(iter(self._served))]
            self._active = Active(program, frozenset(self._served))
            followers = tuple(self._followers.values())
        for swapped in followers:
            swapped()

    def subscribe(self, swapped: Callable[[], None]) -> Callable[[], None]:
        """Call `swapped` after each swap, in the thread that swaps; it must neither wait nor raise.

        Return what ends that.
        """
        key = object()
        with self._swapping:
            self._followers[key] = swapped

        def end() -> None:
            with self._swapping:
                self._followers.pop(key, None)

        return end

    def check(self, request: Request) -> Decision:
        """Decide by the program that is active now."""
        return self._active.program.decide(request)

    def explain(self, request: Request) -> Explanation:
        """Decide as `check` does, and say how."""
        return self._active.program.explain(request)
