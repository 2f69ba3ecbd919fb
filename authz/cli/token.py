"""`authz-eval token`: show what a token says, and say who calls with it or why it is refused."""

# ruff: noqa: PLC0415  # what only one command needs is imported in it: `inspect` needs no network and no cryptography
from __future__ import annotations

import asyncio
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import click

from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Group, print_json, reported, say
from authz.cli.options import format_option
from authz.cli.questions import opened
from authz.cli.render import paint_for, printable
from authz.cli.stored import act, author_option, key_option, note_option, store_option
from authz.cli.token_text import caller_to_json, peeked_to_json, render_caller, render_peeked, render_refusal

if TYPE_CHECKING:
    from authz.tokens.caller import Caller
    from authz.tokens.config import Tokens

    Format: TypeAlias = Literal["human", "json"]

MAX_READ: Final = 1024 * 1024
"""Bytes that are read of a file: more than any token has, and enough to say that it is too large."""

_INPUT_NOTE: Final = (
    "TOKEN is `-` for stdin (the default) or the token itself, which then stays in the shell's history and in the list "
    "of processes: prefer stdin or `--file`."
)
_token = click.argument("token", default="-")
_file = click.option("--file", "file", metavar="FILE", help="Read the token from this file.")


@click.group(cls=Group)
def main() -> None:
    """Look into a token, and say who calls with it or why it is refused."""


@main.command(epilog=_INPUT_NOTE, example="authz-eval token inspect --file token.txt")
@_token
@_file
@format_option
@reported
def inspect(token: str, file: str | None, format_: Format) -> ExitCode:
    """Print a token's header and claims without verifying anything; never its signature."""
    from authz.tokens.peek import peek

    peeked = peek(_read(token, file))
    if format_ == "json":
        print_json(peeked_to_json(peeked), indent=2)
    else:
        click.echo(render_peeked(peeked, time.time(), paint_for(sys.stdout)))
    return ExitCode.OK


@main.command(epilog=_INPUT_NOTE, example="authz-eval token verify --issuers tokens.toml --file token.txt")
@_token
@_file
@click.option(
    "--issuers",
    required=True,
    envvar="AUTHZ_ISSUERS",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The configuration of issuers.  [env: AUTHZ_ISSUERS]",
)
@format_option
@reported
def verify(token: str, file: str | None, issuers: Path, format_: Format) -> ExitCode:
    """Say who calls with a token, or why it is refused.

    Exit code 3 when it is refused, and 1 when its issuer cannot be reached.
    """
    from authz.tokens.advice import ADVICE
    from authz.tokens.config import load_issuers
    from authz.tokens.errors import Refusal, TokenConfigError, TokenError

    text = _read(token, file)
    try:
        caller = asyncio.run(_validated(load_issuers(issuers), text))
    except TokenConfigError as error:
        for problem in error.problems:
            say(problem)
        return ExitCode.FAILED
    except TokenError as error:
        advice = ADVICE[error.reason]
        if format_ == "json":
            told = {"reason": error.reason.value, "message": error.message, "detail": error.detail, "help": advice.do}
            print_json({"accepted": False, **told})
        else:
            click.echo(render_refusal(error, advice, paint_for(sys.stdout)))
        return ExitCode.FAILED if error.reason is Refusal.UNAVAILABLE else ExitCode.DENIED
    if format_ == "json":
        print_json({"accepted": True, **caller_to_json(caller)})
    else:
        click.echo(render_caller(caller, time.time(), paint_for(sys.stdout)))
    return ExitCode.OK


@main.command(example="authz-eval token revoke --store authz.db --issuer https://idp.example/ --subject alice")
@click.option("--issuer", default="", metavar="URL", help="Whose tokens; without it those of all issuers.")
@click.option("--subject", metavar="ID", help="Those of one subject.")
@click.option("--token-id", "token_id", metavar="JTI", help="One token, by its `jti`.")
@store_option
@key_option
@author_option
@note_option
@reported
def revoke(  # one for each option
    *,
    issuer: str,
    subject: str | None,
    token_id: str | None,
    store: Path,
    key: Path | None,
    author: str | None,
    note: str,
) -> ExitCode:
    """Let tokens that were issued up to now count no longer.

    Every server with this store heeds it at once, for tokens that it has validated before as well.
    """
    from authz.stores.sqlite.store import open_store
    from authz.tokens.revocation import Revocation, Revoked

    if subject is not None and token_id is not None:
        raise click.UsageError("`--subject` and `--token-id` cannot be given together")
    if not issuer and (subject or token_id) is not None:
        raise click.UsageError("`--subject` and `--token-id` need `--issuer`: another issuer's may be somebody else's")
    now = time.time()
    if token_id is not None:
        revocation = Revocation(Revoked.TOKEN, issuer, token_id)
    elif subject is not None:
        revocation = Revocation(Revoked.SUBJECT, issuer, subject, now)
    else:
        revocation = Revocation(Revoked.ISSUER if issuer else Revoked.EVERYTHING, issuer, before=now)
    with closing(open_store(store, key=key)) as opened_store:
        opened_store.revocations.put(revocation, act(author, note))
    what = f"the token `{token_id}`" if token_id else f"tokens of `{subject}`" if subject else "all tokens"
    click.echo(f"revoked {printable(what)}{printable(f' of {issuer}') if issuer else ''}")
    return ExitCode.OK


async def _validated(tokens: Tokens, text: str) -> Caller:
    """Validate a token as a server with this configuration does. Raises `TokenError` and `TokenConfigError`."""
    from contextlib import AsyncExitStack

    from authz.tokens.opening import open_service

    async with AsyncExitStack() as stack:
        shared = None
        if tokens.redis is not None:
            from authz.stores.redis.shared import share

            shared = share(tokens.redis, 1, _note)
            stack.push_async_callback(shared.close)
        service = open_service(tokens, revocations=shared.revocations if shared else None, report=_note)
        stack.push_async_callback(service.close)
        return await service.validate(text)


def _note(line: str) -> None:
    click.echo(f"note: {printable(line)}", err=True)


def _read(token: str, file: str | None) -> str:
    """Return the token, less the line break after it; raises `click.UsageError` and `LoadError`."""
    if token != "-":  # noqa: S105  # stands for stdin
        if file is not None:
            raise click.UsageError("TOKEN and `--file` cannot be given together")
        return token
    if file is None and sys.stdin.isatty():
        click.echo("paste the token, then press Enter and Ctrl-D", err=True)
    with opened(file if file is not None else "-") as stream:
        found = stream.read(MAX_READ)
    text = found.decode(errors="replace").removesuffix("\n").removesuffix("\r")
    if text.lower().startswith("bearer "):
        raise click.UsageError("give the token alone, without `Bearer` before it")
    if not text:
        raise click.UsageError("there is no token: give it on stdin, or name a file with `--file`")
    return text
