"""Sessions and streams are their caller's: another subject, tenant or token gets nothing out of them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.hostile.mcp_support import FRAMEWORKS, LEGACY, SECRET, attacked

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hostile.mcp_support import Attacked, Reply


async def _on(server: Attacked, token: str, session: str, message: dict[str, Any], **headers: str) -> Reply:
    sent = {"Mcp-Session-Id": session, "MCP-Protocol-Version": LEGACY} | headers
    return await server.send(json.dumps({"jsonrpc": "2.0"} | message), token, **sent)


def _call(tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    return {"id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_nobody_gets_anything_out_of_anothers_session(tmp_path: Path, framework: str) -> None:
    """R20, threats 2.7 (CVE-2026-52869): calls, streams, resumption and the end of a session are its caller's."""
    async with attacked(tmp_path, framework) as server:
        edith, alice, glen = (server.world.token(user) for user in ("edith", "alice", "glen"))
        hers = await server.session(edith)
        for token in (alice, glen):
            for message in (_call("read"), _call("admin"), {"id": 2, "method": "tools/list"}, {"id": 1, "result": {}}):
                reply = await _on(server, token, hers, message)
                assert reply.status == 404, (message, reply.status, reply.text)
            cancel = {"method": "notifications/cancelled", "params": {"requestId": 1}}
            assert (await _on(server, token, hers, cancel)).status == 404
            headers = {"Authorization": f"Bearer {token}", "Mcp-Session-Id": hers, "MCP-Protocol-Version": LEGACY}
            for more in ({}, {"Last-Event-ID": "1"}):
                stream = await server.http.get(
                    server.world.url, headers=headers | more | {"Accept": "text/event-stream"}
                )
                assert stream.status_code == 404
            assert (await server.http.delete(server.world.url, headers=headers)).status_code == 404
        assert server.done.calls == []
        assert (await _on(server, edith, hers, _call("admin"))).done
        assert server.done.calls == ["admin"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_session_lends_nobody_what_its_first_token_could(tmp_path: Path, framework: str) -> None:
    """S6, R20: each request is decided by its own token, also of the same caller; and without one by none."""
    async with attacked(tmp_path, framework) as server:
        strong = server.world.token("edith", "docs:read docs:write")
        weak = server.world.token("edith", "docs:read")
        session = await server.session(strong)
        assert (await _on(server, strong, session, _call("write", id="d1"))).done
        refused = await _on(server, weak, session, _call("write", id="d2"))
        assert (refused.status, refused.code) == (403, -32001)
        for token in ("", "x.y.z", strong[:-2]):
            assert (await _on(server, token or "none", session, _call("write", id="d3"))).status == 401
        bare = await server.http.post(
            server.world.url, json=_call("write", id="d4"), headers={"Mcp-Session-Id": session}
        )
        assert bare.status_code == 401
        assert server.done.calls == ["write d1"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_only_whom_a_server_asks_can_answer(tmp_path: Path, framework: str) -> None:
    """R20, issue 5, build 6: the approval of a call comes from the session that makes it, by its own caller."""
    async with attacked(tmp_path, framework) as server:
        alice, edith = server.world.token("alice"), server.world.token("edith")
        hers, others = await server.session(alice), await server.session(edith)
        asked: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def share() -> str:
            headers = {
                "Authorization": f"Bearer {alice}",
                "Accept": "application/json, text/event-stream",
                "Mcp-Session-Id": hers,
                "MCP-Protocol-Version": LEGACY,
            }
            message = {"jsonrpc": "2.0"} | _call("share", id="d1")
            async with server.http.stream("POST", server.world.url, json=message, headers=headers) as stream:
                last = ""
                async for line in stream.aiter_lines():
                    if line.startswith("data: {"):
                        last = line.removeprefix("data: ")
                        if "elicitation/create" in last:
                            asked.set_result(json.loads(last)["id"])
                return last

        call = asyncio.create_task(share())
        id_ = await asyncio.wait_for(asked, 10)
        yes = {"id": id_, "result": {"action": "accept", "content": {"approve": True}}}
        assert (await _on(server, edith, hers, yes)).status == 404
        await _on(server, edith, others, yes)
        await _on(server, alice, await server.session(alice), yes)
        for almost in ({"action": "accept"}, {"action": "accept", "content": {"approve": "yes"}}):
            assert "shared" not in SECRET
            no = await _on(server, alice, hers, {"id": f"{id_}0", "result": almost})
            assert no.status in {202, 400, 404}
        assert server.done.calls == []
        await _on(server, alice, hers, {"id": id_, "result": {"action": "decline"}})
        assert "not approved" in await asyncio.wait_for(call, 10)
        assert server.done.calls == []
