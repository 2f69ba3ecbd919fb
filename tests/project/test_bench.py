"""The measurements run, and look at what they measure; no test asserts a figure."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.project.test_layout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SPLIT = ("body read and understood", "token, remembered", "question made and checked", "LocalPdp", "RemotePdp")


@pytest.mark.slow
def test_the_price_of_the_guard_is_measured_with_its_split_and_its_bars(tmp_path: Path) -> None:
    """Issue 5, Speed: `scripts/bench --only mcp` prints the split, for both kinds of decision points, and lists."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "scripts.bench", "--only", "mcp", "--quick", "--json", str(report)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    bars = {one["name"]: one["bar"] for one in json.loads(report.read_text())["measures"]}
    assert all(name in ran.stdout for name in bars)
    assert all(any(part in name for name in bars) for part in SPLIT)
    assert sorted(bar for bar in bars.values() if bar) == sorted(
        ["<= 1", "<= 3", "<= 3", *["<= 100", "<= 1000"] * 2, "<= 1000"]
    )
