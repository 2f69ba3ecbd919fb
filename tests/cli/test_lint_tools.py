"""`authz-eval lint --tools`: a policy against a server's real catalogue."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

ROOT = Path(__file__).parents[2]
SNAPSHOT = ROOT / "tests/data/filesystem_tools.json"
POLICY = 'tool "read_fiel" {\n  allow anyone\n}\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work beside a policy with a slip, and a catalogue."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.authz").write_text(POLICY)
    (tmp_path / "tools.json").write_text(
        '{"tools": [\n  {"name": "read_file", "annotations": {"readOnlyHint": true}}\n]}'
    )
    return tmp_path


def test_a_policy_that_fits_its_server_ends_with_0(run: Run) -> None:
    """Issue 5, 5: `lint --tools tools.json`; style, exit codes."""
    assert run("lint", ROOT / "policies/filesystem", "--tools", SNAPSHOT) == (0, "", "")


def test_what_does_not_fit_is_shown_at_its_place_and_ends_with_7(run: Run, place: Path) -> None:
    """Issue 5, 5: spans into the policy where there is a place, else at the line of the catalogue."""
    ran = run("lint", "p.authz", "--tools", "tools.json")
    assert (ran.code, ran.err) == (7, "\n2 warnings\n")
    assert ran.out.splitlines() == [
        "warning[unmatched-tool-pattern]: no tool of the catalogue matches `read_fiel`",
        "  --> p.authz:1:6",
        "   |",
        ' 1 | tool "read_fiel" {',
        "   |      ^^^^^^^^^^^",
        "   = help: did you mean `read_file`?",
        "",
        "warning[unreached-tool]: no block is about `read_file`, so it is denied to everyone",
        "  --> tools.json:2:12",
        "   |",
        ' 2 |   {"name": "read_file", "annotations": {"readOnlyHint": true}}',
        "   |            ^^^^^^^^^^^",
        '   = help: say who may call it, or that nobody may: `tool "read_file" { deny }`',
    ]


def test_findings_are_printed_as_json(run: Run, place: Path) -> None:
    """Style: --format json, the shape of every other finding."""
    ran = run("lint", "p.authz", "--tools", "tools.json", "--format", "json")
    assert ran.code == 7
    answer = json.loads(ran.out)
    assert [(d["code"], d["file"], d["line"]) for d in answer["diagnostics"]] == [
        ("unmatched-tool-pattern", "p.authz", 1),
        ("unreached-tool", "tools.json", 2),
    ]


def test_a_catalogue_may_come_on_stdin(run: Run, place: Path) -> None:
    """Style: `-` is stdin."""
    ran = run("lint", "p.authz", "--tools", "-", stdin=(place / "tools.json").read_bytes())
    assert ran.code == 7
    assert "--> -:2:12" in ran.out


def test_without_a_catalogue_lint_is_as_it_was(run: Run, place: Path) -> None:
    """Issue 2: lint."""
    assert run("lint", "p.authz") == (0, "", "")


@pytest.mark.parametrize(
    ("text", "code", "problem"),
    [
        (None, 1, "`none.json` cannot be read: no such file or directory"),
        ("{}", 2, "`none.json` is no answer to tools/list"),
        ('[{"name": "a"}, {"name": "a"}]', 2, "`none.json` names the tool `a` twice"),
        ('{"tools": [7]}', 2, "`none.json`: tools[0] has no name"),
        ("[" * 1_000, 2, "nests deeper than 64 levels"),
    ],
)
def test_a_file_that_is_no_catalogue_is_one_clear_line(
    run: Run, place: Path, text: str | None, code: int, problem: str
) -> None:
    """Issue 5, 5: hostile catalogues; the exit codes are those of `tools` and `scopes` for the same file."""
    if text is not None:
        (place / "none.json").write_text(text)
    ran = run("lint", "p.authz", "--tools", "none.json")
    assert (ran.code, ran.out) == (code, "")
    assert problem in ran.err
    assert len(ran.err.splitlines()) == 1


def test_an_invalid_policy_is_reported_before_its_tools(run: Run, place: Path) -> None:
    """Style, exit codes: 4."""
    (place / "p.authz").write_text("tool {")
    ran = run("lint", "p.authz", "--tools", "tools.json")
    assert (ran.code, ran.out) == (4, "")


def test_a_name_that_would_move_the_cursor_is_shown_escaped(run: Run, place: Path) -> None:
    """Threats: a catalogue is somebody else's text, and findings are printed on a terminal."""
    (place / "tools.json").write_text('[{"name": "a\\u202eb\\u001b[2J"}]')
    assert "\x1b" not in run("lint", "p.authz", "--tools", "tools.json").err
    (place / "tools.json").write_text('[{"name": "a\u202eb"}]')
    ran = run("lint", "p.authz", "--tools", "tools.json")
    assert "a\\u{202e}b" in ran.out
    assert "\u202e" not in ran.out


def test_the_slip_that_this_is_for(run: Run, place: Path) -> None:
    """Issue 5, 5: one misspelt letter in a policy for a real server."""
    shutil.copytree(ROOT / "policies/filesystem", place / "filesystem")
    file = place / "filesystem/filesystem.authz"
    file.write_text(file.read_text().replace('tool "move_file" (source: string', 'tool "moev_file" (source: string'))
    ran = run("lint", "filesystem", "--tools", SNAPSHOT, "--format", "json")
    codes = {d["code"]: d["help"] for d in json.loads(ran.out)["diagnostics"]}
    assert codes["unmatched-tool-pattern"] == "did you mean `move_file`?"
    assert set(codes) == {"unmatched-tool-pattern", "unreached-tool"}
