"""What a measurement is, and how one is taken."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Point:
    """Where a figure stands in a plot."""

    plot: str
    """`rules` or `flight`."""
    series: str
    x: float


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure: the median of its rounds, the least and the greatest, and what it should be at least or at most."""

    name: str
    median: float
    low: float
    high: float
    unit: str
    bar: str = ""
    """`>= 0.85` or `<= 30`, in the measure's unit; empty where none is set."""
    rounds: int = 1
    point: Point | None = None

    @property
    def met(self) -> bool | None:
        """Say whether the bar is met; None where there is none."""
        if not self.bar:
            return None
        sign, number = self.bar.split()
        return self.median >= float(number) if sign == ">=" else self.median <= float(number)

    def line(self) -> str:
        """Return the figure as a line of the table."""
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        spread = f"{short(self.low)} .. {short(self.high)}"
        return f"{self.name:<66} {short(self.median):>8} {self.unit:<5} {spread:>21}  {self.bar} {verdict}".rstrip()


@dataclass(frozen=True, slots=True)
class Skipped:
    """What could not be measured, and why; what builds on it is not printed."""

    name: str
    why: str

    def line(self) -> str:
        """Return it as a line of the table."""
        return f"{self.name:<66}  skipped: {self.why}"


Found: TypeAlias = "Measure | Skipped"


class WrongAnswerError(Exception):
    """Raised when a server or an engine answered something else than the workload demands: its speed means nothing."""


def measured(name: str, rounds: Sequence[float], unit: str, bar: str = "", point: Point | None = None) -> Measure:
    """Return the measure of some rounds."""
    return Measure(name, statistics.median(rounds), min(rounds), max(rounds), unit, bar, len(rounds), point)


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float], bar: str = "") -> Measure:
    """Return ours over theirs, round by round, so that both had the same weather."""
    return measured(name, [one / other for one, other in zip(ours, theirs, strict=True)], "x", bar)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def short(number: float) -> str:
    """Return a number with the figures that mean something."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"
