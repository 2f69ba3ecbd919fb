"""What the tests have seen of a policy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from authz.lang.parser import parse_policy
from authz.lang.source import Source
from authz.lang.validator import validate
from authz.model import Request, Resource, Value
from authz.pap.coverage import Coverage, measure
from authz.pap.report import render_human, to_json
from authz.pdp.compiler import compile_policy

if TYPE_CHECKING:
    from authz.pdp.program import Program

POLICY = """\
let mine = resource.owner == subject.id

tool "read" on "doc" {
  require scope "read"
  allow "owner" when mine
  allow "open" when resource.open and not mine
}
"""


def program(policy: str = POLICY) -> Program:
    """Compile a policy of one file."""
    source = Source("p.authz", policy)
    tree, diagnostics = parse_policy(source)
    assert not diagnostics, [str(d) for d in diagnostics]
    return compile_policy(validate([(source, tree)]))


def ask(subject: str, scope: str = "read", *, is_open: bool | None = None) -> Request:
    """Ask to read Alice's document."""
    attributes: dict[str, Value] = {"owner": "alice"}
    if is_open is not None:
        attributes["open"] = is_open
    return Request(tool="read", subject=subject, scopes=(scope,), resource=Resource("doc", "1", "", attributes))


def cover(*requests: Request, policy: str = POLICY) -> Coverage:
    """Measure what the requests see."""
    compiled = program(policy)
    return measure(compiled, [compiled.explain(request) for request in requests])


def gaps(coverage: Coverage) -> list[tuple[str, str, str]]:
    """Return each gap's rule, condition and what is missing."""
    return [(gap.rule, gap.text if gap.condition else "", gap.missing) for gap in coverage.uncovered]


def test_each_rule_is_one_point_and_each_condition_two() -> None:
    """Issue 2: `--coverage` counts rules and the true and false outcomes of each condition."""
    coverage = cover()
    assert coverage.points == 3 + 2 * 3
    assert coverage.covered == 0
    assert coverage.percent == 0
    assert gaps(coverage) == [
        ("p:4", "", "never true"),
        ("p:owner", "", "never true"),
        ("p:owner", "resource.owner == subject.id", "never true"),
        ("p:owner", "resource.owner == subject.id", "never false"),
        ("p:open", "", "never true"),
        ("p:open", "resource.open", "never true"),
        ("p:open", "resource.open", "never false"),
        ("p:open", "resource.owner == subject.id", "never true"),
        ("p:open", "resource.owner == subject.id", "never false"),
    ]


def test_what_requests_have_seen_is_covered() -> None:
    """Issue 2: uncovered ones are named with their place."""
    coverage = cover(ask("alice", is_open=True), ask("bob", is_open=True))
    assert gaps(coverage) == [("p:open", "resource.open", "never false")]
    [gap] = coverage.uncovered
    assert (gap.file, gap.line) == ("p.authz", 6)
    assert coverage.percent == pytest.approx(100 * 8 / 9)


def test_everything_seen_is_a_hundred_percent() -> None:
    """Issue 2: nothing is left to name."""
    coverage = cover(ask("alice", is_open=True), ask("bob", is_open=True), ask("bob", is_open=False))
    assert coverage.uncovered == ()
    assert coverage.percent == 100


def test_a_condition_that_was_only_unknown_is_not_covered() -> None:
    """L50: a misspelt attribute is always unknown, and must not look tested."""
    coverage = cover(ask("bob"))
    assert ("p:open", "resource.open", "never true") in gaps(coverage)
    assert ("p:open", "resource.open", "never false") in gaps(coverage)
    [rule] = [rule for rule in coverage.rules if rule.name == "p:open"]
    assert (rule.true, rule.false, rule.unknown) == (0, 0, 1)


def test_outcomes_and_decisive_rules_are_counted() -> None:
    """Issue 2: a rule can be true without deciding."""
    compiled = program()
    requests = [ask("alice", is_open=True), ask("alice", is_open=True), ask("alice", "other", is_open=True)]
    coverage = measure(compiled, [compiled.explain(request) for request in requests])
    counts = {rule.name: (rule.true, rule.false, rule.unknown, rule.decisive) for rule in coverage.rules}
    assert counts == {"p:4": (2, 1, 0, 1), "p:owner": (3, 0, 0, 2), "p:open": (0, 3, 0, 0)}


def test_a_let_used_twice_in_a_rule_counts_once() -> None:
    """Issue 2: it is one condition at one place."""
    policy = 'let a = context.x\ntool "read" { allow "r" when a or not a }\n'
    request = Request(tool="read", subject="s", context={"x": True})
    [rule] = cover(request, policy=policy).rules
    assert [(c.text, c.true, c.false) for c in rule.conditions] == [("context.x", 1, 0)]


def test_a_policy_without_rules_has_nothing_to_cover() -> None:
    """L25: an empty policy denies everything."""
    coverage = cover(policy="# nothing\n")
    assert (coverage.points, coverage.percent) == (0, 100)


def test_people_read_each_gap_with_its_place() -> None:
    """Issue 2: prints uncovered ones with their place; 100 % is not claimed by rounding."""
    text = render_human(cover(ask("alice", is_open=True), ask("bob", is_open=True)))
    assert text == "p.authz:6:21: never false: resource.open in p:open\ncoverage 88.8 %: 8 of 9 points\n"
    assert render_human(cover()).startswith("p.authz:4:3: never true: require scope p:4\n")


def test_programs_read_it_as_json() -> None:
    """Issue 2: the same as data."""
    shown = json.loads(json.dumps(to_json(cover(ask("alice", is_open=True), ask("bob", is_open=True)))))
    assert (shown["points"], shown["covered"]) == (9, 8)
    assert shown["uncovered"] == [
        {
            "rule": "p:open",
            "condition": True,
            "text": "resource.open",
            "file": "p.authz",
            "line": 6,
            "column": 21,
            "missing": "never false",
        }
    ]
    assert [rule["name"] for rule in shown["rules"]] == ["p:4", "p:owner", "p:open"]
