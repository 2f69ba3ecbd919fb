"""Open one file as the three things it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from authz.audit.signing import create_key, load_signer
from authz.stores.sqlite.database import Database, open_database
from authz.stores.sqlite.log import SqliteLog

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SqliteStore:
    """Policies, directory and log of one file, on one connection: for one thread at a time."""

    database: Database
    log: SqliteLog

    def close(self) -> None:
        """Close the connection."""
        self.database.close()


def key_path(path: Path) -> Path:
    """Return where the log's signing key is, unless it is said to be elsewhere: beside the store."""
    return path.with_name(path.name + ".key")


def open_store(path: Path, *, key: Path | None = None, create: bool = False, durable: bool = True) -> SqliteStore:
    """Open a store; `create` makes one, with a new signing key, where there is none.

    Raised are `StoreError` and, for the key, `LoadError`.
    """
    key = key or key_path(path)
    signer = create_key(key) if create and not path.exists() and not key.exists() else load_signer(key)
    database = open_database(path, create=create, durable=durable)
    return SqliteStore(database, SqliteLog(database, signer))
