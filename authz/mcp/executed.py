"""Whether what the gate decided about is what the SDK is about to execute."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from authz.mcp.catalogue import RegisteredTools
from authz.pep.messages import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.pep.catalogue import Catalogue

_ASIDE: Final = "requestState"
"""A parameter that no question holds, and that the SDK replaces: it opens the state that it sealed before."""
_MAY_BE: Final = re.compile(r"[ \t\r\n]*[\[{n]").match
"""Whether a text can be a list, an object or `null`, which is all that the SDK looks for."""


def as_run(message: Message, catalogue: Catalogue) -> Message:
    """Return a call of a tool with its arguments as the tool gets them.

    An `MCPServer` takes text for the JSON that it may be, wherever a parameter is not just text: to
    `name: str | None`, `"null"` is nothing at all.
    """
    arguments, tool = message.params.get("arguments"), message.params.get("name")
    if message.method != "tools/call" or not isinstance(arguments, dict) or not isinstance(catalogue, RegisteredTools):
        return message
    if not isinstance(tool, str) or not any(isinstance(value, str) and _MAY_BE(value) for value in arguments.values()):
        return message
    return Message(message.method, {**message.params, "arguments": catalogue.as_run(tool, arguments)})


def same(one: Message, other: Message) -> bool:
    """Say whether two messages mean the same, value by value: 1, 1.0 and true are three values."""
    return one.method == other.method and equal(_asked(one.params), _asked(other.params))


def equal(one: Any, other: Any) -> bool:  # noqa: ANN401  # JSON, as two readers of it have read it
    """Say whether two JSON values are the same."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def _asked(params: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: params[name] for name in params if name != _ASIDE} if _ASIDE in params else params
