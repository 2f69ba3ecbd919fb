"""Two plots of a report, as SVG that reads well on light and on dark pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scripts.benchmarks.measuring import Measure
    from scripts.benchmarks.report import Report

_WIDTH, _HEIGHT = 860, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 206, 52, 60
_LINE: Final = 17
"""Pixels between two labels at least."""
_FEW_DECADES: Final = 3
_LIGHT: Final = (
    ("#ffffff", "#24292f", "#57606a", "#d0d7de"),
    ("#0550ae", "#bc4c00", "#116329", "#8250df", "#bf3989", "#7d4e00", "#0e7490", "#6e7781"),
)
_DARK: Final = (
    ("#0d1117", "#e6edf3", "#9198a1", "#30363d"),
    ("#79c0ff", "#ffa657", "#7ee787", "#d2a8ff", "#ff9bce", "#e3b341", "#56d4dd", "#b1bac4"),
)
"""Of the ground, the text, what is beside it and the grid; of the lines."""
_STYLE: Final = """\
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }
.title { font-size: 16px; font-weight: 600 }
.line { fill: none; stroke-width: 2 } .ours { stroke-width: 3.5 } .dash { stroke-dasharray: 7 4 }
.range { stroke-width: 1.2 } .lead { stroke-width: 0.8; opacity: 0.6 }"""


@dataclass(frozen=True, slots=True)
class Plot:
    """What a plot shows and how its axes are called."""

    key: str
    title: str
    x: str
    y: str
    series: tuple[tuple[str, str], ...]
    """The series in the report that are drawn, and what to call them; ours come first."""


RULES: Final = Plot(
    "rules",
    "Cost of one decision against the number of rules",
    "rules",
    "µs, median",
    (
        ("authz", "authz, by name"),
        ("authz, by glob", "authz, by get_*_x_*"),
        ("authz, no index", "authz, no index helps"),
        ("rego in Rust", "rego in Rust"),
        ("Cedar", "Cedar"),
        ("casbin Enforcer", "casbin Enforcer"),
        ("casbin FastEnforcer", "casbin FastEnforcer"),
        ("vakt", "vakt"),
    ),
)
FLIGHT: Final = Plot(
    "flight",
    "Checks a second against calls in flight, decision log on, one core",
    "calls in flight over one connection",
    "checks a second, median",
    (("authz, native", "authz, native"), ("authz, grpcio", "authz, grpcio"), ("Cerbos", "Cerbos")),
)


@dataclass(frozen=True, slots=True)
class _Axis:
    """A logarithmic axis, in pixels."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        share = (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return self.begin + share * (self.end - self.begin)


def draw(plot: Plot, report: Report) -> str:
    """Return a plot. Raises `ValueError` when the report has no figures for it."""
    lines = [(name, _points(report, key)) for key, name in plot.series]
    lines = [(name, points) for name, points in lines if points]
    if not lines:
        raise ValueError(f"no figures for the plot `{plot.key}`: run the whole of scripts/bench")
    every = [one for _, points in lines for one in points]
    ticks_x = sorted({one.point.x for one in every if one.point})
    x = _Axis(ticks_x[0], max(ticks_x[-1], ticks_x[0] * 2), _LEFT + 14, _WIDTH - _RIGHT)
    marks = _marks(min(one.low for one in every), max(one.high for one in every))
    y = _Axis(marks[0], marks[-1], _HEIGHT - _BOTTOM, _TOP)
    parts = [*_frame(plot, x, y, ticks_x, marks)]
    ends = []
    for number, (name, points) in enumerate(lines):
        ours = name.startswith("authz")
        parts += _series(points, x, y, number, "ours" if ours else "", dashed=ours and number > 0)
        ends.append((y.at(points[-1].median), x.at(_x(points[-1])), name, number))
    parts += _labels(ends)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">'
    dark = f"@media (prefers-color-scheme: dark) {{\n{_colours(*_DARK)}\n}}"
    style = f"<title>{escape(plot.title)}</title>\n<style>\n{_STYLE}\n{_colours(*_LIGHT)}\n{dark}\n</style>"
    return "\n".join([head, style, *parts, "</svg>", ""])


