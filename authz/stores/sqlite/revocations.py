"""Revocations of tokens in SQLite: every server on the store heeds one from the moment it is committed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from authz.audit.records import act_record
from authz.errors import StoreError
from authz.tokens.errors import Refusal, refused
from authz.tokens.revocation import RevocationsFullError, keys_of

if TYPE_CHECKING:
    from authz.model import Act
    from authz.stores.sqlite.database import Database
    from authz.stores.sqlite.log import SqliteLog
    from authz.tokens.caller import Caller
    from authz.tokens.revocation import Revocation

SCHEMA: Final = (
    """CREATE TABLE token_revocation (
        what TEXT NOT NULL, issuer TEXT NOT NULL, name TEXT NOT NULL, before REAL NOT NULL,
        PRIMARY KEY (what, issuer, name)
    ) STRICT, WITHOUT ROWID""",
)
MAX_REVOCATIONS: Final = 1_000_000
_FOR_EVER: Final = 1e12
"""Stands for "whenever it was issued": a time, in seconds since 1970, that no token reaches."""
_COVERED: Final = """SELECT 1 FROM token_revocation
    WHERE (what, issuer, name) IN (VALUES (?,?,?), (?,?,?), (?,?,?), (?,?,?)) AND before >= ?"""


class SqliteRevocations:
    """The revocations of one store's file (`authz.tokens.revocation.Revocations`).

    They are kept for good: a token without an end must not come back, and a row is small.
    """

    def __init__(self, database: Database, log: SqliteLog) -> None:
        """Use this connection, and tell this log of each revocation in the same transaction."""
        self._database = database
        self._log = log

    def put(self, revocation: Revocation, act: Act) -> None:
        """Take a revocation; of two about the same, what either covers stays revoked.

        Raises `StoreError`, and `RevocationsFullError` where there is no room.
        """
        what, issuer, name = revocation.key
        before = revocation.before if math.isfinite(revocation.before) else _FOR_EVER
        with self._database.writing() as connection:
            if connection.execute("SELECT count(*) FROM token_revocation").fetchone()[0] >= MAX_REVOCATIONS:
                raise RevocationsFullError(
                    f"{MAX_REVOCATIONS} revocations are held already: revoke the issuer's tokens up to now instead"
                )
            connection.execute(
                "INSERT INTO token_revocation VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET before = max(before, excluded.before)",
                (what, issuer, name, before),
            )
            details = {"what": what, "issuer": issuer, "name": name}
            if math.isfinite(revocation.before):
                details["before"] = f"{revocation.before:.3f}"
            self._log.append_within(connection, [act_record("token.revoke", act, details)])

    async def revoke(self, revocation: Revocation, *, keep: float) -> None:  # noqa: ARG002  # kept for good
        """Refuse: a revocation is an act, and needs somebody who does it."""
        raise StoreError(f"`{revocation.what.value}`: revoke by `authz-eval token revoke`")

    async def is_revoked(self, caller: Caller) -> bool:
        """Say whether the caller's token no longer counts. Raises `TokenError` where the store cannot be read."""
        names = [part for key in keys_of(caller) for part in key]
        try:
            with self._database.reading() as connection:
                found = connection.execute(_COVERED, (*names, caller.issued_at)).fetchone()
        except StoreError as error:
            raise refused(Refusal.UNAVAILABLE, f"whether it was revoked cannot be read: {error}") from None
        return found is not None
