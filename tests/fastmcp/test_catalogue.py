"""What the guard knows of a FastMCP server's tools, and when it looks again (issue 5, item 3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from fastmcp import Client, FastMCP
from fastmcp.server import create_proxy
from fastmcp.server.auth import require_scopes
from fastmcp.server.providers import Provider
from fastmcp.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import ToolAnnotations

from authz.fastmcp import ServerCatalogue
from authz.fastmcp.catalogue import KEPT, surveying
from authz.pep.pdp import PdpError
from tests.fastmcp.world import local, names
from tests.mcp.world import ALICE, refused
from tests.oauth.support import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def _nothing() -> None:
    """Do nothing."""


class Remote(Provider):
    """Tools from elsewhere, of whose changes nobody hears."""

    def __init__(self, *tools: str) -> None:
        """Offer these."""
        super().__init__()
        self.offered = list(tools)
        self.listed = 0
        self.wait: asyncio.Event | None = None
        self.error: Exception | None = None

    async def _list_tools(self) -> Sequence[Tool]:
        self.listed += 1
        if self.wait is not None:
            await self.wait.wait()
        if self.error is not None:
            raise self.error
        return [Tool.from_function(_nothing, name=name) for name in self.offered]


def with_remote(*tools: str) -> tuple[FastMCP[Any], Remote]:
    """Return a server with nothing but tools from elsewhere."""
    server: FastMCP[Any] = FastMCP("outer")
    server.provider_error_strategy = "raise"
    remote = Remote(*tools)
    server.add_provider(remote)
    return server, remote


async def known(catalogue: ServerCatalogue) -> list[str]:
    """Return the names of all tools."""
    return [item.name for item in await catalogue.tools()]


async def test_all_tools_are_there_whoever_may_use_them() -> None:
    """Issue 5, item 5: neither FastMCP's own checks nor a caller's session make a difference."""
    server: FastMCP[Any] = FastMCP("files")

    @server.tool(auth=require_scopes("nobody:has"), tags={"b", "a"}, annotations=ToolAnnotations(read_only_hint=True))
    def secret(path: str) -> str:
        """Keep a secret."""
        return path

    (item,) = await ServerCatalogue(server, "files").tools()
    assert item.info is not None
    assert (item.name, item.info.server, item.info.tags, item.info.read_only) == ("secret", "files", ("a", "b"), True)
    assert (item.info.destructive, item.info.idempotent, item.info.open_world) == (None, None, None)
    assert list(item.schema["properties"]) == ["path"]


async def test_it_lists_again_when_something_changed_and_not_before() -> None:
    """Issue 5, item 3: a look at one tool costs no list."""
    server, remote = with_remote("first")
    catalogue = ServerCatalogue(server, "outer", clock=Clock(0.0))
    for _ in range(5):
        assert await known(catalogue) == ["first"]
    assert remote.listed == 1
    server.add_tool(Tool.from_function(lambda: "x", name="added"))
    assert sorted(await known(catalogue)) == ["added", "first"]
    assert remote.listed == 2


async def test_what_says_nothing_of_its_changes_is_listed_again_after_a_while() -> None:
    """Issue 5, item 3: without letting the call wait that finds it due."""
    server, remote = with_remote("first")
    clock = Clock(0.0)
    catalogue = ServerCatalogue(server, "outer", clock=clock)
    assert await known(catalogue) == ["first"]
    remote.offered, remote.wait = ["second"], asyncio.Event()
    clock.now += KEPT
    assert await known(catalogue) == ["first"]
    remote.wait.set()
    await catalogue.settle()
    assert await known(catalogue) == ["second"]


async def test_a_deadline_of_one_does_not_end_the_look_that_all_wait_for() -> None:
    """Issue 5: each question has a deadline; a slow list must not be begun anew at each."""
    server, remote = with_remote("first")
    remote.wait = asyncio.Event()
    catalogue = ServerCatalogue(server, "outer")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await catalogue.tools()
    remote.wait.set()
    assert await known(catalogue) == ["first"]
    assert remote.listed == 1


async def test_tools_that_cannot_be_listed_are_no_permission() -> None:
    """Issue 5: an error never widens access; the next question asks again."""
    server, remote = with_remote("first")
    remote.error = RuntimeError("planted")
    catalogue = ServerCatalogue(server, "outer")
    with pytest.raises(PdpError, match="cannot be listed"):
        await catalogue.tool("first")
    remote.error = None
    assert await catalogue.tool("first") is not None


async def test_a_proxied_server_is_guarded_by_the_names_that_callers_use(tmp_path: Path) -> None:
    """Issue 5, item 5: policies know the tools of the proxy."""
    backend: FastMCP[Any] = FastMCP("backend")

    @backend.tool(annotations=ToolAnnotations(read_only_hint=True))
    def look() -> str:
        """Look."""
        return "seen"

    @backend.tool
    def change() -> str:
        """Change."""
        return "changed"

    server: FastMCP[Any] = FastMCP("front")
    server.mount(create_proxy(backend), namespace="far")
    policy = 'tool "far_*" { allow anyone when tool.read_only }'
    async with Client(local(tmp_path, ALICE, server, policy=policy, mapping=())) as client:
        assert await names(client) == ["far_look"]
        assert (await client.call_tool("far_look")).content[0].text == "seen"
        with pytest.raises(MCPError) as raised:
            await client.call_tool("far_change")
    assert refused(raised.value)[0] == -32001


async def test_only_the_look_itself_goes_unasked(tmp_path: Path) -> None:
    """Issue 5: a connection to a guarded server that is made during a look at all tools outlives it."""
    token = surveying.set(True)
    try:
        async with Client(local(tmp_path, ALICE)) as client:
            assert "hidden" not in await names(client)
            with pytest.raises(MCPError) as raised:
                await client.call_tool("hidden")
    finally:
        surveying.reset(token)
    assert refused(raised.value)[0] == -32001
