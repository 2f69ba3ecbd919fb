"""What a person reads of each diagnostic, kept as text and read as a diff.

A folder holds one case: policy files, perhaps tests of them, `limits.json`, or a catalogue, `tools.json`.
Its name is a code of `authz.lang.codes`, perhaps with a dot and a word that tells it from others of that code.
`AUTHZ_UPDATE_GOLDEN=1 pytest tests/golden` writes what is expected; read it aloud before keeping it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from authz.cli.render import diagnostic_to_json, json_text, render_diagnostics
from authz.errors import PolicyError
from authz.lang.codes import CODES
from authz.lang.diagnostics import in_order
from authz.lang.limits import Limits
from authz.pap.catalogue.fitting import fit
from authz.pap.catalogue.tools import read_catalogue
from authz.pap.loader import load, load_tests
from authz.pap.scenario import read_scenarios

if TYPE_CHECKING:
    from authz.lang.diagnostics import Diagnostic

HERE = Path(__file__).parent
CASES = sorted(path.name for path in HERE.iterdir() if path.is_dir() and path.name != "__pycache__")
UPDATE = os.environ.get("AUTHZ_UPDATE_GOLDEN") == "1"


def _found(folder: Path) -> tuple[Diagnostic, ...]:
    """Return what is said of a case's policy or, where that is valid, of its tests."""
    file = folder / "limits.json"
    limits = Limits(**json.loads(file.read_text())) if file.exists() else Limits()
    try:
        loaded = load(".", limits)
        tests = load_tests(".", limits)
        read_scenarios(tests, {rule.name for rule in loaded.program.outline()})
    except PolicyError as error:
        return error.diagnostics
    catalogue = folder / "tools.json"
    if not catalogue.exists():
        return loaded.warnings
    return in_order([*loaded.warnings, *fit(loaded.checked, read_catalogue(catalogue.read_bytes(), catalogue.name))])


def _assert_as_kept(file: Path, text: str) -> None:
    if UPDATE:
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text, f"{file}: see the top of this test for how to update it"


@pytest.mark.parametrize("case", CASES)
def test_a_diagnostic_reads_as_it_was_approved(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """L5; issue 2, build 2: code, place, underlined text, help and near name, for people and as JSON."""
    folder = HERE / case
    monkeypatch.chdir(folder)
    found = _found(folder)
    assert case.partition(".")[0] in {diagnostic.code for diagnostic in found}
    _assert_as_kept(folder / "expected.txt", render_diagnostics(found) + "\n")
    _assert_as_kept(folder / "expected.json", json_text([diagnostic_to_json(d) for d in found], indent=2) + "\n")


def test_every_code_has_a_golden_case() -> None:
    """Issue 2, build 7: golden error messages for every diagnostic code; and none for codes that are no more."""
    assert {case.partition(".")[0] for case in CASES} == set(CODES)


@pytest.mark.parametrize("case", CASES)
def test_messages_keep_to_the_style(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Style, errors: lower case, no full stop, what is meant in words and not in the parser's own."""
    monkeypatch.chdir(HERE / case)
    for diagnostic in _found(HERE / case):
        for text in (diagnostic.message, diagnostic.help):
            said = re.sub(r"`[^`]*`", "``", text)
            assert not text.endswith("."), text
            assert not re.match(r"[A-Z][a-z]", said), text
            assert not re.search(r"__|\b(NAME|STRING|LBRACE|RBRACE|COMMA|EQUAL|None|str|tuple|frozenset)\b", said), text
            assert text.count("`") % 2 == 0, text
        assert diagnostic.help or diagnostic.related or diagnostic.code in WITHOUT_HELP, diagnostic.message


WITHOUT_HELP = frozenset({"empty-policy", "invalid-request", "wrong-clause-value"})
"""Codes whose message alone says what to do next."""
