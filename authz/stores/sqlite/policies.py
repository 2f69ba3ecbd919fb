"""Versions of policies and their activations in SQLite."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = (
    """CREATE TABLE policy_version (
        number INTEGER PRIMARY KEY AUTOINCREMENT, revision TEXT NOT NULL, digest TEXT NOT NULL UNIQUE,
        author TEXT NOT NULL, time TEXT NOT NULL, note TEXT NOT NULL,
        tests_passed INTEGER NOT NULL, tests_failed INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE policy_file (
        version INTEGER NOT NULL REFERENCES policy_version, name TEXT NOT NULL, text TEXT NOT NULL,
        PRIMARY KEY (version, name)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE policy_activation (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL REFERENCES policy_version,
        kind TEXT NOT NULL CHECK (kind IN ('activate', 'rollback')), author TEXT NOT NULL, time TEXT NOT NULL,
        note TEXT NOT NULL
    ) STRICT""",
)
