"""What a directory is kept in. SQLite is one such store; others follow behind the same Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from authz.directory.entities import Entity, Key, Kind
    from authz.directory.groups import GroupCycleError
    from authz.model import Act


class DirectoryStore(Protocol):
    """Keeps entities. A writing call is whole or not there, with its record in the decision log.

    All raise `StoreError`. What one call of `get`, `tenants_of`, `roles_of` or `servers_of` returns is
    of one revision.
    """

    @property
    def seen(self) -> int:
        """Return the revision that the last of those calls has found."""

    def get(self, key: Key) -> Entity | None:
        """Return one entry, None where there is none."""

    def tenants_of(self, kind: Kind, type_: str, id_: str) -> Sequence[str]:
        """Return the tenants that know something under this kind, type and id, sorted bytewise."""

    def roles_of(self, tenant: str, principals: Sequence[str]) -> frozenset[str]:
        """Return the roles bound to any of these principals, each `subject:ID` or `group:ID`."""

    def servers_of(self, tenant: str, tool: str) -> Sequence[str]:
        """Return the servers that offer a tool of this name in a tenant, sorted bytewise."""

    def revision(self) -> int:
        """Return a number that grows with every change; quick enough to ask before every decision."""

    def write(
        self, entities: Iterable[Entity], act: Act, refused: Callable[[GroupCycleError, Key], None] | None = None
    ) -> int:
        """Put entries in the place of those with the same keys; return how many. All or none.

        Of entries with one key the last counts. Raises `GroupCycleError` where groups would then be in
        themselves; where `refused` is given, the group that closes the cycle is left out and told to it.
        The entries must be valid (`authz.directory.entities.checked`).
        """

    def delete(self, keys: Sequence[Key], act: Act) -> int:
        """Delete entries and return how many there were."""

    def entities(self, tenant: str | None = None, kind: Kind | None = None) -> Iterator[Entity]:
        """Yield entries in the order of their keys: of one tenant or all, of one kind or all."""
