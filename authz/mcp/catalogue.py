"""The tools of an SDK server as the guard sees them: taken from the server itself, whoever may use them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp_types import ListToolsResult, PaginatedRequestParams, Tool
from mcp_types.version import LATEST_MODERN_VERSION

from authz.pep.catalogue import Catalogue, Item, tool_item
from authz.pep.pdp import PdpError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcp.server.lowlevel import Server
    from mcp.server.mcpserver.tools import Tool as RegisteredTool

KEPT: Final = 5.0
"""Seconds for which the tools of a low-level server, which says nothing of changes, are not asked for again."""
MOST_PAGES: Final = 100
_UNKNOWN: Final = "the server's own list of tools cannot be had: pass `catalogue=`"


def catalogue_of(server: MCPServer[Any] | Server[Any], name: str) -> Catalogue:
    """Return the tools of a server; `name` is what policies call it (`tool.server`)."""
    return RegisteredTools(server, name) if isinstance(server, MCPServer) else ListedTools(server, name)


class RegisteredTools:
    """The tools that an `MCPServer` holds. A tool that was replaced is seen at the next call."""

    def __init__(self, server: MCPServer[Any], name: str) -> None:
        """Look at the tools of this server."""
        # Its public list builds every tool anew; a look at one tool must cost next to nothing.
        self._tools = server._tool_manager  # noqa: SLF001
        self._name = name
        self._seen: dict[str, tuple[RegisteredTool, Item]] = {}

    async def tools(self) -> Sequence[Item]:
        """Return all tools."""
        listed = self._tools.list_tools()
        if len(self._seen) > 2 * len(listed):
            self._seen.clear()  # of tools that are no more
        return [self._item(tool) for tool in listed]

    async def tool(self, name: str) -> Item | None:
        """Return one tool."""
        found = self._tools.get_tool(name)
        return None if found is None else self._item(found)

    def as_run(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return arguments as a tool gets them: the SDK reads text as JSON before it looks at the schema."""
        found = self._tools.get_tool(name)
        return arguments if found is None else found.fn_metadata.pre_parse_json(arguments)

    def _item(self, tool: RegisteredTool) -> Item:
        seen = self._seen.get(tool.name)
        if seen is not None and seen[0] is tool:
            return seen[1]
        shown = {"name": tool.name, "annotations": _dumped(tool.annotations), "inputSchema": tool.parameters}
        item = tool_item(shown, self._name)
        self._seen[tool.name] = (tool, item)
        return item


class ListedTools:
    """The tools that the `tools/list` handler of a low-level `Server` returns when nobody in particular asks.

    A handler that needs to know who asks cannot answer; then there are no decisions, and the server
    has to be protected with a catalogue of its own.
    """

    def __init__(self, server: Server[Any], name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask this server."""
        self._server = server
        self._name = name
        self._clock = clock
        self._until = float("-inf")
        self._items: dict[str, Item] = {}

    async def tools(self) -> Sequence[Item]:
        """Return all tools. Raises `PdpError` when they cannot be had."""
        if self._clock() >= self._until:
            self._items = await self._listed()
            self._until = self._clock() + KEPT
        return list(self._items.values())

    async def tool(self, name: str) -> Item | None:
        """Return one tool. Raises `PdpError` as above."""
        if self._clock() >= self._until:
            await self.tools()
        return self._items.get(name)

    async def _listed(self) -> dict[str, Item]:
        entry = self._server.get_request_handler("tools/list")
        found: dict[str, Item] = {}
        cursor: str | None = None
        for _ in range(MOST_PAGES if entry is not None else 0):
            assert entry is not None
            try:
                page = await entry.handler(_nobody(), PaginatedRequestParams(cursor=cursor))
            except Exception as error:
                raise PdpError(_UNKNOWN) from error
            if not isinstance(page, ListToolsResult):
                raise PdpError(_UNKNOWN)
            for tool in page.tools:
                found[tool.name] = tool_item(_shown(tool), self._name)
            cursor = page.next_cursor
            if cursor is None:
                break
        return found


def _nobody() -> ServerRequestContext[Any, Any]:
    """Return the context of a request that nobody sent: without session, lifespan and HTTP request."""
    nothing: Any = None
    return ServerRequestContext(
        session=nothing, lifespan_context=nothing, protocol_version=LATEST_MODERN_VERSION, method="tools/list"
    )


def _shown(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "annotations": _dumped(tool.annotations), "inputSchema": tool.input_schema}


def _dumped(annotations: Any) -> dict[str, Any]:  # noqa: ANN401  # a model of the SDK's, or nothing
    return {} if annotations is None else annotations.model_dump(by_alias=True, exclude_none=True)
