"""Names of decisions: 128 random bits in hexadecimal digits."""

from __future__ import annotations

import os
from typing import Final

_AT_ONCE: Final = 256  # asking the system for each of them takes six times as long
_SIZE: Final = 16
_drawn: Final[list[str]] = []  # `pop` and `extend` are atomic: no two threads get the same one


def decision_id() -> str:
    """Return a new name, 32 digits long; any thread may ask."""
    try:
        return _drawn.pop()
    except IndexError:
        digits = os.urandom(_SIZE * _AT_ONCE).hex()
        _drawn.extend(digits[at : at + 2 * _SIZE] for at in range(2 * _SIZE, len(digits), 2 * _SIZE))
        return digits[: 2 * _SIZE]


os.register_at_fork(after_in_child=_drawn.clear)  # else two processes would give the same names
