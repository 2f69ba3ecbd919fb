"""A policy against a catalogue: each finding, where it is made, and where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz.pap.catalogue.fitting import fit
from authz.pap.catalogue.tools import read_catalogue
from authz.pap.loader import load
from tests.pap.catalogues import READS, WRITES, findings, found, tool

ROOT = Path(__file__).parents[2]
SNAPSHOT = ROOT / "tests/data/filesystem_tools.json"

READ = tool("read_file", {"path": {"type": "string"}, "tail": {"type": "number"}}, **READS)
LIST = tool("list_files", {"path": {"type": "string"}, "sort": {"enum": ["name", "size"]}}, **READS)
MAKE = tool("make_folder", {"path": {"type": "string"}}, **WRITES)
DELETE = tool("delete_file", {"path": {"type": "string"}})
OPEN = tool("anything", {"type": "object"}, **READS)


def test_the_policy_for_a_real_server_fits_it() -> None:
    """Issue 5, 5: a policy written with care for a server's real catalogue raises no false alarm."""
    loaded = load(ROOT / "policies/filesystem")
    assert fit(loaded.checked, read_catalogue(SNAPSHOT.read_bytes(), "tools.json")) == ()


# --- Patterns -------------------------------------------------------------------------------


def test_a_pattern_that_matches_no_tool_is_found_wherever_it_stands() -> None:
    """Issue 5, 5: tool patterns that match nothing — of a block, an `except`, a group, a tenant's block."""
    text = """
    tools reading = "read_file", "raed_*"
    tool @reading, "lsit_files" except "read_secret" { allow anyone }
    tenant "acme" { tool "export_*" { deny } }
    """
    assert {about for code, about in findings(text, READ) if code == "unmatched-tool-pattern"} == {
        '"raed_*"',
        '"lsit_files"',
        '"read_secret"',
        '"export_*"',
    }


@pytest.mark.parametrize(
    ("pattern", "help_"), [("raed_file", "did you mean `read_file`?"), ("raed_*", "did you mean `read_*`?")]
)
def test_a_near_name_is_offered(pattern: str, help_: str) -> None:
    """L5: a near name where one exists."""
    assert help_ in {one.help for one in found(f'tool "{pattern}" {{ allow anyone }}', READ, LIST)}


def test_rules_about_mcp_methods_match_what_no_catalogue_lists() -> None:
    """Issue 5, 5: guards ask about reads of resources and prompts by their methods."""
    text = 'tool "resources/*", "prompts/get" { allow anyone } tool "read_file" { allow anyone }'
    assert findings(text, READ) == set()


# --- Reach ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no block is about `read_file`"),
        ('tool "read_*" except "read_file" { allow anyone }', "no block is about `read_file`"),
        ('tool "read_file" { require role "r" }', "no rule allows a call of `read_file`"),
        ('tool "read_file" { deny role "r" }', "no rule allows a call of `read_file`"),
        ('tool "read_file" { deny when args.path == "x" }', "no rule allows a call of `read_file`"),
        ('tool "read_file" { deny }', ""),
        ('tool "read_*" { allow role "r" }', ""),
        ('tenant "acme" { tool "read_file" { allow anyone } }', ""),
        ('tool "read_file" on "file" { allow anyone }', ""),
    ],
)
def test_a_tool_that_nobody_may_call_is_found(text: str, problem: str) -> None:
    """Issue 5, 5: tools that no rule reaches, unless the policy says that this is meant."""
    unreached = [one for one in found(text, READ) if one.code == "unreached-tool"]
    assert [one.message.partition(",")[0] for one in unreached] == ([problem] if problem else [])
    assert all(one.source.slice(one.span) == '"read_file"' for one in unreached)


# --- Destructive tools ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ('tool "*" { allow anyone }', False),
        ('tool "*" { require scope "s" allow anyone }', False),
        ('tool "delete_file" { allow role "r" } tool "read_file" { allow anyone }', False),
        ('tool "*" { allow anyone } tool "read_file" { require role "r" }', False),
        ('tool "*" { allow anyone } tool "delete_*" { require role "r" }', True),
        ('tool "*" { allow anyone } tool "delete_*" { require scope "s" }', True),
        ('tool "*" { allow anyone } tool "delete_file" { require when context.mfa }', True),
        ('tool "*" { allow anyone } tool "delete_file" { deny unless context.mfa }', True),
        ('tool "*" { allow anyone } tool "*" except "read_*" { require role "r" }', True),
        ('tool "*" { allow anyone } tool "delete_file" on "file" { require role "r" }', False),
        ('tool "*" on "file" { allow anyone } tool "delete_file" on "file", "x" { require role "r" }', True),
        ('tool "*" { allow anyone } tenant "acme" { tool "delete_file" { require role "r" } }', False),
        ('tenant "acme" { tool "*" { allow anyone } tool "delete_file" { require role "r" } }', True),
        ('tenant "a" { tool "*" { allow anyone } } tenant "b" { tool "delete_file" { deny } }', False),
        ('tenant "a" { tool "*" { allow anyone } } tool "delete_file" { deny when context.frozen }', True),
        ('tool "read_file" { allow anyone } tool "delete_file" { require role "r" }', True),
    ],
)
def test_a_destructive_tool_needs_a_guard_of_its_own(text: str, guarded: bool) -> None:  # noqa: FBT001  # a table
    """Issue 5, 5; R21, S54: no hint at all counts as destructive; what holds for every tool alike is no guard."""
    codes = {code for code, _ in findings(text, READ, DELETE)}
    assert ("unguarded-destructive-tool" not in codes) is guarded


