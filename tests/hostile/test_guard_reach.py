"""Nothing that a server can do is left out: methods of its own, other servers around it, lists of others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from mcp.server.mcpserver import MCPServer

from authz.mcp import protect_local
from tests.hostile.mcp_support import FRAMEWORKS, LEGACY, META, MODERN, SECRET, Done, attacked, server
from tests.mcp import world as mcp_world

if TYPE_CHECKING:
    from pathlib import Path

NOTHING: Final = 'tool "whoami" { allow public }'
TELLING: Final = frozenset({"ping", "initialize", "server/discover"})
"""Methods that say nothing of what the server holds."""


def _handlers(made: Any) -> Any:  # noqa: ANN401  # either framework's
    return made._lowlevel_server if isinstance(made, MCPServer) else made._mcp_server


@pytest.mark.parametrize("wire", [MODERN, LEGACY])
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_every_method_of_a_server_is_denied_until_a_rule_allows_it(
    tmp_path: Path, framework: str, wire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threats 2.2 (CVE-2026-14537: an entry without its check): whatever has a handler, and whatever has none."""
    made: list[Any] = []

    def kept(*given: Any) -> Any:  # noqa: ANN401  # as above
        made.append(server(*given))
        return made[0]

    monkeypatch.setattr("tests.hostile.mcp_support.server", kept)
    params = {"name": "admin", "arguments": {}, "uri": "docs://held", "taskId": "1", "level": "debug"}
    params |= {"ref": {"type": "ref/prompt", "name": "ask"}, "argument": {"name": "what", "value": ""}}
    params |= {"notifications": {"resourceSubscriptions": ["docs://held"]}}
    async with attacked(tmp_path, framework, NOTHING) as target:
        token = target.world.token("edith")
        headers = {} if wire == MODERN else {"Mcp_Session_Id": await target.session(token)}
        methods = set(_handlers(made[0])._request_handlers)
        assert {"tools/call", "resources/read", "prompts/get", "completion/complete"} <= methods
        for method in sorted((methods | {"acme/secret", "tools/Call", "tools/call/"}) - TELLING):
            reply = await target.ask(token, method, params, wire=wire, **headers)
            if "result" in reply.message:
                (items,) = (value for value in reply.message["result"].values() if isinstance(value, list))
                assert method.endswith("/list"), reply.text
                assert [item["name"] for item in items] in ([], ["whoami"]), reply.text
            assert SECRET not in reply.text, method
        assert target.done.calls == []


async def test_the_gate_of_another_server_decides_nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threats 2.7 (what was decided for one server used at another): each server asks its own policy."""
    done = Done()
    inner: Any = server("sdk", done)
    (tmp_path / "inner").mkdir()
    protect_local(inner, mcp_world.settings(tmp_path / "inner", NOTHING, mapping=()))
    around: Any = server("sdk", Done())
    app = inner.streamable_http_app(streamable_http_path="/mcp", json_response=True)
    monkeypatch.setattr(around, "streamable_http_app", lambda **_: app)
    monkeypatch.setattr("tests.hostile.mcp_support.server", lambda *_: around)
    async with attacked(tmp_path, "sdk") as target:
        edith = target.world.token("edith")
        assert (await target.ask(edith, "tools/call", {"name": "whoami", "arguments": {}})).done
        reply = await target.ask(edith, "tools/call", {"name": "admin", "arguments": {}})
        assert reply.code == -32001, reply.text
        assert done.calls == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_list_is_of_whoever_asks_for_it(tmp_path: Path, framework: str) -> None:
    """R14, S71, threats 2.4: in whatever order two callers, or two tokens of one, ask for the same list."""
    async with attacked(tmp_path, framework, list_mode="callable", remember=5.0) as target:
        tokens = {
            "edith": target.world.token("edith"),
            "edith without": target.world.token("edith", "docs:read"),
            "alice": target.world.token("alice"),
        }
        seen: dict[str, set[frozenset[str]]] = {}
        for who in ("edith", "alice", "edith without", "edith"):
            for wire in (MODERN, LEGACY):
                headers = {} if wire == MODERN else {"Mcp_Session_Id": await target.session(tokens[who])}
                reply = await target.ask(tokens[who], "tools/list", {}, wire=wire, **headers)
                names = frozenset(tool["name"] for tool in reply.message["result"]["tools"])
                seen.setdefault(who, set()).add(names)
                call = {"name": "write", "arguments": {"id": "d1"}}
                assert (await target.ask(tokens[who], "tools/call", call, wire=wire, **headers)).done == (
                    who == "edith"
                )
        assert all(len(lists) == 1 for lists in seen.values()), seen
        ((edith,), (without,), (alice,)) = (seen[who] for who in ("edith", "edith without", "alice"))
        assert {"write", "admin"} <= edith
        assert "hidden" not in edith
        assert edith - without == {"write"}
        assert without - alice == {"admin"}


def _paged(cursor: str) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": cursor, "_meta": META}})


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_cursor_that_a_client_makes_up_shows_nothing_more(tmp_path: Path, framework: str) -> None:
    """Threats 2.3 (page tokens): whatever page it leads to is filtered for whoever asks."""
    async with attacked(tmp_path, framework, list_mode="callable") as target:
        token = target.world.token("alice")
        for cursor in ("", "0", "1", "-1", "99999999", "MA==", "eyJvIjowfQ==", "' OR 1=1 --", "\x00", "x" * 5_000):
            reply = await target.send(_paged(cursor), token, **{"Mcp-Method": "tools/list"})
            assert reply.status in {200, 400}, cursor
            assert '"hidden"' not in reply.text
            assert '"admin"' not in reply.text
