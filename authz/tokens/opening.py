"""What a configuration file says → a service that validates tokens accordingly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.tokens.cache import TokenCache
from authz.tokens.failures import Failures
from authz.tokens.http import SafeHttp
from authz.tokens.service import TokenService

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.tokens.cache import Cache
    from authz.tokens.config import Tokens
    from authz.tokens.events import Observer
    from authz.tokens.revocation import Revocations


def open_service(
    tokens: Tokens,
    *,
    cache: Cache | None = None,
    revocations: Revocations | None = None,
    observer: Observer | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> TokenService:
    """Return a service for one event loop; `close` ends it.

    `cache` and `revocations` are those that replicas share, else they are this process's own.
    `observer` is told of every token that is presented, and `report` of trouble with issuers. Raises
    `TokenConfigError` for certificates that cannot be read.
    """
    limits = tokens.failures
    return TokenService(
        tokens.issuers,
        SafeHttp(loopback_http=tokens.loopback_http, ca_file=tokens.ca_file, networks=tokens.networks),
        cache=cache if cache is not None else TokenCache(most=tokens.cache.entries),
        revocations=revocations,
        failures=Failures(
            per_source=limits.per_source,
            per_issuer=limits.per_issuer,
            window=limits.window,
            sources=limits.sources,
        ),
        observer=observer,
        report=report,
        max_bytes=tokens.max_token_bytes,
    )
