"""One spelling for what may be spelled in many ways: URIs of resources, and identifiers of servers.

Another spelling of the same resource must be no way around a rule. Servers decode what they take out
of a URI, so `docs://page/%68eld` is the page `held` to them. Rules are written about what people read;
the id that they see is decoded (RFC 3986, section 6.2.2.2).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from authz.errors import InvalidRequestError
from authz.tokens.errors import HttpError
from authz.tokens.urls import read_url

_ENCODED: Final = re.compile(r"((?:%[0-9A-Fa-f]{2})+)")
_SPECIAL: Final = re.compile(r"[%?#]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_RESERVED: Final = frozenset(":/?#[]@!$&'()*+,;=%")
"""RFC 3986, section 2.2: encoded, these may mean something else than by themselves; and the sign itself."""


def spellings(uri: str) -> tuple[str, ...]:
    """Return the spellings of a URI that a policy must allow, all of them; most URIs have one.

    The first has everything decoded that means the same either way; another, where that differs,
    reserved characters as well, since a server may decode them. What stands before a query or a
    fragment follows: servers drop what their templates do not name, and read the same page for
    `docs://page/held?x`. Raises `InvalidRequestError` for what decodes to no text, and for controls and
    space around, which URIs do not have and servers pass over.
    """
    if _CONTROL.search(uri) or uri != uri.strip():
        raise InvalidRequestError("uri", "holds a control character, or space around it")
    if not _SPECIAL.search(uri):
        return (uri,)
    try:
        plain = _ENCODED.sub(lambda found: _plain(found[1]), uri)
        whole = unquote(uri, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequestError("uri", "encodes bytes that are no text (UTF-8)") from None
    found = (plain, whole, *(one for text in (plain, whole) for one in _beginnings(text)))
    return tuple(dict.fromkeys(found))


def _beginnings(uri: str) -> tuple[str, str]:
    """Return a URI without its fragment, and without its query too."""
    page = uri.partition("#")[0]
    return page, page.partition("?")[0]


def _plain(encoded: str) -> str:
    return "".join(f"%{ord(one):02X}" if one in _RESERVED else one for one in unquote(encoded, errors="strict"))


@lru_cache(maxsize=256)
def canonical(identifier: str) -> str:
    """Return the identifier of a server as it is compared (RFC 8707, C3).

    Scheme and host are in lower case, no slash is at the end, and a port that goes without saying is not
    said. What is no plain URL, such as the id of an application, stays as it is.
    """
    scheme, separator, rest = identifier.partition("://")
    try:
        url = read_url(f"{scheme.lower()}{separator}{rest}")
    except HttpError:
        return identifier
    query = "" if url.query is None else f"?{url.query}"
    return f"{url.origin}{url.path.removesuffix('/')}{query}"
