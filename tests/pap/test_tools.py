"""A server's answer to `tools/list`, read within bounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.errors import LoadError
from authz.pap.catalogue import tools
from authz.pap.catalogue.tools import METHODS, CatalogueError, read_catalogue
from authz.pep.messages import Treatment, treatment
from tests.pap.catalogues import READS, WRITES, catalogue, tool

SNAPSHOT = Path(__file__).parents[1] / "data/filesystem_tools.json"


def test_every_tool_of_a_real_server_is_read_with_the_place_of_its_name() -> None:
    """Issue 5, 5: a server's real catalogue; findings about a tool point at it."""
    read = read_catalogue(SNAPSHOT.read_bytes(), "tools.json")
    assert [t.name for t in read.tools] == [t["name"] for t in json.loads(SNAPSHOT.read_text())["tools"]]
    assert [read.source.slice(t.span) for t in read.tools] == [f'"{t.name}"' for t in read.tools]


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8), unique=True
    ),
    st.booleans(),
    st.sampled_from([(), ("tools",), ("result", "tools")]),
)
def test_a_place_is_found_whatever_stands_around_it(names: list[str], escaped: bool, way: tuple[str, ...]) -> None:  # noqa: FBT001  # drawn
    """Issue 5, 5: escapes, brackets in strings, nested members called `name` and envelopes mislead nobody."""
    import unicodedata

    names = sorted({unicodedata.normalize("NFC", name) for name in names})
    answer: object = [
        {"title": '{["name', "inputSchema": {"properties": {"name": {"name": "x"}}, "enum": [["name"]]}, "name": name}
        for name in names
    ]
    for key in reversed(way):
        answer = {"_meta": {"name": [1, {"name": "no"}]}, key: answer}
    read = read_catalogue(json.dumps(answer, ensure_ascii=escaped).encode(), "tools.json")
    assert [json.loads(read.source.slice(one.span)) for one in read.tools] == names


@pytest.mark.parametrize(
    ("hints", "destructive", "read_only", "open_world"),
    [
        ({}, True, False, True),
        ({"readOnlyHint": True}, False, True, True),
        ({"readOnlyHint": True, "destructiveHint": True}, False, True, True),
        ({"readOnlyHint": False}, True, False, True),
        ({"destructiveHint": False}, False, False, True),
        ({"destructiveHint": True, "openWorldHint": False}, True, False, False),
    ],
)
def test_a_hint_that_is_missing_is_what_the_specification_says(
    hints: dict[str, bool],
    destructive: bool,  # noqa: FBT001  # a table
    read_only: bool,  # noqa: FBT001  # a table
    open_world: bool,  # noqa: FBT001  # a table
) -> None:
    """R21: readOnlyHint=false, destructiveHint=true, openWorldHint=true; destruction is only asked of what writes."""
    (one,) = catalogue(tool("t", **hints)).tools
    assert (one.destructive, one.read_only, one.open_world) == (destructive, read_only, open_world)


def test_a_hint_that_is_no_bool_is_no_hint() -> None:
    """R21: annotations are untrusted."""
    text = (
        '[{"name": "t", "annotations": {"readOnlyHint": "yes", "destructiveHint": 0}}, {"name": "u", "annotations": 1}]'
    )
    assert [dict(one.hints) for one in read_catalogue(text.encode(), "t.json").tools] == [{}, {}]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is not valid JSON"),
        (b"\xff", "not valid UTF-8 at byte 1"),
        (b"{}", "no answer to tools/list"),
        (b'{"tools": {"name": "x"}}', "no answer to tools/list"),
        (b'"tools"', "no answer to tools/list"),
        (b"[" * 100_000, "nests deeper"),
        (b'{"tools": [' + b'{"inputSchema":' * 70 + b"1" + b"}" * 70 + b"]}", "nests deeper"),
        (b"[1]", "tools[0] has no name"),
        (b'[{"name": "a"}, null]', "tools[1] has no name"),
        (b'[{"name": ""}]', "tools[0] has no name"),
        (b'[{"name": 5}]', "tools[0] has no name"),
        (b'[{"name": "a", "name": "b"}]', "twice"),
        (b'[{"name": "a"}, {"name": "a"}]', "names the tool `a` twice"),
        (b'[{"name": "a\\nb"}]', "no request can carry it"),
        (b'[{"name": "a\\ud800"}]', "no request can carry it"),
        (b'[{"name": "e\\u0301"}]', "normal form NFC"),
        (b'[{"name": "' + b"a" * 1_025 + b'"}]', "more than 1024 characters"),
        (b'[{"name": "a", "inputSchema": []}]', "the inputSchema of tools[0] is no object"),
        (b'{"tools": [{"name": "a"}], "nextCursor": "2"}', "one page of several"),
        (b'{"result": {"tools": [{"name": "a"}], "nextCursor": "2"}}', "one page of several"),
    ],
)
def test_what_is_no_catalogue_is_refused_in_one_line(data: bytes, problem: str) -> None:
    """Issue 5, 5; L60: hostile catalogues; half a catalogue would make findings of what the other half holds."""
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(data, "tools.json")
    assert problem in str(caught.value)
    assert str(caught.value).startswith("`tools.json`")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, LoadError)


def test_a_catalogue_is_read_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 5, 5: bound everything that comes from outside."""
    monkeypatch.setattr(tools, "MAX_BYTES", 40)
    with pytest.raises(CatalogueError, match="larger than 40 bytes"):
        read_catalogue(b" " * 41, "tools.json")
    monkeypatch.setattr(tools, "MAX_TOOLS", 1)
    with pytest.raises(CatalogueError, match="more than 1 tools"):
        read_catalogue(b'[{"name": "a"}, {"name": "b"}]', "tools.json")


def test_the_methods_that_policies_may_name_are_those_that_guards_ask_about() -> None:
    """Issue 5, 5: a rule for `resources/read` is no pattern that matches nothing."""
    assert all(treatment(method) is Treatment.TARGET for method in METHODS)
    wanted = {"resources/read", "prompts/get", "completion/complete", "logging/setLevel", "tasks/get"}
    assert wanted <= METHODS


def test_the_helpers_are_what_they_say() -> None:
    """R21: the hints that the other tests of catalogues use."""
    reading, writing = catalogue(tool("r", **READS), tool("w", **WRITES)).tools
    assert (reading.read_only, writing.read_only, writing.destructive) == (True, False, False)
