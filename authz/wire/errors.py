"""Say an error as the gRPC status of a call, or as one item among answers; neither tells what happens inside."""

from __future__ import annotations

from typing import Final

import grpc

from authz.errors import InvalidRequestError, StoreError
from authz.pdp.engine import RevisionNotServedError
from authz.v1 import decision_pb2 as v1

_MAX_DETAILS: Final = 500  # characters; percent-encoded they still fit into the 8 KiB that peers take as metadata


def status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return the gRPC status of an error, and the details that the asker may see."""
    match error:
        case InvalidRequestError():
            code, details = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        case RevisionNotServedError():
            code, details = grpc.StatusCode.UNAVAILABLE, str(error)
        case StoreError():
            code, details = grpc.StatusCode.UNAVAILABLE, "the store cannot be used now"  # its own text names paths
        case _:
            code, details = grpc.StatusCode.INTERNAL, "internal error"
    return code, details if len(details) <= _MAX_DETAILS else details[: _MAX_DETAILS - 1] + "…"


def error_item(error: Exception) -> v1.CheckError:
    """Return the message that stands for the answer to a question which has none."""
    code, details = status(error)
    if isinstance(error, InvalidRequestError):
        return v1.CheckError(code=v1.ERROR_CODE_INVALID_ARGUMENT, field=error.field, message=error.problem)
    known = v1.ERROR_CODE_UNAVAILABLE if code is grpc.StatusCode.UNAVAILABLE else v1.ERROR_CODE_INTERNAL
    return v1.CheckError(code=known, message=details)
