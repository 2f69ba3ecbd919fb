"""What the server's tests share: servers, clients, and a program that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authz.model import Decision, Effect, Explanation, Obligation, Reason
from authz.server.app import Server
from authz.server.config import Config, parse_address
from authz.server.log import configure
from authz.v1 import decision_pb2 as v1
from authz.v1.decision_pb2_grpc import DecisionServiceStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from authz.model import Fact, Request
    from authz.pdp.program import Program
    from authz.server.config import Transport
    from authz.v1.decision_pb2_grpc import DecisionServiceAsyncStub

POLICY = """
tool "read_*" on "document" {
  require scope "docs:read"
  allow "owner" when resource.owner == subject.id
}
tool "ping" { allow public }
"""

SLOW = "/authz.v1.EnforcementService/DescribeTools"

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Carrier:
    """What carries the calls of the servers that tests start; the fixture `transport` sets it."""

    chosen: ClassVar[Transport] = "auto"


@dataclass
class Scripted:
    """A program that allows every tool but those a test gives another behaviour."""

    revision: str = "r1"
    decided: list[Request] = field(default_factory=list)
    on_decide: Callable[[Request], None] = lambda _request: None

    def decide(self, request: Request) -> Decision:
        """Remember the request, do what the test wants, allow."""
        self.decided.append(request)
        self.on_decide(request)
        return Decision(Effect.ALLOW, Reason.ALLOWED, "", ("a:1",), self.revision, (Obligation("log"),))

    def explain(self, request: Request, facts: tuple[Fact, ...] = ()) -> Explanation:
        """Explain nothing but what the directory knows."""
        return Explanation(self.decide(request), (), facts=facts)

    def references(self, _request: Request) -> tuple[()]:
        """Follow none."""
        return ()

    def is_global(self, _type: str) -> bool:
        """Have all resources belong to tenants."""
        return False


@dataclass
class Loaded:
    """What a loader returns, as far as the server looks."""

    program: Scripted
    warnings: tuple[()] = ()


@dataclass
class Running:
    """A server in this process, and a channel to it."""

    server: Server
    channel: grpc.aio.Channel
    log: io.StringIO

    @property
    def stub(self) -> DecisionServiceAsyncStub:
        """Return the client of DecisionService."""
        return DecisionServiceStub(self.channel)

    @property
    def health(self) -> Any:  # noqa: ANN401  # grpc_health ships no types
        """Return the client of the health service."""
        return health_pb2_grpc.HealthStub(self.channel)

    async def status(self, service: str = "") -> int:
        """Return the health of a service."""
        answer = await self.health.Check(health_pb2.HealthCheckRequest(service=service))
        return int(answer.status)

    def unary(self, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
        """Return a call that sends bytes and reads bytes."""
        return self.channel.unary_unary(method if "/" in method else f"/authz.v1.DecisionService/{method}")

    def raw(self, method: str) -> grpc.aio.StreamStreamMultiCallable[bytes, bytes]:
        """Return a call that sends bytes one by one and reads bytes, whatever the method is."""
        return self.channel.stream_stream(f"/authz.v1.DecisionService/{method}")

    def slow(self) -> grpc.aio.StreamStreamCall[bytes, bytes]:
        """Return a call that has room of its own at the gate for as long as its message does not come.

        One to Check would not do: the native transport's front keeps those to itself until they are whole.
        """
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self.channel.stream_stream(SLOW)
        return method()

    def records(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return what has been logged."""
        records = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [record for record in records if event in (None, record["event"])]


@contextlib.asynccontextmanager
async def serving(
    program: Scripted | None = None,
    *,
    policies: Path | None = Path("/nonexistent"),
    **settings: Any,  # noqa: ANN401  # fields of Config, and of Server
) -> AsyncIterator[Running]:
    """Run a server in this process; with a scripted program, no policy is read."""
    log = io.StringIO()
    options = {name: settings.pop(name) for name in ("clock", "load") if name in settings}
    if program is not None:
        options.setdefault("load", lambda _path: Loaded(program))
    transport = "grpcio" if settings.get("tls") else Carrier.chosen
    settings = {"grace": 5.0, "transport": transport, **settings}
    listen = settings.pop("listen", None) or parse_address("127.0.0.1:0")
    config = Config(policies, listen, **settings)
    configure("json", "debug")
    logger = structlog.wrap_logger(structlog.WriteLogger(log))
    server = Server(config, logger, **options)
    try:
        await server.start()
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield Running(server, channel, log)
    finally:
        await server.close()


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds; fail the test when it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what is waited for lies in code that raises no event
            await asyncio.sleep(0.005)


def program(revision: str) -> Program:
    """Return a scripted program under the type of a real one."""
    return cast("Program", Scripted(revision))


def ask(tool: str = "ping", subject: str = "alice", **more: Any) -> v1.CheckRequest:  # noqa: ANN401  # any other field
    """Return a request that is valid."""
    return v1.CheckRequest(subject=subject, tool=tool, **more)


async def code_of(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    """Return the status of a call that fails."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    raise AssertionError("the call was answered")
