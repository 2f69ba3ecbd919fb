"""Tokens as each provider makes them, through the whole service (issue 4, item 1; S2)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import pytest

from authz.tokens.config import read_tokens
from authz.tokens.errors import Refusal, TokenError
from authz.tokens.presets import PRESETS
from authz.tokens.service import TokenService
from tests.tokens import world

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
OTHER_TENANT = "11111111-2222-4333-8444-555555555555"
AUDIENCE = "https://mcp.example.com"


class Sample(NamedTuple):
    """A token as a provider makes it: settings beside the preset, header `typ`, claims, and what is read from them."""

    settings: str
    typ: str | None
    claims: dict[str, object]
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    tenant: str = ""
    client: str = "web"


def entra(version: str, client: str, issuer: str, **changes: object) -> dict[str, object]:
    """Return claims as Entra ID has them."""
    usual: dict[str, object] = {
        "iss": issuer.replace("TENANT", TENANT), "ver": version, "tid": TENANT, client: "web",
        "scp": "docs.read docs.write", "roles": ["Editor"], "oid": OTHER_TENANT, "aio": "x", "uti": "x",
        "nbf": int(time.time()) - 5,
    }  # fmt: skip
    return {**usual, **changes}


V1, V2 = "https://sts.windows.net/TENANT/", "https://login.microsoftonline.com/TENANT/v2.0"
SAMPLES = {
    "auth0": Sample(
        'roles = ["https://mcp.example.com/roles"]\ntenant = "org_id"',
        "JWT",
        {
            "iss": "https://example.eu.auth0.com/",
            "aud": [AUDIENCE, "https://example.eu.auth0.com/userinfo"],
            "azp": "web",
            "scope": "openid docs:read",
            "permissions": ["docs:read", "docs:delete"],
            "https://mcp.example.com/roles": ["editor"],
            "org_id": "org_1",
        },
        ("openid", "docs:read"),
        ("editor",),
        "org_1",
    ),
    "okta": Sample(
        'roles = "groups"',
        None,
        {
            "iss": "https://example.okta.com/oauth2/aus9o8wzkhckw9TLa0h7z",
            "ver": 1,
            "jti": "AT.x",
            "cid": "web",
            "uid": "00u1",
            "scp": ["docs:read", "docs:write"],
            "groups": ["Everyone", "editors"],
        },
        ("docs:read", "docs:write"),
        ("Everyone", "editors"),
    ),
    "keycloak": Sample(
        'tenant = "tenant"',
        "JWT",
        {
            "iss": "https://sso.example.com/realms/acme",
            "aud": [AUDIENCE, "account"],
            "typ": "Bearer",
            "azp": "web",
            "sid": "x",
            "scope": "profile docs:read",
            "realm_access": {"roles": ["offline_access", "editor"]},
            "resource_access": {"account": {"roles": ["view-profile"]}},
            "tenant": "acme",
        },
        ("profile", "docs:read"),
        ("offline_access", "editor"),
        "acme",
    ),
    "entra": Sample(
        "", "JWT", entra("2.0", "azp", V2), ("docs.read", "docs.write"), ("Editor",), TENANT
    ),
    "entra-v1": Sample(
        "", "JWT", entra("1.0", "appid", V1), ("docs.read", "docs.write"), ("Editor",), TENANT
    ),
    "entra-multitenant": Sample(
        f'tenants = ["{TENANT}"]', "JWT", entra("2.0", "azp", V2), ("docs.read", "docs.write"), ("Editor",), TENANT
    ),
    "entra-multitenant-v1": Sample(
        f'tenants = ["{TENANT}"]', "JWT", entra("1.0", "appid", V1), ("docs.read", "docs.write"), ("Editor",), TENANT
    ),
    "cognito": Sample(
        "",
        None,
        {
            "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12Cd34E",
            "aud": None,
            "token_use": "access",
            "client_id": AUDIENCE,
            "scope": "docs/read",
            "cognito:groups": ["editors"],
            "username": "alice",
            "version": 2,
        },
        ("docs/read",),
        ("editors",),
        client=AUDIENCE,
    ),
    "google": Sample(
        'claims = ["email"]',
        "JWT",
        {"iss": "https://accounts.google.com", "azp": "web", "email": "job@x.iam.gserviceaccount.com"},
    ),
}  # fmt: skip


def service(name: str) -> TokenService:
    """Return a service of one preset, whose keys are the tests' own."""
    given = "\n".join(f'{key} = "{parameter.example}"' for key, parameter in PRESETS[name].parameters.items())
    text = f'[[issuer]]\npreset = "{name}"\naudiences = ["{AUDIENCE}"]\n{given}\n{SAMPLES[name].settings}'
    issuers = read_tokens(text, Path()).issuers
    return TokenService(issuers, world.NoHttp(), keys={issuers[0].issuer: world.FixedKeys()})


