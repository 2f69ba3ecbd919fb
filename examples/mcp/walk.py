"""Walk through what a guarded server answers: an MCP client with the SDK's own OAuth flow, and nobody at the keyboard.

Usage: walk.py SERVER_URL ISSUER_URL
"""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client, types
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from mcp.shared.exceptions import MCPError
from pydantic import AnyUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

CALLBACK: Final = "http://127.0.0.1:51004/callback"
FLOOD: Final = 80
"""Calls, more than `guard.toml` lets through in a minute."""


class Memory:
    """Keeps the client's registration and its tokens."""

    def __init__(self, issuer: str) -> None:
        """Begin registered with an issuer, without tokens."""
        self.tokens: OAuthToken | None = None
        self._client = OAuthClientInformationFull(
            client_id="desktop", redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none", issuer=issuer
        )

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens."""
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep the tokens."""
        self.tokens = tokens
        print(f"    (a token with: {tokens.scope})")

    async def get_client_info(self) -> OAuthClientInformationFull:
        """Return the registration."""
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep another registration."""
        self._client = client_info


class Person:
    """Somebody who signs in at the development issuer by a click."""

    def __init__(self, name: str) -> None:
        """Have a name that the issuer knows."""
        self._name = name
        self._reply: Mapping[str, list[str]] = {}

    async def open_browser(self, url: str) -> None:
        """Open the issuer's page, and click."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            page = await http.get(url)
            asked = re.search(r'name="request" value="([^"]+)"', page.text)
            if asked is None:
                raise RuntimeError(f"the issuer shows no page to sign in: {page.text}")
            origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
            form = {"request": asked[1], "user": self._name}
            answer = await http.post(f"{origin}/authorize", data=form, headers={"Origin": origin})
        self._reply = parse_qs(urlsplit(answer.headers["Location"]).query)

    async def sent_back(self) -> AuthorizationCodeResult:
        """Return what the issuer sent the browser back with."""
        return AuthorizationCodeResult(**{name: values[0] for name, values in self._reply.items()})


@asynccontextmanager
async def client(name: str, server: str, issuer: str) -> AsyncIterator[Client]:
    """Connect as a person."""
    person = Person(name)
    auth = OAuthClientProvider(
        server,
        OAuthClientMetadata(client_name="walk", redirect_uris=[AnyUrl(CALLBACK)]),
        Memory(issuer),
        person.open_browser,
        person.sent_back,
    )

    async def agree(context: object, params: types.ElicitRequestParams) -> types.ElicitResult:  # noqa: ARG001  # of the Protocol
        print(f"    (asked: {params.message})")
        return types.ElicitResult(action="accept", content={"approve": True})

    async with httpx2.AsyncClient(auth=auth, trust_env=False, timeout=30) as http:
        transport = streamable_http_client(server, http_client=http)
        async with Client(transport, elicitation_callback=agree) as connected:
            yield connected


async def call(connected: Client, tool: str, **arguments: object) -> str:
    """Call a tool and return what came of it, in one line."""
    try:
        result = await connected.call_tool(tool, arguments)
    except MCPError as error:
        return f"denied ({error.error.code}): {error.error.message}"
    text = " ".join(getattr(part, "text", "") for part in result.content)
    return " ".join(text.split())


async def show(title: str, answer: Any) -> None:  # noqa: ANN401  # something to await
    """Print a step and what came of it."""
    print(f"  {title}", flush=True)
    print(f"    {await answer}", flush=True)


async def walk(server: str, issuer: str) -> None:
    """Take every step."""
    print("bob, a viewer of acme")
    async with client("bob", server, issuer) as bob:
        tools = (await bob.list_tools()).tools
        print(f"  sees {', '.join(tool.name for tool in tools)}")
        await show("lists the documents of his tenant", call(bob, "list_documents"))
        await show("reads the menu, which is his", call(bob, "read_document", id="menu"))
        await show("reads a confidential plan: the text is left out", call(bob, "read_document", id="plan"))
        await show("reads notes of another tenant", call(bob, "read_document", id="notes"))
        await show("counts all documents, with a tool that his list leaves out", call(bob, "count_documents"))
    print("alice, an editor of acme")
    async with client("alice", server, issuer) as alice:
        await show("reads her plan", call(alice, "read_document", id="plan"))
        await show("writes it: her client steps up", call(alice, "write_document", id="plan", body="Two products."))
        await show("deletes it: she is asked", call(alice, "delete_document", id="plan"))
        answers = [await call(alice, "list_documents") for _ in range(FLOOD)]
        await show("calls too often", _first_denial(answers))


async def _first_denial(answers: list[str]) -> str:
    return next((answer for answer in answers if answer.startswith("denied")), "nothing happened")


if __name__ == "__main__":
    asyncio.run(walk(*sys.argv[1:3]))
