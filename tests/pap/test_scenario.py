"""What a test file asks, and what can be wrong with it (L80)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from authz.errors import PolicyError
from authz.lang.parser import parse_tests
from authz.lang.source import Source
from authz.model import Client, Request, Resource, ToolInfo
from authz.pap.scenario import read_scenarios

RULES = ("documents:owner", "documents:shared", "documents:12")


def requests(*texts: str) -> list[Request]:
    """Return the requests of test files that have no errors."""
    files = []
    for index, text in enumerate(texts):
        source = Source(f"f{index}_test.authz", text)
        tree, diagnostics = parse_tests(source)
        assert not diagnostics, [str(d) for d in diagnostics]
        files.append((source, tree))
    return [scenario.request for scenario in read_scenarios(files, RULES)]


def problems(*texts: str) -> list[tuple[str, str, str]]:
    """Return code, message and underlined text of every problem."""
    with pytest.raises(PolicyError) as caught:
        requests(*texts)
    return [(d.code, d.message, d.source.slice(d.span)) for d in caught.value.diagnostics]


def helps(text: str) -> list[str]:
    """Return what every problem advises."""
    with pytest.raises(PolicyError) as caught:
        requests(text)
    return [d.help for d in caught.value.diagnostics]


def case(caller: str = 'subject "a"', call: str = 'call "t"', expect: str = "expect deny", name: str = "x") -> str:
    """Write one test."""
    return f'test "{name}" {{ as {caller} {call} {expect} }}\n'


class TestRequests:
    """From fixtures and clauses to a request."""

    def test_a_caller_and_a_resource_come_from_fixtures(self) -> None:
        """L80: a caller is a fixture, and so is a resource; tenant and ancestors are the built-in ones."""
        [request] = requests(
            'fixture alice = subject "alice" { department: "legal" } scopes "docs:read" roles "viewer" tenant "acme"\n'
            'fixture plan = resource "document" "d1" { owner: "alice", tenant: "acme", ancestors: ["folder:1"] }\n'
            + case("alice", 'call "read" { path: "/a" } on plan at "2026-01-01T12:00:00Z"')
        )
        assert request == Request(
            tool="read",
            subject="alice",
            scopes=("docs:read",),
            roles=("viewer",),
            tenant="acme",
            resource=Resource("document", "d1", "acme", {"owner": "alice"}, ("folder:1",)),
            arguments={"path": "/a"},
            subject_attributes={"department": "legal"},
            now=datetime(2026, 1, 1, 12, tzinfo=UTC),
        )

    def test_a_caller_and_a_resource_can_be_written_in_place(self) -> None:
        """L80: `subject "id" { … }` and `resource "type" "id" { … }` stand for themselves."""
        [request] = requests(case('subject "bob" { x: 1 }', 'call "t" on resource "doc" "1" { size: 2.5 }'))
        assert request == Request(
            tool="t",
            subject="bob",
            subject_attributes={"x": 1},
            resource=Resource("doc", "1", attributes={"size": 2.5}),
        )

    def test_anonymous_names_no_subject(self) -> None:
        """L80: the caller may be `anonymous`, directly or as a fixture."""
        direct, fixture = requests(
            'fixture nobody = anonymous tenant "acme"\n' + case("anonymous") + case("nobody", name="y")
        )
        assert (direct.anonymous, direct.subject, direct.tenant) == (True, "", "")
        assert (fixture.anonymous, fixture.subject, fixture.tenant) == (True, "", "acme")

    def test_every_clause_fills_its_part_of_the_request(self) -> None:
        """L80: the list of `with` clauses."""
        [request] = requests(
            case(
                'subject "a" with scopes "s1", "s2", roles "r1", "r2", tenant "t1", context { mfa: true }, '
                'subject { level: 3 }, client "c" { kind: "agent" }, tool { server: "fs", tags: ["x"], '
                "read_only: true, destructive: false, open_world: null }"
            )
        )
        assert request == Request(
            tool="t",
            subject="a",
            scopes=("s1", "s2"),
            roles=("r1", "r2"),
            tenant="t1",
            context={"mfa": True},
            subject_attributes={"level": 3},
            client=Client("c", {"kind": "agent"}),
            tool_info=ToolInfo("fs", ("x",), read_only=True, destructive=False),
        )

    def test_a_later_clause_replaces_an_earlier_one_of_its_kind(self) -> None:
        """L80: the whole of it, nothing is merged; kinds that are not named stay."""
        [request] = requests(
            'fixture a = subject "a" { x: 1, y: 2 } scopes "one", "two" roles "r" tenant "t"\n'
            + case('a with scopes "three", subject { y: 3 }, tenant "u", tenant "v"')
        )
        assert request.scopes == ("three",)
        assert request.subject_attributes == {"y": 3}
        assert request.roles == ("r",)
        assert request.tenant == "v"

    def test_fixtures_belong_to_their_file(self) -> None:
        """Issue 2: the same name may mean another subject in another file."""
        one, two = requests('fixture a = subject "1"\n' + case("a"), 'fixture a = subject "2"\n' + case("a"))
        assert (one.subject, two.subject) == ("1", "2")

    def test_a_fixture_may_stand_after_the_test_that_uses_it(self) -> None:
        """L65 in spirit: the order of declarations means nothing."""
        [request] = requests(case("late") + 'fixture late = subject "l"\n')
        assert request.subject == "l"

    def test_braces_hold_json_with_bare_or_quoted_keys(self) -> None:
        """L80: a value in braces is JSON; kinds of values stay apart."""
        [request] = requests(
            case(call='call "t" { a: [1, "1", true, null], "b c": { d: -2.5 }, when: "2026-01-01T00:00:00Z" }')
        )
        assert request.arguments == {
            "a": [1, "1", True, None],
            "b c": {"d": -2.5},
            "when": "2026-01-01T00:00:00Z",
        }

    def test_a_null_tenant_is_as_good_as_none(self) -> None:
        """L12: JSON null is a missing attribute."""
        [request] = requests(case(call='call "t" on resource "d" "1" { tenant: null, ancestors: null, x: null }'))
        assert request.resource == Resource("d", "1", "", {"x": None}, ())


class TestProblems:
    """Every problem has a code, a message, a place, and is reported with all others."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param(
                'fixture alice = subject "a"\n' + case("alcie"),
                ("unknown-fixture", "there is no fixture named `alcie` in this file", "alcie"),
                id="unknown caller",
            ),
            pytest.param(
                case(call='call "t" on plan'),
                ("unknown-fixture", "there is no fixture named `plan` in this file", "plan"),
                id="unknown resource",
            ),
            pytest.param(
                'fixture a = subject "a"\n' + case(call='call "t" on a'),
                ("wrong-fixture-kind", "`a` is a subject, and a resource stands after `on`", "a"),
                id="subject as resource",
            ),
            pytest.param(
                'fixture d = resource "d" "1"\n' + case("d"),
                ("wrong-fixture-kind", "`d` is a resource, and a subject stands after `as`", "d"),
                id="resource as caller",
            ),
            pytest.param(
                'fixture a = subject "a"\nfixture b = a\n' + case("b"),
                ("invalid-fixture", "the fixture `b` is neither a subject nor a resource", "a"),
                id="fixture of a fixture",
            ),
            pytest.param(
                'fixture now = subject "a"\n' + case("now"),
                ("reserved-name", "`now` already names a part of the request", "now"),
                id="a name of L30",
            ),
            pytest.param(
                'fixture anonymous = subject "a"\n' + case("anonymous"),
                ("reserved-name", "`anonymous` already names a part of the test", "anonymous"),
                id="a name that callers could never use",
            ),
            pytest.param(
                'fixture a = subject "1"\nfixture a = subject "2"\n' + case("a"),
                ("duplicate-declaration", "fixture `a` is declared twice", "a"),
                id="two fixtures",
            ),
            pytest.param(
                case() + case(),
                ("duplicate-test", "there are two tests named `x` in this file", '"x"'),
                id="two tests",
            ),
            pytest.param("# nothing\n", ("empty-test-file", "this test file holds no test", ""), id="no test"),
            pytest.param(
                'fixture a = subject "a"\n',
                ("empty-test-file", "this test file holds no test", ""),
                id="only a fixture",
            ),
            pytest.param(
                case('subject "a" with rolez "x"'),
                ("unknown-clause", "there is no clause `rolez`", 'rolez "x"'),
                id="misspelt clause",
            ),
            pytest.param(
                case('subject "a" with "x"'),
                ("unknown-clause", "this string belongs to no clause", '"x"'),
                id="string without clause",
            ),
            pytest.param(
                case('subject "a" with tenant "x", "y"'),
                ("wrong-clause-value", "`tenant` takes one string", 'tenant "x", "y"'),
                id="two tenants",
            ),
            pytest.param(
                case('subject "a" with scopes { x: 1 }'),
                ("wrong-clause-value", "`scopes` takes one string or more", "scopes { x: 1 }"),
                id="scopes in braces",
            ),
            pytest.param(
                'fixture a = subject "a" context "x"\n' + case("a"),
                ("wrong-clause-value", "`context` takes braces and no string", 'context "x"'),
                id="context as string, in a fixture",
            ),
            pytest.param(
                case('subject "a" with client { x: 1 }'),
                ("wrong-clause-value", "`client` takes one string, and braces if it has attributes", "client { x: 1 }"),
                id="client without id",
            ),
            pytest.param(
                case('subject "a" with tool { sever: "x" }'),
                ("unknown-clause-attribute", "a tool has no attribute `sever`", 'sever: "x"'),
                id="unknown attribute of a tool",
            ),
            pytest.param(
                case('subject "a" with tool { read_only: "true" }'),
                ("wrong-clause-value", "`read_only` must be `true` or `false`", '"true"'),
                id="hint as string",
            ),
            pytest.param(
                case('subject "a" with tool { tags: ["a", 1] }'),
                ("wrong-clause-value", "`tags` must be a list of strings", '["a", 1]'),
                id="tags of mixed kinds",
            ),
            pytest.param(
                'fixture d = resource "d" "1" { tenant: 5 }\n' + case(call='call "t" on d'),
                ("wrong-clause-value", "`tenant` must be a string", "5"),
                id="tenant as number",
            ),
            pytest.param(
                case(call='call "t" on resource "d" "1" { ancestors: "folder:1" }'),
                ("wrong-clause-value", "`ancestors` must be a list of strings", '"folder:1"'),
                id="ancestors as string",
            ),
            pytest.param(
                case(call='call "t" { a: { b: 1, "b": 2 } }'),
                ("duplicate-declaration", "`b` is given twice", '"b": 2'),
                id="a key twice",
            ),
            pytest.param(
                case(expect='expect allow then "x" { a: 1, a: 2 }'),
                ("duplicate-declaration", "`a` is given twice", "a"),
                id="a parameter twice",
            ),
            pytest.param(
                case(expect='expect allow then "x" { a: ["y", tenant] }'),
                ("not-a-literal", "an obligation takes literals only", '["y", tenant]'),
                id="a parameter that is computed",
            ),
            pytest.param(
                case(call='call "t" at "2026-01-01"'),
                ("invalid-time", "`2026-01-01` is not a time with an offset", '"2026-01-01"'),
                id="a day is no time",
            ),
            pytest.param(
                case(expect="expect deny NO_ALOW"),
                ("unknown-reason", "there is no reason `NO_ALOW`", "NO_ALOW"),
                id="unknown reason",
            ),
            pytest.param(
                case(expect='expect deny by "documents:owner", "documents:onwer"'),
                ("unknown-rule", "the policy has no rule named `documents:onwer`", '"documents:onwer"'),
                id="unknown rule",
            ),
            pytest.param(
                case(call='call ""'),
                ("invalid-request", "invalid request: `tool`: must not be empty", '""'),
                id="L60: no tool",
            ),
            pytest.param(
                case('subject ""'),
                (
                    "invalid-request",
                    "invalid request: `subject`: must not be empty unless `anonymous` is set",
                    '""',
                ),
                id="L60: no subject",
            ),
            pytest.param(
                case('subject "a" with scopes "x\\u{1b}"'),
                ("invalid-request", "invalid request: `scopes[0]`: holds a control character", 'scopes "x\\u{1b}"'),
                id="L60: control character in a scope",
            ),
            pytest.param(
                case(call='call "t" on resource "e\\u{301}" "1"'),
                (
                    "invalid-request",
                    "invalid request: `resource.type`: is not in Unicode normal form NFC",
                    'resource "e\\u{301}" "1"',
                ),
                id="L60: type not in NFC",
            ),
            pytest.param(
                case(call='call "t" { a: ' + "[" * 33 + "]" * 33 + " }"),
                (
                    "invalid-request",
                    "invalid request: `arguments.a" + "[0]" * 31 + "`: nests deeper than 32 levels",
                    "{ a: " + "[" * 33 + "]" * 33 + " }",
                ),
                id="L60: too deep",
            ),
        ],
    )
    def test_a_problem_is_named_at_its_place(self, text: str, expected: tuple[str, str, str]) -> None:
        """L80 and L5: what is wrong, and where."""
        assert problems(text) == [expected]

    def test_all_problems_of_all_files_are_reported_in_order(self) -> None:
        """L5: every error is reported, not only the first."""
        found = problems(
            case("nobody", expect="expect deny NOPE") + case('subject "a" with foo "x"', 'call "t" at "now"', name="y"),
            "",
        )
        assert [code for code, _, _ in found] == [
            "unknown-fixture",
            "unknown-reason",
            "unknown-clause",
            "invalid-time",
            "empty-test-file",
        ]

    def test_a_fixture_that_is_wrong_is_reported_once_however_often_it_is_used(self) -> None:
        """L5: no complaints that another error causes."""
        text = 'fixture a = subject "a" tenant "x", "y"\n' + case("a") + case("a", name="y")
        assert [code for code, _, _ in problems(text)] == ["wrong-clause-value"]

    def test_a_fixture_that_no_test_uses_is_checked_too(self) -> None:
        """L5: every error is reported."""
        text = 'fixture d = resource "d" "1" { tenant: 1 }\n' + case()
        assert [code for code, _, _ in problems(text)] == ["wrong-clause-value"]

    def test_near_names_are_offered(self) -> None:
        """L5: a near name when one exists, of the kind that fits."""
        text = (
            'fixture alice = subject "a"\nfixture alicf = resource "d" "1"\n'
            + case("alicg", expect='expect allow MISSING_ROL by "documents:ownr"')
            + case('subject "a" with scope_ "x"', name="y")
        )
        assert helps(text) == [
            "did you mean `alice`?",
            "did you mean `MISSING_ROLE`?",
            "did you mean `documents:owner`?",
            "did you mean `scopes`?",
        ]

    def test_what_a_syntax_error_left_out_is_not_complained_about(self) -> None:
        """L5: checking goes on without the complaints that the gap itself would cause."""
        source = Source("a_test.authz", 'fixture alice = subject\ntest "x" { as alice call "t" expect deny }\n')
        tree, diagnostics = parse_tests(source)
        assert diagnostics
        assert tree.broken
        assert read_scenarios([(source, tree)], RULES) == ()


