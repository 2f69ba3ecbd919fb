"""The keys of one issuer as they change, so that no token waits for what it does not need.

A key that is known verifies at once while a newer set is on its way. A key that is not known causes
at most one request in a cooldown, whoever asks and however often. A key that the issuer took away is
refused when the set has lived its time; only while the issuer cannot be reached do the last keys stay
good for a bounded while longer.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from authz.errors import AuthzError
from authz.json_form import shown
from authz.tokens.errors import HttpError, Refusal, TokenConfigError, TokenError
from authz.tokens.flight import Flight, lifetime, pause
from authz.tokens.keys import MAX_BYTES, Key, KeysError, read_jwks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from authz.tokens.http import Http, Response

UNSTATED: Final = 300.0
"""Seconds for which a set without Cache-Control is kept."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between requests to an issuer that fails; they double from the first to the longest."""

_SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}


class KeySource(Protocol):
    """Where the keys of an issuer come from."""

    async def key(self, kid: str, algorithm: str) -> Key:
        """Return the key of that name for that algorithm; `kid` is "" where a token names none.

        Raises `TokenError` with `UNKNOWN_KEY` or `UNAVAILABLE`.
        """


class SecretKey:
    """A `KeySource` of one shared secret. Raises `TokenConfigError` for one shorter than its hash (RFC 7518, 3.2)."""

    def __init__(self, secret: bytes, algorithms: frozenset[str]) -> None:
        """Keep the secret, which nothing shows."""
        for algorithm in sorted(algorithms):
            needed = _SECRET_BYTES.get(algorithm)
            if needed is None:
                raise TokenConfigError(f"`{shown(algorithm)}` does not go with a shared secret")
            if len(secret) < needed:
                raise TokenConfigError(f"the shared secret has {len(secret)} bytes; {algorithm} needs {needed}")
        self._key = Key("", algorithms, secret)

    async def key(self, kid: str, algorithm: str) -> Key:  # noqa: ARG002  # one secret answers to every name
        """Return the secret. Raises `TokenError`."""
        if algorithm not in self._key.algorithms:
            raise TokenError(Refusal.UNKNOWN_KEY, "the token's key is not known", "the algorithm is not the secret's")
        return self._key


@dataclass(frozen=True, slots=True)
class _Held:
    """A set that was taken, and until when it counts; times of the clock that was given."""

    keys: tuple[Key, ...]
    named: Mapping[str, Key]
    renew_at: float
    fresh_until: float
    stale_until: float

    def find(self, kid: str, algorithm: str) -> Key | None:
        """Return the key of that name; a token that names none means the only key of a set of one."""
        found = self.named.get(kid) if kid else self.keys[0] if len(self.keys) == 1 else None
        return found if found is not None and algorithm in found.algorithms else None


