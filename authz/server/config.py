"""What an operator can set, and the address to listen on."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from authz.errors import AuthzError

MIB: Final = 1024 * 1024
DEFAULT_LISTEN: Final = "127.0.0.1:8181"

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogMode = Literal["required", "best-effort"]
Transport = Literal["auto", "grpcio", "native"]

_HOST_PORT: Final = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})\Z")
_MAX_SOCKET_PATH: Final = 107  # bytes; sockaddr_un on Linux, less the final NUL


class ConfigError(AuthzError):
    """Raised when a setting cannot be used; the text names it."""


class ListenError(AuthzError):
    """Raised when the address cannot be listened on: in use, not this machine's, not permitted."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a TCP host and port, or the path of a Unix socket."""

    target: str
    """As gRPC wants it."""
    path: Path | None = None
    """The Unix socket's."""
    loopback: bool = True
    """Whether only this machine can reach it."""

    def with_port(self, port: int) -> str:
        """Return the address with the port that the system chose."""
        return self.target if self.path else f"{self.target.rpartition(':')[0]}:{port}"


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """The store, and the key that signs its log; None is the key beside the store."""

    path: Path
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class DecisionLogConfig:
    """How decisions are kept, beside the acts and refusals that always are where there is a store."""

    mode: LogMode
    file: Path | None = None
    """JSON lines go there as well; `-` is stdout."""
    attributes: tuple[str, ...] = ()
    """Paths of attributes that records hold: `context.ip`."""
    requests: bool = False
    """Whether records hold the whole request, so that it can be decided again."""
    pseudonyms: bool = False
    witness: Path | None = None
    """Where signed heads are written, so that the log cannot be set back unnoticed."""


