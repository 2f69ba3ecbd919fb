"""A guard in front of a server that others wrote: the filesystem server from npm, behind a small proxy.

Every message goes on to that server, if the guard lets it through. Serve it with `uvicorn filesystem_proxy:app`.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mcp import Client, StdioServerParameters, types
from mcp.server import Server, ServerRequestContext

from authz.mcp import protect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GUARD: Final = Path(os.environ.get("GUARD", Path(__file__).parent / "guard.toml"))
FILES: Final = os.environ.get("FILES", "/srv/files")
COMMAND: Final = os.environ.get("FILESYSTEM_SERVER", "npx -y @modelcontextprotocol/server-filesystem").split()


@asynccontextmanager
async def upstream(_server: Server[Any]) -> AsyncIterator[Client]:
    """Start the filesystem server, and end it with this one."""
    async with Client(StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], FILES])) as client:
        yield client


async def list_tools(
    context: ServerRequestContext[Client], params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    """Ask the filesystem server for its tools."""
    return await context.lifespan_context.list_tools(cursor=params.cursor if params is not None else None)


async def call_tool(
    context: ServerRequestContext[Client], params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    """Have the filesystem server do it."""
    return await context.lifespan_context.call_tool(params.name, params.arguments)


server = Server("filesystem", lifespan=upstream, on_list_tools=list_tools, on_call_tool=call_tool)
app = protect(server, GUARD)
