"""Running the tests of a policy, and showing what came of it (L80)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from authz.errors import PolicyError
from authz.lang.parser import parse_policy, parse_tests
from authz.lang.source import Source
from authz.lang.validator import validate
from authz.model import Effect, Outcome, Reason
from authz.pap.report import render_human, to_json, to_junit
from authz.pap.testing import TestReport, TestResult, run_tests
from authz.pdp.compiler import compile_policy

if TYPE_CHECKING:
    from authz.pdp.program import Program

POLICY = """\
resource "document" { owner: string  archived: bool }
role "owner" when resource.owner == subject.id

tool "read_*" on "document" {
  require scope "docs:read", "docs:list"
  allow "owner" role "owner" then "notify" { to: "a@example.com", tags: ["b", "a"], times: 1 } then "mark" { on: true }
  allow "auditor" role "auditor"
  deny "archived" when resource.archived
}

tool "night_shift" { allow "late" anyone when hour(now, "Etc/UTC") >= 22 }
"""

FIXTURES = """\
fixture alice = subject "alice" scopes "docs:read", "docs:list" tenant "acme"
fixture auditor = subject "zoe" scopes "docs:read", "docs:list" roles "auditor" tenant "acme"
fixture plan = resource "document" "d1" { owner: "alice", archived: false, tenant: "acme" }
fixture old = resource "document" "d2" { owner: "alice", archived: true, tenant: "acme" }
"""


def program(policy: str = POLICY, folder: str = "") -> Program:
    """Compile a policy of one file."""
    source = Source(f"{folder}documents.authz", policy)
    tree, diagnostics = parse_policy(source)
    assert not diagnostics, [str(d) for d in diagnostics]
    return compile_policy(validate([(source, tree)]))


def run(tests: str, select: str = "", policy: str = POLICY, now: datetime | None = None) -> TestReport:
    """Run the tests of one file that starts with the fixtures."""
    source = Source("documents_test.authz", FIXTURES + tests)
    tree, diagnostics = parse_tests(source)
    assert not diagnostics, [str(d) for d in diagnostics]
    return run_tests(program(policy), [(source, tree)], select, now)


def in_folders(rule_folder: str, test_folder: str, rule: str) -> tuple[str, ...]:
    """Ask the owner's question, and return how the answer differs from an allow by this rule."""
    text = f'{FIXTURES}test "t" {{ as alice call "read_x" on plan expect allow by "{rule}" }}'
    source = Source(f"{test_folder}documents_test.authz", text)
    tree, _ = parse_tests(source)
    [result] = run_tests(program(folder=rule_folder), [(source, tree)]).results
    return result.differences


def expect(expectation: str, caller: str = "alice", call: str = 'call "read_it" on plan') -> TestResult:
    """Run one test."""
    [result] = run(f'test "x" {{ as {caller} {call} expect {expectation} }}').results
    return result


NOTIFY = 'then "notify" { to: "a@example.com", tags: ["a", "b"], times: 1 }'
MARK = 'then "mark" { on: true }'