def test_only_tools_that_may_destroy_need_a_guard() -> None:
    """R21: a tool that reads, or whose server says that it destroys nothing, needs none."""
    assert findings('tool "*" { allow anyone }', READ, MAKE) == set()


def test_where_every_tool_is_destructive_a_guard_that_names_it_is_its_own() -> None:
    """Issue 5, 5: the catalogue of one tool."""
    assert findings('tool "delete_file" { require role "r" allow anyone }', DELETE) == set()


def test_the_allow_and_the_tool_are_both_shown() -> None:
    """L5: spans into the policy where there is a place, and what the server says of the tool."""
    (one,) = found('tool "*" { allow "all" anyone }', READ, DELETE)
    assert one.source.slice(one.span) == 'allow "all" anyone'
    (related,) = one.related
    assert (related.source.slice(related.span), related.source.path) == ('"delete_file"', "tools.json")


# --- Arguments ------------------------------------------------------------------------------

FILES = (READ, LIST, MAKE)


def _about(text: str, code: str, *tools: dict[str, object]) -> set[str]:
    return {about for found_code, about in findings(text, *(tools or FILES)) if found_code == code}


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ('tool "read_file" (path: string, pth: string) { allow when args.path == args.pth }', {"pth"}),
        ('tool "read_file" { allow when args.pth == "x" }', {"args.pth"}),
        ('tool "read_file" { deny when args has pth }', {"args has pth"}),
        ('tool "read_file" { allow when args["pth"] == "x" }', {'args["pth"]'}),
        ('tool "read_file" { allow when "{args.pth}" == "x" }', set()),
        ('tool "read_file" { allow when subject.id like "{args.pth}*" }', {'"{args.pth}*"'}),
        ('let p = args.pth tool "read_file" { allow when p == "x" }', {"args.pth"}),
        ('tool "*" { allow when args.tail == 1 }', set()),
        ('tool "*" { allow when args.sort == "name" }', set()),
        ('tool "read_file" { allow when args[subject.id] == "x" }', set()),
        ('tool "read_file" { allow when args.path.name == "x" }', {"args.path.name"}),
        ('role "r" when args.path == "x" tool "read_file" { allow role "r" }', set()),
        ('role "r" when args.pth == "x" tool "read_file" { allow role "r" }', {"args.pth"}),
        ('tool "raed_file" (pth: string) { allow when args.pth == "x" }', set()),
    ],
)
def test_an_argument_that_no_tool_has_is_found(text: str, unknown: set[str]) -> None:
    """Issue 5, 5: `args.x` where no tool that the block matches has it."""
    assert _about(text, "schema-unknown-argument") == unknown


def test_a_schema_that_lets_in_anything_has_every_argument() -> None:
    """Issue 5, 5: unknown is not absent."""
    assert findings('tool "anything" (x: string) { allow when args.x == "y" }', OPEN) == set()
    assert findings('tool "bare" { deny when args.x == 5 } tool "*" { allow anyone }', tool("bare", **READS)) == set()


