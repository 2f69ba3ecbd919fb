"""Entries as users write them: one JSON object each.

::

    {"kind": "subject", "tenant": "acme", "id": "alice", "attributes": {"grade": 3}, "groups": ["eng"]}
    {"kind": "group", "tenant": "acme", "id": "eng", "groups": ["staff"]}
    {"kind": "role_binding", "tenant": "acme", "group": "eng", "role": "editor"}
    {"kind": "resource", "tenant": "acme", "type": "document", "id": "42", "owner": "alice", "ancestors": ["folder:7"]}
    {"kind": "tool", "server": "files", "name": "read_file", "read_only": true, "tags": ["files"]}
    {"kind": "client", "id": "agent-1", "attributes": {"vendor": "example"}}

A member that is null was not given; without a tenant, an entry is in the empty one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from authz.directory.checking import MEMBERS, check_group, checked, checked_key
from authz.directory.entities import HINTS, Entity, EntityError, Key, Kind
from authz.json_form import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from authz.model import Value

    Record = Mapping[str, Any]

_TOOL_ATTRIBUTES: Final = (*HINTS, "tags", "input_schema")
_KNOWN: Final = {
    Kind.SUBJECT: frozenset({"kind", "tenant", "id", "attributes", "groups"}),
    Kind.GROUP: frozenset({"kind", "tenant", "id", "attributes", "groups"}),
    Kind.ROLE_BINDING: frozenset({"kind", "tenant", "subject", "group", "role"}),
    Kind.RESOURCE: frozenset({"kind", "tenant", "type", "id", "owner", "attributes", "ancestors"}),
    Kind.TOOL: frozenset({"kind", "tenant", "server", "name", *_TOOL_ATTRIBUTES}),
    Kind.CLIENT: frozenset({"kind", "tenant", "id", "attributes"}),
}
MEMBERS_OF_RECORDS: Final = frozenset().union(*_KNOWN.values())
"""The names of all members that any record may have."""


class Defaults(NamedTuple):
    """What is meant where an entry does not say it; with a tenant, those of other tenants are refused."""

    kind: Kind | None = None
    tenant: str | None = None


_NO_DEFAULTS: Final = Defaults()


def entity_from_record(record: object, defaults: Defaults = _NO_DEFAULTS, *, plain: bool = False) -> Entity:
    """Return the entry that a record describes. Raises `EntityError`, naming the member that is wrong.

    `plain` says that whatever strings and numbers there are in the record, and however they are
    nested, they are within all limits; then only its shape is checked.
    """
    if not isinstance(record, dict):
        raise EntityError("", "", "must be an object")
    name = record.get("kind")
    if name is None:
        name = defaults.kind
    shape = _SHAPES.get(name) if isinstance(name, str) else None
    if shape is None:
        raise EntityError("", "kind", f"must be one of {', '.join(_SHAPES)}")
    kind, known, read = shape
    if not known.issuperset(record):
        unknown = next(member for member in record if member not in known)
        raise EntityError(kind, shown(unknown), f"is no member of a {kind.replace('_', ' ')}")
    tenant = record.get("tenant")
    if type(tenant) is not str or defaults.tenant is not None:
        tenant = _tenant(kind, tenant, defaults.tenant)
    entity = read(kind, record, tenant)
    return entity if plain else checked(entity)


def key_of(kind: Kind, type_: str, id_: str, tenant: str) -> Key:
    """Return a valid key. Raises `EntityError`."""
    return checked_key(Key(kind, type_, id_, tenant))


def record_of(entity: Entity) -> dict[str, Value]:
    """Return the record that `entity_from_record` reads as this entry."""
    kind, type_, id_, tenant = entity.key
    record: dict[str, Value] = {"kind": kind.value, "tenant": tenant}
    attributes = entity.attributes
    type_name, id_name, within_name = MEMBERS[kind]
    if kind is Kind.ROLE_BINDING:
        principal, _, name = type_.partition(":")
        record[principal] = name
    elif type_name:
        record[type_name] = type_
    record[id_name] = id_
    if kind is Kind.TOOL:
        return record | dict(attributes)
    if kind is Kind.RESOURCE and isinstance(attributes.get("owner"), str):
        attributes = dict(attributes)
        record["owner"] = attributes.pop("owner")
    if attributes:
        record["attributes"] = attributes
    if entity.within:
        record[within_name] = list(entity.within)
    return record


def _tenant(kind: Kind, tenant: object, only: str | None) -> str:
    if tenant is None:
        return only or ""
    if not isinstance(tenant, str):
        raise EntityError(kind, "tenant", "must be a string")
    if only is not None and tenant != only:
        raise EntityError(kind, "tenant", f"is `{shown(tenant)}`, and only entries of `{shown(only)}` are taken")
    return tenant


def _person(kind: Kind, record: Record, tenant: str) -> Entity:
    within = _texts(kind, record, "groups")
    if "" in within:
        raise EntityError(kind, f"groups[{within.index('')}]", "must not be empty")
    for index, group in enumerate(within):
        check_group(kind, f"groups[{index}]", group)
    id_ = _name(kind, record, "id")
    if kind is Kind.GROUP:
        check_group(kind, "id", id_)
    return Entity(Key(kind, "", id_, tenant), _attributes(kind, record), within)


def _client(kind: Kind, record: Record, tenant: str) -> Entity:
    return Entity(Key(kind, "", _name(kind, record, "id"), tenant), _attributes(kind, record))


def _resource(kind: Kind, record: Record, tenant: str) -> Entity:
    type_ = _name(kind, record, "type")
    if ":" in type_:
        raise EntityError(kind, "type", "must not hold a colon")
    attributes = _attributes(kind, record)
    owner = record.get("owner")
    if owner is not None:
        if not isinstance(owner, str):
            raise EntityError(kind, "owner", "must be a string")
        if attributes.get("owner", owner) != owner:
            raise EntityError(kind, "owner", "contradicts `attributes.owner`")
        attributes = {**attributes, "owner": owner}
    within = _texts(kind, record, "ancestors")
    for ancestor in within:
        if not 0 < ancestor.find(":") < len(ancestor) - 1:
            index = within.index(ancestor)
            raise EntityError(kind, f"ancestors[{index}]", "must be an entity, such as `folder:7`")
    return Entity(Key(kind, type_, _name(kind, record, "id"), tenant), attributes, within)


def _role_binding(kind: Kind, record: Record, tenant: str) -> Entity:
    given = [name for name in ("subject", "group") if record.get(name) is not None]
    if len(given) != 1:
        raise EntityError(kind, "subject", "or `group` must be given, and not both")
    name = _name(kind, record, given[0])
    if given[0] == "group":
        check_group(kind, "group", name)
    principal = f"{given[0]}:{name}"
    return Entity(Key(kind, principal, _name(kind, record, "role"), tenant))


def _tool(kind: Kind, record: Record, tenant: str) -> Entity:
    attributes = {name: record[name] for name in _TOOL_ATTRIBUTES if record.get(name) is not None}
    server = record.get("server")
    if server is not None and not isinstance(server, str):
        raise EntityError(kind, "server", "must be a string")
    # What is in a tool's attributes has types of its own, so it is never plain.
    return checked(Entity(Key(kind, server or "", _name(kind, record, "name"), tenant), attributes))


_Reader: TypeAlias = "Callable[[Kind, Record, str], Entity]"
_READERS: Final[Mapping[Kind, _Reader]] = {
    Kind.SUBJECT: _person,
    Kind.GROUP: _person,
    Kind.ROLE_BINDING: _role_binding,
    Kind.RESOURCE: _resource,
    Kind.TOOL: _tool,
    Kind.CLIENT: _client,
}
_SHAPES: Final = {kind.value: (kind, _KNOWN[kind], read) for kind, read in _READERS.items()}


def _name(kind: Kind, record: Record, member: str) -> str:
    value = record.get(member)
    if type(value) is str and value:
        return value
    problem = "must not be empty" if value == "" else "is missing" if value is None else "must be a string"
    raise EntityError(kind, member, problem)


def _attributes(kind: Kind, record: Record) -> dict[str, Value]:
    value = record.get("attributes")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise EntityError(kind, "attributes", "must be an object")
    return value


def _texts(kind: Kind, record: Record, member: str) -> tuple[str, ...]:
    value = record.get(member)
    if value is None:
        return ()
    texts = tuple(value) if type(value) is list else (None,)
    for text in texts:
        if type(text) is not str:
            raise EntityError(kind, member, "must be a list of strings")
    return texts