class TestExpectations:
    """What an expectation names must be exact; what it does not name is not compared (L80)."""

    @pytest.mark.parametrize(
        "expectation",
        [
            "allow",
            "allow ALLOWED",
            'allow by "documents:owner"',
            f"allow {NOTIFY} {MARK}",
            f"allow {MARK} {NOTIFY}",
            f'allow ALLOWED by "documents:owner" {NOTIFY} {MARK}',
        ],
    )
    def test_what_is_not_named_is_not_compared(self, expectation: str) -> None:
        """L80: an expectation may pin any part of the answer."""
        result = expect(expectation)
        assert result.passed
        assert result.differences == ()
        assert (result.decision.effect, result.decision.reason) == (Effect.ALLOW, Reason.ALLOWED)

    @pytest.mark.parametrize(
        ("expectation", "differences"),
        [
            ("deny", ("decision",)),
            ("deny NO_ALLOW", ("decision", "reason")),
            ("allow NO_ALLOW", ("reason",)),
            ('allow by "documents:auditor"', ("rules",)),
            ('allow by "documents:owner", "documents:auditor"', ("rules",)),
            ('allow missing "docs:read"', ("missing scopes",)),
            (f"allow {NOTIFY}", ("obligations",)),
            (f'allow {NOTIFY} {MARK} then "more"', ("obligations",)),
            (f'allow then "notify" {MARK}', ("obligations",)),
            (f"allow {NOTIFY.replace('times: 1', 'times: true')} {MARK}", ("obligations",)),
            (f"allow {NOTIFY.replace('times: 1', 'times: 2')} {MARK}", ("obligations",)),
            (f"allow {NOTIFY} {MARK.replace('true', '1')}", ("obligations",)),
            (f"allow {NOTIFY} {MARK.replace('true', 'false')}", ("obligations",)),
            ('deny NO_ALLOW by "documents:archived" missing "x" then "y"',
             ("decision", "reason", "rules", "missing scopes", "obligations")),
        ],
    )  # fmt: skip
    def test_what_is_named_must_be_exact(self, expectation: str, differences: tuple[str, ...]) -> None:
        """L80: no more and no less than what is named, and `1` is not `true` (L32)."""
        result = expect(expectation)
        assert not result.passed
        assert result.differences == differences

    def test_all_deciding_rules_must_be_named(self) -> None:
        """L80: `by` names every rule of L66, in any order."""
        both = 'alice with roles "auditor"'
        assert not expect('allow by "documents:owner"', both).passed
        assert expect('allow by "documents:owner", "documents:auditor"', both).passed
        assert expect('allow by "documents:auditor", "documents:owner"', both).passed

    def test_missing_scopes_are_compared_as_a_set(self) -> None:
        """L80 and L67: all of them, in any order."""
        none = 'alice with scopes "other"'
        assert expect('deny INSUFFICIENT_SCOPE missing "docs:read", "docs:list"', none).passed
        assert not expect('deny INSUFFICIENT_SCOPE missing "docs:read"', none).passed

    def test_the_nameless_rules_are_named_by_line(self) -> None:
        """L23: a statement without a label is `file:line`."""
        assert expect('deny INSUFFICIENT_SCOPE by "documents:5"', 'alice with scopes "docs:read"').passed

    @pytest.mark.parametrize("name", ["documents:owner", "docs/documents:owner"])
    def test_a_rule_may_be_named_without_the_folder_of_the_test_file(self, name: str) -> None:
        """L80: so a test says the same whether its folder or the one above is the policy."""
        assert in_folders("docs/", "docs/", name) == ()

    @pytest.mark.parametrize(("rule_folder", "test_folder"), [("docs/", ""), ("docs/", "other/"), ("a/docs/", "docs/")])
    def test_no_other_folder_may_be_left_out(self, rule_folder: str, test_folder: str) -> None:
        """L80: the folder of the test file only; any other rule must be named in full."""
        with pytest.raises(PolicyError) as caught:
            in_folders(rule_folder, test_folder, "documents:owner")
        assert [d.code for d in caught.value.diagnostics] == ["unknown-rule"]
        assert in_folders(rule_folder, test_folder, f"{rule_folder}documents:owner") == ()

    def test_a_rule_without_its_folder_must_still_be_the_one_that_decides(self) -> None:
        """L80: what is named must be exact."""
        assert in_folders("docs/", "docs/", "documents:auditor") == ("rules",)

    def test_a_near_name_is_offered_without_the_folder(self) -> None:
        """L5, L80: what the help says can be pasted."""
        with pytest.raises(PolicyError) as caught:
            in_folders("docs/", "docs/", "documents:ownr")
        assert [d.help for d in caught.value.diagnostics] == ["did you mean `documents:owner`?"]

    def test_a_rule_that_does_not_exist_is_an_error(self) -> None:
        """L5: a near name is offered, from the names that the policy really has."""
        with pytest.raises(PolicyError) as caught:
            expect('deny by "documents:archivd"')
        [diagnostic] = caught.value.diagnostics
        assert diagnostic.code == "unknown-rule"
        assert diagnostic.help == "did you mean `documents:archived`?"

    def test_a_derived_role_is_no_rule(self) -> None:
        """L66: it passes its answer on to the rules that name it, and decides nothing itself."""
        with pytest.raises(PolicyError) as caught:
            expect('allow by "role owner"')
        assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["unknown-rule"]

    def test_the_time_of_the_decision_can_be_pinned(self) -> None:
        """L80: `at` is `now`."""
        night = 'call "night_shift" at "2026-01-01T23:00:00Z"'
        day = 'call "night_shift" at "2026-01-01T12:00:00Z"'
        assert expect('allow by "documents:late"', call=night).passed
        assert expect("deny NO_ALLOW", call=day).passed

    def test_tests_without_a_time_share_one(self) -> None:
        """L80: a dry run can pin the time; `at` still goes before it."""
        test = 'test "x" { as alice call "night_shift" expect allow }'
        pinned = 'test "x" { as alice call "night_shift" at "2026-01-01T23:00:00Z" expect allow }'
        assert run(test, now=datetime(2026, 1, 1, 23, tzinfo=UTC)).passed
        assert not run(test, now=datetime(2026, 1, 1, 12, tzinfo=UTC)).passed
        assert run(pinned, now=datetime(2026, 1, 1, 12, tzinfo=UTC)).passed


TWO = """\
test "owners read" { as alice call "read_it" on plan expect allow }
test "archived stays shut" { as alice call "read_it" on old expect deny EXPLICIT_DENY }
"""


