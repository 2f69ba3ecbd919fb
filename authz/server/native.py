"""Carry the calls of the decision listener by pygrpc-native, whose HTTP/2 is in Rust, outside the GIL.

Check and BatchCheck take the fast lane. Everything else (streams, EnforcementService, health,
reflection, unknown methods) the front hands on to a grpcio server, on a Unix socket in a folder
that only this user can enter; to that server those calls come from that socket, whoever asked.

The front takes in a message of any size before anybody is asked, and unpacks a compressed one: what
is too large is refused, but it has been in memory by then, at a thousand times of what was sent. It
also holds answers that are not read, and those have left the gate. Any process that can open a
connection can use that, which is why this is for listeners that only this machine can reach.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pygrpc_native import NativeGrpcFront

from authz.server.config import Address, ListenError
from authz.server.grpcio import decision_server
from authz.server.health import SERVICE
from authz.server.lane import METHODS, Lane
from authz.server.listening import listen

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from authz.server.config import Config
    from authz.server.gate import Gate
    from authz.server.health import Health
    from authz.server.service import DecisionService

_PATHS: Final = tuple(f"/{SERVICE}/{method}" for method in METHODS)
_MAX_FOLDER: Final = 100  # bytes; a socket's address has 107
_LOOK_S: Final = 0.01  # between two looks at whether all calls have ended
_PATIENCE_S: Final = 2.0  # after which, in a drain, new calls are refused while others keep coming


class Native:
    """A front, its fast lane, and the grpcio server behind it (`authz.server.transport.Transport`)."""

    name: Final = "native"

    def __init__(
        self,
        config: Config,
        gate: Gate,
        status: Health,
        service: DecisionService,
        logger: FilteringBoundLogger,
        broken: Callable[[], None],
        *,
        reuse_port: bool = False,
    ) -> None:
        """Serve what the gate lets through, and health.

        `broken` is called where a defect has left nobody to answer. Raises `ListenError` where there can
        be no folder for the socket between the two.
        """
        self._config = config
        self._gate = gate
        self._service = service
        self._logger = logger
        self._broken = broken
        self._reuse_port = reuse_port
        self._behind = decision_server(config, gate, status)
        self._folder = _private_folder()
        self._front: NativeGrpcFront | None = None
        self._lane: Lane | None = None

    async def start(self) -> str:
        """Listen, and return the address. Raises `ListenError`."""
        behind = self._folder / "s"
        listen(self._behind.add_insecure_port, Address(f"unix:{behind}", behind), private=True)
        await self._behind.start()
        address = listen(self._bind, self._config.listen, reuse_port=self._reuse_port)
        assert self._front is not None  # _bind() has made it
        self._front.set_fallback(str(behind))
        self._front.start()
        self._lane = Lane(
            self._front,
            self._service,
            self._gate,
            self._logger,
            max_message=self._config.max_message,
            askers=self._config.decision_log is not None,
            broken=self._broken,
        )
        self._lane.start()
        return address

    def _bind(self, target: str) -> int:
        front = self._front = NativeGrpcFront(
            target,
            [(path, False) for path in _PATHS],
            io_threads=1,  # a second one costs more than it carries
            call_details=True,
            metrics=True,
            keepalive_permit_without_calls=False,
            reuse_port=self._reuse_port,
        )
        return front.bound_port

    @property
    def under_way(self) -> int:
        """Return how many calls have arrived and not ended, those whose message is still coming among them."""
        arrived, ended = self._counts()
        waiting = self._lane.waiting if self._lane is not None else 0
        return self._gate.under_way + arrived - ended - waiting

    @property
    def activity(self) -> int:
        """Return a number that grows with every call."""
        return self._gate.activity + self._counts()[0]

    def _counts(self) -> tuple[int, int]:
        """Return how many calls of the fast lane have arrived, and how many have ended."""
        counted = self._front.metrics() if self._front is not None else None
        if counted is None:
            return 0, 0
        methods = [counted["methods"][path] for path in _PATHS if path in counted["methods"]]
        ended = sum(one["count"] for method in methods for one in method["status"].values())
        return sum(method["started"] for method in methods), ended

    async def stop(self, grace: float | None) -> None:
        """Take no more calls, and end those under way after `grace` seconds."""
        await asyncio.gather(self._behind.stop(grace), self._rest(grace or 0.0))
        if self._front is not None:
            self._front.close()
        if self._lane is not None:
            await self._lane.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _rest(self, grace: float) -> None:
        """Wait until every call on the fast lane has ended, but no longer than this.

        The front cannot tell its clients to send no more, so while calls keep coming they are answered
        for a while, and then refused.
        """
        if self._lane is None:
            return
        loop = asyncio.get_running_loop()
        began, before = loop.time(), self._counts()[0]
        while loop.time() - began < grace:
            arrived, ended = self._counts()
            if arrived == ended:
                return
            self._lane.refusing = self._lane.refusing or (
                loop.time() - began > _PATIENCE_S and arrived - before > self._config.max_concurrent
            )
            await asyncio.sleep(_LOOK_S)


def _private_folder() -> Path:
    try:
        folder = Path(tempfile.mkdtemp(prefix="authz-"))
    except OSError as error:
        why = (error.strerror or "it failed").lower()
        raise ListenError(f"the native transport needs a temporary folder: {why}; set TMPDIR") from None
    if len(bytes(folder)) > _MAX_FOLDER:
        folder.rmdir()
        raise ListenError(f"`{folder}` is too long for a socket in it: set TMPDIR, or take `--transport grpcio`")
    return folder
