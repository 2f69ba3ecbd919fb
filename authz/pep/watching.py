"""The guard's own log: a line for each verdict, under the request id that the caller is told (S62, S63).

Names, outcomes and reasons stand in it. Arguments, tokens and attributes never do.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from authz.json_form import shown
from authz.model import Reason
from authz.pep.verdict import Outcome

if TYPE_CHECKING:
    from authz.pep.verdict import Verdict

_LOG: Final = logging.getLogger("authz.pep")
_MAX_RULES: Final = 50


def watch(verdict: Verdict) -> None:
    """Write one line about a verdict: denials at INFO, what nobody could decide at WARNING, the rest at DEBUG.

    A denial that more scopes would lift is an event of its own, `elevation_needed`: those who step up
    can be found by it.
    """
    level, event = _named(verdict)
    if not _LOG.isEnabledFor(level):
        return
    found = {name: value for name, value in _record(verdict).items() if value not in ("", (), None)}
    _LOG.log(level, "%s %s", event, " ".join(f"{name}={value!r}" for name, value in found.items()))


def _named(verdict: Verdict) -> tuple[int, str]:
    decision = verdict.decision
    match verdict.outcome:
        case Outcome.PASSED | Outcome.ALLOWED:
            return logging.DEBUG, verdict.outcome.value
        case Outcome.UNAVAILABLE:
            return logging.WARNING, "unavailable"
        case Outcome.INVALID:
            return logging.INFO, "invalid"
        case _:
            needed = decision is not None and decision.reason is Reason.INSUFFICIENT_SCOPE
            return logging.INFO, "elevation_needed" if needed else "denied"


def _record(verdict: Verdict) -> dict[str, Any]:
    message, identity, decision = verdict.message, verdict.identity, verdict.decision
    name = message.params.get("name") if message.method in {"tools/call", "prompts/get"} else message.params.get("uri")
    return {
        "request_id": verdict.request_id,
        "method": shown(message.method),
        "name": shown(name) if isinstance(name, str) else "",
        "subject": identity.subject,
        "tenant": identity.tenant,
        "client": identity.client,
        "issuer": identity.issuer,
        "reason": decision.reason.name if decision is not None else verdict.text,
        "rules": decision.rules[:_MAX_RULES] if decision is not None else (),
        "missing_scopes": decision.missing_scopes if decision is not None else (),
        "policy_revision": decision.policy_revision if decision is not None else "",
        "problem": verdict.problem,
        "retry_after": round(verdict.retry_after, 3) or "",
    }
