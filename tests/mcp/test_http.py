"""The SDK plug-in over Streamable HTTP, with the SDK's own client, on both wires (issue 5, items 3 and 4)."""
# ruff: noqa: ANN401  # what the SDK hands to handlers

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import RequestParams, SubscriptionsListenRequestParams, SubscriptionsListenResult

from authz.mcp import protect
from tests.mcp.world import (
    EDITH,
    POLICY,
    WIRES,
    World,
    documents,
    guarded,
    issuer_config,
    listening,
    local,
    names,
    refused,
    served,
    settings,
    trusting,
)
from tests.oauth.support import Clock, issuing

if TYPE_CHECKING:
    from pathlib import Path

    from mcp.server.context import CallNext

on_both_wires = pytest.mark.parametrize("wire", WIRES)


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
    async with guarded(tmp_path) as world, world.client("alice", wire) as client:
        assert (await client.call_tool("whoami", {})).structured_content == {"result": "alice of acme by desktop"}
        result = await client.call_tool("read_document", {"id": "d1"})
    assert result.structured_content == {"result": "the text of d1"}


@on_both_wires
@pytest.mark.parametrize("sdk", [{"stateless_http": True}, {"json_response": True}])
async def test_the_sdks_options_work_behind_the_gate(tmp_path: Path, wire: str, sdk: dict[str, Any]) -> None:
    """Issue 5, item 3: the SDK's own ways to serve are left as they are."""
    async with guarded(tmp_path, sdk=sdk) as world, world.client("alice", wire) as client:
        assert (await client.call_tool("whoami", {})).structured_content == {"result": "alice of acme by desktop"}
        with pytest.raises(MCPError) as raised:
            await client.call_tool("hidden", {})
    assert refused(raised.value) == (-32001, "UNKNOWN_TOOL")


@on_both_wires
async def test_what_scopes_would_not_open_is_denied_in_json_rpc(tmp_path: Path, wire: str) -> None:
    """R8, R22: an error of the protocol, not a challenge."""
    async with guarded(tmp_path) as world, world.client("alice", wire) as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("write_document", {"id": "d1", "title": "x"})
    assert refused(raised.value) == (-32001, "NO_ALLOW")


@on_both_wires
async def test_tenants_never_see_each_others(tmp_path: Path, wire: str) -> None:
    """S69, S70: an editor of globex is nobody in acme, although the tool and the document are the same."""
    async with guarded(tmp_path) as world:
        async with world.client("glen", wire) as client:
            assert not (await client.call_tool("open_document", {"id": "d1", "tenant": "globex"})).is_error
            with pytest.raises(MCPError) as raised:
                await client.call_tool("open_document", {"id": "d1", "tenant": "acme"})
            assert refused(raised.value) == (-32001, "TENANT_MISMATCH")
        async with world.client("edith", wire) as client:
            assert not (await client.call_tool("open_document", {"id": "d1", "tenant": "acme"})).is_error


@on_both_wires
async def test_two_callers_at_a_time_are_two_callers(tmp_path: Path, wire: str) -> None:
    """R14, S8: nothing of one connection is another's."""
    async with (
        guarded(tmp_path, list_mode="callable") as world,
        world.client("alice", wire) as alice,
        world.client("glen", wire) as glen,
    ):
        for _ in range(3):
            both = await asyncio.gather(alice.call_tool("whoami", {}), glen.call_tool("whoami", {}))
            said = [(one.structured_content or {})["result"] for one in both]
            assert said == ["alice of acme by desktop", "glen of globex by desktop"]
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


async def test_a_server_that_is_served_without_its_gate_answers_nobody(tmp_path: Path) -> None:
    """Issue 5, item 3: `server.run("streamable-http")` after `protect`; a configured caller is of no use there."""
    server = local(tmp_path, EDITH)
    for wire, mode in WIRES.items():
        with listening() as (found, url):
            async with served(server.streamable_http_app(), found):
                if wire == "2025-11-25":
                    with pytest.raises(BaseException) as group:  # noqa: PT011  # a group that holds it
                        async with Client(streamable_http_client(url), mode=mode):
                            pass
                    assert "not admitted" in repr(group.value)
                    continue
                async with Client(streamable_http_client(url), mode=mode) as client:
                    for ask in (client.list_tools(), client.call_tool("whoami", {})):
                        with pytest.raises(MCPError) as raised:
                            await ask
                        assert (raised.value.error.code, raised.value.error.message) == (-32603, "not admitted")


