"""The manifest of a policy directory (L7)."""

from __future__ import annotations

import hashlib

import pytest

from authz.lang.diagnostics import in_order
from authz.pap import manifest
from authz.pap.loader import ReadFile
from authz.pap.manifest import render, verify

FILES = (("a.authz", b"one"), ("sub/b.authz", b"two"))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _found(text: bytes, files: tuple[tuple[str, bytes], ...], unread: tuple[str, ...] = ()) -> list[str]:
    read = [ReadFile(name, f"p/{name}", data) for name, data in files]
    findings = in_order(verify(ReadFile("authz.sum", "p/authz.sum", text), read, unread))
    return [str(finding).replace(" error[manifest-mismatch]:", "") for finding in findings]


def test_a_manifest_has_a_line_of_digest_and_path_for_each_file() -> None:
    """L7: 64 hexadecimal digits, two spaces, the path relative to the directory."""
    assert render(FILES) == f"{_digest(b'one')}  a.authz\n{_digest(b'two')}  sub/b.authz\n"


def test_lines_stand_in_the_bytewise_order_of_paths() -> None:
    """L7, L1: the order of the policy itself, in which `.` sorts before `/` and `é` after `z`."""
    names = ["é.authz", "z.authz", "a/b.authz", "a.authz"]
    lines = render((name, b"") for name in names).splitlines()
    assert [line[66:] for line in lines] == ["a.authz", "a/b.authz", "z.authz", "é.authz"]


def test_what_was_written_is_verified() -> None:
    """L7."""
    assert _found(render(FILES).encode(), FILES) == []


def test_upper_case_digits_are_the_same_digest() -> None:
    """L7 asks for hexadecimal digits, of either case."""
    text = f"{_digest(b'one').upper()}  a.authz\n"
    assert _found(text.encode(), FILES[:1]) == []


def test_an_empty_manifest_covers_an_empty_policy_only() -> None:
    """L7, L25."""
    assert _found(b"", ()) == []
    assert _found(b"", FILES[:1]) == ["p/a.authz:1:1: `a.authz` is not listed in `authz.sum`"]


@pytest.mark.parametrize(
    ("files", "finding"),
    [
        (FILES[:1], "p/authz.sum:2:1: `sub/b.authz` is missing, and `authz.sum` lists it"),
        ((*FILES, ("c.authz", b"")), "p/c.authz:1:1: `c.authz` is not listed in `authz.sum`"),
        ((("a.authz", b"on"), FILES[1]), "p/a.authz:1:1: `a.authz` has changed since `authz.sum` was written"),
        ((("a.authz", b""), FILES[1]), "p/a.authz:1:1: `a.authz` has changed since `authz.sum` was written"),
    ],
    ids=["missing", "added", "truncated", "emptied"],
)
def test_a_file_that_differs_is_named(files: tuple[tuple[str, bytes], ...], finding: str) -> None:
    """L7: missing, added, truncated and changed are errors, each at its place."""
    assert _found(render(FILES).encode(), files) == [finding]


def test_all_differences_are_named_together() -> None:
    """L5, L7."""
    found = _found(render(FILES).encode(), (("a.authz", b"x"), ("c.authz", b"")))
    assert [line.split("`")[1] for line in found] == ["a.authz", "sub/b.authz", "c.authz"]


def test_a_file_that_was_not_read_is_neither_missing_nor_changed() -> None:
    """L5, L6: a file over its limit is one error, not two."""
    assert _found(render(FILES).encode(), FILES[:1], unread=("sub/b.authz",)) == []


def test_no_prefix_of_a_manifest_is_believed() -> None:
    """L7: a manifest that was itself copied by halves does not vouch for a policy."""
    whole = render(FILES).encode()
    for length in range(len(whole)):
        assert _found(whole[:length], FILES)


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        (f"{'0' * 63}  a.authz\n", ["1:1: this is not a line"]),
        (f"{'0' * 64} a.authz\n", ["1:1: this is not a line"]),
        (f"{'g' * 64}  a.authz\n", ["1:1: this is not a line"]),
        (f"{'0' * 64}  a.authz\r\n", ["1:1: this is not a line"]),
        (f"{'0' * 64}  \n", ["1:1: this is not a line"]),
        (f"{'0' * 64}  a.authz\n\n", ["2:1: this is not a line"]),
        (f"\ufeff{'0' * 64}  a.authz\n", ["1:1: this is not a line"]),
        (f"{'0' * 64}  a.authz\n{'1' * 64}  a.authz\n", ["2:1: `a.authz` stands twice"]),
        (f"{'0' * 64}  b.authz\n{'0' * 64}  a.authz\n", ["2:1: `a.authz` is out of order"]),
        (f"{'0' * 64}  a.authz", ["1:1: `authz.sum` is cut short"]),
        (f"x\n{'0' * 64}  a.authz\ny\n", ["1:1: this is not a line", "3:1: this is not a line"]),
    ],
)
def test_each_line_that_is_not_as_described_is_an_error_at_its_place(text: str, findings: list[str]) -> None:
    """L5, L7: one line a file, in the order of L1, and nothing else."""
    found = _found(text.encode(), FILES)
    assert all(line.startswith(f"p/authz.sum:{start}") for line, start in zip(found, findings, strict=True)), found


def test_a_line_that_is_not_utf8_is_an_error() -> None:
    """L7, L1."""
    line = f"{'0' * 64}  ".encode() + b"\xff.authz\n"
    assert [found.split(" ", 1)[0] for found in _found(render(FILES).encode() + line, FILES)] == ["p/authz.sum:3:1:"]


def test_another_kind_of_file_is_not_complained_of_line_by_line() -> None:
    """L5, L7: every error is reported, but a picture is no thousand errors."""
    assert len(_found(b"\x89PNG\n" * 1000, FILES)) == manifest.MAX_DEFECTS
