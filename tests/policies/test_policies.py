"""The example policies keep their word: each folder alone, and all of them as one policy (issue 2, Build 6)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from authz.errors import PolicyError
from authz.lang import ast
from authz.lang.formatter import format_policy
from authz.lang.parser import parse_policy, parse_tests
from authz.lang.source import Source
from authz.model import Client, Decision, Reason
from authz.pap.coverage import Coverage, measure
from authz.pap.loader import LoadedPolicy, load, load_tests
from authz.pap.scenario import Scenario, read_scenarios
from authz.pap.testing import TestReport, run_tests

ROOT: Final = Path(__file__).parents[2] / "policies"
FOLDERS: Final = ("documents", "filesystem", "secure-mcp")
FILES: Final = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.authz"))
SNAPSHOT: Final = Path(__file__).parents[1] / "data" / "filesystem_tools.json"
NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)


@cache
def _loaded(folder: str) -> LoadedPolicy:
    return load(ROOT / folder)


@cache
def _report(folder: str) -> TestReport:
    return run_tests(_loaded(folder).program, load_tests(ROOT / folder), now=NOON)


@cache
def _coverage(folder: str) -> Coverage:
    return measure(_loaded(folder).program, _report(folder).explanations)


@cache
def _scenarios(folder: str) -> tuple[Scenario, ...]:
    program = _loaded(folder).program
    return read_scenarios(load_tests(ROOT / folder), {rule.name for rule in program.outline()})


def test_every_folder_is_tested_here() -> None:
    """Issue 2: a folder that is added must not go untested."""
    assert sorted(path.name for path in ROOT.iterdir() if path.is_dir()) == sorted(FOLDERS)


@pytest.mark.parametrize("folder", [*FOLDERS, ""])
def test_a_folder_loads_and_lints_without_warnings(folder: str) -> None:
    """L10, L13, L52: an example that warns teaches a bad habit."""
    loaded = _loaded(folder)
    assert [str(warning) for warning in loaded.warnings] == []


@pytest.mark.parametrize("folder", [*FOLDERS, ""])
def test_all_tests_of_a_folder_pass(folder: str) -> None:
    """L80, S76."""
    report = _report(folder)
    assert report.results
    assert [(r.name, r.expected, r.actual) for r in report.failures] == []


@pytest.mark.parametrize("folder", [*FOLDERS, ""])
def test_the_tests_of_a_folder_reach_every_rule_and_both_outcomes_of_every_condition(folder: str) -> None:
    """Issue 2, Build 6: full tests."""
    assert _coverage(folder).uncovered == ()


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_allow_and_deny_decides_some_test(folder: str) -> None:
    """L66: a rule that is true and never decides would be covered, and of no use."""
    idle = [r.name for r in _coverage(folder).rules if r.kind in ("allow", "deny") and not r.decisive]
    assert idle == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_test_names_a_reason_or_is_an_allow(folder: str) -> None:
    """Issue 2: a denial for the wrong reason must not pass for the right one."""
    vague = [
        s.case.name.value
        for s in _scenarios(folder)
        if s.case.expectation.effect == "deny" and s.case.expectation.reason is None
    ]
    assert vague == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_test_of_an_allow_or_a_deny_names_the_rules_that_decided(folder: str) -> None:
    """L66, L80: an allow by another rule than the one meant would pass unseen."""
    vague = [
        s.case.name.value
        for s in _scenarios(folder)
        if s.case.expectation.rules is None
        and (s.case.expectation.reason.text if s.case.expectation.reason else "") in ("", "EXPLICIT_DENY")
    ]
    assert vague == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_do_not_meddle_with_each_other(folder: str) -> None:
    """L1, L23: served together they decide as alone; only the rules' names have the folder before them."""
    alone, together = _loaded(folder).program, _loaded("").program
    for scenario in _scenarios(folder):
        request = scenario.request if scenario.request.now else replace(scenario.request, now=NOON)
        expected, actual = alone.decide(request), together.decide(request)
        assert _comparable(actual) == _comparable(expected, f"{folder}/"), scenario.case.name.value


@pytest.mark.parametrize("name", FILES)
def test_a_file_stands_in_its_canonical_form(name: str) -> None:
    """L90."""
    source = Source(name, (ROOT / name).read_text(encoding="utf-8"))
    assert _formatted(source) == source.text


# --- The filesystem server ------------------------------------------------------------------


def _tools() -> dict[str, Any]:
    return {tool["name"]: tool for tool in json.loads(SNAPSHOT.read_text(encoding="utf-8"))["tools"]}


def test_the_snapshot_is_what_the_server_answered() -> None:
    """Issue 2, Build 6: arguments and annotations included, and the version that gave them."""
    snapshot = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert snapshot["_meta"]["package"] == "@modelcontextprotocol/server-filesystem"
    assert snapshot["_meta"]["version"]
    assert all({"inputSchema", "annotations"} <= tool.keys() for tool in snapshot["tools"])


