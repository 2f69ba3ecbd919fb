"""What a measurement is, and how one is taken."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        spread = f"{_short(self.low)} .. {_short(self.high)}"
        return f"{self.name:<66} {_short(self.median):>8} {self.unit:<5} {spread:>21}  {self.bar} {verdict}".rstrip()


def measured(name: str, rounds: Sequence[float], unit: str, bar: str = "") -> Measure:
    """Return the measure of some rounds."""
    return Measure(name, statistics.median(rounds), min(rounds), max(rounds), unit, bar)


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
