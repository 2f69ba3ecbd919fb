"""Tokens in FastMCP's form, and the verifier for its own auth settings (issue 5, item 3)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.auth import RemoteAuthProvider
from pydantic import AnyHttpUrl

from authz.fastmcp import AuthzTokenVerifier
from authz.tokens import load_issuers, open_service
from tests.fastmcp.world import Served, documents
from tests.mcp.world import issuer_config, listening, served, trusting
from tests.oauth.support import Clock, issuing

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "https://mcp.example/mail"


async def test_it_validates_for_fastmcps_own_provider(tmp_path: Path) -> None:
    """R5, R6: `RemoteAuthProvider` with our verifier takes tokens for this server, and no others (S45)."""
    with listening() as (found, url), issuing(Clock(time.time()), config_for(url)) as (_, browser):
        tokens = open_service(load_issuers(trusting(tmp_path, browser.issuer, url)))
        verifier = AuthzTokenVerifier(tokens, resource=url)
        auth = RemoteAuthProvider(verifier, [AnyHttpUrl(browser.issuer)], base_url=url.removesuffix("/mcp"))
        world = Served(url, browser, None)  # type: ignore[arg-type]  # there is no gate
        try:
            async with served(documents(auth=auth).http_app(), found):
                async with Client(StreamableHttpTransport(url, auth=world.token("alice"))) as client:
                    assert (await client.call_tool("whoami", {})).data == "alice of acme by desktop"
                mail = browser.sign_in("alice", resource=OTHER, scope="docs:read").parameters["code"]
                wrong = str(browser.exchange(mail, resource=OTHER).json()["access_token"])
                answers = [(await world.post(json.dumps({}), token)).status_code for token in (wrong, "planted", "")]
        finally:
            await tokens.close()
    assert answers == [401, 401, 401]


async def test_it_says_what_the_token_says(tmp_path: Path) -> None:
    """S45, S62: client, scopes, expiry, the audience that is ours, and the claims that tools ask for."""
    url = "https://mcp.example/documents"
    with issuing(Clock(time.time()), config_for(url)) as (_, browser):
        tokens = open_service(load_issuers(trusting(tmp_path, browser.issuer, url)))
        code = browser.sign_in("edith", resource=url, scope="docs:read").parameters["code"]
        token = str(browser.exchange(code, resource=url).json()["access_token"])
        try:
            # Letter case of the host and a slash at the end make no other server of it (RFC 8707).
            known = await AuthzTokenVerifier(tokens, resource="https://MCP.example/documents/").verify_token(token)
            other = await AuthzTokenVerifier(tokens, resource=OTHER).verify_token(token)
        finally:
            await tokens.close()
    assert other is None
    assert known is not None
    assert (known.client_id, known.scopes, known.resource, known.subject) == ("desktop", ["docs:read"], url, "edith")
    assert known.expires_at is not None
    assert (known.claims["iss"], known.claims["tenant"], known.claims["roles"]) == (browser.issuer, "acme", ["editor"])
    assert known.claims["jti"]


@pytest.mark.parametrize("audiences", [(), ("",)])
def test_it_needs_an_audience(audiences: tuple[str, ...]) -> None:
    """R6: without one, tokens for any server would do."""
    with pytest.raises(ValueError, match="must not be empty"):
        AuthzTokenVerifier(None, resource="", audiences=audiences)  # type: ignore[arg-type]  # never used


def config_for(resource: str) -> dict[str, Any]:
    """Return an issuer of tokens for a server, and for another one."""
    config = issuer_config(resource)
    return {**config, "resources": [resource, OTHER]}
