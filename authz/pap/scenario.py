"""Test files become scenarios: for each test the request that it describes (L80).

Everything that is wrong in the files is found before the first test runs. A test that asks
something other than its author meant would pass for the wrong reason.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from authz.errors import InvalidRequestError, PolicyError
from authz.lang import ast
from authz.lang.diagnostics import in_order, near
from authz.lang.source import Source
from authz.lang.symbols import ROOTS
from authz.model import Client, Reason, Request, Resource
from authz.pap import clauses as parts
from authz.pap.clauses import Problems

TestFiles: TypeAlias = Sequence[tuple[Source, ast.TestFile]]

_REASONS: Final = frozenset(reason.name for reason in Reason)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One test: where it stands, what it asks, and what it expects."""

    source: Source
    case: ast.TestCase
    request: Request


def read_scenarios(tests: TestFiles, rules: Collection[str]) -> tuple[Scenario, ...]:
    """Return the tests of all files in order; `rules` are the names that the policy gives (L23).

    Raises PolicyError with every problem of every file.
    """
    readers = [_FileReader(source, file, frozenset(rules)) for source, file in tests]
    scenarios = tuple(scenario for reader in readers for scenario in reader.read())
    problems = in_order(problem for reader in readers for problem in reader.problems.found)
    if problems:
        raise PolicyError(problems)
    return scenarios


def meant(source: Source, name: str) -> frozenset[str]:
    """Return the names of rules that a name after `by` stands for: it may leave out its file's folder (L80)."""
    folder, slash, _ = source.name.rpartition("/")
    return frozenset({name, f"{folder}{slash}{name}"})


