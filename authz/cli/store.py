"""`authz-server store`: check a store's file, back it up while it is in use, restore it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Group, count, print_json, reported, say
from authz.cli.progress import progress
from authz.cli.render import printable
from authz.stores.sqlite.store import key_path
from authz.stores.sqlite.upkeep import back_up, examine, quarantine, restore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_NOUNS: Final = {
    "policy_versions": "policy version",
    "policy_activations": "activation",
    "directory_entries": "directory entry",
    "log_records": "log record",
}

_file = click.Path(path_type=Path)
_format = click.option(
    "--format", "format_", type=click.Choice(["human", "json"]), default="human", help="How the answer is printed."
)


@click.group(cls=Group)
def main() -> None:
    """Look after the store's file."""


@main.command(example="authz-server store check authz.db")
@click.argument("file", type=_file)
@click.option("--quick", is_flag=True, help="Read every page once, without comparing indexes with their tables.")
@click.option("--quarantine", "move", is_flag=True, help="Move a damaged file aside, to FILE.damaged-1 or the next.")
@_format
@reported
def check(file: Path, *, quick: bool, move: bool, format_: Literal["human", "json"]) -> ExitCode:
    """Check a store: is every page whole, is the schema ours, does every reference lead somewhere.

    It changes nothing and may run beside a server. Whether the log was tampered with is another
    question: `authz-eval log verify`. Ends with 7 where the file is damaged or another program's.
    """
    with _waiting() as ticked:
        found = examine(file, quick=quick, ticked=ticked)
    aside = quarantine(file) if found.problems and not found.foreign and move else None
    if format_ == "json":
        print_json(
            {
                "store": str(file),
                "sound": not found.problems,
                "problems": list(found.problems),
                **({"schema": found.schema, "counts": found.counts} if found.counts is not None else {}),
                **({"moved_to": str(aside)} if aside else {}),
            }
        )
    elif not found.problems:
        click.echo(f"{_shown(file)} is sound: schema {found.schema}, {_counted(found.counts or {})}")
    if not found.problems:
        return ExitCode.OK
    more = f" (and {count(len(found.problems) - 1, 'more problem')})" if len(found.problems) > 1 else ""
    first = found.problems[0]
    say((first if str(file) in first else f"`{file}` is damaged: {first}") + more)
    if aside:
        click.echo(f"moved to {_shown(aside)}", err=True)
    elif move:
        click.echo("not moved: it is no store of this version", err=True)
    return ExitCode.DIFFERENCE


@main.command(example="authz-server store backup authz.db backups/authz-monday.db")
@click.argument("file", type=_file)
@click.argument("target", type=_file)
@_format
@reported
def backup(file: Path, target: Path, *, format_: Literal["human", "json"]) -> ExitCode:
    """Copy one state of a store to TARGET, while servers write to it.

    The copy is checked, and readable by its owner only. It holds policies, directory, decision log
    and the keys of pseudonyms as they are now; the key that signs the log (FILE.key) is not part
    of it. Keep that elsewhere: who has both can write another past.
    """
    with _copying() as step:
        back_up(file, target, step)
    key = key_path(file)
    if format_ == "json":
        print_json({"store": str(file), "backup": str(target), "bytes": target.stat().st_size, "without": str(key)})
    else:
        click.echo(f"{_shown(target)}: {_size(target.stat().st_size)}, without the signing key {_shown(key)}")
    return ExitCode.OK


@main.command("restore", example="authz-server store restore backups/authz-monday.db authz.db --replace")
@click.argument("backup", type=_file)
@click.argument("file", type=_file)
@click.option("--replace", is_flag=True, help="Restore where a store is; what was there stays as FILE.replaced-1.")
@_format
@reported
def restore_(backup: Path, file: Path, *, replace: bool, format_: Literal["human", "json"]) -> ExitCode:
    """Put a backup where a store is to be, after checking it.

    Refused while any process has the store open. The key that signs the log is not part of a
    backup: FILE.key must be the one it was signed with. A log that was set back to an older state
    is whole in itself; the heads in a witness file say that it was longer.
    """
    with _copying() as step:
        aside = restore(backup, file, replace=replace, progress=step)
    key = key_path(file)
    if format_ == "json":
        kept = {"kept": str(aside)} if aside else {}
        print_json({"store": str(file), "backup": str(backup), "key": str(key), "key_found": key.exists(), **kept})
        return ExitCode.OK
    click.echo(f"{_shown(file)} is restored from {_shown(backup)}")
    if aside:
        click.echo(f"what was there is {_shown(aside)}")
    if not key.exists():
        click.echo(f"the signing key is not part of a backup: put it at {_shown(key)}", err=True)
    return ExitCode.OK


@contextmanager
def _copying() -> Iterator[Callable[[int, int], None]]:
    """Show how far a copy is."""
    part = 0.0

    def step(done: int, total: int) -> None:
        nonlocal part
        part = done / (total or 1)
        show(done)

    with progress("pages", lambda: part) as show:
        yield step


@contextmanager
def _waiting() -> Iterator[Callable[[], None]]:
    """Show for how long something has been going on, where nobody knows how long it will."""
    begun = time.monotonic()
    with progress("seconds") as show:
        yield lambda: show(int(time.monotonic() - begun))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(_several(number, _NOUNS[name]) for name, number in counts.items())


def _several(number: int, noun: str) -> str:
    return count(number, noun) if number == 1 or not noun.endswith("y") else f"{number} {noun[:-1]}ies"


def _size(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MiB"


def _shown(path: Path) -> str:
    return f"`{printable(str(path))}`"
