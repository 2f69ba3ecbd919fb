"""What people and programs see of findings and decisions."""

from __future__ import annotations

import io
import json

import pytest

from authz.cli.render import (
    Paint,
    diagnostic_to_json,
    json_text,
    paint_for,
    printable,
    render_decision,
    render_decision_line,
    render_diagnostic,
    render_diagnostics,
    render_explanation,
)
from authz.lang.ast import Span
from authz.lang.diagnostics import Diagnostic, Related, Severity
from authz.lang.source import Source
from authz.model import ConditionTrace, Decision, Effect, Explanation, Obligation, Outcome, Reason, RuleTrace, Seen

POLICY = 'scope "a"\n\n\n\n\n\nrole "owner"  when resource.ownr == subject.id\n'


def _finding(text: str, marked: str, help_: str = "", **more: object) -> Diagnostic:
    start = text.index(marked)
    source = Source("documents.authz", text, "policies/documents.authz")
    return Diagnostic("a-code", "what is wrong", source, Span(start, start + len(marked)), help_, **more)  # type: ignore[arg-type]  # each test passes what it tells


def _lines(text: str, marked: str) -> tuple[str, str]:
    """Return the line of source and the line of carets below it."""
    *_, source, carets = render_diagnostic(_finding(text, marked)).split("\n")
    return source, carets


def test_a_finding_underlines_its_text() -> None:
    """Style, Errors: the very example."""
    source = Source("documents.authz", POLICY, "policies/documents.authz")
    start = POLICY.index("ownr")
    message = "resource `document` has no attribute `ownr`"
    finding = Diagnostic("unknown-attribute", message, source, Span(start, start + 4), "did you mean `owner`?")
    assert render_diagnostic(finding) == (
        "error[unknown-attribute]: resource `document` has no attribute `ownr`\n"
        "  --> policies/documents.authz:7:29\n"
        "   |\n"
        ' 7 | role "owner"  when resource.ownr == subject.id\n'
        "   |                             ^^^^\n"
        "   = help: did you mean `owner`?"
    )


def test_the_gutter_is_as_wide_as_the_longest_line_number() -> None:
    """Style: the bars stand below each other, also with a related place further down."""
    text = "x\n" * 120
    source = Source("p.authz", text)
    related = Related(source, Span(238, 239), "and here")
    finding = Diagnostic("twice", "declared twice", source, Span(2, 3), related=(related,))
    assert render_diagnostic(finding).split("\n") == [
        "error[twice]: declared twice",
        "    --> p.authz:2:1",
        "     |",
        "   2 | x",
        "     | ^",
        "    ::: p.authz:120:1",
        "     |",
        " 120 | x",
        "     | - and here",
    ]


def test_a_tab_is_as_wide_above_as_below() -> None:
    """Style: the caret stands below its text."""
    assert _lines("\ta\tbad\n", "bad") == (" 1 |     a    bad", "   |          ^^^")


def test_wide_characters_count_twice_and_combining_ones_not_at_all() -> None:
    """Style: the caret stands below its text, whatever the width of what is before it."""
    assert _lines("東京 bad\n", "bad") == (" 1 | 東京 bad", "   |      ^^^")
    assert _lines("e\u0301 bad\n", "bad") == (" 1 | e\u0301 bad", "   |   ^^^")
    assert _lines("x 東京\n", "東京") == (" 1 | x 東京", "   |   ^^^^")


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\x9b", "\u202e", "\u200b", "\r", "\x00"])
def test_what_a_terminal_would_obey_is_shown_by_its_escape(character: str) -> None:
    """Threat: a policy file must not drive the terminal of whoever checks it."""
    escape = f"\\u{{{ord(character):x}}}"
    source, carets = _lines(f'"{character}x" bad\n', "bad")
    assert source == f' 1 | "{escape}x" bad'
    assert carets == "   | " + " " * (len(escape) + 4) + "^^^"


def test_messages_help_and_paths_are_escaped_too() -> None:
    """Threat: each holds the user's text."""
    source = Source("p\x1b.authz", "x\n")
    text = render_diagnostic(Diagnostic("c", "m\x1b[2J", source, Span(0, 1), "h\x1b[2J"))
    assert "\x1b" not in text
    assert text.count("\\u{1b}") == 3


