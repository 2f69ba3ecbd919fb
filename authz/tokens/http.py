"""Make bounded requests to an issuer: no redirects, no inner addresses, one deadline for everything.

Beneath is `httpcore2`, the part of httpx2 that speaks HTTP. The client above it would bring what has
to be off here: cookies, redirects, proxies and `.netrc` from the environment, decompression; and it
resolves names where we could not look at the answer.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from contextlib import aclosing
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.parse import quote_plus, urlencode

import httpcore2

from authz.json_form import shown
from authz.tokens.addresses import is_public, private_networks
from authz.tokens.errors import HttpError, TokenConfigError
from authz.tokens.urls import Url, read_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from authz.tokens.addresses import Address, Network

__all__ = ["Http", "HttpError", "Response", "SafeHttp"]

MAX_CONNECTIONS: Final = 16
"""At once to one origin: one that hangs cannot use up what others need."""
MAX_ORIGINS: Final = 256
MAX_ADDRESSES: Final = 8
"""Of one host that are tried, one after the other."""
KEEP_ALIVE: Final = 5.0
"""Seconds; shorter than any server in use waits, so that a request seldom meets a closing connection."""


class Response(NamedTuple):
    """An answer as it came: header names in lower case, values of one name joined by `, `."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http(Protocol):
    """What the rest of the package asks of HTTP. `deadline` is in seconds, for everything together."""

    async def get(self, url: str, *, deadline: float, max_bytes: int) -> Response:
        """Return the answer. Raises `HttpError`; a redirect is one."""

    async def post(
        self, url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None, deadline: float, max_bytes: int
    ) -> Response:
        """Send a form and return the answer. Raises `HttpError`.

        `basic` is a client's id and secret as they are: RFC 6749, section 2.3.1, has them form-encoded
        before they become HTTP Basic, and that is done here.
        """

    async def close(self) -> None:
        """End all connections."""


class SafeHttp:
    """An `Http` for one event loop.

    Requests go to `https` URLs whose host resolves to public addresses and to nothing else, and the
    connection is made to the very address that was looked at. `loopback_http` opens loopback, there
    with `http` as well: for development. `networks` opens private networks by name (`10.20.0.0/16`).
    `ca_file` takes the place of the system's certificate authorities.

    Raises `TokenConfigError` for a `ca_file` or networks that cannot be used.
    """

    def __init__(
        self, *, loopback_http: bool = False, ca_file: Path | None = None, networks: Iterable[str] = ()
    ) -> None:
        """Connect to nothing yet."""
        self._loopback = loopback_http
        self._networks = private_networks(networks)
        self._tls = _tls(ca_file)
        self._pools: dict[str, httpcore2.AsyncConnectionPool] = {}

    async def get(self, url: str, *, deadline: float, max_bytes: int) -> Response:
        """Return the answer. Raises `HttpError`."""
        return await self._request("GET", url, {}, None, deadline=deadline, max_bytes=max_bytes)

    async def post(
        self, url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None, deadline: float, max_bytes: int
    ) -> Response:
        """Send a form and return the answer. Raises `HttpError`."""
        headers: dict[bytes | str, bytes | str] = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            body = urlencode(form).encode()
            pair = ":".join(quote_plus(part) for part in basic or ())
        except UnicodeEncodeError:
            raise HttpError("the form holds text that no encoding carries") from None
        if basic is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return await self._request("POST", url, headers, body, deadline=deadline, max_bytes=max_bytes)

    async def close(self) -> None:
        """End all connections."""
        pools = list(self._pools.values())
        self._pools.clear()
        for pool in pools:
            await pool.aclose()

    async def _request(
        self,
        method: str,
        url: str,
        headers: dict[bytes | str, bytes | str],
        body: bytes | None,
        *,
        deadline: float,
        max_bytes: int,
    ) -> Response:
        place = read_url(url)
        if place.scheme == "http" and not self._loopback:
            raise HttpError(f"`{place}`: requests go to `https` only")
        pool = self._pool(place)
        target = httpcore2.URL(scheme=place.scheme, host=place.host, port=place.port, target=place.target)
        sent: dict[bytes | str, bytes | str] = {
            "Host": place.origin.partition("://")[2],
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "authz",
            **headers,
        }
        try:
            async with (
                asyncio.timeout(deadline),
                pool.stream(method, target, headers=sent, content=body, extensions={"timeout": {"connect": deadline}})
                as answer,
            ):  # fmt: skip
                names = _checked_head(answer, max_bytes)
                return Response(answer.status, names, await _body(answer, max_bytes))
        except HttpError as error:
            raise HttpError(f"`{place}` {error}", status=error.status) from None
        except TimeoutError:
            raise HttpError(f"`{place}` took longer than {deadline:g} s") from None
        except Exception as error:  # noqa: BLE001  # whatever a library raises on a hostile answer, it ends here
            raise HttpError(f"`{place}` {_why(error)}") from None

    def _pool(self, place: Url) -> httpcore2.AsyncConnectionPool:
        """Return the connections to one origin: none is ever used for another name."""
        pool = self._pools.get(place.origin)
        if pool is None:
            if len(self._pools) >= MAX_ORIGINS:
                raise HttpError(f"`{place}`: requests go to {MAX_ORIGINS} hosts already")
            pool = self._pools[place.origin] = httpcore2.AsyncConnectionPool(
                ssl_context=self._tls,
                max_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEEP_ALIVE,
                network_backend=_Network(place.scheme == "https", self._loopback, self._networks),
            )
        return pool


