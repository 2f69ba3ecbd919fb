"""docs/performance.md from a report: its figures and its plots. What stands outside the marks is written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.benchmarks.measuring import Measure, short
from scripts.benchmarks.plots import FLIGHT, RULES, draw
from scripts.benchmarks.report import TITLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.benchmarks.measuring import Found
    from scripts.benchmarks.report import Report

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
PAGE: Final = "performance.md"
PLOTS: Final = {"performance-rules.svg": RULES, "performance-flight.svg": FLIGHT}
_VERDICTS: Final = {True: "met", False: "**missed**", None: ""}


def write(report: Report, docs: Path = DOCS) -> None:
    """Write the figures into the page, and the plots beside it. Raises `ValueError`, as `draw` does."""
    pictures = {name: draw(plot, report) for name, plot in PLOTS.items()}
    text = (docs / PAGE).read_text(encoding="utf-8")
    for name, lines in {"bars": _bars(report), "figures": _figures(report)}.items():
        begin, end = f"<!-- {name}: written by scripts/bench -->\n", "<!-- end -->"
        before, _, rest = text.partition(begin)
        text = "".join([before, begin, "\n", *(f"{line}\n" for line in lines), end, rest.partition(end)[2]])
    (docs / PAGE).write_text(text, encoding="utf-8")
    for name, picture in pictures.items():
        (docs / name).write_text(picture, encoding="utf-8")


def _bars(report: Report) -> Iterator[str]:
    yield f"Measured {report.date}{', with `--quick`: no figures to rely on' if report.quick else ''}."
    yield f"The machine: {', '.join(report.machine.values())} cores; {report.pinning}."
    yield f"Versions: {', '.join(f'{name} {version}' for name, version in report.versions.items())}."
    yield ""
    yield "| | measure | median | least to greatest | bar | |"
    yield "|---|---|---:|---:|---:|---|"
    for group, measures in report.measures().items():
        for one in measures:
            if one.bar and group in TITLES and group.startswith("P"):
                yield f"| {group} | {_row(one)} | {_bar(one)} | {_VERDICTS[one.met]} |"
    yield ""


def _figures(report: Report) -> Iterator[str]:
    for group, found in report.groups.items():
        yield f"### {group}: {TITLES[group]}"
        yield ""
        yield "| measure | median | least to greatest |"
        yield "|---|---:|---:|"
        yield from map(_line, found)
        yield ""


def _line(found: Found) -> str:
    return f"| {_row(found)} |" if isinstance(found, Measure) else f"| {found.name} | skipped | {found.why} |"


def _row(one: Measure) -> str:
    unit = f" {one.unit}" if one.unit else ""
    spread = f"{short(one.low)} to {short(one.high)}" if one.rounds > 1 else "one round"
    return f"{one.name} | {short(one.median)}{unit} | {spread}"


def _bar(one: Measure) -> str:
    return one.bar.replace(">=", "≥").replace("<=", "≤") + (f" {one.unit}" if one.unit else "")
