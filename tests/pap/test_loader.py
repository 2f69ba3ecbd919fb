"""Finding and reading policy files (L1, L6, L7)."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from authz.errors import LoadError, PolicyError
from authz.lang.limits import Limits
from authz.pap import loader, manifest
from authz.pap.loader import decode, find_files, load, load_tests, lock_folder, read_files, read_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from authz.lang.diagnostics import Diagnostic

RULE = 'tool "t" { allow public }\n'


def _names(path: Path) -> list[str]:
    return [file.name for file in find_files(path)]


def _refused_text(read: Callable[[], object]) -> list[str]:
    """Return the findings that a policy is refused with, without the path of the test's own folder."""
    with pytest.raises(PolicyError) as error:
        read()
    return [f"{d.source.name}:{str(d).removeprefix(d.source.path + ':')}" for d in error.value.diagnostics]


def _write(root: Path, *names: str, text: str = "") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_files_come_in_the_bytewise_order_of_their_paths(tmp_path: Path) -> None:
    """L1: `.` sorts before `/`, capitals before small letters, and `é` after `z`."""
    _write(tmp_path, "a/b.authz", "a.authz", "B.authz", "é.authz", "z.authz", "a-b.authz")
    assert _names(tmp_path) == ["B.authz", "a-b.authz", "a.authz", "a/b.authz", "z.authz", "é.authz"]


def test_hidden_names_other_names_and_tests_are_not_read(tmp_path: Path) -> None:
    """L1: names that start with a dot, and `*_test.authz`."""
    _write(tmp_path, "p.authz", ".q.authz", ".git/r.authz", "p_test.authz", "_test.authz", "notes.txt", "authz")
    assert _names(tmp_path) == ["p.authz"]


def test_a_path_may_name_one_file(tmp_path: Path) -> None:
    """L1: the file stands for itself, under its own name."""
    _write(tmp_path, "p.authz", "q.authz", text=RULE)
    assert [source.name for source in read_sources(tmp_path / "p.authz")] == ["p.authz"]


def test_a_test_file_is_no_policy(tmp_path: Path) -> None:
    """L1, L80: tests are not part of the policy, named or not."""
    _write(tmp_path, "p_test.authz")
    with pytest.raises(LoadError, match="holds tests, not a policy"):
        load(tmp_path / "p_test.authz")


