"""Join records by hashes: a chain (SHA-256), and a Merkle tree over it as in RFC 9162, section 2.1.

A record is one line of JSON that begins with its sequence number. Its hash covers the hash of the
record before it, so an edit, a gap or a change of order shows in every hash that follows. The tree
sums up any number of records in one root, which a signed head states.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HASH_BYTES: Final = 32

HeadKind: TypeAlias = Literal["head", "checkpoint"]
"""What a signature states: this is where the log ends, or it came by here. The one never passes for
the other, so that nobody cuts a log at a checkpoint and has a signed end.
"""


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

    def whole(self) -> bool:
        """Say whether it has one hash, and one subtree for each bit of its number, of the right length."""
        return (
            len(self.frontier) == self.seq.bit_count()
            and len(self.log) == HASH_BYTES
            and len(self.hash) == (HASH_BYTES if self.seq else 0)
            and all(len(subtree) == HASH_BYTES for subtree in self.frontier)
        )


def statement(kind: HeadKind, head: Head, time: str) -> bytes:
    """Return the bytes that a signature of a head covers; `time` says when, RFC 3339."""
    return root_statement(kind, head.log, head.seq, head.last, head.root, time)


def root_statement(kind: HeadKind, log: bytes, seq: int, last: bytes, root: bytes, time: str) -> bytes:
    """Return the same from the root alone, for who does not hold the tree."""
    return "\n".join((f"authz log {kind} 1", log.hex(), str(seq), last.hex(), root.hex(), time)).encode()


def extend(head: Head, bodies: Iterable[str]) -> tuple[list[Link], Head]:
    """Append records and return them in their places, with the head that follows.

    Each body is a JSON object with at least one member and without `seq`, on one line.
    """
    links: list[Link] = []
    seq, last = head.seq, head.last
    for body in bodies:
        seq += 1
        text = f'{{"seq":{seq},{body[1:]}'
        last = sha256(last + text.encode()).digest()  # as `link_hash`
        links.append(Link(seq, last, text))
    frontier = grown(head.frontier, head.seq, [link.hash for link in links])
    return links, Head(head.log, seq, last if seq else b"", frontier)


def link_hash(before: bytes, text: str) -> bytes:
    """Return the hash of a record: over the hash before it, or the log's name, and its text."""
    return sha256(before + text.encode()).digest()


def grown(frontier: Sequence[bytes], size: int, hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the frontier of a tree of `size` records after others were added to it, level by level."""
    waiting = list(frontier)
    nodes = [sha256(b"\x00" + hash_).digest() for hash_ in hashes]
    left: list[bytes] = []
    while nodes or size:
        if size & 1:  # a subtree of this size waits for its right neighbour
            nodes.insert(0, waiting.pop())
        if len(nodes) & 1:
            left.append(nodes.pop())
        nodes = [sha256(b"\x01" + one + other).digest() for one, other in zip(nodes[::2], nodes[1::2], strict=True)]
        size >>= 1
    return tuple(reversed(left))


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
