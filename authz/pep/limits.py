"""How often one caller may call (S58, S59, R16): a floor under whatever limits the policy sets.

A bucket for each caller: `calls` at once, and `calls` in `seconds` on average. The table is bounded,
and a bucket is given up only when it is full again, so that no flood of other callers gives anyone
a new one. Callers beyond the bound share buckets, where they wait longer, never shorter.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.pep.identity import Identity

MOST_KEYS: Final = 10_000
_Key: TypeAlias = tuple[str, str, str, str]
_SLACK: Final = 1e-6  # seconds; else whoever waits as long as told could fail by a rounding
_SHARED: Final = 1_024
"""Buckets that callers share for whom there is no room."""


class CallLimit:
    """Counts the calls of each caller: of a client, for a subject of a tenant of an issuer.

    All anonymous callers are one caller. It is of one event loop; nothing in it waits.
    """

    def __init__(
        self,
        calls: int,
        seconds: float,
        most_keys: int = MOST_KEYS,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow so many calls in so many seconds; `clock` is in seconds and never runs backwards."""
        self._each = seconds / calls
        self._burst = seconds
        self._most = most_keys
        self._clock = clock
        self._own: OrderedDict[_Key, float] = OrderedDict()
        """When each caller's bucket is full again; the caller who called longest ago is first."""
        self._shared: dict[int, float] = {}
        self._salt = secrets.token_bytes(16)  # so that nobody can choose names that share a bucket with another's

    def take(self, identity: Identity) -> float:
        """Count a call, and return 0; or return the seconds until one can be made, counting nothing."""
        now = self._clock()
        self._forget(now)
        key = (identity.issuer, identity.tenant, identity.subject, identity.client)
        slot = 0
        if (own := self._own.get(key)) is None:
            slot = hash((self._salt, key)) % _SHARED
            own = self._shared.get(slot, now)  # who comes from there brings what was used
        full = max(own, now) + self._each
        if (wait := full - now - self._burst) > _SLACK:
            return wait
        if key in self._own or len(self._own) < self._most:
            self._own[key] = full
            self._own.move_to_end(key)
        else:
            self._shared[slot] = full
        return 0.0

    def __len__(self) -> int:
        """Return how many callers have a bucket of their own."""
        return len(self._own)

    def _forget(self, now: float) -> None:
        while self._own:
            first = next(iter(self._own))
            if self._own[first] > now:
                return
            del self._own[first]
