"""The development issuer from outside: a real client over HTTP, every grant and every refusal (issue 4, item 8)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from tests.oauth.support import (
    CALLBACK,
    CHALLENGE,
    CONFIG,
    OTHER_RESOURCE,
    RESOURCE,
    SECRET,
    VERIFIER,
    Browser,
    issuing,
    origin,
    refused,
    sent_back,
)

if TYPE_CHECKING:
    from authz.oauth.dev_issuer.http import DevIssuer
    from tests.oauth.support import Clock


def claims(browser: Browser, token: str) -> dict[str, Any]:
    """Return what an access token says, verified with the keys that are published."""
    keys = {key["kid"]: jwt.PyJWK(key) for key in browser.http.get("/jwks").json()["keys"]}
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "at+jwt"
    found: dict[str, Any] = jwt.decode(
        token, keys[header["kid"]], [header["alg"]], audience=RESOURCE, issuer=browser.issuer
    )
    return found


# Discovery


@pytest.mark.parametrize("name", ["oauth-authorization-server", "openid-configuration"])
def test_discovery_names_the_issuer_itself_and_endpoints_of_its_own_origin(browser: Browser, name: str) -> None:
    """RFC 8414, section 3.3: the issuer is identical to the one that was asked; S12."""
    found = browser.http.get(f"/.well-known/{name}").json()
    assert found["issuer"] == browser.issuer
    urls = [value for key, value in found.items() if key.endswith("_endpoint") or key == "jwks_uri"]
    assert len(urls) == 5
    assert {origin(url) for url in urls} == {browser.issuer}


def test_discovery_offers_nothing_but_codes_with_s256(browser: Browser) -> None:
    """OAuth 2.1: no implicit grant, no `plain`; RFC 9207: `iss` comes with the answer (S19)."""
    found = browser.http.get("/.well-known/oauth-authorization-server").json()
    assert found["response_types_supported"] == ["code"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert set(found["grant_types_supported"]) == {"authorization_code", "refresh_token", "client_credentials"}
    assert found["authorization_response_iss_parameter_supported"] is True


@pytest.mark.parametrize("path", ["/", "/.well-known/openid-configuration", "/jwks", "/authorize", "/nothing"])
def test_every_answer_says_that_it_is_not_for_production(browser: Browser, path: str) -> None:
    """Issue 4, item 8; S20: plainly marked."""
    answer = browser.http.get(path)
    assert "Not for production" in answer.headers["X-Not-For-Production"]
    if path in {"/", "/.well-known/openid-configuration", "/authorize"}:
        assert "Not for production" in answer.text


# Codes


def test_a_code_becomes_a_token_for_the_resource_that_was_named(browser: Browser, clock: Clock) -> None:
    """RFC 7636, appendix B, as verifier and challenge; RFC 8707: `aud` is the resource; RFC 9068: the claims."""
    reply = browser.sign_in("alice")
    assert reply.uri == CALLBACK
    assert reply.parameters["state"] == "st ate&=é"
    assert reply.parameters["iss"] == browser.issuer
    answer = browser.exchange(reply.parameters["code"])
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 300)
    said = claims(browser, tokens["access_token"])
    assert len(said.pop("jti")) == 32
    assert said == {
        "iss": browser.issuer,
        "sub": "alice",
        "aud": RESOURCE,
        "client_id": "desktop",
        "scope": "documents:read documents:write",
        "roles": ["editor"],
        "tenant": "acme",
        "iat": int(clock.now),
        "exp": int(clock.now) + 300,
    }


def test_a_user_grants_no_more_than_they_have(browser: Browser) -> None:
    """Least privilege; the response says what was granted (RFC 6749, section 3.3)."""
    tokens = browser.tokens("bob")
    assert tokens["scope"] == "documents:read"
    assert claims(browser, tokens["access_token"])["scope"] == "documents:read"


def test_a_user_who_may_grant_nothing_sends_the_client_away(browser: Browser) -> None:
    """An empty grant is a refusal, not a token."""
    assert browser.sign_in("mallory").parameters["error"] == "access_denied"


def test_a_user_may_refuse(browser: Browser) -> None:
    """RFC 6749, section 4.1.2.1, with the `iss` of RFC 9207, section 2."""
    reply = sent_back(browser.click(browser.ask(), refuse="yes"))
    assert (reply.parameters["error"], reply.parameters["iss"]) == ("access_denied", browser.issuer)
    assert "code" not in reply.parameters


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_challenge_method": "plain", "code_challenge": VERIFIER}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),  # RFC 7636: left out means `plain`
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": CHALLENGE[:-1]}, "invalid_request"),
        ({"code_challenge": CHALLENGE + "A"}, "invalid_request"),
        ({"code_challenge": CHALLENGE[:-1] + "="}, "invalid_request"),
        ({"resource": None}, "invalid_target"),
        ({"resource": ""}, "invalid_target"),
        ({"resource": [RESOURCE, OTHER_RESOURCE]}, "invalid_target"),
        ({"resource": RESOURCE + "/"}, "invalid_target"),
        ({"resource": RESOURCE.upper()}, "invalid_target"),
        ({"scope": "documents:read admin"}, "invalid_scope"),
        ({"scope": "documents:reader"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
    ],
)
def test_a_request_that_is_not_in_order_goes_back_without_a_code(
    browser: Browser, changed: dict[str, Any], error: str
) -> None:
    """PKCE with S256 for all, one known resource (RFC 8707), scopes of the client (issue 4, item 8)."""
    reply = sent_back(browser.ask(**changed))
    assert reply.uri == CALLBACK
    assert (reply.parameters["error"], reply.parameters["iss"]) == (error, browser.issuer)
    assert reply.parameters["state"] == "st ate&=é"
    assert "code" not in reply.parameters


@pytest.mark.parametrize(
    "uri",
    [
        None,
        "",
        "http://127.0.0.1:51004/callback/",
        "http://127.0.0.1:51004/callback?x=1",
        "http://127.0.0.1:51004/Callback",
        "http://127.0.0.1:51004/callback#x",
        "http://127.0.0.1:51004/../callback",
        "http://127.0.0.1:51004@evil.example/callback",
        "http://evil.example@127.0.0.1:51004/callback",
        "http://127.0.0.1:51004.evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1:51004\\@evil.example/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:999999/callback",
        "http://127.0.0.2/callback",
        "http://localhost/callback",
        "http://[::1]/callback",
        "https://127.0.0.1:51004/callback",
        "HTTP://127.0.0.1:51004/callback",
        "//127.0.0.1:51004/callback",
        "javascript:alert(1)//http://127.0.0.1/callback",
        "http://127.0.0.1:51004/callback\r\nSet-Cookie: a=b",
        "http://127.0.0.1:51004/callbac\u212a",
        "https://app.example/cb",
    ],
)
def test_nobody_is_sent_where_the_client_is_not_registered(browser: Browser, uri: str | None) -> None:
    """S56, RFC 9700, section 2.1: exact match, whatever else is wrong with the request; no open redirect."""
    others: list[dict[str, Any]] = [{}, {"resource": None}, {"response_type": "token"}, {"scope": "admin"}]
    for changed in others:
        answer = browser.ask(redirect_uri=uri, **changed)
        assert answer.status_code == 400
        assert "Location" not in answer.headers
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("uri", ["http://127.0.0.1/callback", "http://127.0.0.1:1/callback", CALLBACK])
def test_a_loopback_redirect_may_have_any_port(browser: Browser, uri: str) -> None:
    """RFC 8252, section 7.3."""
    assert browser.sign_in(redirect_uri=uri).uri == uri


def test_a_redirect_elsewhere_has_one_port_only(browser: Browser) -> None:
    """The exception is loopback's alone."""
    web = {"client_id": "web"}
    assert browser.sign_in(**web, redirect_uri="https://app.example/cb").uri == "https://app.example/cb"
    assert browser.ask(**web, redirect_uri="https://app.example:444/cb").status_code == 400
    assert browser.ask(**web, redirect_uri="http://127.0.0.1/cb").status_code == 400


