"""`authz-eval directory`: import, export, get and delete, as a user calls them (issue 3, point 3)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from authz.cli.directory import main
from authz.stores.sqlite.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

PEOPLE = """\
{"kind":"subject","tenant":"acme","id":"alice","attributes":{"grade":3},"groups":["eng"]}
{"kind":"group","tenant":"acme","id":"eng","groups":["staff"]}
{"kind":"role_binding","tenant":"acme","group":"eng","role":"editor"}
{"kind":"resource","tenant":"acme","type":"document","id":"42","owner":"alice","ancestors":["folder:7"]}
{"kind":"tool","server":"files","name":"read_file","read_only":true,"tags":["a;b","c"]}
{"kind":"client","tenant":"","id":"=cmd","attributes":{"text":"5","list":[1,{"a":null}]}}
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Return what runs the command on one store."""

    def call(*arguments: str, store: str = "authz.db", given: str | None = None) -> Result:
        verb, *rest = arguments
        return CliRunner().invoke(
            main, [verb, "--store", str(tmp_path / store), *rest], input=given, standalone_mode=False
        )

    return call


def test_an_export_imports_into_another_store_as_the_same_directory(run: Callable[..., Result], tmp_path: Path) -> None:
    """Issue 3: in both formats, also of what a table would spoil."""
    first = run("import", "-", given=PEOPLE)
    assert (first.return_value, first.stdout) == (0, "6 entries written, 0 refused\n")
    exported = run("export").stdout
    assert len(exported.splitlines()) == 6
    for format_ in ("jsonl", "csv"):
        file = tmp_path / f"out.{format_}"
        file.write_text(run("export", "--format", format_).stdout, newline="")
        again = run("import", str(file), store=f"{format_}.db")
        assert (again.return_value, again.stderr) == (0, "")
        assert run("export", store=f"{format_}.db").stdout == exported


def test_a_bad_line_is_named_and_the_command_ends_with_2(run: Callable[..., Result]) -> None:
    """Issue 3, bad input."""
    bad = PEOPLE + '{"kind":"resource","type":"document","id":"1","ancestors":"x"}\n'
    result = run("import", "-", given=bad)
    assert result.return_value == 2
    assert result.stderr == "error: line 7: resource: `ancestors` must be a list of strings\n"
    assert result.stdout == "0 entries written, 1 refused\n"
    assert run("export").stdout == ""
    skipped = run("import", "-", "--on-error", "skip", "--format", "json", given=bad)
    assert skipped.return_value == 2
    assert json.loads(skipped.stdout) == {
        "written": 6,
        "repeated": 0,
        "refused": 1,
        "problems": [{"line": 7, "message": "resource: `ancestors` must be a list of strings"}],
    }


def test_all_or_nothing_is_the_default_and_contradicts_the_others(run: Callable[..., Result]) -> None:
    """Issue 3: an all-or-nothing option."""
    assert run("import", "-", "--all-or-nothing", given=PEOPLE).return_value == 0
    refused = run("import", "-", "--all-or-nothing", "--on-error", "skip", given=PEOPLE)
    assert "contradicts" in str(refused.exception)


def test_more_problems_than_are_told_are_counted(run: Callable[..., Result]) -> None:
    """Issue 3: an exact count at the end."""
    result = run("import", "-", given="nonsense\n" * 150)
    assert len(result.stderr.splitlines()) == 101
    assert result.stderr.splitlines()[-1] == "error: and 50 problems more"
    assert result.stdout == "0 entries written, 150 refused\n"


def test_the_tools_of_a_server_are_imported_from_its_answer(run: Callable[..., Result]) -> None:
    """Issue 3: the tool catalogue."""
    answer = {"result": {"tools": [{"name": "read_file", "annotations": {"readOnlyHint": True}}]}}
    assert run("import", "-", "--tools-of", "files", given=json.dumps(answer)).return_value == 0
    shown = run("get", "tool", "read_file", "--type", "files", "--format", "json")
    assert json.loads(shown.stdout) == {
        "kind": "tool",
        "tenant": "",
        "server": "files",
        "name": "read_file",
        "read_only": True,
    }
    assert "leave" in str(run("import", "-", "--tools-of", "files", "--csv", given="").exception)


def test_get_finds_exactly_the_entry_of_that_tenant(run: Callable[..., Result]) -> None:
    """Threats 4, I2: what is another tenant's is not there."""
    run("import", "-", given=PEOPLE)
    found = run("get", "subject", "alice", "--tenant", "acme", "--format", "json")
    assert found.return_value == 0
    assert json.loads(found.stdout) == json.loads(PEOPLE.splitlines()[0])
    for arguments in (("subject", "alice"), ("subject", "Alice", "--tenant", "acme"), ("client", "alice")):
        missing = run("get", *arguments)
        assert missing.return_value == 1
        assert missing.stderr.startswith("error: there is no ")
    assert "control character" in str(run("get", "subject", "a\nb").exception)