class RemoteKeys:
    """A `KeySource` of the set that an issuer publishes. It belongs to one event loop.

    `where` returns the set's address. Times are seconds. A set is kept for the `max-age` that it came
    with, between `min_ttl` and `max_ttl`, and renewed in the background when most of that has passed;
    `stale` is how much longer it counts while the issuer cannot be reached. `moved` is called when
    the address answers 404, so that discovery looks again. `observe` takes one line about each key
    that was left out and about each request that failed; it must not raise.
    """

    def __init__(  # noqa: PLR0913  # each is a setting of its own, and all but three have a default
        self,
        where: Callable[[], Awaitable[str]],
        http: Http,
        allowed: frozenset[str],
        *,
        min_ttl: float = 60,
        max_ttl: float = 86_400,
        stale: float = 3_600,
        cooldown: float = 30,
        deadline: float = 10,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        moved: Callable[[], None] = lambda: None,
        observe: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Ask for nothing yet."""
        self._where = where
        self._http = http
        self._allowed = allowed
        self._min_ttl, self._max_ttl, self._stale, self._cooldown = min_ttl, max_ttl, stale, cooldown
        self._deadline = deadline
        self._clock = clock
        self._jitter = jitter
        self._moved = moved
        self._observe = observe
        self._held: _Held | None = None
        self._flight = Flight(self._renew)
        self._not_before = clock()
        """The next request is not made earlier."""
        self._failures = 0
        """In a row, up to now."""
        self._reported: tuple[str, ...] = ()

    async def key(self, kid: str, algorithm: str) -> Key:
        """Return the key of that name for that algorithm. Raises `TokenError`."""
        now = self._clock()
        held = self._held
        if held is not None and now < held.fresh_until:
            found = held.find(kid, algorithm)
            if found is not None:
                if now >= held.renew_at:
                    self._ask(now)
                return found
        elif held is not None and now < held.stale_until and self._failures:
            # The issuer is known not to answer: what it last published counts, without waiting for it again.
            found = held.find(kid, algorithm)
            if found is not None:
                self._ask(now)
                return found
        self._ask(now)
        await self._flight.wait()
        return self._found_at_last(kid, algorithm)

    async def close(self) -> None:
        """End the request that is under way."""
        await self._flight.close()

    def _found_at_last(self, kid: str, algorithm: str) -> Key:
        held, now = self._held, self._clock()
        if held is None or now >= (held.stale_until if self._failures else held.fresh_until):
            self._unavailable()
        found = held.find(kid, algorithm)
        if found is not None:
            return found
        if self._failures:
            # The key may be one that the issuer added since: that it is wrong is not known.
            self._unavailable()
        named = f"`{shown(kid)}` for {shown(algorithm)}" if kid else f"without a name for {shown(algorithm)}"
        detail = f"no key {named} among the {len(held.keys)} of the issuer"
        raise TokenError(Refusal.UNKNOWN_KEY, "the token's key is not known", detail)

    def _unavailable(self) -> NoReturn:
        detail = self._reported[0] if self._failures and self._reported else "the issuer's keys were not read yet"
        raise TokenError(Refusal.UNAVAILABLE, "the issuer's keys cannot be reached", detail)

    def _ask(self, now: float) -> None:
        """Begin a request, unless one is under way or it is too early for another."""
        if now >= self._not_before and not self._flight.running:
            # Set before the answer, so that a request that is cut off counts as well.
            self._not_before = now + self._cooldown
            self._flight.start()

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(self._deadline):
                answer = await self._fetched()
            keys, problems = _read(answer.body, self._allowed)
        except TimeoutError:
            self._failed(f"the issuer's keys took longer than {self._deadline:g} s")
        except TokenError as error:
            self._failed(error.detail)
        except AuthzError as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001  # a defect must not leave those who wait without an answer
            self._failed(f"the issuer's keys could not be read ({type(error).__name__})")
        else:
            self._took(keys, answer)
            self._report(problems)

    async def _fetched(self) -> Response:
        address = await self._where()
        answer = await self._get(address)
        if answer.status == 404:
            self._moved()
            elsewhere = await self._where()
            if elsewhere != address:
                answer = await self._get(elsewhere)
        if answer.status != 200:
            raise HttpError(f"the issuer answered {answer.status} for its keys", status=answer.status)
        return answer

    async def _get(self, address: str) -> Response:
        return await self._http.get(address, deadline=self._deadline, max_bytes=MAX_BYTES)

    def _took(self, keys: tuple[Key, ...], answer: Response) -> None:
        now = self._clock()
        kept = lifetime(answer.headers, least=self._min_ttl, most=self._max_ttl, unstated=UNSTATED)
        renew_at = now + kept * (0.75 + self._jitter() / 10)
        self._held = _Held(
            keys, {key.kid: key for key in keys if key.kid}, renew_at, now + kept, now + kept + self._stale
        )
        self._failures = 0
        # Never later than the set's own end, however the cooldown was set.
        self._not_before = now + min(self._cooldown, kept)

    def _failed(self, why: str) -> None:
        self._failures += 1
        first = min(FIRST_PAUSE, self._cooldown) if self._held is None else self._cooldown
        longest = max(LONGEST_PAUSE, self._cooldown)
        self._not_before = self._clock() + pause(self._failures, base=first, cap=longest, jitter=self._jitter)
        self._report((why,))

    def _report(self, lines: tuple[str, ...]) -> None:
        """Hand on what is new; the same trouble at each renewal is told once."""
        if lines != self._reported:
            for line in lines:
                self._observe(line)
        self._reported = lines


def _read(body: bytes, allowed: frozenset[str]) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """Read a set with something in it: an empty one is a mistake of the issuer's, not a word about its keys."""
    keys, problems = read_jwks(body, allowed)
    if not keys and not problems:
        raise KeysError("the issuer's key set is empty")
    return keys, problems
