"""Who does something administrative, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something administrative, through which door, and why; it stands in the decision log.

    `author` is what the door knows of them; `via` names the door: "cli" or "admin".
    """

    author: str
    via: str
    note: str = ""
