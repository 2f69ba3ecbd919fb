"""What the tests of the SDK plug-in share: a server of documents, its policy, and ways to it."""
# ruff: noqa: ANN401  # options are whatever the SDK and the settings know

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx2
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from authz.mcp import protect, protect_local
from authz.pep.config import GuardConfig, Stdio
from authz.pep.mapping import Rule, Touches
from tests.oauth.support import Browser, Clock, issuing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from mcp.server.lowlevel import Server
    from mcp.shared.exceptions import MCPError
    from starlette.types import ASGIApp

WIRES: Final = {"2025-11-25": "legacy", "2026-07-28": "2026-07-28"}
"""Revisions of the protocol, and what the SDK's client calls them."""

POLICY: Final = """
scope "docs:read"
scope "docs:write" implies "docs:read"

role "viewer"
role "editor" extends "viewer"

resource "document" {}
resource "resource" {}
resource "prompt" {}

tool "whoami" { allow public }

tool "read_document" on "document" {
  require scope "docs:read"
  allow "read" role "viewer"
}

tool "open_document" on "document" {
  require scope "docs:read"
  allow "open" role "viewer"
}

tool "write_document" (title: string) on "document" {
  require scope "docs:write"
  allow "write" role "editor" when args.title != "forbidden"
}

tool "share_document" on "document" {
  require scope "docs:write"
  allow "share" role "editor" then "approval" { text: "It leaves the house." }
}

tool "show_secret" on "document" {
  allow "show" role "viewer" then "redact" { fields: "secret" }
}

tool "resources/read" on "resource" {
  allow "handbook" role "viewer" when resource.id == "docs://handbook"
  allow "pages" role "viewer" when resource.id like "docs://page/*"
}

tool "resources/subscribe" on "resource" {
  allow "changes" role "viewer" when resource.id == "docs://handbook"
}

tool "prompts/get" on "prompt" {
  allow "summary" role "viewer" when resource.id == "summarize"
}
"""
"""Reading for viewers, writing for editors, `whoami` for all; `hidden` is a tool that the policy does not know."""

MAPPING: Final = (
    Rule(("open_document",), Touches("document", ("id",), ("tenant",))),
    Rule(("*_document", "show_secret"), Touches("document", ("id",))),
)
"""Documents are the caller's tenant's; `open_document` names a tenant."""

ALICE: Final = Stdio("alice", scopes=("docs:read",), roles=("viewer",), tenant="acme")
EDITH: Final = Stdio("edith", scopes=("docs:write",), roles=("editor",), tenant="acme")


def documents(**options: Any) -> MCPServer[Any]:
    """Return a server that nobody guards yet."""
    server: MCPServer[Any] = MCPServer("documents", log_level="ERROR", **options)

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def read_document(id: str) -> str:  # noqa: A002  # its public name
        """Read a document."""
        return f"the text of {id}"

    @server.tool()
    def open_document(id: str, tenant: str) -> str:  # noqa: A002  # as above
        """Read a document of some tenant."""
        return f"the text of {id} of {tenant}"

    @server.tool()
    def write_document(id: str, title: str) -> str:  # noqa: A002  # as above
        """Write a document."""
        return f"{id} is now {title}"

    @server.tool()
    def share_document(id: str) -> str:  # noqa: A002  # as above
        """Share a document."""
        return f"{id} is shared"

    @server.tool()
    def show_secret(id: str) -> dict[str, str]:  # noqa: A002  # as above
        """Show a document with what must not be seen."""
        return {"id": id, "secret": "planted-secret"}

    @server.tool()
    def hidden() -> str:
        """Do what no rule is about."""
        return "done"

    @server.tool()
    def whoami() -> str:
        """Say who calls."""
        token = get_access_token()
        return (
            "nobody" if token is None else f"{token.subject} of {(token.claims or {})['tenant']} by {token.client_id}"
        )

    @server.resource("docs://handbook")
    def handbook() -> str:
        """Return the handbook."""
        return "how we work"

    @server.resource("docs://salaries")
    def salaries() -> str:
        """Return what few may see."""
        return "a lot"

    @server.resource("docs://page/{number}")
    def page(number: str) -> str:
        """Return a page."""
        return f"page {number}"

    @server.prompt()
    def summarize() -> str:
        """Summarize."""
        return "summarize it"

    @server.prompt()
    def dismiss() -> str:
        """Dismiss somebody."""
        return "dismiss them"

    return server


def settings(folder: Path, policy: str = POLICY, **given: Any) -> GuardConfig:
    """Return a guard that decides by itself, with the policy in a folder of its own."""
    policies = folder / "policies"
    policies.mkdir(exist_ok=True)
    (policies / "documents.authz").write_text(policy)
    usual: dict[str, Any] = {"policies": policies, "mapping": MAPPING, "deadline": 5.0}
    return GuardConfig(**(usual | given))


