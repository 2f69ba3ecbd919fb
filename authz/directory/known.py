"""What the directory knows that may have a say in one decision, each in the tenants that the decision may see.

Every answer is kept by a `Cache`. Which tenants an answer rests on is said by the method that gives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from authz import model
from authz.directory.cache import Cache
from authz.directory.entities import HINTS, Key, Kind
from authz.directory.limits import Size, size_of_parts
from authz.errors import InvalidRequestError, StoreBusyError
from authz.model import MAX_ITEMS, ToolInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from authz.directory.entities import Entity
    from authz.directory.store import DirectoryStore
    from authz.model import Attributes, Value

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")

_TRIES = 20
_GROUP = "group:"


class Found(NamedTuple):
    """A `Fact` before anybody asks for it."""

    where: str
    name: str
    value: Value
    contradicted: bool = False
    given: Value = None


class Supplied(NamedTuple):
    """Many at once: all of some attributes, none of which the request has given."""

    where: str
    attributes: Attributes
    contradicted: bool = False


class Subject(NamedTuple):
    """A subject's attributes, the groups that the request did not list, and the roles bound to any of them.

    `whole` are the attributes, groups among them, of a request that gives none, and `found` what is
    found then: most requests are such, and this saves half of the time.
    """

    attributes: Attributes
    groups: tuple[str, ...]
    roles: tuple[str, ...]
    whole: Attributes
    found: tuple[Found | Supplied, ...]
    size: Size


class Resource(NamedTuple):
    """A resource's entry, and all entities that it is in; `whole` and `found` as for a subject."""

    tenant: str
    attributes: Attributes
    ancestors: tuple[str, ...]
    is_foreign: bool
    whole: model.Resource
    found: tuple[Found | Supplied, ...]
    size: Size


class Tool(NamedTuple):
    """What the catalogue says of a tool; `found` as for a subject."""

    info: ToolInfo
    found: tuple[Found, ...]


class Named(NamedTuple):
    """An entity that a reference leads to, and the tenant of its entry."""

    tenant: str
    attributes: Attributes


class _MovedError(Exception):
    """Raised where the directory is of another revision than what is kept of it."""


