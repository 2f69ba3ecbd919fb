"""The registry of codes says of each what to avoid and what to prefer, and both are tried."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from authz.errors import PolicyError
from authz.lang.codes import CODES
from authz.lang.diagnostics import Severity
from authz.lang.errors_page import markdown
from authz.lang.limits import DEFAULT_LIMITS, Limits
from authz.lang.linter import lint
from authz.lang.parser import parse_policy, parse_tests
from authz.lang.source import Source
from authz.lang.validator import validate
from authz.pap.catalogue.fitting import fit
from authz.pap.catalogue.tools import read_catalogue
from authz.pap.loader import ReadFile, decode
from authz.pap.scenario import read_scenarios

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.lang.codes import Code
    from authz.lang.diagnostics import Diagnostic

ROOT = Path(__file__).parents[2]

SMALL_LIMITS = {
    "condition-too-long": Limits(condition_terms=3),
    "nesting-too-deep": Limits(nesting=4),
    "string-too-long": Limits(string_characters=40),
    "too-many-rules": Limits(rules=2),
}
"""What the examples of the size limits exceed."""

NOT_FROM_TEXT = {"file-too-large", "invalid-utf8", "manifest-mismatch", "policy-too-large"}
"""What only bytes, sizes and a manifest can be; tests/golden has them."""

RULES = {"documents:viewer"}
"""The rules of the policy that the examples of tests speak of."""

REPORTERS = {"error", "report", "unless_gaps", "add", "Diagnostic", "_warning"}
"""The functions whose first argument is a code, where it is a text."""


WITH_TOOLS = {
    "schema-optional-argument",
    "schema-type-mismatch",
    "schema-unknown-argument",
    "schema-value-mismatch",
    "unguarded-destructive-tool",
    "unmatched-tool-pattern",
    "unreached-tool",
}
"""What only a server's catalogue shows."""
CATALOGUE = read_catalogue((ROOT / "tests/data/example_tools.json").read_bytes(), "tools.json")


def _diagnostics(text: str, limits: Limits) -> list[Diagnostic]:
    if text.startswith(("test ", "fixture ")):
        source = Source("documents_test.authz", text)
        tests, errors = parse_tests(source, limits)
        found = list(errors)
        try:
            read_scenarios([(source, tests)], RULES)
        except PolicyError as error:
            found += error.diagnostics
        return found
    source, problems = decode(ReadFile("documents.authz", "", text.encode()))
    policy, errors = parse_policy(source, limits)
    found = [*problems, *errors]
    try:
        checked = validate([(source, policy)], limits)
    except PolicyError as error:
        found += error.diagnostics
    else:
        found += [*lint(checked), *fit(checked, CATALOGUE)]
    return found


def _codes(found: list[Diagnostic], severity: Severity) -> set[str]:
    return {diagnostic.code for diagnostic in found if diagnostic.severity is severity}


@pytest.mark.parametrize("entry", [e for e in CODES.values() if e.code not in NOT_FROM_TEXT], ids=lambda e: e.code)
def test_the_example_to_avoid_is_found_to_be_just_that(entry: Code) -> None:
    """Issue 2, build 2: each code has a section with Avoid, Prefer and Why."""
    found = _diagnostics(entry.avoid, SMALL_LIMITS.get(entry.code, DEFAULT_LIMITS))
    errors = _codes(found, Severity.ERROR)
    if errors:
        assert errors == {entry.code}
    else:
        assert entry.code in _codes(found, Severity.WARNING)


@pytest.mark.parametrize("entry", CODES.values(), ids=lambda e: e.code)
def test_the_example_to_prefer_is_valid(entry: Code) -> None:
    """Issue 2, build 2: what the page tells people to write can be loaded, and has not the same code."""
    found = _diagnostics(entry.prefer, SMALL_LIMITS.get(entry.code, DEFAULT_LIMITS))
    assert not _codes(found, Severity.ERROR)
    assert entry.code not in _codes(found, Severity.WARNING)


def _used() -> Iterator[str]:
    """Yield a regular expression for each code that the sources of lang and pap report."""
    for folder in ("lang", "pap"):
        for path in sorted((ROOT / "authz" / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and node.args and _called(node) in REPORTERS:
                    yield from _pattern(node.args[0])


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _pattern(argument: ast.expr) -> Iterator[str]:
    """Read what a code is: a text, or one that has one part that is filled in, as in `invalid-{name}`."""
    match argument:
        case ast.Constant(value=str(text)) if re.fullmatch(r"syntax|cycle|[a-z]+(-[a-z0-9]+)+", text):
            yield re.escape(text)
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), ast.FormattedValue()]):
            yield re.escape(text) + "[a-z]+"


def test_the_registry_holds_the_codes_that_are_used_and_no_others() -> None:
    """L5, issue 2: each code has its section, and no section is about nothing."""
    used = set(_used())
    unknown = [pattern for pattern in used if not any(re.fullmatch(pattern, code) for code in CODES)]
    unused = [code for code in CODES if not any(re.fullmatch(pattern, code) for pattern in used)]
    assert (unknown, unused) == ([], [])


def test_the_registry_is_sorted_and_complete() -> None:
    """Style: a reference is sorted; every entry is filled."""
    assert list(CODES) == sorted(CODES)
    assert all(code == entry.code and all(entry) for code, entry in CODES.items())


def test_the_page_is_the_one_that_is_generated() -> None:
    """Issue 2, build 2: docs/errors.md comes from the registry (`scripts/gen`)."""
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == markdown()


def test_the_page_has_a_section_for_each_code_and_a_way_to_it() -> None:
    """Issue 2, build 2."""
    page = markdown()
    for code in CODES:
        assert page.count(f"\n### {code}\n") == 1
        assert page.count(f"](#{code})") == 1


def test_the_page_holds_no_character_that_it_warns_of() -> None:
    """L1: a page about characters that deceive a reader must not deceive its own."""
    assert all(character.isprintable() or character == "\n" for character in markdown())


@pytest.mark.parametrize("code", sorted(WITH_TOOLS))
def test_what_a_catalogue_shows_is_not_found_without_one(code: str) -> None:
    """Issue 5: these findings are those of `lint --tools`, and their sections say so."""
    assert "lint --tools" in CODES[code].why
    source = Source("documents.authz", CODES[code].avoid)
    tree, errors = parse_policy(source)
    assert errors == ()
    assert code not in _codes(list(lint(validate([(source, tree)]))), Severity.WARNING)


def test_a_program_that_explains_no_code_does_without_the_registry() -> None:
    """Issue 2, done when: what `check` does not need must not slow it down."""
    modules = "authz.pap.loader, authz.lang.validator, authz.pdp.compiler, authz.cli.eval"
    program = f"import sys, {modules}; print('authz.lang.codes' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout == "False\n"
