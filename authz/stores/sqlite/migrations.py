"""The versions of the schema. What has been released is never edited; a change is a new entry."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from authz.stores.sqlite import directory, log, policies, revocations

if TYPE_CHECKING:
    from collections.abc import Sequence

APPLICATION_ID: Final = 0x61757A31
"""`auz1`, in the file's header: what tells our files from those of other programs."""

_STEPS: Final = (
    (*policies.SCHEMA, *directory.SCHEMA, *log.SCHEMA, *revocations.SCHEMA),  # 1
)
LATEST: Final = len(_STEPS)
"""The version that this program reads and writes; it stands in the file's `user_version`."""


def migrate(connection: sqlite3.Connection, steps: Sequence[Sequence[str]] = _STEPS) -> None:
    """Bring a file up to date, in one transaction, however many processes try at the same time.

    The connection is in autocommit mode. What fails leaves the file as it was.
    """
    if schema_version(connection) == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = schema_version(connection)  # again: another process may have been faster
        for number, statements in enumerate(steps[before:], start=before + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number}")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the version of a file's schema, 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def schema_problems(connection: sqlite3.Connection) -> list[str]:
    """Return where a file's schema is not the one that its version says.

    What others add is theirs to add, but no triggers: those would act within our transactions.
    """
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(fresh)
        ours, found = _objects(fresh), _objects(connection)
    finally:
        fresh.close()
    problems = []
    for (kind, name), text in ours.items():
        if (kind, name) not in found:
            problems.append(f"{kind} `{name}` is missing")
        elif found[kind, name] != text:
            problems.append(f"{kind} `{name}` was changed")
    problems += [
        f"trigger `{name}` is not ours" for kind, name in found if kind == "trigger" and (kind, name) not in ours
    ]
    return problems


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name")
    return {(kind, name): text for kind, name, text in rows}
