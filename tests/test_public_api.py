"""What authz promises to keep."""

from __future__ import annotations

import authz

PUBLIC = [
    "AuthzError",
    "Client",
    "Decision",
    "Effect",
    "Engine",
    "Explanation",
    "InvalidRequestError",
    "LoadError",
    "LoadedPolicy",
    "Obligation",
    "PolicyError",
    "Program",
    "Reason",
    "Request",
    "Resource",
    "ToolInfo",
    "load",
]


def test_the_public_names_are_these_and_no_others() -> None:
    """Adding a public name is a decision (CONTRIBUTING.md)."""
    assert authz.__all__ == PUBLIC == sorted(PUBLIC) == dir(authz)


def test_every_public_name_has_a_docstring() -> None:
    """Every public name says what it is (CONTRIBUTING.md)."""
    assert [name for name in PUBLIC if not getattr(authz, name).__doc__] == []
