"""Servers on the SDK's low-level `Server`, which keeps no tools of its own (issue 5, item 3)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    Tool,
    ToolAnnotations,
)

from authz.mcp import protect_local
from authz.mcp.catalogue import KEPT, ListedTools
from authz.pep.config import Stdio
from authz.pep.pdp import PdpError
from tests.mcp.test_http import request
from tests.mcp.world import ALICE, WIRES, guarded, names, refused, settings

if TYPE_CHECKING:
    from pathlib import Path

    from mcp.server.context import ServerRequestContext

POLICY = """
role "viewer"
tool "*" {
  allow role "viewer" when tool.read_only == true
}
"""
"""What decides is a hint, which the call does not say."""

PAGES = {None: (["look", "touch"], "2"), "2": (["peek"], None)}
"""The tools of each page, and the cursor of the next."""


class Documents:
    """A server whose list has two pages, and counts how often it is asked for."""

    def __init__(self) -> None:
        """Begin to count."""
        self.lists: list[str] = []
        """Whether a list was asked for by a client, or by nobody."""
        self.server: Server[Any] = Server("documents", on_list_tools=self.listed, on_call_tool=self.called)

    async def listed(
        self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """Return a page."""
        self.lists.append("nobody" if ctx.request_id is None else "client")
        found, cursor = PAGES[params.cursor if params is not None else None]
        schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
        tools = [
            Tool(name=name, input_schema=schema, annotations=ToolAnnotations(read_only_hint=name != "touch"))
            for name in found
        ]
        return ListToolsResult(tools=tools, next_cursor=cursor, _meta={"kept": name_of(cursor)})

    async def called(self, ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        """Do nothing."""
        return CallToolResult(content=[])


def name_of(cursor: str | None) -> str:
    """Say which page this is."""
    return "first" if cursor else "last"


@pytest.mark.parametrize("wire", WIRES)
async def test_hints_come_from_the_servers_own_list(tmp_path: Path, wire: str) -> None:
    """R21, issue 5, item 5: a call does not say what its tool is; the server does."""
    documents = Documents()
    protect_local(documents.server, settings(tmp_path, POLICY, stdio=ALICE, mapping=()))
    async with Client(documents.server, mode=WIRES[wire]) as client:
        assert not (await client.call_tool("peek", {})).is_error
        for tool in ("touch", "no_such_tool"):
            with pytest.raises(MCPError) as raised:
                await client.call_tool(tool, {})
            assert refused(raised.value)[0] == -32001


@pytest.mark.parametrize("wire", WIRES)
async def test_pages_stay_pages(tmp_path: Path, wire: str) -> None:
    """R14, R15: items are left out of the page that they are on; cursors and all else are the server's."""
    documents = Documents()
    protect_local(documents.server, settings(tmp_path, POLICY, stdio=ALICE, mapping=()))
    async with Client(documents.server, mode=WIRES[wire]) as client:
        first = await client.list_tools()
        last = await client.list_tools(cursor=first.next_cursor)
    assert ([tool.name for tool in first.tools], first.next_cursor) == (["look"], "2")
    assert ([tool.name for tool in last.tools], last.next_cursor) == (["peek"], None)
    assert (first.meta or {})["kept"] == "first"


async def test_the_sdks_look_at_a_schema_is_no_list_of_anybodys(tmp_path: Path) -> None:
    """Issue 5, item 3: headers are compared for an allowed call, and tell nothing of a denied one."""
    documents = Documents()
    async with guarded(tmp_path, documents.server, POLICY, mapping=()) as world:
        codes = {}
        for name in ("look", "touch", "no_such_tool"):
            body = json.dumps(request("tools/call", {"name": name, "arguments": {"region": "eu"}}))
            headers = {"Mcp-Method": "tools/call", "Mcp-Name": name}
            answer = await world.post(body, world.token("alice"), **headers)
            codes[name] = answer.json()["error"]["code"]
        async with world.client("alice") as client:
            assert await names(client) == ["look"]
    assert codes == {"look": -32020, "touch": -32001, "no_such_tool": -32001}


async def test_a_list_that_only_somebody_gets_is_no_catalogue(tmp_path: Path) -> None:
    """Issue 5: what the guard cannot know it does not guess; the server's maker is told what to do."""

    async def listed(ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[Tool(name=ctx.session.protocol_version, input_schema={"type": "object"})])

    server: Server[Any] = Server("documents", on_list_tools=listed, on_call_tool=Documents().called)
    with pytest.raises(PdpError, match="pass `catalogue=`"):
        await ListedTools(server, "documents").tool("look")
    protect_local(server, settings(tmp_path, POLICY, stdio=ALICE, mapping=()))
    async with Client(server, mode="2026-07-28") as client:
        for ask in (client.list_tools(), client.call_tool("look", {})):
            with pytest.raises(MCPError) as raised:
                await ask
            assert raised.value.error.code == -32603


async def test_tools_are_asked_for_again_after_a_while() -> None:
    """Issue 5, item 3: a low-level server does not say that its tools have changed."""
    documents = Documents()
    now = 0.0
    tools = ListedTools(documents.server, "documents", clock=lambda: now)
    for _ in range(3):
        assert [item.name for item in await tools.tools()] == ["look", "touch", "peek"]
    assert documents.lists == ["nobody"] * 2
    now += KEPT
    assert (await tools.tool("touch")) is not None
    assert documents.lists == ["nobody"] * 4


async def test_a_server_without_tools_has_none(tmp_path: Path) -> None:
    """Issue 5, item 3: nothing to list is nothing to call."""
    server: Server[Any] = Server("empty")
    protect_local(server, settings(tmp_path, POLICY, stdio=Stdio("alice"), mapping=()))
    async with Client(server, mode="2026-07-28") as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("look", {})
    assert raised.value.error.code == -32601
