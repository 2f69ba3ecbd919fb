"""Where decision points are reached, and the settings of gRPC that they are reached with.

Refused is whatever would let somebody on the way read the questions or answer them: without TLS only
this machine is asked, unless `insecure` says that something else protects the connection.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from authz.errors import AuthzError
from authz.server.config import MIB, ConfigError, parse_address
from authz.tokens.settings import read_bounded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_MESSAGE: Final = 4 * MIB
"""Bytes of a question, as the server takes them by default, and of an answer."""
_MAX_PEM: Final = MIB
_MAX_REPLICAS: Final = 100
_DNS: Final = re.compile(r"dns:///(?P<name>[A-Za-z0-9._-]{1,253}):(?P<port>[0-9]{1,5})")

_SERVICE_CONFIG: Final = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),  # a proxy from the environment would see the questions, and could answer them
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.service_config_disable_resolution", 1),  # whoever answers for a name must not change the settings as well
    ("grpc.enable_retries", 0),  # whether it is safe to ask again is known here, and asking takes its time
    ("grpc.use_local_subchannel_pool", 1),  # one decision point's connections and back-off are not another's
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),  # how long connecting may take; a refused connection ends at once
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A server takes pings every five minutes, no more often. What finds dead connections much sooner is
    # the second setting: with keep-alive on, the system gives up on data that nobody acknowledges for so long.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 0),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """How an encrypted connection knows the server, and what it shows of itself; files in PEM.

    `ca` says whose certificates count, None those of the public authorities that gRPC knows. `cert` and
    `key` are this client's, for servers that want one. `name` is what the server's certificate must name,
    where that is not how it is addressed.
    """

    ca: Path | None
    cert: Path | None = None
    key: Path | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """One decision point, or replicas of it that are asked in turn: checked, but not connected."""

    target: str
    """As gRPC wants it."""
    credentials: grpc.ChannelCredentials | None
    options: tuple[tuple[str, str | int], ...]

    def open(self, max_answer: int = MAX_MESSAGE) -> grpc.aio.Channel:
        """Return a channel for the running event loop; answers have at most so many bytes."""
        options = self._options(max_answer)
        if self.credentials is None:
            return grpc.aio.insecure_channel(self.target, options)
        return grpc.aio.secure_channel(self.target, self.credentials, options)

    def open_sync(self, max_answer: int = MAX_MESSAGE) -> grpc.Channel:
        """Return a channel for any thread; answers have at most so many bytes."""
        options = self._options(max_answer)
        if self.credentials is None:
            return grpc.insecure_channel(self.target, options)
        return grpc.secure_channel(self.target, self.credentials, options)

    def _options(self, max_answer: int) -> list[tuple[str, str | int]]:
        sizes = (("grpc.max_send_message_length", MAX_MESSAGE), ("grpc.max_receive_message_length", max_answer))
        return [*self.options, *sizes]


def connection(targets: str | Sequence[str], *, tls: Tls | None = None, insecure: bool = False) -> Connection:
    """Read where a decision point is: `unix:/path`, `host:port`, `[v6]:port`, `dns:///name:port`, or replicas.

    Replicas are listed by IP address, or are all that a name after `dns:///` stands for. Raises
    `ConfigError` for what is no address, for files of TLS that cannot be used, and for an address of
    another machine without TLS, unless `insecure`.
    """
    listed = [targets] if isinstance(targets, str) else list(targets)
    if not 0 < len(listed) <= _MAX_REPLICAS or len(set(listed)) < len(listed):
        raise ConfigError(f"name one address of a decision point, or up to {_MAX_REPLICAS} different ones")
    if tls is not None and len(listed) > 1 and not tls.name:
        raise ConfigError("replicas with TLS need `name`: what the certificate of each of them names")
    target = _replicas(listed) if len(listed) > 1 else _single(listed[0])
    if tls is None:
        if not insecure and not all(map(_is_local, listed)):
            raise ConfigError(
                f"`{target}` may be another machine and the connection is not encrypted: set up TLS "
                "(`[pdp_tls]` in a guard file), or in Python say `insecure` if something else protects it"
            )
        return Connection(target, None, _OPTIONS)
    if target.startswith("unix:"):
        raise ConfigError(f"`{target}` is a socket of this machine: leave TLS out, its file's mode says who may ask")
    name = (("grpc.ssl_target_name_override", tls.name),) if tls.name else ()
    return Connection(target, _credentials(tls), (*_OPTIONS, *name))


def _single(text: str) -> str:
    if text.startswith("dns:"):
        if (found := _DNS.fullmatch(text)) is None or int(found["port"]) > 65_535:
            raise ConfigError(f"`{text}` is not an address: use `dns:///name:port`")
        return text
    return parse_address(text, insecure_bind=True).target


def _is_local(text: str) -> bool:
    return not text.startswith("dns:") and parse_address(text, insecure_bind=True).loopback


def _replicas(texts: Sequence[str]) -> str:
    """Return replicas as one target, which gRPC takes for addresses of one family only."""
    by_family: dict[int, list[str]] = {}
    for text in texts:
        host = parse_address(text, insecure_bind=True).target.rpartition(":")[0].strip("[]")
        try:
            version: int = ipaddress.ip_address(host).version
        except ValueError:
            raise ConfigError(
                f"`{text}` cannot be one of several replicas: list IP addresses, or give one `dns:///name:port`"
            ) from None
        by_family.setdefault(version, []).append(text)
    if len(by_family) > 1:
        raise ConfigError("replicas must all have IPv4 addresses, or all IPv6 addresses")
    ((version, addresses),) = by_family.items()
    return f"ipv{version}:{','.join(addresses)}"


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    authorities = _authorities(tls.ca) if tls.ca is not None else None
    if tls.cert is None or tls.key is None:
        if tls.cert is not tls.key:
            raise ConfigError("a client's `cert` and its `key` go together")
        return grpc.ssl_channel_credentials(authorities)
    chain, key = _read(tls.cert), _read(tls.key, private=True)
    own = _certificates(tls.cert, chain)[0]
    try:
        fits = load_pem_private_key(key, None).public_key() == own.public_key()
    except (ValueError, TypeError):
        raise ConfigError(f"`{tls.key}` holds no private key in PEM without a password") from None
    if not fits:
        raise ConfigError(f"`{tls.key}` is not the key of the certificate in `{tls.cert}`")
    return grpc.ssl_channel_credentials(authorities, key, chain)


def _authorities(path: Path) -> bytes:
    pem = _read(path)
    _certificates(path, pem)
    return pem


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ConfigError(f"`{path}` holds no certificate in PEM") from None


def _read(path: Path, *, private: bool = False) -> bytes:
    try:
        return read_bounded(path, _MAX_PEM, private=private)
    except AuthzError as error:
        raise ConfigError(str(error)) from None
