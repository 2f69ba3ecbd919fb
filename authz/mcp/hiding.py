"""Keep the SDK's checks before the middleware from telling denied tools and unknown ones apart.

On the 2026-07-28 wire the SDK compares headers (`Mcp-Param-*`) with a tool's arguments before any
middleware runs, by the tool's schema. Only for a call that the gate has allowed there is a schema then;
for all others it is as if the tool did not exist, and the answer is the guard's.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from authz.pep.http.admission import admitted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp.server.lowlevel import Server
    from starlette.types import ASGIApp, Receive, Scope, Send

_ALLOWED: Final[ContextVar[bool]] = ContextVar("authz_mcp_allowed", default=False)


def hide_schemas(server: Server[Any]) -> None:
    """Let the server's schemas be looked up for allowed calls only."""
    lookup = server.get_tool_input_schema
    if lookup is None:
        return  # the SDK asks the list of tools instead, through the middleware

    def hidden(name: str, lookup: Callable[[str], Mapping[str, Any] | None] = lookup) -> Mapping[str, Any] | None:
        return lookup(name) if _ALLOWED.get() else None

    server.get_tool_input_schema = hidden


class NotesAllowed:
    """Notes for the time of a request whether the gate has allowed it; stands between the gate and the SDK."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before this app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        entry = admitted(scope)
        token = _ALLOWED.set(entry is not None and entry.verdict is not None and entry.verdict.allowed)
        try:
            await self._app(scope, receive, send)
        finally:
            _ALLOWED.reset(token)
