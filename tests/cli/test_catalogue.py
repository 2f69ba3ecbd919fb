"""`authz-eval tools` and `scopes`: a policy seen from its tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from authz.cli.catalogue import glob, known_tools, read_tools, render_rows, scope_rows
from authz.lang.parser import parse_policy
from authz.lang.source import Source
from authz.lang.validator import validate

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.lang.checked import CheckedPolicySet
    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

SNAPSHOT = Path(__file__).parents[1] / "data/filesystem_tools.json"
POLICY = """
tool "read_*" except "read_secret" { require scope "docs:read"  allow anyone }
tool "read_secret", "read_page" { require scope any "x", "y"  allow scope "z"  deny when args.a == 1 }
tool "find" on "document" { require scope "docs:find"  allow public }
tool "find" { allow scope any "a", "b" }
tool "never" { deny }
tenant "acme" { tool "read_page" { require scope "acme:read" } tool "find" { deny } }
tenant "acme-*", "acme" { tool "export" { allow anyone } }
"""


def _checked(text: str) -> CheckedPolicySet:
    source = Source("policy.authz", text)
    tree, problems = parse_policy(source)
    assert problems == ()
    return validate([(source, tree)])


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("a*", "a", True),
        ("*", "", True),
        ("a*c", "abc", True),
        ("a*c", "ab", False),
        ("ab*bc", "abc", False),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "acb", False),
        ("**", "x", True),
        ("read_*", "read_*", True),
        ("read_a*", "read_*", False),
        ("*" * 50 + "b", "a" * 5000, False),
    ],
)
def test_a_pattern_matches_the_whole_name(pattern: str, text: str, matches: bool) -> None:  # noqa: FBT001  # a table
    """L20: `*` is any run of characters, also none; everything else is literal and case-sensitive."""
    assert glob(pattern, text) is matches


def test_the_scopes_of_every_matching_block_are_needed() -> None:
    """L21: all blocks that apply are taken together; issue: the table tool → scopes needed."""
    lines = [line.split("  ") for line in render_rows(scope_rows(_checked(POLICY), ())).splitlines()]
    table = [tuple(cell.strip() for cell in line if cell.strip()) for line in lines]
    assert table == [
        ("TOOL", "TENANT", "EVERY CALL NEEDS", "AN ALLOW ASKS FOR"),
        ("export", "acme, acme-*", "-", "-"),
        ("find", "any", "docs:find on document", "(a or b) or - on document"),
        ("never", "any", "-", "(never allowed)"),
        ("read_*", "any", "docs:read", "-"),
        ("read_page", "any", "docs:read and (x or y)", "-"),
        ("read_page", "acme", "acme:read and docs:read and (x or y)", "-"),
        ("read_secret", "any", "(x or y)", "z"),
    ]


def test_a_listed_tool_has_the_scopes_of_the_patterns_it_matches(tmp_path: Path) -> None:
    """S75; issue 2: scopes for the tools of a server."""
    (tmp_path / "tools.json").write_text('{"tools": [{"name": "read_more"}, {"name": "other"}]}')
    rows = scope_rows(_checked(POLICY), read_tools(str(tmp_path / "tools.json")))
    found = {row.tool: row for row in rows}
    assert [term.scopes for term in found["read_more"].required] == [("docs:read",)]
    assert (found["other"].required, found["other"].alternatives) == ((), ())


def test_the_known_tools_are_the_literal_ones_and_the_listed_ones() -> None:
    """Brief: literal names of the policy's patterns, and those of a tools/list answer."""
    listed = read_tools(str(SNAPSHOT))
    names = [tool.name for tool in known_tools(_checked(POLICY), listed)]
    assert names == sorted(names)
    assert {"export", "find", "never", "read_page", "read_secret", "read_file", "write_file"} <= set(names)
    assert "read_*" not in names


