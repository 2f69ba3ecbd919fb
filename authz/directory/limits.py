"""The limits of L60, for requests that have grown after they were checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from authz.errors import InvalidRequestError
from authz.model import MAX_ITEMS, MAX_TEXT, MAX_VALUES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.model import Request


_WITHOUT_MEMBERS: Final = frozenset({int, float, bool, type(None)})


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
            elif kind in _WITHOUT_MEMBERS:
                continue
            elif kind is dict or kind is list or kind is tuple or isinstance(member, (Mapping, list, tuple)):
                waiting.append(member)
    return Size(values, characters)


def refuse_excess(before: Request, after: Request, added: Iterable[Size]) -> None:
    """Refuse a request that has grown past a limit: cut, it would be another question.

    `added` are at least what was added, so that what came with the request is counted and nothing else,
    unless it comes near a limit. Raises `InvalidRequestError`.
    """
    values, characters = _held(before)
    for size in added:
        values += size.values
        characters += size.characters
    fits = _fits(values, characters)
    if fits and values <= MAX_ITEMS:  # so no place holds more, either
        return
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
    if fits:
        return
    if not _fits(*_held(after)):
        raise InvalidRequestError("request", "holds too much for one request, with what the directory adds")


def _fits(values: int, characters: int) -> bool:
    return values <= MAX_VALUES and characters <= MAX_TEXT


def _groups(request: Request) -> list[Any] | tuple[Any, ...]:
    groups = request.subject_attributes.get("groups")
    return groups if isinstance(groups, (list, tuple)) else ()


def _held(request: Request) -> tuple[int, int]:
    """Return how many values a request holds, and how many characters with those of what names something."""
    scopes, roles = request.scopes, request.roles
    values = len(scopes) + len(roles)
    characters = len(request.subject) + len(request.tenant) + len(request.tool)
    characters += len("".join(scopes)) + len("".join(roles))
    parts: list[Any] = [request.arguments, request.context, request.subject_attributes]
    if (resource := request.resource) is not None:
        parts += (resource.attributes, resource.ancestors)
        characters += len(resource.type) + len(resource.id) + len(resource.tenant)
    if request.client is not None:
        parts.append(request.client.attributes)
        characters += len(request.client.id)
    if request.tool_info is not None:
        parts.append(request.tool_info.tags)
        characters += len(request.tool_info.server)
    if any(parts):
        held = size_of_parts(parts)
        return values + held.values, characters + held.characters
    return values, characters