@dataclass(frozen=True, slots=True)
class AdminConfig:
    """The administration listener, and the token that its callers must have."""

    listen: Address
    token: bytes | None = None


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """What the decision listener encrypts with, in PEM; with `client_ca`, clients must have its certificate."""

    cert: Path
    """The server's certificate, and those between it and the one that clients trust."""
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one server process; sizes in bytes, times in seconds."""

    policies: Path | None
    """The policy directory; None for the active version in the store."""
    listen: Address
    tls: TlsConfig | None = None
    store: StoreConfig | None = None
    decision_log: DecisionLogConfig | None = None
    admin: AdminConfig | None = None
    tokens: Path | None = None
    """The issuers whose tokens are validated; None where requests bring none."""
    share_policy: bool = False
    """Whether enforcement points may have the policy itself, to decide by."""
    transport: Transport = "auto"
    """What carries the calls; `auto` is native where it is installed and may be used."""
    workers: int = 1
    """Processes that answer, on one port."""
    reflection: bool = False
    max_concurrent: int = 1_000
    max_message: int = 4 * MIB
    grace: float = 10.0
    log_format: LogFormat = "json"
    log_level: LogLevel = "info"

    def __post_init__(self) -> None:
        """Refuse settings that would leave something out that the operator counts on."""
        log = self.decision_log
        if self.store is None and self.policies is None:
            raise ConfigError("give `--policies`, or `--store` to serve the active version in it")
        if self.workers > 1 and self.listen.path is not None:
            raise ConfigError("a Unix socket belongs to one process: give `--workers` a port, or leave `--workers` out")
        if self.tls is not None and self.listen.path is not None:
            raise ConfigError("a Unix socket takes no TLS: nobody is on the way; leave `--tls-cert` out")
        if self.admin is not None:
            _check_admin(self.admin, self.store)
        if log is None:
            return
        if self.store is None and (log.mode == "required" or log.pseudonyms or log.witness):
            raise ConfigError("a required log, pseudonyms and a witness need `--store`")
        if self.store is None and log.file is None:
            raise ConfigError("a decision log needs `--store` or `--decision-log-file`")
        if log.pseudonyms and log.requests:
            raise ConfigError("`--log-pseudonyms` and `--log-requests` exclude each other: a request names its subject")

    @property
    def encryption(self) -> Literal["server", "mutual"] | None:
        """Return whose certificates the decision listener's connections need, None for unencrypted ones."""
        if self.tls is None:
            return None
        return "mutual" if self.tls.client_ca is not None else "server"

    @property
    def max_streams(self) -> int:
        """Return how many of the calls may be streams, which stay as long as they like.

        A tenth is kept for calls that ask and go, so that idle streams cannot lock them out.
        """
        return max(1, self.max_concurrent - max(1, self.max_concurrent // 10))


def _check_admin(admin: AdminConfig, store: StoreConfig | None) -> None:
    if store is None:
        raise ConfigError("`--admin-listen` needs `--store`: without one there is nothing to administer")
    if not admin.listen.loopback:
        raise ConfigError("`--admin-listen` must not be reachable from other machines: use a Unix socket or loopback")
    if admin.listen.path is None and admin.token is None:
        raise ConfigError("`--admin-listen` on a TCP port needs `--admin-token-file`: any process here could ask")


def parse_address(text: str, *, insecure_bind: bool = False) -> Address:
    """Read `host:port`, `[v6]:port` or `unix:/path`.

    Raises `ConfigError` when it is neither, and for an address that other machines can reach
    unless `insecure_bind`: without TLS they could read and answer the questions themselves. With TLS
    it may be set.
    """
    if text.startswith("unix:"):
        return _unix(text)
    match = _HOST_PORT.match(text)
    if match is None or int(match["port"]) > 65_535:
        raise ConfigError(f"`{text}` is not an address: use `host:port`, `[v6]:port` or `unix:/path`")
    loopback = _is_loopback(match["v6"] or match["host"], v6=match["v6"] is not None, text=text)
    if not loopback and not insecure_bind:
        raise ConfigError(
            f"`{text}` can be reached from other machines and the connection is not encrypted: "
            "listen on 127.0.0.1, give `--tls-cert` and `--tls-key`, or pass `--insecure-bind` if something else "
            "protects it"
        )
    return Address(text, loopback=loopback)


def _unix(text: str) -> Address:
    path = text.removeprefix("unix:")
    if path.startswith("//"):  # `unix:///run/s` is the other way to write it
        path = "/" + path.lstrip("/")
    if not path or "\0" in path:
        raise ConfigError(f"`{text}` names no socket: use `unix:/path`")
    if len(path.encode(errors="surrogateescape")) > _MAX_SOCKET_PATH:
        raise ConfigError(f"`{text}` is too long: a socket's path has at most {_MAX_SOCKET_PATH} bytes")
    return Address(f"unix:{path}", path=Path(path))


def _is_loopback(host: str, *, v6: bool, text: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        if v6:
            raise ConfigError(f"`{text}` is not an address: `{host}` is no IPv6 address") from None
        return host == "localhost"  # any other name may mean another interface tomorrow


def claim_socket(path: Path) -> None:
    """Make way for a Unix socket: remove one that nobody listens on any more.

    gRPC would take a socket over from a server that still uses it. Raises `ListenError`.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ListenError(f"cannot listen on `{path}`: {_reason(error)}") from None
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on `{path}`: there is a file that is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ListenError(f"cannot listen on `{path}`: {_reason(error)}") from None
        else:
            raise ListenError(f"cannot listen on `{path}`: another process listens there")


def why_not(address: Address, *, reuse_port: bool = False) -> str | None:
    """Say why an address cannot be listened on, None where nothing is in the way; gRPC does not tell.

    With `reuse_port` nobody else who listens there with it is in the way.
    """
    if address.path is not None:
        folder = address.path.parent
        if not folder.is_dir():
            return f"there is no directory `{folder}`"
        return None if os.access(folder, os.W_OK | os.X_OK) else "permission denied"
    host, _, port = address.target.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuse_port))
            probe.bind(where)
    except OSError as error:
        return _reason(error)
    return None


def _reason(error: OSError) -> str:
    known = {
        errno.EADDRINUSE: "the address is in use",
        errno.EADDRNOTAVAIL: "this machine has no such address",
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
    }
    return known.get(error.errno or 0, (error.strerror or "it failed").lower())
