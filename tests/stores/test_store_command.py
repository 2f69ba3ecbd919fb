"""`authz-server store`: check, backup, restore, as an operator runs them beside a server and after an accident."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from click.testing import CliRunner

from authz.cli.server import main
from authz.cli.store import main as commands
from tests.faults.child import ACT, records, version
from tests.faults.support import child, make, opened, sound, whole_log

if TYPE_CHECKING:
    import click


class Ran(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


def run(*arguments: object) -> Ran:
    """Run `authz-server store` with these arguments."""
    result = CliRunner().invoke(main, ["store", *map(str, arguments)], prog_name="authz-server")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a store with something of each kind in it."""
    made = make(tmp_path / "authz.db")
    with opened(made) as store:
        store.policies.put(version(1), ACT)
        store.policies.activate(1, "activate", ACT)
        store.log.append(records(0, 500))
    return made


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[5 * 4096 : 5 * 4096 + 64] = b"\xa5" * 64
    path.write_bytes(content)


def _names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


# check


def test_check_tells_what_a_sound_store_holds(path: Path) -> None:
    """Issue 3: exit 0."""
    assert run("check", path) == (
        0,
        f"`{path}` is sound: schema 1, 1 policy version, 1 activation, 0 directory entries, 502 log records\n",
        "",
    )
    found = json.loads(run("check", path, "--format", "json").out)
    counts = {"policy_versions": 1, "policy_activations": 1, "directory_entries": 0, "log_records": 502}
    assert found == {"store": str(path), "sound": True, "problems": [], "schema": 1, "counts": counts}


def test_check_ends_with_7_and_one_line_where_the_store_is_damaged(path: Path) -> None:
    """Issue 3; threats 3d-8."""
    _damage(path)
    for arguments in ((), ("--quick",)):
        code, out, err = run("check", path, *arguments)
        assert (code, out) == (7, "")
        assert err.startswith(f"error: `{path}` is damaged: ")
        assert err.count("\n") == 1
    found = json.loads(run("check", path, "--format", "json").out)
    assert found["sound"] is False
    assert found["problems"]


def test_quarantine_moves_a_damaged_store_aside_with_what_lies_beside_it(path: Path) -> None:
    """Threats 3d-8; a second one does not overwrite the first."""
    content = path.read_bytes()
    for number in (1, 2):
        path.write_bytes(content)
        _damage(path)
        path.with_name("authz.db-wal").write_bytes(b"wal")
        damaged = path.read_bytes()
        code, _, err = run("check", path, "--quarantine")
        aside = path.with_name(f"authz.db.damaged-{number}")
        assert code == 7
        assert err.endswith(f"moved to `{aside}`\n")
        assert aside.read_bytes() == damaged
        assert not path.exists()
        assert not path.with_name("authz.db-wal").exists()
        assert aside.with_name(aside.name + "-wal").exists()


def test_quarantine_leaves_a_sound_store_and_a_foreign_file_where_they_are(path: Path, tmp_path: Path) -> None:
    """Issue 3: what another program or a newer version wrote is not damaged."""
    assert run("check", path, "--quarantine").code == 0
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (a)")
    code, out, err = run("check", other, "--quarantine")
    assert (code, out) == (7, "")
    assert err.splitlines()[0] == f"error: `{other}` is a database of another program"
    assert path.exists()
    assert other.exists()


def test_quarantine_is_refused_while_a_process_has_the_store_open(path: Path) -> None:
    """Issue 3: a file must not go from under a server."""
    with child("steps", path):
        content = path.read_bytes()
        _damage(path)
        code, _, err = run("check", path, "--quarantine")
        assert code == 1
        assert err.endswith("is in use by another process: stop it first\n")
        path.write_bytes(content)


@pytest.mark.parametrize("command", ["check {}", "backup {} target.db", "restore {} target.db"])
def test_a_store_that_is_missing_is_one_clear_line(command: str, tmp_path: Path) -> None:
    """Issue 3: exit 1, and nothing is made."""
    missing = tmp_path / "nothing.db"
    code, out, err = run(*shlex.split(command.format(missing).replace("target", str(tmp_path / "target"))))
    assert (code, out, err) == (1, "", f"error: `{missing}` does not exist\n")
    assert _names(tmp_path) == []