def test_an_unknown_client_is_not_sent_anywhere(browser: Browser) -> None:
    """RFC 6749, section 4.1.2.1."""
    answer = browser.ask(client_id="desktop2")
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_what_a_page_repeats_is_escaped(browser: Browser) -> None:
    """A redirect URI is shown where it is refused: it must not become part of the page."""
    answer = browser.ask(redirect_uri="http://evil.example/<script>alert(1)</script>")
    assert answer.status_code == 400
    assert "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_the_page_answers_one_click_of_the_browser_that_opened_it(browser: Browser, clock: Clock) -> None:
    """CSRF (S95): a form of another page, another browser, a second click and an old page give no code."""
    page = browser.ask()
    elsewhere = Browser(browser.issuer)
    try:
        assert elsewhere.click(page, user="alice").status_code == 400
        elsewhere.ask()  # with a cookie, but not the right one
        assert elsewhere.click(page, user="alice").status_code == 400
    finally:
        elsewhere.http.close()
    assert browser.click(page, user="nobody").status_code == 400
    assert "code" in sent_back(browser.click(page, user="alice")).parameters
    assert browser.click(page, user="alice").status_code == 400
    old = browser.ask()
    clock.now += 601
    assert browser.click(old, user="alice").status_code == 400


@pytest.mark.parametrize("path", ["/authorize", "/token", "/revoke", "/introspect", "/dev/rotate"])
@pytest.mark.parametrize("origin_", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_pages_of_other_origins_can_send_nothing(browser: Browser, path: str, origin_: str) -> None:
    """CSRF (S95): a page elsewhere cannot click, and cannot rotate the keys."""
    before = browser.http.get("/jwks").json()
    assert browser.http.post(path, headers={"Origin": origin_}).status_code == 403
    assert browser.http.get("/jwks").json() == before


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost", "127.0.0.1:1", ""])
def test_it_answers_to_its_own_name_only(browser: Browser, host: str) -> None:
    """DNS rebinding: a page whose name leads to loopback reads nothing here."""
    assert browser.http.get("/jwks", headers={"Host": host}).status_code in {400, 403}


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_verifier": VERIFIER[:-1] + "l"}, "invalid_grant"),
        ({"code_verifier": CHALLENGE}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": VERIFIER[:42]}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:51005/callback"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"client_id": "opaque"}, "invalid_grant"),
        ({"resource": None}, "invalid_target"),
        ({"resource": OTHER_RESOURCE}, "invalid_target"),
        ({"resource": [RESOURCE, OTHER_RESOURCE]}, "invalid_target"),
        ({"code": "x"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"grant_type": "password", "username": "alice", "password": "x"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
    ],
)
def test_a_code_is_good_only_for_whom_and_what_it_was_given(
    browser: Browser, changed: dict[str, Any], error: str
) -> None:
    """RFC 6749, section 4.1.3; RFC 7636, section 4.6; RFC 8707, section 2.2 (issue 4, item 8; S96)."""
    code = browser.sign_in().parameters["code"]
    refused(browser.exchange(code, **changed), 400, error)


