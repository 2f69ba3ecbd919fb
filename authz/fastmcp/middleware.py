"""The guard inside a FastMCP server: each message, whatever it came by, before anything else looks at it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from fastmcp.exceptions import DisabledError, FastMCPError, NotFoundError
from fastmcp.server.dependencies import bind_request_context, fastmcp_request_ctx
from fastmcp.server.middleware import Middleware
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolRequestParams, GetPromptRequestParams, ReadResourceRequestParams

from authz.errors import InvalidRequestError
from authz.fastmcp.callers import sender_of
from authz.fastmcp.catalogue import surveying
from authz.fastmcp.resolving import about, running_tool
from authz.fastmcp.results import failed, from_json, to_json
from authz.mcp.asking import asking
from authz.mcp.errors import UNTOLD, not_admitted, refuse, unavailable, unmet
from authz.mcp.executed import equal
from authz.pep.identity import calling
from authz.pep.messages import Message, Treatment, targets, tool_call, treatment
from authz.pep.obligations import Call, ObligationError
from authz.pep.pdp import PdpError
from authz.pep.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmcp.server.middleware import CallNext, MiddlewareContext
    from fastmcp.utilities.components import FastMCPComponent

    from authz.fastmcp.callers import Sender
    from authz.fastmcp.catalogue import ServerCatalogue
    from authz.pep.guard import Guard
    from authz.pep.opening import Protection

    Context = MiddlewareContext[Any]
    Next = CallNext[Any, Any]

_LOG: Final = logging.getLogger("authz.pep")


class AuthzMiddleware(Middleware):
    """Decides about every message of a FastMCP server, and filters its lists.

    It must be the first middleware: what stands before it, a cache for one, answers without asking.
    `catalogue` is that of the same server. Over HTTP the caller is whom the gate admitted and nobody
    else; without HTTP (stdio, in-memory) it is who is configured.
    """

    def __init__(self, protection: Protection, catalogue: ServerCatalogue) -> None:
        """Guard by this protection, which somebody else opens and closes."""
        self._protection = protection
        self._catalogue = catalogue

    async def on_message(self, context: Context, call_next: Next) -> Any:  # noqa: ANN401  # as FastMCP has it
        """Let a message go on, or raise `MCPError` with what the caller is told."""
        if surveying.get() and context.method == "tools/list" and fastmcp_request_ctx.get() is None:
            return await call_next(context)  # a message, over a connection made meanwhile, is not that look
        how = treatment(context.method or "")
        sender = await sender_of(self._protection)
        if sender.unknown and (sender.strayed or how is not Treatment.PASS):
            return _stop(context, sender.unknown)
        if how is Treatment.PASS or _is_unknown(context):
            return await call_next(context)
        if context.type == "notification":
            return None  # nothing is known of it
        if how is Treatment.FILTER:
            return await self._list(context, call_next, sender)
        verdict = await self._verdict(context, sender)
        if not verdict.allowed:
            refuse(verdict)
        with calling(verdict.identity):
            if verdict.decision is not None and verdict.decision.obligations:
                return await self._obliged(context, call_next, verdict)
            return await call_next(context)

    async def check_resource_access(self, context: MiddlewareContext[ReadResourceRequestParams]) -> None:
        """Raise `MCPError` unless the resource may be read: what is told beside its content needs that too."""
        sender = await sender_of(self._protection)
        if sender.unknown:
            _stop(context, sender.unknown)
        verdict = await self._verdict(context, sender)
        if not verdict.allowed:
            refuse(verdict)

    async def on_read_resource(self, context: Context, call_next: Next) -> Any:  # noqa: ANN401  # as above
        """Go on: `on_message` has decided."""
        return await call_next(context)

    async def _list(self, context: Context, call_next: Next, sender: Sender) -> Sequence[FastMCPComponent]:
        listed: Sequence[FastMCPComponent] = await call_next(context)
        items = [self._catalogue.item_of(one) for one in listed]
        shown = await self._guard(context).visible(context.method or "", items, sender.identity)
        if isinstance(shown, Verdict):
            refuse(shown)
        return [one for one, seen in zip(listed, shown, strict=True) if seen]

    async def _verdict(self, context: Context, sender: Sender) -> Verdict:
        """Return the gate's verdict where it is about just what will run, else decide."""
        guard, message = self._guard(context), _message(context)
        if isinstance(context.message, CallToolRequestParams) and not await self._settled(context.message.name):
            tool = await running_tool(context)
            if tool is not None:
                guard, message = about(guard, message, tool, self._catalogue.name)
                return await guard.decide(message, sender.identity, sender.context)
        if sender.verdict is not None and _same(sender.verdict.message, message, guard.resource):
            return sender.verdict
        return await guard.decide(message, sender.identity, sender.context)

    async def _settled(self, name: str) -> bool:
        try:
            return await self._catalogue.settled(name)
        except PdpError:
            return True  # the guard finds the same, and denies

    def _guard(self, context: Context) -> Guard:
        try:
            return self._protection.guard
        except PdpError as error:
            _LOG.warning("denied: %r: %s", context.method, error)
            raise unavailable() from error

    async def _obliged(self, context: Context, call_next: Next, verdict: Verdict) -> Any:  # noqa: ANN401  # as above
        bound = fastmcp_request_ctx.get()
        assert bound is not None  # somebody sent it, so it is a message
        assert context.method is not None
        # FastMCP seals the state of every call; what does not fit the protocol it hands over as it was sent.
        round_ = asking(bound._srctx, sealed=not isinstance(context.message, dict))  # noqa: SLF001  # documented as the way to it
        method = context.method

        async def proceed() -> dict[str, Any]:
            with bind_request_context(round_.inner):
                return await _called(context, call_next)

        try:
            result = await self._protection.obligations.run(Call(verdict, round_.elicit), proceed)
        except ObligationError as error:
            if round_.question is not None:
                return from_json(method, round_.question)
            raise unmet(error, verdict) from error
        return from_json(method, round_.outward(result))


