"""Policy files that someone wrote to do harm, or that came to harm: 56 numbered cases.

What is refused is refused as a whole, with a place and a reason; what is not refused means what it says.
Cases 38 and 39 ask for an analysis of all requests, which is not part of this version: here they only show that
such rules do no harm.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from authz.cli.render import render_diagnostics
from authz.errors import LoadError, PolicyError
from authz.lang.limits import DEFAULT_LIMITS, Limits
from authz.model import Reason, Request, Resource
from authz.pap import loader
from authz.pap.loader import load, lock_folder

if TYPE_CHECKING:
    from pathlib import Path

    from authz.lang.diagnostics import Diagnostic

ANN = Request(tool="t", subject="ann", roles=["admin"], scopes=["s"])
VALID = 'role "admin"\n\ntool "t" {\n  allow role "admin"\n  deny "off" when context.off\n}\n'


def _load(folder: Path, content: str | bytes, limits: Limits = DEFAULT_LIMITS) -> loader.LoadedPolicy:
    data = content.encode() if isinstance(content, str) else content
    (folder / "p.authz").write_bytes(data)
    return load(folder, limits)


def _errors(folder: Path, content: str | bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Diagnostic, ...]:
    with pytest.raises(PolicyError) as refused:
        _load(folder, content, limits)
    return refused.value.diagnostics


def _codes(folder: Path, content: str | bytes, limits: Limits = DEFAULT_LIMITS) -> set[str]:
    return {diagnostic.code for diagnostic in _errors(folder, content, limits)}


def _reason(folder: Path, content: str, request: Request = ANN) -> Reason:
    return _load(folder, content).program.decide(request).reason


# --- 1-16: bytes and characters -------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n# at all", "#"], ids=["1", "1 blank", "2", "2 no end"])
def test_cases_1_and_2_a_file_without_rules_denies_everything_and_warns(tmp_path: Path, content: str) -> None:
    """L61: what no block allows is denied; an empty file may be a copy that failed."""
    loaded = _load(tmp_path, content)
    assert [warning.code for warning in loaded.warnings] == ["empty-policy"]
    assert loaded.program.decide(ANN).reason is Reason.UNKNOWN_TOOL


REFUSED = [
    ("3 byte order mark", "\ufeff" + VALID, {"byte-order-mark"}),
    ("5 lone carriage return", VALID.replace("\n", "\r"), {"lone-carriage-return"}),
    ("5 rule hidden behind one", '# old\rtool "t" { deny }\n', {"lone-carriage-return"}),
    ("7 NUL", VALID + '# a\0b\ntool "u" { deny because "\0" }', {"control-character"}),
    ("8 Latin-1", 'tool "t" { deny because "für alle" }'.encode("latin-1"), {"invalid-utf8"}),
    ("8 overlong", b'tool "\xc0\xaf" { deny }', {"invalid-utf8"}),
    ("8 surrogate", b'tool "\xed\xa0\x80" { deny }', {"invalid-utf8"}),
    ("9 UTF-16", VALID.encode("utf-16"), {"invalid-utf8"}),
    ("9 UTF-16 without a mark", VALID.encode("utf-16-le"), {"control-character", "syntax"}),
    ("10 homoglyph keyword", 'tool "t" { \u0430llow anyone }', {"unexpected-character", "syntax"}),
    ("11 bidirectional override in a string", 'tool "t\u202e" { allow anyone }', {"bidirectional-control"}),
    ("11 in a comment", '# \u2066\ntool "t" { allow anyone }', {"bidirectional-control"}),
    ("12 zero width in a bare name", "let a\u200bb = 1", {"unexpected-character", "syntax"}),
    ("13 unterminated string", 'tool "t" {\n  deny because "no\n}', {"unterminated-string"}),
    ("14 unterminated block", 'tool "t" {\n  allow anyone\n', {"syntax"}),
    ("16 string of 1 MB", f'tool "t" {{ deny because "{"x" * 1_000_000}" }}', {"string-too-long"}),
    ("19 50 000 brackets", f'tool "t" {{ allow when {"(" * 50_000}true{")" * 50_000} }}', {"nesting-too-deep"}),
    ("19 in a type", f"context {{ a: {'set<' * 50_000}ip{'>' * 50_000} }}", {"nesting-too-deep"}),
    ("19 in braces", "context { a: " + "{ a: " * 50_000 + "ip" + "}" * 50_000 + "}", {"nesting-too-deep"}),
    ("19 in tenants", 'tenant "a" { ' * 50_000, {"nesting-too-deep"}),
    ("20 50 000 times not", f'tool "t" {{ allow when {"not " * 50_000}true }}', {"nesting-too-deep"}),
    ("21 10 000 times if", f'tool "t" {{ allow when {"if true then " * 10_000}true {"else false " * 10_000} }}',
     {"nesting-too-deep"}),
    ("26 include", 'include "p.authz"\ntool "t" { allow anyone }', {"syntax"}),
    ("27 include above", 'include "../../etc/passwd"', {"syntax"}),
    ("28 include from the net", 'import "https://example.com/p.authz"', {"syntax"}),
    ("29 label twice in a file", 'tool "t" { allow "a" anyone deny "a" }', {"duplicate-declaration"}),
    ("31 role twice", 'role "a"\nrole "a"', {"duplicate-declaration"}),
    ("32 cycle of one", 'role "a" extends "a"', {"cycle"}),
    ("32 cycle of two", 'role "a" extends "b"\nrole "b" extends "a"', {"cycle"}),
    ("32 cycle of 1 000", "\n".join(f'role "{i}" extends "{(i + 1) % 1000}"' for i in range(1000)), {"cycle"}),
    ("33 extends an unknown role", 'role "a" extends "root"', {"unknown-role"}),
    ("34 unknown attribute", 'context { mfa: bool }\ntool "t" { allow when context.xyz }', {"unknown-attribute"}),
    ("36 role and number", 'tool "t" { allow when roles == 3 }', {"type-mismatch"}),
    ("36 role as a word", 'tool "t" { allow when role == 3 }', {"syntax"}),
    ("37 set and string", 'tool "t" { allow when roles == "admin" }', {"type-mismatch"}),
    ("40 allow for whom?", 'tool "t" { allow }', {"allow-without-who"}),
    ("41 across tenants without condition", 'tool "t" { allow anyone across tenants }', {"across-without-condition"}),
    ("44 long expression", f'tool "t" {{ allow when subject.id matches "{"a" * 10_001}" }}', {"string-too-long"}),
    ("44 one that grows", 'tool "t" { allow when subject.id matches "((a{1000}){1000}){1000}" }', {"invalid-regex"}),
    ("46 overflow", 'tool "t" { allow when 9007199254740993 == 1 }', {"invalid-number"}),
    ("46 a million digits", f'tool "t" {{ allow when {"9" * 1_000_000} == 1 }}', {"invalid-number"}),
    ("46 exponent", 'tool "t" { allow when 1e999 == 1 }', {"invalid-number"}),
    ("46 leading zero", 'tool "t" { allow when 010 == 8 }', {"invalid-number"}),
    ("46 duration", f'tool "t" {{ allow when {"9" * 40}d > 1d }}', {"invalid-duration"}),
    ("47 division", 'tool "t" { allow when 1 / 0 == 1 }', {"unexpected-character", "syntax"}),
    ("48 no such day", 'tool "t" { allow when now < time("2026-02-30T00:00:00Z") }', {"invalid-time"}),
    ("48 no such zone", 'tool "t" { allow when hour(now, "../../etc/passwd") == 1 }', {"unknown-zone"}),
    ("49 keyword as name", "let when = true", {"syntax"}),
    ("49 part of the request as name", "let roles = true", {"reserved-name"}),
]  # fmt: skip


@pytest.mark.parametrize(("content", "codes"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_hostile_file_is_refused_for_what_is_wrong_with_it(
    tmp_path: Path, content: str | bytes, codes: set[str]
) -> None:
    """L1-L6, issue 2: the load error says file, line, column, code and text; nothing is loaded."""
    errors = _errors(tmp_path, content)
    assert {error.code for error in errors} == codes
    shown = render_diagnostics(errors[:3])
    assert "p.authz:" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_case_4_line_ends_do_not_matter(tmp_path: Path) -> None:
    r"""L2: `\r\n` equals `\n`."""
    assert _load(tmp_path, VALID).program.revision == _load(tmp_path, VALID.replace("\n", "\r\n")).program.revision


def test_case_6_tabs_and_spaces_mean_the_same(tmp_path: Path) -> None:
    """L2: white space separates words and means nothing else."""
    assert _load(tmp_path, VALID).program.revision == _load(tmp_path, VALID.replace("  ", "\t \t")).program.revision


def test_case_12_a_name_with_an_invisible_character_is_seen(tmp_path: Path) -> None:
    """L10: lint names a scope that looks like a declared one, and shows what it is made of."""
    loaded = _load(tmp_path, 'scope "docs:read"\ntool "t" { allow scope "docs:re\u200bad" }')
    assert [warning.code for warning in loaded.warnings] == ["undeclared-scope"]
    assert "docs:re\\u{200b}ad" in render_diagnostics(loaded.warnings)


def test_case_15_a_comment_of_almost_a_megabyte_is_a_comment(tmp_path: Path) -> None:
    """L2, L6: no limit but that of the file."""
    comment = "#" + "x" * (1024 * 1024 - len(VALID) - 2) + "\n"
    assert _reason(tmp_path, comment + VALID, ANN) is Reason.INDETERMINATE


# --- 17-25: size and files ------------------------------------------------------------------


def test_case_17_one_rule_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    """L6: 100 000 rules by default; here 1 000."""
    limits = Limits(rules=1000)
    rules = [f'tool "t{number}" {{ allow anyone }}\n' for number in range(1001)]
    assert len(_load(tmp_path, "".join(rules[:1000]), limits).program.outline()) == 1000
    assert _codes(tmp_path, "".join(rules), limits) == {"too-many-rules"}


@pytest.mark.slow
def test_case_17_more_than_100_000_rules_are_refused(tmp_path: Path) -> None:
    """L6, issue 2, build 2."""
    for part in range(5):
        rules = "".join(f'  allow role "r{number}"\n' for number in range(20_001))
        (tmp_path / f"{part}.authz").write_text(f'tool "t{part}" {{\n{rules}}}\n')
    with pytest.raises(PolicyError) as refused:
        load(tmp_path)
    assert {error.code for error in refused.value.diagnostics} == {"too-many-rules"}


def test_case_18_a_condition_has_1_000_terms_and_no_more(tmp_path: Path) -> None:
    """L6; and a chain of any length is no recursion."""
    terms = [f'subject.id == "{number}"' for number in range(1001)]
    assert _reason(tmp_path, f'tool "t" {{ allow when {" or ".join(terms[:1000])} }}') is Reason.NO_ALLOW
    assert _codes(tmp_path, f'tool "t" {{ allow when {" or ".join(terms)} }}') == {"condition-too-long"}


def test_case_22_a_file_of_100_megabytes_is_not_read(tmp_path: Path) -> None:
    """L6: the limit is asked before a byte is."""
    with (tmp_path / "p.authz").open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(PolicyError, match="is larger than 1048576 bytes"):
        load(tmp_path)


def test_case_23_only_regular_files_are_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L1: a FIFO, a socket, a device, a folder."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo.authz")
    (tmp_path / "folder.authz").mkdir()
    (tmp_path / "zero.authz").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.authz")
        with pytest.raises(LoadError) as refused:
            load(tmp_path)
    for name in ("fifo", "folder", "zero", "socket"):
        assert f"{name}.authz`" in str(refused.value)
    with pytest.raises(LoadError, match="is not a regular file"):
        load("/dev/zero")


def test_case_24_a_link_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    """L1."""
    (tmp_path / "secret.authz").write_text(VALID)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.authz").symlink_to("../secret.authz")
    with pytest.raises(LoadError, match="leads out of the policy directory"):
        load(tmp_path / "policies")


def test_case_25_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    """L1: files that lead to each other, and a folder that leads to itself."""
    (tmp_path / "a.authz").symlink_to("b.authz")
    (tmp_path / "b.authz").symlink_to("a.authz")
    (tmp_path / "below").symlink_to(".")
    with pytest.raises(LoadError) as refused:
        load(tmp_path)
    assert all(f"{name}`" in str(refused.value) for name in ("a.authz", "b.authz", "below"))


# --- 26-51: meaning -------------------------------------------------------------------------


def test_cases_26_to_28_the_message_says_that_there_are_no_includes(tmp_path: Path) -> None:
    """L1: a policy is the union of all files; none can name another file, path or address."""
    (error,) = _errors(tmp_path, 'include "../other.authz"')
    assert "none names another" in error.help


def test_case_30_one_label_in_two_files_names_two_rules(tmp_path: Path) -> None:
    """L23: a rule's name starts with its file."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.authz").write_text('tool "t" { allow "same" anyone }')
    assert load(tmp_path).program.decide(ANN).rules == ("a:same", "b:same")


