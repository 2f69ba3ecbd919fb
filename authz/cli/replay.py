"""`authz-eval replay`."""

from __future__ import annotations

import click

from authz.cli.failures import Command


@click.command("replay", cls=Command)
def main() -> None:
    """To be written."""
