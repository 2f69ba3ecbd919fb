"""Find what was done to a log: edits, gaps, additions, changes of order, a cut end, another log's records.

Two things vouch for a record. The chain: its hash covers its text and the hash before it, so a change is
seen where it was made unless every hash after it was made anew. The signatures: a checkpoint and the
head state the root of the tree over all hashes so far, which nobody makes anew without the key.

A file put back whole to what it was some time ago is a good log: only who saw it later can tell.
For that there are witnesses (`authz.audit.witness`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.audit.chain import Head, grown
from authz.errors import AuthzError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from authz.audit.chain import Link
    from authz.audit.signing import Verifier
    from authz.audit.store import LogReader, SignedHead
    from authz.audit.witness import Witness

    Step = Callable[[int], None]

_STRIDE: Final = 20_000
"""Records between two looks at the progress."""
_RETAIN: Final = '"act":"log.retain"'
_CHANGED: Final = "its hash does not follow from its text and the record before it"


class Finding(NamedTuple):
    """What is wrong at one record. None of those from `since` to it is covered by a signature that holds."""

    seq: int
    problem: str
    since: int

    def __str__(self) -> str:
        """Say it in one line."""
        doubt = (
            f" (from record {self.since} on, no signature vouches for what is there)" if self.since < self.seq else ""
        )
        return f"record {self.seq}: {self.problem}{doubt}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification saw: `start` and `end` are as far as it was good, `findings` go by number."""

    start: Head
    end: Head
    signatures: int
    unwitnessed: int
    """Heads of witnesses that stand for records which are no longer in the log."""
    findings: tuple[Finding, ...]

    @property
    def records(self) -> int:
        """Return how many records hold."""
        return self.end.seq - self.start.seq


def verify(
    reader: LogReader,
    verifier: Verifier,
    *,
    witnesses: Sequence[Witness] = (),
    sealed: bool = False,
    step: Step | None = None,
) -> Verification:
    """Look at every record, every signature and every witness's head, and say what is wrong.

    Nothing is raised for what is damaged: that is a finding. `sealed` says that it is a segment, which may
    begin anywhere. `step` hears how many records were looked at.
    """
    walk = _Walk(reader, verifier, step)
    try:
        with reader.frozen():
            walk.run(witnesses, sealed=sealed)
    except AuthzError as error:
        walk.find(walk.head.seq + 1, f"it cannot be read: {error}")
    findings = tuple(sorted(walk.findings))
    return Verification(walk.start, walk.head, walk.signatures, walk.unwitnessed, findings)


