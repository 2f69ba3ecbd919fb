"""What a log is kept in. SQLite is one such store; others follow behind the same Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from authz.audit.chain import Head, Link


class SignedHead(NamedTuple):
    """A head, when it was signed (RFC 3339), and the signature, 64 bytes."""

    head: Head
    time: str
    signature: bytes


class LogStore(Protocol):
    """Keeps one chain of records. Several processes may append to it; each append is whole or not there."""

    def append(self, bodies: Sequence[str]) -> Head:
        """Append records, durably, and return the head that follows.

        Bodies are JSON objects without `seq`. Raises `StoreError`; then none of them was appended.
        """

    def head(self) -> SignedHead:
        """Return how far the log has come."""

    def links(self, first: int = 1) -> Iterator[Link]:
        """Yield the records from number `first` on, in their order."""

    def checkpoints(self) -> Iterator[SignedHead]:
        """Yield the heads that were kept on the way, in their order."""
