"""What the tests of the FastMCP plug-in share: a server of documents, and ways to it; the policy is `tests.mcp`'s."""
# ruff: noqa: ANN401  # options and callbacks of FastMCP, whatever a test gives

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastmcp import Client, FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.dependencies import get_access_token
from mcp_types import ToolAnnotations

from authz.fastmcp import protect, protect_local
from tests.mcp.world import ALICE, POLICY, WIRES, World, issuer_config, listening, served, settings, trusting
from tests.oauth.support import Clock, issuing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from authz.pep.config import Stdio
    from authz.pep.http.gate import Gate


def documents(**options: Any) -> FastMCP[Any]:
    """Return a server that nobody guards yet."""
    server: FastMCP[Any] = FastMCP("documents", **options)

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def read_document(id: str) -> str:  # noqa: A002  # its public name
        """Read a document."""
        return f"the text of {id}"

    @server.tool
    def open_document(id: str, tenant: str) -> str:  # noqa: A002  # as above
        """Read a document of some tenant."""
        return f"the text of {id} of {tenant}"

    @server.tool
    def write_document(id: str, title: str) -> str:  # noqa: A002  # as above
        """Write a document."""
        return f"{id} is now {title}"

    @server.tool
    def share_document(id: str) -> str:  # noqa: A002  # as above
        """Share a document."""
        return f"{id} is shared"

    @server.tool
    def show_secret(id: str) -> dict[str, str]:  # noqa: A002  # as above
        """Show a document with what must not be seen."""
        if id == "broken":
            raise ValueError("planted-secret")
        return {"id": id, "secret": "planted-secret"}

    @server.tool
    def hidden() -> str:
        """Do what no rule is about."""
        return "done"

    @server.tool
    def whoami() -> str:
        """Say who calls."""
        token = get_access_token()
        return "nobody" if token is None else f"{token.subject} of {token.claims['tenant']} by {token.client_id}"

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

    @server.prompt
    def summarize() -> str:
        """Summarize."""
        return "summarize it"

    @server.prompt
    def dismiss() -> str:
        """Dismiss somebody."""
        return "dismiss them"

    return server


def local(
    folder: Path, who: Stdio | None = ALICE, server: FastMCP[Any] | None = None, *, policy: str = POLICY, **given: Any
) -> FastMCP[Any]:
    """Return a guarded server for somebody without HTTP."""
    server = documents() if server is None else server
    protect_local(server, settings(folder, policy, stdio=who, **given))
    return server


async def names(client: Client[Any]) -> list[str]:
    """Return the names of the tools that a client sees, in order."""
    return [tool.name for tool in await client.list_tools()]


@dataclass(frozen=True)
class Served(World):
    """A guarded FastMCP server on loopback, and the issuer of the tokens that it takes."""

    app: Gate

    @asynccontextmanager
    async def fastmcp(self, user: str, wire: str = "2026-07-28", **options: Any) -> AsyncIterator[Client[Any]]:
        """Return FastMCP's client, on one of the wires, with a token of its own."""
        token = self.token(user, **({"scopes": options.pop("scopes")} if "scopes" in options else {}))
        async with Client(StreamableHttpTransport(self.url, auth=token), mode=WIRES[wire], **options) as client:
            yield client


@asynccontextmanager
async def guarded(
    folder: Path,
    server: FastMCP[Any] | None = None,
    policy: str = POLICY,
    *,
    options: dict[str, Any] | None = None,
    **given: Any,
) -> AsyncIterator[Served]:
    """Serve a guarded server with everything around it."""
    clock = Clock(time.time())
    with listening() as (found, url), issuing(clock, issuer_config(url)) as (_, browser):
        config = settings(
            folder, policy, **({"resource": url, "issuers": trusting(folder, browser.issuer, url)} | given)
        )
        app = protect(documents() if server is None else server, config, **(options or {}))
        async with served(app, found):
            yield Served(url, browser, app)
