"""Who sent a message: over HTTP whoever the step-up gate admitted, else whom the configuration names.

Nothing that a client sends is believed here. Where it cannot be told who asks, nobody does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastmcp.server.dependencies import fastmcp_request_ctx
from fastmcp.server.http import _current_http_request

from authz.errors import AuthzError
from authz.mcp.errors import NOBODY_SENDS, PAST_THE_GATE
from authz.pep.http.admission import admitted
from authz.pep.identity import ANONYMOUS, Identity

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from starlette.requests import Request

    from authz.model import Attributes
    from authz.pep.opening import Protection
    from authz.pep.verdict import Verdict

_GATE: Final = "authz.fastmcp"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a message, and what policies may know of the connection.

    `verdict` is the gate's, about the message in the body of the HTTP request. `unknown` says, for the
    log, why nobody is known to have sent it, "" where somebody is; `strayed` that it came a way that
    nothing may come.
    """

    identity: Identity
    context: Attributes
    verdict: Verdict | None = None
    unknown: str = ""
    strayed: bool = False


def note_gate(scope: MutableMapping[str, Any], protection: Protection) -> None:
    """Note in a request's scope whose gate it came through."""
    scope["state"][_GATE] = protection


def gate_verdict(scope: Mapping[str, Any], protection: Protection) -> Verdict | None:
    """Return what this protection's gate said of a request; another one's has asked another policy."""
    entry = admitted(scope)
    return entry.verdict if entry is not None and scope["state"].get(_GATE) is protection else None


async def sender_of(protection: Protection) -> Sender:
    """Return who sent the message that is being handled."""
    bound, around = fastmcp_request_ctx.get(), _current_http_request.get()
    if bound is None and around is None:
        # A background task, or the program itself: the caller of `[stdio]` is whoever sends messages.
        return _nobody("it was not sent by anybody")
    request = around if bound is None else bound.request
    if request is not None:
        return _admitted(request, protection)
    if around is not None:
        # The connection outlives the HTTP request that it was made in, and serves others then.
        return _nobody("it came in memory, over a connection made in an HTTP request")
    try:
        configured = await protection.identity_without_http()
    except AuthzError as error:
        return Sender(ANONYMOUS, {}, unknown=str(error))
    if configured is None:
        return Sender(ANONYMOUS, {}, unknown=NOBODY_SENDS)
    context: dict[str, Any] = {"transport": "stdio"}
    if bound is not None:
        context["protocol_version"] = bound.protocol_version
    return Sender(configured, context)


def _admitted(request: Request, protection: Protection) -> Sender:
    entry = admitted(request.scope)
    if entry is None:
        return _nobody(PAST_THE_GATE)
    return Sender(entry.identity, entry.context, gate_verdict(request.scope, protection))


def _nobody(why: str) -> Sender:
    return Sender(ANONYMOUS, {}, unknown=why, strayed=True)