def test_a_code_expires(browser: Browser, clock: Clock) -> None:
    """RFC 6749, section 4.1.2: soon."""
    code = browser.sign_in().parameters["code"]
    clock.now += 61
    refused(browser.exchange(code), 400, "invalid_grant")


def test_a_code_that_is_used_twice_revokes_what_came_of_it(browser: Browser) -> None:
    """RFC 6749, section 4.1.2: two parties have it."""
    code = browser.sign_in().parameters["code"]
    tokens = browser.exchange(code).json()
    assert browser.active(tokens["access_token"])
    refused(browser.exchange(code), 400, "invalid_grant")
    assert not browser.active(tokens["access_token"])
    refused(browser.refresh(tokens["refresh_token"]), 400, "invalid_grant")


def test_one_code_gives_one_token_however_many_ask_at_once(
    browser: Browser, issuer: DevIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check and the use of a code are one step: whoever signs waits in vain for a second one to come so far."""
    code = browser.sign_in().parameters["code"]
    both, sign = threading.Barrier(2), issuer.keys.sign

    def sign_together(claims: dict[str, object]) -> str:
        with suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.5)
        return sign(claims)

    monkeypatch.setattr(issuer.keys, "sign", sign_together)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: browser.exchange(code).status_code, range(16)))
    assert sorted(answers) == [200] + [400] * 15


@pytest.mark.parametrize(
    "auth", [("web", "wrong-secret-wrong-secret"), ("web", ""), ("desktop", SECRET), ("nobody", SECRET)]
)
def test_a_confidential_client_must_prove_itself(browser: Browser, auth: tuple[str, str]) -> None:
    """RFC 6749, section 3.2.1: 401, and the secret is not said again."""
    reply = browser.sign_in(client_id="web", redirect_uri="https://app.example/cb")
    form = {"client_id": None, "redirect_uri": "https://app.example/cb", "auth": auth}
    answer = browser.exchange(reply.parameters["code"], **form)
    refused(answer, 401, "invalid_client")
    assert SECRET not in answer.text
    refused(
        browser.exchange(reply.parameters["code"], **(form | {"auth": None, "client_id": "web"})), 401, "invalid_client"
    )


def test_a_confidential_client_needs_its_verifier_too(browser: Browser) -> None:
    """OAuth 2.1: PKCE is for all clients."""
    reply = browser.sign_in(client_id="web", redirect_uri="https://app.example/cb")
    form = {"client_id": None, "redirect_uri": "https://app.example/cb", "auth": ("web", SECRET)}
    refused(browser.exchange(reply.parameters["code"], **form, code_verifier=None), 400, "invalid_request")
    assert browser.exchange(reply.parameters["code"], **form).status_code == 200


# Refresh


def test_a_refresh_token_is_good_once_and_brings_the_next(browser: Browser) -> None:
    """OAuth 2.1, section 4.3: rotation."""
    first = browser.tokens()
    second = browser.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert claims(browser, second["access_token"])["sub"] == "alice"
    assert browser.refresh(second["refresh_token"]).status_code == 200


def test_a_refresh_token_that_is_used_twice_revokes_the_family(browser: Browser) -> None:
    """RFC 9700, section 4.14.2: either of the two may be the thief."""
    first = browser.tokens()
    second = browser.refresh(first["refresh_token"]).json()
    refused(browser.refresh(first["refresh_token"]), 400, "invalid_grant")
    refused(browser.refresh(second["refresh_token"]), 400, "invalid_grant")
    assert not browser.active(second["access_token"])
    assert browser.active(browser.tokens()["access_token"]), "another sign-in goes on"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"client_id": "opaque"}, "invalid_grant"),
        ({"scope": "documents:read documents:write"}, "invalid_scope"),  # bob granted one
        ({"resource": OTHER_RESOURCE}, "invalid_target"),
        ({"resource": None}, "invalid_target"),
        ({"refresh_token": None}, "invalid_request"),
        ({"refresh_token": "x"}, "invalid_grant"),
    ],
)
def test_a_refresh_gives_no_more_than_was_granted(browser: Browser, changed: dict[str, Any], error: str) -> None:
    """RFC 6749, section 6; a refusal does not use the token up."""
    token = browser.tokens("bob")["refresh_token"]
    refused(browser.refresh(token, **changed), 400, error)
    assert browser.refresh(token).status_code == 200


def test_a_refresh_may_ask_for_less(browser: Browser) -> None:
    """RFC 6749, section 6: less for this token, while the grant stays as it was."""
    less = browser.refresh(browser.tokens()["refresh_token"], scope="documents:read").json()
    assert claims(browser, less["access_token"])["scope"] == "documents:read"
    assert browser.refresh(less["refresh_token"]).json()["scope"] == "documents:read documents:write"


def test_a_refresh_token_is_no_access_token_and_the_other_way_round(browser: Browser) -> None:
    """Of a refresh token a resource server must not hear that it counts."""
    tokens = browser.tokens()
    assert browser.introspect(tokens["refresh_token"]).json() == {"active": False}
    refused(browser.refresh(tokens["access_token"]), 400, "invalid_grant")


def test_no_refresh_leads_beyond_the_grant(browser: Browser, clock: Clock) -> None:
    """The lifetime counts from the sign-in, not from the last refresh."""
    token = browser.tokens()["refresh_token"]
    clock.now += 8 * 3600 - 10
    second = browser.refresh(token).json()
    clock.now += 11
    refused(browser.refresh(second["refresh_token"]), 400, "invalid_grant")


# Client credentials


def test_a_client_gets_a_token_for_itself(browser: Browser) -> None:
    """RFC 6749, section 4.4; RFC 9068, section 2.2: `sub` is the client."""
    answer = browser.token(auth=("robot", SECRET), grant_type="client_credentials")
    assert "refresh_token" not in answer.json()
    said = claims(browser, answer.json()["access_token"])
    assert (said["sub"], said["client_id"], said["tenant"], said["roles"]) == ("robot", "robot", "acme", ["reporter"])


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"auth": ("robot", "x")}, 401, "invalid_client"),
        ({"auth": None, "client_id": "robot"}, 401, "invalid_client"),
        ({"auth": None, "client_id": "desktop"}, 401, "invalid_client"),
        ({"auth": ("web", SECRET)}, 400, "unauthorized_client"),
        ({"scope": "documents:write"}, 400, "invalid_scope"),
        ({"resource": None}, 400, "invalid_target"),
        ({"resource": "https://elsewhere.example"}, 400, "invalid_target"),
    ],
)
def test_a_client_gets_nothing_that_is_not_its_own(
    browser: Browser, changed: dict[str, Any], status: int, error: str
) -> None:
    """RFC 6749, section 4.4; RFC 8707, section 2.2."""
    form = {"auth": ("robot", SECRET), "grant_type": "client_credentials"} | changed
    refused(browser.token(**form), status, error)


@pytest.mark.parametrize("name", ["scope", "grant_type", "audience"])
def test_a_parameter_that_is_there_twice_is_refused(browser: Browser, name: str) -> None:
    """RFC 6749, section 3.2: two readers could take one each; even where both say the same."""
    form: dict[str, Any] = {"grant_type": "client_credentials", "scope": "documents:read", "audience": "x"}
    assert browser.token(auth=("robot", SECRET), **form).status_code == 200
    form[name] = [form[name], form[name]]
    refused(browser.token(auth=("robot", SECRET), **form), 400, "invalid_request")


# Rotation, introspection, revocation


def test_a_new_key_signs_while_the_one_before_stays_published(browser: Browser) -> None:
    """S41: tokens of the key before still verify; after a second rotation they do not."""
    old = browser.tokens()["access_token"]
    kid = browser.http.post("/dev/rotate").json()["kid"]
    new = browser.tokens()["access_token"]
    assert jwt.get_unverified_header(new)["kid"] == kid != jwt.get_unverified_header(old)["kid"]
    assert claims(browser, old)["sub"] == claims(browser, new)["sub"] == "alice"
    browser.http.post("/dev/rotate")
    published = {key["kid"] for key in browser.http.get("/jwks").json()["keys"]}
    assert kid in published
    assert jwt.get_unverified_header(old)["kid"] not in published


@pytest.mark.parametrize(
    ("algorithm", "members"),
    [("RS256", {"kty", "n", "e", "kid", "use", "alg"}), ("ES256", {"kty", "crv", "x", "y", "kid", "use", "alg"})],
)
def test_keys_are_published_without_anything_private(clock: Clock, algorithm: str, members: set[str]) -> None:
    """Issue 4, item 8: RS256 or ES256; threats 3d: a key set with private members is refused by those who read it."""
    with issuing(clock, CONFIG | {"algorithm": algorithm}) as (_, browser):
        assert claims(browser, browser.tokens()["access_token"])["sub"] == "alice"
        (key,) = browser.http.get("/jwks").json()["keys"]
        assert (set(key), key["alg"], key["use"]) == (members, algorithm, "sig")


@pytest.mark.parametrize("client", ["desktop", "opaque"])
def test_introspection_says_what_a_token_is(browser: Browser, client: str, clock: Clock) -> None:
    """RFC 7662, section 2.2, for JWTs and for opaque tokens; nothing of one that has expired."""
    token = browser.tokens(client_id=client)["access_token"]
    assert token.count(".") == (2 if client == "desktop" else 0)
    said = browser.introspect(token).json()
    assert said["active"] is True
    assert (said["sub"], said["aud"], said["client_id"], said["iss"]) == ("alice", RESOURCE, client, browser.issuer)
    clock.now += 301
    assert browser.introspect(token).json() == {"active": False}


@pytest.mark.parametrize("auth", [None, ("documents-server", "x"), ("nobody", "x")])
def test_introspection_answers_no_stranger(browser: Browser, auth: tuple[str, str] | None) -> None:
    """RFC 7662, section 2.1: else tokens can be guessed at."""
    refused(browser.introspect(browser.tokens()["access_token"], auth), 401, "invalid_client")


def test_introspection_tells_clients_that_are_no_resource_servers_nothing(browser: Browser) -> None:
    """RFC 7662, section 2.2: not allowed is `active: false`."""
    assert browser.introspect(browser.tokens()["access_token"], ("robot", SECRET)).json() == {"active": False}


def test_a_revoked_token_no_longer_counts(browser: Browser) -> None:
    """RFC 7009, section 2.1: an access token alone, a refresh token with its grant; an unknown one is no error."""
    tokens = browser.tokens()
    assert browser.revoke(tokens["access_token"]).status_code == 200
    assert not browser.active(tokens["access_token"])
    second = browser.refresh(tokens["refresh_token"]).json()
    assert browser.revoke(second["refresh_token"]).status_code == 200
    assert not browser.active(second["access_token"])
    refused(browser.refresh(second["refresh_token"]), 400, "invalid_grant")
    assert browser.revoke("unknown").status_code == 200


def test_a_client_revokes_its_own_tokens_only(browser: Browser) -> None:
    """RFC 7009, section 2.1."""
    token = browser.tokens()["access_token"]
    assert browser.revoke(token, "opaque").status_code == 400
    assert browser.active(token)


# What comes from outside is bounded


def test_it_remembers_a_bounded_number_of_things(clock: Clock) -> None:
    """Issue 4, item 8: in memory, and bounded; what is forgotten is refused."""
    with issuing(clock, most=20) as (issuer, browser):
        first = browser.tokens()
        for _ in range(30):
            browser.ask()
            browser.token(auth=("robot", SECRET), grant_type="client_credentials")
        assert len(issuer._memory.tokens) == len(issuer._memory.asked) == 20
        assert not browser.active(first["access_token"])
        refused(browser.refresh(first["refresh_token"]), 400, "invalid_grant")


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"x" * 20_000, {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"a=%ff%fe", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"&".join(b"a%d=1" % number for number in range(100)), {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"grant_type=client_credentials&grant_type=x", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b'{"grant_type": "client_credentials"}', {"Content-Type": "application/json"}),
        (b"grant_type=a%00b", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"grant_type=%22%5c%c3%a9", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"grant_type=client_credentials", {"Authorization": "Basic \u00ff\u00fe"}),
        (b"grant_type=client_credentials", {"Authorization": "Basic /////w=="}),
        (b"grant_type=client_credentials", {"Authorization": "Basic ="}),
    ],
)
@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke", "/authorize"])
def test_what_is_no_request_is_refused_and_the_next_one_is_answered(
    browser: Browser, path: str, content: bytes, headers: dict[str, str]
) -> None:
    """No input ends in an exception; nothing of it stays behind."""
    sent = {"Content-Type": "application/x-www-form-urlencoded"} | {
        name: value.encode("latin-1") for name, value in headers.items()
    }
    answer = browser.http.post(path, content=content, headers=sent)  # type: ignore[arg-type]  # bytes are taken
    assert answer.status_code in {400, 401, 413}
    assert (answer.headers.get("Connection") == "close") == (answer.status_code == 413)
    assert browser.http.get("/jwks").status_code == 200


def test_reports_hold_no_secret(clock: Clock) -> None:
    """R23, S64: no token, code, verifier or secret in what is printed."""
    lines: list[str] = []
    with issuing(clock, report=lines.append) as (_, browser):
        code = browser.sign_in().parameters["code"]
        tokens = browser.exchange(code).json()
        browser.exchange(code)
        browser.refresh(tokens["refresh_token"])
        browser.introspect(tokens["access_token"])
        browser.http.get(f"/{tokens['access_token']}?token={tokens['access_token']}")
        browser.token(auth=("robot", SECRET), grant_type=tokens["refresh_token"])
    printed = "\n".join(lines)
    assert "POST /token 200" in printed
    assert "invalid_grant" in printed
    for secret in (code, VERIFIER, SECRET, tokens["access_token"], tokens["refresh_token"]):
        assert secret not in printed
        assert secret[:20] not in printed


def test_an_unknown_path_and_a_wrong_method_are_said(browser: Browser) -> None:
    """RFC 9110, section 15.5.6."""
    assert browser.http.get("/nothing").status_code == 404
    answer = browser.http.get("/token")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert browser.http.put("/token").status_code in {405, 501}


def test_repr_shows_no_secret(issuer: DevIssuer) -> None:
    """S64: what prints a configuration prints no secret."""
    assert SECRET not in repr(issuer.config)
