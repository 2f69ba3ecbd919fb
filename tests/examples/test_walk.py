"""The examples of guarded MCP servers run by one command, and their walk shows what it promises (issue 5, item 7)."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
RUN: Final = ROOT / "examples" / "mcp" / "run.py"

ON_THE_SDK: Final = "sdk"
ON_FASTMCP: Final = pytest.param("fastmcp", marks=pytest.mark.slow)


@cache
def walked(server: str) -> dict[str, list[str]]:
    """Return what each step of the walk was answered, by the line that says what is done."""
    ended = subprocess.run(
        [sys.executable, RUN, server, "--any-ports"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr
    steps: dict[str, list[str]] = {}
    answers: list[str] = []
    for line in ended.stdout.splitlines():
        if line.startswith("    "):
            answers.append(line.strip())
        else:
            answers = steps.setdefault(line.strip(), [])
    return steps


both = pytest.mark.parametrize("server", [ON_THE_SDK, ON_FASTMCP])


@both
def test_what_is_allowed_is_answered(server: str) -> None:
    """Issue 5, item 7: allowed; and a tool knows who calls it (S8, S107)."""
    steps = walked(server)
    (listed,) = steps["lists the documents of his tenant"]
    assert "menu" in listed
    assert "plan" in listed
    assert "notes" not in listed
    (read,) = steps["reads the menu, which is his"]
    assert "Soup on Mondays." in read


@both
def test_the_list_leaves_out_what_no_scope_would_open(server: str) -> None:
    """Issue 5, item 7: a filtered list; what more scopes would open is there, so that the client can step up."""
    assert "sees list_documents, read_document, write_document, delete_document" in walked(server)


@both
def test_a_tool_for_others_is_denied(server: str) -> None:
    """Issue 5, item 7: denied, though its name is guessed."""
    assert walked(server)["counts all documents, with a tool that his list leaves out"] == [
        "denied (-32001): requires role operator"
    ]


@both
def test_a_field_is_left_out_of_a_result(server: str) -> None:
    """Issue 5, item 6: redact fields of a result."""
    (read,) = walked(server)["reads a confidential plan: the text is left out"]
    assert "Plan for the year" in read
    assert "Three products" not in read
    assert "body" not in read


@both
def test_a_document_of_another_tenant_is_denied(server: str) -> None:
    """S70, S71: the tenant of the resource must be the token's."""
    assert walked(server)["reads notes of another tenant"] == [
        "denied (-32001): the resource belongs to another tenant"
    ]


@both
def test_a_client_steps_up_and_the_call_is_made(server: str) -> None:
    """Issue 5, item 4; S107: the SDK's own client: first 403, a new token, then the answer."""
    assert walked(server)["writes it: her client steps up"] == [
        "(a token with: documents:read documents:write)",
        "written",
    ]


@both
def test_the_user_is_asked_before_something_is_deleted(server: str) -> None:
    """Issue 5, item 6: approval by elicitation."""
    assert walked(server)["deletes it: she is asked"] == [
        "(asked: Allow the call of `delete_document`? Delete this document for good?)",
        "deleted",
    ]


@both
def test_whoever_calls_too_often_has_to_wait(server: str) -> None:
    """Issue 5, item 7: rate-limited (R16)."""
    assert walked(server)["calls too often"] == ["denied (-32001): too many calls: wait before the next"]
