"""Complete a request with what the directory knows, before it is decided.

What a request leaves out is filled in, what it says stays; only about a resource's tenant and owner
the directory's word counts more, because whose something is decides most. A decision reads entries
of the caller's tenant, the resource's tenant and the empty one, and of no other but to find out that
a resource is another tenant's. Where a store fails, nothing is decided.
"""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from authz.directory.known import Found, Known, Supplied
from authz.directory.limits import refuse_excess, size_of_parts
from authz.model import Client, Fact, Request, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from authz.directory import known
    from authz.directory.cache import Cache
    from authz.directory.limits import Size
    from authz.directory.store import DirectoryStore
    from authz.model import Attributes, Value


class Reference(Protocol):
    """A reference that the policy follows; `root` is the name of L30 that it starts from."""

    @property
    def path(self) -> str:
        """Return how the policy writes it: `resource.folder`."""

    @property
    def root(self) -> str:
        """Return where it starts: `resource`, `subject`, `client`, `args` or `context`."""

    @property
    def target(self) -> str:
        """Return the type of the entity that it leads to, `subject` for a subject."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """Return the attributes that are read behind it."""

    @property
    def read(self) -> Callable[[Request], Any]:
        """Return what reads the id that a request holds there, None where it holds none."""


class Policy(Protocol):
    """What completing a request must know of the policy that will decide: `Program` is one."""

    def references(self, request: Request) -> Sequence[Reference]:
        """Return the references that the decision follows."""

    def is_global(self, type_: str) -> bool:
        """Say whether resources of a type belong to no tenant (L12)."""


class Completed(NamedTuple):
    """A request as it is decided, and what the directory has brought into it."""

    request: Request
    found: tuple[Found | Supplied, ...] = ()
    revision: int = 0
    """The revision of the directory that all of it is from."""

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Return what the directory has supplied and contradicted, as an explanation shows it."""
        facts: list[Fact] = []
        for found in self.found:
            if isinstance(found, Supplied):
                facts += [Fact(found.where + name, value) for name, value in found.attributes.items()]
            else:
                facts.append(Fact(found.where + found.name, found.value, found.contradicted, found.given))
        return tuple(facts)


class _Parts:
    """What has been found out so far: new parts of the request, what is in them, and about how much."""

    __slots__ = ("changes", "found", "sizes")

    def __init__(self) -> None:
        self.changes: dict[str, Any] = {}
        self.found: list[Found | Supplied] = []
        self.sizes: list[Size] = []


class _NoPolicy:
    """Stands for a policy that follows no reference, and whose types all belong to tenants."""

    def references(self, _: Request) -> Sequence[Reference]:
        return ()

    def is_global(self, _: str) -> bool:
        return False


_NO_POLICY: Final = _NoPolicy()


