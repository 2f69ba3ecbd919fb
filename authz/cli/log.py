"""`authz-eval log`."""

from __future__ import annotations

import click

from authz.cli.failures import Group


@click.group(cls=Group)
def main() -> None:
    """To be written."""