def test_the_hints_of_a_server_reach_the_request() -> None:
    """L30: hints of the tool; one that is not given is missing."""
    tools = {tool.name: tool for tool in read_tools(str(SNAPSHOT))}
    asked = tools["write_file"].ask({"subject": "alice"})
    snapshot = json.loads(SNAPSHOT.read_text())
    annotations = next(tool["annotations"] for tool in snapshot["tools"] if tool["name"] == "write_file")
    assert asked["tool_info"] == {
        ours: annotations[theirs]
        for theirs, ours in (
            ("readOnlyHint", "read_only"),
            ("destructiveHint", "destructive"),
            ("idempotentHint", "idempotent"),
            ("openWorldHint", "open_world"),
        )
        if theirs in annotations
    }


@pytest.mark.parametrize(
    "value",
    [[{"name": "a"}], {"tools": [{"name": "a"}]}, {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "a"}]}}],
)
def test_an_answer_may_come_with_or_without_its_envelope(value: object, tmp_path: Path) -> None:
    """Brief: a tools/list answer."""
    (tmp_path / "tools.json").write_text(json.dumps(value))
    assert [tool.name for tool in read_tools(str(tmp_path / "tools.json"))] == ["a"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "is no answer to tools/list"),
        ('{"tools": {}}', "is no answer to tools/list"),
        ('[{"title": "x"}]', "tools[0] has no name"),
        ("[1]", "tools[0] has no name"),
        ("nope", "is not valid JSON"),
        ('{"tools": [], "tools": []}', "twice"),
    ],
)
def test_a_file_that_is_no_answer_is_one_clear_line(run: Run, tmp_path: Path, text: str, problem: str) -> None:
    """Issue, Bad input."""
    (tmp_path / "tools.json").write_text(text)
    (tmp_path / "p.authz").write_text(POLICY)
    ran = run("scopes", tmp_path, "--tools", tmp_path / "tools.json")
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err


def test_scopes_are_printed_as_json(run: Run, tmp_path: Path) -> None:
    """S75; style: --format json."""
    (tmp_path / "p.authz").write_text('tool "t" on "d" { require scope any "b", "a"  allow scope "c" }')
    ran = run("scopes", tmp_path, "--format", "json")
    assert ran.code == 0
    assert json.loads(ran.out) == {
        "tools": [
            {
                "tool": "t",
                "tenants": None,
                "required": [{"mode": "any", "scopes": ["a", "b"], "on": ["d"]}],
                "alternatives": [{"mode": "all", "scopes": ["c"], "on": ["d"]}],
            }
        ]
    }


def _tools(run: Run, tmp_path: Path, *arguments: object) -> dict[str, Any]:
    (tmp_path / "p.authz").write_text(POLICY)
    ran = run("tools", tmp_path, *arguments, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    return {answer["tool"]: answer for answer in json.loads(ran.out)["tools"]}


def test_tools_says_what_a_caller_may_use(run: Run, tmp_path: Path) -> None:
    """Issue: which of the known tools a caller may use, and why not."""
    answers = _tools(run, tmp_path, "--subject", "alice", "--scope", "docs:read", "--scope", "a")
    assert {tool: answer["decision"] for tool, answer in answers.items()} == {
        "export": "DECISION_DENY",
        "find": "DECISION_ALLOW",
        "never": "DECISION_DENY",
        "read_page": "DECISION_DENY",
        "read_secret": "DECISION_DENY",
    }
    assert answers["export"]["reason"] == "REASON_UNKNOWN_TOOL"


def test_tools_asks_for_the_callers_tenant(run: Run, tmp_path: Path) -> None:
    """L24: a tenant's blocks exist for that tenant only."""
    answers = _tools(run, tmp_path, "--subject", "alice", "--tenant", "acme-eu")
    assert answers["export"]["decision"] == "DECISION_ALLOW"


def test_tools_are_printed_one_a_line(run: Run, tmp_path: Path) -> None:
    """Style: for people."""
    (tmp_path / "p.authz").write_text('tool "a" { allow public } tool "long" { require scope "s" allow anyone }')
    ran = run("tools", tmp_path, "--subject", "alice")
    assert ran.out == "ALLOW  a\nDENY   long  INSUFFICIENT_SCOPE (s)\n"


def test_tools_without_a_caller_is_a_malformed_request(run: Run, tmp_path: Path) -> None:
    """L60: the subject is empty and not marked anonymous."""
    (tmp_path / "p.authz").write_text(POLICY)
    ran = run("tools", tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert "subject: must not be empty" in ran.err
