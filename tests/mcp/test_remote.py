"""The SDK plug-in with a real server that decides (issue 5, items 2 and 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from authz.mcp import protect_local
from tests.mcp.world import EDITH, POLICY, WIRES, documents, names, refused, settings
from tests.server.support import serving

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.parametrize("wire", WIRES)

CLOSED = POLICY + '\ntool "write_document" { deny "closed" }\n'


async def test_a_server_decides_and_its_changes_count_at_once(tmp_path: Path, wire: str) -> None:
    """R14, S4: the policy is the server's, for calls and for lists; a new revision leaves nothing of the old one."""
    guard = settings(tmp_path, stdio=EDITH)
    assert guard.policies is not None
    async with serving(policies=guard.policies) as running:
        server = documents()
        remote = settings(tmp_path, stdio=EDITH, policies=None, pdp=(running.server.address,), list_mode="callable")
        protect_local(server, remote)
        async with Client(server, mode=WIRES[wire], cache=None) as client:
            assert not (await client.call_tool("write_document", {"id": "d1", "title": "x"})).is_error
            assert "write_document" in await names(client)
            (guard.policies / "documents.authz").write_text(CLOSED)
            assert await running.server.reloader.reload()
            with pytest.raises(MCPError) as raised:
                await client.call_tool("write_document", {"id": "d1", "title": "x"})
            assert refused(raised.value) == (-32001, "EXPLICIT_DENY")
            assert "write_document" not in await names(client)


async def test_a_server_that_goes_away_takes_permissions_with_it(tmp_path: Path, wire: str) -> None:
    """Issue 5: a decision point that is down denies with -32603, within the deadline, also what it allowed before."""
    guard = settings(tmp_path, stdio=EDITH)
    server = documents()
    async with serving(policies=guard.policies, grace=0.1) as running:
        remote = settings(
            tmp_path, stdio=EDITH, policies=None, pdp=(running.server.address,), deadline=1.0, remember=10.0
        )
        protect_local(server, remote)
        async with Client(server, mode=WIRES[wire], cache=None) as client:
            assert not (await client.call_tool("write_document", {"id": "d1", "title": "x"})).is_error
            await running.server.close()
            with pytest.raises(MCPError) as raised:
                await client.call_tool("write_document", {"id": "d2", "title": "x"})
            assert raised.value.error.code == -32603
            with pytest.raises(MCPError) as raised:
                await client.list_tools()
            assert raised.value.error.code == -32603
