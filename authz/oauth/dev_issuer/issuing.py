"""What is granted → an access token, and a refresh token where the client may have one."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from authz.oauth.dev_issuer.memory import Issued, digest, new_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.oauth.dev_issuer.config import IssuerConfig
    from authz.oauth.dev_issuer.memory import Family, Memory
    from authz.oauth.dev_issuer.signing import SigningKeys


class Issuing:
    """Give out tokens in the issuer's name."""

    def __init__(
        self, issuer: str, config: IssuerConfig, keys: SigningKeys, memory: Memory, clock: Callable[[], float]
    ) -> None:
        """Use a clock that tells seconds since 1970."""
        self.issuer = issuer
        self._config = config
        self._keys = keys
        self._memory = memory
        self._clock = clock

    def issue(self, family: Family, scope: str, *, refresh: bool) -> dict[str, object]:
        """Return a token response (RFC 6749, section 5.1); an earlier refresh token of the family no longer counts."""
        now = int(self._clock())
        lifetime = self._config.access_lifetime
        claims = _claims(self.issuer, family, scope, now, now + lifetime)
        token = new_secret() if family.client.opaque else self._keys.sign(claims)
        self._memory.tokens.put(token, Issued(family, "access_token", claims, digest(token)), now + lifetime)
        response: dict[str, object] = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime}
        if scope:
            response["scope"] = scope
        if refresh:
            response["refresh_token"] = self._refresh_token(family)
        return response

    def _refresh_token(self, family: Family) -> str:
        token = new_secret()
        family.refresh = digest(token)
        self._memory.tokens.put(token, Issued(family, "refresh_token", {}, family.refresh), family.expires_at)
        return token


def _claims(issuer: str, family: Family, scope: str, now: int, expires_at: int) -> dict[str, object]:
    """Return what the token says (RFC 9068, section 2.2): who, for which server, and what was granted."""
    who = family.user or family.client
    claims: dict[str, object] = {
        "iss": issuer,
        "sub": family.user.name if family.user else family.client.client_id,
        "aud": family.resource,
        "client_id": family.client.client_id,
        "iat": now,
        "exp": expires_at,
        "jti": secrets.token_hex(16),
    }
    if scope:
        claims["scope"] = scope
    if who.roles:
        claims["roles"] = list(who.roles)
    if who.tenant:
        claims["tenant"] = who.tenant
    return claims
