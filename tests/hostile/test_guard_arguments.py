"""What a policy is asked about is what a tool gets: names and arguments in other clothes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.hostile.mcp_support import FRAMEWORKS, SECRET, attacked

if TYPE_CHECKING:
    from pathlib import Path

NAMES: Final = (
    "Admin",
    "ADMIN",
    "admin ",
    " admin",
    "admin\n",
    "admin\x00",
    "\u0430dmin",
    "\uff41dmin",
    "adm\u200bin",
    "adm\u0131n",
    "ad%6Din",
    "admin/",
    "./admin",
    "documents_admin",
    "documents/admin",
    "admin@1",
    "admin:1",
    "*",
    "a*",
    "read|admin",
    "read,admin",
    "hidden",
    "as_*",
    "as_hidden",
    "a" * 5_000,
    "",
)
NO_NAMES: Final[tuple[Any, ...]] = (None, 1, True, ["admin"], {"name": "admin"})
DIFFERENT: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("within", {"folder": "null"}),
    ("within", {"folder": " null "}),
    ("every", {"names": '["held"]'}),
    ("every", {"names": ' [ "held" ] '}),
    ("every", {"names": ["held"]}),
    ("every", {"names": '["\\u0068eld"]'}),
    ("find", {"folder": SECRET}),
)
"""Calls whose arguments read differently, before and after the SDK has looked for JSON in text."""


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_no_other_name_calls_a_tool_that_is_denied(tmp_path: Path, framework: str) -> None:
    """Threats 3b 13-25, 31-45; R22: and what the policy does not know is denied, whether it is there or not."""
    async with attacked(tmp_path, framework) as server:
        token = server.world.token("alice")
        for name in (*NAMES, *NO_NAMES):
            reply = await server.ask(token, "tools/call", {"name": name, "arguments": {}})
            assert not reply.done, name
            assert reply.code in {0, -32001, -32602, -32020, -32600}, (name, reply.text[:300])
        for lie in ("read", "admin", "=?base64?YWRtaW4=?=", "=?base64?cmVhZA==?="):
            await server.ask(token, "tools/call", {"name": "admin", "arguments": {}}, Mcp_Name=lie)
            await server.ask(token, "tools/call", {"name": "admin", "arguments": {}}, Mcp_Method=lie)
        assert server.done.calls == []
        assert (await server.ask(token, "tools/call", {"name": "read", "arguments": {}})).done


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_rule_sees_the_arguments_that_the_tool_gets(tmp_path: Path, framework: str) -> None:
    """Threats 2.6 (parser differentials), 3b 61-62: text that the server takes for JSON is JSON to the policy too."""
    async with attacked(tmp_path, framework) as server:
        token = server.world.token("alice")
        for tool, arguments in DIFFERENT:
            await server.ask(token, "tools/call", {"name": tool, "arguments": arguments})
        # Only what was allowed as it is run: a folder of the name `null`, on a server that takes it for one.
        assert set(server.done.calls) <= {"within 'null'"}, server.done.calls
        if framework == "sdk":
            assert server.done.calls == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_denied_tool_looks_like_one_that_is_not_there(tmp_path: Path, framework: str) -> None:
    """R22, R23: status, code and text are the same, so that nobody learns what is hidden."""
    async with attacked(tmp_path, framework) as server:
        token = server.world.token("alice")
        seen = []
        for name in ("hidden", "nothing"):
            for arguments in ({}, {"a": 1}):
                reply = await server.ask(token, "tools/call", {"name": name, "arguments": arguments})
                error = reply.message["error"]
                error["data"].pop("request_id")
                seen.append((reply.status, error))
        assert all(one == seen[0] for one in seen), seen
