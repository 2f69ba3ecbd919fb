"""Sum up a log: how many of what, how quick, and what is missing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_PERCENTS: Final = (50, 95, 99)
_UNITS: Final = {"day": len("2026-11-22"), "hour": len("2026-11-22T05")}


@dataclass(slots=True)
class Stats:
    """Numbers of records by what they say; `latencies` counts microseconds."""

    records: int = 0
    dropped: int = 0
    """Records that were never written, by what the log itself says of it."""
    by: dict[str, Counter[str]] = field(
        default_factory=lambda: {name: Counter() for name in ("kind", "decision", "reason", "tool", "tenant", "time")}
    )
    latencies: Counter[int] = field(default_factory=Counter)

    def latency(self) -> dict[str, int]:
        """Return the latencies, in microseconds, that so many percent of the decisions did not exceed."""
        total = self.latencies.total()
        if not total:
            return {}
        found: dict[str, int] = {}
        passed = 0
        for value, number in sorted(self.latencies.items()):
            passed += number
            for percent in _PERCENTS:
                if passed * 100 >= total * percent:
                    found.setdefault(f"p{percent}", value)
        return found


def sum_up(texts: Iterable[str], per: str = "day") -> Stats:
    """Count records; `per` is `day` or `hour`. Raised is ValueError where one is no JSON."""
    stats = Stats()
    for text in texts:
        record = json.loads(text)
        stats.records += 1
        stats.by["kind"][str(record.get("kind", ""))] += 1
        stats.by["time"][str(record.get("time", ""))[: _UNITS[per]]] += 1
        if record.get("kind") == "loss":
            stats.dropped += _whole(record.get("dropped"))
        if record.get("kind") != "decision":
            continue
        for name in ("decision", "reason", "tool", "tenant"):
            stats.by[name][str(record.get(name, ""))] += 1
        if "latency_us" in record:
            stats.latencies[_whole(record["latency_us"])] += 1
    return stats


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