def test_case_35_a_misspelt_attribute_has_a_suggestion(tmp_path: Path) -> None:
    """L5: a near name when one exists."""
    (error,) = _errors(tmp_path, 'context { office: bool }\ntool "t" { allow when context.ofice }')
    assert (error.code, error.help) == ("unknown-attribute", "did you mean `office`?")


def test_case_37_sets_compare_with_sets(tmp_path: Path) -> None:
    """L32: whatever order and duplicates."""
    assert _reason(tmp_path, 'tool "t" { allow when scopes == ["s", "s"] }') is Reason.ALLOWED


def test_case_38_a_rule_in_the_shadow_of_another_changes_nothing(tmp_path: Path) -> None:
    """L65: deny wins, in whatever order."""
    assert _reason(tmp_path, 'tool "t" { deny }\ntool "t" { allow anyone }') is Reason.EXPLICIT_DENY


def test_case_39_a_condition_that_is_never_true_allows_nobody(tmp_path: Path) -> None:
    """L51."""
    assert _reason(tmp_path, 'tool "t" { allow when subject.id == "a" and subject.id == "b" }') is Reason.NO_ALLOW


def test_case_40_an_allow_for_everyone_leaves_out_the_anonymous(tmp_path: Path) -> None:
    """L22: only `public` is for callers without a subject."""
    assert _reason(tmp_path, 'tool "t" { allow when true }', Request(tool="t", anonymous=True)) is Reason.NO_ALLOW


