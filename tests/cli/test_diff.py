"""`authz-eval policy diff` (issue 3, Build 2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_replay import EDITORS_TEXT, EVERYBODY_TEXT, log, policy, stored
from tests.pap.records import loaded, record
from tests.pap.test_replay import asked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

__all__ = ["log", "policy", "stored"]  # fixtures


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Return two policies: for editors, and for everybody."""
    paths = tmp_path / "old", tmp_path / "new"
    for path, text in zip(paths, (EDITORS_TEXT, EVERYBODY_TEXT), strict=True):
        path.mkdir()
        (path / "p.authz").write_text(text)
    return paths


def write(path: Path, *requests: object) -> Path:
    """Write requests as JSON lines."""
    path.write_text("".join(f"{json.dumps(request)}\n" for request in requests))
    return path


ANN = {"subject": "ann", "tool": "t", "tenant": "acme"}
EVE = {"subject": "eve", "tool": "t", "roles": ["editor"], "resource": {"type": "doc", "id": "1"}}


def test_rules_are_told_one_by_one(run: Run, two: tuple[Path, Path]) -> None:
    """Issue 3: what changed rule by rule; only a changed answer is exit 7."""
    ran = run("policy", "diff", *two)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "+ p:all",
        '    + tool "t" {',
        '    +   allow "all" anyone',
        "    + }",
        "",
        "- p:e",
        '    - tool "t" {',
        '    -   allow "e" role "editor"',
        "    - }",
        "",
        "rules and declarations: 1 added, 1 removed, 0 changed",
    ]


def test_a_changed_rule_shows_both_texts(run: Run, two: tuple[Path, Path]) -> None:
    """Issue 3: changed with both texts."""
    (two[1] / "p.authz").write_text(EDITORS_TEXT.replace("editor", "viewer"))
    ran = run("policy", "diff", *two)
    assert ran.out.startswith("~ p:e\n")
    assert '-   allow "e" role "editor"' in ran.out
    assert '+   allow "e" role "viewer"' in ran.out
    assert ran.out.endswith("0 added, 0 removed, 1 changed\n")


def test_nothing_changed_is_said(run: Run, two: tuple[Path, Path]) -> None:
    """Style: the answer goes to stdout."""
    ran = run("policy", "diff", two[0], two[0])
    assert ran == (0, "rules and declarations: 0 added, 0 removed, 0 changed\n", "")


def test_whose_answers_change_comes_with_allows_first(run: Run, two: tuple[Path, Path], tmp_path: Path) -> None:
    """Issue 3: given a file of requests; DENY→ALLOW first; exit 7 when any does."""
    (two[1] / "p.authz").write_text('tool "t" {\n  allow "all" anyone\n  deny "no" role "editor"\n}\n')
    ran = run("policy", "diff", *two, "--requests", write(tmp_path / "r.jsonl", EVE, ANN))
    assert ran.code == 7
    told = ran.out[ran.out.index("DENY -> ALLOW") :]
    assert told.splitlines() == [
        "DENY -> ALLOW  line 2: subject ann, tenant acme, tool t",
        "  was: DENY NO_ALLOW: no rule allows this; the nearest is p:e",
        "  now: ALLOW ALLOWED: allowed by p:all",
        "",
        "ALLOW -> DENY  line 1: subject eve, tool t, resource doc:1",
        "  was: ALLOW ALLOWED: allowed by p:e",
        "  now: DENY EXPLICIT_DENY: denied by p:no",
        "",
        "rules and declarations: 2 added, 1 removed, 0 changed",
        "2 requests decided by both: 0 equal, 2 changed, 1 of them wider",
    ]


def test_equal_answers_end_with_zero(run: Run, two: tuple[Path, Path], tmp_path: Path) -> None:
    """Issue 3: exit 7 when any answer changes, 0 otherwise; one request may be laid out as it likes."""
    path = tmp_path / "r.json"
    path.write_text(json.dumps(EVE, indent=2))
    ran = run("policy", "diff", *two, "--requests", path)
    assert ran.code == 0
    assert ran.out.endswith("1 request decided by both: 1 equal, 0 changed\n")


