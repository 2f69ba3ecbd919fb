"""Raise an alarm at once, and then not for every loss that follows."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    Alarm: TypeAlias = Callable[[str, int], None]

EVERY_S: Final = 10.0
"""Between two alarms; the later one says how many were lost since the one before."""


class Bell:
    """Passes on what fails and how much is lost, from any thread; no loss goes unmentioned."""

    def __init__(self, alarm: Alarm) -> None:
        """Tell `alarm` what the problem is and how many records are lost since it was last told."""
        self._alarm = alarm
        self._lock = threading.Lock()
        self._problem = ""
        self._lost = 0
        self._last = -EVERY_S

    @property
    def waits(self) -> bool:
        """Say whether something has not been passed on yet."""
        return bool(self._problem)

    def ring(self, problem: str, lost: int) -> None:
        """Tell of a problem, now or with those that follow soon."""
        with self._lock:
            self._problem = problem
            self._lost += lost
        self.again()

    def again(self, *, now: bool = False) -> None:
        """Pass on what waits, if its time has come or it is to be `now`."""
        time_ = time.monotonic()
        with self._lock:
            if not self._problem or (time_ - self._last < EVERY_S and not now):
                return
            problem, lost = self._problem, self._lost
            self._problem, self._lost, self._last = "", 0, time_
        with contextlib.suppress(Exception):  # whoever is told must not end the thread that tells
            self._alarm(problem, lost)
