"""The stores that the conformance suites run against: each behind the same Protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from authz.stores.sqlite.store import SqliteStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENGINES = ("sqlite",)


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteStore]:
    """Return a store with nothing in it, of each engine; it is closed at the end of the test."""
    match request.param:
        case "sqlite":
            opened = open_store(tmp_path / "authz.db", create=True)
        case unknown:
            raise AssertionError(unknown)
    yield opened
    opened.close()
