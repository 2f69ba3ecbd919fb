"""The decision log in SQLite: one chain, whichever process appends to it.

An append reads the head, adds to it and signs the new one in one transaction, so chains of two
processes never part. An administrative act appends in the very transaction that does it.

There is no index over what records say: one costs 12 to 28 µs for each record that is appended, which
itself costs 8, and a search without one looks at 400 000 records a second.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Final

from authz.audit.chain import HASH_BYTES, Head, Link, extend
from authz.audit.records import act_record
from authz.audit.store import SignedHead
from authz.errors import NotStoredError, StoreCorruptError, StoreError
from authz.stores.sqlite import pseudonyms
from authz.stores.sqlite.search import conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from authz.audit.chain import HeadKind
    from authz.audit.query import Query
    from authz.audit.signing import Signer
    from authz.model import Act
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
    *pseudonyms.SCHEMA,
)

CHECKPOINT_EVERY: Final = 1_000
"""Records between two heads that are kept."""
_PAGE: Final = 50_000
"""Records that a search looks at before it lets others see how far it is."""
_CHUNK: Final = 500
_INSERT: Final = "INSERT INTO log_record VALUES (?, ?, ?)"
_ROWS: Final = 64
"""Records in one statement: a statement for each takes twice as long, and other threads run while SQLite works."""
_LEAST: Final = -(2**63)
"""The smallest number that SQLite has."""
_LINK: Final = "SELECT seq, hash, CAST(body AS BLOB) FROM log_record WHERE seq >= ? ORDER BY seq LIMIT 1"
"""One record, its text as bytes: a damaged one may be no text."""


class SqliteLog:
    """The log of one store's file (`authz.audit.store.LogStore`)."""

    def __init__(self, database: Database, signer: Signer | None, checkpoint_every: int = CHECKPOINT_EVERY) -> None:
        """Append with this connection, and sign with this key; without one, it can only be read."""
        self._database = database
        self._signer = signer
        self._checkpoint_every = checkpoint_every
        self._last: SignedHead | None = None
        """What this connection signed last: the common case, which needs no second look."""
        self._seen = Head(b"")
        """The last head that is known to have been committed."""

    def append(self, bodies: Sequence[str]) -> Head:
        """Append records in a transaction of their own."""
        with self._database.writing() as connection:
            head = self.append_within(connection, bodies)
        if bodies:
            self._seen = head
        return head

    def append_within(self, connection: sqlite3.Connection, bodies: Sequence[str]) -> Head:
        """Append records in a transaction that is under way: they are there exactly if what it does is."""
        signed = _head(connection)
        before = signed.head
        if not bodies:
            return before
        if self._signer is None:
            raise StoreError(f"`{self._database.path}` was opened without the key that signs its log")
        if signed != self._last:
            self._refuse_forged(signed, self._signer)
        head = before
        for at in range(0, len(bodies), _ROWS):
            links, head = extend(head, bodies[at : at + _ROWS])
            connection.execute(_INSERT + ", (?, ?, ?)" * (len(links) - 1), list(chain.from_iterable(links)))
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        row = (head.seq, head.hash, b"".join(head.frontier), time)
        signature = self._signer.sign(head, time)
        connection.execute("UPDATE log_head SET seq=?, hash=?, frontier=?, time=?, signature=?", (*row, signature))
        if before.seq // self._checkpoint_every != head.seq // self._checkpoint_every:
            kept = (*row, self._signer.sign(head, time, "checkpoint"))
            connection.execute("INSERT INTO log_checkpoint VALUES (?, ?, ?, ?, ?)", kept)
        self._last = SignedHead(head, time, signature)
        return head

    def _refuse_forged(self, signed: SignedHead, signer: Signer) -> None:
        """Refuse to go on from a head that was not signed, or that is older than what was seen here.

        A signature of what follows would vouch for whatever somebody has put there.
        """
        head, seen = signed.head, self._seen
        if head.seq < seen.seq or head.log != (seen.log or head.log):
            raise StoreCorruptError(f"the log in `{self._database.path}` was put back to an older state while in use")
        if not head.seq:
            whole = head.whole() and not signed.signature
        else:
            whole = head.whole() and signer.public.verify(head, signed.time, signed.signature)
        if not whole or (head.seq == seen.seq and head.hash != seen.hash):
            raise StoreCorruptError(f"the log in `{self._database.path}` was changed by somebody without its key")
        self._seen = head

    def frozen(self) -> AbstractContextManager[object]:
        """Let everything that is read within be of one moment."""
        return self._database.snapshot()

    def changes(self) -> int:
        """Return a number that changes when another connection has committed."""
        return self._database.data_version()

    def head(self) -> SignedHead:
        """Return how far the log has come."""
        with self._database.reading() as connection:
            return _head(connection)

    def links(self, first: int = 1) -> Iterator[Link]:
        """Yield the records from number `first` on; before it fails, all that come before what it cannot read.

        From the beginning are also those that somebody put before it: no record has a number below 1.
        """
        first = first if first > 1 else _LEAST
        with self._database.reading() as connection:
            rows = connection.execute("SELECT seq, hash, body FROM log_record WHERE seq >= ? ORDER BY seq", (first,))
            try:
                while some := rows.fetchmany(_CHUNK):
                    yield from map(Link._make, some)
                    first = some[-1][0] + 1
            except sqlite3.DatabaseError:  # one of the chunk cannot be read, or is no text: those before it can
                while first < -_LEAST and (row := connection.execute(_LINK, (first,)).fetchone()):
                    first = row[0] + 1
                    yield Link(row[0], row[1], row[2].decode(errors="surrogateescape"))
                raise

    def checkpoints(self) -> Iterator[SignedHead]:
        """Yield the heads that were kept, in their order."""
        with self._database.reading() as connection:
            log = _head(connection).head.log
            for row in connection.execute(
                "SELECT seq, hash, frontier, time, signature FROM log_checkpoint ORDER BY seq"
            ):
                yield _signed(log, row, "checkpoint")

    def query(self, query: Query, step: Callable[[int], None] | None = None) -> Iterator[str]:
        """Yield the texts of the records that answer a query; `step` hears how many were looked at so far."""
        condition, values = conditions(query)
        order, left = ("DESC" if query.newest_first else "ASC"), query.limit
        statement = (
            f"SELECT seq, body FROM log_record WHERE seq BETWEEN ? AND ?{condition} ORDER BY seq {order} LIMIT ?"  # noqa: S608  # constants of this program
        )
        with self._database.reading() as connection:
            last = _head(connection).head.seq  # what has a number beyond, or below 1, is none of the log's records
            (first,) = connection.execute(
                "SELECT min(seq) FROM log_record WHERE seq BETWEEN 1 AND ?", (last,)
            ).fetchone()
            if first is None:
                return
            lows = range(first, last + 1, _PAGE)
            for start in reversed(lows) if query.newest_first else lows:
                low, high = page = (start, min(start + _PAGE - 1, last))
                while low <= high:
                    most = _CHUNK if left is None else min(left, _CHUNK)  # records may be large: not all at once
                    found = self._found(connection, statement, (low, high, *values, most))
                    yield from (text for _, text in found)
                    if left is not None and (left := left - len(found)) <= 0:
                        return
                    if len(found) < most:
                        break
                    low, high = (low, found[-1][0] - 1) if query.newest_first else (found[-1][0] + 1, high)
                if step is not None:
                    step(last - page[0] + 1 if query.newest_first else page[1] - first + 1)

    def _found(
        self, connection: sqlite3.Connection, statement: str, values: Sequence[int | str]
    ) -> list[tuple[int, str]]:
        try:
            return connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            if "JSON" not in str(error):
                raise
            text = f"`{self._database.path}` holds a record that is no JSON: `authz-eval log verify` names it"
            raise StoreCorruptError(text) from None

    def retire(self, last: int, act: Act) -> int:
        """Delete the records up to a checkpoint, and say so in the log."""
        with self._database.writing() as connection:
            if connection.execute("SELECT 1 FROM log_checkpoint WHERE seq = ?", (last,)).fetchone() is None:
                raise NotStoredError(f"the log has no checkpoint at record {last}")
            first, number = connection.execute(
                "SELECT min(seq), count(*) FROM log_record WHERE seq <= ?", (last,)
            ).fetchone()
            if number:
                connection.execute("DELETE FROM log_record WHERE seq <= ?", (last,))
                connection.execute("DELETE FROM log_checkpoint WHERE seq < ?", (last,))
                self.append_within(connection, [act_record("log.retain", act, {"first": first, "last": last})])
            return int(number)


def _head(connection: sqlite3.Connection) -> SignedHead:
    row = connection.execute("SELECT log, seq, hash, frontier, time, signature FROM log_head").fetchone()
    if row is None:
        raise StoreCorruptError("the log has no head: restore a backup")
    return _signed(row[0], row[1:], "head")


def _signed(log: object, row: Sequence[object], kind: HeadKind) -> SignedHead:
    seq, hash_, frontier, time, signature = row
    if not (
        isinstance(seq, int)
        and isinstance(hash_, bytes)
        and isinstance(frontier, bytes)
        and isinstance(time, str)
        and isinstance(signature, bytes)
        and isinstance(log, bytes)
    ):
        raise StoreCorruptError("a head of the log is damaged: restore a backup")
    subtrees = tuple(frontier[at : at + HASH_BYTES] for at in range(0, len(frontier), HASH_BYTES))
    return SignedHead(Head(log, seq, hash_, subtrees), time, signature, kind)
