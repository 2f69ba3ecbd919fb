"""Write a request so that it can be decided again, exactly as it was decided, and read it back.

The form is canonical: what is empty is left out, and what is a set is sorted and without doubles,
so that two spellings of one question come out alike.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from authz.errors import InvalidRequestError
from authz.json_form.requests import part_name, request_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from authz.model import Attributes, Client, Request, Resource, ToolInfo

_RECORDED: Final = ("check", "now", "entities")
_ENTITY: Final = ("type", "id", "attributes")
_MAX_ENTITIES: Final = 10_000


def request_to_json(request: Request) -> dict[str, object]:  # noqa: C901  # a field each
    """Return the JSON form of the CheckRequest that asks this: `request_from_json` reads it back.

    The time and the entities that references lead to are no part of a CheckRequest. Attributes are
    those of the request and no copies: write the form down, and change nothing in it.
    """
    form: dict[str, object] = {}
    if request.subject:
        form["subject"] = request.subject
    if request.scopes:
        form["scopes"] = _set(request.scopes)
    if request.roles:
        form["roles"] = _set(request.roles)
    if request.tenant:
        form["tenant"] = request.tenant
    form["tool"] = request.tool
    if request.resource is not None:
        form["resource"] = _resource(request.resource)
    if request.arguments:
        form["arguments"] = _object(request.arguments)
    if request.context:
        form["context"] = _object(request.context)
    if request.subject_attributes:
        form["subject_attributes"] = _object(request.subject_attributes)
    if request.client is not None:
        form["client"] = _client(request.client)
    if request.tool_info is not None:
        form["tool_info"] = _tool_info(request.tool_info)
    if request.unknown:
        form["unknown"] = sorted(part_name(part) for part in request.unknown)
    if request.anonymous:
        form["anonymous"] = True
    return form


def recorded_to_json(request: Request) -> dict[str, object]:
    """Return a request with all that its decision rests on.

    `check` is the JSON form of the CheckRequest; `now` the time, if the request has one;
    `entities` those that references lead to, sorted by type and id.
    """
    form: dict[str, object] = {"check": request_to_json(request)}
    if request.now is not None:
        form["now"] = request.now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if request.entities:
        form["entities"] = [
            {"type": type_, "id": id_, "attributes": _object(attributes)}
            for (type_, id_), attributes in sorted(request.entities.items(), key=lambda entity: entity[0])
        ]
    return form


def request_from_recorded(value: object, *, now: datetime | None = None) -> Request:
    """Return the request that `recorded_to_json` has written; `now` stands in for a time that is not there.

    Raises `InvalidRequestError`, naming the field, for anything else.
    """
    form = _members("request", value, _RECORDED)
    time = form.get("now")
    request = request_from_json(form.get("check"), now=_time(time) if time is not None else now)
    if (entities := form.get("entities")) is not None:
        # The request is not shared yet; its constructor never checks what only the directory supplies.
        object.__setattr__(request, "entities", _entities(entities))
    return request


def _set(texts: Sequence[str]) -> list[str]:
    return sorted(set(texts))


def _object(attributes: Attributes) -> dict[str, object]:
    """Return attributes as an object of JSON, shared where they are one already: every record pays for a copy."""
    return attributes if type(attributes) is dict else dict(attributes)


def _resource(resource: Resource) -> dict[str, object]:
    form: dict[str, object] = {}
    if resource.type:
        form["type"] = resource.type
    if resource.id:
        form["id"] = resource.id
    if resource.tenant:
        form["tenant"] = resource.tenant
    if resource.attributes:
        form["attributes"] = _object(resource.attributes)
    if resource.ancestors:
        form["ancestors"] = _set(resource.ancestors)
    return form


def _client(client: Client) -> dict[str, object]:
    form: dict[str, object] = {}
    if client.id:
        form["id"] = client.id
    if client.attributes:
        form["attributes"] = _object(client.attributes)
    return form


def _tool_info(info: ToolInfo) -> dict[str, object]:
    form: dict[str, object] = {}
    if info.server:
        form["server"] = info.server
    if info.tags:
        form["tags"] = _set(info.tags)
    for name in ("read_only", "destructive", "idempotent", "open_world"):
        if (hint := getattr(info, name)) is not None:
            form[name] = hint
    return form


def _time(value: object) -> datetime:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InvalidRequestError("now", "must be a time as in RFC 3339")
    return time


def _entities(value: object) -> Mapping[tuple[str, str], Attributes]:
    if not isinstance(value, list) or len(value) > _MAX_ENTITIES:
        raise InvalidRequestError("entities", f"must be a list of at most {_MAX_ENTITIES} items")
    found: dict[tuple[str, str], Attributes] = {}
    for index, item in enumerate(value):
        where = f"entities[{index}]"
        entity = _members(where, item, _ENTITY)
        type_, id_, attributes = (entity.get(name) for name in _ENTITY)
        if not (isinstance(type_, str) and isinstance(id_, str) and isinstance(attributes, dict)):
            raise InvalidRequestError(where, "must have the strings `type` and `id`, and an object `attributes`")
        found[type_, id_] = attributes
    return found


def _members(where: str, value: object, known: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InvalidRequestError(where, "must be an object")
    if any(name not in known for name in value):
        raise InvalidRequestError(where, f"may hold nothing but {', '.join(f'`{name}`' for name in known)}")
    return value
