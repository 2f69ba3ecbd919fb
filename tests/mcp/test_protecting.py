"""What `protect` refuses, and the token verifier for the SDK's own auth settings (issue 5, item 3)."""
# ruff: noqa: ANN401  # what the SDK hands to middleware

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from pydantic import AnyHttpUrl

import authz.mcp
from authz.errors import AuthzError
from authz.mcp import AuthzTokenVerifier, ProtectError, protect, protect_local
from authz.mcp.catalogue import catalogue_of
from authz.pep.config import GuardConfigError
from authz.pep.obligations import Obligations
from authz.pep.opening import protection
from authz.tokens import load_issuers, open_service
from tests.mcp.world import ALICE, World, documents, issuer_config, local, names, settings, trusting
from tests.oauth.support import Clock, issuing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mcp.server.auth.provider import TokenVerifier
    from mcp.server.context import CallNext

RESOURCE = "https://docs.example/mcp"


def test_public_names_are_these() -> None:
    """Style: adding one is a decision."""
    assert authz.mcp.__all__ == sorted(authz.mcp.__all__) == dir(authz.mcp)
    assert all(getattr(authz.mcp, name) for name in authz.mcp.__all__)
    with pytest.raises(AttributeError):
        _ = authz.mcp.nothing


def test_a_server_is_protected_once(tmp_path: Path) -> None:
    """Issue 5, item 3: two guards would ask twice, and nobody would know which one answers."""
    server = local(tmp_path)
    with pytest.raises(ProtectError, match="protected already"):
        protect_local(server, settings(tmp_path))


def test_a_protection_is_taken_as_it_was_made(tmp_path: Path) -> None:
    """Issue 5, item 3: what would be ignored is refused."""
    server = documents()
    made = protection(settings(tmp_path), catalogue=catalogue_of(server, "documents"))
    with pytest.raises(ProtectError, match="where it is made"):
        protect_local(server, made, obligations=Obligations())
    protect_local(server, made)


def test_there_is_one_authority_for_tokens(tmp_path: Path) -> None:
    """S77: neither the SDK's auth settings nor its verifier beside the gate."""

    class Anyone:
        async def verify_token(self, token: str) -> None:
            """Take nobody."""

    auth = AuthSettings(
        issuer_url=AnyHttpUrl("https://idp.example"),
        resource_server_url=AnyHttpUrl(RESOURCE),
        validate_token_resource=True,
    )
    server: MCPServer[Any] = MCPServer("documents", auth=auth, token_verifier=Anyone())
    with pytest.raises(ProtectError, match="leave out `auth`"):
        protect_local(server, settings(tmp_path))
    with pytest.raises(ProtectError, match="`token_verifier` cannot be given"):
        protect(documents(), settings(tmp_path), token_verifier=Anyone())


def test_http_is_not_offered_without_issuers(tmp_path: Path) -> None:
    """S77: it refuses to start rather than take anyone."""
    server = documents()
    with pytest.raises(GuardConfigError, match="`resource` is missing") as raised:
        protect(server, settings(tmp_path))
    assert any("`issuers` is missing" in problem for problem in raised.value.problems)
    protect_local(server, settings(tmp_path))  # what was refused has left nothing behind


async def test_a_policy_that_cannot_be_used_is_not_served(tmp_path: Path) -> None:
    """Issue 5: the server does not start, and says why."""
    server = local(tmp_path, policy='tool "x" { allow everybody }')
    with pytest.raises(BaseException) as group:  # noqa: PT011  # a group that holds it
        async with Client(server, mode="2026-07-28"):
            pass
    assert isinstance(group.value, AuthzError) or group.group_contains(AuthzError)


async def test_servers_are_opened_as_often_as_they_run(tmp_path: Path) -> None:
    """Issue 5, item 3: in-memory clients come and go, some at the same time."""
    server = local(tmp_path)
    async with Client(server, mode="2026-07-28") as first:
        async with Client(server, mode="legacy") as second:
            assert await names(first) == await names(second)
        assert not (await first.call_tool("whoami", {})).is_error
    async with Client(server, mode="2026-07-28") as third:
        assert not (await third.call_tool("whoami", {})).is_error


async def test_middleware_that_stands_before_the_guard_cannot_change_what_it_sees(tmp_path: Path) -> None:
    """Issue 5, item 3: what is executed is decided about, whoever rewrote it."""
    server = documents()

    async def rewriting(ctx: Any, call_next: CallNext) -> Any:
        if ctx.method == "tools/call":
            ctx = replace(ctx, params={**ctx.params, "name": "hidden"})
        return await call_next(ctx)

    server.middleware.append(rewriting)
    protect_local(server, settings(tmp_path, stdio=ALICE))
    async with Client(server, mode="2026-07-28") as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("whoami", {})
    assert raised.value.error.code == -32001


@pytest.fixture
def issued(tmp_path: Path) -> Iterator[tuple[World, Path]]:
    """Return an issuer of tokens for `RESOURCE`, and the file that trusts it."""
    with issuing(Clock(time.time()), issuer_config(RESOURCE)) as (_, browser):
        yield World(RESOURCE, browser), trusting(tmp_path, browser.issuer, RESOURCE)


async def test_a_verifier_tells_the_sdk_who_calls(issued: tuple[World, Path]) -> None:
    """Issue 5, item 3; mcp.md 5b: principal, scopes and end of a token, in the SDK's form."""
    world, path = issued
    tokens = open_service(load_issuers(path))
    verifier: TokenVerifier = AuthzTokenVerifier(tokens, resource=RESOURCE)
    try:
        known = await verifier.verify_token(world.token("alice"))
        assert known is not None
        assert (known.subject, known.client_id, known.resource) == ("alice", "desktop", RESOURCE)
        assert known.scopes == ["docs:read", "docs:write"]
        assert known.expires_at is not None
        assert known.expires_at > time.time()
        claims = known.claims or {}
        assert (claims["iss"], claims["tenant"], claims["roles"]) == (world.browser.issuer, "acme", ["viewer"])
        assert claims["jti"]
    finally:
        await tokens.close()


async def test_a_verifier_knows_nobody_by_a_bad_token(issued: tuple[World, Path]) -> None:
    """R6, R7: whatever is wrong with it; a token for another server too."""
    world, path = issued
    token = world.token("alice")
    tokens = open_service(load_issuers(path))
    try:
        ours = AuthzTokenVerifier(tokens, resource=RESOURCE)
        assert await ours.verify_token("") is None
        assert await ours.verify_token(token[:-8] + "AAAAAAAA") is None
        assert await AuthzTokenVerifier(tokens, resource="https://mail.example/mcp").verify_token(token) is None
        assert await AuthzTokenVerifier(tokens, resource="x", audiences={f"{RESOURCE}/"}).verify_token(token)
        with pytest.raises(ValueError, match="must not be empty"):
            AuthzTokenVerifier(tokens, resource="")
    finally:
        await tokens.close()
