"""Let old records go, in sealed segments, so that what is left still verifies.

Records go up to a checkpoint, which stays: from its signed head the chain goes on. Each segment that
goes stands in a record of the log, written in the same transaction; a gap without one is a finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from authz.audit.chain import Head
from authz.audit.segments import Part, Segment, find_segments, write_segment
from authz.audit.store import SignedHead
from authz.audit.verify import Finding, verify
from authz.errors import StoreCorruptError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from authz.audit.signing import Verifier
    from authz.audit.store import LogStore
    from authz.audit.verify import Verification
    from authz.audit.witness import Witness
    from authz.model import Act

SEGMENT: Final = 50_000
"""Records that go at once: a writer waits for no longer than their deletion takes."""


class Retired(NamedTuple):
    """A segment that went: how many records, the last of them, and where they are now."""

    records: int
    last: int
    path: Path | None


def retain(
    log: LogStore, verifier: Verifier, before: str, act: Act, archive: Path | None = None, size: int = SEGMENT
) -> Iterator[Retired]:
    """Retire what was logged before a time (RFC 3339), segment by segment, and yield each one that went.

    What goes ends at a checkpoint, so up to a thousand old records stay. Each segment is verified and, where
    `archive` names a folder, written there before it goes. Raises `StoreError`, also where it does not verify:
    then it stays, for it is evidence.
    """
    for part in list(_parts(log, before, size)):
        found = verify(part, verifier, sealed=True).findings
        if found:
            raise StoreCorruptError(f"the log does not verify, so nothing more was retired: {found[0]}")
        path = None if archive is None else write_segment(archive, part)
        last = part.head().head.seq
        yield Retired(log.retire(last, act), last, path)


def _parts(log: LogStore, before: str, size: int) -> Iterator[Part]:
    with log.frozen():
        first = next(log.links(), None)
        end, kept = log.head(), list(log.checkpoints())
    if first is None:
        return
    old = [signed for signed in kept if signed.time < before and signed.head.seq >= first.seq]
    start = SignedHead(Head(end.head.log), "", b"", "checkpoint")
    if first.seq > 1:
        below = [signed for signed in kept if signed.head.seq < first.seq]
        if not below:
            raise StoreError("the log does not verify, so nothing was retired: its first records are missing")
        start = below[-1]
    taken: list[SignedHead] = []
    for number, signed in enumerate(old, start=1):
        taken.append(signed)
        if signed.head.seq - start.head.seq >= size or number == len(old):
            yield Part(log, start, tuple(taken))
            start, taken = signed, []


def verify_segments(
    folder: Path,
    verifier: Verifier,
    live: Verification,
    witnesses: Sequence[Witness] = (),
    step: Callable[[int], None] | None = None,
) -> Iterator[tuple[Path, Finding]]:
    """Verify the sealed segments in a folder: each begins where the last one ends, and the log where all of them do.

    Yields what is wrong, and where. Raises `LoadError` where the folder cannot be read.
    """
    end = Head(live.end.log)
    for path in find_segments(folder):
        try:
            segment = Segment(path)
        except StoreError as error:
            yield path, Finding(end.seq + 1, f"it cannot be read: {error}", end.seq + 1)
            return
        start = segment.start.head
        if start.log != end.log:
            yield path, Finding(end.seq + 1, "the segment is of another log", end.seq + 1)
            return
        if (start.seq, start.last, start.frontier) != (end.seq, end.last, end.frontier):
            yield (
                path,
                Finding(end.seq + 1, f"it is missing: the segment goes on after record {start.seq}", end.seq + 1),
            )
            return
        last = segment.head().head.seq
        inside = [witness for witness in witnesses if start.seq < witness.seq <= last]
        found = verify(segment, verifier, witnesses=inside, sealed=True, step=step)
        yield from ((path, finding) for finding in found.findings)
        if found.findings:
            return
        end = found.end
        if end.seq >= live.start.seq:
            break
    if (end.seq, end.last, end.frontier) != (live.start.seq, live.start.last, live.start.frontier):
        yield folder, Finding(end.seq + 1, f"it is missing: the log goes on after record {live.start.seq}", end.seq + 1)