def test_a_span_over_several_lines_is_marked_to_the_end_of_the_first() -> None:
    """Style: one line is shown."""
    assert _lines("tool {\n x\n}\n", "{\n x\n}") == (" 1 | tool {", "   |      ^")


def test_a_finding_about_a_file_as_a_whole_shows_no_text() -> None:
    """L6, L7: what is too large, or not the file that was locked, has no line to underline."""
    finding = Diagnostic(
        "file-too-large", "the file is larger than 5 bytes", Source("p.authz", ""), Span(0, 0), "split it"
    )
    assert render_diagnostic(finding).split("\n") == [
        "error[file-too-large]: the file is larger than 5 bytes",
        "  --> p.authz:1:1",
        "   = help: split it",
    ]


def test_an_empty_span_still_has_a_caret() -> None:
    """Style: a place is always marked, also at the end of the file."""
    source = Source("p.authz", "ab\n")
    assert render_diagnostic(Diagnostic("c", "m", source, Span(3, 3))).endswith("\n 2 |\n   | ^")


def test_a_line_of_a_megabyte_is_cut_around_the_finding() -> None:
    """L6: one line may be as long as a file."""
    source, carets = _lines("a" * 500_000 + "BAD" + "b" * 500_000, "BAD")
    assert len(source) < 200
    at = source.index("BAD")
    assert carets[at : at + 3] == "^^^"
    assert carets.count("^") == 3


def test_a_line_of_escapes_is_cut_by_its_columns() -> None:
    """Threat: a binary file must not fill the screen; an escape takes six columns."""
    source, carets = _lines("\x1b" * 1000 + "BAD" + "\x1b" * 1000, "BAD")
    assert len(source) < 200
    assert carets.index("^^^") == source.index("BAD")
    assert source.count("…") == 2


def test_a_short_line_is_never_cut() -> None:
    """Style: the whole line, where it fits."""
    source, carets = _lines("a" * 150 + "BAD", "BAD")
    assert source == " 1 | " + "a" * 150 + "BAD"
    assert carets.index("^^^") == source.index("BAD")


def test_findings_are_parted_by_an_empty_line() -> None:
    """L5: all of them."""
    assert render_diagnostics([_finding("x", "x")] * 2).count("\n\n") == 1


def test_warnings_say_that_they_are() -> None:
    """L13: lint warns."""
    assert render_diagnostic(_finding("x", "x", severity=Severity.WARNING)).startswith("warning[a-code]: ")


def test_colour_changes_nothing_but_colour() -> None:
    """Style: colour only on a terminal."""
    finding = _finding("x bad", "bad", "help", related=(Related(Source("q", "y"), Span(0, 1), "there"),))
    coloured = render_diagnostic(finding, Paint(on=True))
    for code in ("31;1", "34", "34;1"):
        assert f"\x1b[{code}m" in coloured
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured.replace("\x1b[0m", "") == render_diagnostic(finding)


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Style; NO_COLOR is honoured."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert paint_for(Terminal()).on
    assert not paint_for(io.StringIO()).on
    monkeypatch.setenv("TERM", "dumb")
    assert not paint_for(Terminal()).on
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not paint_for(Terminal()).on


def test_a_finding_as_json_has_every_part() -> None:
    """Issue, Build 2: JSON rendering; the end is exclusive, help and related are always there."""
    first = Source("p.authz", "one\ntwo\n")
    finding = Diagnostic("c", "m", first, Span(4, 7), "h", (Related(first, Span(0, 3), "r"),))
    assert diagnostic_to_json(finding) == {
        "code": "c",
        "severity": "error",
        "message": "m",
        "file": "p.authz",
        "line": 2,
        "column": 1,
        "end_line": 2,
        "end_column": 4,
        "help": "h",
        "related": [{"message": "r", "file": "p.authz", "line": 1, "column": 1, "end_line": 1, "end_column": 4}],
    }


def test_json_stays_json_and_drives_no_terminal() -> None:
    """Threat: JSON itself escapes only a few control characters."""
    value = {"a": "\x1b[2J\x9b\u202e\ue000\U000e0001é東", "b": [1, None]}
    text = json_text(value)
    assert json.loads(text) == value
    assert text.isprintable()
    assert "é東" in text
    assert json.loads(json_text(value, indent=2)) == value


