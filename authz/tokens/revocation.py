"""What no longer counts although it is signed and has not expired.

`MemoryRevocations` serves one process; replicas share them through another implementation of
`Revocations`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable  # noqa: TC003 (the type of a field, which dataclasses look at)
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from authz.errors import AuthzError, InvalidRequestError

if TYPE_CHECKING:
    from authz.tokens.caller import Caller

MAX_REVOCATIONS: Final = 100_000

RevocationKey: TypeAlias = "tuple[str, str, str]"
"""What is revoked, the issuer, and the name there; three texts that no other revocation has."""


class Revoked(Enum):
    """What a revocation is about."""

    TOKEN = "token"  # noqa: S105  # a word, no secret
    SUBJECT = "subject"
    ISSUER = "issuer"
    EVERYTHING = "everything"


class RevocationsFullError(AuthzError):
    """Raised when no further revocation can be held; the one that was asked for is not in force."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """Say that tokens issued at or before a time no longer count.

    `name` is the `jti` of a TOKEN or the `sub` of a SUBJECT; both count within one issuer only.
    `before` is in seconds since 1970; a token is meant whenever it was issued. Raises
    `InvalidRequestError` when `issuer`, `name` or `before` is missing.
    """

    what: Revoked
    issuer: str = ""
    name: str = ""
    before: float = math.inf

    def __post_init__(self) -> None:
        """Refuse what would revoke nothing, or more than was meant."""
        if bool(self.issuer) is (self.what is Revoked.EVERYTHING):
            raise InvalidRequestError("issuer", "must be given, except where everything is revoked")
        if bool(self.name) is not (self.what in {Revoked.TOKEN, Revoked.SUBJECT}):
            raise InvalidRequestError("name", "must be given for a token or a subject, and for nothing else")
        if self.what is not Revoked.TOKEN and not math.isfinite(self.before):
            raise InvalidRequestError("before", "must be a time")

    @property
    def key(self) -> RevocationKey:
        """Return what stands for this revocation in a table."""
        return (self.what.value, self.issuer, self.name)

    def covers(self, caller: Caller) -> bool:
        """Say whether the caller's token no longer counts."""
        return self.key in keys_of(caller) and caller.issued_at <= self.before


def keys_of(caller: Caller) -> tuple[RevocationKey, ...]:
    """Return the keys of all revocations that could be about a caller's token."""
    return (
        ("token", caller.issuer, caller.token_id),
        ("subject", caller.issuer, caller.subject),
        ("issuer", caller.issuer, ""),
        ("everything", "", ""),
    )


class Revocations(Protocol):
    """Where revocations are kept."""

    async def revoke(self, revocation: Revocation, *, keep: float) -> None:
        """Take a revocation, and keep it for so many seconds at least. Raises `AuthzError` when it cannot be kept."""

    async def is_revoked(self, caller: Caller) -> bool:
        """Say whether the caller's token no longer counts.

        Raises `TokenError` with UNAVAILABLE when that cannot be known.
        """


class MemoryRevocations(Revocations):
    """Revocations of this process; a restart forgets them.

    A full table refuses a further revocation, with `RevocationsFullError`: dropping an older one would
    let its tokens in again.
    """

    def __init__(self, *, most: int = MAX_REVOCATIONS, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold at most so many; `clock` never runs backwards."""
        self._most = most
        self._clock = clock
        self._held: dict[RevocationKey, tuple[float, float]] = {}
        """Before when a token must have been issued to be meant, and until when that is kept."""

    async def revoke(self, revocation: Revocation, *, keep: float) -> None:
        """Take a revocation; of two about the same, what either covers stays revoked."""
        key, now = revocation.key, self._clock()
        before, until = self._held.get(key, (-math.inf, -math.inf))
        if key not in self._held and len(self._held) >= self._most:
            self._held = {key: held for key, held in self._held.items() if held[1] > now}
            if len(self._held) >= self._most:
                raise RevocationsFullError(
                    f"{self._most} revocations are held already: revoke the issuer's tokens up to now instead"
                )
        self._held[key] = (max(before, revocation.before), max(until, now + keep))

    async def is_revoked(self, caller: Caller) -> bool:
        """Look the caller up; what was kept longer than asked still counts."""
        held = self._held
        if held:
            for key in keys_of(caller):
                found = held.get(key)
                if found is not None and caller.issued_at <= found[0]:
                    return True
        return False
