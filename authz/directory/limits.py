"""The limits of L60, for requests that have grown after they were checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from authz.errors import InvalidRequestError
from authz.model import MAX_ITEMS, MAX_TEXT, MAX_VALUES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.model import Request


class Size(NamedTuple):
    """What the limits count: values at every level, and characters of all strings together."""

    values: int = 0
    characters: int = 0

    @property
    def bytes(self) -> int:
        """Return about how much memory this takes, rather too much than too little."""
        return 200 * self.values + 4 * self.characters


def size_of_parts(parts: Iterable[Any]) -> Size:
    """Count what some objects and lists hold."""
    characters = values = 0
    waiting = [part for part in parts if part]
    for held in waiting:
        values += len(held)
        members: Iterable[Any] = held
        if type(held) is dict or isinstance(held, Mapping):
            characters += len("".join(held))
            members = held.values()
        for member in members:
            kind = type(member)
            if kind is str:
                characters += len(member)
            elif kind is dict or kind is list or kind is tuple or isinstance(member, (Mapping, list, tuple)):
                waiting.append(member)
    return Size(values, characters)


def refuse_excess(before: Request, after: Request, added: Size) -> None:
    """Refuse a request that has grown past a limit: cut, it would be another question.

    `added` is at least what was added, so that what came with the request is counted and nothing else,
    unless it comes near a limit. Raises `InvalidRequestError`.
    """
    resource = after.resource
    longest = max(len(after.roles), len(after.subject_attributes), len(_groups(after)))
    if resource is not None:
        longest = max(longest, len(resource.attributes), len(resource.ancestors))
    if after.client is not None:
        longest = max(longest, len(after.client.attributes))
    if longest > MAX_ITEMS:
        raise InvalidRequestError(
            "request", f"holds more than {MAX_ITEMS} items in one place, with what the directory adds"
        )
    held = size_of_parts(_parts(before))
    if _fits(held.values + added.values, held.characters + added.characters + _identifiers(before)):
        return
    held = size_of_parts(_parts(after))
    if not _fits(held.values, held.characters + _identifiers(after)):
        raise InvalidRequestError("request", "holds too much for one request, with what the directory adds")


def _fits(values: int, characters: int) -> bool:
    return values <= MAX_VALUES and characters <= MAX_TEXT


def _groups(request: Request) -> list[Any] | tuple[Any, ...]:
    groups = request.subject_attributes.get("groups")
    return groups if isinstance(groups, (list, tuple)) else ()


def _parts(request: Request) -> list[Any]:
    parts: list[Any] = [
        request.arguments, request.context, request.subject_attributes, request.scopes, request.roles,
    ]  # fmt: skip
    if (resource := request.resource) is not None:
        parts += (resource.attributes, resource.ancestors)
    if request.client is not None:
        parts.append(request.client.attributes)
    if request.tool_info is not None:
        parts.append(request.tool_info.tags)
    return parts


def _identifiers(request: Request) -> int:
    """Count the characters of what names something, one part at a time."""
    count = len(request.subject) + len(request.tenant) + len(request.tool)
    if (resource := request.resource) is not None:
        count += len(resource.type) + len(resource.id) + len(resource.tenant)
    if request.client is not None:
        count += len(request.client.id)
    if request.tool_info is not None:
        count += len(request.tool_info.server)
    return count
