"""A real gRPC server whose methods do as a test tells them, and what it was asked."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc

from authz.v1 import decision_pb2 as v1
from authz.v1 import enforcement_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
    Method: TypeAlias = Callable[[bytes, Context], Awaitable[Any]]

REVISION: Final = "a" * 64
OTHER: Final = "b" * 64
_SERVICES: Final = {
    "Check": "DecisionService",
    "BatchCheck": "DecisionService",
    "DescribeTools": "EnforcementService",
    "FollowPolicy": "EnforcementService",
}


@dataclass
class Scripted:
    """A server that answers by functions; `asked` holds the messages that came, by method."""

    methods: dict[str, Method]
    address: str = ""
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    def messages(self, method: str) -> list[bytes]:
        """Return what one method was sent."""
        return [data for name, data in self.asked if name == method]

    def checks(self) -> list[v1.CheckRequest]:
        """Return the single questions that came."""
        return [v1.CheckRequest.FromString(data) for data in self.messages("Check")]

    def batches(self) -> list[v1.BatchCheckRequest]:
        """Return the batches that came."""
        return [v1.BatchCheckRequest.FromString(data) for data in self.messages("BatchCheck")]

    def handlers(self, service: str) -> grpc.GenericRpcHandler:
        """Return what serves the methods of one service."""

        def handler(name: str, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
            async def serve(data: bytes, context: Context) -> Any:  # noqa: ANN401  # nothing where it streams
                self.asked.append((name, data))
                return await method(data, context)

            if name == "FollowPolicy":
                return grpc.unary_stream_rpc_method_handler(serve)
            return grpc.unary_unary_rpc_method_handler(serve)

        mine = {name: handler(name, method) for name, method in self.methods.items() if _SERVICES[name] == service}
        return grpc.method_handlers_generic_handler(f"authz.v1.{service}", mine)


@contextlib.asynccontextmanager
async def scripted(listen: str = "127.0.0.1:0", **methods: Method) -> AsyncIterator[Scripted]:
    """Serve on loopback; without a DescribeTools of its own, a server needs everything of every tool."""
    script = Scripted({"DescribeTools": describes(), **methods})
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1)))
    server.add_generic_rpc_handlers(tuple(map(script.handlers, sorted(set(_SERVICES.values())))))
    port = server.add_insecure_port(listen)
    script.address = listen if listen.startswith("unix:") else f"127.0.0.1:{port}"
    await server.start()
    try:
        yield script
    finally:
        await server.stop(None)


def describes(revision: str = REVISION, **paths: tuple[str, ...]) -> Method:
    """Return a DescribeTools that names the same paths for every tool: `arguments=("title",)`; all without any."""
    parts = ("arguments", "context", "resource", "subject", "client")
    given: dict[str, Any] = {
        part: [enforcement_pb2.AttributePath(names=path.split(".")) for path in paths.get(part, ())]
        if paths
        else [enforcement_pb2.AttributePath()]
        for part in parts
    }

    async def describe(data: bytes, _context: Context) -> bytes:
        tools = enforcement_pb2.DescribeToolsRequest.FromString(data).tools
        described = [enforcement_pb2.ToolDescription(tool=tool, known=True, **given) for tool in tools]
        response = enforcement_pb2.DescribeToolsResponse(policy_revision=revision, tools=described)
        return response.SerializeToString()

    return describe


def allow(revision: str = REVISION, **more: Any) -> v1.CheckResponse:  # noqa: ANN401  # any other field
    """Return the answer that allows."""
    return v1.CheckResponse(decision=v1.DECISION_ALLOW, reason=v1.REASON_ALLOWED, policy_revision=revision, **more)


def says(answer: v1.CheckResponse | bytes) -> Method:
    """Return a method that always gives the same answer."""
    data = answer if isinstance(answer, bytes) else answer.SerializeToString()

    async def say(_data: bytes, _context: Context) -> bytes:
        return data

    return say


def answers_batches(revision: str = REVISION) -> Method:
    """Return a BatchCheck that allows every question, naming its tool in the message."""

    async def answer(data: bytes, _context: Context) -> bytes:
        questions = v1.BatchCheckRequest.FromString(data).questions
        results = [v1.CheckResult(response=allow(revision, message=question.tool)) for question in questions]
        return v1.BatchCheckResponse(results=results, policy_revision=revision).SerializeToString()

    return answer


def fails(code: grpc.StatusCode, details: str = "", *, times: int | None = None, then: Method | None = None) -> Method:
    """Return a method that fails, always or so many times before it answers."""
    left = [times if times is not None else -1]

    async def fail(data: bytes, context: Context) -> Any:  # noqa: ANN401  # what `then` answers
        if left[0] == 0 and then is not None:
            return await then(data, context)
        left[0] -= 1
        await context.abort(code, details)
        raise AssertionError  # abort() raises

    return fail
