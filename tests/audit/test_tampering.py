"""Whatever is done to a log is found, and the first bad record is named (issue 3, 4 and Tests)."""

from __future__ import annotations

import contextlib
import json
import shutil
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from authz.audit.chain import Head, extend, link_hash
from authz.audit.verify import verify
from authz.errors import AuthzError
from authz.stores.sqlite.database import open_database
from authz.stores.sqlite.log import SqliteLog
from authz.stores.sqlite.store import key_path
from tests.audit.logs import Opened, opened, random_size

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    Tamper = Callable[[sqlite3.Connection, "Victim", Random], "Expected | None"]


class Expected(NamedTuple):
    """The first record that is bad, and the one at which that must show at the latest.

    They are one where nothing was made anew to hide it; else no record before the first is blamed,
    and the first is not said to be covered by a signature.
    """

    first: int
    shown: int


class Victim(NamedTuple):
    """The log that something is done to, and others to take records from."""

    here: Opened
    stranger: Opened
    sibling: Opened
    """Another log, signed with the same key."""
    checkpoints: list[int]

    @property
    def size(self) -> int:
        """Return how many records it has."""
        return self.here.size

    def mark(self, number: int) -> int:
        """Return where the first signature is that covers this record."""
        return min(seq for seq in (*self.checkpoints, self.size) if seq >= number)


def flipped(data: bytes, random: Random) -> bytes:
    """Return the data with one bit of it flipped."""
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :]