class _Walk:
    """One pass over a log: `head` is how far the chain holds, `vouched` how far a signature covers it."""

    def __init__(self, reader: LogReader, verifier: Verifier, step: Step | None) -> None:
        self.reader = reader
        self.verifier = verifier
        self.step = step
        self.findings: list[Finding] = []
        self.signatures = 0
        self.unwitnessed = 0
        self.retired = 0
        self.agreed = 0
        self.start = self.head = self.vouched = Head(b"")

    def find(self, seq: int, problem: str, since: int | None = None) -> None:
        self.findings.append(Finding(seq, problem, seq if since is None else since))

    def run(self, witnesses: Sequence[Witness], *, sealed: bool) -> None:
        signed = self.reader.head()
        kept = list(self.reader.checkpoints())
        self.start = self.head = self.vouched = Head(signed.head.log)
        links = self.reader.links()
        link = next(links, None)
        marks = self._marks(kept if kept and kept[-1] == signed else [*kept, signed], empty=link is None and not kept)
        end = signed.head.seq if signed.head.seq in marks else None
        seen = self._seen(witnesses, signed.head)
        if link is not None:
            if link.seq > 1 and not self._begin_before(link.seq, marks):
                return
            links = chain((link,), links)
        retiring = self.start.seq > 0 and not sealed
        if not self._look(links, marks, seen, end, retiring=retiring) and retiring:
            self._look_for_retirements()
        if retiring and self.retired < self.start.seq:
            self.find(self.retired + 1, "it is missing, and no record of this log says that it was retired")

    def _look(
        self,
        links: Iterator[Link],
        marks: dict[int, Head],
        seen: dict[int, Witness],
        end: int | None,
        *,
        retiring: bool,
    ) -> bool:
        """Go from mark to mark, and to the end; False where the chain or the tree breaks."""
        for seq in sorted({*marks, *seen}):
            if seq < self.start.seq:
                self.unwitnessed += seq in seen
                continue
            holds = self._follow(links, seq, marks, retiring=retiring)
            if not holds or not self._agrees(marks.get(seq), seen.get(seq)):
                return False
        if end is None:
            return self._follow(links, None, marks, retiring=retiring)
        if (more := next(links, None)) is not None:
            self.find(more.seq, f"it is beyond the end: the signed head says that the log ends at record {end}")
        return True

    def _look_for_retirements(self) -> None:
        """Learn, where a chain is broken before they came, what later records say was retired."""
        try:
            for link in self.reader.links(self.head.seq + 1):
                if _RETAIN in link.text:
                    self.retired = max(self.retired, _retired(link.text))
        except (AuthzError, TypeError):  # what cannot be read says nothing
            pass

    def _marks(self, heads: Sequence[SignedHead], *, empty: bool) -> dict[int, Head]:
        """Return the heads whose signatures hold, by number; the unsigned head of a new log needs none."""
        if empty and not heads[-1].head.seq and not heads[-1].signature and heads[-1].head.whole():
            return {}
        marks: dict[int, Head] = {}
        bad: list[SignedHead] = []
        for signed in heads:
            head, time, signature, kind = signed
            if head.seq > 0 and head.whole() and self.verifier.verify(head, time, signature, kind):
                marks[head.seq] = head
            else:
                bad.append(signed)
        self.signatures = len(marks)
        if marks or len(bad) == 1:
            for head, _, _, kind in bad:
                seq = max(head.seq, 1)
                since = max((number for number in marks if number < seq), default=0) + 1
                self.find(seq, f"the {kind} that stands there was not signed with this key", since)
        else:
            self.find(1, f"none of the log's {len(bad)} signatures is of this key: is it the right one?")
        return marks

    def _seen(self, witnesses: Sequence[Witness], end: Head) -> dict[int, Witness]:
        """Return what witnesses saw, by number, as far as the log still goes."""
        seen: dict[int, Witness] = {}
        for witness in witnesses:
            if not self.verifier.covers(witness.statement(), witness.signature):
                self.find(witness.seq, "a witness's head there is not one that this key signed")
            elif witness.log != end.log:
                self.find(1, f"a witness saw another log at {witness.time}: this one was put in its place")
            elif witness.seq > end.seq:
                rolled_back = (
                    f"it is missing: a witness saw {witness.seq} records at {witness.time}; the log was rolled back"
                )
                self.find(end.seq + 1, rolled_back)
            elif seen.setdefault(witness.seq, witness)[:4] != witness[:4]:
                self.find(witness.seq, f"witnesses saw two logs there, one of them at {witness.time}: it was forked")
        return seen

    def _begin_before(self, first: int, marks: dict[int, Head]) -> bool:
        """Begin at the last checkpoint before the first record; without one, nothing can be said of what follows."""
        before = max((seq for seq in marks if seq < first), default=0)
        if not before:
            self.find(1, f"it is missing: the first that is there is record {first}")
            return False
        self.start = self.head = self.vouched = marks[before]
        return True

    def _agrees(self, mark: Head | None, witness: Witness | None) -> bool:
        """Say whether the log is, where it has come to, what was signed and what was seen there."""
        head = self.head
        if mark is not None:
            if mark.last != head.last or mark.frontier != head.frontier:
                problem = "the tree over the records up to it is not the one that was signed there"
                self.find(mark.seq, problem, self._covered(mark, mark.seq))
                return False
            self.vouched = head
        if witness is not None and (witness.hash != head.last or witness.root != head.root):
            problem = f"a witness saw another log there at {witness.time}: it was forked or written anew"
            self.find(head.seq, problem, self.agreed + 1)
            return False
        if witness is not None:
            self.agreed = head.seq
        return True

    def _follow(self, links: Iterator[Link], until: int | None, marks: dict[int, Head], *, retiring: bool) -> bool:
        """Go on to a record, or to the end; False where the chain breaks, which is a finding then."""
        problem: str | None = None
        while problem is None and (until is None or self.head.seq < until):
            size = _STRIDE if until is None else min(_STRIDE, until - self.head.seq)
            done, self.head, problem = self._stretch(links, size, retiring=retiring)
            if self.step is not None:
                self.step(self.head.seq - self.start.seq)
            if problem is None and done < size:
                if until is None:
                    return True
                problem = f"it is missing: there were {until} when that was signed or seen"
        if problem is None:
            return True
        seq = self.head.seq + 1
        mark = min((number for number in marks if number >= seq), default=None)
        self.find(seq, problem, self.vouched.seq + 1 if mark is None else self._covered(marks[mark], seq))
        return False

    def _stretch(self, links: Iterator[Link], size: int, *, retiring: bool) -> tuple[int, Head, str | None]:
        """Follow the chain over so many records: how many there were, how far it holds, and what is wrong then."""
        head = self.head
        seq, last = head.seq, head.last
        hashes: list[bytes] = []
        problem = None
        try:
            for number, hash_, text in islice(links, size):
                if number != seq + 1:
                    problem = f"it is missing: the next is record {number}"
                    break
                if sha256(last + text.encode()).digest() != hash_:
                    problem = _CHANGED
                    break
                if not text.startswith(f'{{"seq":{number},') or text[-1] != "}" or "\n" in text:
                    problem = "its text is no line of JSON that begins with its number"
                    break
                seq, last = number, hash_
                hashes.append(hash_)
                if retiring and _RETAIN in text:
                    self.retired = max(self.retired, _retired(text))
        except UnicodeEncodeError:
            problem = "its text is not UTF-8"
        except (AttributeError, TypeError):  # a damaged file may hold values of another kind
            problem = "it is damaged: what stands there is no text and no hash"
        except AuthzError as error:
            problem = f"it cannot be read: {error}"
        frontier = grown(head.frontier, head.seq, hashes)
        return seq - head.seq, Head(head.log, seq, last if seq else b"", frontier), problem

    def _covered(self, mark: Head, until: int) -> int:
        """Return the first record up to `until` whose stored hash is not what a later signature covers.

        The hash that stands beside a record may be right where its text is not: the tree over the hashes
        says so, and then the record is the very one that was changed.
        """
        good, frontier = self.vouched.seq + 1, self.vouched.frontier
        at, ends = 0, {}
        for place, power in enumerate(bit for bit in range(mark.seq.bit_length(), -1, -1) if mark.seq >> bit & 1):
            at += 1 << power
            ends[at] = place
        try:
            for seq, (number, hash_, _) in enumerate(self.reader.links(good), start=good):
                if number != seq or seq > mark.seq:
                    break
                frontier = grown(frontier, seq - 1, (hash_,))
                if seq in ends:
                    if frontier != mark.frontier[: ends[seq] + 1]:
                        break
                    good = seq + 1
        except (AuthzError, TypeError):  # what cannot be read is covered by nothing
            pass
        return min(good, until)


def _retired(text: str) -> int:
    """Return how far a record says that others were retired."""
    try:
        record = json.loads(text)
    except ValueError:
        return 0
    named = isinstance(record, dict) and record.get("kind") == "act" and record.get("act") == "log.retain"
    last = record.get("last") if named else 0
    return last if isinstance(last, int) else 0
