"""What a guard makes of one message: whether it may go on, and what to tell the caller if not.

The error codes are those of COAZ-MCP draft 1, "Error Handling".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from authz.model import Decision
    from authz.pep.identity import Identity
    from authz.pep.messages import Message

DENIED: Final = -32001
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

UNAVAILABLE: Final = "the authorization service is unavailable"
"""To every caller about whose message there is no decision; why is for the log."""


class Outcome(Enum):
    """How asking about a message went."""

    PASSED = "passed"
    """It is not asked about."""
    ALLOWED = "allowed"
    DENIED = "denied"
    INVALID = "invalid"
    """No question could be made of it."""
    UNAVAILABLE = "unavailable"
    """There is no decision."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one message.

    `text` is safe for the caller; `problem` is for the log. `request_id` is in the guard's log, in the
    decision log and in what the caller is told.
    """

    message: Message
    identity: Identity
    outcome: Outcome
    text: str
    request_id: str
    decision: Decision | None = None
    problem: str = ""
    retry_after: float = 0.0
    """Seconds until a limit lets the caller try again."""

    @property
    def allowed(self) -> bool:
        """Say whether the message may go on; the obligations of the decision still have to be met."""
        return self.outcome in {Outcome.PASSED, Outcome.ALLOWED}

    @property
    def code(self) -> int:
        """Return the JSON-RPC error code of a message that may not."""
        return {Outcome.INVALID: INVALID_PARAMS, Outcome.UNAVAILABLE: INTERNAL_ERROR}.get(self.outcome, DENIED)

    @property
    def data(self) -> dict[str, Any]:
        """Return what goes along with the error: what would help, and the id under which more is known."""
        data: dict[str, Any] = {"request_id": self.request_id}
        if self.decision is not None and self.outcome is Outcome.DENIED:
            data["reason"] = self.decision.reason.name
            if self.decision.missing_scopes:
                data["required_scopes"] = list(self.decision.required_scopes)
        if self.retry_after:
            data["retry_after"] = round(self.retry_after, 3)
        return data