def _colours(page: Sequence[str], lines: Sequence[str]) -> str:
    """Return what has which colour; no variables, which not every program that draws SVG knows."""
    ground, text, faint, grid = page
    rules = [
        f".back {{ fill: {ground} }} .text {{ fill: {text} }} .faint {{ fill: {faint} }} .grid {{ stroke: {grid} }}"
    ]
    for number, colour in enumerate(lines):
        at = f".c{number}"
        rules.append(f"{at} .line, {at} .range, {at} .lead {{ stroke: {colour} }}")
        rules.append(f"{at} .dot, {at} .label {{ fill: {colour} }}")
    return "\n".join(rules)


def _points(report: Report, series: str) -> list[Measure]:
    found = [one for measures in report.measures().values() for one in measures]
    return sorted((one for one in found if one.point and one.point.series == series), key=_x)


def _x(measure: Measure) -> float:
    assert measure.point is not None
    return measure.point.x


def _frame(plot: Plot, x: _Axis, y: _Axis, ticks: Sequence[float], marks: Sequence[float]) -> Iterable[str]:
    yield f'<rect class="back" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>'
    yield f'<text class="text title" x="{_LEFT - 62}" y="28">{escape(plot.title)}</text>'
    for tick in marks:
        at = y.at(tick)
        yield f'<line class="grid" x1="{_LEFT}" x2="{x.end + 6:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text class="faint" x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
    for tick in ticks:
        at = x.at(tick)
        yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{y.begin:.1f}" y2="{y.begin + 5:.1f}"/>'
        yield f'<text class="faint" x="{at:.1f}" y="{y.begin + 20:.1f}" text-anchor="middle">{_number(tick)}</text>'
    middle = (x.begin + x.end) / 2
    yield f'<text class="text" x="{middle:.1f}" y="{_HEIGHT - 16}" text-anchor="middle">{escape(plot.x)}</text>'
    up = (y.begin + y.end) / 2
    yield (
        f'<text class="text" x="20" y="{up:.1f}" text-anchor="middle" transform="rotate(-90 20 {up:.1f})">'
        f"{escape(plot.y)}</text>"
    )


def _series(points: Sequence[Measure], x: _Axis, y: _Axis, number: int, kind: str, *, dashed: bool) -> Iterable[str]:
    path = " ".join(f"{x.at(_x(one)):.1f},{y.at(one.median):.1f}" for one in points)
    yield f'<g class="c{number}">'
    for one in points:
        at = x.at(_x(one))
        yield f'<line class="range" x1="{at:.1f}" x2="{at:.1f}" y1="{y.at(one.low):.1f}" y2="{y.at(one.high):.1f}"/>'
    yield f'<polyline class="line {kind}{" dash" if dashed else ""}" points="{path}"/>'
    for one in points:
        radius = 4.5 if kind else 3.5
        yield f'<circle class="dot" cx="{x.at(_x(one)):.1f}" cy="{y.at(one.median):.1f}" r="{radius}"/>'
    yield "</g>"


def _labels(ends: Iterable[tuple[float, float, str, int]]) -> Iterable[str]:
    """Name each line at its end; names that would lie upon each other are moved apart, within the plot."""
    ordered = sorted(ends)
    places: list[float] = []
    for at, *_ in ordered:
        places.append(max(at, places[-1] + _LINE) if places else at)
    lowest: float = _HEIGHT - _BOTTOM
    for number in reversed(range(len(places))):
        places[number] = min(places[number], lowest)
        lowest = places[number] - _LINE
    left = _WIDTH - _RIGHT + 40
    for place, (at, end, name, number) in zip(places, ordered, strict=True):
        yield f'<g class="c{number}">'
        yield f'<line class="lead" x1="{end + 6:.1f}" x2="{left - 5}" y1="{at:.1f}" y2="{place:.1f}"/>'
        yield f'<text class="label" x="{left}" y="{place + 4:.1f}">{escape(name)}</text>'
        yield "</g>"


def _marks(low: float, high: float) -> list[float]:
    """Return where a logarithmic axis is labelled so that it holds both: each decade, or 1, 2, 5 where they are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= _FEW_DECADES else (1,)
    marks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    begins = max(number for number, mark in enumerate(marks) if mark <= low)
    ends = min(number for number, mark in enumerate(marks) if mark >= high)
    return marks[begins : max(ends, begins + 1) + 1]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
