"""Everything that README.md shows is run (style: every example in documents is run by the tests).

`python tests/project/test_readme.py` writes the answers into the page; read the difference.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = ROOT / "README.md"
FILE: Final = re.compile(r"^`([\w.]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE: Final = re.compile(r"(?<=^```console\n)(\$ .*?\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL)


def run(page: str, place: Path) -> str:
    """Return the page with what its commands print where its files stand in a folder."""
    for name, text in FILE.findall(page):
        (place / name).write_text(text, encoding="utf-8")
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"}

    def answered(match: re.Match[str]) -> str:
        command = match[1].removeprefix("$ ")
        ended = subprocess.run(
            command, shell=True, cwd=place, env=environment, check=False, capture_output=True, text=True, timeout=60
        )
        return match[1] + ended.stdout + ended.stderr

    return CONSOLE.sub(answered, page)


def test_the_front_page_shows_what_its_commands_print(tmp_path: Path) -> None:
    """Issue 2, Project: one policy, one request, one answer; the answer is the real one."""
    page = README.read_text(encoding="utf-8")
    assert len(FILE.findall(page)) == len(CONSOLE.findall(page)) == 2
    assert run(page, tmp_path) == page


def test_the_policy_of_the_front_page_is_one_to_copy(tmp_path: Path) -> None:
    """Issue 2, Project: what a newcomer copies has no errors and earns no warnings."""
    run(README.read_text(encoding="utf-8"), tmp_path)
    lint = [sys.executable, "-m", "authz.cli.eval", "lint", "notes.authz"]
    ended = subprocess.run(
        lint, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (0, "")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        README.write_text(run(README.read_text(encoding="utf-8"), Path(folder)), encoding="utf-8")
