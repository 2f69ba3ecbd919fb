"""Records of the log as tables, JSON lines and CSV, and sums of them, safe to look at."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from typing import TYPE_CHECKING, Final, TypeAlias

from authz.cli.render import json_text, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from authz.audit.stats import Stats

    Record: TypeAlias = Mapping[str, object]

_TABLE: Final = ("seq", "time", "subject", "tenant", "tool", "resource", "decision", "reason")
_CSV: Final = (
    *("seq", "time", "kind", "pep", "subject", "anonymous", "client", "tenant", "tool"),
    *("resource.type", "resource.id", "resource.tenant", "decision", "reason", "rules", "policy_revision"),
    *("directory_revision", "request_digest", "latency_us", "request_id", "decision_id", "trace_id"),
    *("act", "author", "via", "note", "dropped"),
)
_WIDEST: Final = 40
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_TOP: Final = 20
_PATIENCE_S: Final = 1.0


class Bar:
    """A line on stderr that says how far it is; only on a terminal, only when it takes long."""

    def __init__(self, total: int) -> None:
        """Expect so many records."""
        self._total = max(total, 1)
        self._on = sys.stderr.isatty()
        self._next = time.monotonic() + _PATIENCE_S
        self._shown = False

    def step(self, done: int) -> None:
        """Show how far it is, at most five times a second."""
        if not self._on or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.2
        self._shown = True
        part = min(1.0, done / self._total)
        sys.stderr.write(f"\r\x1b[K[{'#' * int(part * 30):<30}] {part:4.0%}  {done} records")
        sys.stderr.flush()

    def close(self) -> None:
        """Wipe the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def render_records(texts: Iterable[str], format_: str) -> Iterator[str]:
    """Yield the lines of a `table`, of `json` or of `csv`."""
    records = (_record(text) for text in texts)
    match format_:
        case "json":
            yield from (json_text(record) for record in records)
        case "csv":
            yield ",".join(_CSV)
            yield from (_csv_line([_field(record, name) for name in _CSV]) for record in records)
        case _:
            yield from _aligned([_TABLE, *([_cell(record, name) for name in _TABLE] for record in records)])


def render_line(text: str, format_: str) -> str:
    """Return one record as a line, for people (`human`) or as `json`."""
    record = _record(text)
    if format_ == "json":
        return json_text(record)
    return "  ".join(cell for name in _TABLE if (cell := _cell(record, name)))


def render_stats(stats: Stats, per: str) -> Iterator[str]:
    """Yield the lines of a summary for people."""
    yield f"{stats.records} records"
    if stats.dropped:
        yield f"{stats.dropped} more were dropped and never written"
    if latency := stats.latency():
        yield "latency: " + ", ".join(f"{name} {value} µs" for name, value in latency.items())
    for name, counter in stats.by.items():
        rows = sorted(counter.items()) if name == "time" else counter.most_common()
        shown = rows[-_TOP:] if name == "time" else rows[:_TOP]
        if not shown:
            continue
        yield ""
        yield f"by {per if name == 'time' else name}" + (f" ({len(shown)} of {len(rows)})" if len(rows) > _TOP else "")
        yield from (f"  {number:>9}  {printable(value) or '(none)'}" for value, number in shown)


def stats_to_json(stats: Stats, per: str) -> dict[str, object]:
    """Return a summary as JSON."""
    counts = {f"by_{per if name == 'time' else name}": dict(counter) for name, counter in stats.by.items()}
    return {"records": stats.records, "dropped": stats.dropped, "latency_us": stats.latency(), **counts}


def _record(text: str) -> Record:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    return record if isinstance(record, dict) else {"kind": "damaged", "text": text}


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TABLE))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(record: Record, name: str) -> str:
    value = record.get(name)
    if name == "resource" and isinstance(value, dict):
        value = ":".join(str(value[part]) for part in ("type", "id") if part in value)
    elif name == "subject" and value is None:
        value = record.get("author") or ("(anonymous)" if record.get("anonymous") else "")
    elif name == "tool" and value is None:
        value = record.get("act") or record.get("kind")
    elif name == "reason" and value is None and "dropped" in record:
        value = f"{record['dropped']} dropped"
    text = printable("" if value is None else str(value))
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _field(record: Record, name: str) -> str:
    value: object = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list():
            return " ".join(str(one) for one in value)
        case _:
            return str(value)


def _csv_line(fields: Iterable[str]) -> str:
    """Return a line of CSV; what a spreadsheet would run as a formula gets an apostrophe before it."""
    out = io.StringIO()
    safe = [printable(f"'{text}" if text.startswith(_FORMULA) else text) for text in fields]
    csv.writer(out, lineterminator="").writerow(safe)
    return out.getvalue()
