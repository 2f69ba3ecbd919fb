"""FastMCP's own OAuth client steps up at our gate, end to end (issue 5, item 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.auth import OAuth
from fastmcp.client.transports import StreamableHttpTransport
from key_value.aio.stores.memory import MemoryStore
from mcp.shared.auth import AuthorizationCodeResult
from mcp.shared.exceptions import MCPError

from tests.fastmcp.world import guarded, names
from tests.mcp.world import WIRES, refused
from tests.oauth.support import sent_back

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fastmcp.world import Served

pytestmark = [
    pytest.mark.parametrize("wire", WIRES),
    pytest.mark.filterwarnings("ignore:Using in-memory token storage"),  # what a test is for
]


class Person(OAuth):
    """FastMCP's OAuth client, and somebody at its browser who says yes to everything."""

    def __init__(self, world: Served, user: str) -> None:
        """Sit down; the client is registered already."""
        super().__init__(client_id="desktop", callback_host="127.0.0.1", token_storage=MemoryStore())
        self.world = world
        self.user = user
        self.asked: list[str] = []
        """The scopes of each authorization."""

    async def redirect_handler(self, authorization_url: str) -> None:
        """Follow the client to the issuer, and click."""
        self.asked.append(httpx2.URL(authorization_url).params["scope"])
        page = self.world.browser.http.get(authorization_url)
        self._reply = sent_back(self.world.browser.click(page, user=self.user)).parameters

    async def callback_handler(self) -> AuthorizationCodeResult:
        """Return what the issuer sent back."""
        return AuthorizationCodeResult(**self._reply)

    def client(self, wire: str) -> Client[Any]:
        """Return a client that gets its tokens by itself."""
        return Client(StreamableHttpTransport(self.world.url, auth=self), mode=WIRES[wire])


async def test_a_client_begins_with_little_and_steps_up(tmp_path: Path, wire: str) -> None:
    """R3, R4, R9, R10, R11, R13, C8: 401, a token for reading; 403, one for writing as well; the call is made."""
    async with guarded(tmp_path) as world:
        edith = Person(world, "edith")
        async with edith.client(wire) as client:
            assert (await client.call_tool("read_document", {"id": "d1"})).data == "the text of d1"
            assert edith.asked == ["docs:read"]
            assert "write_document" in await names(client)
            assert (await client.call_tool("write_document", {"id": "d1", "title": "x"})).data == "d1 is now x"
            # What it has is enough for what it could do before.
            assert (await client.call_tool("read_document", {"id": "d1"})).data == "the text of d1"
    assert edith.asked == ["docs:read", "docs:read docs:write"]


async def test_nobody_steps_up_to_what_scopes_do_not_open(tmp_path: Path, wire: str) -> None:
    """R9, S91: a viewer is told no at once, without being sent to the issuer for nothing."""
    async with guarded(tmp_path) as world:
        alice = Person(world, "alice")
        async with alice.client(wire) as client:
            with pytest.raises(MCPError) as raised:
                await client.call_tool("write_document", {"id": "d1", "title": "x"})
    assert refused(raised.value) == (-32001, "NO_ALLOW")
    assert alice.asked == ["docs:read"]
