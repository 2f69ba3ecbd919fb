"""Issuers that others wrote, run under Node from packages of pinned versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.npm import node

if TYPE_CHECKING:
    from collections.abc import Iterator

ISSUERS: Final = Path(__file__).parent / "issuers"


class Running:
    """A program that says its issuer, and answers a line with a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Wait for the issuer."""
        self._process = process
        self.issuer = self._line()

    def tell(self, told: dict[str, Any]) -> None:
        """Send a line and wait until it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        assert self._line() == "done"

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, self._process.stderr and self._process.stderr.read()
        return line


@contextmanager
def running(script: str, packages: Path, where: Path) -> Iterator[Running]:
    """Run a script of `issuers` with the installed packages; `where` is a folder of this test's own."""
    (where / "node_modules").symlink_to(packages / "node_modules")
    shutil.copy(ISSUERS / script, where)
    process = subprocess.Popen(
        [node(), script],
        cwd=where,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "NODE_ENV": "test"},
    )
    try:
        yield Running(process)
    finally:
        process.kill()
        process.communicate(timeout=30)
