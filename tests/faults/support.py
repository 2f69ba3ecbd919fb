"""Child processes that tell what was acknowledged to them, and what must hold of a store whatever befell them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from authz.audit.chain import link_hash
from authz.audit.signing import load_verifier, public_path
from authz.stores.sqlite.store import SqliteStore, key_path, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).parent / "child.py"


class Child:
    """A process that runs one function of child.py."""

    def __init__(self, what: str, store: Path, *arguments: str) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, CHILD, what, store, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def next(self) -> dict[str, Any]:
        """Return what it tells next; wait for it."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the child ended"
        told: dict[str, Any] = json.loads(line)
        return told

    def go(self, line: str = "") -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Let it stand still, wherever it is, and wait until it does."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on from where it stands."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> list[dict[str, Any]]:
        """Kill it as the kernel does when memory is short, and return what it had still told."""
        self._process.kill()
        return self.rest()

    def rest(self) -> list[dict[str, Any]]:
        """Return what it tells until its end."""
        assert self._process.stdout is not None
        out = self._process.stdout.read()  # `communicate` would not see what has been read ahead
        self._process.wait(timeout=120)
        return [json.loads(line) for line in out.splitlines() if line.endswith(b"}")]

    @property
    def code(self) -> int | None:
        """Return how it ended."""
        return self._process.poll()

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def child(what: str, store: Path, *arguments: str) -> Iterator[Child]:
    """Run a child, past the point where it is ready."""
    started = Child(what, store, *arguments)
    try:
        started.next()
        yield started
    finally:
        started.close()


@contextlib.contextmanager
def opened(path: Path, **how: Any) -> Iterator[SqliteStore]:  # noqa: ANN401  # as open_store
    """Open a store, and close it."""
    store = open_store(path, **how)
    try:
        yield store
    finally:
        store.close()


def make(path: Path) -> Path:
    """Make an empty store and return its path."""
    open_store(path, create=True).close()
    return path


def whole_log(store: SqliteStore) -> list[dict[str, Any]]:
    """Return all records, having found that they are one chain up to the signed head, whatever was in between."""
    signed = store.log.head()
    last = signed.head.log
    hashes: list[bytes] = []
    found: list[dict[str, Any]] = []
    for place, link in enumerate(store.log.links(), start=1):
        assert link.seq == place
        assert link.hash == link_hash(last, link.text)
        last = link.hash
        hashes.append(last)
        found.append(json.loads(link.text))
        assert found[-1]["seq"] == place
    assert len(found) == signed.head.seq
    assert signed.head.last == last
    assert signed.head.root == _root(hashes)
    if found:
        verifier = load_verifier(public_path(key_path(store.database.path)))
        assert verifier.verify(signed.head, signed.time, signed.signature)
    return found


def _root(hashes: list[bytes]) -> bytes:
    """Return the root of the tree over these leaves, as RFC 9162 defines it in section 2.1.1."""
    if not hashes:
        return sha256().digest()
    level = [sha256(b"\x00" + leaf).digest() for leaf in hashes]
    while len(level) > 1:
        pairs = [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def sound(store: SqliteStore) -> None:
    """Find that the file is sound, indexes and references with it."""
    assert store.database.check(quick=False) == []
