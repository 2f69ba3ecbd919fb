"""A command that is pointed at the wrong file or listener says so, and changes nothing."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from authz.cli.eval import main
from authz.stores.sqlite.store import open_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["a.db", "a.db.key", "notes.txt"])
def test_a_witness_is_never_appended_to_another_kind_of_file(tmp_path: Path, name: str) -> None:
    """Issue 3: what follows a file's last line end is cut before a head is appended; a store would be destroyed."""
    store = tmp_path / "a.db"
    with closing(open_store(store, create=True)):
        pass
    (tmp_path / "notes.txt").write_text("no line end")
    before = (tmp_path / name).read_bytes()
    result = CliRunner().invoke(
        main, ["log", "witness", "--store", str(store), "--append", str(tmp_path / name)], standalone_mode=False
    )
    assert (result.return_value, result.stderr) == (
        1,
        f"error: `{tmp_path / name}` is no witness's file: name a new one\n",
    )
    assert (tmp_path / name).read_bytes() == before


def test_a_replay_that_decided_nothing_is_no_proof(tmp_path: Path) -> None:
    """Issue 3: `--fail-on` guards a change; a file that is no log, or an empty one, must not pass as equal."""
    policy = tmp_path / "a.authz"
    policy.write_text('tool "t" { allow anyone }\n')
    log = tmp_path / "people.jsonl"
    log.write_text('{"kind": "subject", "id": "alice"}\n')
    asked = ["replay", "--log", str(log), "--policies", str(policy), "--fail-on", "any"]
    assert CliRunner().invoke(main, asked, standalone_mode=False).return_value == 1
