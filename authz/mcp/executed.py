"""Whether what the gate decided about is what the SDK is about to execute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.pep.messages import Message

_ASIDE: Final = "requestState"
"""A parameter that no question holds, and that the SDK replaces: it opens the state that it sealed before."""


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