def test_json_holds_the_same(run: Run, two: tuple[Path, Path], tmp_path: Path) -> None:
    """Style: `--format human|json`."""
    ran = run("policy", "diff", *two, "--requests", write(tmp_path / "r", ANN, EVE), "--format", "json")
    answer = json.loads(ran.out)
    assert [change["name"] for change in answer["changes"]] == ["p:all", "p:e"]
    assert answer["changes"][0]["before"] == ""
    (changed,) = answer["answers"]
    assert (changed["change"], changed["widening"], changed["line"], changed["subject"]) == (
        "NOW_ALLOWED",
        True,
        1,
        "ann",
    )
    assert changed["before"]["decision"] != changed["after"]["decision"]
    assert (answer["counts"], answer["decided"], answer["malformed"]) == ({"NOW_ALLOWED": 1}, 2, 0)


def test_recorded_requests_are_decided_by_both(run: Run, two: tuple[Path, Path], log: Path) -> None:
    """Issue 3: given the decision log."""
    ran = run("policy", "diff", *two, "--log", log)
    assert ran.code == 7
    assert ran.out.endswith("12 requests decided by both: 4 equal, 8 changed, 8 of them wider\n")


def test_a_pseudonym_is_not_taken_for_the_subject(run: Run, tmp_path: Path, two: tuple[Path, Path]) -> None:
    """Issue 3, pseudonyms: an answer that hangs on the subject cannot be had, and is not made up."""
    text = 'tool "t" {\n  allow "me" anyone when context.who == subject.id\n}\n'
    (two[1] / "p.authz").write_text(text)
    line = record(loaded({"p.authz": text}).program, asked(1)[0], subject="p:12")
    path = tmp_path / "log"
    path.write_text(line)
    ran = run("policy", "diff", *two, "--log", path)
    assert ran.code == 0
    assert ran.out.endswith("0 requests decided by both: 0 equal, 0 changed\n1 decision not recorded in full\n")


def test_versions_are_compared_with_each_other_and_with_files(run: Run, two: tuple[Path, Path], stored: Path) -> None:
    """Issue 3: OLD and NEW are versions, `active`, or paths."""
    assert run("policy", "diff", "1", "active", "--store", stored, "--log", stored).code == 7
    assert run("policy", "diff", "1", "active", "--log", stored).code == 7
    assert run("policy", "diff", "1", "2", "--store", stored).out == run("policy", "diff", *two).out
    none = "rules and declarations: 0 added, 0 removed, 0 changed\n"
    assert run("policy", "diff", "1", two[0], "--store", stored) == (0, none, "")


def test_bad_requests_are_named_and_the_others_decided(run: Run, two: tuple[Path, Path], tmp_path: Path) -> None:
    """Issue 3, Bad input."""
    path = write(tmp_path / "r", EVE, {"tool": 5}, EVE)
    with path.open("ab") as file:
        file.write(b"\xff\n")
    ran = run("policy", "diff", *two, "--requests", path)
    assert ran.code == 2
    assert ran.out.endswith("2 requests decided by both: 2 equal, 0 changed\n")
    assert ran.err.splitlines() == [
        "error: line 2: tool: must be a string",
        "error: line 4: request: is not valid UTF-8 at byte 1",
        "error: 2 lines could not be read and passed over",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("OLD",), 2, "missing argument"),
        (("OLD", "3"), 2, "`3` is a version: name the store that holds it with `--store`"),
        (("OLD", "/nope"), 1, "`/nope` does not exist"),
        (("OLD", "NEW", "--requests", "/nope"), 1, "`/nope` cannot be read"),
        (("OLD", "NEW", "--requests", "-", "--log", "-"), 2, "give either"),
        (("OLD", "7", "--store", "STORE"), 1, "7"),
        (("OLD", "active", "--store", "/nope"), 1, "`/nope` does not exist"),
    ],
)
def test_wrong_usage_is_one_clear_line(
    run: Run, two: tuple[Path, Path], stored: Path, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    """Issue 3, Bad input."""
    names = {"OLD": two[0], "NEW": two[1], "STORE": stored}
    ran = run("policy", "diff", *(names.get(argument, argument) for argument in arguments))
    assert (ran.code, ran.out) == (code, "")
    assert problem in ran.err
    assert ran.err.count("\n") == 1


def test_an_invalid_policy_ends_with_its_errors(run: Run, two: tuple[Path, Path]) -> None:
    """Style, exit codes: 4."""
    (two[1] / "p.authz").write_text("tool {")
    assert run("policy", "diff", *two).code == 4


def test_what_a_policy_says_cannot_move_the_cursor(run: Run, two: tuple[Path, Path]) -> None:
    """Threats: policy text may be hostile."""
    (two[1] / "p.authz").write_text('tool "t" {\n  allow public because "\\u{1b}[2J \\u{202e}"\n}\n')
    ran = run("policy", "diff", *two)
    assert ran.out.replace("\n", "").isprintable()
