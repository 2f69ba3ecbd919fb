"""What validates tokens for a guard, with all that the issuers' file says, until the guard is closed."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING, Final

from authz.tokens import open_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from authz.server.config import StoreConfig
    from authz.tokens import TokenService
    from authz.tokens.cache import Cache
    from authz.tokens.config import Tokens
    from authz.tokens.events import Authentication
    from authz.tokens.revocation import Revocations

_LOG: Final = logging.getLogger("authz.pep")


@asynccontextmanager
async def validating(tokens: Tokens, store: StoreConfig | None) -> AsyncIterator[TokenService]:
    """Open the service; what is revoked in the Redis that the file names, else in the store, counts here (S101).

    Raises an `AuthzError` for either that cannot be relied on: a revoked token might be among those that come.
    """
    async with AsyncExitStack() as stack:
        cache: Cache | None = None
        revocations: Revocations | None = None
        if tokens.redis is not None:
            from authz.stores.redis.shared import share  # noqa: PLC0415  # an extra: most guards have none

            shared = share(tokens.redis, tokens.cache.entries, _report)
            stack.push_async_callback(shared.close)
            await shared.check()
            cache, revocations = shared.cache, shared.revocations
        elif store is not None:
            from authz.server.stored import Stored  # noqa: PLC0415  # as above

            revocations = stack.enter_context(closing(Stored(store).reader())).revocations
        service = open_service(
            tokens,
            cache=cache,
            revocations=revocations,
            observer=_observe,
            report=_report,
        )
        stack.push_async_callback(service.close)
        yield service


def _observe(event: Authentication) -> None:
    if event.refusal is not None:  # who came in stands in the record of the decision
        _LOG.info(
            "token refused: reason=%s issuer=%r key=%r digest=%s from=%r",
            event.refusal.value,
            event.issuer,
            event.key_id,
            event.digest,
            event.source,
        )


def _report(line: str) -> None:
    _LOG.warning("issuer: %s", line)
