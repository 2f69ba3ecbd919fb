"""Import entries: the one function behind the command and the service."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.directory.entities import Entity, Key, Kind
from authz.directory.groups import GroupCycleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from authz.directory.reading import Read
    from authz.directory.store import DirectoryStore
    from authz.model import Act

MAX_PROBLEMS: Final = 100
"""Problems that an import tells; the others are only counted."""
_GROUP: Final = Kind.GROUP  # a name of a module is found in a quarter of the time of an enum's member


class OnError(StrEnum):
    """What to do with an entry that is malformed."""

    NOTHING = "nothing"
    """Write nothing at all."""
    STOP = "stop"
    """Write what came before it."""
    SKIP = "skip"
    """Leave it out and go on."""


class Problem(NamedTuple):
    """What was wrong with the entry in a place; `cycle` says that it was well-formed and closed a cycle."""

    place: int
    message: str
    cycle: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to.

    `written` counts the entries that are in the directory now, `repeated` those that a later one with
    the same key replaced, `refused` those with a problem; `problems` are the first of these, by place.
    """

    written: int
    repeated: int
    refused: int
    problems: tuple[Problem, ...]


class _NothingWrittenError(Exception):
    """Raised within a write so that it leaves nothing behind."""


def import_entities(
    store: DirectoryStore, entries: Iterable[Read], act: Act, on_error: OnError = OnError.NOTHING
) -> Imported:
    """Write entries in the place of those with the same keys, all of them in one transaction.

    Groups that would be in themselves are a problem of the entry that closes the cycle; unless it is to be
    skipped, nothing is written then. Raises `StoreError`; then nothing was written.
    """
    running = _Import(entries, on_error)
    try:
        written = store.write(running.entities(), act, running.leave_out if on_error is OnError.SKIP else None)
    except _NothingWrittenError:
        return running.result(0)
    except GroupCycleError as error:
        running.cycle(error)
        return running.result(0)
    return running.result(written)


class _Import:
    """What one import has seen so far."""

    def __init__(self, entries: Iterable[Read], on_error: OnError) -> None:
        self._entries = entries
        self._on_error = on_error
        self._accepted = 0
        self._refused = 0
        self._problems: list[Problem] = []
        self._groups: dict[Key, int] = {}

    def entities(self) -> Iterator[Entity]:
        for place, entry in self._entries:
            if isinstance(entry, Entity):
                if entry.key.kind is _GROUP:
                    self._groups[entry.key] = place
                self._accepted += 1
                if not (self._refused and self._on_error is OnError.NOTHING):
                    yield entry
                continue
            self._refuse(Problem(place, str(entry)))
            if self._on_error is OnError.STOP:
                return
        if self._refused and self._on_error is OnError.NOTHING:
            raise _NothingWrittenError

    def leave_out(self, error: GroupCycleError, key: Key) -> None:
        self._accepted -= 1
        self._refuse(Problem(self._groups[key], f"{key.kind}: {error}", cycle=True))

    def cycle(self, error: GroupCycleError) -> None:
        places = [self._groups.get(Key(Kind.GROUP, "", group.id, group.tenant), 0) for group in error.groups]
        self._refuse(Problem(max(places), f"{Kind.GROUP}: {error}", cycle=True))

    def result(self, written: int) -> Imported:
        repeated = self._accepted - written if written else 0
        return Imported(written, repeated, self._refused, tuple(sorted(self._problems)))

    def _refuse(self, problem: Problem) -> None:
        self._refused += 1
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
