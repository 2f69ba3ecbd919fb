"""No text makes the language do anything but report what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from authz.errors import PolicyError
from authz.lang.parser import parse_policy, parse_tests
from authz.lang.source import Source
from authz.lang.validator import validate
from authz.model import Request
from authz.pdp.compiler import compile_policy
from tests.strategies import Policy, policies

WORDS = (
    "tool", "tools", "role", "scope", "resource", "subject", "context", "let", "tenant", "allow", "deny", "require",
    "when", "unless", "because", "then", "limit", "per", "by", "oblige", "anyone", "public", "across", "tenants", "any",
    "all", "extends", "implies", "except", "on", "not", "and", "or", "in", "has", "like", "under", "matches", "subset",
    "of", "if", "else", "true", "{", "}", "(", ")", "[", "]", ",", ":", "?", "??", "==", "..", ".", "=", "@", "<", ">",
    "|", "-", "+", "!", "$", '"a"', '"*"', '"', '"{"', '"{x}"', "\\", "#", "\n", "\r", "\t", "\x00", "\ufeff", "\u202e",
    "\u2028", "é", "e\u0301", "0", "01", "1.5", "15m", "9" * 30, "x", "document", "set", "string", "test", "fixture",
    "expect", "as", "call", "null", "global", "intersects", "name",
)  # fmt: skip

REQUEST = Request(tool="read_doc", subject="alice", roles=["viewer"], now=datetime(2026, 1, 1, tzinfo=UTC))

SMALL = """\
# who may what
scope "a" implies "b\\u{e9}"
role "owner" when resource.owner == subject.id and not (now - context.t < 15m)
resource "document" { owner: string, kind?: "x" | "y", m: map<set<ip>> }
let fresh = if context.mfa then 1.5 in [1.5, 2] else "é{tenant}" like "*{{{subject.id}"
tools g = "read_*", "x"
tool @g except "x" (p: string) on "document" {
  require any
  require scope any "a"
  allow "l" role "owner" across tenants when args.p under "/a/{tenant}" because "no" then "log" { n: -1 }
  deny unless resource has owner.x ?? fresh
  limit 1 per 1m by subject
}
tenant "acme" { tool "*" { deny when "a" in scopes } }
"""
"""A bit of everything, with one mistake (`require any`)."""


def _diagnostics(text: str) -> list[str]:
    """Return all that is said of a text; whatever else is raised, is raised to the test."""
    source = Source("main.authz", text)
    tree, diagnostics = parse_policy(source)
    found = list(diagnostics)
    try:
        checked = validate([(source, tree)])
    except PolicyError as error:
        found += error.diagnostics
    else:
        if not found:
            compile_policy(checked).decide(REQUEST)
    assert tree.broken <= bool(diagnostics), repr(text)
    for diagnostic in found:
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text), repr(text)
        assert "\n" not in diagnostic.message, repr(text)
    return [str(diagnostic) for diagnostic in found]


def _assert_survived(text: str) -> None:
    assert _diagnostics(text) == _diagnostics(text), repr(text)


@given(st.text(max_size=200))
def test_any_text_gives_diagnostics_and_never_another_exception(text: str) -> None:
    """L5, L6: and the same text the same list in the same order."""
    _assert_survived(text)


@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_any_words_give_diagnostics_and_never_another_exception(words: list[str]) -> None:
    """L5, L6: pieces of the language in any order."""
    _assert_survived(" ".join(words))


@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_any_words_give_diagnostics_as_tests_too(words: list[str]) -> None:
    """L5, L80."""
    source = Source("main_test.authz", " ".join(words))
    assert [str(d) for d in parse_tests(source)[1]] == [str(d) for d in parse_tests(source)[1]]


@st.composite
def _edited(draw: st.DrawFn) -> str:
    text = str(draw(policies(depth=2)).files[0])
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(start + 12, len(text))))
        new = draw(st.one_of(st.just(""), st.sampled_from(WORDS), st.text(max_size=3), st.just(text[start:end] * 2)))
        text = text[:start] + new + text[end:]
    return text


@given(_edited())
def test_an_edited_policy_gives_diagnostics_and_never_another_exception(text: str) -> None:
    """L5, L6, L40: what almost was a policy, or still is one."""
    _assert_survived(text)


@given(policies(depth=2), st.data())
def test_a_policy_cut_short_gives_diagnostics_and_never_another_exception(policy: Policy, data: st.DataObject) -> None:
    """L5, L6."""
    text = str(policy.files[0])
    for _ in range(4):
        _assert_survived(text[: data.draw(st.integers(0, len(text)))])


def test_a_policy_may_be_cut_at_every_byte() -> None:
    """Issue 2, build 2: files truncated at every byte."""
    whole = SMALL.encode()
    for length in range(len(whole) + 1):
        _diagnostics(whole[:length].decode(errors="replace"))


def test_one_mistake_does_not_hide_the_others() -> None:
    """L5: every error is reported, not only the first."""
    second = SMALL.replace('scope "a" implies', 'scope "a" implied')
    lines = {line.split(":")[1] for line in _diagnostics(second)}
    assert {"2", "8"} <= lines
