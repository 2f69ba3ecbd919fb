"""What the plug-ins tell a caller whose message may not go on, in the form of the SDK; FastMCP's is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from mcp.shared.exceptions import MCPError

from authz.pep.verdict import DENIED, INTERNAL_ERROR, UNAVAILABLE

if TYPE_CHECKING:
    from authz.pep.obligations import ObligationError
    from authz.pep.verdict import Verdict

PAST_THE_GATE: Final = "it did not come through the gate: serve the app that `protect` returns, and no other"
"""For the log, like the next one: why nobody is known to have sent a message."""
NOBODY_SENDS: Final = "it came without HTTP, and no `[stdio]` in the guard file says who sends such"
UNTOLD: Final = "it failed, and a condition of this call forbids to say how"
"""Instead of an error that obligations cannot look into."""
_UNMET: Final = "it is allowed under a condition that was not met"


def refuse(verdict: Verdict) -> NoReturn:
    """Raise the error that tells a verdict."""
    raise MCPError(verdict.code, verdict.text, verdict.data)


def unmet(error: ObligationError, verdict: Verdict) -> MCPError:
    """Return what an allowed call ends with whose obligations cannot be met."""
    return MCPError(DENIED, str(error) or _UNMET, {"request_id": verdict.request_id})


def not_admitted() -> MCPError:
    """Return what a message ends with that came over HTTP past the gate, or without HTTP where nobody is configured."""
    return MCPError(INTERNAL_ERROR, "not admitted")


def unavailable() -> MCPError:
    """Return what a message ends with that nothing could be decided about."""
    return MCPError(INTERNAL_ERROR, UNAVAILABLE)
