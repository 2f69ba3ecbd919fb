"""Codes, tokens and requests under way: bounded, kept by digest, forgotten in time."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from authz.oauth.dev_issuer.config import Client, User

MOST: Final = 10_000
"""Entries of each kind; beyond, the oldest are forgotten, which refuses them."""
_MOST_ASKED: Final = 1_000
"""Requests that wait for a click: each may be as long as a URL."""

V = TypeVar("V")


class Kept(Generic[V]):
    """Values that are found again by a secret, of which only the digest is kept, until a time."""

    def __init__(self, clock: Callable[[], float], most: int = MOST) -> None:
        """Use a clock that tells seconds since 1970."""
        self._clock = clock
        self._most = most
        self._entries: dict[bytes, tuple[float, V]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, secret: str, value: V, expires_at: float) -> None:
        """Keep a value under a secret."""
        if len(self._entries) >= self._most:
            now = self._clock()
            self._entries = {key: entry for key, entry in self._entries.items() if entry[0] > now}
            while len(self._entries) >= self._most:
                del self._entries[next(iter(self._entries))]
        self._entries[digest(secret)] = (expires_at, value)

    def get(self, secret: str) -> V | None:
        """Return what is kept under a secret, None where there is nothing or its time is over."""
        expires_at, value = self._entries.get(digest(secret), (0.0, None))
        return value if expires_at > self._clock() else None

    def take(self, secret: str) -> V | None:
        """Return what is kept under a secret for the last time."""
        value = self.get(secret)
        self._entries.pop(digest(secret), None)
        return value


@dataclass(slots=True)
class Family:
    """All tokens that came from one consent or one grant of credentials; revoked together."""

    client: Client
    user: User | None
    """None where the client acts for itself."""
    scope: str
    resource: str
    expires_at: float
    """Seconds since 1970: no refresh leads beyond it."""
    revoked: bool = False
    refresh: bytes = field(default=b"", repr=False)
    """The digest of the one refresh token that still counts."""

    def get_scope(self) -> str:
        """Return what was granted."""
        return self.scope

    def check_client(self, client: Client) -> bool:
        """Tell whether the tokens are this client's."""
        return self.client.client_id == client.client_id


@dataclass(slots=True)
class Code:
    """An authorization code, and what it was given for."""

    family: Family
    redirect_uri: str
    code_challenge: str
    code_challenge_method: str = "S256"
    used: bool = False
    """Used ones are kept for a while: a second use shows that somebody else has the code."""

    def get_redirect_uri(self) -> str:
        """Return where the code was sent."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return what was granted."""
        return self.family.scope


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was given out."""

    family: Family
    kind: str
    """`access_token` or `refresh_token`."""
    claims: Mapping[str, object]
    digest: bytes = field(repr=False)

    def get_scope(self) -> str:
        """Return what was granted to the family: a refresh may ask for all of it again."""
        return self.family.scope

    def check_client(self, client: Client) -> bool:
        """Tell whether the token is this client's."""
        return self.family.check_client(client)

    def is_expired(self) -> bool:
        """Return False: what has expired is not found."""
        return False

    def is_revoked(self) -> bool:
        """Tell whether the token no longer counts: its family was revoked, or a newer refresh token came."""
        return self.family.revoked or (self.kind == "refresh_token" and self.family.refresh != self.digest)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for authorization that waits for a user's click, and the browser that may click."""

    parameters: tuple[tuple[str, str], ...]
    browser: str = field(repr=False)


class Memory:
    """All that the issuer remembers."""

    def __init__(self, clock: Callable[[], float], most: int = MOST) -> None:
        """Begin with nothing."""
        self.asked: Kept[Asked] = Kept(clock, min(most, _MOST_ASKED))
        self.codes: Kept[Code] = Kept(clock, most)
        self.tokens: Kept[Issued] = Kept(clock, most)


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """Return what is kept instead of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