def test_paths_are_shown_as_the_user_typed_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L5: a place can be pasted into an editor."""
    _write(tmp_path, "policies/sub/p.authz")
    monkeypatch.chdir(tmp_path)
    assert [file.shown for file in find_files("policies")] == ["policies/sub/p.authz"]
    assert [file.shown for file in find_files("policies/")] == ["policies/sub/p.authz"]
    monkeypatch.chdir("policies")
    assert [file.shown for file in find_files(".")] == ["sub/p.authz"]


def test_the_name_of_a_file_is_its_path_below_the_directory(tmp_path: Path) -> None:
    """L23: names of rules start with it."""
    _write(tmp_path, "sub/p.authz")
    (source,) = read_sources(tmp_path)
    assert (source.name, source.module) == ("sub/p.authz", "sub/p")


def test_a_missing_path_is_one_clear_line(tmp_path: Path) -> None:
    """Issue: a missing file is one clear line."""
    with pytest.raises(LoadError) as error:
        load(tmp_path / "nope")
    assert str(error.value) == f"`{tmp_path / 'nope'}` does not exist"


def test_a_path_with_a_nul_is_an_error_of_ours() -> None:
    """Issue: bad input never raises another exception."""
    with pytest.raises(LoadError):
        load("a\0b")


# --- What is no regular file inside the directory -------------------------------------------


def _refused(root: Path, problem: str) -> None:
    for read in (find_files, read_files, load):
        with pytest.raises(LoadError) as error:
            read(root)
        assert problem in str(error.value)


def test_a_link_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    """L1."""
    _write(tmp_path, "outside.authz", "in/p.authz")
    (tmp_path / "in/link.authz").symlink_to(tmp_path / "outside.authz")
    _refused(tmp_path / "in", "link.authz` is a symbolic link that leads out of the policy directory")


def test_a_link_to_a_folder_outside_is_refused(tmp_path: Path) -> None:
    """L1: what it holds would otherwise count as lying inside."""
    _write(tmp_path, "outside/q.authz", "in/p.authz")
    (tmp_path / "in/more").symlink_to(tmp_path / "outside")
    _refused(tmp_path / "in", "more` is a symbolic link that leads out")


def test_a_folder_whose_name_starts_like_the_root_is_outside(tmp_path: Path) -> None:
    """L1: `/p-private` is not inside `/p`."""
    _write(tmp_path, "p-private/q.authz", "p/p.authz")
    (tmp_path / "p/q.authz").symlink_to("../p-private/q.authz")
    _refused(tmp_path / "p", "leads out")


def test_a_link_inside_the_directory_is_followed(tmp_path: Path) -> None:
    """L1 forbids only the link that leads out; configuration volumes are built of such links."""
    _write(tmp_path, "..2026/p.authz", text=RULE)
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "p.authz").symlink_to("..data/p.authz")
    assert [(file.name, file.data) for file in read_files(tmp_path)] == [("p.authz", RULE.encode())]


def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    """L1 speaks of links inside the directory."""
    _write(tmp_path, "real/p.authz")
    (tmp_path / "link").symlink_to("real")
    assert _names(tmp_path / "link") == ["p.authz"]
    assert len(read_files(tmp_path / "link")) == 1


@pytest.mark.parametrize("target", ["nowhere.authz", "loop.authz"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, target: str) -> None:
    """L1: a deny that cannot be read must not be passed over."""
    (tmp_path / "loop.authz").symlink_to(target)
    _refused(tmp_path, "loop.authz`")


def test_a_link_to_a_folder_that_holds_it_is_refused(tmp_path: Path) -> None:
    """L40 in spirit: reading ends."""
    _write(tmp_path, "sub/p.authz")
    (tmp_path / "sub/again").symlink_to(".")
    (tmp_path / "sub/up").symlink_to("..")
    _refused(tmp_path, "sub/again` is a symbolic link to a folder that holds it")


def test_a_folder_with_a_policy_files_name_is_refused(tmp_path: Path) -> None:
    """L1."""
    _write(tmp_path, "p.authz/q.authz")
    _refused(tmp_path, "p.authz` is a folder, not a file")


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    """L1: opened as usual, it would hang the reader for ever."""
    os.mkfifo(tmp_path / "p.authz")
    _refused(tmp_path, "p.authz` is not a regular file")
    with pytest.raises(LoadError, match="is not a regular file"):
        load(tmp_path / "p.authz")


def test_a_socket_and_a_device_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L1."""
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("p.authz")
        _refused(tmp_path, "p.authz` is not a regular file")
    with pytest.raises(LoadError, match="`/dev/zero` is not a regular file"):
        load("/dev/zero")


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """L23: the name of a file is part of the names of its rules; L7: and of a line in the manifest."""
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.authz", os.O_CREAT))
    _write(tmp_path, "a\nb.authz")
    with pytest.raises(LoadError) as error:
        find_files(tmp_path)
    assert str(error.value).count("has a name that is not printable UTF-8") == 2


