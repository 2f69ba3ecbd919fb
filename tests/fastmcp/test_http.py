"""The FastMCP plug-in over Streamable HTTP, with FastMCP's own client, on both wires (issue 5, items 3 and 4)."""
# ruff: noqa: ANN401  # options and callbacks of FastMCP, whatever a test gives

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from fastmcp import Client, FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from mcp.shared.exceptions import MCPError

from tests.fastmcp.world import documents, guarded, local, names
from tests.mcp.world import EDITH, POLICY, WIRES, listening, refused, served

if TYPE_CHECKING:
    from pathlib import Path

on_both_wires = pytest.mark.parametrize("wire", WIRES)
READABLE = ["read_document", "open_document", "show_secret", "whoami"]


def request(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a request of the newer wire."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": meta, **(params or {})}}


@on_both_wires
async def test_a_call_is_made_for_whom_the_token_names(tmp_path: Path, wire: str) -> None:
    """R5, S8: `get_access_token()` knows the caller inside a tool."""
    async with guarded(tmp_path) as world, world.fastmcp("alice", wire) as client:
        assert (await client.call_tool("whoami", {})).data == "alice of acme by desktop"
        assert (await client.call_tool("read_document", {"id": "d1"})).data == "the text of d1"


@on_both_wires
@pytest.mark.parametrize("options", [{"stateless_http": True}, {"json_response": True}])
async def test_fastmcps_options_work_behind_the_gate(tmp_path: Path, wire: str, options: dict[str, Any]) -> None:
    """Issue 5, item 3: FastMCP's own ways to serve are left as they are."""
    async with guarded(tmp_path, options=options) as world, world.fastmcp("alice", wire) as client:
        assert (await client.call_tool("whoami", {})).data == "alice of acme by desktop"
        with pytest.raises(MCPError) as raised:
            await client.call_tool("hidden", {})
    assert refused(raised.value) == (-32001, "UNKNOWN_TOOL")


@on_both_wires
async def test_what_scopes_would_not_open_is_denied_in_json_rpc(tmp_path: Path, wire: str) -> None:
    """R8, R22: an error of the protocol, not a challenge."""
    async with guarded(tmp_path) as world, world.fastmcp("alice", wire) as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("write_document", {"id": "d1", "title": "x"})
        assert refused(raised.value) == (-32001, "NO_ALLOW")
        assert (await client.read_resource("docs://handbook"))[0].text == "how we work"  # type: ignore[union-attr]
        with pytest.raises(MCPError) as raised:
            await client.read_resource("docs://salaries")
        assert refused(raised.value) == (-32001, "NO_ALLOW")
        with pytest.raises(MCPError) as raised:
            await client.get_prompt("dismiss")
        assert refused(raised.value) == (-32001, "NO_ALLOW")


async def test_a_scope_that_is_missing_is_asked_for(tmp_path: Path) -> None:
    """R9, R10, R4: 403 with all scopes of the operation in one challenge, which no handler of FastMCP can answer."""
    body = json.dumps(request("tools/call", {"name": "write_document", "arguments": {"id": "d1", "title": "x"}}))
    headers = {"Mcp-Method": "tools/call", "Mcp-Name": "write_document"}
    async with guarded(tmp_path) as world:
        answer = await world.post(body, world.token("edith", "docs:read"), **headers)
        again = await world.post(body, world.token("edith", "docs:read docs:write"), **headers)
        nobody = await world.post(body, "", **headers)
    challenge = answer.headers["WWW-Authenticate"]
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="docs:write"' in challenge
    assert f'resource_metadata="{world.url.removesuffix("/mcp")}/.well-known/oauth-protected-resource/mcp"' in challenge
    assert again.json()["result"]["structuredContent"] == {"result": "d1 is now x"}
    assert nobody.status_code == 401


@on_both_wires
async def test_a_list_shows_what_the_caller_may_call(tmp_path: Path, wire: str) -> None:
    """R14: it varies with the authorization presented, and with nothing else; in the server's order."""
    async with guarded(tmp_path, list_mode="callable") as world:
        async with world.fastmcp("alice", wire) as client:
            assert await names(client) == READABLE
            assert [str(one.uri) for one in await client.list_resources()] == ["docs://handbook"]
        async with world.fastmcp("edith", wire, scopes="docs:read") as client:
            assert await names(client) == READABLE
        async with world.fastmcp("edith", wire) as client:
            assert await names(client) == [*READABLE[:2], "write_document", "share_document", *READABLE[2:]]