def local(folder: Path, who: Stdio | None = ALICE, *, policy: str = POLICY, **given: Any) -> MCPServer[Any]:
    """Return a guarded server for somebody without HTTP."""
    server = documents()
    protect_local(server, settings(folder, policy, stdio=who, **given))
    return server


def refused(error: MCPError) -> tuple[int, str]:
    """Return code and reason of a refusal."""
    data = error.error.data
    return error.error.code, str(data.get("reason", "")) if isinstance(data, dict) else ""


async def names(client: Client) -> list[str]:
    """Return the names of the tools that a client sees, in order."""
    return [tool.name for tool in (await client.list_tools()).tools]


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """Return a socket on a free port, and the URL of an MCP server there."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found, f"http://127.0.0.1:{found.getsockname()[1]}/mcp"


class _Server(uvicorn.Server):
    """Tells when it has started; leaves signals to pytest."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(uvicorn.Config(app, log_level="critical", lifespan="on", ws="none"))
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            raise RuntimeError("the app did not start: see the log") from None
        finally:
            self.up.set()


@asynccontextmanager
async def served(app: ASGIApp, on: socket.socket) -> AsyncIterator[None]:
    """Serve an app for real."""
    server = _Server(app)
    task = asyncio.create_task(server._serve([on]))
    await server.up.wait()
    try:
        if server.started:
            yield
    finally:
        server.should_exit = True
        await task


@dataclass(frozen=True)
class World:
    """A guarded server on loopback, and the issuer of the tokens that it takes."""

    url: str
    browser: Browser

    def token(self, user: str, scopes: str = "docs:read docs:write") -> str:
        """Return a token for the server, as a user's desktop gets it."""
        code = self.browser.sign_in(user, resource=self.url, scope=scopes).parameters["code"]
        return str(self.browser.exchange(code, resource=self.url).json()["access_token"])

    @asynccontextmanager
    async def client(self, user: str, wire: str = "2026-07-28", **options: Any) -> AsyncIterator[Client]:
        """Return the SDK's client, on one of the wires, with a token of its own."""
        token = self.token(user, **({"scopes": options.pop("scopes")} if "scopes" in options else {}))
        async with (
            self.http(token) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=WIRES[wire], **options) as client,
        ):
            yield client

    def http(self, token: str = "") -> httpx2.AsyncClient:
        """Return a plain client that sends a token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(headers=headers, timeout=10, trust_env=False)

    async def post(self, message: str | bytes, token: str, **headers: str) -> httpx2.Response:
        """Send bytes as they are, on the newer wire."""
        sent = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
        }
        async with self.http(token) as http:
            return await http.post(self.url, content=message, headers=sent | headers)


def issuer_config(resource: str) -> dict[str, Any]:
    """Return an issuer of tokens for a server: two tenants, and somebody who may read only."""
    scopes = ["docs:read", "docs:write"]
    return {
        "resources": [resource],
        "algorithm": "ES256",  # whose keys are made in no time
        "access_lifetime": 300,
        "clients": {
            "desktop": {
                "redirect_uris": ["http://127.0.0.1/callback"],
                "scopes": scopes,
                "grants": ["authorization_code", "refresh_token"],
            }
        },
        "users": {
            "alice": {"roles": ["viewer"], "tenant": "acme"},
            "edith": {"roles": ["editor"], "tenant": "acme"},
            "glen": {"roles": ["editor"], "tenant": "globex"},
        },
    }


def trusting(folder: Path, issuer: str, resource: str) -> Path:
    """Write whose tokens count."""
    path = folder / "issuers.toml"
    path.write_text(f"""
[[issuer]]
issuer = "{issuer}"
audiences = ["{resource}"]
algorithms = ["ES256"]
discovery = true
insecure_loopback = true
max_lifetime = 900
roles = "roles"
tenant = "tenant"
tenant_required = true
""")
    return path


@asynccontextmanager
async def guarded(
    folder: Path,
    server: MCPServer[Any] | Server[Any] | None = None,
    policy: str = POLICY,
    *,
    sdk: dict[str, Any] | None = None,
    **given: Any,
) -> AsyncIterator[World]:
    """Serve a guarded server with everything around it."""
    clock = Clock(time.time())
    with listening() as (found, url), issuing(clock, issuer_config(url)) as (_, browser):
        issuers = trusting(folder, browser.issuer, url)
        config = settings(folder, policy, resource=url, issuers=issuers, **given)
        app = protect(server if server is not None else documents(), config, **(sdk or {}))
        async with served(app, found):
            yield World(url, browser)
