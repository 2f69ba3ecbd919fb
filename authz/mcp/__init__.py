"""The guard for servers on the MCP SDK (`mcp`): tool calls, lists, resources and prompts, on every transport.

The public names are those of `__all__`; they load when first used. What stands where:

verifier      tokens in the form of the SDK
catalogue     the server's own tools, as the guard sees them
errors        what a caller is told whose message may not go on
executed      whether what was decided about is what is executed
lists         lists as a caller may see them
listening     streams of changes
asking        asking the user in the middle of a call
middleware    all of these: every message, before it is executed
hiding        denied tools look like unknown ones to the SDK's own checks
protecting    middleware, gate and server put together
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lazily import names_of

if TYPE_CHECKING:
    from authz.mcp.middleware import AuthzMiddleware
    from authz.mcp.protecting import ProtectError, protect, protect_local
    from authz.mcp.verifier import AuthzTokenVerifier

__all__ = ["AuthzMiddleware", "AuthzTokenVerifier", "ProtectError", "protect", "protect_local"]

__getattr__ = names_of(
    __name__,
    {
        "authz.mcp.middleware": ("AuthzMiddleware",),
        "authz.mcp.protecting": ("ProtectError", "protect", "protect_local"),
        "authz.mcp.verifier": ("AuthzTokenVerifier",),
    },
    extra="mcp",
)


def __dir__() -> list[str]:
    return sorted(__all__)
