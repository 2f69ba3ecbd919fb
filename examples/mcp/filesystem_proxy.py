"""A guard in front of a server that others wrote: the filesystem server from npm, behind a small proxy.

What the guard lets through goes on to that server. Serve it with `uvicorn filesystem_proxy:app`.
"""

from __future__ import annotations

import os
import shlex
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mcp import Client, MCPError, StdioServerParameters, types
from mcp.server import Server, ServerRequestContext

from authz.mcp import protect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GUARD: Final = Path(os.environ.get("GUARD", Path(__file__).parent / "guard.toml"))
FILES: Final = os.environ.get("FILES", "/srv/files")
COMMAND: Final = shlex.split(os.environ.get("FILESYSTEM_SERVER", "npx -y @modelcontextprotocol/server-filesystem"))
PASSED_ON: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS")
"""Of this process's environment, beside HOME, PATH and the like: how npx gets to its registry. No secrets of ours."""
PATIENCE: Final = 60.0
"""Seconds that the filesystem server may take to answer; the first time, npx has to fetch it."""


class Upstream:
    """The filesystem server: a process of this one's, which knows nothing of callers and gets no tokens."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._client: Client | None = None

    @asynccontextmanager
    async def running(self, _server: Server[Any]) -> AsyncIterator[None]:
        """Start it, and end it with this server."""
        environment = {name: value for name, value in os.environ.items() if name.upper() in PASSED_ON}
        parameters = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], FILES], env=environment)
        async with Client(parameters, mode="legacy", read_timeout_seconds=PATIENCE) as client:
            self._client = client
            try:
                yield
            finally:
                self._client = None

    # The guard asks for the tools too, on nobody's behalf, and knows them by this list.
    async def list_tools(
        self, _context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        """Ask it for its tools."""
        return await self._connected().list_tools(cursor=params.cursor if params is not None else None)

    async def call_tool(
        self, _context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        """Have it do what the guard has let through."""
        return await self._connected().call_tool(params.name, params.arguments, read_timeout_seconds=PATIENCE)

    def _connected(self) -> Client:
        if self._client is None:
            raise MCPError(types.INTERNAL_ERROR, "the filesystem server does not run")
        return self._client


upstream = Upstream()
server = Server(
    "filesystem", lifespan=upstream.running, on_list_tools=upstream.list_tools, on_call_tool=upstream.call_tool
)
app = protect(server, GUARD)
