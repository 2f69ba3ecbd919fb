"""`authz-eval directory`: what the service knows of subjects, groups, roles, resources, tools and clients."""

from __future__ import annotations

import csv
import sys
from contextlib import closing
from pathlib import Path  # noqa: TC003  # click's types in signatures
from typing import TYPE_CHECKING, Final

import click

from authz.cli import stored
from authz.cli.exit_codes import ExitCode
from authz.cli.failures import Command, Group, count, print_json, reported, say
from authz.cli.progress import part_of, progress
from authz.cli.questions import opened
from authz.cli.render import json_text
from authz.directory.checking import checked_key
from authz.directory.entities import HINTS, EntityError, Key, Kind
from authz.directory.importing import Imported, OnError, import_entities
from authz.directory.reading import read_csv, read_lines, read_tools
from authz.directory.records import Defaults, record_of
from authz.stores.sqlite.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from authz.directory.entities import Entity
    from authz.directory.reading import Read

_COLUMNS: Final = (
    *("kind", "tenant", "type", "id", "server", "name", "subject", "group", "role", "owner", "groups", "ancestors"),
    *("attributes", *HINTS, "tags", "input_schema"),
)
_STEP: Final = 1_000
_TYPED: Final = frozenset({Kind.RESOURCE, Kind.TOOL, Kind.ROLE_BINDING})

_kind_argument = click.argument("kind", metavar="KIND", type=click.Choice([kind.value for kind in Kind]))
_KINDS: Final = "KIND is `subject`, `group`, `role_binding`, `resource`, `tool` or `client`."
_type_option = click.option(
    "--type",
    "type_",
    default="",
    metavar="TYPE",
    help="The type of a resource, the server of a tool, or `subject:ID` or `group:ID` of a role binding.",
)
_tenant_option = click.option("--tenant", default="", metavar="TENANT", help="The tenant.  [default: the empty one]")
_format_option = click.option(
    "--format", "format_", type=click.Choice(["human", "json"]), default="human", help="How to print."
)


@click.group(cls=Group)
def main() -> None:
    """Import, export and look up what decisions are completed from."""


@main.command("import", cls=Command, example="authz-eval directory import people.jsonl --store authz.db")
@click.argument("file", metavar="FILE|-")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="The kind of entries that name none.")
@click.option("--csv/--jsonl", "as_csv", default=None, help="How FILE is written.  [default: CSV if it ends in `.csv`]")
@click.option("--tools-of", "server", metavar="SERVER", help="FILE is this server's answer to tools/list.")
@click.option("--tenant", metavar="TENANT", help="The tenant of entries that name none; those of others are refused.")
@click.option(
    "--on-error",
    type=click.Choice([on_error.value for on_error in OnError]),
    help="After a bad entry write nothing, what came before it, or all others.  [default: nothing]",
)
@click.option("--all-or-nothing", is_flag=True, help="The same as `--on-error nothing`.")
@stored.store_option
@stored.key_option
@stored.author_option
@stored.note_option
@_format_option
@reported
def import_(  # noqa: PLR0913  # one for each option
    *,
    file: str,
    kind: str | None,
    as_csv: bool | None,
    server: str | None,
    tenant: str | None,
    on_error: str | None,
    all_or_nothing: bool,
    store: Path,
    key: Path | None,
    author: str | None,
    note: str,
    format_: str,
) -> ExitCode:
    """Write the entries of a file, each in the place of one with the same key.

    FILE holds JSON lines or CSV. Entries that are bad are named on stderr, and the command ends with 2.
    """
    if all_or_nothing and on_error not in {None, OnError.NOTHING.value}:
        raise click.UsageError(f"`--all-or-nothing` contradicts `--on-error {on_error}`")
    if server is not None and (kind is not None or as_csv is not None):
        raise click.UsageError("`--tools-of` says what FILE is: leave `--kind`, `--csv` and `--jsonl` out")
    defaults = Defaults(Kind(kind) if kind else None, tenant)
    with (
        opened(file) as stream,
        closing(open_store(store, key=key, create=True)) as opened_store,
        progress("entries", part_of(stream)) as step,
    ):
        if server is not None:
            entries = read_tools(stream, server, tenant or "")
        else:
            is_csv = as_csv if as_csv is not None else file.endswith(".csv")
            entries = (read_csv if is_csv else read_lines)(stream, defaults)
        imported = import_entities(
            opened_store.directory,
            _counted(entries, step),
            stored.act(author, note),
            OnError(on_error or OnError.NOTHING),
        )
    _tell(imported, file, "tool" if server is not None else "line", format_)
    return ExitCode.USAGE if imported.refused else ExitCode.OK


