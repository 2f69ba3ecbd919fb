"""What each MCP message means to a guard: one table (COAZ-MCP draft 1, "Default Mappings", "Pass-through Operations").

It differs from that draft where it says so: a tool is asked about by its own name, so that a policy
says `tool "read_file"`, and lists are filtered item by item instead of being asked about as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from authz.errors import InvalidRequestError
from authz.pep.uris import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.model import Attributes


@dataclass(frozen=True, slots=True)
class Message:
    """A request of the MCP client, as the server will act on it."""

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)


class Treatment(Enum):
    """What a guard does with a message."""

    PASS = "pass"  # noqa: S105  # no password
    """Let it go on without asking."""
    FILTER = "filter"
    """Let it go on, and leave out of the result what the caller may not use."""
    TOOL = "tool"
    """Ask about the tool that it calls."""
    TARGET = "target"
    """Ask about the method, on what it names."""
    DENY = "deny"
    """Deny it: nobody knows what it does."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a message touches where its method has a resource: `tool` is what policies call it."""

    tool: str
    type: str
    id: str


LISTS: Final = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
"""Lists that are filtered, and the member of their result that holds the items."""

_PASSED: Final = frozenset({"ping", "initialize", "server/discover"})
"""COAZ-MCP asks about `initialize` too; here a server that lists nothing to a caller tells it nothing."""
_SERVER: Final = frozenset({"logging/setLevel", "tasks/list"})
_RESOURCES: Final = frozenset({"resources/read", "resources/subscribe", "resources/unsubscribe"})
_LISTEN: Final = "subscriptions/listen"
_TASKS: Final = frozenset({"tasks/get", "tasks/result", "tasks/cancel", "tasks/update"})


def treatment(method: str) -> Treatment:
    """Return what to do with a message; of a method that is not in the table nothing is known."""
    if method in _PASSED or method.startswith("notifications/"):
        return Treatment.PASS
    if method in LISTS:
        return Treatment.FILTER
    if method == "tools/call":
        return Treatment.TOOL
    if method in _SERVER | _RESOURCES | _TASKS | {"prompts/get", "completion/complete", _LISTEN}:
        return Treatment.TARGET
    return Treatment.DENY


def tool_call(message: Message) -> tuple[str, Attributes]:
    """Return the tool that a `tools/call` names, and its arguments. Raises `InvalidRequestError`."""
    arguments = message.params.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise InvalidRequestError("arguments", "must be an object")
    return _text(message.params, "name"), arguments or {}


def targets(message: Message, server: str) -> tuple[Target, ...]:
    """Return all that any other message touches; none where it only asks to hear that lists have changed.

    `server` is this server's identifier. Raises `InvalidRequestError`, naming the parameter that is
    missing or no text.
    """
    method, params = message.method, message.params
    if method in _RESOURCES:
        return _resources(method, _text(params, "uri"))
    if method == _LISTEN:
        return tuple(one for uri in _subscribed(params) for one in _resources("resources/subscribe", uri))
    if method in _SERVER:
        return (Target(method, "mcp_server", server),)
    if method in _TASKS:
        return (Target(method, "task", _text(params, "taskId")),)
    if method == "prompts/get":
        return (Target(method, "prompt", _text(params, "name")),)
    reference = params.get("ref")
    if not isinstance(reference, dict):
        raise InvalidRequestError("ref", "must be an object")
    if reference.get("type") == "ref/prompt":
        return (Target(method, "prompt", _text(reference, "name")),)
    return (Target(method, "resource", _text(reference, "uri")),)  # mostly a template, which is no URI yet


def _resources(method: str, uri: str) -> tuple[Target, ...]:
    """Return a resource under each of the spellings that must be allowed."""
    return tuple(Target(method, "resource", one) for one in spellings(uri))


def _subscribed(params: Mapping[str, Any]) -> list[str]:
    filtered = params.get("notifications")
    given = filtered.get("resourceSubscriptions") if isinstance(filtered, dict) else None
    if given is not None and not isinstance(given, list):
        raise InvalidRequestError("resourceSubscriptions", "must be a list")
    return [_text({"uri": uri}, "uri") for uri in given or ()]


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequestError(name, "must be a text that is not empty")
    return value
