"""The filesystem server from npm behind a guarding proxy, run by one command, shows what it promises (item 7)."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.npm import environment, installed, node

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).resolve().parents[2]
RUN: Final = ROOT / "examples" / "mcp" / "run.py"
PACKAGES: Final = ROOT / "tests" / "mcp" / "npm"
SERVER: Final = "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js"

READING: Final = "read_file, read_text_file, read_media_file, read_multiple_files, write_file, edit_file"
LISTING: Final = "create_directory, list_directory, list_directory_with_sizes, directory_tree"
REST: Final = "search_files, get_file_info, list_allowed_directories"


@cache
def walked() -> dict[str, list[str]]:
    """Return what each step of the walk was answered, by the line that says what is done."""
    started = environment(FILESYSTEM_SERVER=f"{node()} {installed(PACKAGES) / SERVER}")
    command = [sys.executable, str(RUN), "filesystem", "--any-ports"]
    ended = subprocess.run(command, env=started, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr
    steps: dict[str, list[str]] = {}
    answers: list[str] = []
    for line in ended.stdout.splitlines():
        if line.startswith("    "):
            answers.append(line.strip())
        else:
            answers = steps.setdefault(line.strip(), [])
    return steps


def denied(step: str) -> str:
    """Return why a step was denied."""
    (answer,) = walked()[step]
    code, _, reason = answer.partition(": ")
    assert code == "denied (-32001)"
    return reason


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("reads her notes", "Buy milk."),
        ("reads what all of acme share", "Three products."),
        ("reads what all of globex share", "Globex met on Tuesday."),
    ],
)
def test_what_is_theirs_is_read(step: str, text: str) -> None:
    """Issue 5, item 7: allowed, and done by the server behind the proxy."""
    assert walked()[step] == [text]


@pytest.mark.parametrize("step", ["reads bob's diary", "reads a report of another tenant", "reads what alice shared"])
def test_what_is_of_others_is_denied(step: str) -> None:
    """Issue 5, item 7, S71: other people's, and other tenants'."""
    assert denied(step) == "no rule allows this; the nearest is filesystem:read-home"


def test_secrets_are_denied_to_those_whose_they_are() -> None:
    """Issue 5, item 7: files that no tool may read."""
    assert denied("reads secrets") == "Secrets are not read through file tools"
    assert denied("reads her keys") == "Key files are not read through file tools"
    assert denied("shares her keys under another name") == "Key files are not moved"


def test_a_detour_leads_nowhere() -> None:
    """Issue 5, item 7: `..` in a path is denied, wherever it leads, and nobody tidies it up."""
    assert "is not a normal path" in denied("reads it by a detour")


def test_lists_are_filtered_for_each_caller() -> None:
    """Issue 5, item 3: what no scope would open is not there; the directory says who moves files."""
    lists = [line for line in walked() if line.startswith("sees ")]
    assert lists == [
        f"sees {READING}, {LISTING}, move_file, {REST}",
        f"sees {READING}, {LISTING}, {REST}",
    ]
    assert denied("moves a file, with a tool that her list leaves out") == "requires role file_editor"


def test_a_client_steps_up_and_the_file_is_written() -> None:
    """Issue 5, item 4: 403, a token with more scopes, and the call is made; its text is no matter of the guard's."""
    token, written = walked()["writes a file: her client steps up"]
    assert token == "(a token with: files:read files:write)"
    assert written.startswith("Successfully wrote to ")
    (moved,) = walked()["shares it"]
    assert moved.startswith("Successfully moved ")