# backup


def test_a_backup_holds_one_state_of_a_store_that_is_written_to_meanwhile(path: Path, tmp_path: Path) -> None:
    """Issue 3: online; whole, checked, its owner's only, and without the signing key."""
    target = tmp_path / "backup.db"
    with child("appends", path) as busy:
        told = busy.next()
        code, out, _ = run("backup", path, target)
        assert code == 0
        assert f"without the signing key `{path}.key`" in out
    assert target.stat().st_mode & 0o777 == 0o600
    assert {name for name in _names(tmp_path) if "backup" in name} == {"backup.db"}
    os.link(path.with_name("authz.db.key"), tmp_path / "backup.db.key")
    os.link(path.with_name("authz.db.key.pub"), tmp_path / "backup.db.key.pub")
    with opened(target) as store:
        assert len(whole_log(store)) >= told["seq"]
        assert store.policies.files(1) == version(1).files
        sound(store)


def test_a_backup_never_overwrites_and_leaves_nothing_where_it_fails(path: Path, tmp_path: Path) -> None:
    """Issue 3: exit 1, one line."""
    target = tmp_path / "backup.db"
    target.write_bytes(b"precious")
    assert run("backup", path, target) == (1, "", f"error: `{target}` exists already\n")
    assert target.read_bytes() == b"precious"
    target.unlink()
    assert run("backup", path, path).code == 1
    assert run("backup", path, tmp_path / "nowhere" / "backup.db").err.endswith("no such file or directory\n")
    _damage(path)
    code, _, err = run("backup", path, target)
    assert (code, err.count("\n")) == (1, 1)
    assert f"`{path}` is damaged" in err
    assert not [name for name in _names(tmp_path) if "backup" in name or "new" in name]


def test_a_backup_can_be_read_where_nothing_can_be_written(path: Path, tmp_path: Path) -> None:
    """Issue 3: one file, without a WAL of its own."""
    target = tmp_path / "archive" / "backup.db"
    target.parent.mkdir()
    run("backup", path, target)
    assert run("check", target).code == 0
    assert _names(target.parent) == ["backup.db"]


# restore


def test_a_backup_is_restored_where_nothing_is(path: Path, tmp_path: Path) -> None:
    """Issue 3: and it says that the key has to come from elsewhere."""
    backup, new = tmp_path / "backup.db", tmp_path / "new.db"
    run("backup", path, backup)
    code, out, err = run("restore", backup, new)
    assert (code, out) == (0, f"`{new}` is restored from `{backup}`\n")
    assert err == f"the signing key is not part of a backup: put it at `{new}.key`\n"
    path.with_name("authz.db.key").rename(tmp_path / "new.db.key")
    path.with_name("authz.db.key.pub").rename(tmp_path / "new.db.key.pub")
    with opened(new) as store:
        assert len(whole_log(store)) == 502
        store.log.append(records(500, 1))
        whole_log(store)
    assert new.stat().st_mode & 0o777 == 0o600


def test_a_restore_replaces_only_when_told_and_keeps_what_was_there(path: Path, tmp_path: Path) -> None:
    """Issue 3: with all that the replaced store had committed, its WAL included."""
    backup = tmp_path / "backup.db"
    run("backup", path, backup)
    with opened(path) as store:
        store.log.append(records(500, 7))
    assert run("restore", backup, path) == (
        1,
        "",
        f"error: `{path}` exists already: say `--replace` to restore in its place\n",
    )
    code, out, err = run("restore", backup, path, "--replace")
    aside = tmp_path / "authz.db.replaced-1"
    assert (code, err) == (0, "")
    assert out == f"`{path}` is restored from `{backup}`\nwhat was there is `{aside}`\n"
    with opened(path) as store:
        assert len(whole_log(store)) == 502
    os.link(path.with_name("authz.db.key"), tmp_path / "authz.db.replaced-1.key")
    os.link(path.with_name("authz.db.key.pub"), tmp_path / "authz.db.replaced-1.key.pub")
    with opened(aside) as store:
        assert len(whole_log(store)) == 509


