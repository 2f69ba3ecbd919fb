"""Read what a token says of the caller's rights: scopes, roles, tenant, client, actors.

A claim of the wrong shape is refused, never bent: text is not a list of letters, a list is not a
tenant, and a role is never a substring of another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from authz.tokens.claims import identifier
from authz.tokens.errors import Refusal, refused

if TYPE_CHECKING:
    from authz.tokens.issuer import Issuer

MAX_ACTORS: Final = 4
MAX_SCOPES: Final = 512
MAX_ROLES: Final = 512

_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""`scope-token` of RFC 6749, section 3.3."""


def scopes_of(claims: Mapping[str, object], issuer: Issuer) -> tuple[str, ...]:
    """Return the scopes of all configured claims, each once. Raises `TokenError`."""
    found: dict[str, None] = {}
    for name in issuer.scope_claims:
        value = claims.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, str):
            tokens: list[object] = list(value.split(" "))
        elif isinstance(value, list) and name in issuer.scope_lists:
            tokens = value
        else:
            raise refused(Refusal.INVALID_CLAIM, f"`{name}` is not of the shape that is configured")
        for token in tokens:
            if not isinstance(token, str) or not _SCOPE.fullmatch(token):
                raise refused(Refusal.INVALID_CLAIM, f"`{name}` holds what is no scope, or more than one space")
            found[token] = None
    if len(found) > MAX_SCOPES:
        raise refused(Refusal.INVALID_CLAIM, f"it names more than {MAX_SCOPES} scopes")
    return tuple(found)


def roles_of(claims: Mapping[str, object], issuer: Issuer) -> tuple[str, ...]:
    """Return the roles at the configured path: a list of them, or text, which is one role. Raises `TokenError`."""
    value = _at(claims, issuer.roles_path)
    if value is None:
        return ()
    where = ".".join(issuer.roles_path)
    roles = [value] if isinstance(value, str) else value
    if not isinstance(roles, list):
        raise refused(Refusal.INVALID_CLAIM, f"`{where}` is no list")
    if len(roles) > MAX_ROLES:
        raise refused(Refusal.INVALID_CLAIM, f"`{where}` names more than {MAX_ROLES} roles")
    return tuple(dict.fromkeys(identifier(role, where) for role in roles))


def tenant_of(claims: Mapping[str, object], issuer: Issuer) -> str:
    """Return the tenant, "" where none is named and none required. Raises `TokenError`."""
    value = _at(claims, issuer.tenant_path)
    if value is None:
        if issuer.tenant_required or issuer.tenants:
            raise refused(Refusal.TENANT_MISSING, f"`{'.'.join(issuer.tenant_path)}` is missing")
        return ""
    tenant = identifier(value, ".".join(issuer.tenant_path))
    if "*" in tenant:
        raise refused(Refusal.INVALID_CLAIM, f"`{'.'.join(issuer.tenant_path)}` holds a wildcard")
    if issuer.tenants and tenant not in issuer.tenants:
        raise refused(Refusal.INVALID_CLAIM, f"`{'.'.join(issuer.tenant_path)}` names a tenant that is not configured")
    return tenant


def client_of(claims: Mapping[str, object], issuer: Issuer, tenant: str) -> str:
    """Return the client that the token was issued to, "" where none is named.

    Raises `TokenError` when claims name different clients, or when configuration does not allow this
    client for this tenant.
    """
    named = {identifier(claims[name], name) for name in issuer.client_claims if claims.get(name) is not None}
    if len(named) > 1:
        raise refused(Refusal.INVALID_CLAIM, f"`{'` and `'.join(issuer.client_claims)}` name different clients")
    client = named.pop() if named else ""
    if issuer.client_tenants:
        tenants = issuer.client_tenants.get(client)
        if tenants is None:
            raise refused(Refusal.CLIENT_NOT_ALLOWED, "its client is not one of those configured")
        if tenant not in (tenants or ("",)):
            raise refused(Refusal.CLIENT_NOT_ALLOWED, "its client is not configured for its tenant")
    return client


def actors_of(claims: Mapping[str, object]) -> tuple[str, ...]:
    """Return the chain of `act` (RFC 8693, section 4.1), the current actor first. Raises `TokenError`.

    An actor of another issuer is refused: nothing here could tell it from one of the same name.
    """
    actors: list[str] = []
    holder: Mapping[str, object] = claims
    while "act" in holder:
        if len(actors) == MAX_ACTORS:
            raise refused(Refusal.ACTOR_CHAIN_TOO_LONG, f"`act` names more than {MAX_ACTORS} actors")
        actor = holder["act"]
        if not isinstance(actor, dict):
            raise refused(Refusal.INVALID_CLAIM, "`act` is no object")
        actors.append(identifier(actor.get("sub"), "act.sub"))
        if "iss" in actor and actor["iss"] != claims.get("iss"):
            raise refused(Refusal.INVALID_CLAIM, "`act.iss` is not the issuer of the token")
        holder = actor
    return tuple(actors)


def _at(claims: Mapping[str, object], path: tuple[str, ...]) -> object:
    """Return what stands at a path of names, None where nothing does; raise `TokenError` where it cannot be."""
    value: object = claims if path else None
    for name in path:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise refused(Refusal.INVALID_CLAIM, f"`{'.'.join(path)}` leads through what is no object")
        value = value.get(name)
    return value
