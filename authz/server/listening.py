"""Have a gRPC server listen on an address, or say why it cannot."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from authz.server.config import Address, ListenError, claim_socket, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc


def listen(
    server: grpc.aio.Server,
    address: Address,
    *,
    private: bool = False,
    credentials: grpc.ServerCredentials | None = None,
) -> str:
    """Return the address that the server listens on, with the port that the system chose.

    A `private` Unix socket can be opened by this process's own user only; `credentials` are what a
    port encrypts with. Raises `ListenError`.
    """
    if address.path is not None:
        claim_socket(address.path)
    with _own_files_only() if private else contextlib.nullcontext():
        try:
            if credentials is not None:
                port = server.add_secure_port(address.target, credentials)
            else:
                port = server.add_insecure_port(address.target)
        except RuntimeError:
            port = 0
    if port == 0:
        raise ListenError(f"cannot listen on `{address.target}`: {why_not(address)}")
    return address.with_port(port)


@contextlib.contextmanager
def _own_files_only() -> Iterator[None]:
    """Let what is created meanwhile, a socket too, belong to this user alone from its first moment."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
