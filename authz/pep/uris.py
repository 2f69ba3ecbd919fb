"""How a URI is spelled to a policy, so that another spelling of the same resource is no way around a rule.

Servers decode what they take out of a URI, so `docs://page/%68eld` is the page `held` to them. Rules
are written about what people read; the id that they see is decoded (RFC 3986, section 6.2.2.2).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from authz.errors import InvalidRequestError

_ENCODED: Final = re.compile(r"((?:%[0-9A-Fa-f]{2})+)")
_RESERVED: Final = frozenset(":/?#[]@!$&'()*+,;=%")
"""RFC 3986, section 2.2: encoded, these may mean something else than by themselves; and the sign itself."""


def spellings(uri: str) -> tuple[str, ...]:
    """Return the spellings of a URI that a policy must allow, all of them: one, unless it encodes reserved characters.

    The first has everything decoded that means the same either way; the second, where that differs,
    reserved characters as well, since a server may decode them. Raises `InvalidRequestError` for
    what decodes to no text.
    """
    if "%" not in uri:
        return (uri,)
    try:
        plain = _ENCODED.sub(lambda found: _plain(found[1]), uri)
        whole = unquote(plain, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequestError("uri", "encodes bytes that are no text (UTF-8)") from None
    return (plain,) if plain == whole else (plain, whole)


def _plain(encoded: str) -> str:
    return "".join(f"%{ord(one):02X}" if one in _RESERVED else one for one in unquote(encoded, errors="strict"))