class Completer:
    """Completes requests from one store; for one thread at a time, as the store is."""

    def __init__(self, store: DirectoryStore, cache: Cache[Any] | None = None) -> None:
        """Read this store through a cache of its own."""
        self._known = Known(store, cache)

    def complete(self, request: Request, policy: Policy = _NO_POLICY) -> Completed:
        """Return a request with what the directory knows of it; the very same one where that is nothing.

        `policy` is what will decide it, a `Program`. Everything is read from one revision of the
        directory. Raises `StoreError` where it cannot be read, and `InvalidRequestError` where
        request and directory together pass a limit of L60.
        """
        (completed, found), revision = self._known.at_once(self._complete, request, policy)
        return Completed(completed, found, revision)

    def _complete(self, request: Request, policy: Policy) -> tuple[Request, tuple[Found | Supplied, ...]]:
        parts = _Parts()
        if request.subject:
            self._subject(request, parts)
        if request.resource is not None and request.resource.id:
            self._resource(request, request.resource, parts, elsewhere=not policy.is_global(request.resource.type))
        if request.client is not None and request.client.id:
            self._client(request, request.client, parts)
        self._tool(request, parts)
        references = policy.references(request)
        if parts.changes:
            completed = _changed(request, parts.changes)
            refuse_excess(request, completed, parts.sizes)
            request = completed
        if references:
            request = self._follow(request, references, parts.found)
        return request, tuple(parts.found)

    # --- The parts of a request ---------------------------------------------------------------

    def _subject(self, request: Request, parts: _Parts) -> None:
        own = request.subject_attributes
        listed = own.get("groups") if own else None
        carried = () if listed is None else _texts(listed)
        subject = self._known.subject(request.tenant, request.subject, carried or ())
        if not own:
            filled = subject.whole
            parts.found += subject.found
        else:
            filled = _filled(own, subject.attributes, "subject_attributes.", parts.found)
            if subject.groups and carried is not None:  # groups of the wrong type stay what they are: unknown
                filled = {**filled, "groups": [*carried, *subject.groups]}
                parts.found.append(Found("subject_attributes.", "groups", subject.groups))
        if filled is not own and filled:
            parts.changes["subject_attributes"] = filled
            parts.sizes.append(subject.size)
        roles = tuple(role for role in subject.roles if role not in request.roles) if subject.roles else ()
        if roles:
            parts.changes["roles"] = (*request.roles, *roles)
            parts.found.append(Found("", "roles", roles))
            parts.sizes.append(subject.size)

    def _resource(self, request: Request, own: Resource, parts: _Parts, *, elsewhere: bool) -> None:
        entry = self._known.resource(own.tenant, request.tenant, own.type, own.id, elsewhere=elsewhere)
        if entry is None:
            return
        if entry.is_foreign or not (own.attributes or own.ancestors):
            # Another tenant's, whatever the request says of it; or one of which it says nothing.
            if entry.found:
                parts.changes["resource"] = entry.whole
                parts.found += entry.found
                parts.sizes.append(entry.size)
            return
        found = parts.found
        tenant = entry.whole.tenant
        if tenant != own.tenant:
            found.append(Found("resource.", "tenant", tenant))
        attributes = _with_owner(own.attributes, entry, found)
        attributes = _filled(attributes, entry.attributes, "resource.attributes.", found)
        ancestors = tuple(one for one in entry.ancestors if one not in own.ancestors)
        if ancestors:
            found.append(Found("resource.", "ancestors", ancestors))
        if tenant != own.tenant or attributes is not own.attributes or ancestors:
            parts.changes["resource"] = Resource(own.type, own.id, tenant, attributes, (*own.ancestors, *ancestors))
            parts.sizes.append(entry.size)

    def _client(self, request: Request, own: Client, parts: _Parts) -> None:
        entry = self._known.client(request.tenant, own.id)
        if entry:
            filled = _filled(own.attributes, entry, "client.attributes.", parts.found)
            if filled is not own.attributes:
                parts.changes["client"] = Client(own.id, filled)
                parts.sizes.append(size_of_parts((entry,)))

    def _tool(self, request: Request, parts: _Parts) -> None:
        own = request.tool_info
        tool = self._known.tool(request.tenant, own.server if own is not None else "", request.tool)
        if tool is None:
            return
        if own is None:
            parts.changes["tool_info"] = tool.info
            parts.found += tool.found
        else:
            new = [fact for fact in tool.found if _is_left_out(getattr(own, fact.name))]
            if not new:
                return
            parts.found += new
            hints: dict[str, Any] = {fact.name: fact.value for fact in new}
            parts.changes["tool_info"] = replace(own, **hints)
        parts.sizes.append(size_of_parts((tool.info.tags,)))

    # --- References ---------------------------------------------------------------------------

    def _follow(self, request: Request, references: Sequence[Reference], found: list[Found | Supplied]) -> Request:
        """Look up what references lead to, first those that others start from.

        What hangs on the resource is looked for in its tenant, everything else in the caller's. Where one
        name means two entries, one for each, neither is supplied: a rule cannot say which it means.
        """
        entities: dict[tuple[str, str], Attributes] = {}
        meant: dict[tuple[str, str], known.Named | None] = {}
        torn: set[tuple[str, str]] = set()
        request = _changed(request, {"entities": entities})  # not handed on yet: it fills while it is read
        behind: list[tuple[Reference, tuple[str, str]]] = []
        for reference in references:
            id_ = reference.read(request)
            if not id_:
                continue
            key = (reference.target, id_)
            entity = self._known.entity(_tenant_of(reference, request), *key)
            if key in meant and meant[key] != entity:
                torn.add(key)
            meant[key] = entity
            if key in torn:
                entities.pop(key, None)
            elif entity is not None:
                entities[key] = entity.attributes
                behind.append((reference, key))
        for reference, key in behind:
            attributes = entities.get(key, _NOTHING)
            names = [name for name in reference.attributes if attributes.get(name) is not None]
            found += [Found(f"{reference.path}.", name, attributes[name]) for name in names]
        return request


_NOTHING: Final[Attributes] = {}
_values_of: Final = attrgetter(*Request.__slots__)
_SETTERS: Final = tuple(getattr(Request, name).__set__ for name in Request.__slots__)


def _changed(request: Request, changes: Mapping[str, Any]) -> Request:
    """Return a request with other parts. The directory checks what it takes: nothing is checked again."""
    copy = object.__new__(Request)
    for set_, value in zip(_SETTERS, _values_of(request), strict=True):  # a tenth of the time of the constructor
        set_(copy, value)
    for name, value in changes.items():
        object.__setattr__(copy, name, value)
    return copy


def _is_left_out(value: object) -> bool:
    """Say whether a tool's hint, or its tags, were not given."""
    return value is None or value in ((), [])


def _tenant_of(reference: Reference, request: Request) -> str:
    if reference.root == "resource" and request.resource is not None:
        return request.resource.tenant
    return request.tenant


def _texts(values: object) -> tuple[str, ...] | None:
    """Return the members of a list of strings, None for anything else."""
    if isinstance(values, (list, tuple)) and all(type(value) is str for value in values):
        return tuple(values)
    return None


def _filled(own: Attributes, entry: Attributes, where: str, found: list[Found | Supplied]) -> Attributes:
    """Return attributes with those of the entry that are not given, null counting as not given (L12)."""
    filled: dict[str, Value] | None = None
    for name, value in entry.items():
        if own.get(name) is None and value is not None:
            if filled is None:
                filled = {**own}
            filled[name] = value
            found.append(Found(where, name, value))
    return own if filled is None else filled


def _with_owner(own: Attributes, entry: known.Resource, found: list[Found | Supplied]) -> Attributes:
    """Put the directory's owner in the place of another that the request gives."""
    given, owner = own.get("owner"), entry.attributes.get("owner")
    if given is None or owner is None or (type(given) is type(owner) and given == owner):
        return own
    found.append(Found("resource.attributes.", "owner", owner, True, given))  # contradicted
    return {**own, "owner": owner}
