"""Who asks, as far as gRPC tells it: the enforcement point's address, and the trace that the call belongs to."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.server.gate import Context

_MAX_PEER: Final = 200
_MAX_NAME: Final = 100
# W3C Trace Context, section 3.2: version ff is none, ids of zeros are none, later versions may add fields.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)


class Asker(NamedTuple):
    """The peer as gRPC names it, after its certificate's name if it has shown one, and the id of the trace.

    Either may be "".
    """

    pep: str = ""
    trace_id: str = ""


def asker(context: Context) -> Asker:
    """Return who asks in a call. What they say of their trace counts only where it is well-formed."""
    peer = str(context.peer() or "")
    if (name := _certified(context)) is not None:
        peer = f"{name} at {peer}"
    return asker_at(peer, context.invocation_metadata() or ())


def asker_at(peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> Asker:
    """Return who asks from a peer, with this metadata."""
    given = [value for key, value in metadata if key == "traceparent"]
    if len(given) != 1:
        return _untraced(peer[:_MAX_PEER])
    return Asker(peer[:_MAX_PEER], trace_id(given[0]))


@lru_cache(maxsize=1_024)
def _untraced(peer: str) -> Asker:
    """Return who asks from a peer; most ask often, and few with a trace."""
    return Asker(peer)


def _certified(context: Context) -> str | None:
    """Return the first name in the client's certificate, None without mutual TLS."""
    names = context.peer_identities()
    if not names:
        return None
    text = next(iter(names)).decode(errors="replace")[:_MAX_NAME]
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def trace_id(traceparent: str | bytes) -> str:
    """Return the trace id in a `traceparent` header, "" where it has none."""
    found = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    if found is None or (found["more"] and found[0].startswith("00")):
        return ""
    return found["trace"]