class _FileReader:
    """One test file: its fixtures, the names of those that are wrong, and the problems so far."""

    __slots__ = ("bad", "file", "fixtures", "problems", "rules", "source")

    def __init__(self, source: Source, file: ast.TestFile, rules: frozenset[str]) -> None:
        self.source = source
        self.file = file
        self.rules = rules
        self.fixtures: dict[str, ast.Fixture] = {}
        self.bad: set[str] = set()
        self.problems = Problems(source)

    def read(self) -> list[Scenario]:
        """Return the tests whose requests are valid; the others are among the problems."""
        cases: dict[str, ast.TestCase] = {}
        for item in self.file.items:
            if isinstance(item, ast.Fixture):
                self.add_fixture(item)
            elif item.name.value in cases:
                self.problems.add(
                    "duplicate-test",
                    f"there are two tests named `{item.name.value}` in this file",
                    item.name.span,
                    "give each test a name of its own",
                    cases[item.name.value].name.span,
                )
            else:
                cases[item.name.value] = item
        if not cases and not self.file.broken:
            self.problems.add(
                "empty-test-file",
                "this test file holds no test",
                ast.Span(0, 0),
                'add a test, `test "…" { … }`, or remove the file',
            )
        tests = [item for item in self.file.items if isinstance(item, ast.TestCase)]
        return [scenario for case in tests if (scenario := self.scenario(case)) is not None]

    # --- Fixtures -----------------------------------------------------------------------

    def add_fixture(self, fixture: ast.Fixture) -> None:
        """Take note of a fixture, and check it even where no test uses it."""
        before = len(self.problems.found)
        name = fixture.name.text
        if name in self.fixtures:
            first = self.fixtures[name].name.span
            message = f"fixture `{name}` is declared twice"
            self.problems.add("duplicate-declaration", message, fixture.name.span, first=first)
            return
        self.fixtures[name] = fixture
        if name in ROOTS or name == "anonymous":
            whole = "request" if name in ROOTS else "test"
            message = f"`{name}` already names a part of the {whole}"
            self.problems.add("reserved-name", message, fixture.name.span, "choose another name")
        if _kind(fixture) == "name":
            self.problems.add(
                "invalid-fixture",
                f"the fixture `{name}` is neither a subject nor a resource",
                fixture.value.span,
                'write `subject "…"`, `anonymous` or `resource "…" "…"` after the `=`',
            )
        if isinstance(fixture.value, ast.ResourceSpec):
            parts.resource(fixture.value, self.problems)
        elif isinstance(fixture.value, ast.SubjectSpec):
            parts.json_object(fixture.value.attributes, self.problems)
        parts.check_clauses(fixture.clauses, self.problems)
        if len(self.problems.found) > before:
            self.bad.add(name)

    def fixture(self, name: ast.Name, wanted: Literal["subject", "resource"]) -> ast.Fixture | None:
        """Return the fixture of that name, or None when it, or its use here, is among the problems."""
        fixture = self.fixtures.get(name.text)
        if fixture is None:
            if not self.file.broken:  # it may be what the syntax error left out
                same = (known for known, value in self.fixtures.items() if _kind(value) == wanted)
                self.problems.add(
                    "unknown-fixture",
                    f"there is no fixture named `{name.text}` in this file",
                    name.span,
                    near(name.text, same) or f"write `fixture {name.text} = {wanted} …` in this file",
                )
            return None
        if name.text in self.bad:
            return None
        if _kind(fixture) != wanted:
            place, other = ("after `as`", "resource") if wanted == "subject" else ("after `on`", "subject")
            self.problems.add(
                "wrong-fixture-kind",
                f"`{name.text}` is a {other}, and a {wanted} stands {place}",
                name.span,
                f"name a fixture that is a {wanted}",
                fixture.name.span,
            )
            return None
        return fixture

    # --- Tests --------------------------------------------------------------------------

    def scenario(self, case: ast.TestCase) -> Scenario | None:
        """Build one test's request as L80 says, or report why there is none."""
        before = len(self.problems.found)
        self.check_expectation(case.expectation)
        parts.check_clauses(case.clauses, self.problems)
        caller, clauses = self.caller(case)
        resource = self.resource(case)
        arguments = parts.json_object(case.arguments, self.problems)
        now = parts.time(case.at, self.problems) if case.at is not None else None
        unresolved = caller is None or (case.resource is not None and resource is None)
        if unresolved or len(self.problems.found) > before:
            return None
        assert caller is not None
        texts = {kind: tuple(text.value for text in clause.texts) for kind, clause in clauses.items()}
        values = {kind: parts.json_object(clause.attributes, self.problems) for kind, clause in clauses.items()}
        try:
            request = Request(
                tool=case.tool.value,
                subject=caller.id.value if caller.id is not None else "",
                anonymous=caller.id is None,
                scopes=texts.get("scopes", ()),
                roles=texts.get("roles", ()),
                tenant=texts.get("tenant", ("",))[0],
                resource=resource,
                arguments=arguments,
                context=values.get("context", {}),
                subject_attributes=values.get("subject", {}),
                client=Client(texts["client"][0], values["client"]) if "client" in clauses else None,
                tool_info=parts.tool_info(clauses["tool"], self.problems) if "tool" in clauses else None,
                now=now,
            )
        except InvalidRequestError as error:
            span = _place(error.field, case, caller, clauses)
            self.problems.add("invalid-request", f"invalid request: `{error.field}`: {error.problem}", span)
            return None
        return Scenario(self.source, case, request)

    def caller(self, case: ast.TestCase) -> tuple[ast.SubjectSpec | None, dict[str, ast.Clause]]:
        """Return who asks, and the last clause of each kind (L80)."""
        spec: ast.SubjectSpec | None = None
        clauses: tuple[ast.Clause, ...] = ()
        if isinstance(case.caller, ast.SubjectSpec):
            spec = case.caller
        elif (fixture := self.fixture(case.caller, "subject")) is not None:
            assert isinstance(fixture.value, ast.SubjectSpec)  # fixture() has looked
            spec, clauses = fixture.value, fixture.clauses
        if spec is not None and spec.attributes is not None:
            clauses = (ast.Clause("subject", (), spec.attributes, spec.attributes.span), *clauses)
        return spec, {clause.kind: clause for clause in (*clauses, *case.clauses)}

    def resource(self, case: ast.TestCase) -> Resource | None:
        if case.resource is None:
            return None
        if isinstance(case.resource, ast.ResourceSpec):
            return parts.resource(case.resource, self.problems)
        fixture = self.fixture(case.resource, "resource")
        if fixture is None:
            return None
        assert isinstance(fixture.value, ast.ResourceSpec)  # fixture() has looked
        return parts.resource(fixture.value, self.problems)

    # --- Expectations -------------------------------------------------------------------

    def check_expectation(self, expectation: ast.Expectation) -> None:
        """Find what no decision could ever have: another reason, another rule."""
        reason = expectation.reason
        if reason is not None and reason.text not in _REASONS:
            self.problems.add(
                "unknown-reason",
                f"there is no reason `{reason.text}`",
                reason.span,
                near(reason.text.upper(), _REASONS) or f"the reasons are {', '.join(r.name for r in Reason)}",
            )
        for rule in expectation.rules or ():
            if self.rules.isdisjoint(meant(self.source, rule.value)):
                folder = self.source.name.rpartition("/")[0] + "/"
                known = self.rules | {name.removeprefix(folder) for name in self.rules}
                self.problems.add(
                    "unknown-rule",
                    f"the policy has no rule named `{rule.value}`",
                    rule.span,
                    near(rule.value, known) or "a rule is named `file:label`, or `file:line` without a label",
                )
        for clause in expectation.obligations or ():
            self.check_obligation(clause)

    def check_obligation(self, clause: ast.ObligationClause) -> None:
        """Check an obligation as the policy's own are checked (L22)."""
        names: set[str] = set()
        for parameter in clause.parameters:
            name = parameter.name.text
            if name in names:
                self.problems.add("duplicate-declaration", f"`{name}` is given twice", parameter.name.span)
            names.add(name)
            if not _is_literal(parameter.value):
                self.problems.add("not-a-literal", "an obligation takes literals only", parameter.value.span)


def _kind(fixture: ast.Fixture) -> Literal["subject", "resource", "name"]:
    """Return what a fixture is; the grammar also takes the name of another one."""
    value: object = fixture.value
    if isinstance(value, ast.SubjectSpec):
        return "subject"
    return "resource" if isinstance(value, ast.ResourceSpec) else "name"


def _is_literal(value: ast.Expr) -> bool:
    if isinstance(value, ast.SetLiteral):
        return all(_is_literal(item) for item in value.items)
    return isinstance(value, ast.StringLiteral | ast.NumberLiteral | ast.BoolLiteral | ast.DurationLiteral)


def _place(field: str, case: ast.TestCase, caller: ast.SubjectSpec, clauses: dict[str, ast.Clause]) -> ast.Span:
    """Return the part of a test that gave a field of the request (L60)."""
    part = re.split(r"[.\[ ]", field, maxsplit=1)[0]
    kind = {"subject_attributes": "subject", "tool_info": "tool"}.get(part, part)
    if part == "tool":
        return case.tool.span
    if part in {"subject", "anonymous"}:
        return caller.id.span if caller.id is not None else caller.span
    if part == "arguments" and case.arguments is not None:
        return case.arguments.span
    if part == "resource" and case.resource is not None:
        return case.resource.span
    return clauses[kind].span if kind in clauses else case.name.span
