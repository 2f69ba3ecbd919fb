"""Obligations that the guard can meet by itself: approval, notice and step-up; redaction is beside them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from authz.json_form import shown
from authz.model import Effect, Reason
from authz.pep.obligations import ObligationError
from authz.tokens.asking import CLAIMS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from authz.model import Attributes, Decision
    from authz.pep.identity import Identity
    from authz.pep.obligations import Call

    Notify = Callable[["Notice"], "Awaitable[None] | None"]

STEP_UP: Final = "step_up"
_LOG: Final = logging.getLogger("authz.pep")
_APPROVAL: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"approve": {"type": "boolean", "title": "Approve this call"}},
    "required": ["approve"],
}


@dataclass(frozen=True, slots=True)
class Notice:
    """What somebody is told of a call that is about to be made: whose it is and of what, never its arguments."""

    request_id: str
    tool: str
    """The tool that is called, or the method."""
    subject: str
    tenant: str
    client: str
    rules: tuple[str, ...]
    parameters: Attributes
    """Of the obligation: `notify { to: "records@example.com" }`."""


async def _unchanged(_self: object, _call: Call, _parameters: Attributes, result: dict[str, Any]) -> dict[str, Any]:
    """Return the result as it is."""
    return result


@dataclass(frozen=True, slots=True)
class Notifier:
    """Meets `notify { … }`: the call goes ahead when `notify` has taken the notice, within `timeout` seconds."""

    notify: Notify
    timeout: float = 5.0

    async def before(self, call: Call, parameters: Attributes) -> None:
        """Hand the notice over. Raises `ObligationError` when it is not taken."""
        verdict = call.verdict
        notice = Notice(
            request_id=verdict.request_id,
            tool=_named(call),
            subject=verdict.identity.subject,
            tenant=verdict.identity.tenant,
            client=verdict.identity.client,
            rules=verdict.decision.rules if verdict.decision else (),
            parameters=parameters,
        )
        try:
            async with asyncio.timeout(self.timeout):
                taken = self.notify(notice)
                if inspect.isawaitable(taken):
                    await taken
        except TimeoutError:
            raise ObligationError("whoever must be told of this call cannot be reached") from None

    after = _unchanged


def log_notice(notice: Notice) -> None:
    """Write a notice to the log of the guard: enough where somebody reads it."""
    _LOG.warning(
        "notice request_id=%s tool=%r subject=%r tenant=%r client=%r rules=%r parameters=%r",
        notice.request_id,
        notice.tool,
        notice.subject,
        notice.tenant,
        notice.client,
        notice.rules,
        dict(notice.parameters),
    )


@dataclass(frozen=True, slots=True)
class Approval:
    """Meets `approval { text: "…" }`: the user of the client says yes, within `timeout` seconds.

    It confirms that a person wants the call; it does not make it anybody else's than the caller's.
    """

    timeout: float = 120.0

    async def before(self, call: Call, parameters: Attributes) -> None:
        """Ask. Raises `ObligationError` unless the answer is a clear yes."""
        if call.elicit is None:
            raise ObligationError("this call needs the user's approval, and the client cannot ask for it")
        text = parameters.get("text")
        asked = f"Allow the call of `{shown(_named(call))}`?"
        if isinstance(text, str):
            asked = f"{asked} {text}"
        try:
            async with asyncio.timeout(self.timeout):
                entered = await call.elicit(asked, _APPROVAL)
        except TimeoutError:
            raise ObligationError("nobody has approved this call in time") from None
        if entered is None or entered.get("approve") is not True:
            raise ObligationError("the user has not approved this call")

    after = _unchanged


class StepUp:
    """Meets `step_up { scopes: "a b", acr: "…" }`: only callers who have both may go ahead.

    `stepped_up` turns an ALLOW into the denial that says what is missing before anything is done;
    this is what stands behind it. Scopes are compared by name: what implies what is the policy's
    knowledge, and `require scope` asks with it.
    """

    async def before(self, call: Call, parameters: Attributes) -> None:
        """Raise `ObligationError` where something is missing."""
        needs = _needs(parameters)
        if needs is None or needs.missing(call.verdict.identity) or not needs.signed_in(call.verdict.identity):
            raise ObligationError("this call needs a stronger authorization")

    after = _unchanged


def stepped_up(decision: Decision, identity: Identity) -> Decision:
    """Return a decision as its `step_up` obligations leave it: an ALLOW whose caller lacks something is none.

    Missing scopes make it INSUFFICIENT_SCOPE, with those that the caller has named as well, since
    some clients ask for exactly what a challenge names; a weaker sign-in makes it REQUIREMENT_NOT_MET.
    """
    due = [one.parameters for one in decision.obligations if one.name == STEP_UP]
    if not due or decision.effect is not Effect.ALLOW:
        return decision
    needs = [_needs(parameters) for parameters in due]
    whole = [one for one in needs if one is not None]
    if len(whole) < len(needs):
        return _denied(decision, Reason.REQUIREMENT_NOT_MET, "it is allowed under a condition that cannot be met here")
    if any(not one.signed_in(identity) for one in whole):
        return _denied(decision, Reason.REQUIREMENT_NOT_MET, "a stronger sign-in is needed")
    missing = frozenset[str]().union(*(one.missing(identity) for one in whole))
    if not missing:
        return decision
    return replace(
        _denied(decision, Reason.INSUFFICIENT_SCOPE, "more scopes are needed"),
        missing_scopes=tuple(sorted(missing)),
        required_scopes=tuple(sorted(missing | set(identity.scopes))),
    )


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a `step_up` asks for."""

    scopes: frozenset[str]
    acr: str

    def missing(self, identity: Identity) -> frozenset[str]:
        return self.scopes - set(identity.scopes)

    def signed_in(self, identity: Identity) -> bool:
        """Say whether the token tells of this sign-in by its `acr` (RFC 9470), which the issuer's settings expose."""
        claims = identity.attributes.get(CLAIMS)
        return not self.acr or (isinstance(claims, dict) and claims.get("acr") == self.acr)


def _needs(parameters: Attributes) -> _Needs | None:
    """Read the parameters; None where they ask for nothing that is known, which nobody can meet."""
    scopes, acr = parameters.get("scopes", ""), parameters.get("acr", "")
    names = scopes.split() if isinstance(scopes, str) else scopes
    if not isinstance(names, list | tuple) or not isinstance(acr, str) or set(parameters) - {"scopes", "acr"}:
        return None
    found = [name for name in names if isinstance(name, str)]
    if len(found) < len(names) or not (found or acr):
        return None
    return _Needs(frozenset(found), acr)


def _denied(decision: Decision, reason: Reason, message: str) -> Decision:
    return replace(decision, effect=Effect.DENY, reason=reason, message=message, obligations=())


def _named(call: Call) -> str:
    """Return the tool that is called, or the method."""
    message = call.verdict.message
    name = message.params.get("name") if message.method == "tools/call" else None
    return name if isinstance(name, str) else message.method
