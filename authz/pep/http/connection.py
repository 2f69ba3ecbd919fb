"""What a connection tells of whoever is at its other end."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from authz.pep.http.asgi import address, headers_named
from authz.tokens.endpoints import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.model import Attributes
    from authz.pep.http.asgi import Scope
    from authz.pep.identity import Identity

_VERSION: Final = re.compile(r"[0-9A-Za-z.-]{1,32}")


class Origins:
    """The pages whose scripts may send requests (R18): scripts reach servers that no one else reaches.

    Those are the pages of `allowed` origins; a `resource` on this machine takes all pages of this machine.
    """

    def __init__(self, allowed: Iterable[str], resource: str) -> None:
        """Read the origins, and where the resource is."""
        self._allowed = frozenset(origin.lower() for origin in allowed)
        self._local = is_loopback((urlsplit(resource).hostname or "").lower())

    def take(self, scope: Scope) -> bool:
        """Say whether a request may be taken: it is of no page, or of one such page."""
        origins = [origin.decode("latin-1").lower() for origin in headers_named(scope, b"origin")]
        return not origins or (len(origins) == 1 and self._allows(origins[0]))

    def _allows(self, origin: str) -> bool:
        return origin in self._allowed or (self._local and is_local_origin(origin))


def is_local_origin(origin: str) -> bool:
    """Say whether an origin, in lower case, is a page of this machine, on whatever port."""
    try:
        parts = urlsplit(origin)
        return (
            parts.scheme in {"http", "https"}
            and origin == f"{parts.scheme}://{parts.netloc}"
            and parts.username is None
            and is_loopback(parts.hostname or "")
        )
    except ValueError:
        return False


def context_of(scope: Scope, identity: Identity) -> Attributes:
    """Return what policies may know of the connection; what is not there is left out."""
    context: dict[str, Any] = {"transport": "http"}
    if _is_ip(peer := address(scope)):
        context["ip"] = peer
    versions = [value.decode("latin-1") for value in headers_named(scope, b"mcp-protocol-version")]
    if len(versions) == 1 and _VERSION.fullmatch(versions[0]):
        context["protocol_version"] = versions[0]
    if identity.client:
        context["agent"] = identity.client
    return context


@lru_cache(maxsize=4_096)
def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
