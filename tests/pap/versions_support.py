"""What the tests of the policy history share: small policies that differ, and stores to put them in."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from authz.model import Act, Request
from authz.pap.decoding import ReadFile
from authz.stores.sqlite.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from authz.pap.loader import LoadedPolicy
    from authz.stores.sqlite.store import SqliteStore

ACT = Act("alice", "cli", "because")


def file(name: str, text: str) -> ReadFile:
    """Return a file in memory."""
    return ReadFile(name, name, text.encode())


def policy(tool: str, *, passing: bool | None = True) -> tuple[ReadFile, ...]:
    """Return a policy that allows one tool, with a test that passes or fails, or with none."""
    written = file("main.authz", f'# Allows {tool}.\ntool "{tool}" {{ allow "all"   public }}\n')
    if passing is None:
        return (written,)
    expected = "allow" if passing else "deny"
    test = f'test "anybody calls {tool}" {{ as anonymous call "{tool}" expect {expected} }}\n'
    return written, file("main_test.authz", test)


def allows(loaded: LoadedPolicy, tool: str) -> bool:
    """Say whether a policy lets anybody call a tool."""
    return loaded.program.decide(Request(tool=tool, anonymous=True)).allowed


@contextlib.contextmanager
def opened(path: Path) -> Iterator[SqliteStore]:
    """Open a store, made where there is none, and close it."""
    with contextlib.closing(open_store(path, create=True)) as store:
        yield store
