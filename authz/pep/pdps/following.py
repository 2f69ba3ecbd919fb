"""Decide in this process by the policy that a server decides by.

The server says each few seconds which revision that is. Where it has not for too long, or its policy
cannot be had as it is there, nothing is decided: an old policy might allow what the new one denies.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Final

import grpc

from authz.errors import AuthzError
from authz.lang.limits import DEFAULT_LIMITS
from authz.pap.loader import load_files
from authz.pdp.engine import Engine
from authz.pep.pdp import PdpError
from authz.pep.pdps.asking import failed
from authz.pep.pdps.channel import connection
from authz.pep.pdps.events import standard_logger
from authz.pep.pdps.local import Keeping, LocalPdp
from authz.server.reload import in_thread
from authz.v1 import enforcement_pb2 as v1
from authz.wire.enforcement import policy_from
from authz.wire.strict import message_strictly, revision_strictly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from structlog.typing import FilteringBoundLogger

    from authz.pap.decoding import ReadFile
    from authz.pdp.program import Program
    from authz.pep.pdps.channel import Connection, Tls

    Listen = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]

STALE_AFTER_S: Final = 30.0
"""Three times as long as a server is silent at most."""
_FIRST_S: Final = 5.0
_METHOD: Final = "/authz.v1.EnforcementService/FollowPolicy"
_PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_MAX_POLICY: Final = 2 * DEFAULT_LIMITS.policy_bytes


async def follow(
    targets: str | Sequence[str],
    keeping: Keeping | None = None,
    *,
    tls: Tls | None = None,
    insecure: bool = False,
    stale_after: float = STALE_AFTER_S,
    first: float = _FIRST_S,
    logger: FilteringBoundLogger | None = None,
) -> LocalPdp:
    """Decide by the active policy of a server that shares it; times in seconds.

    Every check raises `PdpError` while none has arrived, and once nothing was heard for `stale_after`.
    Waits up to `first` for the first one. Raises `ConfigError`, as `connection` does.
    """
    follower = _Follower(connection(targets, tls=tls, insecure=insecure), stale_after, logger or standard_logger())
    task = asyncio.create_task(follower.run())

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(first):
                await follower.arrived.wait()
    except BaseException:
        await end()
        raise
    return LocalPdp(follower.program, keeping or Keeping(), end=end)


class _Follower:
    """Keeps what a server decides by, and knows how old that knowledge is."""

    def __init__(self, where: Connection, stale_after: float, logger: FilteringBoundLogger) -> None:
        self._where = where
        self._stale_after = stale_after
        self._logger = logger
        self._engine: Engine | None = None
        self._heard = float("-inf")
        self._problem = "the server's policy has not arrived yet"
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._failures = 0
        self.arrived = asyncio.Event()

    def program(self) -> Program:
        """Return what the server decides by. Raises `PdpError` where that is not known."""
        if self._engine is None or self._problem:
            raise PdpError(self._problem)
        if self._now() - self._heard > self._stale_after:
            raise PdpError(f"nothing was heard of the server's policy for {self._stale_after:g} seconds")
        return self._engine.program

    async def run(self) -> None:
        """Listen to the server, and connect again whenever that ends, until cancelled."""
        async with self._where.open(_MAX_POLICY) as channel:
            listen: Listen = channel.unary_stream(_METHOD)
            while True:
                try:
                    await self._listen(listen)
                    problem = "the server has ended the stream"
                except grpc.aio.AioRpcError as error:
                    problem = str(failed(error.code(), error.details()))
                except (AuthzError, TimeoutError) as error:
                    problem = str(error) or "the server has fallen silent"
                except Exception as error:  # noqa: BLE001  # whatever it is, the follower must go on
                    problem = f"a defect: {error!r}"
                self._logger.warning("policy_not_followed", problem=problem, help="the server is asked again")
                pause = _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
                self._failures += 1
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # spreads load, keeps no secret

    async def _listen(self, listen: Listen) -> None:
        call = listen(v1.FollowPolicyRequest().SerializeToString())
        try:
            while True:
                async with asyncio.timeout(self._stale_after):
                    data = await call.read()
                if not isinstance(data, bytes):  # the end; any but a good one has been raised
                    return
                await self._take(data)
        finally:
            call.cancel()

    async def _take(self, data: bytes) -> None:
        """Take what the server says; whatever is wrong with it, the policy of before no longer counts."""
        at = self._now()
        try:
            revision, files = policy_from(message_strictly(v1.FollowPolicyResponse, data))
            revision_strictly(revision)
            await (self._load(revision, files) if files else self._confirm(revision))
        except Exception as error:
            self._problem = f"the server's policy cannot be used here: {error}"
            raise
        self._heard, self._problem, self._failures = at, "", 0
        self.arrived.set()

    async def _confirm(self, revision: str) -> None:
        if self._engine is None or self._engine.program.revision != revision:
            raise PdpError("the server named another policy revision than the one that it has sent")

    async def _load(self, revision: str, files: Sequence[ReadFile]) -> None:
        loaded = await in_thread(lambda: load_files(files))
        if loaded.program.revision != revision:
            raise PdpError("the policy that the server has sent has another revision than it says")
        if self._engine is None:
            self._engine = Engine(loaded.program)
        else:
            self._engine.swap(loaded.program)
        self._logger.info("policy_followed", policy_revision=revision)
