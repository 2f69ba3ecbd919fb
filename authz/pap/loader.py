"""Files → policy: find them, read them once, check them, compile them (L1, L6, L7).

A policy directory may be written by someone else than the one who reads it, so nothing here
trusts a name: a file is opened without waiting (a FIFO cannot hang the reader), without following
a link that was put there in between, looked at through its descriptor, and read up to its limit.
"""

# The care taken here needs descriptors, which pathlib does not give.
# ruff: noqa: PTH112, PTH114, PTH116, PTH118
from __future__ import annotations

import errno
import os
import stat
import weakref
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from authz.errors import LoadError, PolicyError
from authz.lang.ast import PolicyFile, Span
from authz.lang.diagnostics import in_order
from authz.lang.limits import DEFAULT_LIMITS, Limits
from authz.lang.source import TEST_SUFFIX
from authz.pap import collector
from authz.pap.decoding import ReadFile, decode, too_large, too_much, unreadable, without_text
from authz.pap.walk import FoundFile, Kind, find_below, inside, shown, strerror, twins

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.lang.ast import TestFile
    from authz.lang.checked import CheckedPolicySet
    from authz.lang.diagnostics import Diagnostic
    from authz.lang.source import Source
    from authz.pdp.program import Program

__all__ = [
    "MANIFEST",
    "MAX_ENTRIES",
    "Collected",
    "FoundFile",
    "Kind",
    "LoadedPolicy",
    "ReadFile",
    "StrPath",
    "collect_files",
    "decode",
    "find_files",
    "load",
    "load_files",
    "load_test_files",
    "load_tests",
    "lock_folder",
    "read_all_files",
    "read_files",
    "read_sources",
    "too_large",
]

StrPath: TypeAlias = "str | os.PathLike[str]"

