"""Read and write the messages of PolicyService, for both of its sides."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

import grpc

from authz.errors import AuthzError, InvalidRequestError, NotStoredError, PolicyError
from authz.model import Act
from authz.pap.decoding import ReadFile
from authz.pap.history import Activation, PolicyText, PolicyVersion
from authz.pap.versions import NoRollbackError, TestsFailedError
from authz.v1 import policy_pb2 as v1
from authz.wire.answers import response
from authz.wire.errors import status
from authz.wire.parts import parse
from authz.wire.requests import MAX_QUESTIONS, read_check

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from authz.model import Request
    from authz.pap.changes import AnswerChange, PolicyChange

    MessageT = TypeVar("MessageT", bound=Message)

_VIA: Final = "admin"
_MAX_DETAILS: Final = 4_000
"""Bytes of a status's details as they are sent, percent-encoded: half of the 8 KiB that peers take as metadata."""
_MAX_LINE: Final = 300
"""Characters of one line: even if each takes four bytes, percent-encoded, a line fits."""
_UNQUOTED: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

_KINDS: Final = {"activate": v1.ACTIVATION_KIND_ACTIVATE, "rollback": v1.ACTIVATION_KIND_ROLLBACK}


# --- The server's side ----------------------------------------------------------------------


def read_put(data: bytes) -> tuple[tuple[ReadFile, ...], Act]:
    """Read a PutPolicyRequest: its files, and who puts them."""
    message = parse(v1.PutPolicyRequest, data)
    return file_bytes(message.files), Act(message.author, _VIA, message.note)


def read_get(data: bytes) -> int | None:
    """Read a GetPolicyRequest: the number of a version, None for the active one."""
    return _number_or_none("number", parse(v1.GetPolicyRequest, data).number)


def read_activate(data: bytes) -> tuple[int, Act]:
    """Read an ActivatePolicyRequest: the number of a version, and who activates it."""
    message = parse(v1.ActivatePolicyRequest, data)
    return _number("number", message.number), Act(message.author, _VIA, message.note)


def read_rollback(data: bytes) -> tuple[int | None, Act]:
    """Read a RollbackPolicyRequest: the number of a version, None for the one before, and who rolls back."""
    message = parse(v1.RollbackPolicyRequest, data)
    return _number_or_none("number", message.number), Act(message.author, _VIA, message.note)


def read_diff(data: bytes) -> tuple[int | None, int, tuple[Request, ...]]:
    """Read a DiffPoliciesRequest: two versions, the first None for the active one, and requests."""
    message = parse(v1.DiffPoliciesRequest, data)
    if len(message.requests) > MAX_QUESTIONS:
        raise InvalidRequestError("requests", f"holds more than {MAX_QUESTIONS} items")
    requests: list[Request] = []
    for index, request in enumerate(message.requests):
        try:
            requests.append(read_check(request.SerializeToString()).request)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"requests[{index}].{error.field}", error.problem) from None
    return _number_or_none("old", message.old), _number("new", message.new), tuple(requests)


def read_nothing(kind: type[Message], data: bytes) -> None:
    """Read a message that asks for nothing in particular."""
    parse(kind, data)


def put_response(version: PolicyVersion) -> v1.PutPolicyResponse:
    """Return the message that says what was kept."""
    return v1.PutPolicyResponse(version=_version(version))


def list_response(versions: Iterable[PolicyVersion], active: Activation | None) -> v1.ListPoliciesResponse:
    """Return the message that lists versions."""
    shown = _activation(active) if active is not None else None
    return v1.ListPoliciesResponse(versions=map(_version, versions), active=shown)


def get_response(version: PolicyVersion, files: Iterable[PolicyText]) -> v1.GetPolicyResponse:
    """Return the message that shows one version."""
    return v1.GetPolicyResponse(version=_version(version), files=[v1.PolicyFile(name=n, text=t) for n, t in files])


def activate_response(activation: Activation) -> v1.ActivatePolicyResponse:
    """Return the message that says what was activated."""
    return v1.ActivatePolicyResponse(activation=_activation(activation))


def rollback_response(activation: Activation) -> v1.RollbackPolicyResponse:
    """Return the message that says what was rolled back to."""
    return v1.RollbackPolicyResponse(activation=_activation(activation))


