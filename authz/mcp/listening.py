"""Streams of changes (`subscriptions/listen`, since 2026-07-28): what the guard has asked about, and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

LISTEN: Final = "subscriptions/listen"
_KNOWN: Final = ("toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions")


def known(ctx: ServerRequestContext[Any, Any]) -> ServerRequestContext[Any, Any]:
    """Return the request without kinds of changes that an extension defines, of which the guard knows nothing.

    The server acknowledges what is left, as the protocol has it.
    """
    params = ctx.params or {}
    asked = params.get("notifications")
    if not isinstance(asked, dict):
        return ctx
    return replace(ctx, params={**params, "notifications": {name: asked[name] for name in _KNOWN if name in asked}})
