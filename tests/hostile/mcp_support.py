"""What the attacks on guarded MCP servers share: a server on each framework that tells what it did, and raw ways in."""
# ruff: noqa: ANN401  # JSON, and options of whatever framework

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx2
from fastmcp import FastMCP
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import Completion

from authz.pep.mapping import Rule, Touches
from tests.fastmcp import world as fastmcp_world
from tests.mcp import world as mcp_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.mcp.world import World

FRAMEWORKS: Final = ("sdk", "fastmcp")
LEGACY: Final = "2025-11-25"
MODERN: Final = "2026-07-28"
SECRET: Final = "planted-secret"  # no password
NAMED: Final = {"tools/call": "name", "resources/read": "uri", "prompts/get": "name"}

POLICY: Final = f"""
scope "docs:read"
scope "docs:write" implies "docs:read"
role "viewer"
role "editor" extends "viewer"
resource "document" {{}}
resource "resource" {{}}
resource "prompt" {{}}

tool "whoami" {{ allow public }}
tool "read" {{ allow "read" role "viewer" }}
tool "write" on "document" {{
  require scope "docs:write"
  allow "write" role "editor"
}}
tool "admin" {{ allow "admin" role "editor" }}
tool "find" {{
  allow "find" role "viewer"
  deny "not the secret one" when args.folder == "{SECRET}"
}}
tool "within" {{ allow "named" role "viewer" when args.folder == "null" }}
tool "every" {{
  allow "every" role "viewer"
  deny "not that one" when args.names == ["held"]
}}
tool "as_*" {{ allow "redacted" role "viewer" then "redact" {{ fields: "**.secret" }} }}
tool "share" {{ allow "share" role "viewer" then "approval" {{ text: "Sure?" }} }}
tool "completion/complete" {{ allow "complete" role "viewer" then "approval" {{ text: "Sure?" }} }}
tool "resources/read" on "resource" {{
  allow "all" role "viewer"
  deny "held back" when resource.id in ["docs://held", "docs://page/held", "docs://page/held/end"]
}}
tool "prompts/get" on "prompt" {{ allow "ask" role "viewer" when resource.id == "ask" }}
"""
MAPPING: Final = (Rule(("write",), Touches("document", ("id",))),)


@dataclass
class Done:
    """What a server did, whoever asked for it."""

    calls: list[str] = field(default_factory=list)


def server(framework: str, done: Done) -> Any:
    """Return a server that notes what it does; its functions are the same on both frameworks."""
    made: Any = MCPServer("documents", log_level="ERROR") if framework == "sdk" else FastMCP("documents")
    _tools(made, done)
    _results(made, done)
    _resources(made, done)

    async def completed(_ref: Any, _argument: Any, _context: Any) -> Completion:
        """Complete an argument by what few may see."""
        done.calls.append("complete")
        return Completion(values=[SECRET])

    (made.completion() if framework == "sdk" else made.completion)(completed)
    return made


def _tools(made: MCPServer[Any], done: Done) -> None:
    @made.tool()
    def whoami() -> str:
        """Say who calls."""
        return "somebody"

    @made.tool()
    def read(id: str = "") -> str:  # noqa: A002  # its public name
        """Read."""
        done.calls.append(f"read {id}")
        return "text"

    @made.tool()
    def write(id: str) -> str:  # noqa: A002  # as above
        """Write."""
        done.calls.append(f"write {id}")
        return "written"

    @made.tool()
    def admin() -> str:
        """Do what editors do."""
        done.calls.append("admin")
        return "done"

    @made.tool()
    def hidden() -> str:
        """Do what no rule is about."""
        done.calls.append("hidden")
        return "done"

    @made.tool()
    def find(folder: str | None = None) -> str:
        """Find something."""
        done.calls.append(f"find {folder!r}")
        return "found"

    @made.tool()
    def within(folder: str | None = None) -> str:
        """Look into a folder, or everywhere."""
        done.calls.append(f"within {folder!r}")
        return "found"

    @made.tool()
    def every(names: list[str]) -> str:
        """Look at each."""
        done.calls.append(f"every {names!r}")
        return "found"

    @made.tool()
    def share(id: str) -> str:  # noqa: A002  # as above
        """Share."""
        done.calls.append(f"share {id}")
        return "shared"


def _results(made: MCPServer[Any], done: Done) -> None:
    @made.tool()
    def as_text() -> str:
        """Return JSON as text, which servers wrap."""
        return json.dumps({"id": 1, "secret": SECRET})

    @made.tool()
    def as_texts() -> list[str]:
        """Return several."""
        return [json.dumps({"id": 1, "secret": SECRET}), SECRET]

    @made.tool()
    def as_plain() -> str:
        """Return text with the secret in it."""
        return f"it is {SECRET}"

    @made.tool()
    def as_objects() -> list[dict[str, Any]]:
        """Return objects in a list."""
        return [{"deep": {"secret": SECRET, "list": [{"secret": SECRET}]}}]

    @made.tool()
    def as_fields() -> dict[str, str]:
        """Return an object whose fields hold JSON as text."""
        return {"id": "1", "body": json.dumps([{"secret": SECRET}])}

    @made.tool()
    def as_failure() -> str:
        """Fail."""
        raise ValueError(SECRET)

    @made.tool()
    def as_error() -> str:
        """Fail in the protocol's own words."""
        done.calls.append("as_error")
        raise MCPError(-32050, SECRET, {"secret": SECRET})


