"""HTTP servers that answer as a test says, byte for byte, and remember what they were asked."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import Self


class Asked(NamedTuple):
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def answer(body: object = b"", status: int = 200, **headers: str) -> bytes:
    """Return a whole response; what is not bytes becomes JSON. `cache_control` is the header Cache-Control."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


class Server:
    """Listen on loopback until the block ends. `answers` maps paths to what is sent; other paths get 404."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen at once."""
        self.answers: dict[str, bytes | Callable[[Asked], Iterable[bytes]]] = {}
        self.asked: list[Asked] = []
        self.connections = 0
        self.released = threading.Event()
        """Ends whatever hangs."""
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        """Begin to accept."""
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        """End every connection and thread."""
        self.stop()

    def stop(self) -> None:
        """Stop listening and end what is open; may be called twice."""
        self.released.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._threads[0].join()
        for thread in self._threads[1:]:
            # Again and again: a connection may be on its way from plain to encrypted, as another socket.
            while thread.is_alive():
                for opened in tuple(self._open):
                    with contextlib.suppress(OSError):
                        opened.shutdown(socket.SHUT_RDWR)
                thread.join(0.05)

    def paths(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [asked.path for asked in self.asked]

    def hang(self, _: Asked) -> Iterator[bytes]:
        """Answer nothing until released."""
        self.released.wait()
        yield b""

    def drip(self, _: Asked) -> Iterator[bytes]:
        """Answer a byte at a time, each soon enough to look alive, for as long as anybody reads."""
        yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        while not self.released.wait(0.02):
            yield b"x"

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(opened,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, opened: socket.socket) -> None:
        self._open.add(opened)
        with contextlib.suppress(OSError), contextlib.closing(self._wrapped(opened)) as stream:
            self._open.add(stream)
            with stream.makefile("rb") as incoming:
                if self._tls is None and incoming.peek(1)[:1] == b"\x16":
                    stream.sendall(answer(b"this is no TLS", 400))
                    return
                while (asked := _read(incoming)) is not None:
                    self.asked.append(asked)
                    found = self.answers.get(asked.path.partition("?")[0], answer(b"nothing here", 404))
                    for part in [found] if isinstance(found, bytes) else found(asked):
                        stream.sendall(part)

    def _wrapped(self, opened: socket.socket) -> socket.socket:
        try:
            return opened if self._tls is None else self._tls.wrap_socket(opened, server_side=True)
        except OSError:
            opened.close()
            raise


def _read(incoming: object) -> Asked | None:
    first = incoming.readline()  # type: ignore[attr-defined]  # a buffered reader, which typing has no short name for
    if not first.strip():
        return None
    method, path, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while line := incoming.readline().decode("latin-1").strip():  # type: ignore[attr-defined]  # as above
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = incoming.read(int(headers.get("content-length", 0)))  # type: ignore[attr-defined]  # as above
    return Asked(method, path, headers, body)


class Authority(NamedTuple):
    """A certificate authority of the tests' own."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: Path

    def server(self, folder: Path, *names: str, days: int = 30) -> ssl.SSLContext:
        """Return what a server of those names needs; a negative `days` has the certificate expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate("server", key, self.certificate.subject, self.key, names=names, days=days)
        file = folder / f"{'-'.join(names)}{days}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def authority(folder: Path) -> Authority:
    """Make an authority, with its certificate in a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    certificate = _certificate("authority", key, name, key, names=(), days=30)
    file = folder / "authority.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(key, certificate, file)


def _certificate(  # a certificate consists of these
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    *,
    names: tuple[str, ...],
    days: int,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=60))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), False)
    return builder.sign(signer, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
