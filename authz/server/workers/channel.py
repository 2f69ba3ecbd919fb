"""The pipe between the parent and a worker, at either end: messages come through the event loop."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

In = TypeVar("In")
Out = TypeVar("Out")


class Channel(Generic[In, Out]):
    """Hands over what comes, and waits for nobody who does not read."""

    def __init__(self, pipe: Connection, came: Callable[[In], None], closed: Callable[[], None]) -> None:
        """Begin to listen to the pipe: `came` is told each message, `closed` once that no more can come."""
        self._pipe = pipe
        self._came = came
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        # Messages are far smaller than the pipe, so they are in it as a whole or not at all.
        os.set_blocking(pipe.fileno(), False)
        self._loop.add_reader(pipe.fileno(), self._read)

    def send(self, message: Out) -> None:
        """Send a message; to an end that is gone, or has stopped reading, the channel closes."""
        if self._pipe.closed:
            return
        try:
            self._pipe.send(message)
        except OSError:
            self.close()
            self._loop.call_soon(self._closed)

    def close(self) -> None:
        """Let the pipe go."""
        if not self._pipe.closed:
            self._loop.remove_reader(self._pipe.fileno())
            self._pipe.close()

    def _read(self) -> None:
        try:
            message: In = self._pipe.recv()
        except BlockingIOError:  # nothing there yet
            return
        except (EOFError, OSError):
            self.close()
            self._closed()
        else:
            self._came(message)
