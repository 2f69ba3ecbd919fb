"""Put the guard into a FastMCP server, and the step-up gate before it."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from fastmcp import FastMCP
from fastmcp.server.auth import AccessToken
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.authentication import AuthCredentials

from authz.fastmcp.callers import note_gate
from authz.fastmcp.catalogue import ServerCatalogue
from authz.fastmcp.middleware import AuthzMiddleware
from authz.fastmcp.schemas import schemas_of
from authz.mcp.protecting import ProtectError
from authz.mcp.verifier import access_token, matching
from authz.pep.config import GuardConfig
from authz.pep.http.gate import Gate
from authz.pep.opening import Protection, protection
from authz.pep.pdp import PdpError
from authz.pep.reading import load_guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from starlette.types import ASGIApp, Scope

    from authz.pep.mapping import Function, Mapping
    from authz.pep.obligations import Obligations
    from authz.tokens.caller import Caller

_OWN: Final = ("path", "transport")
_PUBLIC: Final = frozenset({"server/discover"})
"""What is the same for all callers."""


def protect(
    server: FastMCP[Any],
    config: GuardConfig | Protection | str | Path,
    *,
    mapping: Mapping | Function | None = None,
    obligations: Obligations | None = None,
    **options: Any,  # noqa: ANN401  # FastMCP's own
) -> Gate:
    """Guard a server on all its transports, and return its app for Streamable HTTP behind the step-up gate.

    `config` is a guard file, what one says, or a protection that was made of either. `options` go to the
    server's `http_app` (`stateless_http`, `json_response`, …); its path is that of the configured `resource`.
    Serving the server over HTTP in any other way, as `server.run("http")` does, denies every call.

    Raises `ProtectError` for a server that is protected already, or that has `auth` of its own;
    `GuardConfigError` and `TokenConfigError` for settings that cannot be used.
    """
    if found := [name for name in _OWN if name in options]:
        raise ProtectError(f"`{found[0]}` cannot be given: it is Streamable HTTP, at the path of `resource`")
    opened, catalogue = _made(server, config, mapping, obligations)
    settings = opened.settings
    resource = urlsplit(settings.resource)
    options.setdefault("host_origin_protection", "auto")
    options.setdefault("allowed_hosts", [resource.netloc])
    options.setdefault("allowed_origins", ["*"])  # the gate has looked at it
    app: ASGIApp = server.http_app(path=resource.path or "/", **options)
    _install(server, opened, catalogue)

    def admit(scope: Scope, caller: Caller, token: str) -> None:
        """Tell FastMCP who calls: `get_access_token()` knows, and sessions belong to their caller (R20)."""
        known = access_token(AccessToken, caller, token, matching(caller.audience, settings.audiences))
        scope["user"] = AuthenticatedUser(known)
        scope["auth"] = AuthCredentials(known.scopes)
        note_gate(scope, opened)

    return Gate(AuthContextMiddleware(app), opened, admit=admit)


def protect_local(
    server: FastMCP[Any],
    config: GuardConfig | Protection | str | Path,
    *,
    mapping: Mapping | Function | None = None,
    obligations: Obligations | None = None,
) -> None:
    """Guard a server that is served without HTTP only: over stdio, or inside a process.

    The caller is the one of `[stdio]`. No issuers are needed; over HTTP every call is denied. Raises
    as `protect` does.
    """
    _install(server, *_made(server, config, mapping, obligations))


def _made(
    server: FastMCP[Any],
    config: GuardConfig | Protection | str | Path,
    mapping: Mapping | Function | None,
    obligations: Obligations | None,
) -> tuple[Protection, ServerCatalogue]:
    """Return what will protect a server, which has not changed yet."""
    if not isinstance(server, FastMCP):
        raise ProtectError("this is no FastMCP server: for servers on the MCP SDK there is `authz.mcp`")
    if any(isinstance(one, AuthzMiddleware) for one in server.middleware):
        raise ProtectError("the server is protected already")
    if server.auth is not None:
        raise ProtectError("the server has `auth` of its own: leave it out, the gate takes its place")
    if isinstance(config, Protection):
        if (mapping, obligations) != (None, None):
            raise ProtectError("a protection has its mapping and obligations: give them where it is made")
        return config, _catalogue(server, config)
    config = config if isinstance(config, GuardConfig) else load_guard(config)
    catalogue = ServerCatalogue(server, config.server or server.name)
    made = protection(config, catalogue=catalogue, mapping=mapping, obligations=obligations, server=server.name)
    return made, catalogue


def _catalogue(server: FastMCP[Any], made: Protection) -> ServerCatalogue:
    """Return the protection's own catalogue, or one of the server where that was made in another way."""
    found = made.catalogue
    return found if isinstance(found, ServerCatalogue) else ServerCatalogue(server, made.server or server.name)


def _install(server: FastMCP[Any], opened: Protection, catalogue: ServerCatalogue) -> None:
    low = server._mcp_server  # noqa: SLF001  # FastMCP offers no other way to these three
    server._lifespan_manager = _Running(server._lifespan_manager, opened, catalogue)  # type: ignore[assignment]  # noqa: SLF001
    low.get_tool_input_schema = schemas_of(catalogue, opened)
    low.cache_hints = {
        method: hint if method in _PUBLIC else replace(hint, scope="private")
        for method, hint in low.cache_hints.items()
    }
    server.middleware.insert(0, AuthzMiddleware(opened, catalogue))


@dataclass(frozen=True, slots=True)
class _Running:
    """Opens the protection for as long as the server runs, on whatever transport, and however many at a time."""

    inner: Callable[[], AbstractAsyncContextManager[None]]
    protection: Protection
    catalogue: ServerCatalogue

    def __call__(self) -> AbstractAsyncContextManager[None]:
        """Run the server's own lifespan inside."""
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        async with self.protection.running(self.catalogue.close), self.inner():
            with suppress(PdpError):
                await self.catalogue.tools()  # before a call has to wait for it
            yield
