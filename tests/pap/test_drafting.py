"""A first policy from a catalogue: valid, fitting, canonical, tested, and as narrow as the hints let it be."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.lang.formatter import format_policy
from authz.lang.parser import parse_policy, parse_tests
from authz.lang.source import Source
from authz.model import Reason, Request
from authz.pap.catalogue.drafting import POLICY_NAME, TESTS_NAME, draft, is_prefix, shared_word
from authz.pap.catalogue.fitting import fit
from authz.pap.catalogue.signatures import signature
from authz.pap.catalogue.tools import CatalogueError, read_catalogue
from authz.pap.coverage import measure
from authz.pap.loader import ReadFile, load_files, load_test_files
from authz.pap.testing import run_tests
from tests.pap.catalogues import READS, WRITES, catalogue, tool

if TYPE_CHECKING:
    from authz.pap.catalogue.drafting import Draft
    from authz.pap.catalogue.tools import Catalogue
    from authz.pap.loader import LoadedPolicy

HERE = Path(__file__).parent
SNAPSHOT = HERE.parent / "data/filesystem_tools.json"
UPDATE = os.environ.get("AUTHZ_UPDATE_GOLDEN") == "1"


def _loaded(drafted: Draft) -> LoadedPolicy:
    return load_files([ReadFile(POLICY_NAME, POLICY_NAME, drafted.policy.encode())])


def _assert_good(drafted: Draft, tools: Catalogue) -> None:
    """Check that a draft loads without a warning, fits its catalogue, is canonical, and is covered by its tests."""
    loaded = _loaded(drafted)
    assert loaded.warnings == ()
    assert fit(loaded.checked, tools) == ()
    for name, text, parse in ((POLICY_NAME, drafted.policy, parse_policy), (TESTS_NAME, drafted.tests, parse_tests)):
        source = Source(name, text)
        assert format_policy(source, parse(source)[0]) == text
    tests = load_test_files([ReadFile(TESTS_NAME, TESTS_NAME, drafted.tests.encode())])
    report = run_tests(loaded.program, tests)
    assert report.passed, report.failures
    assert measure(loaded.program, report.explanations).percent == 100


@pytest.mark.parametrize("name", [POLICY_NAME, TESTS_NAME])
def test_the_draft_for_a_real_server_reads_as_it_was_approved(name: str) -> None:
    """Issue 5, 5: what a person reads; AUTHZ_UPDATE_GOLDEN=1 writes it, and then read it aloud."""
    drafted = draft(read_catalogue(SNAPSHOT.read_bytes(), "tools.json"))
    kept = HERE / "drafts/filesystem" / name
    text = drafted.policy if name == POLICY_NAME else drafted.tests
    if UPDATE:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(text, encoding="utf-8")
    assert kept.read_text(encoding="utf-8") == text


def test_the_draft_for_a_real_server_is_good() -> None:
    """Issue 5, 5: passing its own generated tests, and `lint --tools`."""
    tools = read_catalogue(SNAPSHOT.read_bytes(), "tools.json")
    _assert_good(draft(tools), tools)


def _reason(loaded: LoadedPolicy, name: str, scopes: tuple[str, ...] = (), roles: tuple[str, ...] = ()) -> Reason:
    return loaded.program.decide(Request(tool=name, subject="ann", scopes=scopes, roles=roles)).reason


@pytest.mark.parametrize(
    ("hints", "by_read", "by_write", "with_role"),
    [
        ({"readOnlyHint": True}, Reason.ALLOWED, Reason.ALLOWED, Reason.ALLOWED),
        (WRITES, Reason.INSUFFICIENT_SCOPE, Reason.ALLOWED, Reason.ALLOWED),
        ({"destructiveHint": False}, Reason.INSUFFICIENT_SCOPE, Reason.ALLOWED, Reason.ALLOWED),
        ({"destructiveHint": True}, Reason.MISSING_ROLE, Reason.MISSING_ROLE, Reason.ALLOWED),
        ({"readOnlyHint": False}, Reason.MISSING_ROLE, Reason.MISSING_ROLE, Reason.ALLOWED),
        ({}, Reason.MISSING_ROLE, Reason.MISSING_ROLE, Reason.ALLOWED),
    ],
)
def test_what_a_tool_takes_follows_its_hints(
    hints: dict[str, bool], by_read: Reason, by_write: Reason, with_role: Reason
) -> None:
    """Issue 5, 5; R21, R23, S54: least privilege by hints, where a hint that is missing counts against the tool."""
    loaded = _loaded(draft(catalogue(tool("t", **hints), tool("r", **READS), tool("w", **WRITES), tool("d"))))
    assert _reason(loaded, "t") in {Reason.INSUFFICIENT_SCOPE, Reason.MISSING_ROLE}
    assert _reason(loaded, "t", ("tools:read",)) is by_read
    assert _reason(loaded, "t", ("tools:write",)) is by_write
    assert _reason(loaded, "t", ("tools:write",), ("tools_operator",)) is with_role
    assert _reason(loaded, "t2", ("tools:write",), ("tools_operator",)) is Reason.UNKNOWN_TOOL


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (["github_list", "github_get_issue"], "github"),
        (["github.list", "github/get"], "github"),
        (["github_list", "gitlab_list"], "tools"),
        (["get_issue", "get_list"], "tools"),
        (["github_list"], "tools"),
        (["githublist", "githubget"], "tools"),
    ],
)
def test_scopes_are_named_after_what_the_tools_have_in_common(names: list[str], prefix: str) -> None:
    """Issue 5, 5: the names of the scopes."""
    tools = catalogue(*(tool(name, **READS) for name in names))
    assert (shared_word(tools.tools) or "tools") == prefix
    assert f'scope "{prefix}:read"' in draft(tools).policy
    assert 'scope "mail:read"' in draft(tools, "mail").policy


@pytest.mark.parametrize(
    ("text", "fine"), [("files", True), ("a.b-c_1", True), ("", False), ("a:b", False), ("a b", False)]
)
def test_a_prefix_is_what_a_scope_can_start_with(text: str, fine: bool) -> None:  # noqa: FBT001  # a table
    """RFC 6749, 3.3; and no quote or backslash gets into a policy that way."""
    assert is_prefix(text) is fine
    assert not is_prefix("x" * 65)


def test_what_reaches_out_is_pointed_out() -> None:
    """Issue 5, 5; R21: open-world tools are commented, and a server that says nothing is taken to be one."""
    drafted = draft(catalogue(tool("search_web", {}, readOnlyHint=True), tool("local_lookup", {}, **READS)))
    assert "says of no tool" in draft(catalogue(tool("a", {}), tool("b", {}))).policy
    comments = " ".join(line for line in drafted.policy.splitlines() if line.startswith("#"))
    assert "search_web" in comments
    assert "local_lookup" not in comments


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        (
            {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "boolean"}},
            "a?: string b?: number c?: bool",
        ),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, "a: string"),
        ({"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]}, "a?: string"),
        ({"a": {"enum": ["x", "y"]}}, 'a?: "x" | "y"'),
        ({"a": {"enum": ["x", ""]}}, "a?: string"),
        ({"a": {"type": "array", "items": {"type": "string"}}}, "a?: set<string>"),
        ({"a": {"type": "array"}}, None),
        ({"a": {"type": "object", "properties": {"b": {"type": "string"}}}}, "a?: { b?: string }"),
        ({"a": {"type": "object"}}, None),
        ({"a": {"type": ["string", "number"]}}, None),
        ({"a-b": {"type": "string"}}, None),
        ({"limit": {"type": "number"}, "when": {"type": "string"}}, "limit?: number when?: string"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True}, None),
        ({"type": "object"}, None),
        ({"type": "object", "properties": {}}, ""),
        (None, None),
    ],
)
def test_arguments_are_declared_where_the_language_can_say_them(schema: Any, fields: str | None) -> None:  # noqa: ANN401  # as JSON has it
    """L12, L13: a declaration is closed, so it holds all arguments of a tool or is not made."""
    (one,) = catalogue(tool("t", schema, **READS)).tools
    found = signature(one.schema)
    shown = None if found is None else " ".join(f"{f.name}{'?' * f.optional}: {f.type}" for f in found)
    assert shown == fields
    text = draft(catalogue(tool("t", schema, **READS))).policy
    assert ("Not declared" in text) is (fields is None)


def test_a_catalogue_that_no_policy_can_be_written_for_is_refused() -> None:
    """Issue 5, 5: escaped or refused; L20: a `*` in a pattern is never only itself."""
    with pytest.raises(CatalogueError, match="holds no tool"):
        draft(catalogue())
    with pytest.raises(CatalogueError, match="`a\\*b` has a `\\*` in its name"):
        draft(catalogue(tool("a*b")))


_LETTERS = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="*")
_HOSTILE = st.sampled_from(
    ['"', "\\", "#", "{", "}", "@x", '" { allow public } #', "\u202e", "\u2028", "allow", "tools:read", "x" * 300]
)
_NAMES = st.one_of(
    st.from_regex(r"(get|list|Read|other|db)[_./-][a-z]{1,6}", fullmatch=True),
    st.text(_LETTERS, min_size=1, max_size=12),
    st.builds("".join, st.lists(_HOSTILE, min_size=1, max_size=3)),
).map(lambda name: unicodedata.normalize("NFC", name))
_HINTS = st.dictionaries(
    st.sampled_from(["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"]), st.booleans()
)
_PROPERTY = st.recursive(
    st.sampled_from(
        [{}, {"type": "string"}, {"type": "integer"}, {"type": ["boolean", "null"]}, {"enum": ['a"', "#"]}]
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(_NAMES, inner, max_size=2)}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
    ),
    max_leaves=4,
)
_ARGUMENTS = st.from_regex(r"[a-z]{1,3}|when|true|type", fullmatch=True) | _NAMES
_SCHEMAS = st.none() | st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(_ARGUMENTS, _PROPERTY, max_size=4)},
    optional={"required": st.lists(_ARGUMENTS, max_size=2), "additionalProperties": st.booleans()},
)


@given(st.dictionaries(_NAMES, st.tuples(_SCHEMAS, _HINTS), min_size=1, max_size=12))
def test_the_draft_for_any_catalogue_is_good(tools: dict[str, tuple[Any, dict[str, bool]]]) -> None:
    """Issue 5, 5 (property): it loads, lints clean against its catalogue, and its tests pass and cover every rule."""
    read = catalogue(*(tool(name, schema, **hints) for name, (schema, hints) in tools.items()))
    _assert_good(draft(read), read)


@given(st.dictionaries(_NAMES, _HINTS, min_size=1, max_size=8))
def test_nothing_in_a_catalogue_opens_a_tool(tools: dict[str, dict[str, bool]]) -> None:
    """Issue 5, 5; threats: a name is text, never a rule. No one without a scope may call anything."""
    read = catalogue(*(tool(name, **hints) for name, hints in tools.items()))
    loaded = _loaded(draft(read))
    for name in [*tools, "read", "anything"]:
        assert not loaded.program.decide(Request(tool=name, subject="ann")).allowed
        assert not loaded.program.decide(Request(tool=name, anonymous=True, scopes=("tools:read",))).allowed


@pytest.mark.parametrize("shared", ["", "github_"])
def test_a_large_catalogue_makes_lines_that_can_be_read(shared: str) -> None:
    """Issue 5, 5: 121 tools, as large servers have, in groups by the first words that tell them apart."""
    verbs = ("list", "get", "create", "delete", "search")
    nouns = ("issue", "pull_request", "branch", "team")
    tools = [tool(f"{shared}{v}_{n}_{i}", {}, **READS) for v in verbs for n in nouns for i in range(6)]
    read = catalogue(*tools, tool(f"{shared}single", {}, **READS))
    drafted = draft(read)
    assert all(len(line) <= 100 for line in drafted.policy.splitlines() if "@" not in line)
    assert "tools reading = @reading_create, @reading_delete, @reading_get, @reading_list" in drafted.policy
    _assert_good(drafted, read)
