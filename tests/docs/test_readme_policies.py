"""Everything that `policies/README.md` shows is run (style: every example in documents is run by the tests).

`python tests/docs/test_readme_policies.py` writes the answers into the page; read the difference.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "policies" / "README.md"
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REVISION: Final = re.compile(r"^  policy revision: [0-9a-f]{64}\n", re.MULTILINE)
_FILE: Final = re.compile(r"# ([\w-]+/[\w-]+\.authz)\n")


class Example(NamedTuple):
    """One command and the text it prints, to the last line."""

    section: str
    command: str
    expected: str


def _files() -> dict[str, str]:
    blocks = [text for kind, text in _BLOCK.findall(README.read_text(encoding="utf-8")) if kind == "authz"]
    named = [(_FILE.match(text), text) for text in blocks]
    return {match[1]: text for match, text in named if match}


def _examples() -> list[Example]:
    examples: list[Example] = []
    for section in README.read_text(encoding="utf-8").split("\n## "):
        title = section.split("\n", 1)[0]
        for kind, text in _BLOCK.findall(section):
            if kind == "console":
                commands = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
                examples += [Example(title, *part.split("\n", 1)) for part in commands]
    return examples


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save every policy of the page where its comment says, beside a copy of the examples."""
    place = tmp_path_factory.mktemp("readme")
    _save_files(place)
    return place


def _save_files(place: Path) -> None:
    for name, text in _files().items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    shutil.copytree(README.parent, place / "policies")


def _answers(place: Path) -> list[Example]:
    """Run the commands in their order; `echo $?` is the exit code of the one before.

    The page says that it shows the policy's revision only once: 64 digits teach no more twice.
    """
    code = 0
    answers: list[Example] = []
    for example in _examples():
        if example.command == "echo $?":
            text = f"{code}\n"
        else:
            code, text = _run(example.command, place)
        answers.append(example._replace(expected=_REVISION.sub("", text) if answers else text))
    return answers


def _run(command: str, place: Path) -> tuple[int, str]:
    words = shlex.split(command)
    assert words[0] == "authz-eval", command
    start = [sys.executable, "-c", "from authz.cli.eval import main; main(prog_name='authz-eval')"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run(
        [*start, *words[1:]],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout, done.stdout
    return done.returncode, done.stdout


def test_every_command_of_the_page_prints_what_the_page_shows(workplace: Path) -> None:
    """Issue 2: README and docs examples are executed."""
    assert _answers(workplace) == _examples()


def test_every_policy_of_the_page_has_a_file_name_and_a_command(workplace: Path) -> None:
    """A block that nothing asks teaches nothing, and would not be noticed when it breaks."""
    text = README.read_text(encoding="utf-8")
    assert len(_files()) == text.count("```authz\n")
    commands = " ".join(example.command for example in _examples())
    for name in _files():
        assert f" {name.split('/')[0]}" in commands


@pytest.mark.parametrize("name", [name for name in _files() if not name.startswith("typo/")])
def test_every_policy_of_the_page_stands_in_its_canonical_form(name: str, workplace: Path) -> None:
    """L90: a page that teaches the language shows its one form."""
    assert _run(f"authz-eval fmt --check {name}", workplace) == (0, "")


def test_every_command_that_the_reader_learns_is_shown() -> None:
    """Issue 2, Build 6: the page teaches the language and the commands one needs for it."""
    verbs = {example.command.split()[1] for example in _examples() if example.command.startswith("authz-eval")}
    assert verbs >= {"check", "explain", "validate", "test", "fmt"}


def test_every_example_has_an_answer() -> None:
    """A command that shows nothing says nothing, except `fmt --check` where all is well."""
    silent = [e.command for e in _examples() if not e.expected.strip() and " fmt " not in e.command]
    assert silent == []


def test_the_page_says_one_sentence_a_line() -> None:
    """Style: one sentence per line in Markdown, so that a change shows as what it is."""
    prose = _BLOCK.sub("", README.read_text(encoding="utf-8"))
    double = [line for line in prose.splitlines() if not line.startswith("|") and re.search(r"[.?!] [A-Z]", line)]
    assert double == []


def _rewrite() -> None:
    with tempfile.TemporaryDirectory() as place:
        _save_files(Path(place))
        answers = iter(_answers(Path(place)))
    text = README.read_text(encoding="utf-8")

    def answered(block: re.Match[str]) -> str:
        if block[1] != "console":
            return block[0]
        commands = [next(answers) for _ in re.findall(r"^\$ ", block[2], flags=re.MULTILINE)]
        return "```console\n" + "".join(f"$ {a.command}\n{a.expected}" for a in commands) + "```"

    README.write_text(_BLOCK.sub(answered, text), encoding="utf-8")


if __name__ == "__main__":
    _rewrite()
