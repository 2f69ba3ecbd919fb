"""What a policy reads of the requests for one tool, so that an enforcement point need not send more.

A `Path` is the names that lead to an attribute, from the outside in; what is read may be anything
below. `()` is everything. The subject's id, scopes, roles and tenant, the resource's type, id,
tenant and ancestors, the client's id and what the server says of the tool are always sent, so no
path speaks of them.

Deciding the projected request gives the decision of the whole one: whatever a condition can reach
is kept, an object on the way stays an object, and what is no object stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from authz.lang import checked
from authz.pdp.nodes import nodes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from authz.lang.checked import Block, CheckedPolicySet, Core, Rule
    from authz.model import Attributes, Value

Path: TypeAlias = tuple[str, ...]
Paths: TypeAlias = tuple[Path, ...]

EVERYTHING: Final[Paths] = ((),)
MOST_PATHS: Final = 256
"""Paths of one part of a request; where a policy reads more, they are cut short, so that more is sent."""
_MOST_KEPT: Final = 1_024
"""Sets of blocks whose reads are kept: the names in requests choose them."""


@dataclass(frozen=True, slots=True)
class ToolReads:
    """What is read of each part of a request; sorted, and no path lies below another one."""

    known: bool
    """Whether any rule speaks of the tool."""
    arguments: Paths = ()
    context: Paths = ()
    resource: Paths = ()
    subject: Paths = ()
    client: Paths = ()


class _Found(NamedTuple):
    """What some conditions read: paths after the name of their root, and roles; None stands for all roles."""

    paths: frozenset[tuple[str, Path]]
    roles: frozenset[str | None]


class PolicyReads:
    """What one policy reads, tool by tool; what several tools have in common is found out once."""

    def __init__(self, policy: CheckedPolicySet, matching: Callable[[str], Sequence[int]]) -> None:
        """Made by `Program.reads`; `matching` finds the blocks that speak of a tool."""
        self._policy = policy
        self._matching = matching
        self._of_blocks: dict[int, _Found] = {}
        self._of_sets: dict[tuple[int, ...], ToolReads] = {}

    def of(self, tool: str) -> ToolReads:
        """Return what is read for a tool, whoever calls and whatever is touched."""
        matching = tuple(self._matching(tool))
        found = self._of_sets.get(matching)
        if found is None:
            found = self._join(matching)
            if len(self._of_sets) >= _MOST_KEPT:
                self._of_sets.clear()
            self._of_sets[matching] = found
        return found

    def _join(self, blocks: tuple[int, ...]) -> ToolReads:
        found = [self._block(index) for index in blocks]
        paths = set[tuple[str, Path]]().union(*(one.paths for one in found))
        asked = set[str | None]().union(*(one.roles for one in found))
        for role in self._policy.derived:
            if None in asked or not asked.isdisjoint(role.holds):
                paths |= _read_by(role.condition).paths
        return ToolReads(
            known=bool(blocks),
            arguments=_of_root(paths, "args"),
            context=_of_root(paths, "context"),
            resource=_of_root(paths, "resource"),
            subject=_of_root(paths, "subject"),
            client=_of_root(paths, "client"),
        )

    def _block(self, index: int) -> _Found:
        found = self._of_blocks.get(index)
        if found is None:
            found = self._of_blocks[index] = _joined(_rules_read(self._policy.blocks[index]))
        return found


def _rules_read(block: Block) -> Iterator[_Found]:
    for rule in block.rules:
        yield _Found(frozenset(), frozenset(_asked(rule)))
        if rule.condition is not None:
            yield _read_by(rule.condition)


def _asked(rule: Rule) -> Iterable[str]:
    return rule.who.names if isinstance(rule.who, checked.Names) and rule.who.what == "role" else ()


def _read_by(condition: Core) -> _Found:
    paths: set[tuple[str, Path]] = set()
    roles: set[str | None] = set()
    for node in nodes_of(condition):
        match node:
            case checked.Read(root, keys):
                paths.add((root, _known_part(keys)))
            case checked.Held("roles"):
                roles.add(None)
            case _:
                pass
    return _Found(frozenset(paths), frozenset(roles))


def _known_part(keys: tuple[str | Core, ...]) -> Path:
    """Return the names up to the first key that is computed: of what lies below, anything may be read."""
    names: list[str] = []
    for key in keys:
        if not isinstance(key, str):
            break
        names.append(key)
    return tuple(names)


def _joined(found: Iterable[_Found]) -> _Found:
    parts = tuple(found)
    return _Found(
        frozenset[tuple[str, Path]]().union(*(part.paths for part in parts)),
        frozenset[str | None]().union(*(part.roles for part in parts)),
    )


def _of_root(paths: Iterable[tuple[str, Path]], root: str) -> Paths:
    return shortest(path for of, path in paths if of == root)


def joined(one: ToolReads, other: ToolReads) -> ToolReads:
    """Return what either reads; the tool is known if the first says so."""
    return ToolReads(
        known=one.known,
        arguments=shortest((*one.arguments, *other.arguments)),
        context=shortest((*one.context, *other.context)),
        resource=shortest((*one.resource, *other.resource)),
        subject=shortest((*one.subject, *other.subject)),
        client=shortest((*one.client, *other.client)),
    )


def shortest(paths: Iterable[Path]) -> Paths:
    """Return paths sorted, without those below others; too many are cut to fewer and shorter ones."""
    kept: list[Path] = []
    for path in sorted(set(paths)):
        if not kept or path[: len(kept[-1])] != kept[-1]:  # what lies below a path follows it
            kept.append(path)
    if len(kept) <= MOST_PATHS:
        return tuple(kept)
    first = tuple(sorted({path[:1] for path in kept}))
    return first if len(first) <= MOST_PATHS else EVERYTHING


# --- Sending no more than that --------------------------------------------------------------


def project(attributes: Attributes, paths: Paths) -> Attributes:
    """Return the attributes with no more than what the paths lead to.

    An object on the way is cut down; anything else that stands there is kept, so that a value of the
    wrong type remains one.
    """
    tree = _tree(paths)
    return attributes if tree is None else _cut(attributes, tree)


_Tree: TypeAlias = "Mapping[str, _Tree | None]"


@lru_cache(maxsize=4_096)
def _tree(paths: Paths) -> _Tree | None:
    """Return paths as nested objects, in which None stands for all that is there."""
    tree: dict[str, _Tree | None] = {}
    for path in paths:
        if not path:
            return None
        inner = tree
        for name in path[:-1]:
            below = inner.setdefault(name, {})
            if below is None:  # a shorter path leads here: it covers this one
                break
            assert isinstance(below, dict)  # this function makes no other
            inner = below
        else:
            inner[path[-1]] = None
    return tree


def _cut(attributes: Mapping[str, Value], tree: _Tree) -> dict[str, Value]:
    kept: dict[str, Value] = {}
    for name, below in tree.items():
        if name in attributes:
            value = attributes[name]
            kept[name] = _cut(value, below) if below is not None and isinstance(value, Mapping) else value
    return kept