@on_both_wires
async def test_a_grantable_list_shows_what_can_be_stepped_up_for(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3: FastMCP hides such tools, so that no client of its own can ever step up."""
    async with guarded(tmp_path) as world, world.fastmcp("edith", wire, scopes="docs:read") as client:
        assert "write_document" in await names(client)


async def test_a_filtered_list_is_private(tmp_path: Path) -> None:
    """R15: whatever the server says of all its results."""
    server = documents(cache_ttl=60, cache_scope="public")
    async with guarded(tmp_path, server) as world:
        for method in ("tools/list", "resources/list", "resources/templates/list", "prompts/list"):
            answer = await world.post(json.dumps(request(method)), world.token("alice"), **{"Mcp-Method": method})
            assert answer.json()["result"]["cacheScope"] == "private", method
        read = {"Mcp-Method": "resources/read", "Mcp-Name": "docs://handbook"}
        body = json.dumps(request("resources/read", {"uri": "docs://handbook"}))
        answer = await world.post(body, world.token("alice"), **read)
        assert answer.json()["result"]["cacheScope"] == "private"


@on_both_wires
async def test_tenants_never_see_each_others(tmp_path: Path, wire: str) -> None:
    """S69, S70: an editor of globex is nobody in acme, although the tool and the document are the same."""
    async with guarded(tmp_path) as world:
        async with world.fastmcp("glen", wire) as client:
            assert not (await client.call_tool("open_document", {"id": "d1", "tenant": "globex"})).is_error
            with pytest.raises(MCPError) as raised:
                await client.call_tool("open_document", {"id": "d1", "tenant": "acme"})
            assert refused(raised.value) == (-32001, "TENANT_MISMATCH")
        async with world.fastmcp("edith", wire) as client:
            assert not (await client.call_tool("open_document", {"id": "d1", "tenant": "acme"})).is_error


@on_both_wires
async def test_two_callers_at_a_time_are_two_callers(tmp_path: Path, wire: str) -> None:
    """R14, S8: nothing of one connection is another's."""
    async with (
        guarded(tmp_path, list_mode="callable") as world,
        world.fastmcp("alice", wire) as alice,
        world.fastmcp("glen", wire) as glen,
    ):
        for _ in range(3):
            both = await asyncio.gather(alice.call_tool("whoami", {}), glen.call_tool("whoami", {}))
            assert [one.data for one in both] == ["alice of acme by desktop", "glen of globex by desktop"]
        assert "write_document" not in await names(alice)
        assert "write_document" in await names(glen)


async def test_a_session_is_of_the_caller_who_opened_it(tmp_path: Path) -> None:
    """R20: the id of a session is no authentication."""
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    }
    async with guarded(tmp_path) as world:
        version = {"MCP-Protocol-Version": "2025-11-25"}
        opened = await world.post(json.dumps(hello), world.token("alice"), **version)
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]} | version
        ping = '{"jsonrpc": "2.0", "id": 2, "method": "ping"}'
        own = await world.post(ping, world.token("alice"), **session)
        others = await world.post(ping, world.token("edith"), **session)
    assert (own.status_code, others.status_code) == (200, 404)


