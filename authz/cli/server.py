"""The command `authz-server`: serve decisions over gRPC."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authz.cli.exit_codes import ExitCode
from authz.cli.failures import complain, say
from authz.errors import AuthzError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.server.config import LogFormat, LogLevel


class _Brief(click.Command):
    """A command that says in one line what is wrong with its usage, and ends with an exit code."""

    def main(  # type: ignore[override]  # click overloads the result by `standalone_mode`
        self,
        args: Sequence[str] | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,  # noqa: ANN401  # click's signature
    ) -> Any:  # noqa: ANN401  # as above
        """Run the command and exit with what it returns."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **extra)
        try:
            code = super().main(args, standalone_mode=False, **extra)
        except click.ClickException as error:
            message = " ".join(error.format_message().split()).rstrip(".").replace("'", "`")
            say(message[:1].lower() + message[1:])
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            code = ExitCode.FAILED
        sys.exit(code if isinstance(code, int) else ExitCode.OK)


@click.command(
    "authz-server", cls=_Brief, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--policies",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The policy directory, or one policy file. Changes take effect by themselves.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8181",
    show_default=True,
    metavar="ADDRESS",
    help="host:port, [v6]:port or unix:/path. Port 0 lets the system choose; the log says which.",
)
@click.option("--insecure-bind", is_flag=True, help="Listen where other machines can reach it, without encryption.")
@click.option("--reflection/--no-reflection", help="Serve gRPC reflection, for tools like grpcurl.")
@click.option(
    "--max-concurrent",
    default=1000,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Calls under way at most; more are refused at once.",
)
@click.option(
    "--max-message",
    default=4 * 1024 * 1024,
    show_default=True,
    type=click.IntRange(min=1024),
    metavar="BYTES",
    help="Size of one message at most.",
)
@click.option(
    "--grace",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, max=3600),
    metavar="SECONDS",
    help="Time to answer what is under way after SIGTERM.",
)
@click.option(
    "--log-format",
    type=click.Choice(["json", "console"]),
    help="How the log on stderr looks.  [default: console on a terminal, else json]",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="The least that is logged. Decisions are info.",
)
@click.version_option(package_name="authz")
def main(**given: Any) -> ExitCode:  # noqa: ANN401  # click passes what the options declare
    """Serve decisions on tool calls over gRPC (authz.v1.DecisionService).

    The policy is read again when it changes and on SIGHUP; one that is broken is reported and the
    last good one goes on deciding. SIGTERM and SIGINT answer what is under way and end with 0.

    \b
    Example:
        authz-server --policies policies/documents
    """  # noqa: D301  # click looks for the character itself
    # gRPC's own log would repeat in its words what is said here in one line.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        return _serve(**given)
    except PolicyError as error:
        complain(error.diagnostics)
        return ExitCode.INVALID_POLICY
    except AuthzError as error:
        say(str(error))
        return ExitCode.FAILED


def _serve(  # noqa: PLR0913  # one for each option
    *,
    policies: Path,
    listen: str,
    insecure_bind: bool,
    reflection: bool,
    max_concurrent: int,
    max_message: int,
    grace: float,
    log_format: LogFormat | None,
    log_level: LogLevel,
) -> ExitCode:
    from authz.server.config import Config, ConfigError, parse_address  # noqa: PLC0415  # `--help` starts without gRPC

    try:
        address = parse_address(listen, insecure_bind=insecure_bind)
    except ConfigError as error:
        raise click.UsageError(f"--listen: {error}") from None
    config = Config(
        policies=policies,
        listen=address,
        reflection=reflection,
        max_concurrent=max_concurrent,
        max_message=max_message,
        grace=grace,
        log_format=log_format or ("console" if sys.stderr.isatty() else "json"),
        log_level=log_level,
    )
    from authz.server import app, log  # noqa: PLC0415  # as above

    logger, outlet = log.configure(config.log_format, config.log_level)
    try:
        asyncio.run(app.run(config, logger))
    finally:
        outlet.close()
    return ExitCode.OK


if __name__ == "__main__":
    main()
