"""Events that a stream can go on with after it was closed (2025-11-25, SEP-1699), in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.server.streamable_http import EventMessage, EventStore

if TYPE_CHECKING:
    from mcp.server.streamable_http import EventCallback
    from mcp_types import JSONRPCMessage


class Events(EventStore):
    """All events of a server; each id is its place in the order."""

    def __init__(self) -> None:
        """Begin without any."""
        self._kept: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep an event."""
        self._kept.append((stream_id, message))
        return str(len(self._kept))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what came after an event on its stream."""
        last = int(last_event_id)
        if not 0 < last <= len(self._kept):
            return None
        stream = self._kept[last - 1][0]
        for number, (one, message) in enumerate(self._kept[last:], last + 1):
            if one == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream
