"""`authz-eval init`: write a first policy for the tools of a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from authz.cli.catalogue import opened_catalogue
from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Command, count, print_json, reported
from authz.cli.options import format_option
from authz.cli.render import printable
from authz.errors import LoadError
from authz.pap.catalogue.drafting import POLICY_NAME, TESTS_NAME, Draft, draft, is_prefix
from authz.pap.catalogue.tools import CatalogueError
from authz.pap.loader import ReadFile, load_files, load_test_files
from authz.pap.testing import run_tests


@click.command("init", cls=Command, example="authz-eval init policies/new --tools tools.json")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("policies"))
@click.option(
    "--tools", "tools_file", required=True, metavar="FILE", help="A server's answer to tools/list; `-` is stdin."
)
@click.option(
    "--scope-prefix",
    "prefix",
    metavar="NAME",
    help="What scopes start with.  [default: the first word that all tools share, or `tools`]",
)
@format_option
@reported
def main(folder: Path, tools_file: str, prefix: str | None, format_: Literal["human", "json"]) -> ExitCode:
    """Write a first policy for a server's tools, and its tests.

    Tools that only read take one scope, those that write another, and those that may destroy a role as well; what a
    server does not say of a tool counts against it. FOLDER (`policies` unless given) must be new or empty.
    """
    if prefix is not None and not is_prefix(prefix):
        raise click.UsageError("`--scope-prefix` takes letters, digits, `.`, `_` and `-`, 64 at most")
    _must_be_empty(folder)
    catalogue = opened_catalogue(tools_file)
    try:
        drafted = draft(catalogue, prefix or "")
    except CatalogueError as error:
        raise click.UsageError(str(error)) from None
    rules, tests = _tried(drafted)
    _write(folder, drafted)
    paths = [str(folder / POLICY_NAME), str(folder / TESTS_NAME)]
    if format_ == "json":
        print_json({"files": paths, "tools": len(catalogue.tools), "rules": rules, "tests": tests})
        return ExitCode.OK
    click.echo(f"{printable(paths[0])}: {count(rules, 'rule')} for {count(len(catalogue.tools), 'tool')}")
    click.echo(f"{printable(paths[1])}: {count(tests, 'test')}")
    click.echo("read them, then run `authz-eval test` and `authz-eval lint --tools` after each change", file=sys.stderr)
    return ExitCode.OK


def _must_be_empty(folder: Path) -> None:
    try:
        if any(folder.iterdir()):
            raise LoadError(f"`{folder}` is not empty; name a new folder: nothing is ever overwritten")
    except FileNotFoundError:
        return
    except OSError as error:
        raise LoadError(f"`{folder}` cannot be written to: {_problem(error)}") from None


def _tried(drafted: Draft) -> tuple[int, int]:
    """Load the policy and run its tests, as whoever reads it will; return how many rules and tests there are.

    Raises `PolicyError` where the catalogue is too large for one file.
    """
    loaded = load_files([ReadFile(POLICY_NAME, POLICY_NAME, drafted.policy.encode())])
    tests = load_test_files([ReadFile(TESTS_NAME, TESTS_NAME, drafted.tests.encode())])
    report = run_tests(loaded.program, tests)
    assert report.passed  # a draft that its own tests refute is a defect of drafting
    return len(loaded.program.outline()), len(report.results)


def _write(folder: Path, drafted: Draft) -> None:
    """Write both files; a file that came to be there in the meantime is left alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in ((POLICY_NAME, drafted.policy), (TESTS_NAME, drafted.tests)):
            with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise LoadError(f"`{folder}` cannot be written to: {_problem(error)}") from None


def _problem(error: OSError) -> str:
    problem = error.strerror or str(error)
    return problem[:1].lower() + problem[1:]
