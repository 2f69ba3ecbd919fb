"""A run as a table for people and as JSON for machines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from scripts.benchmarks import machine, peers
from scripts.benchmarks.measuring import Measure, Point, Skipped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scripts.benchmarks.measuring import Found

TITLES: Final = {
    "P1": "One decision in process: a hundred tools, twenty roles, scopes, an owner, tenants (W2)",
    "P2": "One decision in process: n rules of which one matches (W3)",
    "P3": "Check over gRPC, each server writing its decisions to a file",
    "P4": "Many questions in one message",
    "P5": "The decision log's price",
    "P6": "A list of tools inside the MCP server",
    "P7": "A dry run from a cold start",
    "P8": "A large policy: text to ready, a change, memory",
    "P9": "Reload under full load",
    "P10": "Two workers on two cores",
    "mcp": "What the guard costs an MCP server",
    "store": "The decision log, verification, the directory, import",
    "tokens": "Tokens and issuers' keys",
}
"""What there is to measure, in the order of a full run."""
HEAD: Final = f"{'MEASURE':<66} {'MEDIAN':>8} {'':<5} {'LEAST .. GREATEST':>21}  BAR"


@dataclass(frozen=True, slots=True)
class Report:
    """What a run found, and where."""

    date: str
    quick: bool
    machine: Mapping[str, str]
    pinning: str
    versions: Mapping[str, str]
    groups: Mapping[str, tuple[Found, ...]]

    def heading(self) -> str:
        """Return what stands above the table."""
        where = ", ".join(self.machine.values())
        lines = [f"{self.date}{', quick' if self.quick else ''}", f"{where} cores", self.pinning]
        return "\n".join([*lines, ", ".join(f"{name} {version}" for name, version in self.versions.items())])

    def measures(self) -> dict[str, list[Measure]]:
        """Return the measures of each group."""
        return {group: [one for one in found if isinstance(one, Measure)] for group, found in self.groups.items()}


def begun(*, quick: bool) -> Report:
    """Return a report without figures."""
    versions = {**machine.versions(), **_peers()}
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Report(date, quick, machine.described(), machine.pinning(), versions, {})


def write(report: Report, path: Path) -> None:
    """Write it as JSON."""
    path.write_text(json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> Report:
    """Read what `write` wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    groups = {group: tuple(map(_found, entries)) for group, entries in found.pop("groups").items()}
    return Report(**found, groups=groups)


def _found(entry: dict[str, Any]) -> Found:
    if "why" in entry:
        return Skipped(**entry)
    point = entry.pop("point")
    return Measure(**entry, point=Point(**point) if point else None)


def _peers() -> dict[str, str]:
    """Return the versions of the peers that are wanted; those that cannot be had are skipped where they are used."""
    named = dict(line.split("==") for line in peers.requirements())
    locked = json.loads((peers.PINNED / "package.json").read_text(encoding="utf-8"))["dependencies"]
    try:
        program = peers.h2load()
        named["h2load"] = peers.version_of([str(program.path), "--version"], program.environment).split("/")[-1]
    except peers.UnavailableError as error:
        named["h2load"] = f"missing ({error})"
    return {**named, **{name.rpartition("/")[2].partition("-")[0]: version for name, version in locked.items()}}