class Known:
    """Reads a store through a cache; for one thread at a time, as the store is."""

    def __init__(self, store: DirectoryStore, cache: Cache[Any] | None = None) -> None:
        """Read this store; a cache is nobody else's."""
        self._store = store
        self._cache: Cache[Any] = Cache() if cache is None else cache

    def at_once(self, read: Callable[[U, V], T], one: U, other: V) -> tuple[T, int]:
        """Return what reading comes to when all of it is of one revision, the present one, and that revision.

        What is kept is taken to be of the present one until something is read, which says of which it
        is; where nothing is, the store is asked at the end. Raises `StoreBusyError` where the directory
        changes again and again.
        """
        cache = self._cache
        for _ in range(_TRIES):
            made = cache.made
            try:
                result = read(one, other)
            except _MovedError:
                cache.at(self._store.seen)
                continue
            except InvalidRequestError:
                if self._is_current():
                    raise
                continue
            if (cache.made != made or self._is_current()) and cache.revision is not None:
                return result, cache.revision
        raise StoreBusyError("the directory changes all the time: ask again")

    def _is_current(self) -> bool:
        """Say whether what is kept is of the present revision, and forget it if not."""
        before = self._cache.revision
        self._cache.at(self._store.revision())
        return self._cache.revision == before

    def subject(self, tenant: str, id_: str, carried: tuple[str, ...]) -> Subject:
        """Return what this tenant knows of a subject that carries these groups."""
        key = ("subject", tenant, id_, carried)
        kept = self._cache.find(key)
        return kept[0] if kept is not None else self._cache.put(key, *self._subject(tenant, id_, carried))  # type: ignore[no-any-return]  # the cache holds what was made for the key

    def resource(self, named: str, caller: str, type_: str, id_: str, *, elsewhere: bool) -> Resource | None:
        """Return the entry of a resource that a caller's request names in a tenant, or in none.

        The tenant named counts, or the caller's where there is none; then the empty one. Only where
        neither has an entry, and others but the caller's have one, it is that of the first of those;
        that is looked for `elsewhere` only where a decision about it would say whose it is.
        """
        key = ("resource", named, caller, type_, id_, elsewhere)
        kept = self._cache.find(key)
        if kept is None:
            return self._cache.put(key, *self._resource(named, caller, type_, id_, elsewhere=elsewhere))  # type: ignore[no-any-return]  # as above
        return kept[0]  # type: ignore[no-any-return]  # as above

    def client(self, tenant: str, id_: str) -> Attributes | None:
        """Return the attributes of a client, in this tenant or in the empty one."""
        found = self._named(Kind.CLIENT, "", id_, tenant)
        return None if found is None else found.attributes

    def entity(self, tenant: str, target: str, id_: str) -> Named | None:
        """Return what a reference leads to, in this tenant or in the empty one."""
        if target == Kind.SUBJECT:
            return self._named(Kind.SUBJECT, "", id_, tenant)
        return self._named(Kind.RESOURCE, target, id_, tenant)

    def tool(self, tenant: str, server: str, name: str) -> Tool | None:
        """Return a tool of this tenant or the empty one; without a server, the only one of its name in both."""
        key = ("tool", tenant, server, name)
        kept = self._cache.find(key)
        return kept[0] if kept is not None else self._cache.put(key, *self._tool(tenant, server, name))  # type: ignore[no-any-return]  # as above

    # --- Reading the store --------------------------------------------------------------------

    def _of_now(self, read: T) -> T:
        """Return what was read, if it is of the revision that everything else is of."""
        if self._store.seen != self._cache.revision:
            raise _MovedError
        return read

    def _get(self, kind: Kind, type_: str, id_: str, *tenants: str) -> Entity | None:
        """Return the entry in the first of these tenants that has one."""
        store = self._store
        for tenant in tenants:
            entity = store.get(Key(kind, type_, id_, tenant))
            if store.seen != self._cache.revision:
                raise _MovedError
            if entity is not None:
                return entity
        return None

    def _subject(self, tenant: str, id_: str, carried: tuple[str, ...]) -> tuple[Subject, int]:
        entity = self._get(Kind.SUBJECT, "", id_, tenant)
        of_request = [group.removeprefix(_GROUP) for group in carried]
        own = [group.removeprefix(_GROUP) for group in entity.within] if entity is not None else []
        groups = self._closure((*of_request, *own), lambda group: self._above_group(tenant, group))
        if groups is None:
            raise InvalidRequestError("subject_attributes.groups", _too_many(MAX_ITEMS))
        principals = [f"subject:{id_}", *(f"{_GROUP}{group}" for group in groups)]
        roles = self._of_now(self._store.roles_of(tenant, principals))
        known = entity.attributes if entity is not None else {}
        attributes = {name: value for name, value in known.items() if name != "groups" and value is not None}  # L12
        listed = frozenset(of_request)
        new = tuple(group for group in groups if group not in listed)
        found: list[Found | Supplied] = [Supplied("subject_attributes.", attributes)] if attributes else []
        if new:
            found.append(Found("subject_attributes.", "groups", new))
        sorted_roles = tuple(sorted(roles))
        whole = {**attributes, "groups": list(new)} if new else attributes
        size = size_of_parts((attributes, new, sorted_roles))
        in_key = size_of_parts((carried, (id_, tenant)))
        return Subject(attributes, new, sorted_roles, whole, tuple(found), size), size.bytes + in_key.bytes

    def _above_group(self, tenant: str, group: str) -> tuple[str, ...]:
        above = self._within(Kind.GROUP, "", group, tenant)
        return tuple(one.removeprefix(_GROUP) for one in above)

    def _resource(
        self, named: str, caller: str, type_: str, id_: str, *, elsewhere: bool
    ) -> tuple[Resource | None, int]:
        tenants = _owners(named or caller)
        entity = self._get(Kind.RESOURCE, type_, id_, *tenants)
        if entity is None and elsewhere:
            # Never into the caller's own tenant: the request says that it is another's, which may be just not known.
            others = [t for t in self._of_now(self._store.tenants_of(Kind.RESOURCE, type_, id_)) if t != caller]
            entity = self._get(Kind.RESOURCE, type_, id_, *others[:1])
        in_key = 4 * (len(named) + len(caller) + len(type_) + len(id_))
        if entity is None:
            return None, in_key
        tenant = entity.key.tenant
        ancestors = self._closure(entity.within, lambda one: self._above_entity(tenant, one)) if entity.within else ()
        if ancestors is None:
            raise InvalidRequestError("resource.ancestors", _too_many(MAX_ITEMS))
        attributes = entity.attributes
        if None in attributes.values():
            attributes = {name: value for name, value in attributes.items() if value is not None}
        is_foreign = tenant not in tenants
        found: list[Found | Supplied] = [Supplied("resource.attributes.", attributes)] if attributes else []
        if ancestors:
            found.append(Found("resource.", "ancestors", ancestors))
        if is_foreign:  # what is in another tenant's entry is told to nobody
            found = [Found("resource.", "tenant", tenant, bool(named), named or None)]
        elif tenant and not named:
            found.insert(0, Found("resource.", "tenant", tenant))
        whole = model.Resource(type_, id_, tenant if is_foreign else named or tenant, attributes, ancestors)
        size = size_of_parts((attributes, ancestors))
        size = Size(size.values + 1, size.characters + len(tenant))
        return Resource(tenant, attributes, ancestors, is_foreign, whole, tuple(found), size), size.bytes + in_key

    def _above_entity(self, tenant: str, name: str) -> tuple[str, ...]:
        type_, _, id_ = name.partition(":")
        return self._within(Kind.RESOURCE, type_, id_, tenant)

    def _within(self, kind: Kind, type_: str, id_: str, tenant: str) -> tuple[str, ...]:
        def read() -> tuple[tuple[str, ...], int]:
            entity = self._get(kind, type_, id_, tenant)
            within = entity.within if entity is not None else ()
            return within, size_of_parts((within, (type_, id_, tenant))).bytes

        return self._cache.get(("within", kind, type_, id_, tenant), read)  # type: ignore[no-any-return]  # as above

    @staticmethod
    def _closure(first: Iterable[str], above: Callable[[str], Sequence[str]]) -> tuple[str, ...] | None:
        """Return these and all above them, each once, whatever cycles there are; None where they are too many."""
        found = dict.fromkeys(first)
        waiting = list(found)
        for one in waiting:
            if len(found) > MAX_ITEMS:
                return None
            new = [other for other in above(one) if other not in found]
            found.update(dict.fromkeys(new))
            waiting.extend(dict.fromkeys(new))
        return tuple(found)

    def _named(self, kind: Kind, type_: str, id_: str, tenant: str) -> Named | None:
        def read() -> tuple[Named | None, int]:
            in_key = 4 * (len(type_) + len(id_) + len(tenant))
            entity = self._get(kind, type_, id_, *_owners(tenant))
            if entity is None:
                return None, in_key
            return Named(entity.key.tenant, entity.attributes), size_of_parts((entity.attributes,)).bytes + in_key

        return self._cache.get(("named", kind, type_, id_, tenant), read)  # type: ignore[no-any-return]  # as above

    def _tool(self, tenant: str, server: str, name: str) -> tuple[Tool | None, int]:
        in_key = 4 * (len(tenant) + len(server) + len(name))
        tenants = _owners(tenant)
        if not server:
            servers = {one for owner in tenants for one in self._of_now(self._store.servers_of(owner, name))}
            if len(servers) != 1:
                return None, in_key
            server = next(iter(servers))
        entity = self._get(Kind.TOOL, server, name, *tenants)
        if entity is None:
            return None, in_key
        hints = {hint: value for hint in HINTS if isinstance(value := entity.attributes.get(hint), bool)}
        tags = entity.attributes.get("tags")
        found = [Found("tool_info.", hint, value) for hint, value in hints.items()]
        info = ToolInfo("", tuple(map(str, tags)) if isinstance(tags, (list, tuple)) else (), **hints)
        if info.tags:
            found.append(Found("tool_info.", "tags", info.tags))
        return Tool(info, tuple(found)), size_of_parts((info.tags, HINTS)).bytes + in_key


def _owners(tenant: str) -> tuple[str, ...]:
    """Return the tenants whose entries count for this one, its own first."""
    return (tenant, "") if tenant else ("",)


def _too_many(most: int) -> str:
    return f"with those that the directory knows, holds more than {most} items"
