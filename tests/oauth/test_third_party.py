"""Tokens of issuers that others wrote (issue 4): npm `oidc-provider` and `oauth2-mock-server`."""

from __future__ import annotations

import re
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from authz.tokens.errors import Refusal, TokenError
from authz.tokens.http import SafeHttp
from authz.tokens.issuer import Introspection, Issuer
from authz.tokens.service import TokenService
from tests.npm import installed
from tests.oauth.support import CALLBACK, CHALLENGE, VERIFIER
from tests.oauth.third_party import ISSUERS, Running, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.slow

OPAQUE = "https://mcp.example/opaque"
JWT = "https://mcp.example/jwt"
ASKING = ("documents server", "planted:secret+of/the=server%41")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run `oidc-provider`."""
    with running("oidc_provider.mjs", installed(ISSUERS), tmp_path_factory.mktemp("oidc")) as started:
        yield started


@pytest.fixture
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run `oauth2-mock-server`."""
    with running("mock_server.mjs", installed(ISSUERS), tmp_path_factory.mktemp("mock")) as started:
        yield started


@asynccontextmanager
async def trusting(issuer: str, audience: str, **given: Any) -> AsyncIterator[TokenService]:  # noqa: ANN401  # of `Issuer`
    """Validate the tokens of an issuer that discovery finds."""
    configured = Issuer(
        issuer=issuer,
        audiences=frozenset({audience}),
        algorithms=frozenset({"RS256"}),
        discovery=True,
        roles_path=("roles",),
        tenant_path=("tenant",),
        insecure_loopback=True,
        **given,
    )
    service = TokenService([configured], SafeHttp(loopback_http=True))
    try:
        yield service
    finally:
        await service.close()


async def refusal(service: TokenService, token: str, *, fresh: bool = False) -> Refusal:
    """Return why a token is refused."""
    with pytest.raises(TokenError) as raised:
        await service.validate(token, fresh=fresh)
    assert token not in repr(raised.value) + raised.value.detail
    return raised.value.reason


# oidc-provider


def metadata(issuer: str) -> dict[str, Any]:
    """Return an issuer's own description."""
    found: dict[str, Any] = httpx2.get(f"{issuer}/.well-known/openid-configuration", trust_env=False).json()
    return found


def signed_in(issuer: str, user: str, resource: str) -> dict[str, Any]:
    """Go through the code flow with PKCE as a user and return the token response."""
    about = metadata(issuer)
    with httpx2.Client(trust_env=False, follow_redirects=False) as http:
        asked = {
            "response_type": "code",
            "client_id": "desktop",
            "redirect_uri": CALLBACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": resource,
            "scope": "openid offline_access documents:read",
            "prompt": "consent",
            "state": "s",
        }
        answer = http.get(about["authorization_endpoint"], params=asked)
        for _ in range(12):
            where = answer.headers.get("location")
            if where is not None and where.startswith(CALLBACK):
                break
            if where is not None:
                answer = http.get(httpx2.URL(issuer).join(where))
                continue
            action = re.search(r'action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="([^"]+)"', answer.text)
            assert action, answer.text
            assert prompt, answer.text
            form = {"prompt": prompt[1], "login": user, "password": "x"}
            answer = http.post(httpx2.URL(issuer).join(action[1]), data=form)
        back = parse_qs(urlsplit(answer.headers["location"]).query)
        assert back["iss"] == [issuer], back
        return asked_for_tokens(about, grant_type="authorization_code", code=back["code"][0], resource=resource)


def asked_for_tokens(about: dict[str, Any], **form: str) -> dict[str, Any]:
    """Ask the token endpoint as the desktop client."""
    sent = {"client_id": "desktop", "redirect_uri": CALLBACK, "code_verifier": VERIFIER} | form
    found: dict[str, Any] = httpx2.post(about["token_endpoint"], data=sent, trust_env=False).json()
    return found


