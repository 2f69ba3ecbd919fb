"""What somebody without the key does to the log's file, under a server that goes on writing or at rest (threats 5)."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from authz.audit.chain import Head, extend
from authz.audit.query import Query
from authz.audit.retention import retain
from authz.audit.segments import find_segments
from authz.audit.sinks import JsonLines
from authz.audit.verify import verify
from authz.audit.witness import append_witness
from authz.errors import LoadError, StoreCorruptError, StoreError
from authz.model import Act
from authz.stores.sqlite.store import open_store
from tests.audit.logs import body, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.audit.logs import Opened

EVERY = 8
ACT = Act("mallory", "cli")


@contextlib.contextmanager
def intruder(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file as somebody who may write to it, and knows all about it but the key."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def rewrite(path: Path, log: bytes, bodies: list[str], signature: bytes) -> None:
    """Put another log in the place of the one that is there, all of its hashes as they must be."""
    links, head = extend(Head(log), bodies)
    with intruder(path) as connection:
        connection.execute("DELETE FROM log_record")
        connection.executemany("INSERT INTO log_record VALUES (?, ?, ?)", links)
        connection.execute(
            "UPDATE log_head SET seq = ?, hash = ?, frontier = ?, signature = ?",
            (head.seq, head.hash, b"".join(head.frontier), signature),
        )


def findings(here: Opened) -> list[str]:
    """Return what a verification finds."""
    return [str(finding) for finding in verify(here.log, here.signer.public).findings]


def test_the_next_record_does_not_sign_what_was_written_anew_without_the_key(tmp_path: Path) -> None:
    """Issue 3: every edit is found; hashes made anew up to the head must not get a signature from the next append."""
    path = tmp_path / "s.db"
    with opened(path, 1_000) as here:
        here.fill(5)
        signed = here.log.head()
        forged = [body(1), body(2, subject="nobody"), body(3), body(4), body(5)]
        rewrite(path, signed.head.log, forged, signed.signature)
        with pytest.raises(StoreCorruptError, match="without its key"):
            here.fill(1)
        assert here.size == 5
        assert findings(here)
    with pytest.raises(StoreError, match="was not signed with the key"):
        open_store(path)


def test_a_log_of_another_length_is_not_signed_either(tmp_path: Path) -> None:
    """Issue 3: additions; the writer goes on from no head but a signed one, however far it says that it is."""
    path = tmp_path / "s.db"
    with opened(path, 1_000) as here:
        here.fill(3)
        signed = here.log.head()
        rewrite(path, signed.head.log, [body(number) for number in range(1, 8)], signed.signature)
        with pytest.raises(StoreCorruptError, match="without its key"):
            here.fill(1)


@pytest.mark.parametrize("seq", [2**63 - 1, -1, -(2**63), 2**62])
def test_a_head_with_an_absurd_number_is_refused(tmp_path: Path, seq: int) -> None:
    """Threats 2.3: numbers at the end of their range are a refusal and no crash."""
    path = tmp_path / "s.db"
    with opened(path) as here:
        here.fill(3)
        with intruder(path) as connection:
            connection.execute("UPDATE log_head SET seq = ?", (seq,))
        with pytest.raises(StoreCorruptError):
            here.fill(1)
        assert findings(here)


@pytest.mark.parametrize("wiped", [True, False])
def test_a_log_that_is_put_back_while_it_is_written_is_refused(tmp_path: Path, *, wiped: bool) -> None:
    """Issue 3: truncation; an old head has a good signature, and an empty log none, but this writer saw more."""
    path = tmp_path / "s.db"
    with opened(path, 1_000) as here:
        here.fill(3)
        old = here.log.head()
        here.fill(3)
        with intruder(path) as connection:
            connection.execute("DELETE FROM log_record WHERE seq > ?", (0 if wiped else old.head.seq,))
            row = (0, b"", b"", "", b"")
            if not wiped:
                row = (old.head.seq, old.head.hash, b"".join(old.head.frontier), old.time, old.signature)
            connection.execute("UPDATE log_head SET seq = ?, hash = ?, frontier = ?, time = ?, signature = ?", row)
        with pytest.raises(StoreCorruptError, match="older state"):
            here.fill(1)


def test_a_failed_transaction_does_not_make_the_next_one_look_forged(tmp_path: Path) -> None:
    """The other side of the refusals above: what was rolled back never was."""
    with opened(tmp_path / "s.db") as here:
        here.fill(2)
        with contextlib.suppress(ZeroDivisionError), here.database.writing() as connection:
            here.log.append_within(connection, [body(3)])
            raise ZeroDivisionError
        with opened(tmp_path / "s.db") as other:
            other.fill(20, batch=3)
            here.fill(2)
            other.fill(1)
        assert here.size == 25
        assert not findings(here)


@pytest.mark.parametrize("seq", [0, -1, -(2**63)])
def test_a_record_before_the_first_is_found_and_never_shown(tmp_path: Path, seq: int) -> None:
    """Issue 3: additions; nothing covers a record there, so neither may a query show it."""
    path = tmp_path / "s.db"
    with opened(path) as here:
        here.fill(20)
        with intruder(path) as connection:
            connection.execute("INSERT INTO log_record VALUES (?, ?, ?)", (seq, b"x", '{"subject":"framed"}'))
        assert findings(here)
        assert len(list(here.log.query(Query()))) == 20
        assert not list(here.log.query(Query(subjects=("framed",))))


@pytest.mark.parametrize("seq", [21, 10**12, 2**63 - 1])
def test_a_record_beyond_the_end_is_found_and_does_not_stall_a_query(tmp_path: Path, seq: int) -> None:
    """Issue 3: additions; the pages of a query are not counted up to wherever somebody put a record."""
    path = tmp_path / "s.db"
    with opened(path) as here:
        here.fill(20)
        with intruder(path) as connection:
            connection.execute("INSERT INTO log_record VALUES (?, ?, ?)", (seq, b"x", '{"subject":"framed"}'))
        assert any("beyond the end" in finding for finding in findings(here))
        assert len(list(here.log.query(Query()))) == 20


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_checkpoint_does_not_pass_for_the_end(tmp_path: Path, *, newest_first: bool) -> None:
    """Issue 3: truncation at a place that has a signature of its own."""
    path = tmp_path / "s.db"
    with opened(path) as here:
        here.fill(20)
        with intruder(path) as connection:
            order = "DESC" if newest_first else "ASC"
            kept = connection.execute(
                f"SELECT seq, hash, frontier, time, signature FROM log_checkpoint ORDER BY seq {order}"
            ).fetchone()
            connection.execute("UPDATE log_head SET seq = ?, hash = ?, frontier = ?, time = ?, signature = ?", kept)
            connection.execute("DELETE FROM log_record WHERE seq > ?", kept[:1])
            connection.execute("DELETE FROM log_checkpoint WHERE seq > ?", kept[:1])
        assert findings(here)
        with pytest.raises(StoreCorruptError):
            here.fill(1)


def test_records_do_not_go_under_the_cover_of_a_retirement_that_another_record_claims(tmp_path: Path) -> None:
    """Issue 3: deletion; a retirement that says less, or that nobody signed, does not cover the gap."""
    path = tmp_path / "s.db"
    with opened(path) as here:
        here.fill(40)
        assert [gone.last for gone in retain(here.log, here.signer.public, "9999", ACT, size=8)][:1] == [8]
        assert not findings(here)
    other = tmp_path / "t.db"
    with opened(other) as here:
        here.fill(20)
        here.log.append([body(21, kind="decision", act="log.retain", last=16)])
        with intruder(other) as connection:
            connection.execute("DELETE FROM log_record WHERE seq <= 16")
            connection.execute("DELETE FROM log_checkpoint WHERE seq < 16")
        assert any("retired" in finding for finding in findings(here))


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE log_record SET body = CAST(x'7b22736571223a352cff7d' AS TEXT) WHERE seq = 5",
        "UPDATE log_record SET body = replace(body, 'user', 'USER') WHERE seq = 5",
        "UPDATE log_record SET body = body || ' ' WHERE seq = 5",
        "UPDATE log_record SET hash = zeroblob(10000000) WHERE seq = 5",
        "UPDATE log_checkpoint SET frontier = zeroblob(32000) WHERE seq = 8",
        "UPDATE log_checkpoint SET time = '1999' WHERE seq = 8",
        "UPDATE log_head SET log = zeroblob(32)",
        "DELETE FROM log_head",
        "DROP TABLE log_head",
        "DROP TABLE log_record",
        "ALTER TABLE log_record RENAME TO r; CREATE VIEW log_record AS SELECT seq, hash, body FROM r WHERE seq <> 5",
        "ALTER TABLE log_record RENAME TO r; CREATE VIEW log_record AS SELECT NULL seq, 'x' hash, 7 body FROM r",
        "CREATE TRIGGER t AFTER INSERT ON log_record BEGIN UPDATE log_record SET body = '{}' WHERE seq = NEW.seq; END",
    ],
)
def test_what_is_done_to_the_tables_is_a_finding_and_no_crash(tmp_path: Path, tampering: str) -> None:
    """Issue 3: 10 000 random tampers are all found; these are those that no chance would hit upon."""
    path = tmp_path / "s.db"
    with opened(path) as here:
        here.fill(20)
    with intruder(path) as connection:
        connection.executescript(tampering)
    with opened(path) as here:
        with contextlib.suppress(StoreError):
            here.fill(2)
        assert findings(here)


# --- Files beside the store -----------------------------------------------------------------


def test_no_file_of_the_log_is_written_through_a_link(tmp_path: Path) -> None:
    """Threats 5: a folder that others may write to must not lead what is written to a file of their choice."""
    victim = tmp_path / "victim"
    victim.write_text("not a line")
    link = tmp_path / "link"
    link.symlink_to(victim)
    with opened(tmp_path / "s.db") as here:
        here.fill(20)
        with pytest.raises(LoadError, match="it is a link"):
            append_witness(link, here.log.head())
        with pytest.raises(LoadError, match="it is a link"):
            JsonLines(link)
        archive = tmp_path / "archive"
        archive.mkdir()
        (archive / f".segment-1-16.jsonl.{os.getpid()}.new").symlink_to(victim)
        list(retain(here.log, here.signer.public, "9999", ACT, archive))
    assert find_segments(archive)
    assert victim.read_text() == "not a line"


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path: Path) -> None:
    """Case 37 of the faults: what never answers is not waited for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with opened(tmp_path / "s.db") as here:
        here.fill(1)
        with pytest.raises(LoadError):
            append_witness(pipe, here.log.head())
        with pytest.raises(LoadError):
            JsonLines(pipe)


def test_every_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    """Threats 5: secrets and records of others are read by the service's user only; the public key by everybody."""
    before = os.umask(0)
    try:
        with opened(tmp_path / "s.db") as here:
            here.fill(20)
            append_witness(tmp_path / "witness", here.log.head())
            JsonLines(tmp_path / "log.jsonl").close()
            list(retain(here.log, here.signer.public, "9999", ACT, tmp_path / "archive"))
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    finally:
        os.umask(before)
    public = {"s.db.key.pub": 0o644, "witness": 0o644, "archive": 0o700}
    assert modes == {name: public.get(name, 0o600) for name in modes}
    assert {"s.db", "s.db-wal", "s.db-shm", "s.db.key", "log.jsonl"} < set(modes)
