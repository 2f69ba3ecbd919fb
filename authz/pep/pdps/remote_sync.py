"""A decision point behind gRPC for programs without an event loop; any thread may ask.

It answers as `RemotePdp` does. Nothing is gathered into batches: a thread waits for its own answer.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar, cast

import grpc

from authz.errors import AuthzError
from authz.pep.pdp import PdpError
from authz.pep.pdps.asking import METHODS, Asking, description, exchange, failed, failure, only
from authz.pep.pdps.channel import connection
from authz.pep.pdps.needs import MOST_NAMES, Needs
from authz.pep.pdps.remote import DEADLINE_S, pause
from authz.wire.questions import Written

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from authz.model import Decision, Request
    from authz.pep.pdp import Answer
    from authz.pep.pdps.asking import Method, Outgoing
    from authz.pep.pdps.channel import Tls
    from authz.wire.enforcement import Description

    T = TypeVar("T")
    Send = grpc.UnaryUnaryMultiCallable[bytes, bytes]


class SyncRemotePdp:
    """Asks a server, or replicas of one in turn; see `RemotePdp`."""

    def __init__(
        self,
        targets: str | Sequence[str],
        *,
        tls: Tls | None = None,
        insecure: bool = False,
        deadline: float = DEADLINE_S,
    ) -> None:
        """Ask at these targets (see `connection`), at most `deadline` seconds each time. Raises `ConfigError`."""
        self._channel = connection(targets, tls=tls, insecure=insecure).open_sync()
        self._methods: Mapping[Method, Send] = {name: self._channel.unary_unary(path) for name, path in METHODS.items()}
        self._deadline = deadline
        self._asking = Asking(Needs(), Written())
        self._closed = threading.Event()

    def check(self, request: Request, *, request_id: str = "") -> Decision:
        """Return the decision. Raises `PdpError`, and `InvalidRequestError` for a question that is refused."""
        return only(self._run(exchange(self._asking, (request,), request_id)))

    def check_all(self, requests: Sequence[Request], *, request_id: str = "") -> Sequence[Answer]:
        """Return the answers to at most 1000 questions of one caller. Raises `PdpError`."""
        return self._run(exchange(self._asking, requests, request_id)) if requests else ()

    def describe(self, tools: Sequence[str]) -> tuple[str, tuple[Description, ...]]:
        """Return the active revision and what it reads for at most 1000 tools. Raises `PdpError`."""
        if len(tools) > MOST_NAMES:
            raise PdpError(f"a server describes at most {MOST_NAMES} tools at a time")
        known = self._run(description(tools))
        self._asking.needs.learn(known)
        return known.revision, tuple(known.tools[tool] for tool in tools)

    def close(self) -> None:
        """End what is under way, and the connection."""
        self._closed.set()
        self._channel.close()

    def _run(self, steps: Generator[Outgoing, bytes, T]) -> T:
        """Carry the messages of an exchange to the server and back, all within one deadline."""
        ends, again = time.monotonic() + self._deadline, True
        try:
            outgoing = next(steps)
            while True:
                try:
                    answer = self._send(outgoing, ends)
                except grpc.RpcError as error:
                    call = cast("grpc.Call", error)  # what grpcio raises is both; its types do not say so
                    if not (again and call.code() is grpc.StatusCode.UNAVAILABLE):
                        raise failed(call.code(), call.details()) from None
                    again = False
                    time.sleep(min(pause(), max(0.0, ends - time.monotonic())))
                else:
                    outgoing = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # what the generator returns, by its type
        except AuthzError as error:
            raise failure(error) from None

    def _send(self, outgoing: Outgoing, ends: float) -> bytes:
        left = ends - time.monotonic()
        if left <= 0:
            raise PdpError("no answer within the deadline")
        if self._closed.is_set():
            raise PdpError("the decision point is closed")
        try:
            answer: bytes = self._methods[outgoing.method](outgoing.data, timeout=left)
        except ValueError as error:  # gRPC's way of saying that the channel has been closed meanwhile
            raise PdpError(f"the decision point is closed: {error}") from None
        return answer
