"""What is configured for one issuer. A value that exists is safe to use: `config` refuses everything else."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (the type of a field, which dataclasses look at)
from dataclasses import dataclass, field

DEFAULT_TYPES = frozenset({"at+jwt", "application/at+jwt"})
"""The `typ` of access tokens (RFC 9068, section 2.1)."""


@dataclass(frozen=True, slots=True)
class Introspection:
    """Where and how to ask about opaque tokens (RFC 7662); times in seconds."""

    endpoint: str
    """"" takes it from discovery."""
    client_id: str
    client_secret: str = field(repr=False)
    positive_ttl: float = 30.0
    negative_ttl: float = 5.0


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer of tokens, and what its tokens must be. Times are seconds.

    Exactly one of `jwks_uri`, `discovery` and `secret` says where keys come from; an issuer of
    opaque tokens alone may have none of them.
    """

    issuer: str
    """Compared byte for byte. It may hold `{tenantid}` once (Entra ID), for the claim `tid`."""
    audiences: frozenset[str]
    algorithms: frozenset[str]
    """All of one family: RS/PS, ES, EdDSA, or HS; empty where only introspection is asked."""
    jwks_uri: str = ""
    discovery: bool = False
    secret: bytes = field(default=b"", repr=False)
    types: frozenset[str] = DEFAULT_TYPES
    """In lower case, as a header may name them; "" stands for a header without `typ` (Okta, Cognito)."""
    leeway: float = 60.0
    max_lifetime: float = 3_600.0 * 24
    required_claims: tuple[str, ...] = ("exp", "iat", "iss", "aud", "sub")
    scope_claims: tuple[str, ...] = ("scope", "scp")
    scope_lists: frozenset[str] = frozenset({"scp", "permissions"})
    """Those of `scope_claims` that may be lists (Okta's `scp`, Auth0's `permissions`); the others are text."""
    roles_path: tuple[str, ...] = ()
    tenant_path: tuple[str, ...] = ()
    tenant_required: bool = False
    tenants: frozenset[str] = frozenset()
    """With any entry, a token of another tenant is refused."""
    client_claims: tuple[str, ...] = ("azp", "client_id")
    client_tenants: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """With any entry, other clients are refused; an entry's tenants are those that its tokens may name."""
    exposed_claims: tuple[str, ...] = ()
    """Claims that policies may read as `subject.claims.NAME`."""
    audience_claim: str = "aud"
    """Where the audience is; Cognito's access tokens name the app client, in `client_id`, instead."""
    known_audiences: frozenset[str] = frozenset()
    """Audiences that a token may name beside ours; they alone never suffice."""
    extra_audiences: bool = False
    """Whether a token may name any audiences beside ours."""
    expected_claims: Mapping[str, str] = field(default_factory=dict)
    """Claims that must be there with this very text: `token_use` = `access` (Cognito), `typ` = `Bearer` (Keycloak)."""
    introspection: Introspection | None = None
    insecure_loopback: bool = False
    """Whether `http` on loopback is taken: development only."""