def test_case_41_an_allow_without_a_word_on_tenants_stays_inside_one(tmp_path: Path) -> None:
    """L62, L63."""
    request = Request(tool="t", subject="ann", tenant="acme", resource=Resource("d", "1", "globex"))
    assert _reason(tmp_path, 'tool "t" { allow anyone }', request) is Reason.TENANT_MISMATCH


def test_case_42_a_deny_that_cannot_be_decided_denies(tmp_path: Path) -> None:
    """L51: it applies unless its condition is certainly false."""
    assert _reason(tmp_path, VALID) is Reason.INDETERMINATE


def test_case_43_a_catastrophic_expression_is_harmless(tmp_path: Path) -> None:
    """L36: linear time; a backtracking engine would not come back."""
    request = Request(tool="t", subject="ann", arguments={"a": "a" * 100_000 + "!"})
    assert _reason(tmp_path, 'tool "t" { allow when args.a matches "(a+)+" }', request) is Reason.NO_ALLOW


def test_case_45_many_stars_are_one(tmp_path: Path) -> None:
    """L20: `*` stands for any run of characters; matching does not try every way to split the text."""
    request = Request(tool="a" * 1000, subject="ann")
    assert _reason(tmp_path, 'tool "***" { allow anyone }', request) is Reason.ALLOWED
    assert _reason(tmp_path, f'tool "{"*a" * 400}*b" {{ allow anyone }}', request) is Reason.UNKNOWN_TOOL


