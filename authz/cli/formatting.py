"""`authz-eval fmt`: policy text in its canonical form (L90), shown, compared or written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import click

from authz.cli.exit_codes import ExitCode
from authz.errors import LoadError, PolicyError
from authz.lang.ast import without_spans
from authz.lang.diagnostics import in_order
from authz.lang.formatter import format_policy
from authz.lang.parser import parse_policy, parse_tests
from authz.lang.source import TEST_SUFFIX, Source
from authz.pap.atomic import replace_text
from authz.pap.loader import Collected, FoundFile, ReadFile, collect_files, decode, too_large

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from authz.lang.ast import PolicyFile, TestFile
    from authz.lang.diagnostics import Diagnostic


class Formatted(NamedTuple):
    """A file's text before and after."""

    source: Source
    text: str

    @property
    def changes(self) -> bool:
        """Say whether the canonical text is another one."""
        return self.source.text != self.text


def format_paths(paths: Sequence[str], stdin_name: str) -> tuple[Formatted, ...]:
    """Format files, the policy and test files of directories, and stdin for `-`.

    Raises `PolicyError` with every syntax error of every file and each file that is too large, and
    `LoadError`.
    """
    files, found = _files(paths, stdin_name)
    findings = list(found)
    formatted: list[Formatted] = []
    for file in files:
        source, problems = decode(file)
        tree, errors = _parse(source)
        findings += problems or errors
        if not findings:
            formatted.append(Formatted(source, _format(source, tree)))
    if findings:
        raise PolicyError(in_order(findings))
    return tuple(formatted)


def write(files: Iterable[Formatted]) -> ExitCode:
    """Replace the text of each file that changes, and name it."""
    for file in files:
        if file.changes:
            replace_text(file.source.path, file.text)
            click.echo(file.source.path)
    return ExitCode.OK


def check(files: Iterable[Formatted]) -> ExitCode:
    """Name each file that would change."""
    changing = [file.source.path for file in files if file.changes]
    for path in changing:
        click.echo(path)
    return ExitCode.DIFFERENCE if changing else ExitCode.OK


def diff(files: Iterable[Formatted]) -> ExitCode:
    """Print what would change as a unified diff."""
    import difflib  # noqa: PLC0415  # for this option only

    changed = False
    for file in files:
        path = file.source.path
        for line in difflib.unified_diff(_rows(file.source.text), _rows(file.text), f"a/{path}", f"b/{path}"):
            changed = True
            end = "" if line.endswith("\n") else "\n\\ No newline at end of file\n"
            click.echo(line + end, nl=False)
    return ExitCode.DIFFERENCE if changed else ExitCode.OK


def show(files: Sequence[Formatted]) -> ExitCode:
    """Print the canonical text of the one file."""
    if len(files) != 1:
        raise click.UsageError("only one file can be printed: use `--check`, `--diff` or `--write`")
    click.echo(files[0].text, nl=False)
    return ExitCode.OK


def _rows(text: str) -> list[str]:
    """Split at newlines only, keeping them; `splitlines` knows eight more ends of a line."""
    *rows, last = text.split("\n")
    return [row + "\n" for row in rows] + ([last] if last else [])


def _files(paths: Sequence[str], stdin_name: str) -> tuple[Iterable[ReadFile], list[Diagnostic]]:
    """Return every file once, and what is too large to be read."""
    files: dict[str, ReadFile] = {}
    findings: list[Diagnostic] = []
    for path in paths:
        read = _stdin(stdin_name) if path == "-" else collect_files(path, kind="all")
        files |= {file.shown: file for file in read.files if file.shown not in files}
        findings += read.findings
    return files.values(), findings


def _stdin(name: str) -> Collected:
    from authz.lang.limits import DEFAULT_LIMITS  # noqa: PLC0415  # only stdin needs it here

    data = sys.stdin.buffer.read(DEFAULT_LIMITS.file_bytes + 1)
    if len(data) > DEFAULT_LIMITS.file_bytes:
        return Collected((), (), (too_large(FoundFile(name, name), DEFAULT_LIMITS),))
    return Collected((ReadFile(name, name, data),), (), ())


def _parse(source: Source) -> tuple[PolicyFile | TestFile, tuple[Diagnostic, ...]]:
    return parse_tests(source) if source.name.endswith(TEST_SUFFIX) else parse_policy(source)


def _format(source: Source, tree: PolicyFile | TestFile) -> str:
    """Return the canonical text, after making sure that it says the same."""
    text = format_policy(source, tree)
    again, errors = _parse(Source(source.name, text, source.shown))
    if errors or without_spans(again) != without_spans(tree) or len(again.comments) != len(tree.comments):
        raise LoadError(f"`{source.path}` is left as it is: formatting would change what it says; this is a defect")
    return text
