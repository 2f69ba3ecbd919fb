"""All errors at once, each said once, whatever the text (L5, L6)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from authz.errors import PolicyError
from authz.lang.limits import DEFAULT_LIMITS, Limits
from authz.lang.machine import Machine
from authz.lang.parser import parse_policy, parse_tests
from authz.lang.source import Source
from authz.lang.validator import validate

if TYPE_CHECKING:
    from authz.lang.lexer import Token


def _errors(*texts: str, limits: Limits = DEFAULT_LIMITS) -> list[str]:
    """Return what is said of files a.authz, b.authz… as `file:line:column code`."""
    sources = [Source(f"{'abcdefgh'[index]}.authz", text) for index, text in enumerate(texts)]
    parsed = [(source, *parse_policy(source, limits)) for source in sources]
    found = [diagnostic for _, _, diagnostics in parsed for diagnostic in diagnostics]
    try:
        validate([(source, tree) for source, tree, _ in parsed], limits, found)
    except PolicyError as error:
        return [
            f"{d.source.name}:{':'.join(map(str, d.source.place(d.span.start)))} {d.code}" for d in error.diagnostics
        ]
    return []


# --- All of them, in order (L5) -------------------------------------------------------------

WRONG = (
    'role "editor" extends "viewer"\nlet a = ann\ntool "t" { allow }\n',
    "",
    (
        'resource "document" { owner: str }\n'
        'tool "t" on "document" {\n  allow when resource.ownr == 1\n  deny when 1 == "1"\n}\n'
    ),
)
SAID = [
    "a.authz:1:23 unknown-role",
    "a.authz:2:9 unknown-name",
    "a.authz:3:12 allow-without-who",
    "c.authz:1:30 unknown-type",
    "c.authz:3:23 unknown-attribute",
    "c.authz:4:13 type-mismatch",
]


def test_every_error_of_every_file_is_reported_by_place() -> None:
    """L5."""
    assert _errors(*WRONG) == SAID


def test_the_same_policy_gives_the_same_list() -> None:
    """L5: also where sets of names are looked at on the way."""
    assert _errors(*WRONG) == _errors(*WRONG)


def test_errors_are_sorted_by_file_whatever_the_order_of_reading() -> None:
    """L5, L65."""
    sources = [Source(f"{name}.authz", text) for name, text in zip("abc", WRONG, strict=True)]
    lists = []
    for order in (sources, sources[::-1]):
        with pytest.raises(PolicyError) as refused:
            validate([(source, parse_policy(source)[0]) for source in order])
        lists.append([str(diagnostic) for diagnostic in refused.value.diagnostics])
    assert lists[0] == lists[1]


def test_syntax_errors_and_others_are_reported_together() -> None:
    """L5: checking goes on with what could be parsed."""
    text = 'tool "t" {\n  require any\n  allow when 1 == "1"\n}\ntool "u" { deny when now }\n'
    assert _errors(text) == ["a.authz:2:11 syntax", "a.authz:3:14 type-mismatch", "a.authz:5:22 not-a-condition"]


def test_one_line_says_place_code_and_message() -> None:
    """Style, errors: `str()` of a diagnostic is one plain line."""
    (diagnostic,) = parse_policy(Source("p.authz", "rol", "policies/p.authz"))[1]
    assert str(diagnostic) == "policies/p.authz:1:1: error[syntax]: unexpected `rol`"


# --- Recovery (L5) --------------------------------------------------------------------------


BROKEN_STATEMENTS = [
    "require any",
    "allow rol",
    "allow when (now",
    "allow when now <",
    "allow when not",
    "allow because",
    "deny when a[",
    "deny then",
    "deny unless if true then",
    "limit 1 by subject",
    "oblige",
    'oblige "x" { a: }',
    "alow anyone",
    "allow = 1",
    "allow anyone,",
    'oblige "x" { a: 1',
    "@",
    "( ) ]",
    '"x"',
]


@pytest.mark.parametrize("broken", BROKEN_STATEMENTS)
def test_a_broken_statement_is_one_error_and_hides_no_other(broken: str) -> None:
    """L5: the statement is left out, the next one, its block and the next block are checked."""
    text = f'tool "t" {{\n  {broken}\n  deny when 1 == "1"\n}}\ntool "u" {{\n  deny when now\n}}\n'
    errors = _errors(text)
    assert [error.split()[1] for error in errors] == ["syntax", "type-mismatch", "not-a-condition"], errors


BROKEN_DECLARATIONS = [
    "role viewer",
    'role "a" extends',
    'scope "a" implies',
    "scope",
    'resource "d" { x }',
    'resource "d" { x: }',
    'resource "d" { x: set< }',
    "context { 1: ip }",
    "let = 1",
    "let x =",
    "let if = 1",
    "tools = ",
    "tools g = 1",
    'tool "x" on { }',
    'tool "x" (a) { }',
    "tool { allow anyone }",
    'tool "x" except { }',
    "tenant { }",
    "}",
    "rol",
    "allow anyone",
    "1",
]


@pytest.mark.parametrize("broken", BROKEN_DECLARATIONS)
def test_a_broken_declaration_is_one_error_and_hides_no_other(broken: str) -> None:
    """L5: the declaration is left out, and the rest is checked."""
    errors = _errors(f'let wrong = 1 == "1"\n{broken}\ntool "u" {{\n  deny when now\n}}\n')
    assert [error.split()[1] for error in errors] == ["type-mismatch", "syntax", "not-a-condition"], errors


@pytest.mark.parametrize(
    ("declaration", "use"),
    [
        ('role "viewer" extend "guest"', 'role "editor" extends "viewer"'),
        ("let office = ", 'tool "t" { allow when office }'),
        ("tools reading = read", "tool @reading { allow anyone }"),
        ('resource "folder" { owner }', 'resource "document" { folder: ref<folder> }'),
        ("context { mfa bool }", 'tool "t" { allow when context.mfa }'),
    ],
)
def test_what_a_broken_declaration_would_have_declared_is_not_missed(declaration: str, use: str) -> None:
    """L5: without the complaints that the gap itself would cause, in this file and in others."""
    assert [error.split()[1] for error in _errors(f"{declaration}\n{use}\n")] == ["syntax"]
    assert [error.split()[1] for error in _errors(f"{declaration}\n", f"{use}\n")] == ["syntax"]


@pytest.mark.parametrize("text", ["fixture x =", "fixture = subject", 'test "t" { call "x" }', "test { }", "tset", "}"])
def test_a_broken_test_hides_no_error_of_the_next(text: str) -> None:
    """L5, L80."""
    _, diagnostics = parse_tests(
        Source("p_test.authz", f'{text}\ntest "u" {{ as anonymous call "x" expect perhaps }}\n')
    )
    assert [d.code for d in diagnostics] == ["syntax", "syntax"]
    assert diagnostics[1].message == "unexpected `perhaps`"


@pytest.mark.parametrize("broken", ['permit role "viewer"', 'allow role "a" role "b"', 'deny scope "a", role "b"'])
def test_a_role_or_scope_in_a_broken_statement_opens_no_declaration(broken: str) -> None:
    """L5."""
    assert [error.split()[1] for error in _errors(f'tool "t" {{ {broken} }}\n')] == ["syntax"]


# --- Any text (L5, L6) ----------------------------------------------------------------------

WHOLE = """\
# who may what — “quoted”
scope "a" implies "b\\u{e9}"
role "owner" when resource.owner == subject.id and not (now - context.t < 15m)
resource "document" { owner: string, kind?: "x" | "y", m: map<set<ip>> }
context { t: time }
let fresh = if context.t < now then 1.5 in [1.5, 2] else "é{tenant}" like "*{{{subject.id}"
tools g = "read_*", "x"
tool @g except "x" (p: string) on "document" {
  require any
  require scope any "a"
  allow "l" role "owner" across tenants when args.p under "/a/{tenant}" because "no" then "log" { n: -1 }
  deny unless resource has kind
  limit 1 per 1m by subject
}
tenant "acme" { tool "*" { deny when "a" in scopes } }
""".replace("  require any\n", "")


def test_the_whole_text_is_valid() -> None:
    """The text that is cut below is a policy."""
    assert _errors(WHOLE) == []


@pytest.mark.parametrize("text", [WHOLE, WHOLE.replace("\n", "\r\n")], ids=["LF", "CRLF"])
def test_a_policy_cut_at_any_byte_gives_diagnostics_or_is_valid(text: str) -> None:
    """L6, issue 2: files truncated at every byte; what is left of a character stands as U+FFFD."""
    data = text.encode()
    for length in range(len(data)):
        cut = data[:length].decode("utf-8", "replace")
        source = Source("a.authz", cut)
        tree, diagnostics = parse_policy(source)
        for diagnostic in diagnostics:
            assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(cut)
        assert diagnostics or not tree.broken
        with suppress(PolicyError):
            validate([(source, tree)])


MEBIBYTE = 1 << 20
GARBAGE = {
    "letters": "a",
    "digits": "9",
    "quotes": '"',
    "backslashes in a string": '"' + "\\",
    "braces": "{",
    "closing braces": "}",
    "brackets": "[(",
    "angles": "x<",
    "dots": "a.",
    "nul": "\0",
    "marks": "?:=",
    "carriage returns": "\r",
    "hash": "#",
    "blocks": 'tool "a" {\n',
    "tenants": 'tenant "a" {\n',
    "not": "not ",
    "if": "if ",
    "commas": ",",
    "at": "@",
}


@pytest.mark.parametrize("size", [MEBIBYTE // 16, pytest.param(MEBIBYTE, marks=pytest.mark.slow)])
@pytest.mark.parametrize("piece", GARBAGE.values(), ids=GARBAGE)
def test_garbage_as_large_as_a_file_is_refused_and_nothing_else_happens(piece: str, size: int) -> None:
    """L6: no input makes the parser take more than linear time or raise anything but its own error.

    Recursion fails at either size; time that is quadratic would show as minutes.
    """
    text = (piece * (size // len(piece)))[:size]
    tree, diagnostics = parse_policy(Source("a.authz", text))
    assert bool(diagnostics) == (piece != "#")
    assert not tree.declarations


def test_the_work_grows_with_the_text_and_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """L6: counted, not timed: four times the text takes four times the steps of the parser."""
    steps = 0
    reduce = Machine.reduce

    def counted(self: Machine, action: int, token: Token) -> None:
        nonlocal steps
        steps += 1
        reduce(self, action, token)

    monkeypatch.setattr(Machine, "reduce", counted)
    for line in ('tool "t" { allow role "a" when now < now }\n', "tool { deny x }\n", 'tenant "a" { let x = }\n'):
        counts = []
        for size in (50, 200):
            steps = 0
            parse_policy(Source("a.authz", line * size))
            counts.append(steps)
        assert counts[1] <= counts[0] * 4 + 50, line


# --- Limits (L6) ----------------------------------------------------------------------------


def _condition(text: str) -> str:
    return f'context {{ a: number, b: bool }}\ntool "t" {{ allow when {text} }}'


@pytest.mark.parametrize(
    ("limits", "most", "more", "code"),
    [
        (Limits(nesting=3), _condition("((context.b))"), _condition("(((context.b)))"), "nesting-too-deep"),
        (Limits(nesting=3), _condition("not not context.b"), _condition("not not not context.b"), "nesting-too-deep"),
        (
            Limits(nesting=3),
            _condition("if true then true else if true then true else false"),
            _condition("if true then true else if true then true else if true then true else false"),
            "nesting-too-deep",
        ),
        (
            Limits(nesting=3),
            "context { a: { b: { c: ip } } }",
            "context { a: { b: { c: { d: ip } } } }",
            "nesting-too-deep",
        ),
        (
            Limits(nesting=3),
            "context { a: set<set<set<ip>>> }",
            "context { a: set<set<set<set<ip>>>> }",
            "nesting-too-deep",
        ),
        (
            Limits(nesting=3),
            _condition("y") + "\nlet x = not context.b\nlet y = not x",
            _condition("not y") + "\nlet x = not not context.b\nlet y = not x",
            "nesting-too-deep",
        ),
        (Limits(string_characters=5), 'role "abcde"', 'role "abcdef"', "string-too-long"),
        (
            Limits(string_characters=5),
            'tool "t" { deny because "ééééé" }',
            'tool "t" { deny because "éééééé" }',
            "string-too-long",
        ),
        (
            Limits(condition_terms=3),
            _condition("context.b or context.b or context.b"),
            _condition("context.b or context.b or context.b or context.b"),
            "condition-too-long",
        ),
        (
            Limits(condition_terms=3),
            _condition("context.a + 1 > 1"),
            _condition("context.a + 1 + 1 > 1"),
            "condition-too-long",
        ),
        (
            Limits(condition_terms=3),
            _condition("x or context.b") + "\nlet x = context.b or context.b",
            _condition("x or x") + "\nlet x = context.b or context.b",
            "condition-too-long",
        ),
        (Limits(rules=2), 'tool "t" { deny deny }', 'tool "t" { deny deny } tool "u" { deny }', "too-many-rules"),
    ],
)
def test_each_limit_lets_through_what_just_fits_and_has_a_code_of_its_own(
    limits: Limits, most: str, more: str, code: str
) -> None:
    """L6: nesting 64, 10 000 characters, 1 000 terms, 100 000 rules by default; each configurable."""
    assert _errors(most, limits=limits) == []
    assert {error.split()[1] for error in _errors(more, limits=limits)} == {code}


def test_the_defaults_are_those_of_the_reference() -> None:
    """L6."""
    assert Limits() == Limits(
        file_bytes=1024**2, policy_bytes=64 * 1024**2, rules=100_000, nesting=64, string_characters=10_000,
        condition_terms=1_000,
    )  # fmt: skip


def test_64_levels_and_1000_terms_and_10000_characters_fit() -> None:
    """L6: at the defaults, to the last one."""
    assert _errors(_condition("(" * 63 + "context.b" + ")" * 63)) == []
    assert _errors(_condition(" or ".join(["context.b"] * 1000))) == []
    assert _errors(f'tool "t" {{ deny because "{"x" * 10_000}" }}') == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (_condition("(" * 50_000 + "context.b" + ")" * 50_000), "nesting-too-deep"),
        (_condition("(" * 50_000), "nesting-too-deep"),
        (_condition("not " * 50_000 + "context.b"), "nesting-too-deep"),
        (_condition("if context.b then " * 50_000), "nesting-too-deep"),
        (_condition("[" * 50_000), "nesting-too-deep"),
        (_condition("lower(" * 50_000), "nesting-too-deep"),
        (_condition(" or ".join(["context.b"] * 1001)), "condition-too-long"),
        (_condition(" and ".join(["context.b"] * 20_000)), "condition-too-long"),
        (_condition("context.a" + " + 1" * 20_000 + " > 1"), "condition-too-long"),
        (f'tool "t" {{ deny because "{"x" * 10_001}" }}', "string-too-long"),
    ],
    ids=["brackets", "open", "not", "if", "sets", "calls", "1001 or", "20000 and", "20000 +", "10001 characters"],
)
def test_past_a_limit_there_is_one_error_and_no_recursion(text: str, code: str) -> None:
    """L6, issue 2, build 2: 50 000 nested parentheses, 1 000 terms; no RecursionError."""
    assert [error.split()[1] for error in _errors(text)] == [code]


def test_lets_that_double_are_refused_without_being_written_out() -> None:
    """L6: `let`s count where they are used; a hundred that each use the one before twice are 2^100 terms."""
    lets = "".join(f"let x{n + 1} = x{n} or x{n}\n" for n in range(100))
    errors = _errors(f"let x0 = context.b\n{lets}{_condition('x100')}")
    assert [error.split()[1] for error in errors] == ["condition-too-long"]
