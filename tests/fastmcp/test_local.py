"""The FastMCP plug-in without HTTP: in-memory, on both wires (issue 5, item 3)."""
# ruff: noqa: ANN401  # options and callbacks of FastMCP, whatever a test gives

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from fastmcp import Client
from mcp.shared.exceptions import MCPError

from authz.pep import caller
from authz.pep.config import Stdio
from tests.fastmcp.world import local, names
from tests.mcp.world import ALICE, EDITH, POLICY, WIRES, refused

if TYPE_CHECKING:
    from pathlib import Path

ALL = ["read_document", "open_document", "write_document", "share_document", "show_secret", "hidden", "whoami"]
"""The server's tools, in its order."""

pytestmark = pytest.mark.parametrize("wire", WIRES)


async def test_an_allowed_tool_answers_as_without_a_guard(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3."""
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
    """S30: FastMCP's own authorization is skipped there; the policy is not."""
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


async def test_a_list_leaves_out_what_no_call_could_do(tmp_path: Path, wire: str) -> None:
    """R14: Alice is no editor, whatever the arguments."""
    async with Client(local(tmp_path, list_mode="callable"), mode=WIRES[wire]) as client:
        assert await names(client) == ["read_document", "open_document", "show_secret", "whoami"]


async def test_grantable_shows_what_more_scopes_would_open(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3: else nobody would learn what to step up for."""
    short = Stdio("edith", scopes=("docs:read",), roles=("editor",), tenant="acme")
    for mode, shown in (("callable", {"read_document", "open_document", "show_secret", "whoami"}), ("grantable", None)):
        (tmp_path / mode).mkdir()
        async with Client(local(tmp_path / mode, short, list_mode=mode), mode=WIRES[wire]) as client:
            assert set(await names(client)) == (shown or set(ALL) - {"hidden"})


async def test_resources_are_listed_and_read_by_policy(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3: resources, templates; -32001 for what is there and what is not."""
    async with Client(local(tmp_path), mode=WIRES[wire]) as client:
        assert [str(one.uri) for one in await client.list_resources()] == ["docs://handbook"]
        assert [one.uri_template for one in await client.list_resource_templates()] == ["docs://page/{number}"]
        assert (await client.read_resource("docs://handbook"))[0].text == "how we work"
        assert (await client.read_resource("docs://page/7"))[0].text == "page 7"
        for uri in ("docs://salaries", "docs://nothing"):
            with pytest.raises(MCPError) as raised:
                await client.read_resource(uri)
            assert refused(raised.value) == (-32001, "NO_ALLOW")


async def test_prompts_are_listed_and_got_by_policy(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3."""
    async with Client(local(tmp_path), mode=WIRES[wire]) as client:
        assert [one.name for one in await client.list_prompts()] == ["summarize"]
        assert (await client.get_prompt("summarize")).messages[0].content.text == "summarize it"
        with pytest.raises(MCPError) as raised:
            await client.get_prompt("dismiss")
        assert refused(raised.value) == (-32001, "NO_ALLOW")


async def test_a_result_is_redacted_as_the_policy_says(tmp_path: Path, wire: str) -> None:
    """L64, issue 5, item 6: in text as well, and what a failure says."""
    async with Client(local(tmp_path), mode=WIRES[wire]) as client:
        shown = await client.call_tool("show_secret", {"id": "d1"})
        failed = await client.call_tool("show_secret", {"id": "broken"}, raise_on_error=False)
    assert shown.structured_content is not None
    assert shown.structured_content["id"] == "d1"
    assert failed.is_error
    assert "planted-secret" not in f"{shown} {failed}"


async def test_a_user_who_agrees_lets_the_call_go_on(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 6, R19: approval by elicitation, over the older wire by a request, over the newer by rounds."""
    asked: list[str] = []

    async def agree(message: str, response_type: Any, params: Any, context: Any) -> dict[str, Any]:
        asked.append(message)
        return {"approve": len(asked) == 1}

    async with Client(local(tmp_path, EDITH), mode=WIRES[wire], elicitation_handler=agree) as client:
        assert (await client.call_tool("share_document", {"id": "d1"})).structured_content == {"result": "d1 is shared"}
        with pytest.raises(MCPError) as raised:
            await client.call_tool("share_document", {"id": "d1"})
    assert refused(raised.value)[0] == -32001
    assert len(asked) == 2


async def test_who_cannot_be_asked_has_not_agreed(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 6: a client without elicitation."""
    async with Client(local(tmp_path, EDITH), mode=WIRES[wire]) as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("share_document", {"id": "d1"})
    assert refused(raised.value)[0] == -32001


async def test_nobody_who_decides_is_no_permission(tmp_path: Path, wire: str) -> None:
    """Issue 5: a decision point that is down denies with -32603, lists included."""
    down = local(tmp_path, ALICE, pdp=(f"unix:{tmp_path}/nobody.sock",), policies=None, deadline=0.25)
    async with Client(down, mode=WIRES[wire]) as client:
        for ask in (
            client.call_tool("whoami", {}),
            client.list_tools(),
            client.list_resources(),
            client.list_resource_templates(),
            client.list_prompts(),
            client.read_resource("docs://handbook"),
            client.get_prompt("summarize"),
        ):
            with pytest.raises(MCPError) as raised:
                await ask
            assert raised.value.error.code == -32603


async def test_it_opens_and_closes_with_the_server(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3: clients one after the other, and at the same time, in whatever order they leave."""
    server = local(tmp_path)
    async with AsyncExitStack() as first:
        await first.enter_async_context(Client(server, mode=WIRES[wire]))
        async with Client(server, mode=WIRES[wire]) as second:
            await first.aclose()
            assert (await second.call_tool("whoami", {})).data == "nobody"
    async with Client(server, mode=WIRES[wire]) as third:
        assert (await third.call_tool("whoami", {})).data == "nobody"


async def test_code_inside_learns_who_calls_on_every_transport(tmp_path: Path, wire: str) -> None:
    """S8: who was decided about, in a tool that runs in a thread as well; and nobody outside of a call."""
    server = local(tmp_path, EDITH, policy=POLICY + 'tool "mine" { allow public }')

    @server.tool
    def mine() -> str:
        """Say whose call it is."""
        return f"{caller().subject} of {caller().tenant}"

    async with Client(server, mode=WIRES[wire]) as client:
        assert (await client.call_tool("mine", {})).structured_content == {"result": "edith of acme"}
    with pytest.raises(LookupError, match="nobody is calling"):
        caller()
