"""The door to the policy history of a running server; beside `remote` the only part that knows gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import grpc

from authz.cli.failures import ServerError
from authz.errors import InvalidRequestError, LoadError, NotStoredError
from authz.pap.versions import NoRollbackError
from authz.v1 import policy_pb2 as v1
from authz.v1.policy_pb2_grpc import PolicyServiceStub
from authz.wire.policies import activation_from, put_request, texts_from, version_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from authz.model import Act
    from authz.pap.history import Activation, NewVersion, PolicyText, PolicyVersion

_TIMEOUT_S: Final = 60.0
_MAX_ANSWER: Final = 128 * 1024 * 1024
_MAX_TOKEN: Final = 1_024


class ServerTestsError(ServerError):
    """Raised when the server does not activate a version whose own tests fail."""


class ServerPolicyError(ServerError):
    """Raised when the server finds errors in a policy in which there are none for this program."""


class ServerDoor:
    """A server's administration listener."""

    def __init__(self, server: str, token_file: Path | None) -> None:
        """Ask this server, with this token. Raises `LoadError` for a token that cannot be read."""
        self._server = server
        self._metadata = (("authorization", f"Bearer {_token(token_file)}"),) if token_file is not None else ()
        # A proxy from the environment would see the token, and could answer instead.
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", _MAX_ANSWER)]
        self._channel = grpc.insecure_channel(server, options=options)
        self._stub = PolicyServiceStub(self._channel)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def put(self, version: NewVersion, act: Act) -> PolicyVersion:
        """Keep a version; the server checks it again."""
        return version_from(self._ask(self._stub.PutPolicy, put_request(version.files, act)).version)

    def versions(self) -> tuple[Sequence[PolicyVersion], Activation | None]:
        """Return all versions, and what decides now."""
        answer = self._ask(self._stub.ListPolicies, v1.ListPoliciesRequest())
        active = activation_from(answer.active) if answer.HasField("active") else None
        return [version_from(version) for version in answer.versions], active

    def version(self, number: int | None) -> tuple[PolicyVersion, Sequence[PolicyText]]:
        """Return one version with its files."""
        answer = self._ask(self._stub.GetPolicy, v1.GetPolicyRequest(number=number or 0))
        return version_from(answer.version), texts_from(answer.files)

    def activate(self, number: int, act: Act) -> Activation:
        """Let a version decide."""
        request = v1.ActivatePolicyRequest(number=number, author=act.author, note=act.note)
        return activation_from(self._ask(self._stub.ActivatePolicy, request).activation)

    def rollback(self, number: int | None, act: Act) -> Activation:
        """Let an older version decide again."""
        request = v1.RollbackPolicyRequest(number=number or 0, author=act.author, note=act.note)
        return activation_from(self._ask(self._stub.RollbackPolicy, request).activation)

    def watch(self) -> Iterator[Activation]:
        """Listen until the server ends."""
        call = self._stub.WatchPolicy(v1.WatchPolicyRequest(), metadata=self._metadata)
        told = False
        try:
            for answer in call:
                told = True
                yield activation_from(answer.activation)
        except grpc.RpcError as error:
            if not told or error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
                self._fail(error)
        finally:
            call.cancel()
        raise ServerError(f"the server at `{self._server}` has ended")

    def _ask(self, method: Callable[..., Any], request: object) -> Any:  # noqa: ANN401  # what the method answers
        try:
            return method(request, timeout=_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            self._fail(error)

    def _fail(self, error: grpc.RpcError) -> NoReturn:
        call = cast("grpc.Call", error)  # what grpcio raises is both; its types do not say so
        code, details = call.code(), call.details() or ""
        match code:
            case grpc.StatusCode.INVALID_ARGUMENT if ": error[" in details:
                raise ServerPolicyError(details) from None
            case grpc.StatusCode.INVALID_ARGUMENT:
                field, _, problem = details.partition(": ")
                raise InvalidRequestError(field, problem) from None
            case grpc.StatusCode.NOT_FOUND:
                raise NotStoredError(details) from None
            case grpc.StatusCode.FAILED_PRECONDITION if " fails " in details and " of its " in details:
                raise ServerTestsError(details) from None
            case grpc.StatusCode.FAILED_PRECONDITION:
                raise NoRollbackError(details) from None
            case grpc.StatusCode.UNAUTHENTICATED:
                raise ServerError(f"{details}: `--token-file` names the file that holds it") from None
            case grpc.StatusCode.UNAVAILABLE:
                raise ServerError(f"the server at `{self._server}` could not answer: {_line(details)[:200]}") from None
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                raise ServerError(f"the server at `{self._server}` did not answer in time") from None
            case grpc.StatusCode.UNIMPLEMENTED:
                what = "administers nothing: name the address of its `--admin-listen`"
                raise ServerError(f"the listener at `{self._server}` {what}") from None
            case _:
                raise ServerError(f"the server at `{self._server}` answered {code.name}: {_line(details)}") from None


def _line(text: str) -> str:
    return " ".join(text.split())


def _token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_TOKEN + 2).strip()
    except OSError as error:
        raise LoadError(f"`{path}` cannot be read: {(error.strerror or 'it failed').lower()}") from None
    if not 0 < len(token) <= _MAX_TOKEN or not token.isascii() or not token.decode().isprintable():
        raise LoadError(f"`{path}` must hold one token of at most {_MAX_TOKEN} ASCII characters")
    return token.decode()
