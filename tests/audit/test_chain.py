"""What joins records: hashes, and the tree over them."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.audit.chain import Head, extend, statement

LOG = bytes(range(32))


def rfc9162_root(leaves: list[bytes]) -> bytes:
    """Return the root as RFC 9162, section 2.1.1, words it."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return sha256(b"\x01" + rfc9162_root(leaves[:middle]) + rfc9162_root(leaves[middle:])).digest()


@given(st.lists(st.integers(1, 40), max_size=6))
def test_the_root_is_that_of_rfc_9162_however_records_are_appended(batches: list[int]) -> None:
    """Issue 3, 4: Merkle checkpoints."""
    head, hashes = Head(LOG), []
    for size in batches:
        links, head = extend(head, ['{"a":1}'] * size)
        hashes += [link.hash for link in links]
        assert head.root == rfc9162_root(hashes)
        assert head.whole()
    assert head.seq == len(hashes)


def test_a_record_s_hash_covers_all_that_came_before_it() -> None:
    """Issue 3, 4: hash chain (SHA-256)."""
    (one, two), _ = extend(Head(LOG), ['{"a":1}', '{"b":2}'])
    assert one.hash == sha256(LOG + b'{"seq":1,"a":1}').digest()
    assert two.hash == sha256(one.hash + b'{"seq":2,"b":2}').digest()


@pytest.mark.parametrize("change", ["log", "seq", "hash", "frontier", "time", "kind"])
def test_what_is_signed_says_all_that_a_head_is(change: str) -> None:
    """Issue 3, 4: log, number, hash, root and time are covered; a checkpoint is not the end of a log."""
    _, head = extend(Head(LOG), ['{"a":1}'] * 3)
    stated = statement("head", head, "2026-01-01T00:00:00Z")
    others = {
        "log": statement("head", Head(bytes(32), head.seq, head.hash, head.frontier), "2026-01-01T00:00:00Z"),
        "seq": statement("head", Head(LOG, 4, head.hash, head.frontier), "2026-01-01T00:00:00Z"),
        "hash": statement("head", Head(LOG, head.seq, bytes(32), head.frontier), "2026-01-01T00:00:00Z"),
        "frontier": statement("head", Head(LOG, head.seq, head.hash, head.frontier[:1]), "2026-01-01T00:00:00Z"),
        "time": statement("head", head, "2026-01-01T00:00:01Z"),
        "kind": statement("checkpoint", head, "2026-01-01T00:00:00Z"),
    }
    assert others[change] != stated
