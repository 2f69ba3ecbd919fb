"""The directory in SQLite."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = (
    """CREATE TABLE entity (
        kind TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT NOT NULL,
        attributes TEXT NOT NULL, within TEXT NOT NULL, PRIMARY KEY (kind, type, id, tenant)
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE directory_revision (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT",
    "INSERT INTO directory_revision VALUES (1, 0)",
)
