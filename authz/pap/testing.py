"""Run the tests of a policy (L80): each asks the program one question and compares the answer.

An expectation that names something must find exactly that; what it does not name is not
compared. A test without `at` is asked at one instant for the whole run, so that the decision
and its trace cannot differ by a tick of the clock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

from authz.lang import ast
from authz.model import Decision, Effect, Explanation, Obligation, Value
from authz.pap.scenario import Scenario, TestFiles, meant, read_scenarios

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.lang.source import Source
    from authz.pdp.program import Program


@dataclass(frozen=True, slots=True)
class TestResult:
    """What came of one test. `duration` is the decision's, in seconds.

    `expected` and `actual` are written as in an `expect`; `differences` says what of the
    expectation was not met, and is empty exactly when the test passed.
    """

    __test__: ClassVar[bool] = False  # pytest collects classes by this name

    name: str
    file: str
    line: int
    column: int
    passed: bool
    expected: str
    actual: str
    differences: tuple[str, ...]
    decision: Decision
    explanation: Explanation
    duration: float


@dataclass(frozen=True, slots=True)
class TestReport:
    """The results in the order of files and tests; `left_out` counts what `select` skipped."""

    __test__: ClassVar[bool] = False

    results: tuple[TestResult, ...]
    policy_revision: str
    left_out: int = 0

    @property
    def failures(self) -> tuple[TestResult, ...]:
        """Return the tests that did not pass."""
        return tuple(result for result in self.results if not result.passed)

    @property
    def passed(self) -> bool:
        """Say whether every test passed, and at least one ran: nothing proves nothing."""
        return bool(self.results) and not self.failures

    @property
    def explanations(self) -> tuple[Explanation, ...]:
        """Return what `authz.pap.coverage.measure` counts."""
        return tuple(result.explanation for result in self.results)


def run_tests(program: Program, tests: TestFiles, select: str = "", now: datetime | None = None) -> TestReport:
    """Run the tests whose name or file holds `select`, whatever its case; "" selects all.

    `now` is the time for tests without `at`, by default the clock's. Raises PolicyError with
    every problem of the test files, also of tests that are not selected.
    """
    rules = {rule.name for rule in program.outline() if rule.kind != "derived role"}  # a role never decides (L66)
    scenarios = read_scenarios(tests, rules)
    wanted = select.casefold()
    chosen = [s for s in scenarios if wanted in s.case.name.value.casefold() or wanted in s.source.path.casefold()]
    moment = now or datetime.now(UTC)
    results = tuple(_run(program, scenario, moment) for scenario in chosen)
    return TestReport(results, program.revision, len(scenarios) - len(results))


def _run(program: Program, scenario: Scenario, now: datetime) -> TestResult:
    request = scenario.request if scenario.request.now is not None else replace(scenario.request, now=now)
    start = perf_counter()
    decision = program.decide(request)
    duration = perf_counter() - start
    expectation = scenario.case.expectation
    differences = tuple(_differences(scenario, decision))
    line, column = scenario.source.place(scenario.case.span.start)
    return TestResult(
        name=scenario.case.name.value,
        file=scenario.source.path,
        line=line,
        column=column,
        passed=not differences,
        expected=expected_text(expectation),
        actual=actual_text(decision),
        differences=differences,
        decision=decision,
        explanation=program.explain(request),
        duration=duration,
    )


def _differences(scenario: Scenario, decision: Decision) -> Iterable[str]:
    """Name the parts of the expectation that the decision does not meet."""
    expectation = scenario.case.expectation
    effect = Effect.ALLOW if expectation.effect == "allow" else Effect.DENY
    if decision.effect is not effect:
        yield "decision"
    if expectation.reason is not None and expectation.reason.text != decision.reason.name:
        yield "reason"
    if expectation.rules is not None and not _same_rules(scenario.source, expectation.rules, decision.rules):
        yield "rules"
    if expectation.missing is not None and _values(expectation.missing) != set(decision.missing_scopes):
        yield "missing scopes"
    if expectation.obligations is not None:
        wanted = {_key(obligation) for obligation in map(_obligation, expectation.obligations)}
        if wanted != {_key(obligation) for obligation in decision.obligations}:
            yield "obligations"


def _same_rules(source: Source, named: tuple[ast.Text, ...], rules: tuple[str, ...]) -> bool:
    """Say whether each name stands for a rule that decided, and each rule that did is named (L80)."""
    wanted = [meant(source, name) for name in _values(named)]
    return frozenset(rules).issubset(frozenset().union(*wanted)) and not any(map(frozenset(rules).isdisjoint, wanted))


def _values(texts: tuple[ast.Text, ...]) -> set[str]:
    return {text.value for text in texts}


# --- Obligations ----------------------------------------------------------------------------


def _obligation(clause: ast.ObligationClause) -> Obligation:
    return Obligation(clause.name.value, {p.name.text: _literal(p.value) for p in clause.parameters})


def _literal(node: ast.Expr) -> Value:
    match node:
        case ast.StringLiteral() | ast.NumberLiteral() | ast.BoolLiteral():
            return node.value
        case ast.DurationLiteral():
            return node.text
        case ast.SetLiteral():
            return [_literal(item) for item in node.items]
        case _:
            raise AssertionError(node)  # read_scenarios() has refused it


def _key(obligation: Obligation) -> str:
    """Return a text that is equal for equal obligations: a set has no order, `1` is not `true`."""
    return json.dumps([obligation.name, _canonical(obligation.parameters)], sort_keys=True)


def _canonical(value: object) -> object:
    if isinstance(value, (list, tuple, set, frozenset)):
        return sorted({json.dumps(_canonical(item), sort_keys=True) for item in value})
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return {k: _canonical(v) for k, v in value.items()} if hasattr(value, "items") else value


# --- Expectations as text -------------------------------------------------------------------


def expected_text(expectation: ast.Expectation) -> str:
    """Return an expectation as it would be written after `expect`, in one line."""
    reason = expectation.reason.text if expectation.reason is not None else ""
    return _text(
        expectation.effect,
        reason,
        sorted(_values(expectation.rules or ())),
        sorted(_values(expectation.missing or ())),
        map(_obligation, expectation.obligations or ()),
    )


def actual_text(decision: Decision) -> str:
    """Return a decision as the expectation that names all of it."""
    return _text(
        decision.effect.name.lower(),
        decision.reason.name,
        decision.rules,
        decision.missing_scopes,
        decision.obligations,
    )


def _text(
    effect: str, reason: str, rules: Iterable[str], missing: Iterable[str], obligations: Iterable[Obligation]
) -> str:
    parts = [effect, reason]
    for word, names in (("by", rules), ("missing", missing)):
        listed = ", ".join(map(_quoted, names))
        parts.append(f"{word} {listed}" if listed else "")
    for obligation in obligations:
        inside = ", ".join(f"{key}: {_shown(value)}" for key, value in obligation.parameters.items())
        parts.append(f"then {_quoted(obligation.name)}" + (f" {{ {inside} }}" if inside else ""))
    return " ".join(part for part in parts if part)


def _shown(value: object) -> str:
    return _quoted(value) if isinstance(value, str) else json.dumps(value, default=list)


def _quoted(text: str) -> str:
    r"""Write a string as L4 does; what could act on a terminal stands as `\u{…}`."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
    return '"' + "".join(escapes.get(c) or (c if c.isprintable() else f"\\u{{{ord(c):x}}}") for c in text) + '"'
