"""Test results and coverage, for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from authz.json_form import decision_to_json, explanation_to_json
from authz.pap.testing import TestReport, TestResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.model import ConditionTrace, RuleTrace, Seen
    from authz.pap.coverage import Coverage, RuleCoverage

_MAX_SHOWN: Final = 200
"""Characters of one value in a trace: an argument may be the content of a file."""

_GREEN: Final = "32"
_RED: Final = "31"


def render_human(what: TestReport | Coverage, *, color: bool = False) -> str:
    """Return lines to read: each test with what failed and why, or what no test has covered."""
    lines = _test_lines(what, color) if isinstance(what, TestReport) else _coverage_lines(what, color)
    return "\n".join(lines) + "\n"


def to_json(what: TestReport | Coverage) -> dict[str, object]:
    """Return the same as a JSON object; a failed test carries its trace."""
    return _report_json(what) if isinstance(what, TestReport) else _coverage_json(what)


def to_junit(report: TestReport) -> str:
    """Return the results as JUnit XML."""
    from authz.pap.junit import to_junit as render  # noqa: PLC0415  only this format needs an XML library

    return render(report)


def failure_text(result: TestResult) -> str:
    """Return what was expected, what came, and how it came about, as several lines."""
    return "\n".join(_failure_lines(result))


# --- Tests ----------------------------------------------------------------------------------


def _test_lines(report: TestReport, color: bool) -> Iterable[str]:  # noqa: FBT001  private
    file = ""
    for result in report.results:
        if result.file != file:
            file = result.file
            yield visible(file)
        mark = _paint("ok  ", _GREEN, color) if result.passed else _paint("FAIL", _RED, color)
        yield f"  {mark}  {visible(result.name)}"
        if not result.passed:
            yield from (f"        {line}" for line in _failure_lines(result))
    yield _summary(report, color)


def _summary(report: TestReport, color: bool) -> str:  # noqa: FBT001  private
    failed = len(report.failures)
    passed = len(report.results) - failed
    parts = [_paint(f"{failed} failed", _RED, color)] if failed else []
    parts += [_paint(f"{passed} passed", _GREEN, color)] if passed else []
    parts += [f"{report.left_out} left out"] if report.left_out else []
    return ", ".join(parts) if report.results else ", ".join([_paint("no test ran", _RED, color), *parts])


def _failure_lines(result: TestResult) -> Iterable[str]:
    yield f"at {visible(result.file)}:{result.line}:{result.column}"
    yield f"expected  {result.expected}"
    yield f"actual    {result.actual}"
    yield f"differs   {', '.join(result.differences)}"
    yield f"message   {visible(result.decision.message)}"
    if result.explanation.nearest:
        yield f"nearest   {visible(result.explanation.nearest)}"
    yield "trace"
    if not result.explanation.rules:
        yield "  no rule had a say"
    for rule in result.explanation.rules:
        yield from _rule_lines(rule)


def _rule_lines(rule: RuleTrace) -> Iterable[str]:
    place = f"{visible(rule.file)}:{rule.line}:{rule.column}"
    yield f"  {rule.outcome.name.lower():7}  {visible(rule.kind)} {visible(rule.name)}  ({place})"
    for condition in rule.conditions:
        yield from _condition_lines(condition)


def _condition_lines(condition: ConditionTrace) -> Iterable[str]:
    yield f"    {condition.outcome.name.lower():7}  {visible(condition.text)}"
    for seen in condition.seen:
        yield f"             {_seen(seen)}"


def _seen(seen: Seen) -> str:
    if seen.problem:
        return f"{visible(seen.expression)} {visible(seen.problem)}"
    text = visible(json.dumps(seen.value, ensure_ascii=False, default=str))
    shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
    return f"{visible(seen.expression)} = {shown}"


def _report_json(report: TestReport) -> dict[str, object]:
    return {
        "passed": report.passed,
        "tests": len(report.results),
        "failures": len(report.failures),
        "left_out": report.left_out,
        "policy_revision": report.policy_revision,
        "results": [_result_json(result) for result in report.results],
    }


def _result_json(result: TestResult) -> dict[str, object]:
    shown: dict[str, object] = {
        "name": result.name,
        "file": result.file,
        "line": result.line,
        "column": result.column,
        "passed": result.passed,
        "seconds": round(result.duration, 9),
        "expected": result.expected,
        "actual": result.actual,
        "decision": decision_to_json(result.decision),
    }
    if not result.passed:
        shown["differences"] = list(result.differences)
        shown["explanation"] = explanation_to_json(result.explanation)
    return shown


# --- Coverage -------------------------------------------------------------------------------


def _coverage_lines(coverage: Coverage, color: bool) -> Iterable[str]:  # noqa: FBT001  private
    for gap in coverage.uncovered:
        place = f"{visible(gap.file)}:{gap.line}:{gap.column}"
        inside = f" in {visible(gap.rule)}" if gap.condition else f" {visible(gap.rule)}"
        yield f"{place}: {_paint(gap.missing, _RED, color)}: {visible(gap.text)}{inside}"
    total = f"coverage {percent_text(coverage)}: {coverage.covered} of {coverage.points} points"
    yield _paint(total, _RED if coverage.uncovered else _GREEN, color)


def percent_text(coverage: Coverage) -> str:
    """Return the percentage with one decimal, rounded down: 100.0 % means that nothing is missing."""
    tenths = 1000 * coverage.covered // coverage.points if coverage.points else 1000
    return f"{tenths // 10}.{tenths % 10} %"


def _coverage_json(coverage: Coverage) -> dict[str, object]:
    return {
        "percent": coverage.percent,
        "points": coverage.points,
        "covered": coverage.covered,
        "rules": [_rule_json(rule) for rule in coverage.rules],
        "uncovered": [
            {
                "rule": gap.rule,
                "condition": gap.condition,
                "text": gap.text,
                "file": gap.file,
                "line": gap.line,
                "column": gap.column,
                "missing": gap.missing,
            }
            for gap in coverage.uncovered
        ],
    }


def _rule_json(rule: RuleCoverage) -> dict[str, object]:
    return {
        "name": rule.name,
        "kind": rule.kind,
        "file": rule.file,
        "line": rule.line,
        "column": rule.column,
        "true": rule.true,
        "false": rule.false,
        "unknown": rule.unknown,
        "decisive": rule.decisive,
        "conditions": [
            {
                "text": condition.text,
                "file": condition.file,
                "line": condition.line,
                "column": condition.column,
                "true": condition.true,
                "false": condition.false,
                "unknown": condition.unknown,
            }
            for condition in rule.conditions
        ],
    }


# --- Text -----------------------------------------------------------------------------------


def visible(text: str) -> str:
    r"""Write what could act on a terminal, or hide, as `\u{…}`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text)


def _paint(text: str, code: str, color: bool) -> str:  # noqa: FBT001  private
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
