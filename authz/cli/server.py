"""The command `authz-server`: serve decisions over gRPC."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Program, complain, say
from authz.errors import AuthzError, PolicyError
from authz.tokens.errors import TokenConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from authz.server.config import (
        Address,
        AdminConfig,
        Config,
        DecisionLogConfig,
        LogFormat,
        LogLevel,
        TlsConfig,
        Transport,
    )


class _Server(Program):
    """The program, whose own work is to serve."""

    short_lived = False


@click.group(
    "authz-server",
    cls=_Server,
    invoke_without_command=True,
    elsewhere={"dev-issuer": "authz.cli.dev_issuer", "store": "authz.cli.store"},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--policies",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The policy directory, or one policy file. Changes take effect by themselves.  "
    "[default: the active version in the store]",
)
@click.option(
    "--listen",
    default="127.0.0.1:8181",
    show_default=True,
    metavar="ADDRESS",
    help="host:port, [v6]:port or unix:/path. Port 0 lets the system choose; the log says which.",
)
@click.option("--insecure-bind", is_flag=True, help="Listen where other machines can reach it, without encryption.")
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Encrypt `--listen` with this certificate, in PEM, followed by those that clients need to trust it. It is "
    "read again when it changes.",
)
@click.option(
    "--tls-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The certificate's private key, in PEM; only its owner may be able to read it.",
)
@click.option(
    "--tls-client-ca",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Answer only clients whose certificate one of these has signed (mutual TLS).",
)
@click.option(
    "--transport",
    type=click.Choice(["auto", "grpcio", "native"]),
    default="auto",
    show_default=True,
    help="What carries the calls. native is several times as fast, without TLS, for this machine's own processes; auto "
    "takes it where it is installed (`authz[native]`) and may be used.",
)
@click.option(
    "--share-policy",
    is_flag=True,
    help="Let enforcement points have the policy itself, to decide by inside their own process.",
)
@click.option("--reflection/--no-reflection", help="Serve gRPC reflection, for tools like grpcurl.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 256),
    metavar="N",
    help="Processes that answer, on one port.",
)
@click.option(
    "--max-concurrent",
    default=1000,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Calls under way at most, in each worker; more are refused at once.",
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
@click.option(
    "--store",
    envvar="AUTHZ_STORE",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The store: policies and their history, directory, decision log. With `--policies` it is made where there is "
    "none.  [env: AUTHZ_STORE]",
)
@click.option(
    "--log-key",
    envvar="AUTHZ_LOG_KEY",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The key that signs the decision log.  [env: AUTHZ_LOG_KEY; default: FILE.key beside the store]",
)
@click.option(
    "--decision-log",
    type=click.Choice(["required", "best-effort", "off"]),
    help="required: no answer without its record on disk. best-effort: answers do not wait; what is lost is counted.  "
    "[default: required with a store, else off]",
)
@click.option(
    "--decision-log-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write the records there as well, as JSON lines; `-` is stdout.",
)
@click.option(
    "--log-attribute",
    "log_attributes",
    multiple=True,
    metavar="PATH",
    help="Record this attribute, such as `context.ip` or `resource.attributes.owner`; may be repeated.",
)
@click.option("--log-requests", is_flag=True, help="Record whole requests, for `authz-eval replay`.")
@click.option("--log-pseudonyms", is_flag=True, help="Record pseudonyms instead of subjects; they can be erased.")
@click.option(
    "--log-witness",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append signed heads of the log there; keep it where the store's owner cannot write.",
)
@click.option(
    "--admin-listen",
    metavar="ADDRESS",
    help="Serve PolicyService and DirectoryService here: unix:/path, or a loopback port with a token.  [default: off]",
)
@click.option(
    "--admin-token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The token that callers of `--admin-listen` must send as `authorization: Bearer …`.",
)
@click.option(
    "--tokens",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The issuers whose access tokens are validated (docs/tokens.md): requests may then bring a token instead of "
    "naming the caller.",
)
@click.version_option(package_name="authz")
@click.pass_context
def main(context: click.Context, /, **given: Any) -> ExitCode | None:  # noqa: ANN401  # click passes what the options declare
    """Serve decisions on tool calls over gRPC (authz.v1.DecisionService, authz.v1.EnforcementService).

    The policy is read again when it changes and on SIGHUP; one that is broken is reported and the
    last good one goes on deciding. SIGTERM and SIGINT answer what is under way and end with 0.

    \b
    Example:
        authz-server --policies policies/documents
        authz-server --policies policies/documents --store authz.db
    """  # noqa: D301  # click looks for the character itself
    if context.invoked_subcommand is not None:
        return None
    # gRPC's own log would repeat in its words what is said here in one line.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    return _reported(lambda: _serve(**given))


def _reported(serve: Callable[[], ExitCode]) -> ExitCode:
    """Return how serving ends, and say why where that is a failure."""
    try:
        return serve()
    except PolicyError as error:
        complain(error.diagnostics)
        return ExitCode.INVALID_POLICY
    except TokenConfigError as error:
        for problem in error.problems:
            say(problem)
        return ExitCode.FAILED
    except AuthzError as error:
        say(str(error))
        return ExitCode.FAILED


def _serve(**given: Any) -> ExitCode:  # noqa: ANN401  # as above
    from authz.server.config import ConfigError  # noqa: PLC0415  # `--help` starts without gRPC

    try:
        config = _config(**given)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    from authz.server import log  # noqa: PLC0415  # as above

    logger, outlet = log.configure(config.log_format, config.log_level)
    try:
        if config.workers > 1:
            from authz.server.workers import supervisor  # noqa: PLC0415  # as above

            return ExitCode(asyncio.run(supervisor.run(config, logger, _work)))
        from authz.server import app, looping  # noqa: PLC0415  # as above

        looping.run(app.run(config, logger))
    finally:
        outlet.close()
    return ExitCode.OK


def _work(number: int, config: Config, pipe: Connection) -> None:
    """Be a worker: what keeps it from starting, or ends it, is said as it is of a server of one process."""
    from authz.server.workers.worker import work  # noqa: PLC0415  # the parent does without it

    def serve() -> ExitCode:
        work(number, config, pipe)
        return ExitCode.OK

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent says when to end
    sys.exit(_reported(serve))


def _config(  # noqa: PLR0913  # one for each option
    *,
    policies: Path | None,
    listen: str,
    insecure_bind: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    transport: Transport,
    share_policy: bool,
    reflection: bool,
    workers: int,
    max_concurrent: int,
    max_message: int,
    grace: float,
    log_format: LogFormat | None,
    log_level: LogLevel,
    store: Path | None,
    log_key: Path | None,
    admin_listen: str | None,
    admin_token_file: Path | None,
    tokens: Path | None,
    **log: Any,  # noqa: ANN401  # as above
) -> Config:
    """Return the settings that the options come to. Raises `ConfigError`."""
    from authz.server.config import Config, StoreConfig  # noqa: PLC0415  # as above
    from authz.server.transport import way  # noqa: PLC0415  # as above

    if log_key is not None and store is None:
        raise click.UsageError("`--log-key` needs `--store`")
    tls = _tls(tls_cert, tls_key, tls_client_ca)
    config = Config(
        policies=policies,
        listen=_address("--listen", listen, insecure_bind=insecure_bind or tls is not None),
        tls=tls,
        transport=transport,
        share_policy=share_policy,
        reflection=reflection,
        workers=workers,
        max_concurrent=max_concurrent,
        max_message=max_message,
        grace=grace,
        log_format=log_format or ("console" if sys.stderr.isatty() else "json"),
        log_level=log_level,
        store=StoreConfig(store, log_key) if store else None,
        decision_log=_decision_log(store is not None, **log),
        admin=_admin(admin_listen, admin_token_file),
        tokens=tokens,
    )
    way(config)  # refuses a transport that cannot be
    return config


def _tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> TlsConfig | None:
    from authz.server.config import TlsConfig  # noqa: PLC0415  # as above

    if cert is not None and key is not None:
        return TlsConfig(cert, key, client_ca)
    if cert is not None or key is not None:
        raise click.UsageError("`--tls-cert` and `--tls-key` need each other")
    if client_ca is not None:
        raise click.UsageError("`--tls-client-ca` needs `--tls-cert` and `--tls-key`")
    return None


def _address(option: str, text: str, *, insecure_bind: bool) -> Address:
    from authz.server.config import ConfigError, parse_address  # noqa: PLC0415  # as above

    try:
        return parse_address(text, insecure_bind=insecure_bind)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None


def _decision_log(
    stored: bool,  # noqa: FBT001  # private, one caller
    *,
    decision_log: Literal["required", "best-effort", "off"] | None,
    decision_log_file: Path | None,
    log_attributes: tuple[str, ...],
    log_requests: bool,
    log_pseudonyms: bool,
    log_witness: Path | None,
) -> DecisionLogConfig | None:
    from authz.server.config import DecisionLogConfig  # noqa: PLC0415  # as above

    given = bool(decision_log_file or log_attributes or log_requests or log_pseudonyms or log_witness)
    mode = decision_log or ("required" if stored else "best-effort" if given else "off")
    if mode == "off":
        if given:
            raise click.UsageError("the decision log is off: its other options would do nothing")
        return None
    return DecisionLogConfig(mode, decision_log_file, log_attributes, log_requests, log_pseudonyms, log_witness)


def _admin(listen: str | None, token_file: Path | None) -> AdminConfig | None:
    if listen is None:
        if token_file is not None:
            raise click.UsageError("`--admin-token-file` needs `--admin-listen`")
        return None
    from authz.server.admin import read_token  # noqa: PLC0415  # as above
    from authz.server.config import AdminConfig  # noqa: PLC0415  # as above

    # That other machines could reach it is refused with the other settings: there is no word that permits it.
    address = _address("--admin-listen", listen, insecure_bind=True)
    return AdminConfig(address, read_token(token_file) if token_file else None)


if __name__ == "__main__":
    main()
