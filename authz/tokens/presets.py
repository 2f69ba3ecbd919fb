"""What is known of providers' access tokens, as data: a preset stands for the settings that it names.

A setting beside `preset` wins over the preset's; tables such as `expected_claims` are added to it.
Where a provider's documentation describes what is said here is noted beside each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Setting: TypeAlias = str | bool | int | tuple[str, ...] | Mapping[str, str]

_HOST: Final = r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+"
_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a preset must be told; it replaces `{NAME}` in the preset's texts."""

    pattern: str
    example: str
    default: str = ""
    """"" where there is none."""

    def accepts(self, value: str) -> bool:
        """Say whether a value has the form that it must have."""
        return re.fullmatch(self.pattern, value) is not None


@dataclass(frozen=True, slots=True)
class Preset:
    """One provider: what must be told, what follows, and what to know."""

    title: str
    parameters: Mapping[str, Parameter]
    settings: Mapping[str, Setting]
    note: str = ""


_ENTRA_ROLES: Final[Mapping[str, Setting]] = {
    "algorithms": ("RS256",),
    "types": ("jwt",),
    "scope_claims": ("scp",),
    "roles": ("roles",),
    "tenant": ("tid",),
    "tenant_required": True,
}
_ENTRA_V1: Final[Mapping[str, Setting]] = {
    **_ENTRA_ROLES,
    "client_claims": ("appid",),
    "expected_claims": {"ver": "1.0"},
}
_ENTRA_V2: Final[Mapping[str, Setting]] = {
    **_ENTRA_ROLES,
    "client_claims": ("azp",),
    "expected_claims": {"ver": "2.0"},
}
_TENANT_ID: Final = Parameter(_UUID, "72f988bf-86f1-41af-91ab-2d7cd011db47")
_ENTRA_NOTE: Final = (
    "The application's manifest says which version its tokens have (`requestedAccessTokenVersion`). "
    "The audience is the application's client id in version 2.0, and its Application ID URI in most of version 1.0. "
    "`sub` differs from application to application; `oid` and `tid` together name a person: "
    '`claims = ["oid"]` lets policies read it.'
)

