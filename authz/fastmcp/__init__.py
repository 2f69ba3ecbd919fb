"""The guard in front of a FastMCP server: `protect` it, and every tool call is asked about before it runs.

The public names are those of `__all__`; they load when first used. What stands where:

protecting   a server and its configuration → an ASGI application that asks
middleware   each message of the server → pass, filter, ask or deny
callers      who sent a message
catalogue    the server's tools, as the guard sees them
items        what FastMCP lists, as the guard asks about it
resolving    which tool a call runs, where its name does not say it
results      what FastMCP's handlers return ↔ the JSON form that obligations work on
schemas      the look at a tool's schema that would list all tools before every call
tokens       a verifier for FastMCP's own auth settings
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lazily import names_of

if TYPE_CHECKING:
    from authz.fastmcp.catalogue import ServerCatalogue
    from authz.fastmcp.middleware import AuthzMiddleware
    from authz.fastmcp.protecting import protect, protect_local
    from authz.fastmcp.tokens import AuthzTokenVerifier
    from authz.mcp.protecting import ProtectError

__all__ = ["AuthzMiddleware", "AuthzTokenVerifier", "ProtectError", "ServerCatalogue", "protect", "protect_local"]

__getattr__ = names_of(
    __name__,
    {
        "authz.fastmcp.catalogue": ("ServerCatalogue",),
        "authz.fastmcp.middleware": ("AuthzMiddleware",),
        "authz.fastmcp.protecting": ("protect", "protect_local"),
        "authz.fastmcp.tokens": ("AuthzTokenVerifier",),
        "authz.mcp.protecting": ("ProtectError",),
    },
    extra="fastmcp",
)


def __dir__() -> list[str]:
    return sorted(__all__)