NESTED = tool(
    "edit",
    {
        "type": "object",
        "properties": {
            "options": {
                "type": "object",
                "properties": {"dry": {"type": "boolean"}, "mode": {"$ref": "#/$defs/mode"}},
                "required": ["dry"],
            },
            "paths": {"type": "array", "items": {"type": "string"}},
            "level": {"type": ["integer", "null"]},
        },
        "required": ["options", "paths"],
        "$defs": {"mode": {"enum": ["fast", "safe"]}},
    },
    **READS,
)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('tool "edit" (options: { dry: string }) { allow anyone }', {"string"}),
        ('tool "edit" (options: { dry: bool, mode?: "fast" }) { allow anyone }', set()),
        ('tool "edit" (options: set<string>) { allow anyone }', {"set<string>"}),
        ('tool "edit" (paths: set<number>) { allow anyone }', {"set<number>"}),
        ('tool "edit" (paths: string) { allow anyone }', {"string"}),
        ('tool "edit" (level?: number) { allow anyone }', set()),
        ('tool "edit" (level?: duration) { allow anyone }', {"duration"}),
        ('tool "edit" { allow when args.options.dry }', set()),
        ('tool "edit" { allow when not args.paths }', {"args.paths"}),
        ('tool "edit" { allow when args.options.dry == "true" }', {"args.options.dry"}),
        ('tool "edit" { allow when args.level == "1" }', {"args.level"}),
        ('tool "edit" { allow when args.level in 1..3 }', set()),
        ('tool "edit" { allow when args.level < 3 and args.options.mode < 3 }', {"args.options.mode"}),
        ('tool "edit" { allow when args.options.mode in [1, 2] }', {"args.options.mode"}),
        ('tool "edit" { allow when "x" in args.paths }', set()),
        ('tool "edit" { allow when 1 in args.paths }', {"args.paths"}),
        ('tool "edit" { allow when args.paths subset of [1] }', {"args.paths"}),
        ('tool "edit" { allow when args.paths subset of ["a"] }', set()),
        ('tool "edit" { allow when args.paths under "/srv" }', {"args.paths"}),
        ('tool "edit" { allow when args.level like "1*" }', {"args.level"}),
        ('tool "edit" { allow when subject.id like "{args.level}" }', {'"{args.level}"'}),
        ('tool "edit" { allow when args.level matches "1" }', {"args.level"}),
        ('tool "edit" { allow when lower(args.level) == "1" }', {"args.level"}),
        ('tool "edit" { allow when size(args.paths) == 1 }', set()),
        ('tool "edit" { allow when args.options.mode + 1 == 2 }', {"args.options.mode"}),
        ('tool "edit" { allow when (args.level ?? "1") == "1" }', {"args.level"}),
        ('tool "edit" { allow when args.options == "x" }', {"args.options"}),
    ],
)
def test_an_argument_of_another_type_is_found(text: str, wrong: set[str]) -> None:
    """Issue 5, 5: arguments compared at the wrong type by their JSON Schema."""
    assert _about(text, "schema-type-mismatch", NESTED) == wrong


def test_one_tool_of_another_type_is_enough_to_warn() -> None:
    """L51: for that tool a deny would fire on every call, and an allow never apply."""
    number, text = (tool(name, {"id": {"type": kind}}, **READS) for name, kind in (("a", "number"), ("b", "string")))
    (one,) = found('tool "*" { allow anyone deny when args.id == 5 }', number, text)
    assert (one.code, "`b`" in one.message, "`a`" in one.message) == ("schema-type-mismatch", True, False)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('tool "edit" { allow when args.options.mode == "fast" }', set()),
        ('tool "edit" { allow when args.options.mode == "slow" }', {"args.options.mode"}),
        ('tool "edit" { allow when args.options.mode != "slow" }', {"args.options.mode"}),
        ('tool "edit" { allow when args.options.mode in ["fast", "slow"] }', {"args.options.mode"}),
        ('tool "edit" (options: { mode?: "fast" | "slow" }) { allow anyone }', {'"slow"'}),
        ('tool "edit" { allow when args.paths == ["x"] }', set()),
    ],
)
def test_a_text_that_the_schema_never_holds_is_found(text: str, wrong: set[str]) -> None:
    """Issue 5, 5: comparing with a text that the enum never holds."""
    assert _about(text, "schema-value-mismatch", NESTED) == wrong


def test_a_text_that_some_tool_may_hold_is_fine() -> None:
    """Issue 5, 5: one comparison for several tools."""
    other = tool("list_tables", {"sort": {"enum": ["rows"]}}, **READS)
    assert _about('tool "list_*" { deny when args.sort == "rows" }', "schema-value-mismatch", LIST, other) == set()


@pytest.mark.parametrize(
    ("condition", "warned"),
    [
        ("args.level == 1", True),
        ('args.options.mode == "fast"', True),
        ("args.options.dry", False),
        ("args has level and args.level == 1", False),
        ("(args.level ?? 1) == 1", False),
    ],
)
def test_an_allow_that_reads_what_may_be_left_out_is_found(condition: str, warned: bool) -> None:  # noqa: FBT001  # a table
    """L51: the allow does not apply where the argument is missing, which a server's default may hide."""
    assert bool(_about(f'tool "edit" {{ allow when {condition} }}', "schema-optional-argument", NESTED)) is warned
    assert _about(f'tool "edit" {{ allow anyone deny when {condition} }}', "schema-optional-argument", NESTED) == set()


# --- All together ---------------------------------------------------------------------------


def test_findings_are_sorted_and_each_is_made_once() -> None:
    """L5: the same policy gives the same list in the same order; those at the catalogue come last."""
    text = 'let p = args.pth tool "read_file" { allow when p == "x" and p != "y" } tool "gone" { allow anyone }'
    first = found(text, READ, LIST)
    assert first == found(text, READ, LIST)
    assert [one.code for one in first] == ["schema-unknown-argument", "unmatched-tool-pattern", "unreached-tool"]
