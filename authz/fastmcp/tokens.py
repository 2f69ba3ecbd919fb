"""A verifier of tokens for those who use FastMCP's own auth settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmcp.server.auth import AccessToken, TokenVerifier

from authz.mcp.verifier import accepted, access_token, validated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.tokens.service import TokenService


class AuthzTokenVerifier(TokenVerifier):
    """Validates tokens for a server that uses FastMCP's own auth settings, as in `RemoteAuthProvider`.

    `resource` identifies the server (RFC 8707), and a token must name it, or one of `audiences` (R6).
    Scopes are not looked at here: a token that lacks one must end in 403, and this can only say 401.
    `base_url` is FastMCP's: where the server is reached.
    """

    def __init__(
        self,
        tokens: TokenService,
        *,
        resource: str,
        audiences: Iterable[str] | None = None,
        base_url: str | None = None,
    ) -> None:
        """Validate by this service. Raises `ValueError` without an audience."""
        super().__init__(base_url=base_url)
        self._tokens = tokens
        self._audiences = accepted(resource, audiences)

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return what a token says, None for one that is refused, for whatever reason."""
        found = await validated(self._tokens, token, self._audiences)
        return None if found is None else access_token(AccessToken, found[0], token, found[1])
