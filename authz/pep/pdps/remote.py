"""A decision point behind gRPC, for one event loop."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc

from authz.errors import AuthzError
from authz.pep.pdp import PdpError
from authz.pep.pdps.asking import METHODS, Asking, description, exchange, failed, failure
from authz.pep.pdps.batching import Batching
from authz.pep.pdps.channel import connection
from authz.pep.pdps.needs import MOST_NAMES, Needs
from authz.server.gate import cancelled_from_outside
from authz.wire.questions import Written

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from authz.model import Decision, Request
    from authz.pep.pdp import Answer
    from authz.pep.pdps.asking import Method, Outgoing
    from authz.pep.pdps.channel import Tls
    from authz.pep.pdps.needs import Known
    from authz.wire.enforcement import Description

    T = TypeVar("T")
    Send = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]

DEADLINE_S: Final = 0.25
PAUSE_S: Final = (0.005, 0.025)
"""Between a failure and the one attempt that follows it: at least and at most, so that not all come back at once."""


class RemotePdp:
    """Asks a server, or replicas of one in turn.

    An answer comes within the deadline, or `PdpError` is raised. Asked again is once, and only where no
    server could be reached. What the policy does not read is not sent.
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        *,
        tls: Tls | None = None,
        insecure: bool = False,
        deadline: float = DEADLINE_S,
    ) -> None:
        """Ask at these targets (see `connection`), at most `deadline` seconds each time. Raises `ConfigError`."""
        self._connection = connection(targets, tls=tls, insecure=insecure)
        self._deadline = deadline
        self._asking = Asking(Needs(), Written())
        self._batching = Batching(self._ask)
        self._channel: grpc.aio.Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._methods: Mapping[Method, Send] = {}
        self._closed = False

    async def check(self, request: Request, *, request_id: str = "") -> Decision:
        """Return the decision. Raises `PdpError`, and `InvalidRequestError` for a question that is refused."""
        return await self._batching.check(request, request_id)

    async def check_all(self, requests: Sequence[Request], *, request_id: str = "") -> Sequence[Answer]:
        """Return the answers to at most 1000 questions of one caller. Raises `PdpError`."""
        return await self._ask(requests, request_id) if requests else ()

    async def describe(self, tools: Sequence[str]) -> tuple[str, tuple[Description, ...]]:
        """Return the active revision and what it reads for at most 1000 tools. Raises `PdpError`."""
        if len(tools) > MOST_NAMES:
            raise PdpError(f"a server describes at most {MOST_NAMES} tools at a time")
        known: Known = await self._run(description(tools))
        self._asking.needs.learn(known)
        return known.revision, tuple(known.tools[tool] for tool in tools)

    async def close(self) -> None:
        """End what is under way, and the connection."""
        self._closed = True
        await self._batching.end()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def _ask(self, requests: Sequence[Request], request_id: str) -> Sequence[Answer]:
        return await self._run(exchange(self._asking, requests, request_id))

    async def _run(self, steps: Generator[Outgoing, bytes, T]) -> T:
        """Carry the messages of an exchange to the server and back, all within one deadline."""
        self._open()
        carrier = _Carrier(self._methods, asyncio.get_running_loop().time() + self._deadline)
        try:
            outgoing = next(steps)
            while True:
                outgoing = steps.send(await carrier.send(outgoing))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # what the generator returns, by its type
        except AuthzError as error:
            raise failure(error) from None
        except grpc.aio.BaseError as error:  # gRPC was closed under a call
            raise PdpError(f"the decision point is closed: {error}") from None
        except asyncio.CancelledError:
            if cancelled_from_outside():
                raise
            raise PdpError("the decision point is closed") from None

    def _open(self) -> None:
        """Connect, at the first question: a channel belongs to the event loop that it is used in."""
        if self._closed:
            raise PdpError("the decision point is closed")
        loop = asyncio.get_running_loop()
        if self._channel is None:
            self._channel, self._loop = self._connection.open(), loop
            self._methods = {name: self._channel.unary_unary(path) for name, path in METHODS.items()}
        if self._loop is not loop:
            raise PdpError("the decision point belongs to another event loop")


class _Carrier:
    """Sends the messages of one exchange."""

    __slots__ = ("_again", "_ends", "_methods")

    def __init__(self, methods: Mapping[Method, Any], ends: float) -> None:
        self._methods = methods
        self._ends = ends
        self._again = True

    async def send(self, outgoing: Outgoing) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            left = self._ends - loop.time()
            if left <= 0:
                raise PdpError("no answer within the deadline")
            try:
                answer: bytes = await self._methods[outgoing.method](outgoing.data, timeout=left)
            except grpc.aio.AioRpcError as error:
                if not self._may_again(error.code()):
                    raise failed(error.code(), error.details()) from None
                await asyncio.sleep(min(pause(), max(0.0, self._ends - loop.time())))
            else:
                return answer

    def _may_again(self, code: grpc.StatusCode) -> bool:
        """Say whether to ask once more: a question changes nothing, but a server in trouble needs no crowd."""
        may, self._again = self._again and code is grpc.StatusCode.UNAVAILABLE, False
        return may


def pause() -> float:
    """Return how long to wait before asking again, in seconds."""
    return random.uniform(*PAUSE_S)  # noqa: S311  # spreads load, keeps no secret