@main.command(cls=Command, example="authz-eval directory export --store authz.db --tenant acme")
@click.option("--tenant", metavar="TENANT", help="Only the entries of this tenant; `--tenant ''`: of the empty one.")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only the entries of this kind.")
@click.option("--format", "format_", type=click.Choice(["jsonl", "csv"]), default="jsonl", help="How to print.")
@stored.store_option
@reported
def export(*, tenant: str | None, kind: str | None, format_: str, store: Path) -> ExitCode:
    """Print entries, in the order of their keys, as `import` reads them."""
    with closing(open_store(store, readonly=True)) as opened_store:
        entities = opened_store.directory.entities(tenant, Kind(kind) if kind else None)
        with closing(entities):  # type: ignore[type-var]  # a generator, which the Protocol need not say
            (_print_csv if format_ == "csv" else _print_lines)(entities)
    return ExitCode.OK


@main.command(
    cls=Command, epilog=_KINDS, example="authz-eval directory get subject alice --tenant acme --store authz.db"
)
@_kind_argument
@click.argument("id_", metavar="ID")
@_type_option
@_tenant_option
@stored.store_option
@_format_option
@reported
def get(*, kind: str, id_: str, type_: str, tenant: str, store: Path, format_: str) -> ExitCode:
    """Print one entry; for a tool ID is its name, for a role binding the role."""
    wanted = _key(kind, type_, id_, tenant)
    with closing(open_store(store, readonly=True)) as opened_store:
        found = opened_store.directory.get(wanted)
    if found is None:
        say(f"there is no {_named(wanted)}")
        return ExitCode.FAILED
    print_json(record_of(found), indent=None if format_ == "json" else 2)
    return ExitCode.OK


@main.command(
    cls=Command, epilog=_KINDS, example="authz-eval directory delete subject alice --tenant acme --store authz.db"
)
@_kind_argument
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@_type_option
@_tenant_option
@stored.store_option
@stored.key_option
@stored.author_option
@stored.note_option
@_format_option
@reported
def delete(  # noqa: PLR0913  # one for each option
    *,
    kind: str,
    ids: tuple[str, ...],
    type_: str,
    tenant: str,
    store: Path,
    key: Path | None,
    author: str | None,
    note: str,
    format_: str,
) -> ExitCode:
    """Delete entries, all in one transaction; an ID that is not there ends the command with 1."""
    wanted = list(dict.fromkeys(_key(kind, type_, id_, tenant) for id_ in ids))
    with closing(open_store(store, key=key)) as opened_store:
        deleted = opened_store.directory.delete(wanted, stored.act(author, note))
    if format_ == "json":
        print_json({"deleted": deleted})
    else:
        click.echo(f"{_entries(deleted)} deleted")
    if deleted < len(wanted):
        say(f"{len(wanted) - deleted} of {_entries(len(wanted))} not there")
        return ExitCode.FAILED
    return ExitCode.OK


def _key(kind: str, type_: str, id_: str, tenant: str) -> Key:
    try:
        return checked_key(Key(Kind(kind), type_, id_, tenant))
    except EntityError as error:
        hint = "; name it with `--type`" if not type_ and kind in _TYPED else ""
        raise click.UsageError(f"{error}{hint}") from None


def _named(key: Key) -> str:
    of = f" of `{key.type}`" if key.type else ""
    tenant = f" in tenant `{key.tenant}`" if key.tenant else ""
    return f"{key.kind.replace('_', ' ')} `{key.id}`{of}{tenant}"


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"


# --- What an import says --------------------------------------------------------------------


def _counted(entries: Iterator[Read], step: Callable[[int], None]) -> Iterator[Read]:
    for number, entry in enumerate(entries, 1):
        if number % _STEP == 0:
            step(number)
        yield entry


def _tell(imported: Imported, file: str, place: str, format_: str) -> None:
    for problem in imported.problems:
        say(f"{place} {problem.place}: {problem.message}" if problem.place else f"`{file}` {problem.message}")
    if imported.refused > len(imported.problems):
        say(f"and {count(imported.refused - len(imported.problems), 'problem')} more")
    if format_ == "json":
        problems = [{place: problem.place, "message": problem.message} for problem in imported.problems]
        counts = {"written": imported.written, "repeated": imported.repeated, "refused": imported.refused}
        print_json({**counts, "problems": problems})
        return
    repeated = f", {imported.repeated} of them given twice" if imported.repeated else ""
    click.echo(f"{_entries(imported.written)} written{repeated}, {imported.refused} refused")


# --- What an export prints ------------------------------------------------------------------


def _print_lines(entities: Iterator[Entity]) -> None:
    for entity in entities:
        click.echo(json_text(record_of(entity)))


def _print_csv(entities: Iterator[Entity]) -> None:
    writer = csv.DictWriter(sys.stdout, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for entity in entities:
        writer.writerow({name: _cell(value) for name, value in record_of(entity).items()})


def _cell(value: Any) -> str:  # noqa: ANN401  # a value of a record
    return value if isinstance(value, str) else json_text(value)
