"""The administration listener: policies and directory, for those who may change them.

It is a listener of its own, off by default, and never reachable from other machines. Who may use a
Unix socket is the file system's business; on a TCP port every process of the machine could ask, so
there a token is required as well. The token is compared in constant time, and each refusal is
told to the decision log.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final

import grpc

from authz.server.config import ConfigError
from authz.server.gate import Gate, refusal
from authz.server.listening import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from authz.server.config import AdminConfig

    Handlers = Mapping[str, grpc.RpcMethodHandler[Any, Any]]

POLICIES: Final = "authz.v1.PolicyService"
DIRECTORY: Final = "authz.v1.DirectoryService"
MIN_TOKEN: Final = 32
"""Characters of an administration token at least: 128 bits in hexadecimal digits."""
_MAX_TOKEN: Final = 1_024
_MAX_CALLS: Final = 32
_MAX_STREAMS: Final = 16
"""Calls under way, and the watches and transfers among them: people ask here, not enforcement points."""
_MAX_MESSAGE: Final = 65 * 1024 * 1024  # a whole policy, at the limits of L6
_UNAUTHENTICATED: Final = "the administration token is missing or wrong"


def read_token(path: Path) -> bytes:
    """Return the token that a file holds. Raises `ConfigError` where it holds none that is good enough."""
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_TOKEN + 2).strip()
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {(error.strerror or 'it failed').lower()}") from None
    if not MIN_TOKEN <= len(token) <= _MAX_TOKEN or not token.isascii() or b" " in token:
        raise ConfigError(
            f"`{path}` must hold one token of {MIN_TOKEN} to {_MAX_TOKEN} ASCII characters, without spaces"
        )
    return token


class Administration:
    """The listener, with the services behind it."""

    def __init__(self, config: AdminConfig, handlers: Handlers, refused: Callable[[str], None]) -> None:
        """Serve `handlers`, by the full names of their methods; `refused` is told of calls without the token."""
        self._config = config
        self._server = grpc.aio.server(
            options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _MAX_MESSAGE)),
            maximum_concurrent_rpcs=2 * _MAX_CALLS,
        )
        gate = Gate(handlers, _MAX_CALLS, _MAX_STREAMS)
        self._server.add_generic_rpc_handlers((AdminDoor(gate, config.token, refused),))

    async def start(self) -> str:
        """Listen, and return the address. Raises `ListenError`."""
        address = listen(self._server.add_insecure_port, self._config.listen, private=True)
        await self._server.start()
        return address

    async def stop(self, grace: float | None) -> None:
        """Take no more calls, and end those under way after `grace` seconds."""
        await self._server.stop(grace)


class AdminDoor(grpc.GenericRpcHandler):
    """Lets calls through that carry the token, where there is one."""

    def __init__(self, gate: Gate, token: bytes | None, refused: Callable[[str], None]) -> None:
        """Guard a gate; `refused` is told the method of each call that was not let through."""
        self._gate = gate
        self._token = token
        self._refused = refused
        self._refusal = refusal(grpc.StatusCode.UNAUTHENTICATED, _UNAUTHENTICATED)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the handler of a call, or one that refuses it."""
        if not self._gate.knows(handler_call_details.method):
            return None
        if self._token is not None and not self._holds_token(handler_call_details):
            self._refused(handler_call_details.method)
            return self._refusal
        return self._gate.service(handler_call_details)

    def _holds_token(self, details: grpc.HandlerCallDetails) -> bool:
        given = [value for key, value in details.invocation_metadata or () if key == "authorization"]
        if len(given) != 1:
            return False
        value = given[0].encode() if isinstance(given[0], str) else given[0]
        scheme, _, token = value.partition(b" ")
        assert self._token is not None  # asked only where there is one
        return scheme.lower() == b"bearer" and hmac.compare_digest(token, self._token)