def test_case_46_minus_zero_is_zero(tmp_path: Path) -> None:
    """L12: numbers are exact; there is one zero."""
    assert _reason(tmp_path, 'tool "t" { allow when -0 == 0 and -0.0 == 0 }') is Reason.ALLOWED


def test_case_50_names_that_differ_in_case_are_two(tmp_path: Path) -> None:
    """L20, L17: case-sensitive, here as everywhere."""
    assert _reason(tmp_path, 'role "Admin"\nrole "admin"\ntool "t" { allow role "Admin" }') is Reason.NO_ALLOW
    assert _reason(tmp_path, 'tool "T" { allow anyone }') is Reason.UNKNOWN_TOOL


def test_case_51_a_long_name_is_a_name(tmp_path: Path) -> None:
    """L60: identifiers of a request may have 1 024 characters, so a policy's may."""
    name = "r" * 1024
    assert (
        _reason(tmp_path, f'tool "t" {{ allow role "{name}" }}', Request(tool="t", subject="ann", roles=[name]))
        is Reason.ALLOWED
    )


# --- 52-56: writing while reading -----------------------------------------------------------


def test_case_52_no_half_of_a_locked_policy_is_believed(tmp_path: Path) -> None:
    """L7: many a prefix of a policy is a policy; the manifest tells them apart."""
    _load(tmp_path, VALID)
    lock_folder(tmp_path)
    load(tmp_path)
    for length in range(len(VALID)):
        with pytest.raises(PolicyError) as refused:
            _load(tmp_path, VALID[:length])
        assert "manifest-mismatch" in {error.code for error in refused.value.diagnostics}