def signed(name: str, **changes: object) -> str:
    """Return a token of a provider, changed."""
    now = int(time.time())
    usual = {"sub": "alice", "aud": AUDIENCE, "iat": now - 5, "exp": now + 3_000}
    claims = {**usual, **SAMPLES[name].claims, **changes}
    present = {key: value for key, value in claims.items() if value is not None}
    return world.sign(world.header(typ=SAMPLES[name].typ), present)


@pytest.mark.parametrize("name", PRESETS)
async def test_an_access_token_of_each_provider_is_read_as_it_is_meant(name: str) -> None:
    """S2: identity, client, scopes, roles and tenant from where the provider puts them."""
    caller = await service(name).validate(signed(name))
    sample = SAMPLES[name]
    assert (caller.subject, caller.client) == ("alice", sample.client)
    assert (caller.scopes, caller.roles, caller.tenant) == (sample.scopes, sample.roles, sample.tenant)


ID_TOKENS: dict[str, dict[str, object]] = {
    "auth0": {"aud": "web", "nonce": "x"},
    "okta": {"aud": "web", "at_hash": "x"},
    "keycloak": {"typ": "ID"},
    "entra": {"nonce": "x"},
    "cognito": {"token_use": "id", "aud": "web"},
    "google": {"at_hash": "x", "nonce": "x"},
}


@pytest.mark.parametrize("name", ID_TOKENS)
async def test_an_id_token_of_a_provider_is_no_access_token(name: str) -> None:
    """S10, S92: signed by the same keys, and still refused."""
    with pytest.raises(TokenError) as caught:
        await service(name).validate(signed(name, **ID_TOKENS[name]))
    assert caught.value.reason in {Refusal.WRONG_TYPE, Refusal.WRONG_AUDIENCE}


HOSTILE: dict[str, tuple[str, dict[str, object], Refusal]] = {
    "a tenant that the issuer does not name": ("entra-multitenant", {"tid": OTHER_TENANT}, Refusal.UNKNOWN_ISSUER),
    "a tenant that is not configured": (
        "entra-multitenant",
        {"tid": OTHER_TENANT, "iss": V2.replace("TENANT", OTHER_TENANT)},
        Refusal.INVALID_CLAIM,
    ),
    "the template itself": ("entra-multitenant", {"iss": V2.replace("TENANT", "{tenantid}")}, Refusal.UNKNOWN_ISSUER),
    "no tenant": ("entra-multitenant", {"tid": None}, Refusal.UNKNOWN_ISSUER),
    "another version": ("entra", {"ver": "1.0"}, Refusal.WRONG_TYPE),
    "an app client that is not ours": ("cognito", {"client_id": "theirs"}, Refusal.WRONG_AUDIENCE),
    "the audience where the client must be": ("cognito", {"client_id": None, "aud": AUDIENCE}, Refusal.MISSING_CLAIM),
    "only what stands beside ours": ("keycloak", {"aud": ["account"]}, Refusal.WRONG_AUDIENCE),
    "another realm": ("keycloak", {"iss": "https://sso.example.com/realms/acme2"}, Refusal.UNKNOWN_ISSUER),
    "a refresh token": ("keycloak", {"typ": "Refresh"}, Refusal.WRONG_TYPE),
    "no kind": ("keycloak", {"typ": None}, Refusal.MISSING_CLAIM),
    "the issuer without its slash": ("auth0", {"iss": "https://example.eu.auth0.com"}, Refusal.UNKNOWN_ISSUER),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_token_that_is_almost_right_is_refused(case: str) -> None:
    """Threats 3a: iss, aud and tenant by equality; a shared key set makes nobody's tenant ours."""
    name, changes, reason = HOSTILE[case]
    with pytest.raises(TokenError) as caught:
        await service(name).validate(signed(name, **changes))
    assert caught.value.reason is reason
