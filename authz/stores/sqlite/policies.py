"""Versions of policies and their activations in SQLite."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from authz.audit.records import act_record, timestamp
from authz.errors import NotStoredError, StoreCorruptError
from authz.pap.history import Activation, PolicyText, PolicyVersion

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from sqlite_utils.db import Table

    from authz.model import Act
    from authz.pap.history import ActivationKind, NewVersion
    from authz.stores.sqlite.database import Database
    from authz.stores.sqlite.log import SqliteLog

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

_VERSION: Final = "SELECT number, revision, digest, author, time, note, tests_passed, tests_failed FROM policy_version"
_ACTIVATION: Final = """
    SELECT sequence, version, revision, kind, policy_activation.author, policy_activation.time, policy_activation.note
    FROM policy_activation JOIN policy_version ON number = version ORDER BY sequence DESC"""
_MAX_NUMBER: Final = 2**63 - 1


class SqlitePolicies:
    """The versions and activations of one store's file (`authz.pap.history.PolicyStore`)."""

    def __init__(self, database: Database, log: SqliteLog) -> None:
        """Write with this connection, and tell this log of it in the same transaction."""
        self._database = database
        self._log = log

    def put(self, version: NewVersion, act: Act) -> PolicyVersion:
        """Keep a version; the same files again write nothing and are the version that they were."""
        time = datetime.now(UTC)
        with self._database.writing() as connection:
            known = connection.execute(f"{_VERSION} WHERE digest = ?", (version.digest,)).fetchone()
            if known is not None:
                return _version(known)
            row = {
                "revision": version.revision,
                "digest": version.digest,
                "author": act.author,
                "time": timestamp(time),
                "note": act.note,
                "tests_passed": version.tests_passed,
                "tests_failed": version.tests_failed,
            }
            number = cast("int", self._table("policy_version").insert(row).last_rowid)
            files = ({"version": number, "name": file.name, "text": file.text} for file in version.files)
            self._table("policy_file").insert_all(files)
            details = {
                "number": number,
                "revision": version.revision,
                "digest": version.digest,
                "tests_passed": version.tests_passed,
                "tests_failed": version.tests_failed,
            }
            self._log.append_within(connection, [act_record("policy.put", act, details, time)])
            return self._one(connection, number)

    def versions(self) -> Sequence[PolicyVersion]:
        """Return all versions, the newest first."""
        with self._database.reading() as connection:
            return [_version(row) for row in connection.execute(f"{_VERSION} ORDER BY number DESC")]

    def version(self, number: int) -> PolicyVersion:
        """Return one version."""
        with self._database.reading() as connection:
            return self._one(connection, number)

    def files(self, number: int) -> tuple[PolicyText, ...]:
        """Return the files of one version, bytewise in the order of their names."""
        with self._database.reading() as connection:
            self._one(connection, number)
            rows = connection.execute("SELECT name, text FROM policy_file WHERE version = ? ORDER BY name", (number,))
            return tuple(PolicyText(*row) for row in rows)

    def activate(self, number: int, kind: ActivationKind, act: Act) -> Activation:
        """Let a version decide from now on."""
        time = datetime.now(UTC)
        with self._database.writing() as connection:
            version = self._one(connection, number)
            before = self._last(connection)
            row = {"version": number, "kind": kind, "author": act.author, "time": timestamp(time), "note": act.note}
            self._table("policy_activation").insert(row)
            details = {
                "number": number,
                "revision": version.revision,
                "previous": before.version if before is not None else None,
            }
            self._log.append_within(connection, [act_record(f"policy.{kind}", act, details, time)])
            activation = self._last(connection)
            assert activation is not None  # it was written above
            return activation

    def activations(self) -> Sequence[Activation]:
        """Return all activations, the newest first."""
        with self._database.reading() as connection:
            return [_activation(row) for row in connection.execute(_ACTIVATION)]

    def active(self) -> Activation | None:
        """Return the last activation: one step in each of two indexes."""
        with self._database.reading() as connection:
            return self._last(connection)

    def _table(self, name: str) -> Table:
        return self._database.tables.table(name)

    @staticmethod
    def _last(connection: sqlite3.Connection) -> Activation | None:
        row = connection.execute(f"{_ACTIVATION} LIMIT 1").fetchone()
        return _activation(row) if row is not None else None

    @staticmethod
    def _one(connection: sqlite3.Connection, number: int) -> PolicyVersion:
        if 1 <= number <= _MAX_NUMBER:  # SQLite's own integers are no larger
            row = connection.execute(f"{_VERSION} WHERE number = ?", (number,)).fetchone()
            if row is not None:
                return _version(row)
        newest = connection.execute("SELECT max(number) FROM policy_version").fetchone()[0]
        there_are = f"the newest is {newest}" if newest is not None else "there is none yet"
        raise NotStoredError(f"there is no version {number}; {there_are}")


def _version(row: Sequence[object]) -> PolicyVersion:
    number, revision, digest, author, time, note, passed, failed = cast(
        "tuple[int, str, str, str, str, str, int, int]", row
    )
    return PolicyVersion(number, revision, digest, author, _time(time), note, passed, failed)


def _activation(row: Sequence[object]) -> Activation:
    sequence, version, revision, kind, author, time, note = cast(
        "tuple[int, int, str, ActivationKind, str, str, str]",
        row,  # STRICT, and CHECK for the kind
    )
    return Activation(sequence, version, revision, kind, author, _time(time), note)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise StoreCorruptError("the policy history holds a time that is none: restore a backup") from None