async def test_opaque_tokens_of_oidc_provider_are_asked_about(provider: Running) -> None:
    """RFC 7662 with an issuer that we did not write; the credentials need form-encoding (S43)."""
    token = signed_in(provider.issuer, "alice", OPAQUE)["access_token"]
    assert "." not in token
    async with trusting(provider.issuer, OPAQUE, introspection=Introspection("", *ASKING)) as service:
        caller = await service.validate(token)
        assert (caller.subject, caller.client, caller.scopes) == ("alice", "desktop", ("documents:read",))
        assert caller.audience == (OPAQUE,)
        assert caller.expires_at > time.time()
        assert await refusal(service, "a" * len(token)) is Refusal.INACTIVE


async def test_an_opaque_token_that_oidc_provider_revoked_is_refused(provider: Running) -> None:
    """RFC 7009, then a fresh look (S49, S101)."""
    token = signed_in(provider.issuer, "alice", OPAQUE)["access_token"]
    async with trusting(provider.issuer, OPAQUE, introspection=Introspection("", *ASKING)) as service:
        assert (await service.validate(token)).subject == "alice"
        form = {"token": token, "client_id": "desktop"}
        assert httpx2.post(metadata(provider.issuer)["revocation_endpoint"], data=form, trust_env=False).is_success
        assert await refusal(service, token, fresh=True) is Refusal.INACTIVE


async def test_a_refresh_token_that_is_used_twice_ends_what_came_of_it(provider: Running) -> None:
    """Rotation: the tokens of the family are inactive afterwards (RFC 9700, section 4.14.2)."""
    first = signed_in(provider.issuer, "alice", OPAQUE)
    about = metadata(provider.issuer)
    again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"], "resource": OPAQUE}
    second = asked_for_tokens(about, **again)
    async with trusting(provider.issuer, OPAQUE, introspection=Introspection("", *ASKING)) as service:
        assert (await service.validate(second["access_token"])).subject == "alice"
        assert asked_for_tokens(about, **again)["error"] == "invalid_grant"
        assert await refusal(service, second["access_token"], fresh=True) is Refusal.INACTIVE


async def test_opaque_tokens_for_another_server_are_refused(provider: Running) -> None:
    """R6: the issuer says whom it is for, and that is not us."""
    token = signed_in(provider.issuer, "alice", OPAQUE)["access_token"]
    async with trusting(provider.issuer, JWT, introspection=Introspection("", *ASKING)) as service:
        assert await refusal(service, token) is Refusal.WRONG_AUDIENCE


async def test_wrong_credentials_at_oidc_provider_are_no_answer(provider: Running) -> None:
    """S43: nothing is known of the token, and nothing is allowed."""
    token = signed_in(provider.issuer, "alice", OPAQUE)["access_token"]
    async with trusting(provider.issuer, OPAQUE, introspection=Introspection("", ASKING[0], "wrong" * 5)) as service:
        assert await refusal(service, token) is Refusal.UNAVAILABLE


async def test_jwts_of_oidc_provider_are_validated(provider: Running) -> None:
    """RFC 9068 as oidc-provider writes it: `typ` at+jwt, discovery, its key set."""
    token = signed_in(provider.issuer, "bob", JWT)["access_token"]
    async with trusting(provider.issuer, JWT) as service:
        caller = await service.validate(token)
    assert (caller.subject, caller.client, caller.scopes) == ("bob", "desktop", ("documents:read",))
    assert (caller.roles, caller.tenant, caller.audience) == (("editor",), "acme", (JWT,))


async def test_id_tokens_of_oidc_provider_are_no_access_tokens(provider: Running) -> None:
    """S10, S92: even where its `aud` would be ours."""
    token = signed_in(provider.issuer, "bob", JWT)["id_token"]
    async with trusting(provider.issuer, "desktop") as service:
        assert await refusal(service, token) is Refusal.WRONG_TYPE


# oauth2-mock-server

