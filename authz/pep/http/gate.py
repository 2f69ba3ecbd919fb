"""The step-up gate: who may come in, and the one answer that only HTTP can give (R9): 403, ask for these scopes.

It stands around the whole MCP application. Each request is authenticated; the message in a POST is
decided about before the application sees it, by its body and never by its headers. What more
scopes would allow is answered here; every other denial goes on, with its verdict, to the plug-in behind, which
answers in JSON-RPC and decides again whatever differs from what was decided about.
"""

from __future__ import annotations

import logging
import re
import uuid
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from authz.errors import AuthzError
from authz.json_form import shown
from authz.pep.http.admission import Admitted, admit
from authz.pep.http.asgi import address, headers_named, send_answer
from authz.pep.http.bearer import MalformedCredentialsError, bearer_token, canonical, issued_for
from authz.pep.http.body import BodyError, read_body, replaying, understand
from authz.pep.http.challenge import (
    Challenges,
    foreign_origin,
    issuer_unavailable,
    limited,
    too_many_failures,
)
from authz.pep.http.lifespan import run_lifespan
from authz.pep.http.metadata import ComputedScopes, GivenScopes, Metadata, is_loopback
from authz.pep.identity import identity_of
from authz.tokens.errors import Refusal, TokenError, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.model import Value
    from authz.pep.guard import Guard
    from authz.pep.http.asgi import Answer, ASGIApp, Receive, Scope, Send
    from authz.pep.http.body import Incoming
    from authz.pep.http.challenge import Mode
    from authz.pep.identity import Identity
    from authz.tokens.caller import Caller

LOG: Final = logging.getLogger("authz.pep")
BODY_SECONDS: Final = 30.0
_VERSION: Final = re.compile(r"[0-9A-Za-z.-]{1,32}")


class GateSettings(Protocol):
    """What the gate must know of a server; `authz.pep.config` explains each setting."""

    @property
    def resource(self) -> str:
        """Its identifier, which tokens must be issued for."""

    @property
    def audiences(self) -> frozenset[str]:
        """All identifiers by which it accepts tokens."""

    @property
    def realm(self) -> str:
        """What it calls itself in challenges; "" is its identifier."""

    @property
    def max_body(self) -> int:
        """Bytes of a body."""

    @property
    def open_paths(self) -> frozenset[str]:
        """Paths, exactly as they are requested, that take no token and ask nobody."""

    @property
    def scopes_supported(self) -> tuple[str, ...] | None:
        """What clients ask for at first; None is worked out of the policy."""

    @property
    def challenge(self) -> Mode:
        """Which scopes a 403 names."""

    @property
    def authorization_servers(self) -> tuple[str, ...]:
        """The issuers that clients go to."""

    @property
    def allowed_origins(self) -> frozenset[str]:
        """Origins of pages that may send requests."""


class Tokens(Protocol):
    """From a token to a caller: `authz.tokens.TokenService`."""

    async def validate(self, token: str, *, fresh: bool = False, source: str = "") -> Caller:
        """Return who calls. Raises `TokenError`."""


class Doors(Protocol):
    """What the gate needs of a protection."""

    @property
    def settings(self) -> GateSettings:
        """What is configured; there before anything is open."""

    @property
    def guard(self) -> Guard:
        """What decides; there while it is open."""

    @property
    def tokens(self) -> Tokens:
        """What validates tokens; there while it is open."""

    async def open(self) -> None:
        """Open it in the running event loop; again is no harm."""

    async def close(self) -> None:
        """Close it; again is no harm."""