def _resources(made: MCPServer[Any], done: Done) -> None:
    @made.resource("docs://held")
    def held() -> str:
        """Return what is held back."""
        done.calls.append("held")
        return SECRET

    @made.resource("docs://page/{number}")
    def page(number: str) -> str:
        """Return a page."""
        done.calls.append(f"page {number}")
        return SECRET if number == "held" else "a page"

    @made.resource("docs://page/{number}/end")
    def end(number: str) -> str:
        """Return the end of a page."""
        done.calls.append(f"end {number}")
        return SECRET if number == "held" else "an end"

    @made.resource("docs://failing")
    def failing() -> str:
        """Fail in the protocol's own words."""
        done.calls.append("failing")
        raise MCPError(-32050, SECRET, {"secret": SECRET})

    @made.resource("docs://bytes")
    def as_bytes() -> bytes:
        """Return what is not looked into."""
        return json.dumps({"secret": SECRET}).encode()

    @made.prompt("ask")
    def ask(what: str = "") -> str:
        """Ask."""
        return f"ask {what}"

    @made.prompt("secret")
    def secret() -> str:
        """Tell."""
        done.calls.append("prompt secret")
        return SECRET


@dataclass(frozen=True)
class Reply:
    """What came back over HTTP: status, headers in lower case, the message of JSON-RPC, and all of the text."""

    status: int
    headers: Mapping[str, str]
    message: dict[str, Any]
    text: str

    @property
    def code(self) -> int:
        """Return the error's code, 0 without one."""
        return int(self.message.get("error", {}).get("code", 0))

    @property
    def done(self) -> bool:
        """Say whether there is a result, and no tool that failed."""
        return "result" in self.message and not self.message["result"].get("isError", False)


@dataclass(frozen=True)
class Attacked:
    """A guarded server, and what it did."""

    world: World
    done: Done
    http: httpx2.AsyncClient

    async def ask(
        self, token: str, method: str, params: Mapping[str, Any] | None = None, *, wire: str = MODERN, **headers: str
    ) -> Reply:
        """Send a good request; `headers` are added, underscores in their names being hyphens."""
        sent = dict(params or {})
        named: dict[str, str] = {}
        if wire == MODERN:
            sent["_meta"] = META | sent.get("_meta", {})
            named["Mcp-Method"] = headed(method)
            if isinstance(name := sent.get(NAMED.get(method, "")), str):
                named["Mcp-Name"] = headed(name)
        return await self.send(
            json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": sent}),
            token,
            **named | {"MCP-Protocol-Version": wire} | {name.replace("_", "-"): one for name, one in headers.items()},
        )

    async def send(self, body: str | bytes, token: str, **headers: str) -> Reply:
        """Send a body as it is."""
        usual = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
        }
        answer = await self.http.post(self.world.url, content=body, headers=usual | headers)
        return Reply(answer.status_code, dict(answer.headers), _message(answer.text), answer.text)

    async def session(self, token: str) -> str:
        """Open a session on the older wire; return its id."""
        params = {
            "protocolVersion": LEGACY,
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "attacker", "version": "1"},
        }
        reply = await self.ask(token, "initialize", params, wire=LEGACY)
        id_ = reply.headers["mcp-session-id"]
        ready = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})
        await self.send(ready, token, **{"Mcp-Session-Id": id_, "MCP-Protocol-Version": LEGACY})
        return id_

    async def wire(self, *pieces: bytes) -> bytes:
        """Write bytes to a connection of their own, and return all that comes back until it is closed."""
        parts = urlsplit(self.world.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


META: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
    "io.modelcontextprotocol/clientInfo": {"name": "attacker", "version": "1"},
}


def headed(name: str) -> str:
    """Return a name as a header holds it (R17)."""
    if name.isascii() and name.isprintable() and name == name.strip():
        return name
    return f"=?base64?{base64.b64encode(name.encode('utf-8', 'surrogatepass')).decode()}?="


def _message(text: str) -> dict[str, Any]:
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    try:
        found = json.loads(data[-1] if data else text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@asynccontextmanager
async def attacked(folder: Path, framework: str, policy: str = POLICY, **given: Any) -> AsyncIterator[Attacked]:
    """Serve a guarded server that tells what it did."""
    done = Done()
    settings = {"mapping": MAPPING} | given
    world = mcp_world if framework == "sdk" else fastmcp_world
    async with (
        world.guarded(folder, server(framework, done), policy, **settings) as found,
        httpx2.AsyncClient(timeout=10, trust_env=False) as http,
    ):
        yield Attacked(found, done, http)
