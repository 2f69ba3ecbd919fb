"""A log that was put back to an older state, or forked, is found by who saw it later (issue 3, 4: fork)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from authz.audit.chain import Head
from authz.audit.store import SignedHead
from authz.audit.verify import verify
from authz.audit.witness import append_witness, read_witnesses, witness
from authz.errors import LoadError
from tests.audit.logs import body, opened

if TYPE_CHECKING:
    from pathlib import Path


def seen(path: Path) -> list[str]:
    """Return what verification with the witnesses in `heads` beside the log finds."""
    with opened(path) as here:
        found = verify(here.log, here.signer.public, witnesses=tuple(read_witnesses(path.with_name("heads"))))
    return [str(finding) for finding in found.findings]


def grow(path: Path, number: int, *, noted: bool) -> None:
    """Append records, and note the head."""
    with opened(path) as here:
        here.fill(number)
        if noted:
            assert append_witness(path.with_name("heads"), here.log.head())


def test_every_head_that_was_noted_is_one_of_the_log(tmp_path: Path) -> None:
    """Issue 3, 4: an honest log agrees with its witness."""
    path = tmp_path / "a.db"
    for number in (3, 5, 1, 20):
        grow(path, number, noted=True)
    assert len((tmp_path / "heads").read_text().splitlines()) == 4
    assert seen(path) == []


def test_the_same_head_is_noted_once(tmp_path: Path) -> None:
    """Issue 3, 4: `log witness` may run as often as one likes."""
    grow(tmp_path / "a.db", 3, noted=True)
    with opened(tmp_path / "a.db") as here:
        assert not append_witness(tmp_path / "heads", here.log.head())


def test_a_file_put_back_to_an_older_state_is_found(tmp_path: Path) -> None:
    """Issue 3, 4: truncation of the last records together with the head, by restoring the file."""
    path = tmp_path / "a.db"
    grow(path, 5, noted=False)
    shutil.copy(path, tmp_path / "old")
    grow(path, 7, noted=True)
    shutil.copy(tmp_path / "old", path)
    (found,) = seen(path)
    assert found.startswith("record 6: it is missing: a witness saw 12 records at ")


def test_a_file_put_back_and_gone_on_with_is_found(tmp_path: Path) -> None:
    """Issue 3, 4: a fork."""
    path = tmp_path / "a.db"
    grow(path, 5, noted=True)
    shutil.copy(path, tmp_path / "old")
    grow(path, 7, noted=True)
    shutil.copy(tmp_path / "old", path)
    with opened(path) as here:
        here.log.append([body(number, tool="another") for number in range(20)])
    (found,) = seen(path)
    assert found.startswith("record 12: a witness saw another log there at ")
    assert "from record 6 on" in found


def test_another_log_with_the_same_key_is_found(tmp_path: Path) -> None:
    """Issue 3, 4: the whole file is exchanged for one that verifies."""
    path = tmp_path / "a.db"
    grow(path, 5, noted=True)
    with opened(tmp_path / "b.db", key=tmp_path / "a.db.key") as other:
        other.fill(9)
    shutil.copy(tmp_path / "b.db", path)
    (found,) = seen(path)
    assert "a witness saw another log" in found


def test_a_head_that_nobody_signed_is_found(tmp_path: Path) -> None:
    """Issue 3, 4: a witness's file is believed as far as its signatures go."""
    path = tmp_path / "a.db"
    grow(path, 5, noted=False)
    with opened(path) as here:
        made_up = witness(here.log.head())._replace(seq=4)
    (tmp_path / "heads").write_text(made_up.line() + "\n")
    (found,) = seen(path)
    assert found == "record 4: a witness's head there is not one that this key signed"


@pytest.mark.parametrize("line", ["{}", "no json", '{"log":"00"}', "[" * 100_000, "\x00", '{"seq":true}'])
def test_a_line_that_is_no_head_is_named(tmp_path: Path, line: str) -> None:
    """Issue 3, Bad input: one clear line."""
    (tmp_path / "heads").write_text(f"\n{line}\n")
    with pytest.raises(LoadError, match=r"^line 2 of `.*` is no head of a log$"):
        list(read_witnesses(tmp_path / "heads"))


def test_a_line_that_a_crash_cut_off_spoils_neither_reading_nor_what_follows(tmp_path: Path) -> None:
    """A witness is written while processes are killed: half a line says nothing, and is replaced by the next."""
    path = tmp_path / "witness.jsonl"
    head = Head(b"l" * 32, 1, b"h" * 32, (b"f" * 32,))
    assert append_witness(path, SignedHead(head, "2026-11-22T09:00:00Z", b"s" * 64))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert len(list(read_witnesses(path))) == 1
    assert append_witness(path, SignedHead(replace(head, seq=2), "2026-11-22T09:01:00Z", b"s" * 64))
    assert [seen.seq for seen in read_witnesses(path)] == [1, 2]
    assert not append_witness(path, SignedHead(replace(head, seq=2), "2026-11-22T09:01:00Z", b"s" * 64))