class _Network(httpcore2.AsyncNetworkBackend):
    """Connect to addresses that may be connected to, without asking a name server a second time."""

    def __init__(self, encrypted: bool, loopback: bool, networks: tuple[Network, ...]) -> None:  # noqa: FBT001  # private
        self._encrypted = encrypted
        self._loopback = loopback
        self._networks = networks
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is the library's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await _resolved(host, port)
        for address in addresses:
            if not self._may(address):
                raise HttpError("is at an address that requests do not go to: loopback, private or reserved")
        share = timeout and timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(str(addresses[-1]), port, share, local_address, socket_options)

    def _may(self, address: Address) -> bool:
        if address.is_loopback:
            return self._loopback
        return self._encrypted and (is_public(address) or any(address in network for network in self._networks))


async def _resolved(host: str, port: int) -> tuple[Address, ...]:
    """Return the addresses of a host, the first few, each once."""
    try:
        return (ip_address(host),)
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise HttpError("cannot be found: the name server knows no address for it") from None
    addresses: dict[Address, None] = {}
    for family, _, _, _, where in found:
        if family == socket.AF_INET:
            addresses[IPv4Address(where[0])] = None
        elif family == socket.AF_INET6:
            addresses[IPv6Address(where[0])] = None
    if not addresses:
        raise HttpError("cannot be found: the name server knows no address for it")
    return tuple(addresses)[:MAX_ADDRESSES]


def _checked_head(answer: httpcore2.Response, max_bytes: int) -> dict[str, str]:
    """Return the headers of an answer whose body is worth reading."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in answer.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if 300 <= answer.status < 400:
        raise HttpError(f"answered {answer.status}: redirects are not followed", status=answer.status)
    if answer.status < 200:
        raise HttpError(f"answered {answer.status}, which nobody asked for", status=answer.status)
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HttpError("answered in a compressed form, which nobody asked for", status=answer.status)
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 12 or int(length) > max_bytes):
        raise HttpError(f"answered with more than {max_bytes} bytes", status=answer.status)
    return headers


async def _body(answer: httpcore2.Response, max_bytes: int) -> bytes:
    parts = bytearray()
    async with aclosing(answer.aiter_stream()) as stream:
        async for part in stream:
            parts += part
            if len(parts) > max_bytes:
                raise HttpError(f"answered with more than {max_bytes} bytes", status=answer.status)
    return bytes(parts)


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    # Not `create_default_context`: that one writes session keys to the file that SSLKEYLOGFILE names.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError:
        raise TokenConfigError(f"`{ca_file}` holds no certificates that can be read (PEM)") from None
    return context


def _why(error: Exception) -> str:
    """Say what went wrong in our own words: a library's text may repeat what the other side sent."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"has no certificate that counts: {shown(cause.verify_message)}"
    match error:
        case httpcore2.ConnectError() if any(isinstance(cause, ssl.SSLError) for cause in causes):
            return "speaks no TLS that counts: 1.2 or newer is needed"
        case httpcore2.ConnectError():
            return "cannot be reached: nothing takes the connection"
        case httpcore2.TimeoutException():
            return "cannot be reached in time"
        case httpcore2.ProtocolError():
            return "does not answer in proper HTTP"
        case httpcore2.NetworkError():
            return "broke the connection off"
        case _:
            return "could not be asked"


def _causes(error: BaseException) -> list[BaseException]:
    """Return what led to an error, the nearest first."""
    causes: list[BaseException] = []
    found = error.__cause__ or error.__context__
    while found is not None and len(causes) < 8:
        causes.append(found)
        found = found.__cause__ or found.__context__
    return causes
