"""What `replay` and `policy diff` read: a log, in a store or in JSON lines, and a policy, in files or a store."""

from __future__ import annotations

from contextlib import closing, contextmanager
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from authz.cli.progress import part_of
from authz.cli.questions import opened
from authz.pap.loader import load
from authz.pap.replay import MAX_RECORD, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from authz.pap.loader import LoadedPolicy
    from authz.stores.sqlite.store import SqliteStore

_STORE_BEGINS: Final = b"SQLite format 3\0"
_MOST_DIGITS: Final = 18

version_store_option = click.option(
    "--store",
    envvar="AUTHZ_STORE",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The store that holds the versions.  [env: AUTHZ_STORE]",
)


class Log(NamedTuple):
    """The records of a log, what one is called where a person is told of it, and how much of them is read."""

    lines: Iterator[Line]
    noun: str
    part: Callable[[], float] | None


@contextmanager
def opened_log(path: str) -> Iterator[Log]:
    """Open a store's log, or one in JSON lines; `-` is JSON lines on stdin.

    Raises `LoadError` and `StoreError`.
    """
    with opened(path) as stream:
        if not (isinstance(stream, BufferedReader) and stream.peek(len(_STORE_BEGINS)).startswith(_STORE_BEGINS)):
            yield Log(_lines(stream), "line", part_of(stream))
            return
    with closing(open_readonly(Path(path))) as store:
        total = store.log.head().head.seq
        last = 0

        def records() -> Iterator[Line]:
            nonlocal last
            for link in store.log.links():
                last = link.seq
                yield Line(link.seq, link.text)

        yield Log(records(), "record", lambda: last / max(total, 1))


def is_store(path: str) -> bool:
    """Say whether a file is a store; raises `LoadError` for what cannot be read."""
    if path == "-":
        return False
    with opened(path) as stream:
        return isinstance(stream, BufferedReader) and stream.peek(len(_STORE_BEGINS)).startswith(_STORE_BEGINS)


def open_readonly(path: Path) -> SqliteStore:
    """Open a store to read in it; raises `StoreError`."""
    from authz.stores.sqlite.store import open_store  # noqa: PLC0415  # most comparisons are of files

    return open_store(path, readonly=True)


def _lines(stream: BinaryIO) -> Iterator[Line]:
    """Yield lines that are not blank; of one that is too long, enough to see that it is."""
    number = 0
    while text := stream.readline(MAX_RECORD + 1):
        number += 1
        if len(text) > MAX_RECORD:
            rest = text
            while not rest.endswith(b"\n") and (rest := stream.readline(MAX_RECORD)):
                pass
        if text.strip():
            yield Line(number, text)


def load_policy(named: str, store: Path | None) -> LoadedPolicy:
    """Load a version, by its number or `active`, or the policy in a directory or file; `./3` is a path.

    Raises `PolicyError`, `LoadError` and `StoreError`.
    """
    return load_stored(named, store) if is_version(named) else load(named)


def is_version(named: str) -> bool:
    """Say whether this names a version rather than a path."""
    return named == "active" or (named.isascii() and named.isdigit())


def load_stored(version: str, store: Path | None) -> LoadedPolicy:
    """Load a version from a store. Raises `PolicyError` and `StoreError`."""
    if store is None:
        raise click.UsageError(f"`{version}` is a version: name the store that holds it with `--store`")
    from authz.errors import NotStoredError  # noqa: PLC0415  # as in `open_readonly`
    from authz.pap.versions import active_policy, load_version  # noqa: PLC0415  # as in `open_readonly`

    with closing(open_readonly(store)) as opened_store:
        if version != "active":
            return load_version(opened_store.policies, int(version[:_MOST_DIGITS]))
        found = active_policy(opened_store.policies)
        if found is None:
            raise NotStoredError(f"no policy is active in `{store}`: activate one with `authz-eval policy activate`")
        return found[1]


def read_time(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    """Read an option's time; one without an offset would be another time on another machine."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise click.BadParameter(f"`{text}` is no time such as `2026-01-31T08:00:00Z`")
    return time
