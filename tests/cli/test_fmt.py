"""`authz-eval fmt` (L90)."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from authz.cli import formatting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

UGLY = '# why\ntool   "t"  {allow   public   }\n'


@pytest.fixture
def neat(run: Run) -> str:
    """Return the canonical text of UGLY."""
    return run("fmt", "-", stdin=UGLY).out


def test_stdin_is_formatted_to_stdout(run: Run) -> None:
    """Style: `-` is stdin, the answer goes to stdout; L90: comments stay."""
    ran = run("fmt", "-", stdin=UGLY)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("# why\n")
    assert 'tool "t"' in ran.out


def test_the_canonical_text_is_canonical(run: Run, neat: str) -> None:
    """L90: formatting it again gives the same text."""
    assert run("fmt", "-", stdin=neat).out == neat


def test_tests_on_stdin_are_named_as_tests(run: Run) -> None:
    """L80: test files are formatted too."""
    text = 'test   "t" { as anonymous call "t" expect allow }'
    assert run("fmt", "-", stdin=text).code == 4
    ran = run("fmt", "-", "--stdin-name", "x_test.authz", stdin=text)
    assert ran.code == 0
    assert ran.out.startswith('test "t" {')


def test_one_file_is_printed_and_left_alone(run: Run, tmp_path: Path, neat: str) -> None:
    """Issue: fmt; without an option it prints."""
    (tmp_path / "p.authz").write_text(UGLY)
    assert run("fmt", tmp_path / "p.authz") == (0, neat, "")
    assert (tmp_path / "p.authz").read_text() == UGLY


def test_several_files_are_not_printed_in_one_heap(run: Run, tmp_path: Path) -> None:
    """Style: the answer goes to stdout, and two files are no answer."""
    (tmp_path / "p.authz").write_text(UGLY)
    (tmp_path / "q.authz").write_text(UGLY)
    ran = run("fmt", tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert "use `--check`, `--diff` or `--write`" in ran.err


def test_check_names_the_files_that_would_change(run: Run, tmp_path: Path, neat: str) -> None:
    """Style: exit code 7, a difference was found."""
    (tmp_path / "a.authz").write_text(neat)
    (tmp_path / "b.authz").write_text(UGLY)
    (tmp_path / "c_test.authz").write_text('test "t"{as anonymous call "t" expect allow}')
    ran = run("fmt", "--check", tmp_path)
    assert (ran.code, ran.out) == (7, f"{tmp_path}/b.authz\n{tmp_path}/c_test.authz\n")
    assert (tmp_path / "b.authz").read_text() == UGLY
    assert run("fmt", "--check", tmp_path / "a.authz") == (0, "", "")


def test_check_sees_line_ends(run: Run, tmp_path: Path, neat: str) -> None:
    """L90: one canonical text; a CR is no part of it."""
    (tmp_path / "p.authz").write_bytes(neat.replace("\n", "\r\n").encode())
    assert run("fmt", "--check", tmp_path).code == 7


def test_diff_prints_a_unified_diff(run: Run, tmp_path: Path, neat: str) -> None:
    """Issue: fmt --diff."""
    path = tmp_path / "p.authz"
    path.write_text(UGLY.rstrip("\n"))
    ran = run("fmt", "--diff", path)
    assert ran.code == 7
    assert ran.out.startswith(f"--- a/{path}\n+++ b/{path}\n@@ ")
    assert '-tool   "t"  {allow   public   }\n\\ No newline at end of file\n' in ran.out
    added = [line[1:] for line in ran.out.splitlines()[3:] if line[0] in "+ "]
    assert "\n".join(added) + "\n" == neat
    path.write_text(neat)
    assert run("fmt", "--diff", path) == (0, "", "")


def test_write_rewrites_what_changes_and_keeps_the_mode(run: Run, tmp_path: Path, neat: str) -> None:
    """Threat: atomically, keeping the mode, touching nothing else."""
    (tmp_path / "a.authz").write_text(neat)
    (tmp_path / "b.authz").write_text(UGLY)
    (tmp_path / "b.authz").chmod(0o640)
    before = (tmp_path / "a.authz").stat().st_mtime_ns
    ran = run("fmt", "--write", tmp_path)
    assert ran == (0, f"{tmp_path}/b.authz\n", "")
    assert (tmp_path / "b.authz").read_text() == neat
    assert stat.S_IMODE((tmp_path / "b.authz").stat().st_mode) == 0o640
    assert (tmp_path / "a.authz").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.authz", "b.authz"]


def test_write_through_a_link_keeps_the_link(run: Run, tmp_path: Path, neat: str) -> None:
    """Threat: a file is rewritten, not replaced by another kind of file."""
    (tmp_path / ".store").mkdir()
    (tmp_path / ".store/p").write_text(UGLY)
    (tmp_path / "p.authz").symlink_to(".store/p")
    assert run("fmt", "--write", tmp_path).code == 0
    assert (tmp_path / "p.authz").is_symlink()
    assert (tmp_path / ".store/p").read_text() == neat


def test_nothing_is_written_where_one_file_is_broken(run: Run, tmp_path: Path) -> None:
    """Style, exit codes: 4; issue: nothing half done."""
    (tmp_path / "a.authz").write_text(UGLY)
    (tmp_path / "b.authz").write_text("tool {\n")
    (tmp_path / "c.authz").write_bytes(b"# \xff\n")
    ran = run("fmt", "--write", tmp_path)
    assert ran.code == 4
    assert f"--> {tmp_path}/b.authz:1:" in ran.err
    assert f"--> {tmp_path}/c.authz:1:3" in ran.err
    assert (tmp_path / "a.authz").read_text() == UGLY


def test_a_locked_policy_can_be_formatted(run: Run, tmp_path: Path) -> None:
    """L7 is about loading."""
    (tmp_path / "p.authz").write_text(UGLY)
    assert run("lock", tmp_path).code == 0
    assert run("fmt", "--write", tmp_path).code == 0
    assert run("fmt", "--check", tmp_path).code == 0


def test_a_formatter_that_changes_the_meaning_changes_no_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L90: parsing the canonical text gives the same tree; a defect must not cost a policy."""
    (tmp_path / "p.authz").write_text(UGLY)
    monkeypatch.setattr(formatting, "format_policy", lambda *_: 'tool "other" { allow public }\n')
    ran = run("fmt", "--write", tmp_path)
    assert ran.code == 1
    assert "left as it is" in ran.err
    assert (tmp_path / "p.authz").read_text() == UGLY


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        ((), 2, "missing argument"),
        (("--write", "-"), 2, "stdin cannot be rewritten"),
        (("/nope",), 1, "`/nope` does not exist"),
    ],
)
def test_wrong_usage_is_one_clear_line(run: Run, arguments: tuple[str, ...], code: int, problem: str) -> None:
    """Issue, Bad input."""
    ran = run("fmt", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert problem in ran.err
    assert ran.err.count("\n") == 1
