"""Why a token is refused: a stable reason for machines, a text for the client that gives nothing away."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from authz.errors import AuthzError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refusal(Enum):
    """A reason, and the text that whoever sent the token may see. `docs/tokens.md` says what to do about each."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNSUPPORTED_ALGORITHM = "unsupported_algorithm"
    UNSUPPORTED_HEADER = "unsupported_header"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_ISSUER = "unknown_issuer"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    MISSING_CLAIM = "missing_claim"
    INVALID_CLAIM = "invalid_claim"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    ISSUED_IN_FUTURE = "issued_in_future"
    LIFETIME_TOO_LONG = "lifetime_too_long"
    WRONG_AUDIENCE = "wrong_audience"
    PROOF_REQUIRED = "proof_required"
    ACTOR_CHAIN_TOO_LONG = "actor_chain_too_long"
    TENANT_MISSING = "tenant_missing"
    CLIENT_NOT_ALLOWED = "client_not_allowed"
    INACTIVE = "inactive"
    REVOKED = "revoked"
    TOO_MANY_FAILURES = "too_many_failures"
    UNAVAILABLE = "unavailable"
    """The issuer's keys or its introspection cannot be reached: nothing is known of the token."""


class TokenError(AuthzError):
    """Raised when a token is refused.

    `reason` is stable; `message` is safe for the client; `detail` is for the operator's log and
    explains. None of them ever holds token text.
    """

    def __init__(self, reason: Refusal, message: str, detail: str = "") -> None:
        """Use the message as the text."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.detail = detail or message


MESSAGES: Final[Mapping[Refusal, str]] = {
    Refusal.MALFORMED: "the token is malformed",
    Refusal.TOO_LARGE: "the token is too large",
    Refusal.UNSUPPORTED_ALGORITHM: "the token's algorithm is not accepted",
    Refusal.UNSUPPORTED_HEADER: "the token's header asks for something that is not accepted",
    Refusal.WRONG_TYPE: "this kind of token is not accepted: send an access token",
    Refusal.UNKNOWN_ISSUER: "the token's issuer is not known here",
    Refusal.UNKNOWN_KEY: "the token's key is not known",
    Refusal.BAD_SIGNATURE: "the token's signature is wrong",
    Refusal.MISSING_CLAIM: "the token lacks a claim that is required",
    Refusal.INVALID_CLAIM: "the token holds a claim that is not accepted",
    Refusal.EXPIRED: "the token has expired",
    Refusal.NOT_YET_VALID: "the token is not valid yet",
    Refusal.ISSUED_IN_FUTURE: "the token says that it was issued in the future",
    Refusal.LIFETIME_TOO_LONG: "the token is valid for longer than is accepted",
    Refusal.WRONG_AUDIENCE: "the token was not issued for this server",
    Refusal.PROOF_REQUIRED: "the token is bound to a key, and no proof of that key can be taken here",
    Refusal.ACTOR_CHAIN_TOO_LONG: "the token names too many actors",
    Refusal.TENANT_MISSING: "the token names no tenant",
    Refusal.CLIENT_NOT_ALLOWED: "the token's client is not allowed here",
    Refusal.INACTIVE: "the token is not active",
    Refusal.REVOKED: "the token was revoked",
    Refusal.TOO_MANY_FAILURES: "too many tokens were refused: try again later",
    Refusal.UNAVAILABLE: "the token cannot be checked at the moment",
}
"""What the client may see: the reason in words, and nothing of the token or of the configuration."""


def refused(reason: Refusal, detail: str = "") -> TokenError:
    """Return the error for a reason, with its text for the client; `detail` is for the operator alone."""
    return TokenError(reason, MESSAGES[reason], detail)


class TokenConfigError(AuthzError):
    """Raised when the configuration of issuers cannot be used, or would weaken a check.

    `problems` holds every problem in one line each, which names the setting and what to do.
    """

    def __init__(self, *problems: str) -> None:
        """Use the first problem as the text, and say how many more there are."""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}")
        self.problems = problems


class HttpError(AuthzError):
    """Raised when a request of ours has no answer that we take; one line, without a secret.

    `status` is that of an answer which was refused as a whole, a redirect for one, and 0 where there was none.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        """Use the message as the text."""
        super().__init__(message)
        self.status = status
