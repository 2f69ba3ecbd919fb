"""A server that serves the active version of a store: it follows activations made by any process."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from authz.errors import StoreCorruptError, StoreError
from authz.model import Act
from authz.pap import versions
from authz.pap.loader import ReadFile
from authz.server.config import ConfigError, StoreConfig
from authz.stores.sqlite.store import open_store
from authz.v1 import decision_pb2 as v1
from tests.server.support import NOT_SERVING, ask, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from authz.pap.history import Activation
    from authz.stores.sqlite.store import SqliteStore
    from tests.server.support import Running

ME = Act("tester", "cli")


def put(store: SqliteStore, tool: str) -> int:
    """Put a policy that allows one tool to everybody."""
    text = f'tool "{tool}" {{ allow public }}\n'.encode()
    return versions.put(store.policies, [ReadFile("a.authz", "a.authz", text)], ME).number


def activate(place: Path, tool: str) -> Activation:
    """Put and activate a policy, as another process would: with a connection of its own."""
    store = open_store(place / "s.db", create=True)
    try:
        return versions.activate(store.policies, put(store, tool), ME)[0]
    finally:
        store.close()


def following(place: Path) -> dict[str, object]:
    """Return the settings of a server that follows the store in this place."""
    return {"policies": None, "store": StoreConfig(place / "s.db")}


async def allows(running: Running, tool: str) -> bool:
    """Ask whether a tool may be called."""
    return (await running.stub.Check(ask(tool))).decision == v1.DECISION_ALLOW


async def test_an_activation_reaches_every_server(tmp_path: Path) -> None:
    """Issue 3, 2; S4: activation swaps on all workers, a rollback too, whoever does it."""
    first = activate(tmp_path, "one")
    async with serving(**following(tmp_path)) as left, serving(**following(tmp_path)) as right:  # type: ignore[arg-type]
        assert await allows(left, "one")
        assert await allows(right, "one")
        second = activate(tmp_path, "two")
        for running in (left, right):
            await until(lambda at=running: at.server.engine.program.revision == second.revision)  # type: ignore[misc]
            assert await allows(running, "two")
            assert not await allows(running, "one")
        store = open_store(tmp_path / "s.db")
        versions.rollback(store.policies, None, ME)
        store.close()
        for running in (left, right):
            await until(lambda at=running: at.server.engine.program.revision == first.revision)  # type: ignore[misc]


async def test_a_version_that_was_changed_in_the_file_is_not_taken(tmp_path: Path) -> None:
    """Issue 3, bad input: the service goes on with what it had, and says so."""
    first = activate(tmp_path, "one")
    async with serving(**following(tmp_path)) as running:  # type: ignore[arg-type]
        store = open_store(tmp_path / "s.db")
        number = put(store, "two")
        forged = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        forged.execute("UPDATE policy_file SET text = replace(text, 'two', 'all') WHERE version = ?", (number,))
        forged.execute(
            "INSERT INTO policy_activation (version, kind, author, time, note) SELECT ?, kind, author, time, note "
            "FROM policy_activation",
            (number,),
        )
        forged.close()
        store.close()
        await until(lambda: running.records("policy_broken"))
        assert running.server.engine.program.revision == first.revision
        assert await running.status("authz.policy") == NOT_SERVING
        assert not await allows(running, "all")


async def test_without_an_active_version_nothing_is_served(tmp_path: Path) -> None:
    """Principle: refuse to start rather than run weak."""
    store = open_store(tmp_path / "s.db", create=True)
    put(store, "one")
    store.close()
    with pytest.raises(ConfigError, match="no policy is active"):
        async with serving(**following(tmp_path)):  # type: ignore[arg-type]
            pass


async def test_a_store_that_is_missing_or_damaged_keeps_the_server_from_starting(tmp_path: Path) -> None:
    """Threats 3d-8: start refuses with a clear message."""
    with pytest.raises(StoreError, match="does not exist"):
        async with serving(**following(tmp_path)):  # type: ignore[arg-type]
            pass
    activate(tmp_path, "one")
    path = tmp_path / "s.db"
    data = bytearray(path.read_bytes())
    data[4096 + 8 :: 512] = b"\xff" * len(data[4096 + 8 :: 512])
    path.write_bytes(data)
    with pytest.raises(StoreCorruptError, match="damaged"):
        async with serving(**following(tmp_path)):  # type: ignore[arg-type]
            pass
