"""What replicas share, as the configuration of tokens says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from authz.stores.redis.cache import RedisCache
from authz.stores.redis.connection import Connection, check, connect
from authz.stores.redis.revocations import RedisRevocations
from authz.tokens.cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.tokens.config import RedisSettings


@dataclass(frozen=True, slots=True)
class Shared:
    """One replica's view: give `cache` and `revocations` to its `TokenService`."""

    connection: Connection
    revocations: RedisRevocations
    cache: RedisCache | None
    """None where validated tokens are not shared."""

    async def check(self) -> None:
        """Refuse a server that cannot be reached, or would drop revocations. Raises `StoreError`."""
        await check(self.connection)

    async def close(self) -> None:
        """Close all connections."""
        await self.connection.close()


def share(settings: RedisSettings, entries: int, report: Callable[[str], None] = lambda _: None) -> Shared:
    """Return what is shared, for one event loop; the server is not asked yet.

    `entries` are remembered by this process itself; `report` gets a line when Redis fails.
    """
    connection = connect(settings)
    local = TokenCache(most=entries)
    cache = RedisCache(connection, local=local, report=report) if settings.share_cache else None
    return Shared(connection, RedisRevocations(connection), cache)