PRESETS: Final[Mapping[str, Preset]] = {
    # https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles: `typ` JWT and `azp`, or `at+jwt` and
    # `client_id`; with the scope `openid` the audience of /userinfo stands beside the API's. The issuer ends with `/`.
    "auth0": Preset(
        "Auth0",
        {"domain": Parameter(_HOST, "example.eu.auth0.com")},
        {
            "issuer": "https://{domain}/",
            "discovery": True,
            "algorithms": ("RS256",),
            "types": ("jwt", "at+jwt"),
            "scope_claims": ("scope",),
            "client_claims": ("azp", "client_id"),
            "known_audiences": ("https://{domain}/userinfo",),
        },
        "The audience is the API's identifier. Roles are in a token only where an Action puts them into a claim whose "
        'name is a URL: `roles = ["https://example.com/roles"]`. For organizations: `tenant = "org_id"`. '
        "`permissions` holds what the person may do at most, `scope` what this client was granted: "
        'take `scope_claims = ["permissions"]` only where clients are not to hold less than their users.',
    ),
    # https://developer.okta.com/docs/reference/api/oidc/#access-token: `scp` is a list, the client is `cid`, and
    # custom authorization servers send no `typ`.
    "okta": Preset(
        "Okta",
        {
            "domain": Parameter(_HOST, "example.okta.com"),
            "server": Parameter(r"[A-Za-z0-9]{1,64}", "aus9o8wzkhckw9TLa0h7z", default="default"),
        },
        {
            "issuer": "https://{domain}/oauth2/{server}",
            "discovery": True,
            "algorithms": ("RS256",),
            "types": ("", "jwt", "at+jwt", "application/at+jwt"),
            "scope_claims": ("scp",),
            "client_claims": ("cid",),
        },
        "Tokens of the org authorization server are for Okta's own APIs: make a custom one. The audience is set there. "
        'Add a groups claim to access tokens and say `roles = "groups"`.',
    ),
    # https://www.keycloak.org/docs/latest/server_admin/: the payload's `typ` tells access (`Bearer`) from ID tokens
    # (`ID`); the header's is JWT, or at+jwt where the client says so. An audience needs a mapper.
    "keycloak": Preset(
        "Keycloak",
        {
            "server": Parameter(rf"{_HOST}(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~-]+)*", "sso.example.com"),
            "realm": Parameter(r"[A-Za-z0-9._~-]{1,255}", "acme"),
        },
        {
            "issuer": "https://{server}/realms/{realm}",
            "discovery": True,
            "algorithms": ("RS256",),
            "types": ("jwt", "at+jwt"),
            "scope_claims": ("scope",),
            "roles": ("realm_access", "roles"),
            "client_claims": ("azp", "client_id"),
            "known_audiences": ("account",),
            "expected_claims": {"typ": "Bearer"},
        },
        "Access tokens name no audience of yours until a client scope with an audience mapper adds it. "
        'Roles of a client: `roles = ["resource_access", "my-client", "roles"]`. Tenants: a user attribute with a '
        'mapper, and `tenant = "tenant"`.',
    ),
    # https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference: `typ` is JWT, `ver` says the
    # version, on which issuer, client claim and audience depend; `scp` is a text, `roles` a list.
    "entra": Preset(
        "Microsoft Entra ID, one tenant, tokens of version 2.0",
        {"tenant_id": _TENANT_ID},
        {
            **_ENTRA_V2,
            "issuer": "https://login.microsoftonline.com/{tenant_id}/v2.0",
            "jwks_uri": "https://login.microsoftonline.com/{tenant_id}/discovery/v2.0/keys",
        },
        _ENTRA_NOTE,
    ),
    "entra-v1": Preset(
        "Microsoft Entra ID, one tenant, tokens of version 1.0",
        {"tenant_id": _TENANT_ID},
        {
            **_ENTRA_V1,
            "issuer": "https://sts.windows.net/{tenant_id}/",
            "jwks_uri": "https://login.microsoftonline.com/{tenant_id}/discovery/keys",
        },
        _ENTRA_NOTE,
    ),
    "entra-multitenant": Preset(
        "Microsoft Entra ID, several tenants, tokens of version 2.0",
        {},
        {
            **_ENTRA_V2,
            "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
            "jwks_uri": "https://login.microsoftonline.com/common/discovery/v2.0/keys",
        },
        _ENTRA_NOTE,
    ),
    "entra-multitenant-v1": Preset(
        "Microsoft Entra ID, several tenants, tokens of version 1.0",
        {},
        {
            **_ENTRA_V1,
            "issuer": "https://sts.windows.net/{tenantid}/",
            "jwks_uri": "https://login.microsoftonline.com/common/discovery/keys",
        },
        _ENTRA_NOTE,
    ),
    # https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html:
    # `token_use` is `access`, there is no `typ`, and the app client is in `client_id`, with no `aud` unless the
    # request named a resource.
    "cognito": Preset(
        "Amazon Cognito",
        {
            "region": Parameter(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]", "eu-central-1"),
            "pool": Parameter(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]_[A-Za-z0-9]{1,55}", "eu-central-1_Ab12Cd34E"),
        },
        {
            "issuer": "https://cognito-idp.{region}.amazonaws.com/{pool}",
            "jwks_uri": "https://cognito-idp.{region}.amazonaws.com/{pool}/.well-known/jwks.json",
            "algorithms": ("RS256",),
            "types": ("", "jwt"),
            "scope_claims": ("scope",),
            "roles": ("cognito:groups",),
            "client_claims": ("client_id",),
            "audience_claim": "client_id",
            "expected_claims": {"token_use": "access"},
        },
        "Access tokens name the app client instead of an audience, so `audiences` are the ids of the app clients that "
        "may call, and those clients' tokens are good for every server that takes them: give each server its own. "
        'Where clients ask for a resource, `audience_claim = "aud"` takes that instead.',
    ),
    # https://developers.google.com/identity/openid-connect/openid-connect and
    # https://cloud.google.com/docs/authentication/token-types: access tokens are opaque and only Google's own APIs can
    # tell what they are; service accounts prove themselves with identity tokens, whose audience the caller chooses.
    "google": Preset(
        "Google, identity tokens of service accounts",
        {},
        {
            "issuer": "https://accounts.google.com",
            "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
            "algorithms": ("RS256",),
            "types": ("jwt",),
            "scope_claims": (),
            "client_claims": ("azp",),
            "max_lifetime": 3_600,
        },
        "Google's access tokens are opaque and have no introspection that others may use. A service account asks for "
        "an identity token with your server's URL as its audience; such a token holds neither scopes nor roles, "
        "so policies decide by the subject.",
    ),
}
