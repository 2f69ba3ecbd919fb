"""What authz promises to keep."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import authz
from authz import fastmcp as guarded_fastmcp
from authz import mcp as guarded_mcp
from authz import pep, tokens

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

PEP = [
    "ANONYMOUS",
    "Call",
    "CallLimit",
    "Catalogue",
    "Gate",
    "Guard",
    "GuardConfig",
    "GuardConfigError",
    "Handler",
    "Identity",
    "Item",
    "Keeping",
    "LocalPdp",
    "Mapping",
    "Message",
    "ObligationError",
    "Obligations",
    "Outcome",
    "Pdp",
    "PdpError",
    "Protection",
    "Remembering",
    "RemotePdp",
    "SyncRemotePdp",
    "Tls",
    "Verdict",
    "caller",
    "follow",
    "handlers_of",
    "load_guard",
    "open_local",
    "protection",
]
MCP = ["AuthzMiddleware", "AuthzTokenVerifier", "ProtectError", "protect", "protect_local"]
FASTMCP = ["AuthzMiddleware", "AuthzTokenVerifier", "ProtectError", "ServerCatalogue", "protect", "protect_local"]
PACKAGES = [(authz, PUBLIC), (tokens, TOKENS), (pep, PEP), (guarded_mcp, MCP), (guarded_fastmcp, FASTMCP)]


@pytest.mark.parametrize(("package", "names"), PACKAGES, ids=lambda given: getattr(given, "__name__", ""))
def test_the_public_names_are_these_and_no_others(package: ModuleType, names: list[str]) -> None:
    """Adding a public name is a decision (CONTRIBUTING.md)."""
    assert package.__all__ == names == sorted(names) == dir(package)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = package.nonsense


@pytest.mark.parametrize(("package", "names"), PACKAGES, ids=lambda given: getattr(given, "__name__", ""))
def test_every_public_name_has_a_docstring(package: ModuleType, names: list[str]) -> None:
    """Every public name says what it is (CONTRIBUTING.md)."""
    assert [name for name in names if not getattr(package, name).__doc__] == []


@pytest.mark.parametrize("plug_in", ["mcp", "fastmcp"])
def test_a_plug_in_without_its_framework_says_what_to_install(plug_in: str) -> None:
    """Issue 5: the extras `authz[mcp]` and `authz[fastmcp]`; a newcomer's first mistake."""
    program = f"import sys; sys.modules[{plug_in!r}] = None\nfrom authz.{plug_in} import protect"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"`authz.{plug_in}` needs `{plug_in}" in ended.stderr
    assert f"pip install 'authz[{plug_in}]'" in ended.stderr
