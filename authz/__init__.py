"""The authorization service for MCP servers: policies in, decisions out.

The public names are those of `__all__`; everything else may change. They load when first used, so
that importing one of them costs no more than it must.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lazily import names_of

if TYPE_CHECKING:
    from authz.errors import AuthzError, InvalidRequestError, LoadError, PolicyError
    from authz.model import (
        Client,
        Decision,
        Effect,
        Explanation,
        Obligation,
        Reason,
        Request,
        Resource,
        ToolInfo,
    )
    from authz.pap.loader import LoadedPolicy, load
    from authz.pdp.engine import Engine
    from authz.pdp.program import Program

__all__ = [
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

_HOMES = {
    "authz.errors": ("AuthzError", "InvalidRequestError", "LoadError", "PolicyError"),
    "authz.model": (
        "Client",
        "Decision",
        "Effect",
        "Explanation",
        "Obligation",
        "Reason",
        "Request",
        "Resource",
        "ToolInfo",
    ),
    "authz.pap.loader": ("LoadedPolicy", "load"),
    "authz.pdp.engine": ("Engine",),
    "authz.pdp.program": ("Program",),
}


__getattr__ = names_of(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
