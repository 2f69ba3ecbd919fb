"""Measure authz beside its peers on this machine. Figures compare within one run only, and no test ever asserts one."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.benchmarks import batching, decisions, mcp, page, report, serving, starting, store, tokens
from scripts.benchmarks.machine import EVERY, LOAD, cores
from scripts.benchmarks.measuring import Skipped, WrongAnswerError
from scripts.benchmarks.peers import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.benchmarks.measuring import Found

GROUPS: Final[dict[str, Callable[[bool], Iterator[Found]]]] = {
    "P1": decisions.p1,
    "P2": decisions.p2,
    "P3": serving.p3,
    "P4": batching.p4,
    "P5": serving.p5,
    "P6": mcp.p6,
    "P7": starting.p7,
    "P8": starting.p8,
    "P9": serving.p9,
    "P10": batching.p10,
    "mcp": mcp.measure,
    "store": store.measure,
    "tokens": tokens.measure,
}

_ASKING: Final = ("P3", "P4", "P5", "P9", "P10")
"""Those that ask a server on the other core."""


def main() -> int:
    """Run the groups that were asked for, and print what they measured."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "--only", choices=list(GROUPS), action="append", help="measure this group; may be repeated  [default: all]"
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument(
        "--write-docs", type=Path, metavar="FILE", help="measure nothing: write docs/performance.md from such a file"
    )
    given = parser.parse_args()
    if given.write_docs:
        try:
            page.write(report.read(given.write_docs))
        except (OSError, ValueError) as error:
            parser.error(str(error))
        return 0
    return _run(given.only or list(GROUPS), quick=given.quick, json=given.json)


def _run(names: list[str], *, quick: bool, json: Path | None) -> int:
    """Print every figure as soon as it is there, and keep what there is after every group."""
    found_all = report.begun(quick=quick)
    print(found_all.heading())
    failed = False
    for name in names:
        print(f"\n{name}  {report.TITLES[name]}\n{report.HEAD}", flush=True)
        found: list[Found] = []
        try:
            with cores(LOAD if name in _ASKING else EVERY):  # gRPC's threads are where they were begun
                for one in GROUPS[name](quick):
                    found.append(one)
                    print(one.line(), flush=True)
        except (UnavailableError, WrongAnswerError) as error:
            failed = True
            found.append(Skipped(f"the rest of {name}", str(error)))
            print(found[-1].line(), flush=True)
        found_all = replace(found_all, groups={**found_all.groups, name: tuple(found)})
        if json:
            report.write(found_all, json)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