@pytest.mark.parametrize("tool", _tools())
def test_each_tool_of_the_filesystem_server_is_allowed_to_somebody_and_to_nobody_without_a_scope(tool: str) -> None:
    """Issue 2, Build 6: each of its tools is reached by a rule, with arguments that the tool really has."""
    program = _loaded("filesystem").program
    asked = [s.request for s in _scenarios("filesystem") if s.request.tool == tool]
    allowed = [request for request in asked if program.decide(request).allowed]
    assert allowed
    schema = _tools()[tool]["inputSchema"]
    for request in allowed:
        assert set(schema.get("required", ())) <= request.arguments.keys() <= schema.get("properties", {}).keys()
        assert program.decide(replace(request, scopes=())).reason is Reason.INSUFFICIENT_SCOPE


def test_every_argument_that_the_filesystem_policy_names_is_one_of_the_tools() -> None:
    """Issue 2, Build 6: a misspelt argument would make every deny on it fire, and every allow fail."""
    named = _named_arguments("filesystem/filesystem.authz")
    known = {name: tool["inputSchema"] for name, tool in _tools().items()}
    for tool, fields in named.items():
        properties = known[tool]["properties"]
        required = known[tool].get("required", [])
        assert fields.keys() <= properties.keys(), tool
        assert all(optional == (name not in required) for name, optional in fields.items()), tool


@pytest.mark.parametrize("tool", [n for n, t in _tools().items() if t["annotations"].get("destructiveHint")])
def test_no_tool_that_destroys_runs_for_an_agent_alone(tool: str) -> None:
    """Issue 2, Build 6: destructive tools need more; the server itself says which they are."""
    asked = [s.request for s in _scenarios("filesystem") if s.request.tool == tool]
    program = _loaded("filesystem").program
    attended = [r for r in asked if program.decide(r).allowed and not r.arguments.get("dryRun")]
    assert attended
    for request in attended:
        alone = replace(request, client=Client("agent", {"attended": False}))
        assert program.decide(alone).reason is Reason.EXPLICIT_DENY
        assert program.decide(replace(request, client=None)).reason is Reason.INDETERMINATE


_CLIMBS: Final = (
    "/..",
    "/../secrets/db.txt",
    "/./x",
    "//x",
    "/",
    "%2f..%2fsecrets",
    "\\..\\secrets",
    "/a\x00b",
    "/a\nb",
)


@pytest.mark.parametrize("suffix", _CLIMBS)
def test_no_path_that_is_not_plain_is_allowed_to_any_tool(suffix: str) -> None:
    """L35: whatever was allowed on a path is not on the same path with something crooked at its end."""
    program = _loaded("filesystem").program
    for scenario in _scenarios("filesystem"):
        request = scenario.request
        for key in {"path", "source", "destination"} & request.arguments.keys():
            crooked = {**request.arguments, key: f"{request.arguments[key]}{suffix}"}
            assert not program.decide(replace(request, arguments=crooked)).allowed


# --- Helpers --------------------------------------------------------------------------------


def _comparable(decision: Decision, prefix: str = "") -> tuple[object, ...]:
    rules = tuple(sorted(prefix + rule for rule in decision.rules))
    bare = replace(decision, policy_revision="", rules=(), message="")
    return bare, rules


def _formatted(source: Source) -> str:
    tree: ast.PolicyFile | ast.TestFile
    tree, problems = (parse_tests if source.path.endswith("_test.authz") else parse_policy)(source)
    if problems:
        raise PolicyError(problems)
    return format_policy(source, tree)


def _named_arguments(name: str) -> dict[str, dict[str, bool]]:
    """Return for each tool the arguments that its blocks declare, and whether each is optional."""
    tree, _ = parse_policy(Source(name, (ROOT / name).read_text(encoding="utf-8")))
    groups = {d.name.text: d.patterns for d in tree.declarations if isinstance(d, ast.GroupDeclaration)}
    named: dict[str, dict[str, bool]] = {}
    for block in tree.declarations:
        if isinstance(block, ast.ToolBlock):
            fields = {field.name.text: field.optional for field in block.arguments or ()}
            for tool in _names(block.patterns, groups):
                named.setdefault(tool, {}).update(fields)
    return {tool: fields for tool, fields in named.items() if fields}


def _names(patterns: tuple[ast.Pattern, ...], groups: dict[str, tuple[ast.Pattern, ...]]) -> list[str]:
    names: list[str] = []
    for pattern in patterns:
        match pattern:
            case ast.Text():
                names.append(pattern.value)
            case ast.GroupReference():
                names += _names(groups[pattern.name.text], groups)
    return names
