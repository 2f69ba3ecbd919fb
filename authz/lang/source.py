"""Policy text and the places in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authz.lang.ast import Span

SUFFIX = ".authz"
TEST_SUFFIX = "_test.authz"


@dataclass(frozen=True)
class Source:
    """One file's text. `name` is its path below the policy directory, always with `/`.

    `shown` is the path as the user would type it; it stands in messages.
    """

    name: str
    text: str
    shown: str = ""

    @property
    def path(self) -> str:
        """Return the path to print."""
        return self.shown or self.name

    @cached_property
    def module(self) -> str:
        """Return the first half of the names of this file's rules (L23)."""
        return self.name.removesuffix(SUFFIX)

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        find = self.text.find
        while (at := find("\n", starts[-1])) >= 0:
            starts.append(at + 1)
        return starts

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column, both from 1, of a character."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return the text of a line, counted from 1, without its end."""
        start = self._line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else len(self.text)].rstrip("\r")

    def slice(self, span: Span) -> str:
        """Return the text of a span."""
        return self.text[span.start : span.end]
