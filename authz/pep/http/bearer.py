"""The bearer token of a request (RFC 6750, section 2.1), and whether it was issued for this server (RFC 8707)."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from authz.errors import AuthzError
from authz.pep.http.asgi import headers_named
from authz.pep.uris import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.pep.http.asgi import Scope

MAX_HEADER: Final = 64 * 1024
"""Bytes of one Authorization header; how long a token may be, the token service knows."""
MAX_QUERY: Final = 64 * 1024
_MAX_PARAMETERS: Final = 1_000
_SCHEME: Final = re.compile(rb"bearer(?![^ \t])", re.IGNORECASE)
_TOKEN68: Final = (string.ascii_letters + string.digits + "-._~+/").encode("ascii")


class MalformedCredentialsError(AuthzError):
    """Raised when a token comes in a form or in a place that nobody may use. Its text is safe for the caller."""


def bearer_token(scope: Scope) -> str | None:
    """Return the token of a request, None where there is none: no header, or one of another scheme.

    Raises `MalformedCredentialsError` for two headers, a malformed one, and a token in the URL (C6).
    """
    if in_query(scope.get("query_string", b"")):
        raise MalformedCredentialsError("send the token in the Authorization header, never in the URL")
    given = headers_named(scope, b"authorization")
    if not given:
        return None
    if len(given) > 1:
        raise MalformedCredentialsError("there is more than one Authorization header")
    if not _SCHEME.match(given[0]):
        return None
    scheme, _, token = given[0].partition(b" ")
    token = token.lstrip(b" ")
    if len(scheme) != len(b"bearer") or len(given[0]) > MAX_HEADER or not _is_token68(token):
        raise MalformedCredentialsError("the Authorization header is not `Bearer` and one token")
    return token.decode("ascii")


def _is_token68(token: bytes) -> bool:
    """Say whether this is `token68` (RFC 9110, section 11.4); a list of two, joined by a comma, is not.

    A pattern, read without regard to case, would take longer than all else here.
    """
    text = token.rstrip(b"=")
    return bool(text) and not text.translate(None, _TOKEN68)


def in_query(query: bytes) -> bool:
    """Say whether a query names a token, however it is escaped; one that is too long to look at does."""
    if not query:
        return False
    if len(query) > MAX_QUERY:
        return True
    try:
        parameters = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        return True
    return any(name.lower() == "access_token" for name, _ in parameters)


def issued_for(audience: Iterable[str], accepted: frozenset[str]) -> bool:
    """Say whether a token's audience holds one of those accepted, which are canonical (R6)."""
    return any(canonical(one) in accepted for one in audience)
