"""Join records by hashes: a chain (SHA-256), and a Merkle tree over it as in RFC 9162, section 2.1.

A record is one line of JSON that begins with its sequence number. Its hash covers the hash of the
record before it, so an edit, a gap or a change of order shows in every hash that follows. The tree
sums up any number of records in one root, which a signed head states.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

HASH_BYTES: Final = 32


class Link(NamedTuple):
    """One record in its place: `hash` covers `text` and the hash of the record before it."""

    seq: int
    hash: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Head:
    """How far a log has come: the last record's number and hash, and the tree over all of them.

    `frontier` holds the roots of the complete subtrees, the largest first; `log` is the random
    name of the log, 32 bytes, which stands in for the hash before the first record.
    """

    log: bytes
    seq: int = 0
    hash: bytes = b""
    frontier: tuple[bytes, ...] = ()

    @property
    def last(self) -> bytes:
        """Return what the next record's hash covers beside its text."""
        return self.hash or self.log

    @property
    def root(self) -> bytes:
        """Return the root of the tree (RFC 9162, section 2.1.1)."""
        if not self.frontier:
            return sha256().digest()
        root = self.frontier[-1]
        for subtree in reversed(self.frontier[:-1]):
            root = _node(subtree, root)
        return root

    def statement(self, time: str) -> bytes:
        """Return the bytes that a signature of this head covers; `time` says when, RFC 3339."""
        lines = ("authz log head 1", self.log.hex(), str(self.seq), self.last.hex(), self.root.hex(), time)
        return "\n".join(lines).encode()


def extend(head: Head, bodies: Iterable[str]) -> tuple[list[Link], Head]:
    """Append records and return them in their places, with the head that follows.

    Each body is a JSON object with at least one member and without `seq`, on one line.
    """
    links: list[Link] = []
    seq, last, frontier = head.seq, head.last, list(head.frontier)
    for body in bodies:
        seq += 1
        text = f'{{"seq":{seq},{body[1:]}'
        last = link_hash(last, text)
        links.append(Link(seq, last, text))
        grow(frontier, seq, last)
    return links, Head(head.log, seq, last if seq else b"", tuple(frontier))


def link_hash(before: bytes, text: str) -> bytes:
    """Return the hash of a record: over the hash before it, or the log's name, and its text."""
    return sha256(before + text.encode()).digest()


def grow(frontier: list[bytes], seq: int, hash_: bytes) -> None:
    """Add the leaf of record number `seq` to a tree that holds the records before it."""
    root = sha256(b"\x00" + hash_).digest()
    while not seq & 1:  # as many subtrees of equal size meet as the number has zeros at its end
        root = _node(frontier.pop(), root)
        seq >>= 1
    frontier.append(root)


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