def test_case_53_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L7: never half of one version and half of the next."""
    path = tmp_path / "p.authz"
    path.write_text(VALID)
    read_all = loader._read_all

    def read_and_write(descriptor: int, most: int) -> bytes:
        data = read_all(descriptor, most)
        path.write_text(VALID.replace("deny", "# no"))
        os.utime(path, ns=(1, 1))
        return data

    monkeypatch.setattr(loader, "_read_all", read_and_write)
    with pytest.raises(LoadError, match="changed while it was read"):
        load(tmp_path)


def test_case_54_one_bad_file_among_a_hundred_refuses_them_all(tmp_path: Path) -> None:
    """L5: all-or-nothing, and the bad one is named."""
    for number in range(100):
        (tmp_path / f"{number:03}.authz").write_text(f'tool "t{number}" {{ allow anyone }}')
    (tmp_path / "042.authz").write_text('tool "t" { alow anyone }')
    with pytest.raises(PolicyError) as refused:
        load(tmp_path)
    assert [error.source.name for error in refused.value.diagnostics] == ["042.authz"]


def test_case_55_a_file_that_goes_away_while_loading_refuses_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1: it may have held the denies."""
    (tmp_path / "a.authz").write_text(VALID)
    (tmp_path / "b.authz").write_text('tool "t" { deny }')
    find = loader.find_files

    def find_and_remove(path: loader.StrPath, kind: loader.Kind = "policies") -> tuple[loader.FoundFile, ...]:
        found = find(path, kind)
        (tmp_path / "b.authz").unlink()
        return found

    monkeypatch.setattr(loader, "find_files", find_and_remove)
    with pytest.raises(LoadError, match=r"b\.authz"):
        load(tmp_path)


@pytest.mark.parametrize("harm", ["changed", "added", "missing", "older", "forged", "cut", "no text"])
def test_case_56_a_policy_that_is_not_the_locked_one_is_refused(tmp_path: Path, harm: str) -> None:
    """L7: a file changed, added, removed or put back, or a manifest that is not one."""
    policy, manifest = tmp_path / "p.authz", tmp_path / "authz.sum"
    policy.write_text('tool "t" { allow anyone }')
    older = policy.read_bytes()
    policy.write_text(VALID)
    lock_folder(tmp_path)
    load(tmp_path)
    match harm:
        case "changed":
            policy.write_text(VALID.replace("deny", "# deny"))
        case "added":
            (tmp_path / "q.authz").write_text('tool "*" { allow public }')
        case "missing":
            policy.unlink()
        case "older":
            policy.write_bytes(older)
        case "forged":
            manifest.write_text(f"{'0' * 64}  p.authz\n")
        case "cut":
            manifest.write_bytes(manifest.read_bytes()[:-1])
        case _:
            manifest.write_bytes(b"\xff")
    with pytest.raises(PolicyError, match=r"authz\.sum"):
        load(tmp_path)
