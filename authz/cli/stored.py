"""What the commands on a store have in common: which store, which key, and who acts."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from authz.model import Act

if TYPE_CHECKING:
    from collections.abc import Callable

    Command: TypeAlias = Callable[..., Any]

store_option = click.option(
    "--store",
    required=True,
    envvar="AUTHZ_STORE",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The store.  [env: AUTHZ_STORE]",
)
key_option = click.option(
    "--log-key",
    "key",
    envvar="AUTHZ_LOG_KEY",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The key that signs the log.  [env: AUTHZ_LOG_KEY; default: FILE.key beside the store]",
)
author_option = click.option(
    "--author", metavar="NAME", help="Who does this, for the decision log.  [default: the user of this process]"
)
note_option = click.option("--note", default="", metavar="TEXT", help="Why, for the decision log.")


def act(author: str | None, note: str) -> Act:
    """Return the act of whoever runs this command."""
    return Act(author or _user(), "cli", note)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
