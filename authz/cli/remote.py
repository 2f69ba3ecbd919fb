"""Ask a running server; the only part of `authz-eval` that knows gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import grpc

from authz.cli.failures import ServerError
from authz.errors import InvalidRequestError
from authz.v1.decision_pb2_grpc import DecisionServiceStub
from authz.wire import check_request, decision_from, explanation_from

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.json_form import Call
    from authz.model import Decision, Explanation


_REVISION: Final = "`min_policy_revision` "
"""How the server's answer starts where it does not know the revision that was asked for."""


def connect(server: str, timeout: float) -> Callable[[Call], tuple[Decision, Explanation | None]]:
    """Return what asks this server, waiting at most `timeout` seconds for each answer.

    What it returns raises `InvalidRequestError` where the server finds the question malformed,
    and `ServerError` where it gives no answer.
    """
    # A proxy from the environment would see the caller's attributes, and could answer instead.
    channel = grpc.insecure_channel(server, options=[("grpc.enable_http_proxy", 0)])
    stub = DecisionServiceStub(channel)

    def ask(call: Call) -> tuple[Decision, Explanation | None]:
        try:
            response = stub.Check(check_request(call), timeout=timeout)
        except grpc.RpcError as error:
            raise _failure(server, error) from None
        return decision_from(response), explanation_from(response)

    return ask


def _failure(server: str, error: grpc.RpcError) -> Exception:
    call = cast("grpc.Call", error)  # what grpcio raises is both; its types do not say so
    code, details = call.code(), call.details() or ""
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        field, _, problem = details.partition(": ")
        return InvalidRequestError(field, problem) if problem else InvalidRequestError("request", details)
    # Two answers that are about this question, and not about the server: they spoil no other line.
    if code is grpc.StatusCode.UNAVAILABLE and details.startswith(_REVISION):
        return InvalidRequestError("min_policy_revision", details.removeprefix(_REVISION))
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return InvalidRequestError("request", f"is larger than the server at `{server}` takes")
    if code is grpc.StatusCode.UNAVAILABLE:
        return ServerError(f"no answer from `{server}`: {' '.join(details.split())[:200]}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServerError(f"the server at `{server}` did not answer in time")
    return ServerError(f"the server at `{server}` answered {code.name}: {' '.join(details.split())}")
