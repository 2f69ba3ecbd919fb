"""The SDK plug-in without HTTP: in-memory, on both wires (issue 5, item 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from authz.pep import caller
from authz.pep.config import Stdio
from tests.mcp.world import ALICE, EDITH, POLICY, WIRES, local, names, refused

if TYPE_CHECKING:
    from pathlib import Path

ALL = ["read_document", "open_document", "write_document", "share_document", "show_secret", "hidden", "whoami"]
"""The server's tools, in its order."""

pytestmark = pytest.mark.parametrize("wire", WIRES)


async def test_an_allowed_tool_answers_as_without_a_guard(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3; S28: nothing is added to a result."""
    async with Client(local(tmp_path), mode=WIRES[wire]) as client:
        result = await client.call_tool("read_document", {"id": "d1"})
    assert result.structured_content == {"result": "the text of d1"}


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "reason"),
    [
        ("write_document", {"id": "d1", "title": "x"}, -32001, "NO_ALLOW"),
        ("hidden", {}, -32001, "UNKNOWN_TOOL"),
        ("no_such_tool", {}, -32001, "UNKNOWN_TOOL"),
        ("open_document", {"id": "d1", "tenant": "globex"}, -32001, "TENANT_MISMATCH"),
        ("read_document", {}, -32602, ""),
    ],
)
async def test_what_is_not_allowed_is_not_done(
    tmp_path: Path, wire: str, tool: str, arguments: dict[str, Any], code: int, reason: str
) -> None:
    """R8, S24, S26, S70: a denial is -32001, a question that cannot be asked is -32602."""
    async with Client(local(tmp_path), mode=WIRES[wire]) as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool(tool, arguments)
    assert refused(raised.value) == (code, reason)


async def test_policies_apply_without_http(tmp_path: Path, wire: str) -> None:
    """S30: the same policy as over HTTP, for whom the settings say."""
    async with Client(local(tmp_path, EDITH), mode=WIRES[wire]) as client:
        assert not (await client.call_tool("write_document", {"id": "d1", "title": "x"})).is_error
        with pytest.raises(MCPError) as raised:
            await client.call_tool("write_document", {"id": "d1", "title": "forbidden"})
    assert refused(raised.value) == (-32001, "NO_ALLOW")


async def test_nobody_configured_is_nobody_admitted(tmp_path: Path, wire: str) -> None:
    """R1: without HTTP the caller comes from the settings, and from nowhere else."""
    async with Client(local(tmp_path, None), mode=WIRES[wire]) as client:
        for ask in (client.list_tools(), client.call_tool("whoami", {}), client.read_resource("docs://handbook")):
            with pytest.raises(MCPError) as raised:
                await ask
            assert (raised.value.error.code, raised.value.error.message) == (-32603, "not admitted")


async def test_a_list_shows_what_could_be_allowed_in_the_servers_order(tmp_path: Path, wire: str) -> None:
    """R14, L68: arguments are unknown, so what depends on them is shown."""
    async with Client(local(tmp_path, EDITH, list_mode="callable"), mode=WIRES[wire]) as client:
        assert await names(client) == [tool for tool in ALL if tool != "hidden"]


async def test_grantable_shows_what_more_scopes_would_open(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3: else nobody would learn what to step up for."""
    short = Stdio("edith", scopes=("docs:read",), roles=("editor",), tenant="acme")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with Client(local(tmp_path / "a", short, list_mode="grantable"), mode=WIRES[wire]) as client:
        assert await names(client) == [tool for tool in ALL if tool != "hidden"]
    async with Client(local(tmp_path / "b", short, list_mode="callable"), mode=WIRES[wire]) as client:
        assert await names(client) == ["read_document", "open_document", "show_secret", "whoami"]


async def test_no_mode_shows_what_scopes_would_not_open(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3: a viewer does not become an editor by scopes."""
    async with Client(local(tmp_path, ALICE, list_mode="grantable"), mode=WIRES[wire]) as client:
        assert await names(client) == ["read_document", "open_document", "show_secret", "whoami"]


async def test_resources_templates_and_prompts_are_filtered(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3: all four lists."""
    async with Client(local(tmp_path, list_mode="callable"), mode=WIRES[wire]) as client:
        resources = await client.list_resources()
        templates = await client.list_resource_templates()
        prompts = await client.list_prompts()
    assert [str(one.uri) for one in resources.resources] == ["docs://handbook"]
    assert [one.uri_template for one in templates.resource_templates] == ["docs://page/{number}"]
    assert [one.name for one in prompts.prompts] == ["summarize"]


async def test_lists_and_reads_are_kept_out_of_shared_caches(tmp_path: Path, wire: str) -> None:
    """R15, C13: what was filtered for one caller is `private`, and soon asked for again."""
    server = local(tmp_path)
    from mcp.server.caching import CacheHint

    public = CacheHint(ttl_ms=3_600_000, scope="public")
    server._lowlevel_server.cache_hints.update({"tools/list": public, "resources/read": public})
    async with Client(server, mode=WIRES[wire], cache=None) as client:
        listed, read = await client.list_tools(), await client.read_resource("docs://handbook")
    assert (listed.cache_scope, read.cache_scope) == ("private", "private")
    assert listed.ttl_ms == (5_000 if wire == "2026-07-28" else 0)


async def test_a_resource_and_a_prompt_are_asked_about_by_name(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3."""
    async with Client(local(tmp_path), mode=WIRES[wire]) as client:
        assert "how we work" in str((await client.read_resource("docs://handbook")).contents)
        assert "page 7" in str((await client.read_resource("docs://page/7")).contents)
        assert "summarize it" in str((await client.get_prompt("summarize")).messages)
        for ask in (client.read_resource("docs://salaries"), client.get_prompt("dismiss")):
            with pytest.raises(MCPError) as raised:
                await ask
            assert refused(raised.value) == (-32001, "NO_ALLOW")


async def test_a_result_is_redacted(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 6."""
    async with Client(local(tmp_path), mode=WIRES[wire]) as client:
        result = await client.call_tool("show_secret", {"id": "d1"})
    assert "planted-secret" not in result.model_dump_json()
    assert (result.structured_content or {})["id"] == "d1"


async def test_code_inside_learns_who_calls_on_every_transport(tmp_path: Path, wire: str) -> None:
    """S8: who was decided about, in a tool that runs in a thread as well; and nobody outside of a call."""
    server = local(tmp_path, EDITH, policy=POLICY + 'tool "mine" { allow public }')

    @server.tool()
    def mine() -> str:
        """Say whose call it is."""
        return f"{caller().subject} of {caller().tenant}"

    async with Client(server, mode=WIRES[wire]) as client:
        assert (await client.call_tool("mine", {})).structured_content == {"result": "edith of acme"}
    with pytest.raises(LookupError, match="nobody is calling"):
        caller()