@on_both_wires
async def test_a_server_that_is_served_without_its_gate_answers_nobody(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3: `server.run("http")` after `protect`; a configured caller is of no use there."""
    server = local(tmp_path, EDITH)
    with listening() as (found, url):
        async with served(server.http_app(), found):
            if wire == "2025-11-25":
                with pytest.raises(MCPError, match="not admitted"):
                    async with Client(StreamableHttpTransport(url), mode=WIRES[wire]):
                        pass
                return
            async with Client(StreamableHttpTransport(url), mode=WIRES[wire]) as client:
                for ask in (
                    client.list_tools(),
                    client.call_tool("whoami", {}),
                    client.call_tool("read_document", {"id": "d1"}),
                    client.read_resource("docs://handbook"),
                ):
                    with pytest.raises(MCPError) as raised:
                        await ask
                    assert (raised.value.error.code, raised.value.error.message) == (-32603, "not admitted")


async def test_what_was_decided_about_is_what_is_executed(tmp_path: Path) -> None:
    """Issue 5, item 3: a name given twice, which two readers may read differently, is refused before anybody does."""
    twice = json.dumps(request("tools/call", {"name": "whoami", "arguments": {}}))
    async with guarded(tmp_path) as world:
        body = twice.replace('"name": "whoami"', '"name": "whoami", "name": "hidden"')
        answer = await world.post(body, world.token("alice"), **{"Mcp-Method": "tools/call", "Mcp-Name": "hidden"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32700)


async def test_headers_do_not_say_what_is_called(tmp_path: Path) -> None:
    """R17: another tool in the header is the SDK's to refuse, and nothing is done."""
    body = json.dumps(request("tools/call", {"name": "read_document", "arguments": {"id": "d1"}}))
    async with guarded(tmp_path) as world:
        answer = await world.post(body, world.token("alice"), **{"Mcp-Method": "tools/call", "Mcp-Name": "whoami"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)


async def test_a_tool_that_headers_belong_to_looks_unknown_to_whom_it_is_denied(tmp_path: Path) -> None:
    """Issue 5, item 3: the SDK's own checks before the guard tell nobody that a tool exists, and still are made."""
    server = documents()

    @server.tool
    def payroll(region: str) -> str:
        """Pay."""
        return region

    tool = await server.get_tool("payroll")
    assert tool is not None
    tool.parameters["properties"]["region"]["x-mcp-header"] = "Region"
    async with guarded(tmp_path, server, POLICY + 'tool "payroll" { allow role "editor" }\n') as world:
        answers = {}
        for user, name in (("alice", "payroll"), ("alice", "payrolls"), ("edith", "payroll")):
            body = json.dumps(request("tools/call", {"name": name, "arguments": {"region": "eu"}}))
            headers = {"Mcp-Method": "tools/call", "Mcp-Name": name}
            answers[user, name] = (await world.post(body, world.token(user), **headers)).json()["error"]["code"]
        token, headers = world.token("edith"), {"Mcp-Method": "tools/call", "Mcp-Name": "payroll"}
        body = json.dumps(request("tools/call", {"name": "payroll", "arguments": {"region": "eu"}}))
        fitting = await world.post(body, token, **headers, **{"Mcp-Param-Region": "eu"})
    assert answers == {("alice", "payroll"): -32001, ("alice", "payrolls"): -32001, ("edith", "payroll"): -32020}
    assert fitting.json()["result"]["structuredContent"] == {"result": "eu"}


async def test_unknown_methods_are_denied_or_do_not_exist(tmp_path: Path) -> None:
    """Issue 5, item 3: without a handler as without a guard; what has one, and nobody knows, is not run."""
    from mcp_types import RequestParams

    server = documents()
    done: list[str] = []

    async def handler(ctx: Any, params: RequestParams) -> dict[str, Any]:
        done.append(ctx.method)
        return {}

    server._mcp_server.add_request_handler("acme/backdoor", RequestParams, handler)
    async with guarded(tmp_path, server) as world:
        token = world.token("edith")
        codes = []
        for method in ("acme/backdoor", "acme/nothing"):
            answer = await world.post(json.dumps(request(method)), token, **{"Mcp-Method": method})
            codes.append(answer.json()["error"]["code"])
    assert codes == [-32001, -32601]
    assert done == []


async def test_nobody_who_decides_is_no_permission(tmp_path: Path) -> None:
    """Issue 5: a decision point that is down denies with -32603, lists included."""
    async with guarded(tmp_path, pdp=(f"unix:{tmp_path}/nobody.sock",), policies=None, deadline=0.25) as world:
        for method, params in (
            ("tools/call", {"name": "read_document", "arguments": {"id": "d1"}}),
            ("tools/list", {}),
            ("resources/read", {"uri": "docs://handbook"}),
        ):
            headers = {"Mcp-Method": method, "Mcp-Name": str(params.get("name") or params.get("uri") or "")}
            answer = await world.post(
                json.dumps(request(method, params)),
                world.token("alice"),
                **{name: value for name, value in headers.items() if value},
            )
            assert answer.json()["error"]["code"] == -32603, method


async def test_malformed_calls_are_answered_by_the_guard_too(tmp_path: Path) -> None:
    """Issue 5, item 3: what FastMCP's handlers never see is asked about as it was sent."""
    async with guarded(tmp_path) as world:
        token = world.token("alice")
        for params, code in (({"name": "hidden", "arguments": []}, -32602), ({"arguments": {}}, -32602)):
            headers = {"Mcp-Method": "tools/call", "Mcp-Name": str(params.get("name", ""))}
            answer = await world.post(json.dumps(request("tools/call", params)), token, **headers)
            assert answer.json()["error"]["code"] in {code, -32020}, params


async def test_another_server_inside_decides_for_itself(tmp_path: Path) -> None:
    """Issue 5, item 5: what the gate has asked another policy about is no verdict of this one."""
    (tmp_path / "inner").mkdir()
    inner = local(tmp_path / "inner", None, policy=POLICY.replace('allow "read" role "viewer"', 'allow role "editor"'))
    outer: FastMCP[Any] = FastMCP("outer")
    outer.mount(inner)
    async with guarded(tmp_path, outer) as world, world.fastmcp("alice") as client:
        assert (await client.call_tool("whoami", {})).data == "alice of acme by desktop"
        # What a mounted server raises, FastMCP makes a result that failed.
        result = await client.call_tool("read_document", {"id": "d1"}, raise_on_error=False)
    assert result.is_error
    assert "no rule allows this" in str(result.content)


async def test_nothing_in_memory_inherits_the_caller_of_some_http_request(tmp_path: Path) -> None:
    """R20: a connection inside the process may outlive the request that it was made in, and then serve another's."""
    (tmp_path / "inner").mkdir()
    inner = local(tmp_path / "inner", EDITH)
    outer = documents()

    @outer.tool
    async def relay() -> str:
        """Ask another server in this process."""
        async with Client(inner, mode="legacy") as client:
            result = await client.call_tool("whoami", {}, raise_on_error=False)
        return str(result.content)

    policy = POLICY + 'tool "relay" { allow anyone }\n'
    async with guarded(tmp_path, outer, policy) as world, world.fastmcp("alice") as client:
        result = await client.call_tool("relay", raise_on_error=False)
    assert result.is_error
    assert "not admitted" in str(result.content)