GOOD: dict[str, Any] = {
    "header": {"typ": "at+jwt"},
    "payload": {
        "sub": "alice",
        "aud": JWT,
        "client_id": "desktop",
        "scope": "documents:read",
        "roles": ["editor"],
        "tenant": "acme",
    },
}


def given(mock: Running, **changed: Any) -> str:  # noqa: ANN401  # JSON
    """Return a token of the mock server, of a shape."""
    mock.tell({"shape": GOOD | changed})
    answer = httpx2.post(f"{mock.issuer}/token", data={"grant_type": "client_credentials"}, trust_env=False)
    return str(answer.json()["access_token"])


async def test_jwts_of_oauth2_mock_server_are_validated(mock: Running) -> None:
    """Discovery at `localhost`, where the document is OpenID's only; the keys have neither `use` nor `key_ops`."""
    async with trusting(mock.issuer, JWT) as service:
        caller = await service.validate(given(mock))
    assert (caller.subject, caller.client, caller.tenant) == ("alice", "desktop", "acme")
    assert (caller.scopes, caller.roles) == (("documents:read",), ("editor",))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"header": {"typ": "JWT"}}, Refusal.WRONG_TYPE),
        ({"payload": GOOD["payload"] | {"aud": "https://mcp.example/other"}}, Refusal.WRONG_AUDIENCE),
        ({"payload": GOOD["payload"] | {"iss": "http://localhost:1"}}, Refusal.UNKNOWN_ISSUER),
        ({"payload": GOOD["payload"] | {"exp": 1}}, Refusal.EXPIRED),
        ({"payload": GOOD["payload"] | {"exp": 4_000_000_000}}, Refusal.LIFETIME_TOO_LONG),
        ({"payload": GOOD["payload"] | {"iat": 3_999_999_999, "exp": 4_000_000_000}}, Refusal.ISSUED_IN_FUTURE),
        ({"payload": GOOD["payload"] | {"nbf": 4_000_000_000}}, Refusal.NOT_YET_VALID),
        ({"without": ["sub"]}, Refusal.MISSING_CLAIM),
        ({"without": ["exp"]}, Refusal.MISSING_CLAIM),
        ({"without": ["aud"]}, Refusal.MISSING_CLAIM),
        ({"payload": GOOD["payload"] | {"sub": 7}}, Refusal.INVALID_CLAIM),
        ({"payload": GOOD["payload"] | {"cnf": {"jkt": "x" * 43}}}, Refusal.PROOF_REQUIRED),
        ({"header": {"typ": "at+jwt", "kid": "unknown"}}, Refusal.UNKNOWN_KEY),
    ],
)
async def test_what_is_wrong_with_a_signed_token_is_found(
    mock: Running, changed: dict[str, Any], reason: Refusal
) -> None:
    """Well signed by the right issuer, and still refused."""
    async with trusting(mock.issuer, JWT) as service:
        assert await refusal(service, given(mock, **changed)) is reason


async def test_tokens_of_a_new_key_are_taken_by_who_has_not_looked_yet(mock: Running) -> None:
    """S41: two keys at once, chosen by `kid`."""
    first = given(mock)
    mock.tell({"generate": {"alg": "RS256", "kid": "second"}})
    tokens = [first, given(mock), given(mock)]
    async with trusting(mock.issuer, JWT) as service:
        assert {(await service.validate(token)).key_id for token in tokens} == {"first", "second"}


async def test_keys_of_another_family_sign_nothing(mock: Running) -> None:
    """S33: an EC key in the set of an issuer that is configured for RS256."""
    mock.tell({"generate": {"alg": "ES256", "kid": "elliptic"}})
    tokens = [given(mock), given(mock)]
    async with trusting(mock.issuer, JWT) as service:
        reasons = []
        for token in tokens:
            try:
                await service.validate(token)
            except TokenError as error:
                reasons.append(error.reason)
        assert reasons == [Refusal.UNSUPPORTED_ALGORITHM]
