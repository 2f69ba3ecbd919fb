"""The step-up gate: who may come in, and the one answer that only HTTP can give (R9): 403, ask for these scopes.

It stands around the whole MCP application. Each request is authenticated; the message in a POST is
decided about before the application sees it, by its body and never by its headers. What more
scopes would allow is answered here; every other denial goes on, with its verdict, to the plug-in behind, which
answers in JSON-RPC and decides again whatever differs from what was decided about.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Final

from authz.errors import AuthzError
from authz.json_form import shown
from authz.lang.values import glob
from authz.pep.http.admission import Admitted, admit
from authz.pep.http.asgi import address, send_answer
from authz.pep.http.bearer import MalformedCredentialsError, bearer_token, issued_for
from authz.pep.http.body import BodyError, read_body, replaying, understand
from authz.pep.http.challenge import Challenges, foreign_origin, limited, too_many_failures, unavailable
from authz.pep.http.connection import Origins, context_of
from authz.pep.http.lifespan import run_lifespan
from authz.pep.http.metadata import ComputedScopes, GivenScopes, Metadata
from authz.pep.identity import identity_of
from authz.pep.messages import Treatment, treatment
from authz.tokens.errors import Refusal, TokenError, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.model import Attributes
    from authz.pep.http.asgi import Answer, ASGIApp, Receive, Scope, Send
    from authz.pep.http.body import Incoming
    from authz.pep.identity import Identity
    from authz.pep.opening import Protection
    from authz.pep.verdict import Verdict
    from authz.tokens.caller import Caller

LOG: Final = logging.getLogger("authz.pep")
BODY_SECONDS: Final = 30.0


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
        protection: Protection,
        *,
        admit: Callable[[Scope, Caller, str], None] = nothing,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        """Open nothing yet."""
        settings = protection.settings
        self._app = app
        self._protection = protection
        self._tell = admit
        self._body_seconds = body_seconds
        self._scopes = (
            ComputedScopes(lambda: protection.guard)
            if settings.scopes_supported is None
            else GivenScopes(settings.scopes_supported)
        )
        self._metadata = Metadata(settings.resource, settings.authorization_servers, self._scopes)
        self._challenges = Challenges(settings.realm, self._metadata.url, settings.challenge)
        self._max_body = settings.max_body
        self._open = settings.open_paths
        self._audiences = settings.audiences
        self._fresh = [pattern.split("*") for pattern in settings.fresh_tools]
        self._origins = Origins(settings.allowed_origins, settings.resource)
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
                await run_lifespan(self._app, self._protection, scope, receive, send)
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
            await self._protection.open()
        except Exception as error:
            request_id = _note(scope, 503, "not open")
            LOG.error("the guard cannot be opened: %s", error, exc_info=not isinstance(error, AuthzError))  # noqa: TRY400  # a named error needs no trace
            text = "requests cannot be authorized at the moment"
            raise _AnsweredError(unavailable(request_id, text)) from None

    async def _enter(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive] | None:
        """Return what the application is called with; None when the client left meanwhile."""
        if scope["path"] in self._metadata.paths:
            raise _AnsweredError(await self._metadata.answer(scope["method"]))
        if not self._origins.take(scope):
            raise _AnsweredError(foreign_origin(_note(scope, 403, "invalid_origin")))
        caller, token = await self._caller(scope)
        verdict = None
        if scope["method"].upper() == "POST":
            read = await self._read(scope, receive)
            if read is None:
                return None
            body, incoming = read
            if self._must_be_fresh(incoming):
                caller = await self._validated(scope, token, fresh=True)
            verdict = await self._verdict(scope, incoming, caller)
            receive = replaying(body, receive)
        admit(scope, Admitted(*_known(scope, caller), verdict))
        self._tell(scope, caller, token)
        return scope, receive

    async def _caller(self, scope: Scope) -> tuple[Caller, str]:
        """Return who calls, and the token that says so."""
        try:
            token = bearer_token(scope)
        except MalformedCredentialsError as error:
            raise _AnsweredError(self._challenges.malformed(str(error), _note(scope, 400, str(error)))) from None
        if token is None:
            request_id = _note(scope, 401, "no token")
            raise _AnsweredError(self._challenges.no_token(await self._scopes(), request_id))
        return await self._validated(scope, token), token

    def _must_be_fresh(self, incoming: Incoming) -> bool:
        """Say whether a message calls a tool for which nothing remembered of a token counts."""
        if not self._fresh or incoming.request is None or treatment(incoming.request.method) is not Treatment.TOOL:
            return False
        name = incoming.request.params.get("name")
        return isinstance(name, str) and any(glob(pattern, name) for pattern in self._fresh)

    async def _validated(self, scope: Scope, token: str, *, fresh: bool = False) -> Caller:
        try:
            caller = await self._protection.tokens.validate(token, fresh=fresh, source=address(scope))
            if not issued_for(caller.audience, self._audiences):
                raise refused(Refusal.WRONG_AUDIENCE)  # noqa: TRY301  # one place makes answers of all refusals
        except TokenError as error:
            raise _AnsweredError(await self._refusal(scope, error)) from None
        except Exception:
            LOG.exception("a token cannot be checked")
            raise _AnsweredError(unavailable(_note(scope, 503, "a defect"))) from None
        return caller

    async def _refusal(self, scope: Scope, error: TokenError) -> Answer:
        """Return what to say of a token that was refused, and log it."""
        match error.reason:
            case Refusal.UNAVAILABLE:
                return unavailable(_note(scope, 503, error.reason.value, error.detail))
            case Refusal.TOO_MANY_FAILURES:
                return too_many_failures(error.message, _note(scope, 429, error.reason.value))
            case reason:
                request_id = _note(scope, 401, reason.value, error.detail)
                return self._challenges.bad_token(await self._scopes(), error.message, request_id)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[bytes, Incoming] | None:
        """Return the body, and what stands in it; None when the client left before its end."""
        try:
            body = await read_body(scope, receive, self._max_body, self._body_seconds)
            return None if body is None else (body, await understand(body))
        except BodyError as error:
            _note(scope, error.answer.status, str(error))
            raise _AnsweredError(error.answer) from None

    async def _verdict(self, scope: Scope, incoming: Incoming, caller: Caller) -> Verdict | None:
        """Decide about the message, and answer where only HTTP can; None where there is nothing to decide."""
        if incoming.request is None:
            return None
        verdict = await self._protection.guard.decide(incoming.request, *_known(scope, caller))
        answer = self._challenges.step_up(verdict, incoming.id) or limited(verdict, incoming.id)
        if answer is not None:
            _note(scope, answer.status, "step-up" if answer.status == 403 else "limited", request_id=verdict.request_id)
            raise _AnsweredError(answer)
        return verdict


def _known(scope: Scope, caller: Caller) -> tuple[Identity, Attributes]:
    """Return who calls, and what policies may know of the connection."""
    identity = identity_of(caller)
    return identity, context_of(scope, identity)


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