def edit_text(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Flip a bit of a record's text."""
    number = random.randint(1, victim.size)
    (text,) = connection.execute("SELECT CAST(body AS BLOB) FROM log_record WHERE seq=?", (number,)).fetchone()
    connection.execute("UPDATE log_record SET body=CAST(? AS TEXT) WHERE seq=?", (flipped(text, random), number))
    return Expected(number, number)


def edit_hash(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Flip a bit of a record's hash."""
    number = random.randint(1, victim.size)
    (hash_,) = connection.execute("SELECT hash FROM log_record WHERE seq=?", (number,)).fetchone()
    connection.execute("UPDATE log_record SET hash=? WHERE seq=?", (flipped(hash_, random), number))
    return Expected(number, number)


def delete(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Delete a record."""
    number = random.randint(1, victim.size)
    connection.execute("DELETE FROM log_record WHERE seq=?", (number,))
    return Expected(number, number)


def swap(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected | None:
    """Let two records change places."""
    if victim.size < 2:
        return None
    one, other = sorted(random.sample(range(1, victim.size + 1), 2))
    rows = [connection.execute("SELECT hash, body FROM log_record WHERE seq=?", (n,)).fetchone() for n in (one, other)]
    for number, (hash_, text) in zip((other, one), rows, strict=True):
        connection.execute("UPDATE log_record SET hash=?, body=? WHERE seq=?", (hash_, text, number))
    return Expected(one, one)


def cut(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Delete the last records, and perhaps the checkpoints among them."""
    number = random.randint(1, victim.size)
    connection.execute("DELETE FROM log_record WHERE seq>=?", (number,))
    if random.random() < 0.5:
        connection.execute("DELETE FROM log_checkpoint WHERE seq>=?", (number,))
    return Expected(number, number)


def cut_at_a_checkpoint(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected | None:
    """Put the log back to a checkpoint, which is a signed head, as if it had never gone on."""
    places = [seq for seq in victim.checkpoints if seq < victim.size]
    if not places:
        return None
    number = random.choice(places)
    connection.execute("DELETE FROM log_record WHERE seq>?", (number,))
    connection.execute("DELETE FROM log_checkpoint WHERE seq>?", (number,))
    connection.execute(
        "UPDATE log_head SET (seq, hash, frontier, time, signature) ="
        " (SELECT seq, hash, frontier, time, signature FROM log_checkpoint WHERE seq=?)",
        (number,),
    )
    return Expected(number, number)


def cut_with_a_new_head(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected | None:
    """Delete the last records, and let the head say that the log ends there."""
    number = random.randint(1, victim.size)
    if number == 1:
        return None
    remake(connection, victim, number, [])
    return Expected(number - 1, number - 1)  # where the head says that the log ends


def splice_one(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Put another log's record in the place of one."""
    number = random.randint(1, victim.size)
    other = random.choice((victim.stranger, victim.sibling))
    link = next(iter(other.log.links(number)))
    connection.execute("UPDATE log_record SET hash=?, body=? WHERE seq=?", (link.hash, link.text, number))
    return Expected(number, number)


def splice_the_rest(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected | None:
    """Go on with another log, its head and its checkpoints."""
    number = random.randint(2, victim.size + 1)
    other = random.choice((victim.stranger, victim.sibling))
    connection.execute("DELETE FROM log_record WHERE seq>=?", (number,))
    connection.execute("DELETE FROM log_checkpoint WHERE seq>=?", (number,))
    connection.executemany("INSERT INTO log_record VALUES (?, ?, ?)", list(other.log.links(number)))
    for head, time, signature, _ in other.log.checkpoints():
        if head.seq >= number:
            row = (head.seq, head.hash, b"".join(head.frontier), time, signature)
            connection.execute("INSERT INTO log_checkpoint VALUES (?, ?, ?, ?, ?)", row)
    head, time, signature, _ = other.log.head()
    row = (head.seq, head.hash, b"".join(head.frontier), time, signature)
    connection.execute("UPDATE log_head SET seq=?, hash=?, frontier=?, time=?, signature=?", row)
    if random.random() < 0.5:
        connection.execute("UPDATE log_head SET log=?", (head.log,))
        return Expected(1, 1)  # a log of that name never had the first record either
    if not any(seq < number for seq in victim.checkpoints):
        return Expected(1, number)  # no signature of this log is left: nothing vouches for the first record
    return Expected(number, number)


def remake(connection: sqlite3.Connection, victim: Victim, number: int, texts: list[str]) -> None:
    """Write the log anew from a record on, hashes, tree and head, as well as one can without the key."""
    before = Head(victim.here.log.head().head.log)
    kept = [link for link in victim.here.log.links() if link.seq < number]
    _, before = extend(before, ["{" + link.text.partition(",")[2] for link in kept])
    links, head = extend(before, ["{" + text.partition(",")[2] for text in texts])
    connection.execute("DELETE FROM log_record WHERE seq>=?", (number,))
    connection.executemany("INSERT INTO log_record VALUES (?, ?, ?)", links)
    row = (head.seq, head.hash, b"".join(head.frontier))
    connection.execute("UPDATE log_head SET seq=?, hash=?, frontier=?", row)
    connection.execute("DELETE FROM log_checkpoint WHERE seq>?", (head.seq,))


def rewrite(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Change, remove or add a record and make every hash after it anew."""
    number = random.randint(1, victim.size)
    texts = [link.text for link in victim.here.log.links(number)]
    match random.choice(("change", "remove", "add")) if number < victim.size else "change":
        case "change":
            texts[0] = texts[0].replace("tool-", "t00l-")
        case "remove":
            del texts[0]
        case "add":
            texts.insert(0, texts[0].replace("tool-", "t00l-"))
    with_head = random.random() < 0.5
    head = victim.here.log.head().head
    remake(connection, victim, number, texts)
    if with_head:  # the old head, over a log that is another
        row = (head.seq, head.hash, b"".join(head.frontier))
        connection.execute("UPDATE log_head SET seq=?, hash=?, frontier=?", row)
    return Expected(number, victim.mark(number) + 1)


def rewrite_one(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Change a record and its hash, and no other."""
    number = random.randint(1, victim.size)
    before = next((link.hash for link in victim.here.log.links() if link.seq == number - 1), None)
    (text,) = connection.execute("SELECT body FROM log_record WHERE seq=?", (number,)).fetchone()
    text = text.replace("tool-", "t00l-")
    hash_ = link_hash(before or victim.here.log.head().head.log, text)
    connection.execute("UPDATE log_record SET hash=?, body=? WHERE seq=?", (hash_, text, number))
    return Expected(number, min(number + 1, victim.mark(number)))


def renumber(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Let every record from one on stand one place further on."""
    number = random.randint(1, victim.size)
    for seq in range(victim.size, number - 1, -1):
        connection.execute("UPDATE log_record SET seq=seq+1 WHERE seq=?", (seq,))
    return Expected(number, number)


def add_at_the_end(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Append records, as well as one can without the key."""
    links, _ = extend(victim.here.log.head().head, ['{"kind":"decision"}'] * random.randint(1, 3))
    connection.executemany("INSERT INTO log_record VALUES (?, ?, ?)", links)
    return Expected(victim.size + 1, victim.size + 1)


def spoil_the_head(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Flip a bit of the head."""
    column = random.choice(("hash", "frontier", "signature"))
    (data,) = connection.execute(f"SELECT {column} FROM log_head").fetchone()
    connection.execute(f"UPDATE log_head SET {column}=?", (flipped(data, random),))
    return Expected(victim.size, victim.size)


def misdate_the_head(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Let the head be of another time."""
    connection.execute("UPDATE log_head SET time='2027-01-01T00:00:00.000Z'")
    return Expected(victim.size, victim.size)


def rename_the_log(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Let the log have another name."""
    connection.execute("UPDATE log_head SET log=randomblob(32)")
    return Expected(1, 1)


def spoil_a_checkpoint(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected | None:
    """Flip a bit of a checkpoint."""
    if not victim.checkpoints:
        return None
    number = random.choice(victim.checkpoints)
    column = random.choice(("hash", "frontier", "signature"))
    (data,) = connection.execute(f"SELECT {column} FROM log_checkpoint WHERE seq=?", (number,)).fetchone()
    connection.execute(f"UPDATE log_checkpoint SET {column}=? WHERE seq=?", (flipped(data, random), number))
    return Expected(number, number)


def empty_the_log(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Delete all records."""
    connection.execute("DELETE FROM log_record")
    return Expected(1, 1)


def claim_that_it_is_empty(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected:
    """Let the head be that of a log without records."""
    connection.execute("UPDATE log_head SET seq=0, hash=x'', frontier=x'', signature=x''")
    return Expected(1, 1)


def claim_that_records_were_retired(connection: sqlite3.Connection, victim: Victim, random: Random) -> Expected | None:
    """Delete the first records, as retention does, and say nothing of it."""
    places = [seq for seq in victim.checkpoints if seq < victim.size]
    if not places:
        return None
    number = random.choice(places)
    connection.execute("DELETE FROM log_record WHERE seq<=?", (number,))
    connection.execute("DELETE FROM log_checkpoint WHERE seq<?", (number,))
    return Expected(1, 1)


TAMPERS: tuple[Tamper, ...] = (
    *(edit_text, edit_hash, delete, swap, cut, cut_at_a_checkpoint, cut_with_a_new_head, splice_one, splice_the_rest),
    *(rewrite, rewrite_one, renumber, add_at_the_end, spoil_the_head, misdate_the_head, rename_the_log),
    *(spoil_a_checkpoint, empty_the_log, claim_that_it_is_empty, claim_that_records_were_retired),
)


def tamper_many(folder: Path, number: int, seed: int) -> int:
    """Do this many things to logs of random sizes, one at a time; return how many it were."""
    random, done, logs = Random(seed), 0, 0
    while done < number:
        logs += 1
        size, batch, every = random_size(random)
        names = [folder / f"{logs}-{which}.db" for which in ("here", "stranger", "sibling")]
        with (
            opened(names[0], every) as here,
            opened(names[1], every) as stranger,
            opened(names[2], every, key=key_path(names[0])) as sibling,
        ):
            for each, more in ((here, 0), (stranger, 2), (sibling, 2)):
                each.fill(size + more, batch)
            victim = Victim(here, stranger, sibling, [signed.head.seq for signed in here.log.checkpoints()])
            assert verify(here.log, here.signer.public).findings == ()
            for _ in range(50):
                tamper = random.choice(TAMPERS)
                done += tamper_once(victim, tamper, random)
            assert verify(here.log, here.signer.public).findings == ()
    return done


def tamper_once(victim: Victim, tamper: Tamper, random: Random) -> int:
    """Do it to the file, look, and take it back."""
    connection = victim.here.database.connection
    connection.execute("BEGIN IMMEDIATE")
    try:
        expected = tamper(connection, victim, random)
        if expected is None:
            return 0
        findings = verify(victim.here.log, victim.here.signer.public).findings
    finally:
        connection.execute("ROLLBACK")
    what = f"{tamper.__name__} {expected} of {victim.size}, checkpoints {victim.checkpoints}: {findings}"
    assert findings, what
    first = findings[0]
    assert first.seq <= expected.shown, what
    assert first.since <= expected.first <= max(first.seq, expected.shown), what
    if expected.first == expected.shown:
        assert first.seq == expected.first, what
    return 1


def test_three_hundred_random_tampers_are_found_and_the_first_bad_record_is_named(tmp_path: Path) -> None:
    """Issue 3, Tests: flip, delete, swap, truncate, splice."""
    assert tamper_many(tmp_path, 300, seed=3) >= 300


@pytest.mark.slow
def test_ten_thousand_random_tampers_are_found_and_the_first_bad_record_is_named(tmp_path: Path) -> None:
    """Issue 3, Tests: 10 000 random tampers are all found."""
    assert tamper_many(tmp_path, 10_000, seed=10_000) >= 10_000


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.__name__)
def test_each_kind_of_tampering_is_found(tmp_path: Path, tamper: Tamper) -> None:
    """Issue 3, 4: every edit, deletion, reorder, truncation and fork."""
    with (
        opened(tmp_path / "a.db") as here,
        opened(tmp_path / "b.db") as stranger,
        opened(tmp_path / "c.db", key=key_path(tmp_path / "a.db")) as sibling,
    ):
        for each in (here, stranger, sibling):
            each.fill(30)
        victim = Victim(here, stranger, sibling, [signed.head.seq for signed in here.log.checkpoints()])
        assert all(tamper_once(victim, tamper, Random(seed)) for seed in range(10))


def test_a_flipped_byte_in_the_file_is_found_or_changes_no_record(tmp_path: Path) -> None:
    """Issue 3, 4: whatever the damaged file says, it is a finding or a clear refusal, never a traceback."""
    random = Random(7)
    original, copy = tmp_path / "a.db", tmp_path / "copy.db"
    with opened(original) as here:
        here.fill(60)
        public = here.signer.public
        links, head = list(here.log.links()), here.log.head()
    data, found = original.read_bytes(), 0
    for _ in range(80):
        place = random.randrange(len(data))
        copy.write_bytes(data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :])
        copy.chmod(0o600)
        try:
            with contextlib.closing(open_database(copy, readonly=True)) as database:
                log = SqliteLog(database, None)
                findings = verify(log, public).findings
                if findings:
                    found += 1
                else:
                    assert (list(log.links()), log.head()) == (links, head)
        except AuthzError:
            found += 1
        for left in tmp_path.glob("copy.db-*"):
            left.unlink()
    assert found >= 8


def test_a_record_that_is_no_text_is_named(tmp_path: Path) -> None:
    """Issue 3, 4: the first bad record is named, also where its bytes are no UTF-8."""
    with opened(tmp_path / "a.db") as here:
        here.fill(700, 100)
        here.database.connection.execute("UPDATE log_record SET body=CAST(x'7bff' AS TEXT) WHERE seq=650")
        (finding,) = verify(here.log, here.signer.public).findings
    assert (finding.seq, finding.since) == (650, 650)
    assert str(finding) == "record 650: its text is not UTF-8"


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 9, 64, 1001])
def test_a_log_that_nobody_touched_verifies(tmp_path: Path, size: int) -> None:
    """Issue 3, 4: of any size, checkpoint or not."""
    with opened(tmp_path / "a.db") as here:
        if size:
            here.fill(size, 5)
        seen = verify(here.log, here.signer.public)
    assert (seen.findings, seen.records, seen.end.seq) == ((), size, size)


def test_a_log_verifies_while_it_grows(tmp_path: Path) -> None:
    """Issue 3, 4: what is appended during a verification is none of its business."""
    with opened(tmp_path / "a.db") as here, opened(tmp_path / "a.db") as writer:
        here.fill(100, 10)
        seen = verify(here.log, here.signer.public, step=lambda done: writer.fill(3))
        assert (seen.findings, seen.end.seq) == ((), 100)
        assert writer.size > 100


def test_another_key_is_said_to_be_another(tmp_path: Path) -> None:
    """Issue 3, 4: a log that another key signed does not verify, and the message says what to look at."""
    with opened(tmp_path / "a.db") as here, opened(tmp_path / "b.db") as stranger:
        here.fill(30)
        (finding,) = verify(here.log, stranger.signer.public).findings
    assert "is it the right one?" in finding.problem


def test_findings_are_plain_data(tmp_path: Path) -> None:
    """Issue 3, 4: where no signature covers what is there, the message says from where on."""
    with opened(tmp_path / "a.db", 8) as here:
        here.fill(30)
        connection = here.database.connection
        edited = here.log.links(12)
        text = next(edited).text.replace("tool-", "t00l-")
        before = next(here.log.links(11)).hash
        connection.execute("UPDATE log_record SET body=?, hash=? WHERE seq=12", (text, link_hash(before, text)))
        (finding,) = verify(here.log, here.signer.public).findings
    assert finding.seq == 13
    assert finding.since <= 12
    assert json.dumps(finding)
    assert f"from record {finding.since} on" in str(finding)


def test_a_copy_of_the_whole_file_verifies(tmp_path: Path) -> None:
    """Issue 3, 1: a backup is a log like any other."""
    with opened(tmp_path / "a.db") as here:
        here.fill(20)
        public = here.signer.public
    shutil.copy(tmp_path / "a.db", tmp_path / "copy.db")
    with contextlib.closing(open_database(tmp_path / "copy.db")) as database:
        assert verify(SqliteLog(database, None), public).findings == ()
