"""What checking makes of an expression: its core, its type, and what it costs; and how types are said."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from authz.lang import checked
from authz.lang.checked import Core, Place
from authz.lang.types import ANY, Type

if TYPE_CHECKING:
    from collections.abc import Iterable


class Typed(NamedTuple):
    """A core expression, its type, and what it costs of the limits of L6, `let`s counted as written out."""

    node: Core
    type: Type
    terms: int = 0
    depth: int = 0


def unknown(place: Place, terms: int = 0) -> Typed:
    """Stand in for what is wrong and reported: it fits everywhere, so that one error is not said twice."""
    return Typed(checked.Unknown(ANY, place), ANY, terms)


def noun(type_: Type) -> str:
    """Return a type as a noun with its article."""
    if type_.kind == "union":
        return f"one of {listed(type_.options)}"
    if type_.kind == "set" and type_.item is not None and type_.item.kind == "dynamic":
        return "an empty set"
    return f"{'an' if type_.kind == 'ip' else 'a'} {type_}"


def listed(words: Iterable[str]) -> str:
    """Return words in backticks, and no more of them than fit a line."""
    shown = [f"`{word[:60]}`" for word in words]
    return ", ".join([*shown[:10], "…"] if len(shown) > 11 else shown)
