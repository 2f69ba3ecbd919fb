"""Find which of many patterns a text matches (L20).

Requests choose the texts, so no text may make us walk all patterns. Each is filed under a piece of
itself that stands in every text it matches, the one that the fewest others have, and is looked at
only where a text holds that piece. Looking up takes time by the length of the text and the number
of different lengths of pieces, not by the number of patterns.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias

from authz.lang.values import glob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Pieces: TypeAlias = list[str]
"""A pattern, split at its `*`."""
Filed: TypeAlias = "dict[str, list[tuple[Pieces, Sequence[int]]]]"

_HEAD, _TAIL, _INSIDE = "head", "tail", "inside"


class PatternIndex:
    """Leads from a text to the numbers that stand beside the patterns it matches."""

    def __init__(self, patterns: Mapping[str, Sequence[int]]) -> None:
        """File the patterns; takes linear time."""
        self._exact = {pattern: numbers for pattern, numbers in patterns.items() if "*" not in pattern}
        globs = [(pattern.split("*"), numbers) for pattern, numbers in patterns.items() if "*" in pattern]
        self._has_globs = bool(globs)
        self._always: list[Sequence[int]] = []
        count: dict[tuple[str, str], int] = {}
        for pieces, _ in globs:
            for anchor in _anchors(pieces):
                count[anchor] = count.get(anchor, 0) + 1
        filed: dict[str, Filed] = {_HEAD: {}, _TAIL: {}, _INSIDE: {}}
        for pieces, numbers in globs:
            anchors = list(_anchors(pieces))
            if not anchors:  # only `*`
                self._always.append(numbers)
                continue
            kind, piece = min(anchors, key=lambda anchor: (count[anchor], anchor[0] == _INSIDE))
            filed[kind].setdefault(piece, []).append((pieces, numbers))
        self._heads, self._tails, self._inside = filed[_HEAD], filed[_TAIL], filed[_INSIDE]
        self._head_lengths, self._tail_lengths, self._inside_lengths = (
            sorted(set(map(len, filed[kind]))) for kind in (_HEAD, _TAIL, _INSIDE)
        )

    def find(self, text: str) -> Iterable[int]:
        """Return the numbers of all patterns that a text matches; one that stands beside several may come again."""
        exact = self._exact.get(text, ())
        return chain(exact, self._matching(text)) if self._has_globs else exact

    def _matching(self, text: str) -> Iterator[int]:
        for numbers in self._always:
            yield from numbers
        for candidates in self._candidates(text):
            for pieces, numbers in candidates:
                if glob(pieces, text):
                    yield from numbers

    def _candidates(self, text: str) -> Iterator[list[tuple[Pieces, Sequence[int]]]]:
        length = len(text)
        for size in self._head_lengths:
            if size > length:
                break
            if found := self._heads.get(text[:size]):
                yield found
        for size in self._tail_lengths:
            if size > length:
                break
            if found := self._tails.get(text[length - size :]):
                yield found
        inside = self._inside
        for size in self._inside_lengths:
            for piece in {text[at : at + size] for at in range(length - size + 1)}:
                if found := inside.get(piece):
                    yield found


def _anchors(pieces: Pieces) -> Iterator[tuple[str, str]]:
    """Yield the pieces that stand in every text a pattern matches, and where."""
    if pieces[0]:
        yield _HEAD, pieces[0]
    if pieces[-1]:
        yield _TAIL, pieces[-1]
    for piece in pieces[1:-1]:
        if piece:
            yield _INSIDE, piece


_FEW: Final = 8


class Patterns:
    """Some patterns of which a text has to match one."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Look at few one by one, and file many."""
        patterns = tuple(patterns)
        self._globs = [pattern.split("*") for pattern in patterns] if len(patterns) <= _FEW else None
        self._index = PatternIndex(dict.fromkeys(patterns, (0,))) if self._globs is None else None

    def match(self, text: str) -> bool:
        """Say whether a text matches one of them."""
        if self._index is not None:
            return next(iter(self._index.find(text)), None) is not None
        return any(glob(pieces, text) for pieces in self._globs or ())
