"""What FastMCP composes and hides: a policy always sees the tool that runs (issue 5, items 3 and 5)."""
# ruff: noqa: ANN401  # options and callbacks of FastMCP, whatever a test gives

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastmcp import Client, FastMCP, FastMCPApp
from fastmcp.server.auth import require_scopes
from fastmcp.server.middleware import Middleware
from fastmcp.server.middleware.caching import ResponseCachingMiddleware
from fastmcp.server.middleware.tool_injection import ToolInjectionMiddleware
from fastmcp.server.providers.addressing import hashed_backend_name
from fastmcp.server.transforms.search import RegexSearchTransform
from fastmcp.tools import Tool, ToolResult
from mcp.server import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import ToolAnnotations

from authz.fastmcp import AuthzMiddleware, ProtectError, ServerCatalogue, protect, protect_local
from authz.mcp import protect as protect_sdk
from authz.pep import Obligations, protection
from tests.fastmcp.world import documents, guarded, local, names
from tests.mcp.world import ALICE, EDITH, POLICY, WIRES, refused, settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from authz.pep.catalogue import Item

on_both_wires = pytest.mark.parametrize("wire", WIRES)


async def code_of(client: Client[Any], tool: str, arguments: dict[str, Any] | None = None, **more: Any) -> int:
    """Return the code that a call is refused with."""
    with pytest.raises(MCPError) as raised:
        await client.call_tool(tool, arguments or {}, **more)
    return refused(raised.value)[0]


def plain(name: str = "server", **options: Any) -> FastMCP[Any]:
    """Return a server without tools."""
    return FastMCP(name, **options)


