"""The keys of pseudonyms in SQLite. What is forgotten is overwritten, in the file and in its WAL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.audit.records import act_record

if TYPE_CHECKING:
    from authz.model import Act
    from authz.stores.sqlite.database import Database
    from authz.stores.sqlite.log import SqliteLog

SCHEMA: Final = (
    "CREATE TABLE log_tenant_key (tenant TEXT PRIMARY KEY, key BLOB NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE log_person (
        tenant TEXT NOT NULL REFERENCES log_tenant_key ON DELETE CASCADE, person BLOB NOT NULL, salt BLOB NOT NULL,
        PRIMARY KEY (tenant, person)
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE log_erasure (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL) STRICT",
    "INSERT INTO log_erasure VALUES (1, 0)",
)


class SqlitePseudonymKeys:
    """The keys in one store's file (`authz.audit.pseudonyms.PseudonymKeys`)."""

    def __init__(self, database: Database, log: SqliteLog) -> None:
        """Use this connection, and record erasures in this log."""
        self._database = database
        self._log = log

    def erasures(self) -> int:
        """Return how often something was forgotten."""
        with self._database.reading() as connection:
            return int(connection.execute("SELECT count FROM log_erasure").fetchone()[0])

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that have a key."""
        with self._database.reading() as connection:
            return tuple(tenant for (tenant,) in connection.execute("SELECT tenant FROM log_tenant_key"))

    def tenant_key(self, tenant: str) -> bytes | None:
        """Return a tenant's key."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT key FROM log_tenant_key WHERE tenant = ?", (tenant,)).fetchone()
            return None if row is None else bytes(row[0])

    def keep_tenant_key(self, tenant: str, key: bytes) -> bytes:
        """Keep a tenant's first key, and return the one that it has."""
        with self._database.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO log_tenant_key VALUES (?, ?)", (tenant, key))
            kept = connection.execute("SELECT key FROM log_tenant_key WHERE tenant = ?", (tenant,)).fetchone()
            return bytes(kept[0])

    def salt(self, tenant: str, person: bytes) -> bytes | None:
        """Return a person's salt."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT salt FROM log_person WHERE tenant = ? AND person = ?", (tenant, person)
            ).fetchone()
            return None if row is None else bytes(row[0])

    def keep_salt(self, tenant: str, key: bytes, person: bytes, salt: bytes) -> bytes | None:
        """Keep a person's first salt, and return the one that they have; None where the tenant's key is another."""
        with self._database.writing() as connection:
            current = connection.execute("SELECT key FROM log_tenant_key WHERE tenant = ?", (tenant,)).fetchone()
            if current is None or current[0] != key:
                return None
            connection.execute("INSERT OR IGNORE INTO log_person VALUES (?, ?, ?)", (tenant, person, salt))
            kept = connection.execute(
                "SELECT salt FROM log_person WHERE tenant = ? AND person = ?", (tenant, person)
            ).fetchone()
            return bytes(kept[0])

    def forget(self, tenant: str, person: bytes | None, act: Act) -> bool:
        """Forget a person's salt or, where none is named, a tenant's key and all salts under it."""
        with self._database.writing() as connection:
            if person is None:
                gone = connection.execute("DELETE FROM log_tenant_key WHERE tenant = ?", (tenant,)).rowcount
            else:
                gone = connection.execute(
                    "DELETE FROM log_person WHERE tenant = ? AND person = ?", (tenant, person)
                ).rowcount
            if gone:
                connection.execute("UPDATE log_erasure SET count = count + 1")
                details = {"tenant": tenant, "erased": "tenant" if person is None else "subject"}
                self._log.append_within(connection, [act_record("log.erase", act, details)])
        if gone:
            with self._database.reading() as connection:  # what was overwritten still stands in the WAL
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return bool(gone)
