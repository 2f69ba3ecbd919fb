"""What authz promises to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import authz
from authz import tokens

if TYPE_CHECKING:
    from types import ModuleType

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


TOKENS = [
    "Caller",
    "Introspection",
    "Issuer",
    "Refusal",
    "Revocation",
    "Revoked",
    "TokenConfigError",
    "TokenError",
    "TokenService",
    "load_issuers",
    "open_service",
]


@pytest.mark.parametrize(("package", "names"), [(authz, PUBLIC), (tokens, TOKENS)], ids=["authz", "authz.tokens"])
def test_the_public_names_are_these_and_no_others(package: ModuleType, names: list[str]) -> None:
    """Adding a public name is a decision (CONTRIBUTING.md)."""
    assert package.__all__ == names == sorted(names) == dir(package)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = package.nonsense


@pytest.mark.parametrize(("package", "names"), [(authz, PUBLIC), (tokens, TOKENS)], ids=["authz", "authz.tokens"])
def test_every_public_name_has_a_docstring(package: ModuleType, names: list[str]) -> None:
    """Every public name says what it is (CONTRIBUTING.md)."""
    assert [name for name in names if not getattr(package, name).__doc__] == []
