"""Remember which tokens were validated, so that asking again is cheap and never more permissive.

The key of an entry holds the whole question: the token, and everything that is configured of
every issuer. Entries are callers; token text is never kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from authz.tokens.caller import Caller  # noqa: TC001 (the type of a field, which dataclasses look at)
from authz.tokens.errors import Refusal, TokenError, refused
from authz.tokens.issuer import Introspection, Issuer

if TYPE_CHECKING:
    from authz.tokens.revocation import Revocation

MAX_TTL: Final = 300.0
"""Seconds that a validated token may be believed without looking again."""
MAX_ENTRIES: Final = 10_000
REFUSED_TTL: Final = 5.0
"""Seconds that a refusal is remembered."""
MAX_REFUSED: Final = 2_000

_LASTING: Final = frozenset({Refusal.MALFORMED, Refusal.BAD_SIGNATURE})
"""Refusals that the same text would meet again. Times, keys, revocations and outages change."""
_FORMAT: Final = "authz-token-cache-1"
"""Goes into every key; changes with what an entry means."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A caller as it was validated, and from when on it counts (`nbf`, seconds since 1970)."""

    caller: Caller
    not_before: float = 0.0


class Cache(Protocol):
    """Where validated tokens are remembered; losing an entry is never wrong."""

    async def get(self, key: bytes) -> Entry | None:
        """Return what was put under a key and has not expired, None otherwise and whenever in doubt."""

    async def put(self, key: bytes, entry: Entry, ttl: float) -> None:
        """Remember an entry for so many seconds at most."""

    async def purge(self, revocation: Revocation) -> None:
        """Forget every entry that a revocation covers."""


def configuration_digest(issuers: Iterable[Issuer]) -> bytes:
    """Return 32 bytes that stand for everything configured, whatever the order of the issuers.

    Two configurations share them only if they are equal: each field is written with its name, and no
    text can look like a field. The secrets of introspection stay out: they do not change what is
    asked, and the digest may leave the process.
    """
    written = sorted(json.dumps(_plain(issuer), sort_keys=True) for issuer in issuers)
    return hashlib.sha256(json.dumps([_FORMAT, written]).encode()).digest()


def cache_key(configuration: bytes, token: bytes) -> bytes:
    """Return the key of a token's entry: two digests of fixed length, so neither runs into the other."""
    return configuration + hashlib.sha256(token).digest()


class TokenCache(Cache):
    """Validated tokens of this process, the longest unused given up first."""

    def __init__(self, *, most: int = MAX_ENTRIES, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold at most so many; `clock` never runs backwards, so an expired entry cannot come back."""
        self._most = most
        self._clock = clock
        self._held: OrderedDict[bytes, tuple[Entry, float]] = OrderedDict()

    async def get(self, key: bytes) -> Entry | None:
        """Return an entry, and count it as used."""
        found = self._held.get(key)
        if found is None:
            return None
        if found[1] <= self._clock():
            del self._held[key]
            return None
        self._held.move_to_end(key)
        return found[0]

    async def put(self, key: bytes, entry: Entry, ttl: float) -> None:
        """Remember an entry, for no longer than `MAX_TTL`."""
        if ttl <= 0:
            return
        self._held[key] = (entry, self._clock() + min(ttl, MAX_TTL))
        self._held.move_to_end(key)
        while len(self._held) > self._most:
            self._held.popitem(last=False)

    async def purge(self, revocation: Revocation) -> None:
        """Look at every entry: revocations are rare."""
        for key in [key for key, (entry, _) in self._held.items() if revocation.covers(entry.caller)]:
            del self._held[key]

    def __len__(self) -> int:
        return len(self._held)


class RefusedTokens:
    """Tokens that were refused for what cannot change; apart, so that refusing never displaces callers."""

    def __init__(self, *, most: int = MAX_REFUSED, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold at most so many; `clock` never runs backwards."""
        self._most = most
        self._clock = clock
        self._held: OrderedDict[bytes, tuple[Refusal, str, float]] = OrderedDict()

    def check(self, key: bytes) -> None:
        """Raise the `TokenError` with which this question was answered a moment ago."""
        found = self._held.get(key)
        if found is None:
            return
        if found[2] > self._clock():
            raise refused(found[0], found[1])
        del self._held[key]

    def remember(self, key: bytes, error: TokenError) -> None:
        """Remember a refusal if the same text would meet it again."""
        if error.reason in _LASTING:
            self._held[key] = (error.reason, error.detail, self._clock() + REFUSED_TTL)
            while len(self._held) > self._most:
                self._held.popitem(last=False)


def _plain(value: object) -> object:
    """Turn configuration into JSON values, in which different values stay different."""
    if isinstance(value, (Issuer, Introspection)):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name != "client_secret"
        }
    if isinstance(value, bytes):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return [[name, _plain(value[name])] for name in sorted(value)]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
