"""How often the decision point is asked: once a call, whatever FastMCP lists behind our back (issue 5, item 3)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fastmcp import Client, FastMCP

from authz.pep import opening
from tests.fastmcp.world import guarded, local, names
from tests.mcp.world import EDITH, WIRES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from authz.model import Decision, Request
    from authz.pep.config import GuardConfig
    from authz.pep.pdp import Answer, Pdp
    from authz.wire.enforcement import Description

pytestmark = pytest.mark.parametrize("wire", WIRES)
COUNTED = 10


class Counting:
    """A decision point that notes what it is asked."""

    def __init__(self, pdp: Pdp) -> None:
        """Ask this one."""
        self.pdp = pdp
        self.single: list[str] = []
        self.batches: list[int] = []

    async def check(self, request: Request, *, request_id: str = "") -> Decision:
        """Note the tool."""
        self.single.append(request.tool)
        return await self.pdp.check(request, request_id=request_id)

    async def check_all(self, requests: Sequence[Request], *, request_id: str = "") -> Sequence[Answer]:
        """Note how many there are."""
        self.batches.append(len(requests))
        return await self.pdp.check_all(requests, request_id=request_id)

    async def describe(self, tools: Sequence[str]) -> tuple[str, tuple[Description, ...]]:
        """Pass it on."""
        return await self.pdp.describe(tools)

    async def close(self) -> None:
        """Close it."""
        await self.pdp.close()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Counting]:
    """Count what every decision point is asked that is opened from now on."""
    opened: list[Counting] = []
    real = opening.deciding  # type: ignore[attr-defined]  # not public

    @asynccontextmanager
    async def counting(config: GuardConfig) -> AsyncIterator[Pdp]:
        async with real(config) as pdp:
            opened.append(Counting(pdp))
            yield opened[-1]

    monkeypatch.setattr(opening, "deciding", counting)
    return opened


async def test_a_call_over_http_is_one_question(tmp_path: Path, wire: str, counted: list[Counting]) -> None:
    """Issue 5, item 3: before a call with arguments the SDK wants its schema, for which FastMCP lists all tools."""
    async with guarded(tmp_path) as world, world.fastmcp("alice", wire) as client:
        await client.list_tools()  # which FastMCP's client does by itself before the first call
        (pdp,) = counted
        pdp.single.clear()
        pdp.batches.clear()
        for number in range(COUNTED):
            assert (await client.call_tool("read_document", {"id": f"d{number}"})).data == f"the text of d{number}"
    assert pdp.single == ["read_document"] * COUNTED
    assert pdp.batches == []


async def test_a_call_in_memory_is_one_question(tmp_path: Path, wire: str, counted: list[Counting]) -> None:
    """Issue 5, item 3."""
    async with Client(local(tmp_path), mode=WIRES[wire]) as client:
        await client.list_tools()
        (pdp,) = counted
        pdp.batches.clear()
        for number in range(COUNTED):
            await client.call_tool("read_document", {"id": f"d{number}"})
    assert pdp.single == ["read_document"] * COUNTED
    assert pdp.batches == []


async def test_a_list_is_one_batch(tmp_path: Path, wire: str, counted: list[Counting]) -> None:
    """Issue 5, item 3: all items of a list are asked about together."""
    async with guarded(tmp_path) as world, world.fastmcp("alice", wire) as client:
        (pdp,) = counted
        await client.list_tools()
        await client.list_resources()
        await client.list_resource_templates()
        await client.list_prompts()
    assert pdp.batches == [7, 2, 1, 2]
    assert pdp.single == []


async def test_the_tools_of_a_mounted_server_are_asked_about_once(
    tmp_path: Path, wire: str, counted: list[Counting]
) -> None:
    """Issue 5, item 5: policies see the names that callers use, and the server that is mounted asks nobody."""
    inner: FastMCP[Any] = FastMCP("inner")

    @inner.tool
    def read() -> str:
        """Read."""
        return "inner"

    @inner.tool
    def drop() -> str:
        """Drop."""
        return "dropped"

    outer: FastMCP[Any] = FastMCP("outer")
    outer.mount(inner, namespace="files")
    policy = 'tool "files_read" { allow anyone }\ntool "read" { allow anyone }'
    async with Client(local(tmp_path, EDITH, outer, policy=policy, mapping=()), mode=WIRES[wire]) as client:
        assert await names(client) == ["files_read"]
        assert (await client.call_tool("files_read", {})).data == "inner"
        (pdp,) = counted
    assert pdp.single == ["files_read"]
