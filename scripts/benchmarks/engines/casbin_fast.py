"""casbin's FastEnforcer, which looks only at the lines with the request's tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.benchmarks.engines import casbin

if TYPE_CHECKING:
    from scripts.benchmarks.engines.engine import Engine

PACKAGE = casbin.PACKAGE


def w2() -> Engine:
    """Return the policy W2."""
    return casbin.w2(indexed=True)


def w3(kind: str, rules: int) -> Engine:
    """Return n rules that differ in the tool's name."""
    return casbin.w3(kind, rules, indexed=True)
