"""The answers of the development issuer on a loopback address, and nowhere else."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import threading
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from authz.errors import AuthzError
from authz.oauth.dev_issuer.http import MAX_BODY, DevIssuer
from authz.oauth.dev_issuer.messages import Answer
from authz.oauth.dev_issuer.pages import WARNING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from authz.oauth.dev_issuer.config import IssuerConfig

DEFAULT_LISTEN: Final = "127.0.0.1:9000"
_HOST_PORT: Final = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})\Z")
_MOST_CONNECTIONS: Final = 64
_MOST_DROPPED: Final = 1024 * 1024
_LONGEST_SHOWN: Final = 80
_PATIENCE: Final = 10.0
"""Seconds that a connection may be silent."""


class IssuerListenError(AuthzError):
    """Raised when the address is not on loopback, or cannot be listened on."""


@contextmanager
def serving(
    config: IssuerConfig,
    listen: str = DEFAULT_LISTEN,
    *,
    report: Callable[[str], None] | None = None,
    **given: Any,  # noqa: ANN401  # for `DevIssuer`
) -> Iterator[DevIssuer]:
    """Answer requests until the block ends; port 0 lets the system choose. Raises `IssuerListenError`.

    `report` gets a line about each request: method, path, status and what was wrong, never a secret.
    """
    host, port = _loopback(listen)
    try:
        server = _Server((host.strip("[]"), port), report or (lambda _: None))
    except OSError as error:
        raise IssuerListenError(f"cannot listen on `{listen}`: {(error.strerror or 'unknown').lower()}") from None
    server.issuer = DevIssuer(f"http://{listen.rpartition(':')[0].lower()}:{server.server_address[1]}", config, **given)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _loopback(listen: str) -> tuple[str, int]:
    """Return a host and a port that only this machine can reach."""
    matched = _HOST_PORT.match(listen)
    if matched is None or int(matched["port"]) > 65535:
        raise IssuerListenError(f"`{listen}` is not host:port or [v6]:port")
    host = matched["v6"] or matched["host"]
    if host.lower() == "localhost":
        return "127.0.0.1", int(matched["port"])
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise IssuerListenError(
            f"`{listen}` is not a loopback address: with this issuer anyone may be anyone; listen on 127.0.0.1 or [::1]"
        )
    return host, int(matched["port"])


class _Server(ThreadingHTTPServer):
    """A thread for each connection, and few connections."""

    issuer: DevIssuer
    daemon_threads = True
    block_on_close = False
    request_queue_size = _MOST_CONNECTIONS

    def __init__(self, address: tuple[str, int], report: Callable[[str], None]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.report = report
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # socketserver's signature
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # as above
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002  # as above
        """Say that something went wrong, not what was in it."""
        self.report("a connection ended with an error")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave in one packet
    server_version = "authz-dev-issuer-not-for-production"

    def do_GET(self) -> None:
        """Answer without looking at a body; what follows could be one, so it is not read as the next request."""
        self.close_connection |= "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        self._send(self.server.issuer.answer("GET", self.path, self.headers))

    def do_POST(self) -> None:
        """Answer after reading a body whose length is told and bounded."""
        lengths = self.headers.get_all("Content-Length", ["0"])
        length = int(lengths[0]) if len(lengths) == 1 and re.fullmatch(r"[0-9]{1,9}", lengths[0]) else -1
        if not 0 <= length <= MAX_BODY or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            # Closing with bytes unread would take the answer away from the client.
            self.rfile.read(min(max(length, 0), _MOST_DROPPED))
            self._send(Answer(413))
            return
        self._send(self.server.issuer.answer("POST", self.path, self.headers, self.rfile.read(length)))

    def version_string(self) -> str:
        """Return what the header `Server` says."""
        return self.server_version

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("X-Not-For-Production", WARNING)
        if self.close_connection:  # else the client would send its next request into a closed connection
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        path = self.path.partition("?")[0]
        shown = path if len(path) <= _LONGEST_SHOWN and path.isascii() and path.isprintable() else "…"
        self.server.report(f"{self.command} {shown} {answer.status}{_word(answer)}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Say nothing: http.server's own messages hold the whole request line."""


def _word(answer: Answer) -> str:
    """Return an error as the client gets it (RFC 6749, section 5.2): it may name a redirect URI, but no secret."""
    if answer.status < HTTPStatus.BAD_REQUEST or not answer.body.startswith(b"{"):
        return ""
    error = json.loads(answer.body)
    return f" {error.get('error', '')}: {error.get('error_description', '')}".rstrip(": ")