async def _called(context: Context, call_next: Next) -> dict[str, Any]:
    """Return what a call comes to, in JSON form. A failure can give away as much as a result, so it becomes one."""
    try:
        result = await call_next(context)
    except (DisabledError, NotFoundError):
        raise
    except FastMCPError as error:
        if context.method == "tools/call":
            return failed(str(error))
        raise ObligationError(UNTOLD) from error
    except MCPError as error:
        if context.method == "tools/call":
            raise  # of middleware, or the user is sent somewhere: what a tool raises has become a `ToolError`
        raise ObligationError(UNTOLD) from error
    return to_json(result, str(getattr(context.message, "uri", "")))


def _is_unknown(context: Context) -> bool:
    """Say whether the server has no handler for a request, so that it is answered as by any server."""
    if context.type == "notification" or context.fastmcp_context is None:
        return False
    low = context.fastmcp_context.fastmcp._mcp_server  # noqa: SLF001  # nothing public knows the handlers
    return low.get_request_handler(context.method or "") is None


def _message(context: Context) -> Message:
    """Return a message as FastMCP is about to act on it, not as it was sent."""
    method, params = context.method or "", context.message
    match params:
        case CallToolRequestParams() | GetPromptRequestParams():
            return Message(method, {"name": params.name, "arguments": params.arguments})
        case ReadResourceRequestParams():
            return Message(method, {"uri": str(params.uri)})
        case dict():
            return Message(method, params)
        case _:
            return Message(method)


def _same(one: Message, other: Message, server: str) -> bool:
    """Say whether two messages are asked about in the same words, value by value: 1, 1.0 and true are three values."""
    if one.method != other.method:
        return False
    try:
        if one.method == "tools/call":
            (name, arguments), (other_name, others) = tool_call(one), tool_call(other)
            return name == other_name and equal(dict(arguments), dict(others))
        return targets(one, server) == targets(other, server)
    except InvalidRequestError:
        return False


def _stop(context: Context, why: str) -> None:
    """End a message of nobody's: a request with an error, a notification without a word."""
    _LOG.warning("denied: %r: %s", (context.method or "")[:100], why)
    if context.type == "request":
        raise not_admitted()
