"""`authz-server dev-issuer`: give out tokens on this machine, for development and tests."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Command, say
from authz.cli.render import printable

if TYPE_CHECKING:
    from types import FrameType


@click.command(cls=Command, example="authz-server dev-issuer --config examples/dev-issuer.toml")
@click.option(
    "--config",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The TOML file with resources, clients and users.",
)
@click.option(
    "--listen",
    default="127.0.0.1:9000",
    show_default=True,
    metavar="ADDRESS",
    help="host:port on loopback, which is also the issuer's name. Port 0 lets the system choose.",
)
@click.option("--quiet", is_flag=True, help="Do not print a line on stderr for each request.")
def main(config: Path, listen: str, *, quiet: bool) -> ExitCode:
    """Give out tokens to anyone who clicks on a name: for development only.

    An issuer in memory, with discovery, code flow (PKCE, `resource`), client credentials, refresh,
    introspection and revocation. It prints its name, the URL of the issuer, when it is ready, and
    forgets everything when it stops. `POST /dev/rotate` makes it sign with a new key.
    """
    try:
        from authz.oauth.dev_issuer.config import load_config  # noqa: PLC0415  # what they need may be missing
        from authz.oauth.dev_issuer.pages import WARNING  # noqa: PLC0415  # as above
        from authz.oauth.dev_issuer.serving import IssuerListenError, serving  # noqa: PLC0415  # as above
        from authz.tokens.errors import TokenConfigError  # noqa: PLC0415  # as above
    except ModuleNotFoundError as error:
        say(f"`authz-server dev-issuer` needs `{error.name}`: run `pip install 'authz[dev]'`")
        return ExitCode.FAILED

    stop = threading.Event()

    def ended(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ended)

    def report(line: str) -> None:
        if not quiet:
            click.echo(printable(line), err=True)

    try:
        with serving(load_config(config), listen, report=report) as issuer:
            click.secho(f"WARNING: {WARNING}", err=True, bold=True, fg="red")
            click.echo(issuer.issuer)
            stop.wait()
    except TokenConfigError as error:
        for problem in error.problems:
            say(problem)
        return ExitCode.FAILED
    except IssuerListenError as error:
        say(str(error))
        return ExitCode.USAGE
    return ExitCode.OK
