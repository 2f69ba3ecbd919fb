"""`authz-eval policy`: versions of policies, and which of them decides."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import click

from authz.cli import policy_text
from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Group, ServerError, print_json, reported, say
from authz.cli.options import format_option
from authz.cli.policy_doors import Where, door_options, opened
from authz.cli.render import printable
from authz.cli.stored import act, author_option, note_option
from authz.errors import LoadError
from authz.pap.loader import read_all_files
from authz.pap.versions import NoRollbackError, TestsFailedError, name_problem, new_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from authz.pap.history import Activation, PolicyText

    Format: TypeAlias = Literal["human", "json"]

_DIGITS: Final = 19
"""A number with as many digits may be too large for 64 bits."""


@click.group(cls=Group, elsewhere={"diff": "authz.cli.diff"})
def main() -> None:
    """Keep policies as versions, activate them, and take them back.

    A version never changes. The active one decides on every server that serves this store.
    """


def told(command: Callable[..., ExitCode]) -> Callable[..., ExitCode]:
    """Turn what keeps a version from being active into a message and an exit code, beside what `reported` does."""

    @functools.wraps(command)
    def run(**given: object) -> ExitCode:
        try:
            return command(**given)
        except TestsFailedError as error:
            say(f"{error}; `authz-eval policy show {error.number} --output DIR` writes its files for `authz-eval test`")
            return ExitCode.TESTS_FAILED
        except NoRollbackError as error:
            say(str(error))
            return ExitCode.FAILED
        except ServerError as error:
            code = _server_said(error)
            if code is None:
                raise
            return code

    return reported(run)


def _server_said(error: ServerError) -> ExitCode | None:
    from authz.cli.policy_remote import ServerPolicyError, ServerTestsError  # noqa: PLC0415  # gRPC is slow to import

    match error:
        case ServerTestsError():
            number = str(error).split()[1]
            say(f"{error}; `authz-eval policy show {number} --output DIR` writes its files for `authz-eval test`")
            return ExitCode.TESTS_FAILED
        case ServerPolicyError():
            for line in str(error).splitlines():
                say(line)
            return ExitCode.INVALID_POLICY
        case _:
            return None


def _number(_context: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return a version's number, and None for none or for `active` where that makes sense."""
    if value is None or (value == "active" and param.name == "number_or_active"):
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < _DIGITS and int(value)):
        raise click.BadParameter(f"`{value}` is not the number of a version")
    return int(value)


@main.command(example='authz-eval policy put policies/documents --store authz.db --note "first policy" --activate')
@click.argument("policies", metavar="PATH", type=click.Path())
@click.option("--activate", "activates", is_flag=True, help="Let it decide at once, if its tests pass.")
@door_options
@author_option
@note_option
@format_option
@told
def put(
    policies: str,
    activates: bool,  # noqa: FBT001  # click passes it by name
    where: Where,
    author: str | None,
    note: str,
    format_: Format,
) -> ExitCode:
    """Keep a policy, with its tests, as a version.

    The same files again are the version that they were. A version whose tests fail is kept, but cannot be activated.
    """
    if not Path(policies).is_dir() and Path(policies).exists() and not policies.endswith(".authz"):
        raise click.UsageError(f"`{policies}` is no policy: name a directory, or a file that ends in `.authz`")
    new = new_version(read_all_files(policies))  # before a store is made for it
    by = act(author, note)
    with opened(where, writes=True, create=True) as door:
        version = door.put(new, by)
        answer: dict[str, object] = {"version": policy_text.version_to_json(version)}
        if format_ == "human":
            click.echo(printable(policy_text.put_line(version)))
        try:
            if activates:
                activation = door.activate(version.number, by)
                answer["activation"] = policy_text.activation_to_json(activation)
                if format_ == "human":
                    click.echo(policy_text.activation_line(activation))
        finally:
            if format_ == "json":
                print_json(answer)
    return ExitCode.OK


