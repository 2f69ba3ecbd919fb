"""How large a policy may be (L6)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on policy text; every one has its own diagnostic."""

    file_bytes: int = 1024 * 1024
    policy_bytes: int = 64 * 1024 * 1024
    rules: int = 100_000
    nesting: int = 64
    string_characters: int = 10_000
    condition_terms: int = 1_000


DEFAULT_LIMITS = Limits()
