"""What can be wrong with policy text, and how it is said.

A diagnostic is one finding at one place. Its code is stable; `authz.lang.codes` says of each
code what to avoid, what to prefer and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.lang.ast import Span
    from authz.lang.source import Source


class Severity(Enum):
    """An error keeps a policy from loading; a warning never does."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Related:
    """A second place that belongs to a finding, and what is there."""

    source: Source
    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: a stable `code`, a message in lower case, its place, and what to do next.

    `str()` is one plain line, `file:line:col: error[code]: message`.
    """

    code: str
    message: str
    source: Source
    span: Span
    help: str = ""
    related: tuple[Related, ...] = ()
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        line, column = self.source.place(self.span.start)
        return f"{self.source.path}:{line}:{column}: {self.severity.value}[{self.code}]: {self.message}"


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort by file, place and code, and drop what is said twice (L5)."""
    unique = {(d.source.name, d.span.start, d.span.end, d.code, d.message): d for d in diagnostics}
    return tuple(unique[key] for key in sorted(unique))


def near(word: str, known: Iterable[str]) -> str:
    """Return `did you mean …?` for the nearest known word, or "" when none is near."""
    if len(word) > 64:  # no one mistypes that; difflib is quadratic in the length
        return ""
    import difflib  # noqa: PLC0415  # only what is wrong needs it

    matches = difflib.get_close_matches(word, sorted(set(known))[:2000], n=1, cutoff=0.6)
    return f"did you mean `{matches[0]}`?" if matches else ""
