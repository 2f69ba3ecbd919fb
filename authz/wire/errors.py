"""Say an error as the gRPC status of a call, or as one item among answers; neither tells what happens inside."""

from __future__ import annotations

from typing import Final

import grpc

from authz.errors import InvalidRequestError, StoreError
from authz.pdp.engine import RevisionNotServedError
from authz.tokens.errors import Refusal, TokenError
from authz.v1 import decision_pb2 as v1

_MAX_DETAILS: Final = 500  # characters; percent-encoded they still fit into the 8 KiB that peers take as metadata

_OF_REFUSALS: Final = {
    Refusal.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Refusal.TOO_MANY_FAILURES: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Of the refusals of a token those that say nothing about it."""


def status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return the gRPC status of an error, and the details that the asker may see."""
    match error:
        case InvalidRequestError():
            code, details = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        case RevisionNotServedError():
            code, details = grpc.StatusCode.UNAVAILABLE, str(error)
        case StoreError():
            code, details = grpc.StatusCode.UNAVAILABLE, "the store cannot be used now"  # its own text names paths
        case TokenError():
            code = _OF_REFUSALS.get(error.reason, grpc.StatusCode.UNAUTHENTICATED)
            details = f"{error.reason.value}: {error.message}"
        case _:
            code, details = grpc.StatusCode.INTERNAL, "internal error"
    return code, details if len(details) <= _MAX_DETAILS else details[: _MAX_DETAILS - 1] + "…"


def error_item(error: Exception) -> v1.CheckError:
    """Return the message that stands for the answer to a question which has none."""
    code, details = status(error)
    if isinstance(error, InvalidRequestError):
        return v1.CheckError(code=v1.ERROR_CODE_INVALID_ARGUMENT, field=error.field, message=error.problem)
    return v1.CheckError(code=v1.ErrorCode.ValueType(code.value[0]), message=details)  # the numbers are gRPC's