def test_everything_that_cannot_be_read_is_named_together(tmp_path: Path) -> None:
    """L5: every error is reported, not only the first."""
    os.mkfifo(tmp_path / "b.authz")
    (tmp_path / "a.authz").mkdir()
    with pytest.raises(LoadError) as error:
        load(tmp_path)
    assert str(error.value) == (
        f"`{tmp_path}/a.authz` is a folder, not a file; `{tmp_path}/b.authz` is not a regular file"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_one_clear_line(tmp_path: Path) -> None:
    """Issue: one clear line."""
    _write(tmp_path, "p.authz")
    (tmp_path / "p.authz").chmod(0)
    with pytest.raises(LoadError, match="cannot be read: permission denied"):
        load(tmp_path)


def test_a_directory_of_endless_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L6: no input makes the reader go on for ever."""
    monkeypatch.setattr(loader, "MAX_ENTRIES", 3)
    _write(tmp_path, "a", "b", "c/d", "c/e")
    with pytest.raises(LoadError, match="holds more than 3 files and folders"):
        find_files(tmp_path)


def test_a_link_swapped_in_after_the_search_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L1: the check and the reading see one and the same file."""
    _write(tmp_path, "outside.authz", "in/p.authz")
    real = os.path.realpath(tmp_path / "in/p.authz")
    (tmp_path / "in/p.authz").unlink()
    (tmp_path / "in/p.authz").symlink_to("../outside.authz")
    monkeypatch.setattr(os.path, "realpath", lambda path, **_: real if str(path).endswith("p.authz") else str(path))
    with pytest.raises(LoadError, match="cannot be read"):
        read_files(tmp_path / "in")


# --- Limits and change ----------------------------------------------------------------------


def test_a_file_over_its_limit_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L6: 1 MiB a file, and the limit is configurable."""
    _write(tmp_path, "p.authz", text="# 345\n")
    assert len(read_files(tmp_path, Limits(file_bytes=6))) == 1
    monkeypatch.setattr(loader, "_read_all", lambda *_: pytest.fail("read"))
    finding = "p.authz:1:1: error[file-too-large]: the file is larger than 5 bytes"
    assert _refused_text(lambda: read_files(tmp_path, Limits(file_bytes=5))) == [finding]


def test_a_sparse_file_of_a_terabyte_costs_nothing(tmp_path: Path) -> None:
    """L6."""
    with (tmp_path / "p.authz").open("wb") as file:
        file.truncate(10**10)
    assert _refused_text(lambda: load(tmp_path)) == [
        "p.authz:1:1: error[file-too-large]: the file is larger than 1048576 bytes"
    ]


def test_a_policy_over_its_limit_is_refused(tmp_path: Path) -> None:
    """L6: 64 MiB a policy."""
    _write(tmp_path, "a.authz", "b.authz", text="# 345\n")
    assert len(read_files(tmp_path, Limits(policy_bytes=12))) == 2
    finding = "b.authz:1:1: error[policy-too-large]: with this file the policy is larger than 11 bytes"
    assert _refused_text(lambda: read_files(tmp_path, Limits(policy_bytes=11))) == [finding]


def test_nothing_is_read_after_the_policy_has_passed_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L6: a directory of many large files takes no more memory than the limit."""
    _write(tmp_path, "a.authz", "b.authz", "c.authz", "d.authz", text="# 345\n")
    opened: list[str] = []
    open_ = loader._open

    def noted(path: str, file: loader.FoundFile) -> int:
        opened.append(file.name)
        return open_(path, file)

    monkeypatch.setattr(loader, "_open", noted)
    assert len(_refused_text(lambda: load(tmp_path, Limits(policy_bytes=11)))) == 1
    assert opened == ["a.authz", "b.authz"]


def test_what_is_too_large_is_reported_with_all_else_and_without_the_complaints_of_the_gap(tmp_path: Path) -> None:
    """L5, L6, L7: bytes, text and manifest in one list; nobody knows what the large file declares."""
    _write(tmp_path, "a.authz", text='role "editor" extends "viewer"\ntool { }\n')
    _write(tmp_path, "b.authz", "d.authz", text="# as it was locked\n")
    _write(tmp_path, "c.authz", text=f'role "viewer"\n#{" " * 100}\n')
    lock_folder(tmp_path)
    _write(tmp_path, "b.authz", text="# changed\n")
    (tmp_path / "d.authz").unlink()
    found = _refused_text(lambda: load(tmp_path, Limits(file_bytes=60)))
    assert [finding.split("]")[0] for finding in found] == [
        "a.authz:2:6: error[syntax",
        "authz.sum:4:1: error[manifest-mismatch",
        "b.authz:1:1: error[manifest-mismatch",
        "c.authz:1:1: error[file-too-large",
    ]


def test_a_test_file_over_its_limit_is_reported_with_the_errors_of_the_others(tmp_path: Path) -> None:
    """L5, L6."""
    _write(tmp_path, "a_test.authz", text="test {\n")
    _write(tmp_path, "b_test.authz", text="# 345678\n")
    found = _refused_text(lambda: load_tests(tmp_path, Limits(file_bytes=8)))
    assert [finding.split("]")[0] for finding in found] == [
        "a_test.authz:1:6: error[syntax",
        "b_test.authz:1:1: error[file-too-large",
    ]


def test_a_manifest_over_the_limit_of_a_policy_is_refused_unread(tmp_path: Path) -> None:
    """L6, L7."""
    _write(tmp_path, "p.authz", text="# 345\n")
    (tmp_path / "authz.sum").write_text("0" * 13)
    finding = "authz.sum:1:1: error[file-too-large]: the file is larger than 12 bytes"
    assert _refused_text(lambda: load(tmp_path, Limits(policy_bytes=12))) == [finding]


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L7 in spirit: half of an old file and half of a new one are never believed."""
    _write(tmp_path, "p.authz", text=RULE)
    read_all = loader._read_all

    def slowly(descriptor: int, most: int) -> bytes:
        with (tmp_path / "p.authz").open("a") as file:
            file.write("more")
        return read_all(descriptor, most)

    monkeypatch.setattr(loader, "_read_all", slowly)
    with pytest.raises(LoadError, match="changed while it was read"):
        read_files(tmp_path)


def test_a_file_that_vanishes_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat: a file is removed while the policy loads."""
    _write(tmp_path, "p.authz")
    found = find_files(tmp_path)
    (tmp_path / "p.authz").unlink()
    monkeypatch.setattr(loader, "find_files", lambda *_: found)
    with pytest.raises(LoadError, match="does not exist"):
        read_files(tmp_path)


# --- Bytes and text -------------------------------------------------------------------------


def _decoded(data: bytes) -> tuple[str, list[str]]:
    source, problems = decode(loader.ReadFile("p.authz", "p.authz", data))
    return source.text, [str(problem) for problem in problems]


def test_valid_text_is_taken_as_it_is() -> None:
    """L1: UTF-8, line ends untouched."""
    assert _decoded("# é 𝄞 \r\n".encode()) == ("# é 𝄞 \r\n", [])


def test_a_byte_order_mark_is_an_error_at_the_start() -> None:
    """L1."""
    text, problems = _decoded(b"\xef\xbb\xbf# x")
    assert text == "# x"
    assert problems == ["p.authz:1:1: error[byte-order-mark]: the file starts with a byte order mark"]


def test_every_run_of_invalid_bytes_is_an_error_at_its_place() -> None:
    """L1, L5: columns count characters, so the two bytes of `é` are one."""
    text, problems = _decoded("# é".encode() + b"\xff\xfe!\n\xc3")
    assert text == "# é\ufffd\ufffd!\n\ufffd"
    assert problems == [
        "p.authz:1:4: error[invalid-utf8]: bytes that are not valid UTF-8: `ff fe`",
        "p.authz:2:1: error[invalid-utf8]: bytes that are not valid UTF-8: `c3`",
    ]


@pytest.mark.parametrize("data", [b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\x80"])
def test_surrogates_and_overlong_forms_are_not_utf8(data: bytes) -> None:
    """L1: strict UTF-8."""
    _, problems = _decoded(data)
    assert len(problems) == 1


def test_a_long_run_is_cut_in_the_message() -> None:
    """Style: a message is one readable line."""
    _, problems = _decoded(b"\xff" * 100_000)
    assert problems == ["p.authz:1:1: error[invalid-utf8]: bytes that are not valid UTF-8: `ff ff ff ff …`"]


def test_a_file_that_is_no_text_at_all_is_one_error() -> None:
    """L5: every error is reported, but a picture is one error and not ten thousand."""
    _, problems = _decoded(b"\n\xff " * 21)
    assert problems == [
        "p.authz:2:1: error[invalid-utf8]: the file is not UTF-8 text: 21 places in it hold other bytes"
    ]
    _, problems = _decoded(b"\n\xff " * 20)
    assert len(problems) == 20


def test_problems_of_all_files_are_reported_together_in_order(tmp_path: Path) -> None:
    """L5: bytes and syntax, in every file, sorted by place."""
    (tmp_path / "a.authz").write_bytes(b"\xef\xbb\xbf# fine\n")
    (tmp_path / "b.authz").write_bytes(b"# \xff\n")
    (tmp_path / "c.authz").write_text("tool {\n")
    with pytest.raises(PolicyError) as error:
        load(tmp_path)
    found = [(d.source.name, d.code) for d in error.value.diagnostics]
    assert found[:2] == [("a.authz", "byte-order-mark"), ("b.authz", "invalid-utf8")]
    assert {name for name, _ in found[2:]} == {"c.authz"}


def test_a_broken_file_among_good_ones_loads_nothing(tmp_path: Path) -> None:
    """L7, issue: nothing half-loaded."""
    _write(tmp_path, *(f"{n}.authz" for n in range(20)), text=RULE)
    (tmp_path / "7.authz").write_bytes(b"\xff")
    with pytest.raises(PolicyError):
        load(tmp_path)


# --- Manifest -------------------------------------------------------------------------------


def test_a_locked_policy_loads_until_a_file_changes(tmp_path: Path) -> None:
    """L7."""
    _write(tmp_path, "p.authz", "sub/q.authz", text=RULE)
    assert lock_folder(tmp_path) == (str(tmp_path / "authz.sum"), 2)
    assert len(load(tmp_path).sources) == 2
    _write(tmp_path, "p.authz", text=RULE + "#")
    finding = "p.authz:1:1: error[manifest-mismatch]: `p.authz` has changed since `authz.sum` was written"
    assert _refused_text(lambda: load(tmp_path)) == [finding]
    assert _refused_text(lambda: read_sources(tmp_path)) == [finding]


def test_tests_are_not_covered_by_the_manifest(tmp_path: Path) -> None:
    """L7: it covers policy files, not tests."""
    _write(tmp_path, "p.authz", text=RULE)
    lock_folder(tmp_path)
    _write(tmp_path, "p_test.authz")
    assert len(read_sources(tmp_path)) == 1


def test_a_locked_policy_never_loads_a_prefix_of_a_file(tmp_path: Path) -> None:
    """L7: a half-written policy can never be half-believed."""
    _write(tmp_path, "p.authz", text=RULE)
    lock_folder(tmp_path)
    for length in range(len(RULE)):
        _write(tmp_path, "p.authz", text=RULE[:length])
        assert len(_refused_text(lambda: read_sources(tmp_path))) == 1


def test_the_bytes_that_are_verified_are_those_that_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L7: a second reading could see another file."""
    _write(tmp_path, "p.authz", text=RULE)
    lock_folder(tmp_path)

    verify = manifest.verify

    def then_change(
        locked: loader.ReadFile, files: Iterable[loader.ReadFile], unread: Collection[str]
    ) -> tuple[Diagnostic, ...]:
        found = verify(locked, files, unread)
        _write(tmp_path, "p.authz", text="# other\n")
        return found

    monkeypatch.setattr(manifest, "verify", then_change)
    assert [source.text for source in read_sources(tmp_path)] == [RULE]


@pytest.mark.parametrize("make", ["folder", "fifo", "dangling", "outside"])
def test_a_manifest_that_cannot_be_read_is_not_an_absent_one(tmp_path: Path, make: str) -> None:
    """L7: where it is, it must agree."""
    _write(tmp_path, "in/p.authz", "outside", text=RULE)
    path = tmp_path / "in/authz.sum"
    match make:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "dangling":
            path.symlink_to("nowhere")
        case _:
            path.symlink_to("../outside")
    with pytest.raises(LoadError):
        read_sources(tmp_path / "in")


def test_only_a_folder_can_be_locked(tmp_path: Path) -> None:
    """L7: a policy directory may hold a manifest."""
    _write(tmp_path, "p.authz")
    with pytest.raises(LoadError, match="only a folder has a manifest"):
        lock_folder(tmp_path / "p.authz")


# --- Loading --------------------------------------------------------------------------------


def test_a_policy_loads_into_a_program(tmp_path: Path) -> None:
    """Architecture: text, tree, checked policy, program."""
    _write(tmp_path, "p.authz", text=RULE)
    loaded = load(tmp_path)
    assert [rule.name for rule in loaded.program.outline()] == ["p:1"]
    assert len(loaded.program.revision) == 64


def test_an_empty_directory_is_an_empty_policy(tmp_path: Path) -> None:
    """L25."""
    assert load(tmp_path).sources == ()


def test_the_same_policy_has_the_same_revision_wherever_it_lies(tmp_path: Path) -> None:
    """L66: the revision is a digest of text and relative path, not of the place."""
    _write(tmp_path, "a/p.authz", "b/p.authz", text=RULE)
    assert load(tmp_path / "a").program.revision == load(tmp_path / "b").program.revision


def test_tests_of_a_directory_are_found_in_order(tmp_path: Path) -> None:
    """L80."""
    test = 'test "t" { as anonymous call "t" expect allow }\n'
    _write(tmp_path, "b_test.authz", "a/c_test.authz", "p.authz", text=test)
    assert [source.name for source, _ in load_tests(tmp_path)] == ["a/c_test.authz", "b_test.authz"]


def test_the_tests_of_one_file_stand_in_its_twin(tmp_path: Path) -> None:
    """L1, L80: a path may name one file."""
    test = 'test "t" { as anonymous call "t" expect allow }\n'
    _write(tmp_path, "p_test.authz", "q_test.authz", "p.authz", "r.authz", text=test)
    assert [source.name for source, _ in load_tests(tmp_path / "p.authz")] == ["p_test.authz"]
    assert load_tests(tmp_path / "r.authz") == ()


def test_errors_in_all_test_files_are_reported_together(tmp_path: Path) -> None:
    """L5."""
    _write(tmp_path, "a_test.authz", "b_test.authz", text="test {\n")
    with pytest.raises(PolicyError) as error:
        load_tests(tmp_path)
    assert {d.source.name for d in error.value.diagnostics} == {"a_test.authz", "b_test.authz"}
