"""Read a URL that requests may go to; what two readers could read differently is refused."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from authz.json_form import shown
from authz.tokens.errors import HttpError

MAX_URL: Final = 2_048
_PORTS: Final = {"https": 443, "http": 80}

_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*)"
    r"(?:\?(?P<query>(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*))?\Z"
)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")


class Url(NamedTuple):
    """A URL in parts: the host in lower case and without brackets, the port always stated."""

    scheme: str
    host: str
    port: int
    path: str
    query: str | None

    @property
    def origin(self) -> str:
        """Scheme, host and port as one text; the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" if self.port == _PORTS[self.scheme] else f"{self.scheme}://{host}:{self.port}"

    @property
    def target(self) -> str:
        """What the request line names."""
        path = self.path or "/"
        return path if self.query is None else f"{path}?{self.query}"

    def __str__(self) -> str:
        """Return the URL for messages: without its query, which may hold what nobody else should read."""
        return shown(f"{self.origin}{self.path}")


def read_url(text: str) -> Url:
    """Read an absolute `https` or `http` URL.

    Raises `HttpError` for any other scheme, user information, a fragment, white space, a backslash, a
    host that is a number in disguise (`2130706433`, `0x7f.1`, `127.1`), and a port below 1024 that is
    not the scheme's own: other services listen there. Whether `http` is taken is not decided here.
    """
    found = _URL.match(text) if len(text) <= MAX_URL else None
    if found is None:
        raise HttpError("the address is not a plain `https://` URL")
    scheme, host = found["scheme"], found["host"].lower()
    port = int(found["port"]) if found["port"] else _PORTS[scheme]
    if port > 65_535 or (port < 1_024 and port != _PORTS[scheme]):
        raise HttpError(f"the address names port {port}, which requests do not go to")
    path = found["path"]
    if any(segment in {".", ".."} for segment in path.replace("%2e", ".").replace("%2E", ".").split("/")):
        raise HttpError("the address holds `.` or `..` as a step of its path")
    return Url(scheme, _host(host), port, path, found["query"])


def _host(host: str) -> str:
    try:
        if host.startswith("["):
            return str(IPv6Address(host[1:-1]))
        labels = host.split(".")
        if labels[-1].isdigit() or labels[-1].startswith("0x"):
            return str(IPv4Address(host))
    except AddressValueError:
        raise HttpError("the address names its host by a number that is no plain IP address") from None
    if all(_LABEL.match(label) for label in labels):
        return host
    raise HttpError("the address names no host that a name server knows")
