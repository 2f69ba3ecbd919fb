"""Answer `grpc.health.v1.Health`, and end its watches when the server ends.

Three names have a status: the server itself (""), the decision service, and `authz.policy`, which
is NOT_SERVING while the newest policy on disk is broken and an older one decides.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from grpc_health.v1 import health, health_pb2

from authz.server.gate import cancelled_from_outside

if TYPE_CHECKING:
    from authz.server.gate import Context

SERVICE: Final = "authz.v1.DecisionService"
POLICY: Final = "authz.policy"

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class Health(health.aio.HealthServicer):  # type: ignore[misc]  # grpc_health ships no types
    """The standard servicer; a watch, which has no end of its own, must not hold up a drain."""

    def __init__(self) -> None:
        """Begin without any watch."""
        super().__init__()
        self._watches: set[asyncio.Task[None]] = set()
        self._ended = False

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:  # noqa: N802  # gRPC's name
        """Report the status and each change of it until the caller or the server ends."""
        if self._ended:
            return
        watch = asyncio.ensure_future(super().Watch(request, context))
        self._watches.add(watch)
        try:
            await watch
        except asyncio.CancelledError:
            if cancelled_from_outside():
                raise
        finally:
            self._watches.discard(watch)

    async def serving(self) -> None:
        """Report all as serving: there is no server without a policy."""
        for name in (SERVICE, POLICY):
            await self.set(name, _SERVING)

    async def policy(self, *, current: bool) -> None:
        """Say whether the newest policy on disk is the one that decides."""
        await self.set(POLICY, _SERVING if current else _NOT_SERVING)

    async def not_serving(self) -> None:
        """Say, for good, that nothing is served any more."""
        await self.enter_graceful_shutdown()

    def end(self) -> None:
        """End every watch."""
        self._ended = True
        for watch in tuple(self._watches):
            watch.cancel()
