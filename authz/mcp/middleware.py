"""The guard inside an SDK server: every message, whatever the transport, right before it is executed."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from mcp.server.request_state import RequestStateBoundary
from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND, SERVER_INFO_META_KEY, URL_ELICITATION_REQUIRED, CallToolResult, TextContent
from mcp_types.methods import CLIENT_REQUESTS, SPEC_CLIENT_METHODS
from pydantic import BaseModel

from authz.errors import AuthzError
from authz.json_form import shown
from authz.mcp.asking import asking
from authz.mcp.errors import NOBODY_SENDS, PAST_THE_GATE, UNTOLD, not_admitted, refuse, unavailable, unmet
from authz.mcp.executed import as_run, same
from authz.mcp.listening import LISTEN, known
from authz.mcp.lists import MOST_TTL, filtered, only, private
from authz.pep.http.admission import Admitted, admitted
from authz.pep.identity import calling
from authz.pep.messages import Message, Treatment, treatment
from authz.pep.obligations import Call, ObligationError
from authz.pep.pdp import PdpError
from authz.pep.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.server.lowlevel import Server

    from authz.model import Attributes
    from authz.pep.guard import Guard
    from authz.pep.identity import Identity
    from authz.pep.opening import Protection

    Context = ServerRequestContext[Any, Any]

_LOG: Final = logging.getLogger("authz.pep")
_GATE: Final = "authz.mcp"


class AuthzMiddleware:
    """Decides about every message of an SDK server, and filters its lists.

    Over HTTP the caller is whom the gate admitted and nobody else; without HTTP (stdio, in-memory) it
    is who is configured.
    """

    def __init__(self, protection: Protection, server: Server[Any], name: str = "") -> None:
        """Guard a server by this protection, which somebody else opens and closes.

        It belongs at the end of the server's middleware, where messages are what is executed. `name` is
        what policies call the server (`tool.server`), "" its own.
        """
        self._protection = protection
        self._server = server
        self._name = name or server.name
        # Only the SDK's boundary, and only where it stands before this, keeps clients from writing a call's state.
        self._sealed = any(isinstance(one, RequestStateBoundary) for one in server.middleware)

    async def __call__(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Let a message go on, or raise `MCPError` with what the caller is told."""
        how = treatment(ctx.method)
        if ctx.request is None and how is Treatment.PASS:
            return await call_next(ctx)
        entry = await self._admitted(ctx)
        if ctx.request_id is None and (entry is None or how is not Treatment.PASS):
            return None  # a notification of nobody's, or one of which nothing is known
        if entry is None:
            raise not_admitted()
        if how is Treatment.PASS:
            return await call_next(ctx)
        if not self._serves(ctx.method, ctx.protocol_version):
            raise MCPError(METHOD_NOT_FOUND, "Method not found", ctx.method)  # in the SDK's words, and nothing is asked
        if how is Treatment.FILTER:
            return await self._list(ctx, call_next, entry)
        return await self._act(ctx, call_next, entry)

    def _serves(self, method: str, version: str) -> bool:
        """Say whether there is such a method, by the SDK's own rule: some are of other revisions of the protocol."""
        if method in SPEC_CLIENT_METHODS and (method, version) not in CLIENT_REQUESTS:
            return False
        return self._server.get_request_handler(method) is not None

    async def _admitted(self, ctx: Context) -> Admitted | None:
        """Return who sent a message: over HTTP whom the gate let in, and else whom the settings name."""
        if ctx.request is not None:
            entry, missing = self._through_the_gate(getattr(ctx.request, "scope", {})), PAST_THE_GATE
        else:
            identity = await self._configured()
            context: Attributes = {"transport": "stdio", "protocol_version": ctx.protocol_version}
            entry = None if identity is None else Admitted(identity, context)
            missing = NOBODY_SENDS
        if entry is None:
            _LOG.warning("not_admitted method=%s: %s", shown(ctx.method), missing)
        return entry

    def _through_the_gate(self, scope: MutableMapping[str, Any]) -> Admitted | None:
        """Return whom a gate let in; another server's gate, around this one, has asked another policy."""
        entry = admitted(scope)
        return entry if entry is None or scope["state"].get(_GATE) is self._protection else replace(entry, verdict=None)

    @property
    def _guard(self) -> Guard:
        try:
            return self._protection.guard
        except AuthzError as error:
            raise _unavailable(error) from error

    async def _configured(self) -> Identity | None:
        try:
            return await self._protection.identity_without_http()
        except AuthzError as error:
            raise _unavailable(error) from error

    async def _act(self, ctx: Context, call_next: CallNext, entry: Admitted) -> HandlerResult:
        message = as_run(Message(ctx.method, ctx.params or {}), self._guard.catalogue)
        ctx = known(ctx) if ctx.method == LISTEN else ctx
        verdict = entry.verdict
        if verdict is None or not same(verdict.message, message):
            verdict = await self._guard.decide(message, entry.identity, entry.context)
        if not verdict.allowed:
            refuse(verdict)
        with calling(verdict.identity):
            if (verdict.decision is not None and verdict.decision.obligations) or "requestState" in message.params:
                result: HandlerResult = await self._obliged(ctx, call_next, verdict)
            else:
                result = await call_next(ctx)
        return private(dumped(result), ctx.protocol_version) if ctx.method == "resources/read" else result

    async def _obliged(self, ctx: Context, call_next: CallNext, verdict: Verdict) -> dict[str, Any]:
        round_ = asking(ctx, sealed=self._sealed)

        async def proceed() -> dict[str, Any]:
            round_.made = True
            try:
                return dumped(await call_next(round_.inner))
            except MCPError as error:
                return await self._failed(error, verdict)

        try:
            result = await self._protection.obligations.run(Call(verdict, round_.elicit), proceed)
        except ObligationError as error:
            if round_.question is not None:
                return round_.question | {"_meta": {SERVER_INFO_META_KEY: self._server.server_info_stamp}}
            raise unmet(error, verdict) from error
        return round_.outward(result)

    async def _failed(self, error: MCPError, verdict: Verdict) -> dict[str, Any]:
        """Return what a call failed with, as a result: a failure can give away as much as a success."""
        if verdict.decision is None or not verdict.decision.obligations or error.code == URL_ELICITATION_REQUIRED:
            raise error
        message = verdict.message
        if error.message == f"Unknown resource: {message.params.get('uri')}":
            raise error  # nothing has run
        if message.method != "tools/call":
            raise ObligationError(UNTOLD) from error
        if await self._guard.catalogue.tool(message.params["name"]) is None:
            raise error  # as above
        text = TextContent(type="text", text=error.message)
        return dumped(CallToolResult(content=[text], is_error=True))

    async def _list(self, ctx: Context, call_next: CallNext, entry: Admitted) -> HandlerResult:
        result = dumped(await call_next(ctx))
        if entry.verdict is not None and entry.verdict.message.method == "tools/call":
            # Not a list that anybody asked for: the SDK looks for the schema of the tool that is called, to
            # compare its headers with its arguments. One that is denied is to it as one that does not exist.
            called = entry.verdict.message.params.get("name")
            return only(result, called if entry.verdict.allowed else None)
        try:
            seen = await filtered(self._guard, ctx.method, result, entry.identity, self._name)
        except PdpError as error:
            raise _unavailable(error) from error
        if isinstance(seen, Verdict):
            refuse(seen)
        return private(seen, ctx.protocol_version, MOST_TTL)


def note_gate(scope: MutableMapping[str, Any], protection: Protection) -> None:
    """Note in a request's scope whose gate it came through."""
    scope["state"][_GATE] = protection


def dumped(result: HandlerResult) -> dict[str, Any]:
    """Return a result in its JSON form; what the SDK hands over has it already, other middleware may not."""
    if isinstance(result, BaseModel):
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dict(result or {})


def _unavailable(error: AuthzError) -> MCPError:
    _LOG.error("denied: the guard is not ready: %s", error)
    return unavailable()
