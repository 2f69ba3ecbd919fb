"""The versions of the schema. What has been released is never edited; a change is a new entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.stores.sqlite import directory, log, policies

if TYPE_CHECKING:
    import sqlite3

_STEPS: Final = (
    (*policies.SCHEMA, *directory.SCHEMA, *log.SCHEMA),  # 1
)
LATEST: Final = len(_STEPS)
"""The version that this program reads and writes; it stands in the file's `user_version`."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file up to date, in one transaction, however many processes try at the same time."""
    if _version(connection) == LATEST:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number, statements in enumerate(_STEPS[_version(connection) :], start=_version(connection) + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
