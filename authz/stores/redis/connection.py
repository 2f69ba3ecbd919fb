"""Connect to a Redis or Valkey: encrypted beyond this machine, bounded in time, its failures named."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from authz.errors import StoreError
from authz.tokens.errors import TokenConfigError

try:
    import redis.asyncio
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import (
        AuthenticationError,
        AuthorizationError,
        BusyLoadingError,
        NoPermissionError,
        OutOfMemoryError,
        ReadOnlyError,
        RedisError,
    )
except ImportError:
    raise TokenConfigError("`[redis]` needs what is not installed: `pip install 'authz[redis]'`") from None

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from authz.tokens.config import RedisSettings

_T = TypeVar("_T")
MAX_CONNECTIONS: Final = 64


@dataclass(frozen=True, slots=True)
class Connection:
    """One server, as one replica uses it: for one event loop."""

    client: redis.asyncio.Redis
    prefix: bytes
    names: bytes
    """The key by which names are hashed."""
    seal: bytes
    """The key by which what is shared is sealed."""
    timeout: float
    """Seconds for one command."""

    async def wait(self, command: Awaitable[_T]) -> _T:
        """Return what a command answers. Raises `StoreError`, whose text holds nothing of what was sent."""
        try:
            async with asyncio.timeout(self.timeout):
                return await command
        except TimeoutError:
            raise StoreError(f"Redis did not answer within {self.timeout:g} s") from None
        except (RedisError, OSError, ValueError) as error:
            # A server's own text is left out: it may repeat arguments.
            raise StoreError(f"Redis cannot be used: {_why(error)}") from None

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()


def connect(settings: RedisSettings) -> Connection:
    """Return a connection; the server is not asked yet."""
    encrypted = (
        {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": str(settings.ca_file) if settings.ca_file else None,
        }
        if settings.url.startswith("rediss:")
        else {}
    )
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.url,
        username=settings.username or None,
        password=settings.password or None,
        socket_timeout=settings.timeout,
        socket_connect_timeout=settings.timeout,
        max_connections=MAX_CONNECTIONS,
        timeout=settings.timeout,
        retry=Retry(NoBackoff(), 1),  # a connection that the server closed meanwhile is no outage
        **encrypted,
    )
    return Connection(
        client=redis.asyncio.Redis.from_pool(pool),
        prefix=settings.prefix.encode(),
        names=_derived(settings.key, b"authz redis names"),
        seal=_derived(settings.key, b"authz redis seal"),
        timeout=settings.timeout,
    )


async def check(connection: Connection) -> None:
    """Refuse a server that would forget revocations when it runs short of memory. Raises `StoreError`."""
    memory = await connection.wait(connection.client.info("memory"))
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory", 0) and policy != "noeviction":
        raise StoreError(
            f"Redis has `maxmemory-policy {policy}` and would drop revocations when it is full: "
            "set it to `noeviction`, or give revocations a server of their own"
        )


def _derived(key: bytes, purpose: bytes) -> bytes:
    """Derive a key for one purpose, so that none is ever used for two."""
    return HKDF(hashes.SHA256(), 32, salt=None, info=purpose).derive(key)


def _why(error: Exception) -> str:
    match error:
        case AuthenticationError() | AuthorizationError():
            return "it does not take the user or the password"
        case NoPermissionError():
            return "the user may not use the commands that are needed"
        case OutOfMemoryError():
            return "it is out of memory"
        case ReadOnlyError():
            return "it is read-only"
        case BusyLoadingError():
            return "it is still loading its data"
        case _ if "username-password" in str(error):  # while connecting, this has no class of its own
            return "it does not take the user or the password"
        case _:
            return "it cannot be reached, or broke off"