async def test_what_was_decided_about_is_what_is_executed(tmp_path: Path) -> None:
    """Issue 5, item 3: a name given twice, which two readers may read differently, is refused before anybody does."""
    twice = json.dumps(request("tools/call", {"name": "whoami", "arguments": {}}))
    assert '"whoami"' in twice
    async with guarded(tmp_path) as world:
        body = twice.replace('"name": "whoami"', '"name": "whoami", "name": "hidden"')
        answer = await world.post(body, world.token("alice"), **{"Mcp-Method": "tools/call", "Mcp-Name": "hidden"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32700)


@on_both_wires
async def test_a_verdict_counts_for_what_it_was_about(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 3: what the gate allowed is not what is executed, so it is asked about again."""
    server = documents()

    async def rewriting(ctx: Any, call_next: CallNext) -> Any:
        if ctx.method == "tools/call":
            ctx = replace(ctx, params={**ctx.params, "name": "hidden"})
        return await call_next(ctx)

    server.middleware.append(rewriting)
    async with guarded(tmp_path, server) as world, world.client("edith", wire) as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("whoami", {})
    assert refused(raised.value) == (-32001, "UNKNOWN_TOOL")


async def test_headers_do_not_say_what_is_called(tmp_path: Path) -> None:
    """R17: another tool in the header is the SDK's to refuse, and nothing is done."""
    body = json.dumps(request("tools/call", {"name": "read_document", "arguments": {"id": "d1"}}))
    async with guarded(tmp_path) as world:
        answer = await world.post(body, world.token("alice"), **{"Mcp-Method": "tools/call", "Mcp-Name": "whoami"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)


async def test_a_tool_that_headers_belong_to_looks_unknown_to_whom_it_is_denied(tmp_path: Path) -> None:
    """Issue 5, item 3: the SDK's own checks before the guard tell nobody that a tool exists."""
    server = documents()

    @server.tool()
    def payroll(region: str) -> str:
        """Pay."""
        return region

    tool = server._tool_manager.get_tool("payroll")
    assert tool is not None
    tool.parameters["properties"]["region"]["x-mcp-header"] = "Region"
    policy = 'tool "payroll" { allow role "editor" }\n'
    async with guarded(tmp_path, server, POLICY + policy) as world:
        answers = {}
        for user, name in (("alice", "payroll"), ("alice", "payrolls"), ("edith", "payroll")):
            body = json.dumps(request("tools/call", {"name": name, "arguments": {"region": "eu"}}))
            headers = {"Mcp-Method": "tools/call", "Mcp-Name": name}
            answers[user, name] = (await world.post(body, world.token(user), **headers)).json()["error"]["code"]
    assert answers == {("alice", "payroll"): -32001, ("alice", "payrolls"): -32001, ("edith", "payroll"): -32020}


async def test_unknown_methods_are_denied_or_do_not_exist(tmp_path: Path) -> None:
    """Issue 5, item 3: no handler, no method, as without a guard; one that nobody knows is denied."""
    server = documents()
    done: list[str] = []

    async def handler(ctx: Any, params: RequestParams) -> dict[str, Any]:
        done.append(ctx.method)
        return {}

    server._lowlevel_server.add_request_handler("acme/backdoor", RequestParams, handler)
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
            ("tools/call", {"name": "whoami", "arguments": {}}),
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


async def test_streams_of_changes_are_asked_about(tmp_path: Path) -> None:
    """Issue 5, item 3: since 2026-07-28 resources are subscribed to by `subscriptions/listen`."""
    async with guarded(tmp_path) as world, world.client("alice") as client:
        async with asyncio.timeout(10), client.listen(resource_subscriptions=["docs://handbook"]):
            pass
        with pytest.raises(MCPError) as raised:
            async with asyncio.timeout(10), client.listen(resource_subscriptions=["docs://salaries"]):
                pass
    assert refused(raised.value)[0] == -32001


async def test_a_stream_carries_only_what_was_asked_about(tmp_path: Path) -> None:
    """Issue 5, item 3: kinds of changes that an extension adds are not opened, since no policy knows them."""
    heard: list[dict[str, Any]] = []

    async def listen(ctx: Any, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        heard.append(params.notifications.model_dump(by_alias=True, exclude_none=True))
        return SubscriptionsListenResult(_meta={"io.modelcontextprotocol/subscriptionId": 1})

    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["docs://handbook"], "taskIds": ["somebody-elses"]}
    server: Server[Any] = Server("documents", on_subscriptions_listen=listen)
    async with guarded(tmp_path, server) as world:
        body = json.dumps(request("subscriptions/listen", {"notifications": wanted}))
        answer = await world.post(body, world.token("alice"), **{"Mcp-Method": "subscriptions/listen"})
    assert answer.status_code == 200, answer.text
    assert heard == [{"toolsListChanged": True, "resourceSubscriptions": ["docs://handbook"]}]


async def test_it_speaks_for_the_host_of_its_resource_and_no_other(tmp_path: Path) -> None:
    """R18: behind a proxy `Host` is that of `resource`; a name that leads here reaches nothing (DNS rebinding)."""
    resource = "https://docs.example/mcp"
    body = json.dumps(request("tools/call", {"name": "whoami", "arguments": {}}))
    headers = {"Mcp-Method": "tools/call", "Mcp-Name": "whoami"}
    with listening() as (found, url), issuing(Clock(time.time()), issuer_config(resource)) as (_, browser):
        issuers = trusting(tmp_path, browser.issuer, resource)
        app = protect(documents(), settings(tmp_path, resource=resource, issuers=issuers))
        async with served(app, found):
            token = World(resource, browser).token("alice")
            world = World(url, browser)
            answers = [await world.post(body, token, Host=host, **headers) for host in ("docs.example", "evil.example")]
    assert [answer.status_code for answer in answers] == [200, 421]
