"""HTTP/2 by hand: gRPC calls that no library would make, and ends of calls that none would give them."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, WINDOW = 0, 1, 3, 4, 8
END_STREAM, END_HEADERS = 1, 4
_MOST: Final = 16_384  # bytes of a frame
_ROOM: Final = 1 << 24  # bytes of answers


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(stream: int, path: str, more: Iterable[tuple[str, bytes]] = (), *, end: bool = False) -> bytes:
    """Return the frame that begins a call; no header is compressed (RFC 7541, section 6.2.2)."""
    fields = [
        (":method", b"POST"),
        (":scheme", b"http"),
        (":path", path.encode()),
        (":authority", b"localhost"),
        ("te", b"trailers"),
        ("content-type", b"application/grpc"),
        *more,
    ]
    block = b"".join(bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value for name, value in fields)
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def message(data: bytes, flag: int = 0) -> bytes:
    """Return a message of gRPC with its five bytes of head."""
    return struct.pack(">BI", flag, len(data)) + data


def body(stream: int, data: bytes, *, end: bool = True) -> bytes:
    """Return the frames that carry some bytes."""
    parts = [data[at : at + _MOST] for at in range(0, len(data), _MOST)] or [b""]
    frames = [frame(DATA, 0, stream, part) for part in parts[:-1]]
    return b"".join([*frames, frame(DATA, END_STREAM if end else 0, stream, parts[-1])])


def reset(stream: int) -> bytes:
    """Return the frame that gives a call up."""
    return frame(RESET, 0, stream, struct.pack(">I", 8))


async def connected(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection on which calls can begin, with room for all that they are answered."""
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    window = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, _ROOM)) + frame(WINDOW, 0, 0, struct.pack(">I", _ROOM))
    writer.write(PREFACE + window)
    return reader, writer


async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, streams: set[int]) -> None:
    """Read until each of these calls has ended, or the connection has."""
    waiting = set(streams)
    try:
        while waiting:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind == SETTINGS and not flags:
                writer.write(frame(SETTINGS, 1, 0))
            elif kind == RESET or (kind in {DATA, HEADERS} and flags & END_STREAM):
                waiting.discard(stream)
    except (asyncio.IncompleteReadError, ConnectionError):
        return
