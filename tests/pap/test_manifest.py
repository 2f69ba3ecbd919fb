"""The manifest of a policy directory (L7)."""

from __future__ import annotations

import hashlib

import pytest

from authz.errors import LoadError
from authz.pap.manifest import parse, render, verify

FILES = (("a.authz", b"one"), ("sub/b.authz", b"two"))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
    verify(render(FILES).encode(), FILES)


def test_upper_case_digits_are_the_same_digest() -> None:
    """L7 asks for hexadecimal digits, of either case."""
    text = f"{_digest(b'one').upper()}  a.authz\n"
    verify(text.encode(), FILES[:1])


def test_an_empty_manifest_covers_an_empty_policy_only() -> None:
    """L7, L25."""
    verify(b"", ())
    with pytest.raises(LoadError, match=r"`a.authz` is not listed"):
        verify(b"", FILES[:1])


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (FILES[:1], "`sub/b.authz` is missing"),
        ((*FILES, ("c.authz", b"")), "`c.authz` is not listed"),
        ((("a.authz", b"on"), FILES[1]), "`a.authz` has changed"),
        ((("a.authz", b""), FILES[1]), "`a.authz` has changed"),
    ],
    ids=["missing", "added", "truncated", "emptied"],
)
def test_a_file_that_differs_is_named(files: tuple[tuple[str, bytes], ...], problem: str) -> None:
    """L7: missing, added, truncated and changed are errors."""
    with pytest.raises(LoadError) as error:
        verify(render(FILES).encode(), files)
    assert problem in str(error.value)


def test_all_differences_are_named_together() -> None:
    """L5, L7."""
    with pytest.raises(LoadError) as error:
        verify(render(FILES).encode(), (("a.authz", b"x"), ("c.authz", b"")))
    assert str(error.value).endswith("`sub/b.authz` is missing, `c.authz` is not listed, `a.authz` has changed")


def test_no_prefix_of_a_manifest_is_believed() -> None:
    """L7: a manifest that was itself copied by halves does not vouch for a policy."""
    whole = render(FILES).encode()
    for length in range(len(whole)):
        with pytest.raises(LoadError):
            verify(whole[:length], FILES)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{'0' * 63}  a.authz\n", "m:1: not a line"),
        (f"{'0' * 64} a.authz\n", "m:1: not a line"),
        (f"{'g' * 64}  a.authz\n", "m:1: not a line"),
        (f"{'0' * 64}  a.authz\r\n", "m:1: not a line"),
        (f"{'0' * 64}  \n", "m:1: not a line"),
        (f"{'0' * 64}  a.authz\n\n", "m:2: not a line"),
        (f"{'0' * 64}  a.authz\n{'1' * 64}  a.authz\n", "m:2: `a.authz` stands twice"),
        (f"{'0' * 64}  b.authz\n{'0' * 64}  a.authz\n", "m:2: `a.authz` is out of order"),
        (f"{'0' * 64}  a.authz", "cut short"),
    ],
)
def test_a_line_that_is_not_as_described_is_an_error_at_its_place(text: str, problem: str) -> None:
    """L7: one line a file, in the order of L1, and nothing else."""
    with pytest.raises(LoadError) as error:
        parse(text.encode(), "m")
    assert problem in str(error.value)


def test_a_manifest_that_is_not_utf8_is_an_error() -> None:
    """L7, L1."""
    with pytest.raises(LoadError, match="not valid UTF-8 at byte 3"):
        parse(b"ab\xff\n", "m")
