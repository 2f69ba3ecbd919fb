"""Tokens as the SDK wants them: a caller as its `AccessToken`, and a verifier for its own auth settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mcp.server.auth.provider import AccessToken

from authz.pep.uris import canonical
from authz.tokens.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.tokens.caller import Caller
    from authz.tokens.service import TokenService

Form = TypeVar("Form", bound=AccessToken)


class AuthzTokenVerifier:
    """Validates tokens for servers that use the SDK's own auth settings; a `TokenVerifier` of the SDK.

    `resource` identifies the server (RFC 8707), and a token must name it, or one of `audiences` (R6).
    Scopes are not looked at here: a token that lacks one must end in 403, and this can only say 401.
    """

    def __init__(self, tokens: TokenService, *, resource: str, audiences: Iterable[str] | None = None) -> None:
        """Validate by this service. Raises `ValueError` without an audience."""
        self._tokens = tokens
        self._audiences = accepted(resource, audiences)

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return what a token says, None for one that is refused, for whatever reason."""
        found = await validated(self._tokens, token, self._audiences)
        return None if found is None else access_token(AccessToken, found[0], token, found[1])


def accepted(resource: str, audiences: Iterable[str] | None) -> frozenset[str]:
    """Return what a token must name, one of these, in canonical form. Raises `ValueError` for nothing at all."""
    found = frozenset(canonical(one) for one in (audiences if audiences is not None else {resource}))
    if not found or not all(found):
        raise ValueError("`resource` and `audiences` must not be empty: a token has to name this server")
    return found


async def validated(tokens: TokenService, token: str, ours: frozenset[str]) -> tuple[Caller, str] | None:
    """Return whose token it is, and which of our identifiers it names; None for one that is refused."""
    try:
        caller = await tokens.validate(token)
    except TokenError:
        return None
    named = matching(caller.audience, ours)
    return (caller, named) if named else None


def matching(audience: Iterable[str], ours: frozenset[str]) -> str:
    """Return the first of a token's audiences that is ours, as it is written there; "" for none.

    `ours` are in canonical form (RFC 8707), in which they are compared.
    """
    return next((one for one in audience if canonical(one) in ours), "")


def access_token(form: type[Form], caller: Caller, token: str, resource: str) -> Form:
    """Return a caller in the SDK's form, or FastMCP's of it: it tells tools who calls, and sessions belong to it."""
    return form(
        token=token,
        client_id=caller.client,
        scopes=list(caller.scopes),
        expires_at=int(caller.expires_at),
        resource=resource or None,
        subject=caller.subject,
        claims={
            **caller.claims,
            "iss": caller.issuer,
            "sub": caller.subject,
            "tenant": caller.tenant,
            "roles": list(caller.roles),
            "jti": caller.token_id,
        },
    )
