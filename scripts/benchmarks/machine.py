"""What a run depends on: versions, cores, and which program runs on which core."""

from __future__ import annotations

import os
import platform
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES: Final = (
    "authz", "cryptography", "fastmcp", "grpcio", "mcp", "protobuf", "pygrpc-native", "pyjwt", "sqlite-utils", "uvloop",
)  # fmt: skip
_CORES: Final = tuple(sorted(os.sched_getaffinity(0)))

SERVER: Final = frozenset(_CORES[:1])
"""The core of whatever is measured."""
LOAD: Final = frozenset(_CORES[1:2] or _CORES)
"""The core of whatever asks; the same where there is but one."""
EVERY: Final = frozenset(_CORES)


def pinning() -> str:
    """Say which program runs where."""
    if len(_CORES) == 1:
        return "one core for server and load: figures over a network say little"
    return f"server on core {min(SERVER)}, load on core {min(LOAD)}; engines in one process on core {min(SERVER)}"


def described() -> dict[str, str]:
    """Return the machine in words."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(len(_CORES)),
    }


def versions() -> dict[str, str]:
    """Return the versions of what runs in this environment."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@contextmanager
def cores(wanted: frozenset[int]) -> Iterator[None]:
    """Run what is started within on these cores: a process inherits them, and each of its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123  # not a file of ours
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
