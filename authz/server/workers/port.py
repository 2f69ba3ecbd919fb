"""Reserve a port for this service's own processes.

Processes share a port by SO_REUSEPORT, and the kernel would let any other program of the same user
share it as well, which would then get some of the questions. So the port is bound without it, which
fails where anybody has it, and opened to sharing only afterwards; bound like this, and never listened
on, it stays out of reach for whoever does not share, for as long as the service runs.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from authz.server.config import ListenError, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.server.config import Address

_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


@contextlib.contextmanager
def reserved(address: Address) -> Iterator[Address]:
    """Keep a port for the workers, and give the address with its number: port 0 becomes one port for all.

    Raises `ListenError`.
    """
    with contextlib.ExitStack() as held:
        try:
            port = _reserve(address, held)
        except OSError:
            port = 0
        if port == 0:
            raise ListenError(f"cannot listen on `{address.target}`: {why_not(address)}")
        yield replace(address, target=address.with_port(port))


def _reserve(address: Address, held: contextlib.ExitStack) -> int:
    """Bind every address that the name stands for; return the port, 0 where this machine has none of them."""
    host, _, text = address.target.rpartition(":")
    port, bound = int(text), 0
    for family, where in _places(host.strip("[]")):
        with contextlib.ExitStack() as attempt:
            try:
                one = attempt.enter_context(socket.socket(family, socket.SOCK_STREAM))
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, where[0] != "::")
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are over may linger
                one.bind((where[0], port or bound, *where[2:]))
            except OSError as error:
                if error.errno in _ABSENT:  # `localhost` is both families' also where there is one only
                    continue
                raise
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound = one.getsockname()[1]
            held.enter_context(attempt.pop_all())
            if where[0] == "::":  # holds the other family's port as well
                break
    return bound


def _places(host: str) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # as gRPC does, which listens on both families for either
        return [(socket.AF_INET6, ("::", 0)), (socket.AF_INET, ("0.0.0.0", 0))]  # noqa: S104  # the settings permit it
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(family, where) for family, _, _, _, where in found]
