"""The decision log in SQLite: one chain, whichever process appends to it.

An append reads the head, adds to it and signs the new one in one transaction, so chains of two
processes never part. An administrative act appends in the very transaction that does it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from authz.audit.chain import HASH_BYTES, Head, Link, extend
from authz.audit.store import SignedHead

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from authz.audit.signing import Signer
    from authz.stores.sqlite.database import Database

SCHEMA: Final = (
    "CREATE TABLE log_record (seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, body TEXT NOT NULL) STRICT",
    """CREATE TABLE log_head (
        one INTEGER PRIMARY KEY CHECK (one = 1), log BLOB NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL,
        frontier BLOB NOT NULL, time TEXT NOT NULL, signature BLOB NOT NULL
    ) STRICT""",
    "INSERT INTO log_head VALUES (1, randomblob(32), 0, x'', x'', '', x'')",
    """CREATE TABLE log_checkpoint (
        seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, frontier BLOB NOT NULL, time TEXT NOT NULL, signature BLOB NOT NULL
    ) STRICT""",
)

CHECKPOINT_EVERY: Final = 1_000
"""Records between two heads that are kept."""


class SqliteLog:
    """The log of one store's file (`authz.audit.store.LogStore`)."""

    def __init__(self, database: Database, signer: Signer) -> None:
        """Append with this connection, and sign with this key."""
        self._database = database
        self._signer = signer

    def append(self, bodies: Sequence[str]) -> Head:
        """Append records in a transaction of their own."""
        with self._database.writing() as connection:
            return self.append_within(connection, bodies)

    def append_within(self, connection: sqlite3.Connection, bodies: Sequence[str]) -> Head:
        """Append records in a transaction that is under way: they are there exactly if what it does is."""
        before = _head(connection).head
        links, head = extend(before, bodies)
        connection.executemany("INSERT INTO log_record VALUES (?, ?, ?)", links)
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        row = (head.seq, head.hash, b"".join(head.frontier), time, self._signer.sign(head, time))
        connection.execute("UPDATE log_head SET seq=?, hash=?, frontier=?, time=?, signature=?", row)
        if before.seq // CHECKPOINT_EVERY != head.seq // CHECKPOINT_EVERY:
            connection.execute("INSERT INTO log_checkpoint VALUES (?, ?, ?, ?, ?)", row)
        return head

    def head(self) -> SignedHead:
        """Return how far the log has come."""
        with self._database.reading() as connection:
            return _head(connection)

    def links(self, first: int = 1) -> Iterator[Link]:
        """Yield the records from number `first` on."""
        with self._database.reading() as connection:
            for row in connection.execute(
                "SELECT seq, hash, body FROM log_record WHERE seq >= ? ORDER BY seq", (first,)
            ):
                yield Link(*row)

    def checkpoints(self) -> Iterator[SignedHead]:
        """Yield the heads that were kept, in their order."""
        with self._database.reading() as connection:
            log = _head(connection).head.log
            for row in connection.execute(
                "SELECT seq, hash, frontier, time, signature FROM log_checkpoint ORDER BY seq"
            ):
                yield _signed(log, row)


def _head(connection: sqlite3.Connection) -> SignedHead:
    log, *row = connection.execute("SELECT log, seq, hash, frontier, time, signature FROM log_head").fetchone()
    return _signed(log, row)


def _signed(log: bytes, row: Sequence[object]) -> SignedHead:
    seq, hash_, frontier, time, signature = row
    assert isinstance(seq, int) and isinstance(hash_, bytes) and isinstance(frontier, bytes)  # noqa: PT018  # STRICT
    assert isinstance(time, str) and isinstance(signature, bytes)  # noqa: PT018  # as above
    subtrees = tuple(frontier[at : at + HASH_BYTES] for at in range(0, len(frontier), HASH_BYTES))
    return SignedHead(Head(log, seq, hash_, subtrees), time, signature)