class TestTimes:
    """`at` takes the times of L12."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
            ("2026-01-31T08:00:00.5Z", datetime(2026, 1, 31, 8, 0, 0, 500_000, tzinfo=UTC)),
            ("2026-01-31T08:00:00.123456000Z", datetime(2026, 1, 31, 8, 0, 0, 123_456, tzinfo=UTC)),
            ("2026-01-31T08:00:00-05:30", datetime(2026, 1, 31, 13, 30, tzinfo=UTC)),
            ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
            ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ],
    )
    def test_a_time_with_an_offset_is_read_exactly(self, text: str, expected: datetime) -> None:
        """L12: RFC 3339, up to nine fractional digits."""
        [request] = requests(case(call=f'call "t" at "{text}"'))
        assert request.now == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "now",
            "2026-01-31",
            "2026-01-31T08:00:00",
            "2026-01-31 08:00:00Z",
            "2026-02-30T08:00:00Z",
            "2026-01-31T23:59:60Z",
            "2026-01-31T08:00:00.1234567Z",
            "2026-01-31T08:00:00+24:00",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-00:01",
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        """L12, and: a test must not be asked at an instant other than the one it names."""
        [(code, _, place)] = problems(case(call=f'call "t" at "{text}"'))
        assert (code, place) == ("invalid-time", f'"{text}"')