@main.command("list", example="authz-eval policy list --store authz.db")
@door_options
@format_option
@told
def list_(where: Where, format_: Format) -> ExitCode:
    """List the versions, the newest first.

    The active one has a `*`.
    """
    with opened(where) as door:
        versions, active = door.versions()
    if format_ == "json":
        kept = [policy_text.version_to_json(version) for version in versions]
        print_json({"versions": kept, "active": policy_text.activation_to_json(active) if active else None}, indent=2)
    elif versions:
        click.echo(policy_text.version_table(versions, active), nl=False)
    else:
        click.echo("there is no version yet: `authz-eval policy put PATH` makes one", err=True)
    return ExitCode.OK


@main.command(example="authz-eval policy show active --store authz.db --files")
@click.argument("number_or_active", metavar="NUMBER", callback=_number, default="active")
@click.option("--files", "with_files", is_flag=True, help="Print the files too.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the files into this new folder.",
)
@door_options
@format_option
@told
def show(
    number_or_active: int | None,
    with_files: bool,  # noqa: FBT001  # click passes it by name
    output: Path | None,
    where: Where,
    format_: Format,
) -> ExitCode:
    """Show a version, by default the active one.

    What is shown is what was put: a version whose files have changed in the store is refused.
    """
    with opened(where) as door:
        version, files = door.version(number_or_active)
    if output is not None:
        _write(output, files)
    if format_ == "json":
        texts = {"files": [{"name": name, "text": text} for name, text in files]} if with_files else {}
        print_json({"version": policy_text.version_to_json(version), **texts}, indent=2)
        return ExitCode.OK
    click.echo(policy_text.version_lines(version, files), nl=False)
    for name, text in files if with_files else ():
        click.echo(f"\n# {printable(name)}\n")
        click.echo("".join(f"{printable(line)}\n" for line in text.splitlines()), nl=False)
    return ExitCode.OK


@main.command(example="authz-eval policy activate 2 --store authz.db")
@click.argument("number", callback=_number)
@door_options
@author_option
@note_option
@format_option
@told
def activate(number: int, where: Where, author: str | None, note: str, format_: Format) -> ExitCode:
    """Let a version decide, if its own tests pass."""
    with opened(where, writes=True) as door:
        _show_activation(door.activate(number, act(author, note)), format_)
    return ExitCode.OK


@main.command(example='authz-eval policy rollback --store authz.db --note "version 2 denies too much"')
@click.argument("number", callback=_number, required=False)
@door_options
@author_option
@note_option
@format_option
@told
def rollback(number: int | None, where: Where, author: str | None, note: str, format_: Format) -> ExitCode:
    """Let an older version decide again.

    By default it is the one that decided before the active one.
    """
    with opened(where, writes=True) as door:
        _show_activation(door.rollback(number, act(author, note)), format_)
    return ExitCode.OK


@main.command(example="authz-eval policy watch --store authz.db --count 1")
@click.option("--count", "most", type=click.IntRange(min=1), metavar="N", help="End after N lines.")
@door_options
@format_option
@told
def watch(most: int | None, where: Where, format_: Format) -> ExitCode:
    """Print what decides now, and each activation as it comes."""
    try:
        with opened(where) as door:
            for number, activation in enumerate(door.watch(), start=1):
                _show_activation(activation, format_)
                if number == most:
                    break
    except KeyboardInterrupt:
        pass  # the way to end it
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains at its end
    return ExitCode.OK


def _show_activation(activation: Activation, format_: Format) -> None:
    if format_ == "json":
        print_json(policy_text.activation_to_json(activation))
    else:
        click.echo(policy_text.activation_line(activation))


def _write(folder: Path, files: Sequence[PolicyText]) -> None:
    """Write files into a folder that is new or empty. Raises `LoadError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise LoadError(f"`{folder}` is not empty: name a new folder")
        for name, text in files:
            if problem := name_problem(name):  # a server could name anything
                raise LoadError(f"the name of a file {problem}")
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise LoadError(f"`{folder}` cannot be written: {(error.strerror or 'it failed').lower()}") from None