class TestReports:
    """What came of a run."""

    def test_results_stand_in_the_order_of_the_tests(self) -> None:
        """Issue 2: names and places."""
        report = run(TWO)
        assert [(r.name, r.file, r.line, r.column) for r in report.results] == [
            ("owners read", "documents_test.authz", 5, 1),
            ("archived stays shut", "documents_test.authz", 6, 1),
        ]
        assert report.passed
        assert report.failures == ()
        assert len(report.policy_revision) == 64

    def test_a_selection_runs_only_what_holds_the_text(self) -> None:
        """Issue 2: `--filter`, on names and files, whatever the case."""
        assert [r.name for r in run(TWO, "OWNERS").results] == ["owners read"]
        assert run(TWO, "OWNERS").left_out == 1
        assert len(run(TWO, "documents_test").results) == 2

    def test_a_run_of_no_test_has_not_passed(self) -> None:
        """Issue 2: a filter that is mistyped must not look like success."""
        report = run(TWO, "no such test")
        assert report.results == ()
        assert not report.passed
        assert report.left_out == 2
        assert "no test ran" in render_human(report)

    def test_problems_count_in_tests_that_are_not_selected(self) -> None:
        """L5: every error is reported."""
        with pytest.raises(PolicyError):
            run(TWO + 'test "z" { as nobody call "t" expect deny }', "owners")

    def test_a_failure_carries_the_trace(self) -> None:
        """Issue 2: a failure shows expected, actual and the trace."""
        result = expect('allow by "documents:owner"', call='call "read_it" on old')
        assert result.expected == 'allow by "documents:owner"'
        assert result.actual == 'deny EXPLICIT_DENY by "documents:archived"'
        assert result.explanation.decision == result.decision
        [rule] = [rule for rule in result.explanation.rules if rule.name == "documents:archived"]
        assert rule.outcome is Outcome.TRUE

    def test_the_actual_answer_can_be_pasted_into_the_test(self) -> None:
        """L80: it is written as an expectation that then passes."""
        actual = expect("deny").actual
        assert actual.startswith('allow ALLOWED by "documents:owner" then "notify"')
        assert expect(actual).passed


class TestHuman:
    """For people."""

    def test_a_failure_shows_expected_actual_and_trace(self) -> None:
        """Issue 2."""
        text = render_human(run(TWO.replace("EXPLICIT_DENY", 'NO_ALLOW by "documents:archived"')))
        lines = text.splitlines()
        assert lines[0] == "documents_test.authz"
        assert lines[1] == "  ok    owners read"
        assert lines[2] == "  FAIL  archived stays shut"
        assert '        expected  deny NO_ALLOW by "documents:archived"' in lines
        assert '        actual    deny EXPLICIT_DENY by "documents:archived"' in lines
        assert "        differs   reason" in lines
        assert "          true     deny documents:archived  (documents.authz:8:3)" in lines
        assert "            true     resource.archived" in lines
        assert "                     resource.archived = true" in lines
        assert lines[-1] == "1 failed, 1 passed"

    def test_color_is_asked_for(self) -> None:
        """Style: colour only on a terminal, which the caller knows."""
        report = run(TWO)
        assert "\x1b" not in render_human(report)
        assert "\x1b[32mok" in render_human(report, color=True)

    def test_what_could_act_on_a_terminal_is_shown_escaped(self) -> None:
        """Issue 2, hostile policy files: names and values come from files that someone else wrote."""
        report = run(
            r'test "a\u{1b}[2J" { as alice call "read_it" { x: "\u{1b}" } on plan expect deny by "documents:owner" }'
        )
        assert "\x1b" not in render_human(report)
        assert r"a\u{1b}[2J" in render_human(report)


class TestJson:
    """For programs."""

    def test_the_report_is_json(self) -> None:
        """Issue 2: JSON output; a failure carries its explanation."""
        report = run(TWO.replace("EXPLICIT_DENY", "NO_ALLOW"))
        shown = json.loads(json.dumps(to_json(report)))
        assert {k: shown[k] for k in ("passed", "tests", "failures", "left_out")} == {
            "passed": False,
            "tests": 2,
            "failures": 1,
            "left_out": 0,
        }
        first, second = shown["results"]
        assert first["passed"] is True
        assert "explanation" not in first
        assert second["differences"] == ["reason"]
        assert second["expected"] == "deny NO_ALLOW"
        assert second["decision"]["reason"] == "REASON_EXPLICIT_DENY"
        assert second["explanation"]["rules"]


class TestJunit:
    """For build servers."""

    def test_the_report_is_junit_xml(self) -> None:
        """Issue 2: JUnit output."""
        root = ET.fromstring(to_junit(run(TWO.replace("EXPLICIT_DENY", "NO_ALLOW"))))
        assert root.tag == "testsuites"
        assert (root.get("tests"), root.get("failures")) == ("2", "1")
        [suite] = root
        assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("documents_test.authz", "2", "1")
        passed, failed = suite
        assert (passed.get("name"), passed.get("line"), len(passed)) == ("owners read", "5", 0)
        [failure] = failed
        assert failure.get("message") == 'expected deny NO_ALLOW, got deny EXPLICIT_DENY by "documents:archived"'
        assert "resource.archived = true" in (failure.text or "")

    def test_names_are_escaped_and_what_xml_cannot_hold_is_replaced(self) -> None:
        """Issue 2: any test name makes well-formed XML 1.0."""
        report = run(r'test "<&\">\u{1}\u{fffe}\u{1f600}\n]]>" { as alice call "read_it" on plan expect deny }')
        root = ET.fromstring(to_junit(report))
        assert root[0][0].get("name") == '<&">\ufffd\ufffd\U0001f600\n]]>'