MANIFEST: Final = "authz.sum"
"""The manifest's name, directly in the policy directory (L7)."""
MAX_ENTRIES: Final = 200_000
"""Files and folders looked at below one directory; a link that leads to `/` ends here at last."""
_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Collected(NamedTuple):
    """The files of a policy that could be read, those over a limit, and what was found on the way."""

    files: tuple[ReadFile, ...]
    unread: tuple[FoundFile, ...]
    findings: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy that is valid: what was read, what it means, and the program that decides by it."""

    sources: tuple[Source, ...]
    checked: CheckedPolicySet
    program: Program

    @cached_property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """Return what `lint` has to say; worked out only when asked for."""
        from authz.lang.linter import lint  # noqa: PLC0415  # most loads never ask

        return lint(self.checked)


def load(path: StrPath, limits: Limits = DEFAULT_LIMITS) -> LoadedPolicy:
    """Read, check and compile the policy in a directory or file.

    Raised are `PolicyError` with every finding in every file, those of size (L6) and of the
    manifest (L7) among them, and `LoadError` for what is no text at all: a path that is missing,
    unreadable or no regular file. Either way nothing is loaded.
    """
    with collector.paused():
        return _load(_verified(path, limits), limits)


def load_files(files: Iterable[ReadFile], limits: Limits = DEFAULT_LIMITS) -> LoadedPolicy:
    """Check and compile a policy whose files are in memory, in whatever order they come; tests are left out.

    Raises `PolicyError`, as `load` does.
    """
    with collector.paused():
        return _load(_within(files, limits, tests=False), limits)


def _load(read: Collected, limits: Limits) -> LoadedPolicy:
    before = _latest.policy()
    sources, trees, findings = _parse(read, limits, before)
    from authz.lang.validator import validate  # noqa: PLC0415  # `fmt` and `lock` start without it

    checked = validate(tuple(zip(sources, trees, strict=True)), limits, findings, before)
    from authz.pdp.compiler import compile_policy  # noqa: PLC0415  # as above

    program = compile_policy(checked)
    _latest.set(program)
    return LoadedPolicy(sources, checked, program)


class _Latest:
    """The program that was loaded last, as long as somebody has it: files that stay as they are are not read again.

    Reloading 10 000 rules after a change in one file of a hundred takes a tenth of the time.
    """

    def __init__(self) -> None:
        self._program: weakref.ref[Program] | None = None

    def policy(self) -> CheckedPolicySet | None:
        program = None if self._program is None else self._program()
        return None if program is None else program.policy

    def set(self, program: Program) -> None:
        self._program = weakref.ref(program)


_latest: Final = _Latest()


def load_tests(path: StrPath, limits: Limits = DEFAULT_LIMITS) -> tuple[tuple[Source, TestFile], ...]:
    """Read the `*_test.authz` files of a directory, or the one beside a policy file (L80).

    Raised are `PolicyError` and `LoadError`, as in `load`.
    """
    return _parse_tests(collect_files(path, limits, "tests"), limits)


def load_test_files(files: Iterable[ReadFile], limits: Limits = DEFAULT_LIMITS) -> tuple[tuple[Source, TestFile], ...]:
    """Read the tests among files in memory, in whatever order they come. Raises `PolicyError`."""
    return _parse_tests(_within(files, limits, tests=True), limits)


def _parse_tests(read: Collected, limits: Limits) -> tuple[tuple[Source, TestFile], ...]:
    from authz.lang.parser import parse_tests  # noqa: PLC0415  # as above

    tests: list[tuple[Source, TestFile]] = []
    findings = list(read.findings)
    for file in read.files:
        source, problems = decode(file)
        findings += problems
        if not unreadable(problems):
            tree, errors = parse_tests(source, limits)
            findings += errors
            tests.append((source, tree))
    if findings:
        raise PolicyError(in_order(findings))
    return tuple(tests)


def read_sources(path: StrPath, limits: Limits = DEFAULT_LIMITS) -> tuple[Source, ...]:
    """Return the text of every policy file, in the order of L1, after checking the manifest (L7).

    Raised are `PolicyError` where bytes are not text or not the locked ones, and `LoadError` as in
    `load`.
    """
    read = _verified(path, limits)
    decoded = [decode(file) for file in read.files]
    findings = [*read.findings, *(problem for _, problems in decoded for problem in problems)]
    if findings:
        raise PolicyError(in_order(findings))
    return tuple(source for source, _ in decoded)


def find_files(path: StrPath, kind: Kind = "policies") -> tuple[FoundFile, ...]:
    """Return the files of a policy, bytewise in the order of their names (L1).

    A path that is a file stands for itself; its tests are in the twin `NAME_test.authz`, if any.
    Raises `LoadError`, naming everything that L1 does not allow.
    """
    text = os.fspath(path)
    try:
        mode = os.stat(text).st_mode
    except (OSError, ValueError) as error:
        raise LoadError(_cannot_read(text, error)) from None
    if stat.S_ISDIR(mode):
        return find_below(text, kind, MAX_ENTRIES)
    return twins(text, kind)


def read_files(path: StrPath, limits: Limits = DEFAULT_LIMITS, kind: Kind = "policies") -> tuple[ReadFile, ...]:
    """Read the files of a policy, each once and no further than its limit (L6).

    Raised are `PolicyError` for what is too large, and `LoadError`, naming every file that cannot
    be read.
    """
    read = collect_files(path, limits, kind)
    if read.findings:
        raise PolicyError(in_order(read.findings))
    return read.files


def read_all_files(path: StrPath, limits: Limits = DEFAULT_LIMITS) -> tuple[ReadFile, ...]:
    """Return the files of a policy and then its tests, after checking the manifest (L7).

    Raised are `PolicyError` where one is too large or not the locked one, and `LoadError` as in
    `load`.
    """
    policies, tests = _verified(path, limits), collect_files(path, limits, "tests")
    if policies.findings or tests.findings:
        raise PolicyError(in_order((*policies.findings, *tests.findings)))
    return (*policies.files, *tests.files)


def collect_files(path: StrPath, limits: Limits = DEFAULT_LIMITS, kind: Kind = "policies") -> Collected:
    """Read the files of a policy as `read_files` does, with a finding where one is too large (L6).

    Nothing is read any more once the files together pass their limit.
    """
    read: list[ReadFile] = []
    unread: list[FoundFile] = []
    findings: list[Diagnostic] = []
    problems: list[str] = []
    left = limits.policy_bytes
    for found in find_files(path, kind):
        if left < 0:
            unread.append(found)
            continue
        try:
            data = _read(path, found, limits.file_bytes)
        except LoadError as error:
            problems.append(str(error))
            continue
        left -= len(data or b"")
        if data is None or left < 0:
            unread.append(found)
            findings.append(too_large(found, limits) if data is None else too_much(found, limits))
        else:
            read.append(ReadFile(found.name, found.shown, data))
    if problems:
        raise LoadError("; ".join(problems))
    return Collected(tuple(read), tuple(unread), tuple(findings))


def _within(files: Iterable[ReadFile], limits: Limits, *, tests: bool) -> Collected:
    """Return the policy files or the tests among files in memory as `collect_files` returns those on disk."""
    read: list[ReadFile] = []
    unread: list[FoundFile] = []
    findings: list[Diagnostic] = []
    left = limits.policy_bytes
    for file in sorted(files, key=lambda file: file.name.encode("utf-8", "surrogatepass")):
        if file.name.endswith(TEST_SUFFIX) is not tests:
            continue
        found = FoundFile(file.name, file.shown)
        left -= len(file.data)
        if len(file.data) > limits.file_bytes:
            findings.append(too_large(found, limits))
        elif left < 0:
            findings.append(too_much(found, limits))
        else:
            read.append(file)
            continue
        unread.append(found)
        if left < 0:
            break
    return Collected(tuple(read), tuple(unread), tuple(findings))


def _parse(
    read: Collected, limits: Limits, before: CheckedPolicySet | None
) -> tuple[tuple[Source, ...], tuple[PolicyFile, ...], list[Diagnostic]]:
    from authz.lang.parser import parse_policy  # noqa: PLC0415  # as above

    sources: list[Source] = []
    trees: list[PolicyFile] = []
    findings = list(read.findings)
    # A file that is not there in full may have declared what the others use.
    gap = PolicyFile((), (), broken=True, span=Span(0, 0))
    known = before.parts.files if before is not None and before.parts.limits == limits else {}
    for file in read.files:
        source, problems = decode(file)
        findings += problems
        if not problems and (part := known.get(source.name)) is not None and part.source == source:
            source, tree = part.source, part.tree
        elif unreadable(problems):  # what is left of its text would only be complained about twice
            tree = gap
        else:
            tree, errors = parse_policy(source, limits)
            findings += errors
        sources.append(source)
        trees.append(tree)
    if read.findings:
        sources.append(without_text(FoundFile("", "")))
        trees.append(gap)
    return tuple(sources), tuple(trees), findings


def _verified(path: StrPath, limits: Limits) -> Collected:
    read = collect_files(path, limits)
    manifest = _find_manifest(path)
    if manifest is None:
        return read
    data = _read(path, manifest, limits.policy_bytes)
    if data is None:
        findings: tuple[Diagnostic, ...] = (too_large(manifest, replace(limits, file_bytes=limits.policy_bytes)),)
    else:
        from authz.pap.manifest import verify  # noqa: PLC0415  # most policies have none

        findings = verify(ReadFile(*manifest, data), read.files, {file.name for file in read.unread})
    return read._replace(findings=(*read.findings, *findings))


def _find_manifest(path: StrPath) -> FoundFile | None:
    """Return `authz.sum` of a policy directory, or None where there is none (L7).

    Whatever stands there under that name counts: a link that leads nowhere is an error, not an
    absence. A path that is one file has no manifest.
    """
    root = os.fspath(path)
    there = os.path.isdir(root) and os.path.lexists(os.path.join(root, MANIFEST))
    return FoundFile(MANIFEST, shown(root, MANIFEST)) if there else None


def lock_folder(folder: StrPath) -> tuple[str, int]:
    """Write the manifest of a policy directory; return its path and how many files it names (L7).

    Raises `LoadError` where the files cannot be read or the manifest cannot be written.
    """
    from authz.pap.atomic import replace_text  # noqa: PLC0415  # loading writes nothing
    from authz.pap.manifest import render  # noqa: PLC0415  # as above

    files = read_files(folder)
    if not os.path.isdir(folder):
        raise LoadError(f"`{os.fspath(folder)}` is not a folder; only a folder has a manifest")
    path = shown(os.fspath(folder), MANIFEST)
    if os.path.islink(path):
        raise LoadError(f"`{path}` is a symbolic link and is left alone")
    replace_text(path, render((file.name, file.data) for file in files))
    return path, len(files)


# --- Reading --------------------------------------------------------------------------------


def _read(path: StrPath, file: FoundFile, most: int) -> bytes | None:
    """Read a file of at most `most` bytes; None is a larger one. Raises `LoadError` for what is no file."""
    try:
        descriptor = _open(os.fspath(path), file)
    except (OSError, ValueError) as error:
        raise LoadError(_cannot_read(file.shown, error)) from None
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise LoadError(f"`{file.shown}` is not a regular file")
        if before.st_size > most:
            return None
        data = _read_all(descriptor, before.st_size + 1)
        after = os.fstat(descriptor)
    except OSError as error:
        raise LoadError(_cannot_read(file.shown, error)) from None
    finally:
        os.close(descriptor)
    same = before.st_mtime_ns == after.st_mtime_ns and before.st_size == after.st_size == len(data)
    if not same:
        raise LoadError(f"`{file.shown}` changed while it was read")
    return data


def _open(path: str, file: FoundFile) -> int:
    if not os.path.isdir(path):
        return os.open(file.shown, _OPEN)
    root = os.path.realpath(path)
    real = os.path.realpath(os.path.join(root, file.name), strict=True)
    if not inside(root, real):
        raise LoadError(f"`{file.shown}` is a symbolic link that leads out of the policy directory")
    # Step by step without following links: one that is swapped in after realpath fails here.
    *folders, name = os.path.relpath(real, root).split("/")
    at = os.open(root, _OPEN | os.O_DIRECTORY)
    try:
        for folder in folders:
            below = os.open(folder, _OPEN | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, _OPEN | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


def _read_all(descriptor: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := os.read(descriptor, most)):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _cannot_read(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOENT:
        return f"`{path}` does not exist"
    return f"`{path}` cannot be read: {strerror(error)}"
