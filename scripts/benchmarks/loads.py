"""Loads a large policy in a process of its own: `python -m scripts.benchmarks.loads FOLDER RULES` answers in JSON.

A hundred rules a file, each on a tool of its own, as W2's are.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Final

A_FILE: Final = 100


def rules_file(first: int, mark: str = "") -> str:
    """Return the text of the file that begins with this rule; a mark makes its last rule another one."""
    lines = [
        f'tool "tool{n}{mark if n == first + A_FILE - 1 else ""}" on "document" '
        f'{{ require scope "scope_{n % 10}"  allow role "role_{n % 20}", "owner" }}'
        for n in range(first, first + A_FILE)
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Load, change one file, load again, and say how long each took, in seconds, and what is kept, in MB."""
    from authz.model import Effect, Request, Resource  # noqa: PLC0415  # what imports take is no part of loading
    from authz.pap.loader import load  # noqa: PLC0415  # as above

    folder, rules = Path(sys.argv[1]), int(sys.argv[2])

    def decides(tool: str) -> Effect:
        asked = Request(
            tool=tool,
            subject="alice",
            tenant="acme",
            scopes=[f"scope_{(rules - 1) % 10}"],
            resource=Resource("document", "d", "acme", {"owner": "alice"}),
        )
        return loaded.program.decide(asked).effect

    started = time.perf_counter()
    loaded = load(folder)
    last = decides(f"tool{rules - 1}")
    cold = time.perf_counter() - started
    gc.collect()
    memory = _resident()
    (folder / f"rules{rules - A_FILE}.authz").write_text(rules_file(rules - A_FILE, "_changed"), encoding="utf-8")
    started = time.perf_counter()
    loaded = load(folder)
    new = decides(f"tool{rules - 1}_changed")
    changed = time.perf_counter() - started
    (folder / f"rules{rules - A_FILE}.authz").write_text(rules_file(rules - A_FILE), encoding="utf-8")
    assert last is new is Effect.ALLOW
    assert decides(f"tool{rules - 1}") is Effect.DENY
    print(json.dumps({"cold": cold, "changed": changed, "memory": memory}))


def _resident() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
