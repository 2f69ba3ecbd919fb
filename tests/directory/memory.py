"""A directory in a dict, for properties that want many small ones; what it reads can be counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.directory.entities import Entity, Key, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from authz.model import Act


class MemoryDirectory:
    """Keeps entities in memory (`authz.directory.store.DirectoryStore`)."""

    def __init__(self, entities: Iterable[Entity] = ()) -> None:
        """Begin with these entries."""
        self.held: dict[Key, Entity] = {entity.key: entity for entity in entities}
        self.changes = 0
        self.seen = -1
        self.reads: list[Key] = []

    def get(self, key: Key) -> Entity | None:
        """Return one entry."""
        self.seen = self.changes
        self.reads.append(key)
        return self.held.get(key)

    def tenants_of(self, kind: Kind, type_: str, id_: str) -> Sequence[str]:
        """Return the tenants that know it, bytewise."""
        self.seen = self.changes
        return sorted((key.tenant for key in self.held if key[:3] == (kind, type_, id_)), key=str.encode)

    def roles_of(self, tenant: str, principals: Sequence[str]) -> frozenset[str]:
        """Return the roles bound to any of them."""
        self.seen = self.changes
        return frozenset(
            key.id for key in self.held if key[::3] == (Kind.ROLE_BINDING, tenant) and key.type in principals
        )

    def servers_of(self, tenant: str, tool: str) -> Sequence[str]:
        """Return the servers of a tool, bytewise."""
        self.seen = self.changes
        found = (key.type for key in self.held if key[::3] == (Kind.TOOL, tenant) and key.id == tool)
        return sorted(found, key=str.encode)

    def revision(self) -> int:
        """Return how often something was changed."""
        return self.changes

    def write(self, entities: Iterable[Entity], _act: Act, refused: Callable[..., None] | None = None) -> int:
        """Put entries."""
        assert refused is None
        new = {entity.key: entity for entity in entities}
        self.held |= new
        self.changes += 1
        return len(new)

    def delete(self, keys: Sequence[Key], _act: Act) -> int:
        """Delete entries."""
        self.changes += 1
        return sum(self.held.pop(key, None) is not None for key in keys)

    def entities(self, tenant: str | None = None, kind: Kind | None = None) -> Iterator[Entity]:
        """Yield entries."""
        for key, entity in sorted(self.held.items()):
            if tenant in {None, key.tenant} and kind in {None, key.kind}:
                yield entity
