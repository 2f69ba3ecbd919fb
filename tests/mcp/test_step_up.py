"""The SDK's own OAuth client steps up at our gate, end to end (issue 5, item 4)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from mcp.shared.exceptions import MCPError
from pydantic import AnyUrl

from tests.mcp.world import WIRES, World, guarded, names, refused
from tests.oauth.support import CALLBACK, sent_back

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.parametrize("wire", WIRES)


class Storage:
    """What a client keeps: it is registered already, and has no token yet."""

    def __init__(self) -> None:
        """Begin without a token."""
        self.tokens: OAuthToken | None = None
        self.client = OAuthClientInformationFull(
            client_id="desktop", redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none"
        )

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens."""
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep new ones."""
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return what the issuer knows the client by."""
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep what the issuer knows."""
        self.client = client_info


class Person:
    """Somebody at a browser who says yes to everything that a client asks for."""

    def __init__(self, world: World, user: str) -> None:
        """Sit down."""
        self.world = world
        self.user = user
        self.asked: list[str] = []
        """The scopes of each authorization."""
        self.refusals: list[tuple[int, str]] = []
        """Status and challenge of each answer that was none."""
        self._reply: dict[str, str] = {}

    async def redirected(self, url: str) -> None:
        """Follow the client to the issuer, and click."""
        self.asked.append(httpx2.URL(url).params["scope"])
        page = self.world.browser.http.get(url)
        self._reply = sent_back(self.world.browser.click(page, user=self.user)).parameters

    async def came_back(self) -> AuthorizationCodeResult:
        """Return what the issuer sent back."""
        return AuthorizationCodeResult(**self._reply)

    @asynccontextmanager
    async def client(self, wire: str) -> AsyncIterator[Client]:
        """Open a client that gets its tokens by itself."""
        provider = OAuthClientProvider(
            self.world.url,
            OAuthClientMetadata(redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none"),
            Storage(),
            self.redirected,
            self.came_back,
        )

        async def note(response: httpx2.Response) -> None:
            if response.status_code in {401, 403}:
                self.refusals.append((response.status_code, response.headers["WWW-Authenticate"]))

        async with (
            httpx2.AsyncClient(auth=provider, timeout=10, trust_env=False, event_hooks={"response": [note]}) as http,
            Client(streamable_http_client(self.world.url, http_client=http), mode=WIRES[wire]) as client,
        ):
            yield client


async def test_a_client_begins_with_little_and_steps_up(tmp_path: Path, wire: str) -> None:
    """R3, R4, R9, R10, R11, R13, C8: 401, a token for reading; 403, one for writing as well; the call is made."""
    async with guarded(tmp_path) as world:
        edith = Person(world, "edith")
        async with edith.client(wire) as client:
            assert (await client.call_tool("read_document", {"id": "d1"})).structured_content
            assert edith.asked == ["docs:read"]
            assert "write_document" in await names(client)
            result = await client.call_tool("write_document", {"id": "d1", "title": "x"})
            assert result.structured_content == {"result": "d1 is now x"}
            # What it has is enough for what it could do before.
            assert (await client.call_tool("read_document", {"id": "d1"})).structured_content
    assert edith.asked == ["docs:read", "docs:read docs:write"]
    assert [status for status, _ in edith.refusals] == [401, 403]
    first, second = (challenge for _, challenge in edith.refusals)
    metadata = world.url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
    assert f'resource_metadata="{metadata}"' in first
    assert 'scope="docs:read"' in first
    assert "error=" not in first  # RFC 6750, section 3.1: there was no token
    assert 'error="insufficient_scope"' in second
    assert 'scope="docs:write"' in second
    assert f'resource_metadata="{metadata}"' in second


async def test_nobody_steps_up_to_what_scopes_do_not_open(tmp_path: Path, wire: str) -> None:
    """R9, S91: a viewer is told no at once, without being sent to the issuer for nothing."""
    async with guarded(tmp_path) as world:
        alice = Person(world, "alice")
        async with alice.client(wire) as client:
            with pytest.raises(MCPError) as raised:
                await client.call_tool("write_document", {"id": "d1", "title": "x"})
    assert refused(raised.value) == (-32001, "NO_ALLOW")
    assert alice.asked == ["docs:read"]


async def test_one_challenge_names_all_scopes(tmp_path: Path, wire: str) -> None:
    """R10: also those that the token has, since clients before 2026-07-28 replace their scopes."""
    policy = """
scope "docs:read"
scope "docs:write"
tool "whoami" { require scope all "docs:read", "docs:write"
  allow role "editor" }
tool "read_document" { require scope "docs:read"
  allow role "editor" }
role "editor"
"""
    async with guarded(tmp_path, policy=policy, mapping=()) as world:
        edith = Person(world, "edith")
        async with edith.client(wire) as client:
            await client.list_tools()  # the SDK's client goes to the issuer once for each request
            assert (await client.call_tool("whoami", {})).structured_content == {"result": "edith of acme by desktop"}
    assert edith.asked == ["docs:read", "docs:read docs:write"]
    assert 'scope="docs:read docs:write"' in edith.refusals[-1][1]
