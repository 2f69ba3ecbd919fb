"""`authz-eval init`: a first policy for the tools of a server."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from authz.cli import init, lint

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.cli.failures import Command
    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

ROOT = Path(__file__).parents[2]
SNAPSHOT = ROOT / "tests/data/filesystem_tools.json"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_written_passes_everything_a_policy_can_pass(run: Run) -> None:
    """Issue 5, 5: it passes lint with its catalogue, `fmt --check`, and its own tests, which cover every rule."""
    ran = run("init", "new", "--tools", SNAPSHOT)
    assert (ran.code, ran.out) == (0, "new/tools.authz: 7 rules for 14 tools\nnew/tools_test.authz: 12 tests\n")
    assert "authz-eval test" in ran.err
    assert run("lint", "new", "--tools", SNAPSHOT) == (0, "", "")
    assert run("fmt", "--check", "new").code == 0
    assert run("test", "new", "--fail-under", "100").code == 0


def test_the_folder_is_policies_unless_another_is_named(run: Run, workplace: Path) -> None:
    """Issue 5, 5: `init [FOLDER]`."""
    assert run("init", "--tools", SNAPSHOT).code == 0
    assert sorted(path.name for path in (workplace / "policies").iterdir()) == ["tools.authz", "tools_test.authz"]


def test_an_empty_folder_and_the_folders_above_a_new_one_will_do(run: Run, workplace: Path) -> None:
    """Issue 5, 5: the folder is empty or new."""
    (workplace / "empty").mkdir()
    assert run("init", "empty", "--tools", SNAPSHOT).code == 0
    assert run("init", "a/b/c", "--tools", SNAPSHOT).code == 0


def test_nothing_is_ever_overwritten(run: Run, workplace: Path) -> None:
    """Issue 5, 5: refused with a clear text, and what was there stays as it was."""
    folder = workplace / "mine"
    folder.mkdir()
    (folder / "tools.authz").write_text("# mine\n")
    ran = run("init", "mine", "--tools", SNAPSHOT)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: `mine` is not empty; name a new folder: nothing is ever overwritten\n"
    assert [path.name for path in folder.iterdir()] == ["tools.authz"]
    assert (folder / "tools.authz").read_text() == "# mine\n"
    (folder / "tools.authz").rename(folder / ".hidden")
    assert run("init", "mine", "--tools", SNAPSHOT).code == 1


def test_a_file_is_no_folder(run: Run, workplace: Path) -> None:
    """Style, exit codes: 1."""
    (workplace / "file").write_text("")
    ran = run("init", "file", "--tools", SNAPSHOT)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: `file` cannot be written to: not a directory\n"


def test_nothing_is_written_for_a_catalogue_that_is_refused(run: Run, workplace: Path) -> None:
    """Issue 5, 5: hostile catalogues, and tools that a policy cannot name."""
    for text in ("[]", "{}", '[{"name": "a*"}]', '[{"name": "a"}, {"name": "a"}]', '[{"name": "a\\nb"}]'):
        (workplace / "tools.json").write_text(text)
        ran = run("init", "new", "--tools", "tools.json")
        assert (ran.code, ran.out) == (2, ""), text
        assert len(ran.err.splitlines()) == 1
        assert not (workplace / "new").exists()
    assert run("init", "new", "--tools", "gone.json").code == 1
    assert not (workplace / "new").exists()


def test_a_catalogue_too_large_for_one_file_is_refused_whole(run: Run, workplace: Path) -> None:
    """L6; issue 5: what is written can be loaded."""
    tools = [{"name": f"{n:04}{'x' * 900}", "annotations": {"readOnlyHint": True}} for n in range(1_300)]
    (workplace / "tools.json").write_text(json.dumps(tools))
    ran = run("init", "new", "--tools", "tools.json")
    assert (ran.code, ran.out) == (4, "")
    assert "file-too-large" in ran.err
    assert not (workplace / "new").exists()


def test_without_tools_there_is_nothing_to_write(run: Run) -> None:
    """Issue 5, 5: rules for tools that nobody has would be an example, and policies/ has examples."""
    ran = run("init", "new")
    assert (ran.code, ran.out) == (2, "")
    assert "`--tools`" in ran.err


def test_scopes_start_with_what_is_asked_for(run: Run, workplace: Path) -> None:
    """Issue 5, 5: `--scope-prefix`."""
    assert run("init", "new", "--tools", SNAPSHOT, "--scope-prefix", "files").code == 0
    text = (workplace / "new/tools.authz").read_text()
    assert 'scope "files:write" implies "files:read"' in text
    assert 'role "files_operator"' in text
    ran = run("init", "other", "--tools", SNAPSHOT, "--scope-prefix", 'x" implies "y')
    assert (ran.code, ran.out) == (2, "")
    assert "`--scope-prefix` takes letters" in ran.err


def test_what_was_written_is_said_as_json(run: Run) -> None:
    """Style: --format json."""
    ran = run("init", "new", "--tools", SNAPSHOT, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {
        "files": ["new/tools.authz", "new/tools_test.authz"],
        "tools": 14,
        "rules": 7,
        "tests": 12,
    }


def test_the_catalogue_may_come_on_stdin(run: Run) -> None:
    """Style: `-` is stdin."""
    assert run("init", "new", "--tools", "-", stdin=SNAPSHOT.read_bytes()).code == 0


@pytest.mark.parametrize("command", [init.main, lint.main])
def test_the_examples_of_the_help_work_as_pasted(run: Run, workplace: Path, command: Command) -> None:
    """Style, Command line: one line, verb first, and an example that works."""
    shutil.copytree(ROOT / "policies", workplace / "policies")
    shutil.copy(SNAPSHOT, workplace / "tools.json")
    program, *arguments = shlex.split(command.example)
    assert program == "authz-eval"
    assert run(*arguments).code == 0
    assert len(command.get_short_help_str(limit=200)) <= 60
