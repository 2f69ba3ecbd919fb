"""Groups that are in one another: found before they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from authz.errors import AuthzError
from authz.json_form import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

MAX_CYCLES: Final = 100
"""Groups that one import may leave out because they close a cycle; with more of them nothing is written."""
_MAX_NAMED: Final = 10


class Group(NamedTuple):
    """A group's name: its id means nothing outside of its tenant."""

    tenant: str
    id: str


class GroupCycleError(AuthzError):
    """Raised when groups would be in themselves; `groups` are those of the cycle, each in the next."""

    def __init__(self, groups: Sequence[Group]) -> None:
        """Name the groups, each in the next, the last in the first."""
        named = [f"`{shown(group.id)}`" for group in groups[:_MAX_NAMED]]
        more = ["…"] if len(groups) > _MAX_NAMED else []
        super().__init__(f"groups would be in themselves: {' in '.join([*named, *more, named[0]])}")
        self.groups = tuple(groups)


def find_cycle(starts: Iterable[Group], above: Callable[[Group], Iterable[Group]]) -> tuple[Group, ...]:
    """Return groups of which each is in the next and the last in the first; () where there are none.

    `above` returns the groups that one is directly in. What is walked is all that lies above the
    starts, each group once, however deep they are nested.
    """
    done: set[Group] = set()
    for start in starts:
        path: dict[Group, Iterator[Group]] = {start: iter(above(start))} if start not in done else {}
        while path:
            group = next(reversed(path))
            following = next(path[group], None)
            if following is None:
                del path[group]
                done.add(group)
            elif following in path:
                names = list(path)
                return tuple(names[names.index(following) :])
            elif following not in done:
                path[following] = iter(above(following))
    return ()


def refuse_cycles(
    written: dict[Group, tuple[str, ...]],
    stored: Callable[[Group], Sequence[str]],
    refused: Callable[[GroupCycleError, Group], None] | None = None,
) -> None:
    """Find the cycles that writing these groups, in this order, would make.

    Where `refused` is given, the last written group of each cycle is taken out of `written` and told
    to it, and what is stored of that group stays; otherwise, or after `MAX_CYCLES`, raises
    `GroupCycleError`.
    """
    known: dict[Group, Sequence[str]] = {}

    def above(group: Group) -> Iterator[Group]:
        within: Sequence[str] | None = written.get(group, known.get(group))
        if within is None:
            within = known[group] = stored(group)
        return (Group(group.tenant, id_) for id_ in within)

    places = {group: place for place, group in enumerate(written)}
    left = MAX_CYCLES if refused is not None else 0
    while cycle := find_cycle(written, above):
        error = GroupCycleError(cycle)
        closing = max((group for group in cycle if group in written), key=places.__getitem__, default=None)
        if refused is None or closing is None or not left:
            raise error
        left -= 1
        del written[closing]
        refused(error, closing)