def test_delete_removes_what_is_named_and_says_what_was_not_there(run: Callable[..., Result], tmp_path: Path) -> None:
    """Issue 3: delete, with its record in the log."""
    run("import", "-", given=PEOPLE)
    result = run("delete", "subject", "alice", "bob", "--tenant", "acme", "--author", "root", "--note", "left")
    assert (result.return_value, result.stdout) == (1, "1 entry deleted\n")
    assert result.stderr == "error: 1 of 2 entries not there\n"
    assert run("get", "subject", "alice", "--tenant", "acme").return_value == 1
    store = open_store(tmp_path / "authz.db", readonly=True)
    records = [json.loads(link.text) for link in store.log.links()]
    store.close()
    assert [(record["act"], record.get("note")) for record in records] == [
        ("directory.import", None),
        ("directory.delete", "left"),
    ]
    assert records[1]["author"] == "root"


def test_a_store_that_is_not_there_is_one_clear_line(run: Callable[..., Result], tmp_path: Path) -> None:
    """Issue 3, bad input: exit code 1."""
    for arguments in (("export",), ("get", "subject", "a"), ("delete", "subject", "a")):
        result = run(*arguments)
        assert result.return_value == 1
        assert result.stderr == f"error: `{tmp_path / 'authz.db'}` does not exist\n"
    missing = run("import", str(tmp_path / "none.jsonl"))
    assert missing.return_value == 1
    assert "cannot be read" in missing.stderr
    assert not (tmp_path / "authz.db").exists()


def test_export_of_one_tenant_or_kind_holds_nothing_else(run: Callable[..., Result]) -> None:
    """Issue 3: export."""
    run("import", "-", given=PEOPLE)
    kinds = [json.loads(line)["kind"] for line in run("export", "--tenant", "").stdout.splitlines()]
    assert kinds == ["client", "tool"]
    only = [json.loads(line)["id"] for line in run("export", "--kind", "group", "--tenant", "acme").stdout.splitlines()]
    assert only == ["eng"]


def test_what_is_printed_cannot_command_a_terminal(run: Callable[..., Result]) -> None:
    """Threats 3d-47: escapes in names and values stay escapes."""
    hostile = json.dumps({"kind": "subject", "id": "a\u202eb", "attributes": {"x": "\x1b[31m\u2028"}})
    run("import", "-", given=hostile + "\n")
    exported = run("export").stdout
    assert exported.rstrip("\n").isprintable()
    assert json.loads(exported)["attributes"] == {"x": "\x1b[31m\u2028"}


def test_a_key_without_its_type_and_a_file_without_tools_say_what_to_do(run: Callable[..., Result]) -> None:
    """Issue 3, a newcomer's mistakes: each is one clear line that says what to do."""
    run("import", "-", given=PEOPLE)
    assert "name it with `--type`" in str(run("get", "resource", "n1").exception)
    assert run("delete", "subject", "nobody").stderr == "error: 1 of 1 entry not there\n"
    assert run("import", "-", "--tools-of", "s", given="no JSON").stderr.startswith("error: `-` is not valid JSON")
