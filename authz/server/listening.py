"""Have a gRPC server listen on an address, or say why it cannot."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from authz.server.config import Address, ListenError, claim_socket, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def listen(bind: Callable[[str], int], address: Address, *, private: bool = False, reuse_port: bool = False) -> str:
    """Return the address that a server listens on, with the port that the system chose.

    `bind` makes it listen on a target and returns the port, with `reuse_port` one that other
    processes share. A `private` Unix socket can be opened by this process's own user only.
    Raises `ListenError`.
    """
    if address.path is not None:
        claim_socket(address.path)
    if (problem := why_not(address, reuse_port=reuse_port)) is not None:  # asked first: the native front prints its own
        raise ListenError(f"cannot listen on `{address.target}`: {problem}")
    with _own_files_only() if private else contextlib.nullcontext():
        try:
            port = bind(address.target)
        except (RuntimeError, OSError):  # grpcio's, and the native transport's
            port = 0
    if port == 0:
        problem = why_not(address, reuse_port=reuse_port) or "the address is in use"
        raise ListenError(f"cannot listen on `{address.target}`: {problem}")
    return address.with_port(port)


@contextlib.contextmanager
def _own_files_only() -> Iterator[None]:
    """Let what is created meanwhile, a socket too, belong to this user alone from its first moment."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
