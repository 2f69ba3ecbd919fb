"""Put the guard into an SDK server, and the step-up gate before it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.authentication import AuthCredentials

from authz.errors import AuthzError
from authz.mcp.catalogue import catalogue_of
from authz.mcp.hiding import NotesAllowed, hide_schemas
from authz.mcp.middleware import AuthzMiddleware, note_gate
from authz.mcp.verifier import access_token, matching
from authz.pep.config import GuardConfig
from authz.pep.http.gate import Gate
from authz.pep.opening import Protection, protection
from authz.pep.reading import load_guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from urllib.parse import SplitResult

    from starlette.types import ASGIApp, Scope

    from authz.pep.catalogue import Catalogue
    from authz.pep.mapping import Function, Mapping
    from authz.pep.obligations import Obligations
    from authz.tokens.caller import Caller

_AUTH: Final = ("auth", "token_verifier", "auth_server_provider")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")


class ProtectError(AuthzError):
    """Raised when a server cannot be protected as it is."""


def protect(
    server: MCPServer[Any] | Server[Any],
    config: GuardConfig | Protection | str | Path,
    *,
    catalogue: Catalogue | None = None,
    mapping: Mapping | Function | None = None,
    obligations: Obligations | None = None,
    **options: Any,  # noqa: ANN401  # the SDK's own
) -> Gate:
    """Guard a server on all its transports, and return its app for Streamable HTTP behind the step-up gate.

    `config` is a guard file, what one says, or a protection that was made of either. `options` go to the
    server's `streamable_http_app` (`stateless_http`, `json_response`, …); its path is that of the configured
    `resource`, its bounds are the gate's. Serving the server over HTTP in any other way, as
    `server.run("streamable-http")` does, denies every call.

    Raises `ProtectError` for a server that is protected already, or that has auth settings of its own;
    `GuardConfigError` for a file that cannot be used.
    """
    if found := [name for name in _AUTH if name in options]:
        raise ProtectError(f"`{found[0]}` cannot be given: the gate validates tokens, by `issuers` in the guard file")
    opened = _protection(server, config, catalogue, mapping, obligations)
    settings = opened.settings
    _install(server, opened)
    parts = urlsplit(settings.resource)
    options.setdefault("streamable_http_path", parts.path or "/")
    options.setdefault("max_request_body_size", settings.max_body)
    if "host" not in options:
        options.setdefault("transport_security", _transport_security(parts, settings.allowed_origins))
    app: ASGIApp = server.streamable_http_app(**options)

    def admit(scope: Scope, caller: Caller, token: str) -> None:
        """Tell the SDK who calls: `get_access_token()` knows, and sessions belong to their caller (R20)."""
        known = access_token(AccessToken, caller, token, matching(caller.audience, settings.audiences))
        scope["user"] = AuthenticatedUser(known)
        scope["auth"] = AuthCredentials(known.scopes)
        note_gate(scope, opened)

    return Gate(NotesAllowed(AuthContextMiddleware(app)), opened, admit=admit)


def _transport_security(resource: SplitResult, origins: Iterable[str]) -> TransportSecuritySettings:
    """Return whom the SDK takes requests for (`Host`), and pages of which origins may send them: as the gate does.

    The SDK's own default is a server on this machine, whose pages it takes and no others.
    """
    if resource.hostname not in _LOOPBACK:
        hosts, own = [resource.netloc], [f"{resource.scheme}://{resource.netloc}"]
    else:
        hosts = [f"{host}:*" for host in _LOOPBACK_HOSTS]
        own = [f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=[*own, *sorted(origins)]
    )


def protect_local(
    server: MCPServer[Any] | Server[Any],
    config: GuardConfig | Protection | str | Path,
    *,
    catalogue: Catalogue | None = None,
    mapping: Mapping | Function | None = None,
    obligations: Obligations | None = None,
) -> None:
    """Guard a server that is served without HTTP only: over stdio, or inside a process.

    The caller is the one of `[stdio]`. No issuers are needed; over HTTP every call is denied. Raises
    as `protect` does.
    """
    _install(server, _protection(server, config, catalogue, mapping, obligations))


def _protection(
    server: MCPServer[Any] | Server[Any],
    config: GuardConfig | Protection | str | Path,
    catalogue: Catalogue | None,
    mapping: Mapping | Function | None,
    obligations: Obligations | None,
) -> Protection:
    if not isinstance(server, MCPServer | Server):
        raise ProtectError("this is no server on the MCP SDK: for FastMCP servers there is `authz.fastmcp`")
    low = _low(server)
    if any(isinstance(one, AuthzMiddleware) for one in low.middleware):
        raise ProtectError("the server is protected already")
    if isinstance(server, MCPServer) and server.settings.auth is not None:
        raise ProtectError("the server has auth settings of its own: leave out `auth`, the gate takes its place")
    if isinstance(config, Protection):
        if (catalogue, mapping, obligations) != (None, None, None):
            raise ProtectError("a protection has its catalogue, mapping and obligations: give them where it is made")
        return config
    settings = config if isinstance(config, GuardConfig) else load_guard(config)
    found = catalogue if catalogue is not None else catalogue_of(server, settings.server or low.name)
    return protection(settings, catalogue=found, mapping=mapping, obligations=obligations, server=low.name)


def _install(server: MCPServer[Any] | Server[Any], opened: Protection) -> None:
    low = _low(server)
    low.middleware.append(AuthzMiddleware(opened, low, opened.server))
    hide_schemas(low)
    low.lifespan = _Lifespan(low.lifespan, opened)


def _low(server: MCPServer[Any] | Server[Any]) -> Server[Any]:
    return server._lowlevel_server if isinstance(server, MCPServer) else server  # noqa: SLF001  # it is not public


@dataclass(frozen=True, slots=True)
class _Lifespan:
    """Opens the protection for as long as the server runs, on whatever transport, and however many at a time."""

    inner: Callable[[Server[Any]], AbstractAsyncContextManager[Any]]
    protection: Protection

    def __call__(self, server: Server[Any]) -> AbstractAsyncContextManager[Any]:
        """Run the server's own lifespan inside."""
        return self._opened(server)

    @asynccontextmanager
    async def _opened(self, server: Server[Any]) -> AsyncIterator[Any]:
        async with self.protection.running(), self.inner(server) as state:
            yield state
