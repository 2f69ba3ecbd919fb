"""The port that workers share: theirs alone, and one for all."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest

from authz.server.config import ListenError, parse_address
from authz.server.workers.port import reserved
from tests.server.workers_support import crew, failure

if TYPE_CHECKING:
    from pathlib import Path


def listening(host: str, port: int, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """Return a socket that listens as a worker's does."""
    one = socket.socket(family)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((host, port))
        one.listen()
    except OSError:
        one.close()
        raise
    return one


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # nothing answers there
def test_a_reserved_port_is_the_workers_alone(host: str) -> None:
    """Issue 6, workers: port 0 becomes one port for all, which nobody else gets who does not share."""
    with reserved(parse_address(f"{host}:0", insecure_bind=True)) as address:
        assert address.target.startswith(f"{host}:")
        port = int(address.target.rpartition(":")[2])
        with listening("127.0.0.1", port), listening("127.0.0.1", port), socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
        with pytest.raises(ListenError, match="in use"), reserved(address):
            pass
    with listening("127.0.0.1", port):  # it is free again
        pass


def test_a_port_that_somebody_shares_already_is_refused() -> None:
    """Issue 6, workers: SO_REUSEPORT must not let a stranger of the same user have some of the questions."""
    stranger = grpc.server(ThreadPoolExecutor(1), options=(("grpc.so_reuseport", 1),))
    port = stranger.add_insecure_port("127.0.0.1:0")
    stranger.start()
    try:
        with pytest.raises(ListenError, match="in use"), reserved(parse_address(f"127.0.0.1:{port}")):
            pass
    finally:
        stranger.stop(None).wait()


def test_an_address_that_is_not_this_machines_is_refused() -> None:
    """Issue 6, workers: refused as one process refuses it."""
    with (
        pytest.raises(ListenError, match="this machine has no such address"),
        reserved(parse_address("192.0.2.1:0", insecure_bind=True)),
    ):
        pass


def test_two_services_cannot_share_a_port(policies: Path) -> None:
    """Issue 6, workers, after issue 2: a port in use is an error, also when both would share it."""
    with crew("--policies", policies) as running:
        assert "in use" in failure("--policies", policies, "--listen", running.address, code=1)
        assert "in use" in failure("--policies", policies, "--listen", running.address, "--workers", "1", code=1)
