"""Revocations that replicas share.

Each is one key with a time to live, whose name is a keyed hash: subjects and token ids cannot be
guessed from it. The server must keep what it is given over a restart (`appendonly yes`).
"""

from __future__ import annotations

import hmac
import json
import math
from typing import TYPE_CHECKING, Final, cast

from authz.errors import StoreError
from authz.tokens.errors import Refusal, refused
from authz.tokens.revocation import Revocations, keys_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from authz.stores.redis.connection import Connection
    from authz.tokens.caller import Caller
    from authz.tokens.revocation import Revocation, RevocationKey

_FOREVER: Final = "9e15"
"""Stands for a token revoked whenever it was issued: later than any time that a token may name."""

_REVOKE: Final = """
local before, keep = ARGV[1], tonumber(ARGV[2])
local held, left = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
if held and tonumber(held) > tonumber(before) then before = held end
if left > keep then keep = left end
redis.call('SET', KEYS[1], before, 'PX', keep)
return before
"""
"""Of two revocations about the same, what either covers stays revoked, whichever replica comes first."""


class RedisRevocations(Revocations):
    """Revocations in Redis; each look-up asks it, so that one replica's word counts for all at once."""

    def __init__(self, connection: Connection) -> None:
        """Use this connection."""
        self._connection = connection

    async def revoke(self, revocation: Revocation, *, keep: float) -> None:
        """Take a revocation. Raises `StoreError` when it cannot be kept; it may or may not be in force then."""
        before = repr(revocation.before) if math.isfinite(revocation.before) else _FOREVER
        milliseconds = max(1, math.ceil(keep * 1_000))
        connection = self._connection
        command = connection.client.eval(_REVOKE, 1, self._name(revocation.key), before, str(milliseconds))
        await connection.wait(cast("Awaitable[object]", command))

    async def is_revoked(self, caller: Caller) -> bool:
        """Look the caller up. Raises `TokenError` with UNAVAILABLE when Redis cannot be asked."""
        connection = self._connection
        names = [self._name(key) for key in keys_of(caller)]
        try:
            found = cast("Sequence[bytes | None]", await connection.wait(connection.client.mget(names)))
            return any(held is not None and caller.issued_at <= float(held) for held in found)
        except (StoreError, ValueError) as error:
            detail = str(error) if isinstance(error, StoreError) else "Redis holds a revocation that is none of ours"
            raise refused(Refusal.UNAVAILABLE, f"revocations: {detail}") from None

    def _name(self, key: RevocationKey) -> bytes:
        digest = hmac.digest(self._connection.names, json.dumps(key).encode(), "sha256")
        return self._connection.prefix + b":revoked:" + digest.hex().encode()
