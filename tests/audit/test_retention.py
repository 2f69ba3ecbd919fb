"""Old records go in sealed segments, and what is left verifies (issue 3, 4: retention)."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import pytest

from authz.audit.retention import retain, verify_segments
from authz.audit.segments import Segment, find_segments
from authz.audit.verify import verify
from authz.audit.witness import Witness, witness
from authz.errors import StoreCorruptError
from authz.model import Act
from tests.audit.logs import Opened, opened

if TYPE_CHECKING:
    from pathlib import Path

ACT = Act("olga", "cli", "ninety days")
FUTURE = "2999-01-01T00:00:00.000000Z"


def retired(here: Opened, archive: Path | None = None, size: int = 1_000) -> list[int]:
    """Retire all that can be, and return the numbers of records that went with each segment."""
    return [segment.records for segment in retain(here.log, here.signer.public, FUTURE, ACT, archive, size)]


def found(here: Opened, archive: Path | None = None, witnesses: tuple[Witness, ...] = ()) -> list[str]:
    """Return what verification of the log, and of what was archived of it, finds."""
    seen = verify(here.log, here.signer.public, witnesses=witnesses)
    findings = list(seen.findings)
    if archive is not None:
        findings += [one for _, one in verify_segments(archive, here.signer.public, seen, witnesses)]
    return [str(one) for one in findings]


def test_what_is_left_verifies_and_says_what_went(tmp_path: Path) -> None:
    """Issue 3, 4: a gap that the log itself speaks of is none."""
    with opened(tmp_path / "a.db") as here:
        here.fill(30)
        assert retired(here) == [24]
        links = list(here.log.links())
        assert [link.seq for link in links] == [*range(25, 31), 31]
        act = json.loads(links[-1].text)
        assert {name: act[name] for name in ("kind", "act", "author", "note", "first", "last")} == {
            "kind": "act",
            "act": "log.retain",
            "author": "olga",
            "note": "ninety days",
            "first": 1,
            "last": 24,
        }
        assert found(here) == []
        here.fill(40)
        assert found(here) == []
        assert retired(here) == [40]
        assert found(here) == []


def test_nothing_goes_that_is_not_old_enough(tmp_path: Path) -> None:
    """Issue 3, 4: retention is by time."""
    with opened(tmp_path / "a.db") as here:
        here.fill(30)
        assert list(retain(here.log, here.signer.public, "2020-01-01T00:00:00Z", ACT)) == []
        assert here.size == 30


def test_records_that_went_without_a_word_are_missed(tmp_path: Path) -> None:
    """Issue 3, 4: a deletion is found unless the log says who retired what."""
    with opened(tmp_path / "a.db") as here:
        here.fill(60)
        retired(here)
        here.fill(40)
        connection = here.database.connection
        connection.execute("DELETE FROM log_record WHERE seq <= 80")
        connection.execute("DELETE FROM log_checkpoint WHERE seq < 80")
        assert found(here) == ["record 1: it is missing, and no record of this log says that it was retired"]


def test_a_record_that_only_mentions_a_retention_excuses_nothing(tmp_path: Path) -> None:
    """Issue 3, 4: what a request says cannot pass for what an administrator did."""
    with opened(tmp_path / "a.db") as here:
        here.fill(30)
        here.log.append(['{"kind":"decision","attributes":{"act":"log.retain","last":24,"kind":"act"}}'])
        here.database.connection.execute("DELETE FROM log_record WHERE seq <= 24")
        assert found(here) == ["record 1: it is missing, and no record of this log says that it was retired"]


def test_segments_join_each_other_and_the_log(tmp_path: Path) -> None:
    """Issue 3, 4: sealed segments verify as the log does."""
    archive = tmp_path / "archive"
    with opened(tmp_path / "a.db") as here:
        here.fill(20)
        early = witness(here.log.head())
        here.fill(30)
        assert retired(here, archive, size=16) == [16, 16, 16]
        here.fill(20)
        assert sum(retired(here, archive, size=1_000)) == 24
        assert [path.name for path in find_segments(archive)] == [
            "segment-1-16.jsonl",
            "segment-17-32.jsonl",
            "segment-33-48.jsonl",
            "segment-49-72.jsonl",
        ]
        assert found(here, archive, (early,)) == []
        assert verify(here.log, here.signer.public, witnesses=(early,)).unwitnessed == 1
        forged = early._replace(hash=bytes(32))
        assert found(here, archive, (forged,)) != []


def test_an_archive_holds_the_records_as_they_were(tmp_path: Path) -> None:
    """Issue 3, 4: each line is JSON, with the record's own text in it."""
    with opened(tmp_path / "a.db") as here:
        here.fill(20)
        before = list(here.log.links())
        retired(here, tmp_path / "archive")
        (path,) = find_segments(tmp_path / "archive")
        assert list(Segment(path).links()) == before[:16]
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["record"]["seq"] for line in lines[1:]] == list(range(1, 17))
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_segment_that_is_gone_is_missed(tmp_path: Path, lost: int) -> None:
    """Issue 3, 4: `log verify --archive` says where the archive has a gap."""
    archive = tmp_path / "archive"
    with opened(tmp_path / "a.db") as here:
        here.fill(50)
        retired(here, archive, size=16)
        find_segments(archive)[lost].unlink()
        (finding,) = found(here, archive)
        assert finding.startswith(f"record {lost * 16 + 1}: it is missing")


def test_every_change_of_a_segment_is_found(tmp_path: Path) -> None:
    """Issue 3, Tests: tampers, in an archive; a flip, a deleted, doubled or swapped line, a cut end."""
    random, archive = Random(5), tmp_path / "archive"
    with opened(tmp_path / "a.db") as here:
        here.fill(20)
        retired(here, archive)
        (path,) = find_segments(archive)
        data = path.read_bytes()
        for _ in range(150):
            lines = data.splitlines(keepends=True)
            one, other = sorted(random.sample(range(1, len(lines)), 2))
            match random.choice(("flip", "delete", "double", "swap", "cut")):
                case "flip":
                    line = bytearray(lines[one])
                    line[random.randrange(len(line))] ^= 1 << random.randrange(8)
                    lines[one] = bytes(line)
                case "delete":
                    del lines[one]
                case "double":
                    lines.insert(one, lines[one])
                case "swap":
                    lines[one], lines[other] = lines[other], lines[one]
                case "cut":
                    del lines[one:]
            path.write_bytes(b"".join(lines))
            assert found(here, archive) != []
        path.write_bytes(data)
        assert found(here, archive) == []


def test_a_log_that_does_not_verify_is_kept(tmp_path: Path) -> None:
    """Issue 3, 4: what was tampered with is evidence, and retention does not clear it away."""
    with opened(tmp_path / "a.db") as here:
        here.fill(30)
        here.database.connection.execute('UPDATE log_record SET body=\'{"seq":5,"a":1}\' WHERE seq=5')
        with pytest.raises(StoreCorruptError, match="nothing more was retired: record 5"):
            retired(here, tmp_path / "archive")
        assert here.size == len(list(here.log.links())) == 30
        assert not (tmp_path / "archive").exists()


def test_a_change_after_a_retention_is_the_first_bad_record(tmp_path: Path) -> None:
    """Issue 3, 4: what was retired is no gap, also where the record that says so comes after what was changed."""
    with opened(tmp_path / "a.db") as here:
        here.fill(30)
        retired(here)
        here.database.connection.execute('UPDATE log_record SET body=\'{"seq":26,"a":1}\' WHERE seq=26')
        (finding,) = found(here)
        assert finding.startswith("record 26: its hash does not follow")