@on_both_wires
async def test_a_tool_of_several_versions_is_asked_about_as_the_one_that_runs(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 5: a caller names the version, and its tags are what a rule is about."""
    server = plain()

    @server.tool(name="report", version="1.0", tags={"internal"})
    def first() -> str:
        """Report all."""
        return "all of it"

    @server.tool(name="report", version="2.0", tags={"open"})
    def second() -> str:
        """Report some."""
        return "some of it"

    policy = 'tool "*" { allow anyone when "open" in tool.tags }'
    async with Client(local(tmp_path, ALICE, server, policy=policy, mapping=()), mode=WIRES[wire]) as client:
        assert (await client.call_tool("report")).data == "some of it"
        assert (await client.call_tool("report", version="2.0")).data == "some of it"
        assert await code_of(client, "report", version="1.0") == -32001


async def test_a_tool_under_a_hashed_name_is_asked_about_by_its_own(tmp_path: Path) -> None:
    """Issue 5, item 5: FastMCP runs an app's tools under names that no list shows; no rule knows these."""
    app = FastMCPApp("desk")

    @app.tool
    def erase() -> str:
        """Erase."""
        return "erased"

    server = plain()
    server.add_provider(app)
    policy = 'tool "*" { allow anyone }\ntool "erase" { deny }'
    name = hashed_backend_name("desk", "erase")
    async with Client(server) as client:
        assert (await client.call_tool(name)).data == "erased"
    async with Client(local(tmp_path, ALICE, server, policy=policy, mapping=())) as client:
        assert await code_of(client, "erase") == -32001
        assert await code_of(client, name) == -32001


@on_both_wires
async def test_a_tool_that_only_a_search_finds_is_asked_about_by_its_own_name(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 5: `call_tool` of a search runs any tool, and each is a call of its own."""
    server = plain()

    @server.tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    @server.tool
    def erase() -> str:
        """Erase."""
        return "erased"

    server.add_transform(RegexSearchTransform())
    policy = 'tool "add", "search_tools", "call_tool" { allow anyone }'
    async with Client(local(tmp_path, ALICE, server, policy=policy, mapping=()), mode=WIRES[wire]) as client:
        assert await names(client) == ["search_tools", "call_tool"]
        found = await client.call_tool("search_tools", {"pattern": "add|erase"})
        assert "add" in str(found.content)
        assert "erase" not in str(found.content)
        assert "3" in str((await client.call_tool("call_tool", {"name": "add", "arguments": {"a": 1, "b": 2}})).content)
        erased = await client.call_tool("call_tool", {"name": "erase", "arguments": {}}, raise_on_error=False)
        assert erased.is_error
        assert await code_of(client, "erase") == -32001


async def test_a_tool_that_calls_another_one_needs_both(tmp_path: Path) -> None:
    """Issue 5, item 5: the caller stays the same, and the gate's verdict is of the first call only."""
    server = documents()

    @server.tool
    async def relay(name: str) -> str:
        """Call another tool."""
        result = await server.call_tool(name, {})
        return str(result.content[0].text)  # type: ignore[union-attr]

    policy = POLICY + 'tool "relay" { allow anyone }\n'
    async with guarded(tmp_path, server, policy) as world, world.fastmcp("alice") as client:
        assert (await client.call_tool("relay", {"name": "whoami"})).data == "alice of acme by desktop"
        hidden = await client.call_tool("relay", {"name": "hidden"}, raise_on_error=False)
    assert hidden.is_error
    assert "done" not in str(hidden.content)


async def test_hints_and_tags_are_what_rules_are_about(tmp_path: Path) -> None:
    """Issue 5, item 5: a hint that is absent is not false."""
    server = plain()

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def reads() -> str:
        """Read."""
        return "read"

    @server.tool(annotations=ToolAnnotations(read_only_hint=False))
    def writes() -> str:
        """Write."""
        return "written"

    @server.tool
    def unsaid() -> str:
        """Do something."""
        return "done"

    policy = 'tool "*" { allow anyone when not tool.read_only }'
    async with Client(local(tmp_path, ALICE, server, policy=policy, mapping=())) as client:
        assert await names(client) == ["writes"]
        assert (await client.call_tool("writes")).data == "written"
        assert await code_of(client, "reads") == -32001
        assert await code_of(client, "unsaid") == -32001


async def test_a_tool_that_was_replaced_is_seen_at_the_next_call(tmp_path: Path) -> None:
    """Issue 5, item 3: the catalogue is kept until something changes, and no longer."""
    server = plain(on_duplicate="replace")

    def act() -> str:
        return "done"

    policy = 'tool "*" { allow anyone when "open" in tool.tags }'
    server.add_tool(Tool.from_function(act, tags={"open"}))
    async with Client(local(tmp_path, ALICE, server, policy=policy, mapping=())) as client:
        assert (await client.call_tool("act")).data == "done"
        server.add_tool(Tool.from_function(act, tags={"closed"}))
        assert await code_of(client, "act") == -32001
        server.add_tool(Tool.from_function(act, name="other", tags={"open"}))
        assert (await client.call_tool("other")).data == "done"


async def test_what_middleware_injects_is_guarded_too(tmp_path: Path) -> None:
    """Issue 5, item 3: ours is the outermost, so that nothing answers before it."""
    server = documents()
    injected = Tool.from_function(lambda: "injected", name="extra", description="Extra")
    server.add_middleware(ToolInjectionMiddleware(tools=[injected]))
    async with Client(local(tmp_path, ALICE, server)) as client:
        assert "extra" not in await names(client)
        assert await code_of(client, "extra") == -32001


async def test_a_cache_of_fastmcp_answers_nobody_who_was_not_asked_about(tmp_path: Path) -> None:
    """Issue 5: no decision is reused across subjects; FastMCP's cache keeps results, and stands behind the guard."""
    server = documents(middleware=[ResponseCachingMiddleware()])
    async with guarded(tmp_path, server, list_mode="callable") as world:
        async with world.fastmcp("edith") as client:
            shown = await names(client)
            assert "write_document" in shown
            written = await client.call_tool("write_document", {"id": "d1", "title": "x"})
            assert written.data == "d1 is now x"
        async with world.fastmcp("alice") as client:
            assert "write_document" not in await names(client)
            assert await code_of(client, "write_document", {"id": "d1", "title": "x"}) == -32001


async def test_no_other_middleware_answers_before_the_guard(tmp_path: Path) -> None:
    """Issue 5, item 3: whatever stood there first."""

    class Answers(Middleware):
        """Answers every call itself."""

        async def on_call_tool(self, context: Any, call_next: Any) -> ToolResult:
            """Answer."""
            return ToolResult("from elsewhere", {"result": "from elsewhere"})

    async with Client(local(tmp_path, ALICE, documents(middleware=[Answers()]))) as client:
        assert "from elsewhere" in str((await client.call_tool("read_document", {"id": "d1"})).content)
        assert await code_of(client, "hidden") == -32001


async def test_fastmcps_own_checks_still_count(tmp_path: Path) -> None:
    """Issue 5, item 3: `tool(auth=…)` sees the caller whom the gate admitted, and may refuse what the policy allows."""
    server = documents()

    @server.tool(auth=require_scopes("docs:write"))
    def strict() -> str:
        """Do what FastMCP itself asks a scope for."""
        return "done"

    policy = POLICY + 'tool "strict" { allow anyone }\n'
    async with guarded(tmp_path, server, policy) as world:
        async with world.fastmcp("edith") as client:
            assert (await client.call_tool("strict")).data == "done"
        async with world.fastmcp("alice", scopes="docs:read") as client:
            assert "strict" not in await names(client)
            refused_ = await client.call_tool("strict", raise_on_error=False)
            assert refused_.is_error


async def test_what_is_switched_off_is_off_for_all(tmp_path: Path) -> None:
    """Issue 5, item 3: FastMCP's visibility is configuration, and narrows what policies allow."""
    server = documents()
    server.disable(names={"whoami"})
    async with Client(local(tmp_path, ALICE, server)) as client:
        assert "whoami" not in await names(client)
        assert (await client.call_tool("whoami", raise_on_error=False)).is_error


@pytest.mark.parametrize("how", [protect, protect_local])
def test_a_server_is_protected_once(tmp_path: Path, how: Any) -> None:
    """Issue 5, item 3."""
    server = local(tmp_path)
    with pytest.raises(ProtectError, match="protected already"):
        how(server, settings(tmp_path))


class NothingKnown:
    """A catalogue of the program's own, which says nothing of any tool."""

    async def tools(self) -> Sequence[Item]:
        """List none."""
        return ()

    async def tool(self, _name: str) -> Item | None:
        """Know none."""
        return None


@pytest.mark.parametrize("own", [True, False])
async def test_a_protection_is_taken_as_it_was_made(tmp_path: Path, *, own: bool) -> None:
    """Issue 6: as the SDK's plug-in takes one, whatever its catalogue is; what would be ignored is refused."""
    server = documents()
    catalogue = ServerCatalogue(server, "documents") if own else NothingKnown()
    made = protection(settings(tmp_path, stdio=ALICE), catalogue=catalogue)
    with pytest.raises(ProtectError, match="where it is made"):
        protect_local(server, made, obligations=Obligations())
    assert not any(isinstance(one, AuthzMiddleware) for one in server.middleware)
    protect_local(server, made)
    async with Client(server) as client:
        seen = await names(client)
        assert "whoami" in seen
        assert "hidden" not in seen
        with pytest.raises(MCPError):
            await client.call_tool("hidden")


def test_two_authorities_are_refused(tmp_path: Path) -> None:
    """Issue 5, item 3: FastMCP's own `auth` would answer before the gate."""
    from fastmcp.server.auth import StaticTokenVerifier

    server = documents(auth=StaticTokenVerifier({"planted": {"client_id": "x", "scopes": []}}))
    before = list(server.middleware)
    with pytest.raises(ProtectError, match="`auth` of its own"):
        protect(server, settings(tmp_path))
    assert server.middleware == before


def test_a_guard_for_http_needs_issuers(tmp_path: Path) -> None:
    """Principle: a setting whose absence would weaken a check has no default; the server stays as it was."""
    from authz.pep.config import GuardConfigError

    server = documents()
    before = list(server.middleware)
    with pytest.raises(GuardConfigError, match="issuers"):
        protect(server, settings(tmp_path, resource="http://127.0.0.1/mcp"))
    assert server.middleware == before


@pytest.mark.parametrize("option", ["path", "transport"])
def test_the_gates_own_options_cannot_be_given(tmp_path: Path, option: str) -> None:
    """R3: the path is that of `resource`, or clients would not find the metadata."""
    given: dict[str, Any] = {option: "sse"}
    with pytest.raises(ProtectError, match=option):
        protect(documents(), settings(tmp_path), **given)


async def test_a_program_that_calls_its_own_tools_is_nobody(tmp_path: Path) -> None:
    """R1: the caller of `[stdio]` is who sends messages; a background task of an HTTP server must not become it."""
    server = local(tmp_path, EDITH)
    async with Client(server):
        with pytest.raises(MCPError, match="not admitted"):
            await server.call_tool("whoami", {})
    assert not (await server.call_tool("whoami", {}, run_middleware=False)).is_error


def test_a_server_of_the_other_kind_is_sent_to_its_own_plug_in(tmp_path: Path) -> None:
    """Issue 5, item 3: whoever imports the wrong `protect` learns which is the right one."""
    with pytest.raises(ProtectError, match=r"there is `authz\.mcp`"):
        protect(MCPServer("server"), settings(tmp_path))  # type: ignore[arg-type]  # the mistake
    with pytest.raises(ProtectError, match=r"there is `authz\.fastmcp`"):
        protect_sdk(documents(), settings(tmp_path))  # type: ignore[arg-type]  # the mistake


async def test_the_log_says_what_to_do_where_nobody_is_admitted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 5, Done when: a newcomer who forgets `[stdio]` reads which setting is missing; the caller does not."""
    async with Client(local(tmp_path, None)) as client:
        with pytest.raises(MCPError, match=r"^not admitted$"):
            await client.list_tools()
    assert "no `[stdio]` in the guard file says who sends such" in caplog.text
