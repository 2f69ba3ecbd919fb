"""From a token to a caller: route it to its issuer, validate or remember it, look whether it was revoked."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from authz.json_form import shown
from authz.tokens.cache import MAX_TTL, Entry, RefusedTokens, TokenCache, cache_key, configuration_digest
from authz.tokens.caller import caller_of
from authz.tokens.compact import MAX_TOKEN, check_opaque, check_size, looks_like_jose, parse
from authz.tokens.errors import Refusal, TokenError, refused
from authz.tokens.events import Authentication, accepted
from authz.tokens.failures import Failures
from authz.tokens.revocation import MemoryRevocations
from authz.tokens.routing import Routes, connect
from authz.tokens.sharing import Sharing
from authz.tokens.validation import validate_compact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from authz.tokens.cache import Cache
    from authz.tokens.caller import Caller
    from authz.tokens.compact import Compact
    from authz.tokens.events import Observer
    from authz.tokens.http import Http
    from authz.tokens.issuer import Issuer
    from authz.tokens.jwks import KeySource
    from authz.tokens.revocation import Revocation, Revocations
    from authz.tokens.routing import Route

DIGEST_BYTES: Final = 32
"""Of SHA-256: the end of a cache key is the digest of the token."""
_AS_GOOD_AS_EVER: Final = 10 * 365 * 86_400.0
"""Seconds; a number that every store can hold."""
_REVOKED: Final = "it, its subject or its issuer's tokens were revoked"
_NOBODY_FAILED: Final = frozenset({Refusal.UNAVAILABLE, Refusal.TOO_MANY_FAILURES})
"""Refusals that say nothing against whoever sent the token; counting the latter would never end it."""


@dataclass(slots=True)
class _Attempt:
    """What is known of a token that was not remembered, while it is looked at."""

    issuer: str = ""
    known_issuer: str = ""
    key_id: str = ""
    refused_before: bool = False


_NOTHING_KNOWN: Final = _Attempt()


class TokenService:
    """From a bearer token to a caller, for one event loop.

    `http` is used for what the issuers publish and closed by `close`. `keys` are sources, by issuer,
    that take the place of what an issuer publishes. `observer` is told of every token that is
    presented, `report` of trouble with issuers, one line each. `clock` returns seconds since 1970, UTC.
    Raises `TokenConfigError` when there is no issuer, or one twice.
    """

    def __init__(  # noqa: PLR0913  # each is a part that may be replaced, and all but two have a default
        self,
        issuers: Sequence[Issuer],
        http: Http,
        *,
        cache: Cache | None = None,
        revocations: Revocations | None = None,
        failures: Failures | None = None,
        keys: Mapping[str, KeySource] | None = None,
        observer: Observer | None = None,
        report: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
        max_bytes: int = MAX_TOKEN,
    ) -> None:
        """Connect each issuer to its keys; nothing is asked for yet."""
        self._http = http
        self._routes = Routes(connect(issuer, http, (keys or {}).get(issuer.issuer), report) for issuer in issuers)
        self._configuration = configuration_digest(issuers)
        self._cache = cache if cache is not None else TokenCache()
        self._refused = RefusedTokens()
        self._revocations = revocations if revocations is not None else MemoryRevocations()
        self._failures = failures if failures is not None else Failures()
        self._observer = observer
        self._clock = clock
        self._max_bytes = max_bytes
        self._sharing: Sharing[Caller] = Sharing()
        self._keep = max(_longest(issuer) for issuer in issuers)

    async def validate(self, token: str, *, fresh: bool = False, source: str = "") -> Caller:
        """Return who calls. Raises `TokenError`; no other outcome exists.

        `fresh` looks at the token anew, and asks the issuer where it has introspection. `source` is who
        presents the token (an address, a server's name): its failures are counted.
        """
        key = b""
        attempt = _NOTHING_KNOWN
        try:
            key = self._key(token)
            caller = None if fresh else await self._remembered(key)
            remembered = caller is not None
            if caller is None:
                attempt = _Attempt()
                caller = await self._answer(token, key, attempt, source, fresh=fresh)
        except TokenError as error:
            self._note(error, source, key, attempt)
            raise
        if self._observer is not None:
            self._observer(accepted(caller, source, remembered=remembered))
        return caller

    async def revoke(self, revocation: Revocation) -> None:
        """Let tokens count no longer, from now on, remembered or not.

        Raises `AuthzError` when the revocation cannot be kept; it is not in force then.
        """
        beyond = max(0.0, revocation.before - self._clock()) if math.isfinite(revocation.before) else 0.0
        await self._revocations.revoke(revocation, keep=self._keep + beyond)
        await self._cache.purge(revocation)

    async def close(self) -> None:
        """End what is under way, and all connections."""
        for route in self._routes.all:
            await route.close()
        await self._http.close()

    def _key(self, token: str) -> bytes:
        """Return what stands for the whole question. Raises `TokenError` for a token not worth hashing."""
        check_size(token, self._max_bytes)
        if not token.isascii():
            raise refused(Refusal.MALFORMED, "it is not ASCII")
        return cache_key(self._configuration, token.encode("ascii"))

    async def _remembered(self, key: bytes) -> Caller | None:
        """Return the caller of a token that was validated and still counts. Raises `TokenError` when it was revoked."""
        entry = await self._cache.get(key)
        # Whatever is on the edge is not for memory to decide: validation knows the leeway.
        if entry is None or not entry.not_before <= self._clock() < entry.caller.expires_at:
            return None
        if await self._revocations.is_revoked(entry.caller):
            raise refused(Refusal.REVOKED, _REVOKED)
        return entry.caller

    async def _answer(self, token: str, key: bytes, attempt: _Attempt, source: str, *, fresh: bool) -> Caller:
        if not fresh:
            attempt.refused_before = True
            self._refused.check(key)
            attempt.refused_before = False
        route, compact = self._routed(token, attempt)
        if self._failures.too_many(source, route.issuer.issuer):
            raise refused(Refusal.TOO_MANY_FAILURES, "its source or its issuer has had too many tokens refused")
        if fresh:
            return await self._validated(route, compact, token, key, fresh=True)
        return await self._sharing.once(key, lambda: self._validated(route, compact, token, key, fresh=False))

    def _routed(self, token: str, attempt: _Attempt) -> tuple[Route, Compact | None]:
        """Find the issuer. A token that looks like a JWT is never sent anywhere but to the issuer it names."""
        if self._routes.take_opaque and not looks_like_jose(token):
            check_opaque(token)
            route, compact = self._routes.of_opaque(), None
        else:
            compact = parse(token, self._max_bytes)
            attempt.key_id = compact.key_id
            claimed = compact.payload.get("iss")
            attempt.issuer = claimed if isinstance(claimed, str) else ""
            route = self._routes.of_claims(compact.payload)
        attempt.issuer = attempt.known_issuer = route.issuer.issuer
        return route, compact

    async def _validated(self, route: Route, compact: Compact | None, token: str, key: bytes, *, fresh: bool) -> Caller:
        now = self._clock()
        digest = key[-DIGEST_BYTES:].hex()
        if compact is None or route.keys is None:
            claims = await _introspected(route, token, now, fresh=fresh)
            caller = caller_of(claims, route.issuer, digest, now)
            # Not remembered here: introspection keeps its answers itself, for shorter.
            await self._check_revoked(caller)
            return caller
        claims = await validate_compact(compact, route.issuer, route.keys, now)
        caller = caller_of(claims, route.issuer, digest, now, key_id=compact.key_id)
        await self._check_revoked(caller)
        if fresh and route.introspector is not None:
            answer = await _introspected(route, token, now, fresh=True)
            if answer.get("sub", caller.subject) != caller.subject:
                raise refused(Refusal.INVALID_CLAIM, "its issuer knows it under another `sub`")
        begins = claims.get("nbf")
        entry = Entry(caller, float(begins) if isinstance(begins, (int, float)) else 0.0)
        await self._cache.put(key, entry, min(MAX_TTL, caller.expires_at - now))
        return caller

    async def _check_revoked(self, caller: Caller) -> None:
        if await self._revocations.is_revoked(caller):
            raise refused(Refusal.REVOKED, _REVOKED)

    def _note(self, error: TokenError, source: str, key: bytes, attempt: _Attempt) -> None:
        """Remember, count and tell of a refusal."""
        if key and not attempt.refused_before:
            self._refused.remember(key, error)
        if error.reason not in _NOBODY_FAILED:
            self._failures.failed(source, attempt.known_issuer)
        if self._observer is not None:
            self._observer(
                Authentication(
                    refusal=error.reason,
                    detail=error.detail,
                    issuer=shown(attempt.issuer),
                    subject="",
                    client="",
                    audience=(),
                    key_id=shown(attempt.key_id),
                    digest=key[-DIGEST_BYTES:].hex(),
                    source=source,
                    remembered=attempt.refused_before,
                )
            )


def _longest(issuer: Issuer) -> float:
    """Return for how many seconds a token of an issuer can still be shown, once it was issued."""
    if issuer.introspection is None and {"exp", "iat"} <= set(issuer.required_claims):
        return issuer.max_lifetime + 2 * issuer.leeway
    return _AS_GOOD_AS_EVER  # nothing but the issuer's word ends it


async def _introspected(route: Route, token: str, now: float, *, fresh: bool) -> Mapping[str, object]:
    if route.introspector is None:
        raise refused(Refusal.UNKNOWN_KEY, "its issuer has neither keys nor introspection")
    return await route.introspector.introspect(token, now, fresh=fresh)
