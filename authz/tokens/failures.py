"""Count refused tokens, so that guessing and flooding cost whoever does it and not the issuers.

Failures are counted by source and by the issuer that tokens claim, in windows that move. The
tables are bounded and nothing in them is given up before its time, so a flood cannot make room for
itself: sources beyond the bound share counters, where they are refused sooner, never later.
`limits`, which is used elsewhere for limits, cannot do this: its memory knows no bound, and runs by
the wall clock.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ISSUERS: Final = 1_000
_SHARED: Final = 1_024
"""Counters that keys share for which there is no room."""


class Failures:
    """How many tokens of a source, and of a claimed issuer, were refused within the last `window` seconds.

    A source that is not known ("") is counted with its issuer only, and so is the other way round:
    what nobody can be told apart by must not make all suffer for one.
    """

    def __init__(
        self,
        *,
        per_source: int = 100,
        per_issuer: int = 10_000,
        window: float = 60.0,
        sources: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Refuse after so many failures; `sources` are counted one by one. `clock` never runs backwards."""
        self._sources = _Table(per_source, window, sources, clock)
        self._issuers = _Table(per_issuer, window, MAX_ISSUERS, clock)

    def too_many(self, source: str, issuer: str) -> bool:
        """Say whether a further token is to be refused unseen, with TOO_MANY_FAILURES."""
        return self.retry_after(source, issuer) > 0

    def retry_after(self, source: str, issuer: str) -> float:
        """Return the seconds until a further token is looked at; 0 when it is at once."""
        by_source = self._sources.wait(source) if source else 0.0
        return max(by_source, self._issuers.wait(issuer) if issuer else 0.0)

    def failed(self, source: str, issuer: str) -> None:
        """Count a refused token. One that was refused for too many failures must not be counted again."""
        if source:
            self._sources.count(source)
        if issuer:
            self._issuers.count(issuer)

    def __len__(self) -> int:
        """Return how many sources and issuers are counted one by one."""
        return len(self._sources) + len(self._issuers)


class _Table:
    """The times of the last `limit` failures of each key."""

    def __init__(self, limit: int, window: float, most: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._window = window
        self._most = most
        self._clock = clock
        self._own: OrderedDict[int, deque[float]] = OrderedDict()
        """By the key's hash: keys come from outside and may be long. The key that failed longest ago is first."""
        self._shared: dict[int, deque[float]] = {}
        self._salt = secrets.token_bytes(16)

    def wait(self, key: str) -> float:
        if not self._own:  # nothing failed lately, which is most of the time
            return 0.0
        hashed = self._hash(key)
        held = (self._own.get(hashed), self._shared.get(hashed % _SHARED))
        return max(self._left(times) for times in held)

    def count(self, key: str) -> None:
        hashed = self._hash(key)
        self._forget()
        times = self._own.get(hashed)
        if times is not None:
            self._own.move_to_end(hashed)
        elif len(self._own) < self._most:
            times = self._own[hashed] = deque(maxlen=self._limit)
        else:
            times = self._shared.setdefault(hashed % _SHARED, deque(maxlen=self._limit))
        times.append(self._clock())

    def __len__(self) -> int:
        return len(self._own)

    def _left(self, times: deque[float] | None) -> float:
        if times is None or len(times) < self._limit:
            return 0.0
        return max(0.0, times[0] + self._window - self._clock())

    def _forget(self) -> None:
        """Drop keys whose failures are all past; those that failed longest ago come first."""
        past = self._clock() - self._window
        while self._own:
            first = next(iter(self._own))
            if self._own[first][-1] > past:
                return
            del self._own[first]

    def _hash(self, key: str) -> int:
        """Hash with a salt, so that nobody can choose keys that share a counter with somebody else's."""
        octets = key.encode(errors="surrogatepass")
        return int.from_bytes(hashlib.blake2b(octets, digest_size=8, key=self._salt).digest())