def test_printable_text_is_left_alone() -> None:
    """Style: no noise."""
    assert printable("é 東 `x`") == "é 東 `x`"
    assert printable("a\nb") == "a\\u{a}b"


# --- Decisions ------------------------------------------------------------------------------


def _decision(**changes: object) -> Decision:
    given = {
        "effect": Effect.DENY,
        "reason": Reason.INSUFFICIENT_SCOPE,
        "message": "more scopes are needed",
        "rules": ("p:1",),
        "policy_revision": "abc",
        "required_scopes": ("a", "b"),
        "missing_scopes": ("b",),
    }
    return Decision(**(given | changes))  # type: ignore[arg-type]  # each test passes what it tells


def test_a_decision_shows_all_that_belongs_to_it() -> None:
    """L66, L67: rules, scopes, message and revision."""
    assert render_decision(_decision()) == (
        "DENY INSUFFICIENT_SCOPE: more scopes are needed\n"
        "  rules: p:1\n"
        "  required scopes: a, b\n"
        "  missing scopes: b\n"
        "  policy revision: abc"
    )


def test_a_decision_shows_its_obligations() -> None:
    """L64: a caller that does not know one must treat the answer as DENY."""
    allow = _decision(
        effect=Effect.ALLOW,
        reason=Reason.ALLOWED,
        message="",
        required_scopes=(),
        missing_scopes=(),
        obligations=(Obligation("notify", {"to": "x"}), Obligation("log")),
    )
    assert render_decision(allow).split("\n")[:4] == [
        "ALLOW ALLOWED",
        "  rules: p:1",
        '  obligation: notify {"to": "x"}',
        "  obligation: log",
    ]


def test_a_decision_in_one_line_stays_in_one_line() -> None:
    """Issue: one line each."""
    assert render_decision_line(_decision(message="a\nb")) == "DENY INSUFFICIENT_SCOPE: a\\u{a}b"


def test_an_explanation_shows_rules_conditions_values_and_the_nearest_miss() -> None:
    """Issue: explain."""
    condition = ConditionTrace(
        text="resource.owner  ==\n subject.id",
        file="policies/p.authz",
        line=3,
        column=9,
        outcome=Outcome.UNKNOWN,
        seen=(Seen("resource.owner", problem="is missing"), Seen("subject.id", "al\x1bice")),
    )
    rule = RuleTrace("p:1", "deny", "policies/p.authz", 3, 3, Outcome.UNKNOWN, (condition,))
    other = RuleTrace("p:2", "allow", "policies/p.authz", 4, 3, Outcome.FALSE)
    text = render_explanation(Explanation(_decision(), (rule, other), "would be allowed with scope `b`"))
    assert text.split("\n")[5:] == [
        "",
        "unknown  deny p:1  policies/p.authz:3:3  (deciding)",
        "  unknown  resource.owner == subject.id  3:9",
        "           resource.owner is missing",
        '           subject.id = "al\\u001bice"',
        "",
        "false    allow p:2  policies/p.authz:4:3",
        "",
        "nearest miss: would be allowed with scope `b`",
    ]


def test_a_condition_says_where_it_stands_unless_its_rule_does() -> None:
    """Issue: explain; what a `let` of another file says is found there."""
    places = (("policies/p.authz", 3, 3), ("policies/p.authz", 1, 9), ("policies/names.authz", 7, 5))
    conditions = tuple(ConditionTrace("now in x", *place, Outcome.TRUE) for place in places)
    rule = RuleTrace("p:1", "deny", "policies/p.authz", 3, 3, Outcome.TRUE, conditions)
    assert render_explanation(Explanation(_decision(), (rule,))).split("\n")[7:] == [
        "  true     now in x",
        "  true     now in x  1:9",
        "  true     now in x  policies/names.authz:7:5",
    ]


def test_a_nearest_miss_that_says_what_the_message_said_is_left_out() -> None:
    """Style: nothing is said twice."""
    assert "nearest" not in render_explanation(Explanation(_decision(message="no such tool"), (), "no such tool"))
