"""What was read of a directory, kept in memory for as long as the directory stays as it is.

Keys are tuples of exact strings, so that no two of them can be taken for one another, and the
tenant is part of each; what is not in the directory is kept too. Where anything of the directory has
changed, all is forgotten: what is kept was made from several entries, and none says of which.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

MAX_ENTRIES: Final = 50_000
"""Entries that are kept unless another number is said."""
MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes that they may take."""
_BASE: Final = 1_000
"""Bytes that one entry takes with its key, whatever it holds."""


class Cache(Generic[T]):
    """Keeps the values last used, as many as `max_entries` and `max_bytes` hold; for one thread at a time."""

    __slots__ = ("_bytes", "_kept", "_max_bytes", "_max_entries", "made", "revision")

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        """Begin with nothing."""
        self._kept: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self.revision: int | None = None
        """What all of it was made from."""
        self.made = 0
        """Values that were not there and had to be made."""

    def __len__(self) -> int:
        """Return how many values are kept."""
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """Return about how many bytes they take."""
        return self._bytes

    def at(self, revision: int) -> None:
        """Forget everything that was made from another revision."""
        if revision != self.revision:
            self._kept.clear()
            self._bytes = 0
            self.revision = revision

    def get(self, key: Hashable, make: Callable[[], tuple[T, int]]) -> T:
        """Return the value of a key; where it is not kept, make it, with its size in bytes, and keep it."""
        kept = self.find(key)
        return kept[0] if kept is not None else self.put(key, *make())

    def find(self, key: Hashable) -> tuple[T, int] | None:
        """Return the value of a key, and its size; None where it is not kept."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def put(self, key: Hashable, value: T, size: int) -> T:
        """Keep a value that has just been made, of so many bytes, and return it."""
        self.made += 1
        size += _BASE
        if size > self._max_bytes:
            return value
        replaced = self._kept.pop(key, None)  # making it may have kept it already
        self._bytes += size - (replaced[1] if replaced is not None else 0)
        self._kept[key] = (value, size)
        while len(self._kept) > self._max_entries or self._bytes > self._max_bytes:
            self._bytes -= self._kept.popitem(last=False)[1][1]
        return value
