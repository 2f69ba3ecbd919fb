"""The look at a tool's schema that the SDK takes before a call on the 2026-07-28 wire.

It compares headers (`Mcp-Param-*`) with arguments, and takes the schema from a list of all tools that it
makes for every call with arguments. Here it finds the one tool at once, and only for a call that
the gate has allowed: every other call looks like one of a tool that does not exist, until the guard answers it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastmcp.server.http import _current_http_request

from authz.fastmcp.callers import gate_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from authz.fastmcp.catalogue import ServerCatalogue
    from authz.pep.opening import Protection


def schemas_of(catalogue: ServerCatalogue, protection: Protection) -> Callable[[str], Mapping[str, Any] | None]:
    """Return what looks up schemas of tools, for the request that is being handled."""

    def look(name: str) -> Mapping[str, Any] | None:
        request = _current_http_request.get()
        verdict = None if request is None else gate_verdict(request.scope, protection)
        if verdict is None or not verdict.allowed or verdict.message.params.get("name") != name:
            return None
        # The gate has just asked for this tool, so it is remembered.
        item = catalogue.remembered(name)
        return None if item is None else item.schema

    return look
