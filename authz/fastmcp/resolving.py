"""Which tool a call runs, where its name alone does not say it.

FastMCP runs tools that no list shows (of a search, or of an app under a hashed name), and tools of several
versions, whose tags and hints may differ. A policy must see the tool that runs, by the name it is listed under.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fastmcp.server.middleware.authorization import _requested_version
from fastmcp.server.providers.addressing import parse_hashed_backend_name

from authz.fastmcp.items import tool_item
from authz.pep.messages import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmcp.server.middleware import MiddlewareContext
    from fastmcp.tools import Tool
    from mcp_types import CallToolRequestParams

    from authz.pep.catalogue import Item
    from authz.pep.guard import Guard


@dataclass(frozen=True, slots=True)
class _One:
    """A catalogue of the one tool that runs."""

    item: Item

    async def tools(self) -> Sequence[Item]:
        """Return it."""
        return [self.item]

    async def tool(self, name: str) -> Item | None:
        """Return it by its name."""
        return self.item if name == self.item.name else None


async def running_tool(context: MiddlewareContext[CallToolRequestParams]) -> Tool | None:
    """Return the tool that FastMCP will run for a call, None where it will find none."""
    assert context.fastmcp_context is not None  # FastMCP makes one for each call
    server = context.fastmcp_context.fastmcp
    found = await server.get_tool(context.message.name, _requested_version(context.message.meta))
    if found is not None:
        return found
    hashed = parse_hashed_backend_name(context.message.name)
    return None if hashed is None else await server.get_tool_by_hash(*hashed)


def about(guard: Guard, message: Message, tool: Tool, server: str) -> tuple[Guard, Message]:
    """Return a guard that knows the tool that runs, and the message under the name that policies know it by."""
    params: dict[str, Any] = {**message.params, "name": tool.name}
    return replace(guard, catalogue=_One(tool_item(tool, server))), Message(message.method, params)
