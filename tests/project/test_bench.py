"""The measurements run, and look at what they measure; no test asserts a figure."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from authz import wire
from scripts.benchmarks import batching, cerbos, page, report, servers
from scripts.benchmarks.engines import authz as engine
from scripts.benchmarks.measuring import Measure, Point, Skipped, measured, ratio
from scripts.benchmarks.plots import FLIGHT, RULES, draw
from scripts.benchmarks.workloads import KINDS, w2_questions, w3_questions
from tests.project.test_layout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmarks.engines.engine import Engine
    from scripts.benchmarks.measuring import Found
    from scripts.benchmarks.plots import Plot
    from scripts.benchmarks.workloads import Asked

SPLIT = ("body read and understood", "token, remembered", "question made and checked", "LocalPdp", "RemotePdp")


def wrong(made: Engine, asked: tuple[Asked, ...]) -> list[Asked]:
    """Return what an engine answers otherwise than the workload says."""
    return [one for one in asked if made.allowed(made.decide(made.prepare(one.question))) is not one.allowed]


def test_the_first_workload_means_to_authz_what_it_says() -> None:
    """Issue 6: the benchmark checks that every answer is right before it times anything."""
    asked = w2_questions()
    assert {one.allowed for one in asked} == {True, False}
    assert wrong(engine.w2(), asked) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_workload_means_to_authz_what_it_says_however_its_rules_differ(kind: str) -> None:
    """Issue 6, P2: names, patterns, types, roles, tenants, and rules that no index can tell apart."""
    asked = w3_questions(kind, 30)
    assert {one.allowed for one in asked} == {True, False}
    assert wrong(engine.w3(kind, 30), asked) == []


def test_a_workload_that_is_answered_wrongly_is_found_out() -> None:
    """Performance: no ratio for a peer that did not really answer, so a wrong answer must be noticed."""
    turned = tuple(replace(one, allowed=not one.allowed) for one in w2_questions())
    assert wrong(engine.w2(), turned) == list(turned)


def test_the_batches_hold_both_answers_and_no_question_twice() -> None:
    """Issue 6, P4: a thousand different questions a message, so that no answer can be a remembered one."""
    messages = {one.message for one in batching.batches(50, cerbos.request)}
    assert len(messages) == batching.MESSAGES
    (first, *_) = batching.batches(50, batching.message)
    assert set(first.expected) == {True, False}


def test_a_question_is_the_same_in_a_process_and_over_the_wire() -> None:
    """Issue 6: what is timed in one process and what is timed over gRPC mean the same."""
    for one in w2_questions():
        sent = servers.question_message(one.question).SerializeToString()
        assert wire.read_check(sent).request == engine.request(one.question)


def test_ratios_are_taken_round_by_round() -> None:
    """Performance: only ratios measured side by side in one run are claims."""
    found = ratio("ours over theirs", [1.0, 2.0, 9.0], [2.0, 2.0, 3.0], "<= 1.6")
    assert (found.low, found.median, found.high, found.met) == (0.5, 1.0, 3.0, True)


@pytest.fixture
def whole() -> report.Report:
    """Return a report as a full run leaves one."""

    def curve(plot: str, series: str, points: dict[float, float]) -> list[Found]:
        return [
            measured(f"{series} {x}", [y, y * 1.1, y * 0.9], "µs", point=Point(plot, series, x))
            for x, y in points.items()
        ]

    rules = [one for key, _ in RULES.series for one in curve(RULES.key, key, {10: 1.0, 100: 2.0, 1_000: 30.0})]
    flight = [one for key, _ in FLIGHT.series for one in curve(FLIGHT.key, key, {1: 900.0, 8: 2_000.0, 64: 9_000.0})]
    barred: list[Found] = [
        Measure("W2, authz over Cedar", 0.004, 0.003, 0.005, "x", "<= 0.005", rounds=3),
        Skipped("W2, vakt", "no `pip`"),
    ]
    groups = {"P1": tuple(barred), "P2": tuple(rules), "P3": tuple(flight)}
    return report.Report("2026-01-01", False, {"python": "3", "cores": "2"}, "server on 0", {"authz": "1"}, groups)


def test_a_report_is_read_as_it_was_written(whole: report.Report, tmp_path: Path) -> None:
    """Issue 6: human and JSON; the page is written from the JSON."""
    report.write(whole, tmp_path / "report.json")
    assert report.read(tmp_path / "report.json") == whole


@pytest.mark.parametrize("plot", [RULES, FLIGHT], ids=lambda plot: plot.key)
def test_a_plot_is_a_picture_with_its_axes_and_each_line_named_apart(plot: Plot, whole: report.Report) -> None:
    """Issue 6: one plot of cost against rules, one of throughput against calls in flight."""
    picture = ET.fromstring(draw(plot, whole))
    texts = {one.text: one for one in picture.findall(".//{*}text")}
    assert {plot.x, plot.y, *(name for _, name in plot.series)} <= texts.keys()
    heights = sorted(float(texts[name].attrib["y"]) for _, name in plot.series)
    assert all(below - above >= 16 for above, below in pairwise(heights))
    assert all(0 < height < 460 for height in heights)


def test_a_plot_without_figures_is_refused(whole: report.Report) -> None:
    """Issue 6: the page shows what was measured, or is not written."""
    with pytest.raises(ValueError, match="no figures for the plot `flight`"):
        draw(FLIGHT, replace(whole, groups={"P1": whole.groups["P1"]}))


def test_the_page_keeps_what_was_written_by_hand(whole: report.Report, tmp_path: Path) -> None:
    """Issue 6: results of the last full run with versions and date; what limits what is missed stays."""
    before = (ROOT / "docs" / page.PAGE).read_text()
    (tmp_path / page.PAGE).write_text(before)
    page.write(whole, tmp_path)
    page.write(whole, tmp_path)
    after = (tmp_path / page.PAGE).read_text()
    limits = before[before.index("## What limits") : before.index("## All figures")]
    assert limits in after
    assert "| P1 | W2, authz over Cedar | 0.004 x | 0.003 to 0.005 | ≤ 0.005 x | met |" in after
    assert "| W2, vakt | skipped | no `pip` |" in after
    assert after.count("2026-01-01") == 1
    assert {one.name for one in tmp_path.glob("*.svg")} == set(page.PLOTS)


@pytest.mark.slow
def test_the_price_of_the_guard_is_measured_with_its_split_and_its_bars(tmp_path: Path) -> None:
    """Issue 5, Speed: `scripts/bench --only mcp` prints the split, for both kinds of decision points, and lists."""
    found = tmp_path / "report.json"
    command = [sys.executable, "-m", "scripts.benchmarks", "--only", "mcp", "--quick", "--json", str(found)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    bars = {one["name"]: one["bar"] for one in json.loads(found.read_text())["groups"]["mcp"]}
    assert all(name in ran.stdout for name in bars)
    assert all(any(part in name for name in bars) for part in SPLIT)
    assert sorted(bar for bar in bars.values() if bar) == sorted(
        ["<= 1", "<= 3", "<= 3", *["<= 100", "<= 1000"] * 2, "<= 1000"]
    )
