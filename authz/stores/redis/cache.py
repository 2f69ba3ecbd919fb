"""Validated tokens that replicas share: what they say, sealed, and never their text.

An entry's name is a keyed hash of the whole question, so that whoever reads the server learns
neither who called nor with what; its content is encrypted and bound to its name (AES-256-GCM), so
that whoever writes to the server cannot make a caller. Each entry is looked up in this process first.
"""

from __future__ import annotations

import hmac
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from authz.errors import StoreError
from authz.tokens.cache import MAX_TTL, Cache, Entry, TokenCache
from authz.tokens.caller import Caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from authz.stores.redis.connection import Connection
    from authz.tokens.revocation import Revocation

_NONCE: Final = 12
_BATCH: Final = 200
_TUPLES: Final = ("actors", "scopes", "roles", "audience")


class RedisCache(Cache):
    """Validated tokens in Redis, behind those of this process. Without Redis it is this process's alone.

    `report` gets a line for the operator when Redis fails; `clock` returns seconds since 1970, UTC.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        local: Cache | None = None,
        report: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Use this connection."""
        self._connection = connection
        self._local = local if local is not None else TokenCache()
        self._report = report
        self._clock = clock
        self._aead = AESGCM(connection.seal)

    async def get(self, key: bytes) -> Entry | None:
        """Return what was put under a key by any replica."""
        found = await self._local.get(key)
        if found is not None:
            return found
        name = self._name(key)
        sealed = await self._try(self._connection.client.get(name))
        if not isinstance(sealed, bytes):
            return None
        opened = self._open(name, sealed)
        if opened is None:
            return None
        entry, until = opened
        await self._local.put(key, entry, until - self._clock())
        return entry

    async def put(self, key: bytes, entry: Entry, ttl: float) -> None:
        """Remember an entry here and for the other replicas."""
        ttl = min(ttl, MAX_TTL)
        await self._local.put(key, entry, ttl)
        milliseconds = int(ttl * 1_000)
        if milliseconds > 0:
            name = self._name(key)
            await self._try(self._connection.client.set(name, self._seal(name, entry, ttl), px=milliseconds))

    async def purge(self, revocation: Revocation) -> None:
        """Forget entries here, and in Redis one batch after the other: revocations are rare."""
        await self._local.purge(revocation)
        cursor = -1
        while cursor:
            answer = await self._try(
                self._connection.client.scan(max(cursor, 0), self._connection.prefix + b":cache:*", _BATCH)
            )
            if answer is None:
                return  # those that are left will be found to be revoked
            cursor, names = cast("tuple[int, Sequence[bytes]]", answer)
            held = await self._try(self._connection.client.mget(names)) if names else None
            covered = [
                name
                for name, sealed in zip(names, cast("Sequence[bytes | None]", held or ()), strict=False)
                if sealed and (opened := self._open(name, sealed)) and revocation.covers(opened[0].caller)
            ]
            if covered:
                await self._try(self._connection.client.delete(*covered))

    async def _try(self, command: Awaitable[object]) -> object:
        try:
            return await self._connection.wait(command)
        except StoreError as error:
            self._report(f"the cache of tokens is not shared at the moment: {error}")
            return None

    def _name(self, key: bytes) -> bytes:
        digest = hmac.digest(self._connection.names, key, "sha256")
        return self._connection.prefix + b":cache:" + digest.hex().encode()

    def _seal(self, name: bytes, entry: Entry, ttl: float) -> bytes:
        caller = asdict(entry.caller) | {"validated_at": entry.caller.validated_at.timestamp()}
        content = {"caller": caller, "not_before": entry.not_before, "until": self._clock() + ttl}
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, json.dumps(content, default=_plain).encode(), name)

    def _open(self, name: bytes, sealed: bytes) -> tuple[Entry, float] | None:
        """Return an entry and until when it counts; None for whatever was not sealed by one of us, under this name."""
        try:
            content = json.loads(self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], name))
            until = float(content["until"])
            given = content["caller"]
            given |= {part: tuple(given[part]) for part in _TUPLES}
            given["validated_at"] = datetime.fromtimestamp(given["validated_at"], UTC)
            entry = Entry(Caller(**given), float(content["not_before"]))
        except (InvalidTag, ValueError, KeyError, TypeError):  # another key, another version, or somebody else's
            return None
        return (entry, until) if self._clock() < until else None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return list(cast("Sequence[object]", value))
