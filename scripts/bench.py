"""Measure authz on this machine. Figures compare within one run only, and no test ever asserts one."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts import bench_mcp, bench_store, bench_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.measuring import Measure

GROUPS: Final[dict[str, Callable[[bool], Iterator[Measure]]]] = {
    "mcp": bench_mcp.measure,
    "store": bench_store.measure,
    "tokens": bench_tokens.measure,
}
PACKAGES: Final = ("grpcio", "protobuf", "sqlite-utils", "cryptography", "pyjwt", "mcp", "fastmcp")


def main() -> int:
    """Run the groups that were asked for, and print what they measured."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--only", choices=sorted(GROUPS), action="append", help="measure this group; may be repeated")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    given = parser.parse_args()
    print(f"{_machine()}{', quick' if given.quick else ''}\n")
    print(f"{'MEASURE':<66} {'MEDIAN':>12} {'SPREAD':>23}  BAR")
    measures = []
    for name in given.only or sorted(GROUPS):
        for measure in GROUPS[name](given.quick):
            measures.append(measure)
            print(measure.line(), flush=True)
    if given.json:
        report = {"machine": _machine(), "quick": given.quick, "measures": [asdict(measure) for measure in measures]}
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _machine() -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    cores = len(os.sched_getaffinity(0))
    return f"{platform.python_implementation()} {platform.python_version()}, {cores} cores, {versions}"


if __name__ == "__main__":
    sys.exit(main())
