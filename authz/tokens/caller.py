"""Who calls, as a validated token says."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (the type of a field, which dataclasses look at)
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from authz.model import Value  # noqa: TC001 (as above)
from authz.tokens.claims import identifier
from authz.tokens.errors import Refusal, refused
from authz.tokens.rights import actors_of, client_of, roles_of, scopes_of, tenant_of

if TYPE_CHECKING:
    from authz.tokens.issuer import Issuer


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller that can be trusted: everything here was checked.

    `actors` is the chain of `act` (RFC 8693, section 4.1), the current actor first. `claims` are
    those that configuration exposes to policies. `digest` is the SHA-256 of the token's canonical
    bytes, in hexadecimal digits; the token itself is not kept.
    """

    issuer: str
    subject: str
    client: str
    actors: tuple[str, ...]
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    tenant: str
    audience: tuple[str, ...]
    token_id: str
    """`jti`, "" where there is none."""
    expires_at: float
    """Seconds since 1970, UTC."""
    issued_at: float
    validated_at: datetime
    digest: str
    key_id: str = ""
    claims: Mapping[str, Value] = field(default_factory=dict)


def caller_of(claims: Mapping[str, object], issuer: Issuer, digest: str, now: float, *, key_id: str = "") -> Caller:
    """Make a caller of claims that `check` has accepted; `now` is in seconds since 1970.

    Raises `TokenError` for rights of the wrong shape, a missing subject or tenant, a client not allowed.
    Without `exp`, which only an introspection may leave out, it expires when its answer does.
    """
    if claims.get("sub") is None:
        raise refused(Refusal.MISSING_CLAIM, "`sub` is missing")
    tenant = tenant_of(claims, issuer)
    expires, issued = claims.get("exp"), claims.get("iat")
    if not isinstance(expires, (int, float)):
        expires = now + (issuer.introspection.positive_ttl if issuer.introspection else 0.0)
    audience = claims.get(issuer.audience_claim, ())
    return Caller(
        issuer=cast("str", claims.get("iss", issuer.issuer)),
        subject=identifier(claims["sub"], "sub"),
        client=client_of(claims, issuer, tenant),
        actors=actors_of(claims),
        scopes=scopes_of(claims, issuer),
        roles=roles_of(claims, issuer),
        tenant=tenant,
        audience=(audience,) if isinstance(audience, str) else tuple(cast("list[str]", audience)),
        token_id=cast("str", claims.get("jti", "")),
        expires_at=float(expires),
        # 0 lies before every revocation: what cannot prove its age is as old as can be.
        issued_at=float(issued) if isinstance(issued, (int, float)) else 0.0,
        validated_at=datetime.fromtimestamp(now, UTC),
        digest=digest,
        key_id=key_id,
        claims={name: cast("Value", claims[name]) for name in issuer.exposed_claims if name in claims},
    )