def test_a_restore_after_a_crash_does_not_read_the_old_wal_into_the_new_file(path: Path, tmp_path: Path) -> None:
    """Issue 3; threats 3d-8."""
    backup = tmp_path / "backup.db"
    run("backup", path, backup)
    with child("appends", path) as running:
        running.next()
        running.kill()
    assert path.with_name("authz.db-wal").stat().st_size > 0
    assert run("restore", backup, path, "--replace").code == 0
    with opened(path) as store:
        assert len(whole_log(store)) == 502
        sound(store)


@pytest.mark.parametrize("damage", ["page", "header", "gone", "empty"])
def test_a_restore_takes_the_place_of_a_damaged_store_which_is_kept(damage: str, path: Path, tmp_path: Path) -> None:
    """Issue 3; threats 3d-8: what a backup is for."""
    backup = tmp_path / "backup.db"
    run("backup", path, backup)
    with child("appends", path) as running:  # leaves commits in the WAL
        running.next()
        running.kill()
    match damage:
        case "page":
            _damage(path)
        case "header":
            path.write_bytes(b"\xa5" * 64 + path.read_bytes()[64:])
        case "gone":
            path.unlink()
        case _:
            path.write_bytes(b"")
    assert run("restore", backup, path, "--replace").code == 0
    with opened(path) as store:
        assert len(whole_log(store)) == 502
        sound(store)
    assert [name for name in _names(tmp_path) if "damaged" in name or "replaced" in name]


def test_a_restore_is_refused_while_a_process_has_the_store_open(path: Path, tmp_path: Path) -> None:
    """Issue 3: also one that is idle, and only reads."""
    backup = tmp_path / "backup.db"
    run("backup", path, backup)
    for what in ("steps", "reads"):
        with child(what, path) as running:
            code, _, err = run("restore", backup, path, "--replace")
            assert (code, err) == (1, f"error: `{path}` is in use by another process: stop it first\n")
            running.go("2")
            assert running.next()["seq"] >= 502
    with opened(path) as store:
        assert len(whole_log(store)) > 502
    assert [name for name in _names(tmp_path) if "replaced" in name or "new" in name] == []


def test_what_is_no_sound_backup_is_not_restored(path: Path, tmp_path: Path) -> None:
    """Issue 3: verified first; the store stays as it is."""
    backup, before = tmp_path / "backup.db", path.read_bytes()
    run("backup", path, backup)
    whole = backup.read_bytes()
    cut = whole[: len(whole) // 2]
    for content in (cut, b"", b"a letter", whole[: 5 * 4096] + b"\xa5" * 64 + whole[5 * 4096 + 64 :]):
        backup.write_bytes(content)
        code, out, err = run("restore", backup, path, "--replace")
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert f"`{backup}`" in err
        assert path.read_bytes() == before
    assert run("restore", path, path, "--replace").err.endswith("are the same file\n")


def test_a_database_of_another_program_is_not_replaced(path: Path, tmp_path: Path) -> None:
    """Issue 3: a mistyped name costs nothing."""
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (a)")
    before = other.read_bytes()
    code, _, err = run("restore", path, other, "--replace")
    assert (code, err) == (1, f"error: `{other}` is a database of another program\n")
    assert other.read_bytes() == before


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_the_example_of_each_command_works_as_pasted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 3: in a folder with a store and a backup."""
    monkeypatch.chdir(tmp_path)
    make(Path("authz.db"))
    Path("backups").mkdir()
    if name == "restore":
        run("backup", "authz.db", "backups/authz-monday.db")
    command: click.Command = commands.commands[name]
    program, group, *arguments = shlex.split(command.example)  # type: ignore[attr-defined]  # of our own Command
    assert (program, group) == ("authz-server", "store")
    assert run(*arguments).code == 0
