"""What every engine offers once it has its policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmarks.workloads import Question


@dataclass(frozen=True, slots=True)
class Engine:
    """A policy that is ready, in two steps: only the second is timed."""

    prepare: Callable[[Question], Any]
    """Return the question in the engine's own form, as its documentation shows it."""
    decide: Callable[[Any], Any]
    """Decide it, and return the engine's whole answer."""
    allowed: Callable[[Any], bool]
    """Say whether an answer is an allow."""
