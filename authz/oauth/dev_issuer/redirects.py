"""Where a client may be sent back to: exactly where it was registered, on any port where that is loopback."""

from __future__ import annotations

import re
from typing import Final

_LOOPBACK: Final = re.compile(r"http://(?P<host>127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]{1,5})?(?P<rest>/[^\\\s#]*)\Z")
_HTTPS: Final = re.compile(r"https://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?/[^\\\s#]*\Z")
# A native application's own scheme is its domain turned round, so it holds a dot (RFC 8252, section 7.1).
_OWN_SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:/[^\\\s#]*\Z")


def may_register(uri: str) -> bool:
    """Tell whether a client may have this redirect URI: https, loopback, or an application's own scheme."""
    return uri.isascii() and uri.isprintable() and any(form.match(uri) for form in (_LOOPBACK, _HTTPS, _OWN_SCHEME))


def matches(registered: str, asked: str) -> bool:
    """Tell whether this is the registered redirect URI, character by character.

    A native application cannot know its port beforehand, so that of a loopback address may be any
    (RFC 8252, section 7.3). Nothing is parsed and put together again: two parsers that differ are
    how open redirects come about.
    """
    if asked == registered:
        return True
    ours, theirs = _LOOPBACK.match(registered), _LOOPBACK.match(asked)
    return bool(ours and theirs and ours.groups() == theirs.groups())
