"""`authz-eval lint`: what is valid but probably not meant, also against a server's real tools."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import click

from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Command, count, print_json, reported
from authz.cli.options import format_option, policies_argument
from authz.cli.render import diagnostic_to_json, paint_for, render_diagnostics
from authz.lang.diagnostics import in_order
from authz.pap.loader import load

if TYPE_CHECKING:
    from authz.lang.diagnostics import Diagnostic


@click.command("lint", cls=Command, example="authz-eval lint policies/documents")
@policies_argument
@click.option(
    "--tools", "tools_file", metavar="FILE", help="Compare with a server's answer to tools/list; `-` is stdin."
)
@format_option
@reported
def main(policies: str, tools_file: str | None, format_: Literal["human", "json"]) -> ExitCode:
    """Point out what is valid but probably not meant.

    With `--tools`, also where the policy and the server's real tools differ: patterns that match nothing, tools that
    nobody may call, arguments that do not exist or are of another type, and destructive tools that nothing guards.
    """
    warnings = _warnings(policies, tools_file)
    if format_ == "json":
        print_json({"valid": True, "diagnostics": [diagnostic_to_json(warning) for warning in warnings]})
    elif warnings:
        click.echo(render_diagnostics(warnings, paint_for(sys.stdout)))
        click.echo(f"\n{count(len(warnings), 'warning')}", err=True)
    return ExitCode.DIFFERENCE if warnings else ExitCode.OK


def _warnings(policies: str, tools_file: str | None) -> tuple[Diagnostic, ...]:
    loaded = load(policies)
    if tools_file is None:
        return loaded.warnings
    from authz.cli.catalogue import opened_catalogue  # noqa: PLC0415  # most calls compare with nothing
    from authz.pap.catalogue.fitting import fit  # noqa: PLC0415  # as above

    return in_order([*loaded.warnings, *fit(loaded.checked, opened_catalogue(tools_file))])