class _AnsweredError(Exception):
    """Raised when the gate answers a request itself."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


def nothing(scope: Scope, caller: Caller, token: str) -> None:
    """Tell the application nothing more of the caller."""


class Gate:
    """An ASGI application around that of an MCP server.

    `admit(scope, caller, token)` is called for each request that comes in, before the application is,
    and may put into its scope what the server's framework expects there. `body_seconds` is how long a client
    may take to send a body. Raises `ValueError` for settings with which a check or an answer would be wrong.
    """

    def __init__(
        self,
        app: ASGIApp,
        protection: Doors,
        *,
        admit: Callable[[Scope, Caller, str], None] = nothing,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        """Open nothing yet."""
        settings = protection.settings
        self._app = app
        self._doors = protection
        self._tell = admit
        self._body_seconds = body_seconds
        self._scopes = (
            ComputedScopes(lambda: protection.guard)
            if settings.scopes_supported is None
            else GivenScopes(settings.scopes_supported)
        )
        self._metadata = Metadata(settings.resource, settings.authorization_servers, self._scopes)
        self._challenges = Challenges(settings.realm or settings.resource, self._metadata.url, settings.challenge)
        self._max_body = settings.max_body
        self._open = settings.open_paths
        self._audiences = frozenset(canonical(audience) for audience in settings.audiences)
        self._origins = frozenset(origin.lower() for origin in settings.allowed_origins)
        self._local = is_loopback((urlsplit(settings.resource).hostname or "").lower())
        if not self._audiences:
            raise ValueError("`audiences` must not be empty: every token would be refused")
        if not self._metadata.paths.isdisjoint(self._open):
            raise ValueError("`open_paths` must not name the metadata: it is always open")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await run_lifespan(self._app, self._doors, scope, receive, send)
            case "websocket":
                await receive()
                # Closed before it was accepted: servers answer the handshake with 403.
                await send({"type": "websocket.close", "code": 4403, "reason": "not allowed"})
            case other:
                raise ValueError(f"`{other}` is no kind of connection that can be guarded")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        try:
            await self._opened(scope)
            entered = await self._enter({**scope, "state": dict(scope.get("state") or {})}, receive)
        except _AnsweredError as answered:
            await send_answer(send, answered.answer, with_body=scope["method"] != "HEAD")
            return
        if entered is not None:
            await self._app(*entered, send)

    async def _opened(self, scope: Scope) -> None:
        """Open what decides, where no lifespan did."""
        try:
            await self._doors.open()
        except Exception as error:
            request_id = _note(scope, 503, "not open")
            LOG.error("the guard cannot be opened: %s", error, exc_info=not isinstance(error, AuthzError))  # noqa: TRY400  # a named error needs no trace
            raise _AnsweredError(issuer_unavailable(request_id)) from None

    async def _enter(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive] | None:
        """Return what the application is called with; None when the client left meanwhile."""
        if scope["path"] in self._metadata.paths:
            raise _AnsweredError(await self._metadata.answer(scope["method"]))
        self._check_origin(scope)
        caller, token = await self._caller(scope)
        identity = identity_of(caller)
        if scope["method"].upper() != "POST":
            admit(scope, Admitted(identity))
            self._tell(scope, caller, token)
            return scope, receive
        body = await self._body(scope, receive)
        if body is None:
            return None
        incoming = await self._incoming(scope, body)
        admit(scope, await self._asked(scope, incoming, identity))
        self._tell(scope, caller, token)
        return scope, replaying(body, receive)

    def _check_origin(self, scope: Scope) -> None:
        """Refuse pages of other origins, whose scripts reach servers that no one else reaches (R18)."""
        origins = [origin.decode("latin-1").lower() for origin in headers_named(scope, b"origin")]
        if not origins or (len(origins) == 1 and self._is_allowed(origins[0])):
            return
        raise _AnsweredError(foreign_origin(_note(scope, 403, "invalid_origin")))

    def _is_allowed(self, origin: str) -> bool:
        return origin in self._origins or (self._local and is_local_origin(origin))

    async def _caller(self, scope: Scope) -> tuple[Caller, str]:
        """Return who calls, and the token that says so."""
        try:
            token = bearer_token(scope)
        except MalformedCredentialsError as error:
            raise _AnsweredError(self._challenges.malformed(str(error), _note(scope, 400, str(error)))) from None
        if token is None:
            request_id = _note(scope, 401, "no token")
            raise _AnsweredError(self._challenges.no_token(await self._scopes(), request_id))
        try:
            caller = await self._doors.tokens.validate(token, source=address(scope))
            if not issued_for(caller.audience, self._audiences):
                raise refused(Refusal.WRONG_AUDIENCE)  # noqa: TRY301  # one place makes answers of all refusals
        except TokenError as error:
            raise _AnsweredError(await self._refusal(scope, error)) from None
        except Exception:
            LOG.exception("a token cannot be checked")
            raise _AnsweredError(issuer_unavailable(_note(scope, 503, "a defect"))) from None
        return caller, token

    async def _refusal(self, scope: Scope, error: TokenError) -> Answer:
        """Return what to say of a token that was refused, and log it."""
        match error.reason:
            case Refusal.UNAVAILABLE:
                return issuer_unavailable(_note(scope, 503, error.reason.value, error.detail))
            case Refusal.TOO_MANY_FAILURES:
                return too_many_failures(error.message, _note(scope, 429, error.reason.value))
            case reason:
                request_id = _note(scope, 401, reason.value, error.detail)
                return self._challenges.bad_token(await self._scopes(), error.message, request_id)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        try:
            return await read_body(scope, receive, self._max_body, self._body_seconds)
        except BodyError as error:
            _note(scope, error.answer.status, str(error))
            raise _AnsweredError(error.answer) from None

    async def _incoming(self, scope: Scope, body: bytes) -> Incoming:
        try:
            return await understand(body)
        except BodyError as error:
            _note(scope, error.answer.status, str(error))
            raise _AnsweredError(error.answer) from None

    async def _asked(self, scope: Scope, incoming: Incoming, identity: Identity) -> Admitted:
        """Decide about the message, and answer where only HTTP can."""
        if incoming.request is None:
            return Admitted(identity)
        verdict = await self._doors.guard.decide(incoming.request, identity, context_of(scope, identity))
        answer = self._challenges.step_up(verdict, incoming.id) or limited(verdict, incoming.id)
        if answer is not None:
            _note(scope, answer.status, "step-up" if answer.status == 403 else "limited", request_id=verdict.request_id)
            raise _AnsweredError(answer)
        return Admitted(identity, verdict)


def is_local_origin(origin: str) -> bool:
    """Say whether an origin, in lower case, is a page of this machine, on whatever port."""
    try:
        parts = urlsplit(origin)
        return (
            parts.scheme in {"http", "https"}
            and origin == f"{parts.scheme}://{parts.netloc}"
            and parts.username is None
            and is_loopback(parts.hostname or "")
        )
    except ValueError:
        return False


def context_of(scope: Scope, identity: Identity) -> dict[str, Value]:
    """Return what policies may know of the connection; what is not there is left out."""
    context: dict[str, Any] = {"transport": "http"}
    if _is_ip(peer := address(scope)):
        context["ip"] = peer
    versions = [value.decode("latin-1") for value in headers_named(scope, b"mcp-protocol-version")]
    if len(versions) == 1 and _VERSION.fullmatch(versions[0]):
        context["protocol_version"] = versions[0]
    if identity.client:
        context["agent"] = identity.client
    return context


@lru_cache(maxsize=4_096)
def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _note(scope: Scope, status: int, reason: str, detail: str = "", request_id: str = "") -> str:
    """Log a refusal, without anything of the token or the body; return the id that the caller is told too."""
    request_id = request_id or uuid.uuid4().hex
    LOG.info(
        "refused: status=%d reason=%s request_id=%s method=%s path=%s from=%s%s",
        status,
        reason.replace(" ", "_"),
        request_id,
        shown(scope["method"]),
        shown(scope["path"]),
        shown(address(scope)) or "-",
        f": {shown(detail)}" if detail else "",
    )
    return request_id
