"""JSON values, and how much of them one request may hold (L60)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Value: TypeAlias = "bool | int | float | str | Sequence[Value] | Mapping[str, Value] | None"
"""A JSON value: attributes, arguments and context are made of these."""

Attributes: TypeAlias = Mapping[str, Value]

MAX_DEPTH: Final = 32
"""Levels of nesting in attributes, arguments and context (L60)."""
MAX_ITEMS: Final = 10_000
"""Members of one list or one object."""
MAX_VALUES: Final = 100_000
"""Values in one request, counted at every level."""
MAX_IDENTIFIER: Final = 1_024
"""Characters of one identifier."""
MAX_TEXT: Final = 4 * 1024 * 1024
"""Characters in one request, all strings together."""
