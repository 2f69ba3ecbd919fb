"""What a log is kept in. SQLite is one such store; others follow behind the same Protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from authz.audit.chain import Head, HeadKind, Link
    from authz.audit.query import Query
    from authz.model import Act


class SignedHead(NamedTuple):
    """A head, when it was signed (RFC 3339), the signature, 64 bytes, and what it states."""

    head: Head
    time: str
    signature: bytes
    kind: HeadKind = "head"


class LogReader(Protocol):
    """What verification needs: of the log itself, or of a sealed segment of it.

    All raise `StoreError`; while they are read, also where what they read is damaged.
    """

    def frozen(self) -> AbstractContextManager[object]:
        """Let everything that is read within be of one moment, whatever is appended meanwhile."""

    def head(self) -> SignedHead:
        """Return how far the log has come."""

    def links(self, first: int = 1) -> Iterator[Link]:
        """Yield the records from number `first` on, in their order.

        Bytes that are no text stand in it as lone surrogates, so that the record can be named.
        """

    def checkpoints(self) -> Iterator[SignedHead]:
        """Yield the heads that were kept on the way, in their order; the first is where the records begin."""


class LogStore(LogReader, Protocol):
    """Keeps one chain of records. Several processes may append to it; each append is whole or not there."""

    def append(self, bodies: Sequence[str]) -> Head:
        """Append records, durably, and return the head that follows.

        Bodies are JSON objects without `seq`. Raises `StoreError`; then none of them was appended.
        """

    def query(self, query: Query, step: Callable[[int], None] | None = None) -> Iterator[str]:
        """Yield the texts of the records that answer a query; `step` hears how many were looked at so far."""

    def changes(self) -> int:
        """Return a number that changes when another connection has committed; a microsecond's work."""

    def retire(self, last: int, act: Act) -> int:
        """Delete the records up to the checkpoint `last`, in one transaction with the record that says so.

        Returns how many there were. The checkpoint stays: from there, the chain goes on.
        Raises `StoreError`; then nothing was deleted.
        """