def watch_response(activation: Activation) -> v1.WatchPolicyResponse:
    """Return the message that tells a watcher of an activation."""
    return v1.WatchPolicyResponse(activation=_activation(activation))


def diff_response(changes: Iterable[PolicyChange], answers: Iterable[AnswerChange]) -> v1.DiffPoliciesResponse:
    """Return the message that says what differs."""
    return v1.DiffPoliciesResponse(
        changes=[v1.PolicyChange(name=name, before=before, after=after) for name, before, after in changes],
        answers=[
            v1.AnswerChange(index=answer.index, before=response(answer.before), after=response(answer.after))
            for answer in answers
        ],
    )


def policy_status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return the gRPC status of an error, with details for those who may change policies."""
    match error:
        case PolicyError():
            return grpc.StatusCode.INVALID_ARGUMENT, _first_lines([str(found) for found in error.diagnostics])
        case NotStoredError():
            code = grpc.StatusCode.NOT_FOUND
        case TestsFailedError() | NoRollbackError():
            code = grpc.StatusCode.FAILED_PRECONDITION
        case InvalidRequestError():
            return status(error)
        case AuthzError():  # the store's failures, and what keeps this server from taking a policy
            code = grpc.StatusCode.UNAVAILABLE
        case _:
            return status(error)
    return code, _first_lines([str(error)])


def _first_lines(lines: Sequence[str]) -> str:
    """Return as many lines as fit into a status, and how many more there are."""
    kept: list[str] = []
    left = _MAX_DETAILS
    for line in lines:
        text = line if len(line) <= _MAX_LINE else line[: _MAX_LINE - 1] + "…"
        left -= len(quote(text, safe=_UNQUOTED)) + len("%0A")
        if left < 0:
            return "\n".join([*kept, f"and {len(lines) - len(kept)} more"])
        kept.append(text)
    return "\n".join(kept)


# --- The client's side ----------------------------------------------------------------------


def put_request(files: Iterable[PolicyText], act: Act) -> v1.PutPolicyRequest:
    """Return the message that puts a policy."""
    parts = [v1.PolicyFile(name=name, text=text) for name, text in files]
    return v1.PutPolicyRequest(files=parts, author=act.author, note=act.note)


def version_from(message: v1.PolicyVersion) -> PolicyVersion:
    """Return the version that a message describes."""
    return PolicyVersion(
        number=message.number,
        revision=message.revision,
        digest=message.digest,
        author=message.author,
        time=_time_from(message.time),
        note=message.note,
        tests_passed=message.tests_passed,
        tests_failed=message.tests_failed,
    )


def activation_from(message: v1.Activation) -> Activation:
    """Return the activation that a message describes."""
    return Activation(
        sequence=message.sequence,
        version=message.version,
        revision=message.revision,
        kind="rollback" if message.kind == v1.ACTIVATION_KIND_ROLLBACK else "activate",
        author=message.author,
        time=_time_from(message.time),
        note=message.note,
    )


def texts_from(files: Iterable[v1.PolicyFile]) -> tuple[PolicyText, ...]:
    """Return the files of a version."""
    return tuple(PolicyText(file.name, file.text) for file in files)


# --- Both sides -----------------------------------------------------------------------------


def file_bytes(files: Iterable[v1.PolicyFile]) -> tuple[ReadFile, ...]:
    """Return files as they would have been read from disk."""
    return tuple(ReadFile(file.name, file.name, file.text.encode()) for file in files)


def _version(version: PolicyVersion) -> v1.PolicyVersion:
    message = v1.PolicyVersion(
        number=version.number,
        revision=version.revision,
        digest=version.digest,
        author=version.author,
        note=version.note,
        tests_passed=version.tests_passed,
        tests_failed=version.tests_failed,
    )
    message.time.FromDatetime(version.time)
    return message


def _activation(activation: Activation) -> v1.Activation:
    message = v1.Activation(
        sequence=activation.sequence,
        version=activation.version,
        revision=activation.revision,
        kind=_KINDS[activation.kind],
        author=activation.author,
        note=activation.note,
    )
    message.time.FromDatetime(activation.time)
    return message


def _time_from(time: Timestamp) -> datetime:
    return time.ToDatetime(UTC)


def _number(field: str, number: int) -> int:
    if number < 1:
        raise InvalidRequestError(field, "must be the number of a version, from 1")
    return number


def _number_or_none(field: str, number: int) -> int | None:
    return _number(field, number) if number else None
