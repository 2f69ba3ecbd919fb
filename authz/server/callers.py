"""Who the tokens stand for that requests bring along: validated here, refusals told to the decision log."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from authz.audit.records import authentication_record
from authz.lang.values import glob
from authz.tokens.config import load_issuers
from authz.tokens.opening import open_service

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from authz.model import Request
    from authz.stores.redis.shared import Shared
    from authz.tokens.caller import Caller
    from authz.tokens.config import Tokens
    from authz.tokens.events import Authentication
    from authz.tokens.revocation import Revocations


class Callers:
    """The callers of one server; for its event loop."""

    def __init__(
        self,
        path: Path,
        logger: FilteringBoundLogger,
        keep: Callable[[str], None] | None,
        revocations: Revocations | None,
    ) -> None:
        """Read the issuers from a file; `keep` takes the records of refused tokens.

        `revocations` are the store's, which count where the file names no Redis; without either a
        token counts until it expires.
        Raises `TokenConfigError` for a file that cannot be used, or would weaken a check.
        """
        tokens = load_issuers(path)
        self._fresh = [pattern.split("*") for pattern in tokens.fresh_tools]
        self._keep = keep
        self._logger = logger
        self._shared = _shared(tokens, self._report)
        self._service = open_service(
            tokens,
            cache=self._shared.cache if self._shared is not None else None,
            revocations=self._shared.revocations if self._shared is not None else revocations,
            observer=self._observe,
            report=self._report,
        )

    async def start(self) -> None:
        """Look whether what replicas share can be relied on. Raises `TokenConfigError` and `StoreError`."""
        if self._shared is not None:
            await self._shared.check()

    async def identify(self, token: str, request: Request) -> Caller:
        """Return who a token says is asking. Raises `TokenError`.

        A tool that asks for it gets a validation that nothing remembered has a say in. Failures are
        counted by the address that the enforcement point names as `context.ip`: its own is that of all.
        """
        fresh = any(glob(pattern, request.tool) for pattern in self._fresh)
        return await self._service.validate(token, fresh=fresh, source=_source(request))

    async def close(self) -> None:
        """End what is under way."""
        await self._service.close()
        if self._shared is not None:
            await self._shared.close()

    def _report(self, line: str) -> None:
        self._logger.warning("issuer", problem=line)

    def _observe(self, event: Authentication) -> None:
        if event.refusal is None:
            return  # the decision's own record names the token
        record = authentication_record(
            "refused",
            pep=event.source,
            reason=event.refusal.value,
            issuer=event.issuer,
            client=event.client,
            audience=event.audience,
            key=event.key_id,
            digest=event.digest,
        )
        self._logger.info("token_refused", reason=event.refusal.value, detail=event.detail, digest=event.digest)
        if self._keep is not None:
            self._keep(record)


def _shared(tokens: Tokens, report: Callable[[str], None]) -> Shared | None:
    if tokens.redis is None:
        return None
    from authz.stores.redis.shared import share  # noqa: PLC0415  # an extra: most servers have none

    return share(tokens.redis, tokens.cache.entries, report)


def _source(request: Request) -> str:
    address = request.context.get("ip")
    try:
        return str(ipaddress.ip_address(address)) if isinstance(address, str) else ""
    except ValueError:
        return ""
