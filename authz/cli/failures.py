"""What goes wrong, in one clear line on stderr, and the exit code it ends with."""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from authz.cli.exit_codes import ExitCode
from authz.cli.render import diagnostic_to_json, json_text, paint_for, printable, render_diagnostics
from authz.errors import AuthzError, InvalidRequestError, LoadError, PolicyError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from authz.lang.diagnostics import Diagnostic


class ServerError(AuthzError):
    """Raised when a server gives no answer."""


_QUOTED: Final = re.compile(r"'([^']*)'")


def reported(command: Callable[..., ExitCode]) -> Callable[..., ExitCode]:
    """Turn the failures that authz names into a message and an exit code."""

    @functools.wraps(command)
    def run(**given: Any) -> ExitCode:  # noqa: ANN401  # click passes what the command asks for
        try:
            return command(**given)
        except PolicyError as error:
            complain(error.diagnostics, given.get("format_", "human"))
            return ExitCode.INVALID_POLICY
        except (LoadError, ServerError, StoreError) as error:
            say(str(error))
            return ExitCode.FAILED
        except InvalidRequestError as error:
            say(f"the request is malformed: {error}")
            return ExitCode.USAGE

    return run


def complain(diagnostics: Sequence[Diagnostic], format_: str = "human", *, err: bool = True) -> None:
    """Print errors in a policy, in the format that was asked for; on stdout where they are the answer."""
    if format_ == "json":
        found = [diagnostic_to_json(diagnostic) for diagnostic in diagnostics]
        print_json({"valid": False, "diagnostics": found}, err=err)
        return
    paint = paint_for(sys.stderr if err else sys.stdout)
    click.echo(render_diagnostics(diagnostics, paint), err=err)
    click.echo(f"\n{count(len(diagnostics), 'error')}", err=True)


def say(problem: str) -> None:
    """Print one line about what went wrong on stderr."""
    click.echo(f"{paint_for(sys.stderr)('error', '31', '1')}: {printable(problem)}", err=True)


def print_json(value: object, *, indent: int | None = None, err: bool = False) -> None:
    """Print a value as JSON, on one line unless it is to be indented."""
    click.echo(json_text(value, indent), err=err)


def count(number: int, noun: str) -> str:
    """Return `1 error`, `2 errors`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Command(click.Command):
    """A command whose help ends with an example that works as pasted."""

    def __init__(self, *args: Any, example: str = "", **given: Any) -> None:  # noqa: ANN401  # click's signature
        """Keep the example beside what click wants to know."""
        super().__init__(*args, **given)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the notes, then the example as it is: wrapped, it would not work as pasted."""
        super().format_epilog(ctx, formatter)
        if self.example:
            formatter.write(f"\nExample:\n  {self.example}\n")


class Group(click.Group):
    """A group of commands; those of `elsewhere` are imported when they are asked for: `{"log": "authz.cli.log"}`."""

    command_class = Command

    def __init__(self, *args: Any, elsewhere: Mapping[str, str] | None = None, **given: Any) -> None:  # noqa: ANN401  # click's signature
        """Keep where the other commands are, each as `main` in its module."""
        super().__init__(*args, **given)
        self._elsewhere = elsewhere or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted([*super().list_commands(ctx), *self._elsewhere])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, after importing its module where it has one of its own."""
        if cmd_name in self._elsewhere:
            found: click.Command = importlib.import_module(self._elsewhere[cmd_name]).main
            return found
        return super().get_command(ctx, cmd_name)


Group.group_class = Group


class Program(Group):
    """A group of commands that return exit codes, and that is brief about wrong usage."""

    short_lived = True
    """Whether the process ends soon after it has started."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002  # click's signature
        **extra: Any,  # noqa: ANN401  # click's signature
    ) -> Any:  # noqa: ANN401  # click's signature
        """Run a command and exit with what it returns."""
        if args is None and self.short_lived:  # the process is this command's own
            _collect_seldom()
        for stream in (sys.stdout, sys.stderr):
            _never_fail_to_print(stream)
        run = functools.partial(super().main, args, prog_name, complete_var, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        sys.exit(self._run(run))

    @staticmethod
    def _run(run: Callable[[], object]) -> int:
        try:
            code = run()
        except click.ClickException as error:
            context = error.ctx if isinstance(error, click.UsageError) else None
            hint = f" (see `{context.command_path} --help`)" if context else ""
            say(_plainly(error.format_message()) + hint)
            return ExitCode(error.exit_code)
        except click.Abort:
            say("interrupted")
            return ExitCode.FAILED
        return code if isinstance(code, int) else ExitCode.OK


def _collect_seldom() -> None:
    """Leave most of the garbage to the end of the process; a short one spends an eighth of its time on looking for it.

    A start makes some 50 000 objects and hardly a cycle, and as it ends, the interpreter would look through them again.
    """
    gc.set_threshold(100_000, 50, 50)
    atexit.register(gc.freeze)


def _never_fail_to_print(stream: object) -> None:
    """Give a terminal that knows fewer characters escapes instead of a traceback."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _plainly(message: str) -> str:
    """Put click's words into ours: lower case, no full stop, the user's own text in backticks."""
    line = _QUOTED.sub(r"`\1`", " ".join(message.split())).rstrip(".")
    line = line.replace("a valid integer range", "a whole number").replace("a valid integer", "a whole number")
    line = line.replace(". (Did you", " (did you").replace(". Did you", "; did you")
    return line[:1].lower() + line[1:]
