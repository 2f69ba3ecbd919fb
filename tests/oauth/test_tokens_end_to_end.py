"""From the development issuer's tokens to a caller: discovery, keys, rotation, introspection, revocation (issue 4)."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from authz.oauth.dev_issuer.config import load_config
from authz.oauth.dev_issuer.serving import serving
from authz.tokens.config import load_issuers
from authz.tokens.errors import Refusal, TokenError
from authz.tokens.http import SafeHttp
from authz.tokens.issuer import Introspection, Issuer
from authz.tokens.revocation import Revocation, Revoked
from authz.tokens.service import TokenService
from tests.oauth.support import CONFIG, OTHER_RESOURCE, RESOURCE, RESOURCE_SERVER, SECRET, Browser, issuing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from authz.tokens.events import Authentication
    from tests.oauth.support import Clock

EXAMPLES = Path(__file__).parents[2] / "examples"


def configured(browser: Browser, *, algorithm: str = "ES256", opaque: bool = False) -> Issuer:
    """Return what a server that trusts the development issuer configures."""
    return Issuer(
        issuer=browser.issuer,
        audiences=frozenset({RESOURCE}),
        algorithms=frozenset({algorithm}),
        discovery=True,
        leeway=0.0,
        max_lifetime=3600.0,
        roles_path=("roles",),
        tenant_path=("tenant",),
        client_claims=("client_id",),
        introspection=Introspection("", *RESOURCE_SERVER) if opaque else None,
        insecure_loopback=True,
    )


@asynccontextmanager
async def trusting(
    issuer: Issuer, clock: Clock, events: list[Authentication] | None = None
) -> AsyncIterator[TokenService]:
    """Validate the tokens of an issuer, at the issuer's own time."""
    service = TokenService(
        [issuer], SafeHttp(loopback_http=True), clock=clock, observer=None if events is None else events.append
    )
    try:
        yield service
    finally:
        await service.close()


async def refusal(service: TokenService, token: str, *, fresh: bool = False) -> Refusal:
    """Return why a token is refused."""
    with pytest.raises(TokenError) as raised:
        await service.validate(token, fresh=fresh)
    assert token not in repr(raised.value) + str(raised.value) + raised.value.detail
    return raised.value.reason


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_user_who_signed_in_is_the_caller(clock: Clock, algorithm: str) -> None:
    """S3: the whole way: discovery, code flow with PKCE, token, keys, caller."""
    with issuing(clock, CONFIG | {"algorithm": algorithm}) as (_, browser):
        async with trusting(configured(browser, algorithm=algorithm), clock) as service:
            caller = await service.validate(browser.tokens("alice")["access_token"])
    assert (caller.issuer, caller.subject, caller.client) == (browser.issuer, "alice", "desktop")
    assert (caller.scopes, caller.roles) == (("documents:read", "documents:write"), ("editor",))
    assert (caller.tenant, caller.audience) == ("acme", (RESOURCE,))
    assert caller.expires_at == int(clock.now) + 300


async def test_a_client_that_acts_for_itself_is_the_caller(browser: Browser, clock: Clock) -> None:
    """RFC 9068, section 2.2: `sub` is the client."""
    async with trusting(configured(browser), clock) as service:
        answer = browser.token(auth=("robot", SECRET), grant_type="client_credentials")
        caller = await service.validate(answer.json()["access_token"])
    assert (caller.subject, caller.client, caller.roles) == ("robot", "robot", ("reporter",))


async def test_a_token_for_another_server_is_refused(browser: Browser, clock: Clock) -> None:
    """R6: the same issuer, user and client, and another `resource`."""
    async with trusting(configured(browser), clock) as service:
        code = browser.sign_in(resource=OTHER_RESOURCE).parameters["code"]
        token = browser.exchange(code, resource=OTHER_RESOURCE).json()["access_token"]
        assert await refusal(service, token) is Refusal.WRONG_AUDIENCE


async def test_a_token_expires_although_it_is_remembered(browser: Browser, clock: Clock) -> None:
    """S48: looked at again on each hit."""
    async with trusting(configured(browser), clock) as service:
        token = browser.tokens()["access_token"]
        assert (await service.validate(token)).subject == "alice"
        clock.now += 301
        assert await refusal(service, token) is Refusal.EXPIRED


async def test_another_issuer_of_the_same_kind_is_not_trusted(browser: Browser, clock: Clock) -> None:
    """S38: keys are bound to one issuer; a token of another is refused before anything is asked."""
    with issuing(clock) as (_, other):
        async with trusting(configured(browser), clock) as service:
            assert await refusal(service, other.tokens()["access_token"]) is Refusal.UNKNOWN_ISSUER


async def test_a_changed_token_is_refused(browser: Browser, clock: Clock) -> None:
    """S35: signed by somebody, but not this."""
    async with trusting(configured(browser), clock) as service:
        header, _, signature = browser.tokens("bob")["access_token"].split(".")
        _, payload, _ = browser.tokens("alice")["access_token"].split(".")
        assert await refusal(service, f"{header}.{payload}.{signature}") is Refusal.BAD_SIGNATURE


async def test_refreshed_tokens_are_good_and_refresh_tokens_are_not(browser: Browser, clock: Clock) -> None:
    """R6, R7: a refresh token is text for the issuer alone."""
    async with trusting(configured(browser, opaque=True), clock) as service:
        first = browser.tokens()
        second = browser.refresh(first["refresh_token"]).json()
        assert (await service.validate(second["access_token"])).subject == "alice"
        assert await refusal(service, second["refresh_token"]) is Refusal.INACTIVE


async def test_a_key_that_came_after_the_first_look_is_found(browser: Browser, clock: Clock) -> None:
    """S41: the service that has looked at the keys already finds the new one, and still takes the one before."""
    old = browser.tokens()["access_token"]
    issuer = configured(browser)
    async with trusting(issuer, clock) as before:
        await before.validate(old)
        browser.http.post("/dev/rotate")
        async with trusting(issuer, clock) as after:  # its cooldown has not begun
            new = browser.tokens()["access_token"]
            assert (await after.validate(new)).key_id != (await after.validate(old)).key_id
        browser.http.post("/dev/rotate")
        async with trusting(issuer, clock) as later:
            assert await refusal(later, old) is Refusal.UNKNOWN_KEY
            assert (await later.validate(new)).subject == "alice"


async def test_an_opaque_token_is_asked_about(browser: Browser, clock: Clock) -> None:
    """RFC 7662; S42, S43: the issuer says who it is, with all that a JWT says."""
    async with trusting(configured(browser, opaque=True), clock) as service:
        token = browser.tokens(client_id="opaque")["access_token"]
        assert "." not in token
        caller = await service.validate(token)
        assert (caller.subject, caller.client, caller.tenant) == ("alice", "opaque", "acme")
        assert (caller.scopes, caller.roles, caller.audience) == (("documents:read",), ("editor",), (RESOURCE,))


async def test_an_opaque_token_that_was_revoked_is_inactive(browser: Browser, clock: Clock) -> None:
    """S44, S49: a positive answer is kept for a short time only, and not asked from memory where it must be fresh."""
    async with trusting(configured(browser, opaque=True), clock) as service:
        token = browser.tokens(client_id="opaque")["access_token"]
        assert (await service.validate(token)).subject == "alice"
        browser.revoke(token, "opaque")
        assert await refusal(service, token, fresh=True) is Refusal.INACTIVE


async def test_with_introspection_a_revoked_jwt_is_refused_where_it_must_be_fresh(
    browser: Browser, clock: Clock
) -> None:
    """S49: the signature is still good, and the issuer says no."""
    async with trusting(configured(browser, opaque=True), clock) as service:
        token = browser.tokens()["access_token"]
        assert (await service.validate(token, fresh=True)).subject == "alice"
        browser.revoke(token)
        assert await refusal(service, token, fresh=True) is Refusal.INACTIVE


async def test_a_wrong_secret_for_introspection_is_no_answer(browser: Browser, clock: Clock) -> None:
    """S43: 401 says nothing about the token, and nothing is allowed."""
    issuer = configured(browser, opaque=True)
    wrong = replace(issuer, introspection=Introspection("", "documents-server", "not-the-secret-of-the-server"))
    async with trusting(wrong, clock) as service:
        token = browser.tokens(client_id="opaque")["access_token"]
        assert await refusal(service, token) is Refusal.UNAVAILABLE


async def test_what_the_service_revokes_is_refused_at_once(browser: Browser, clock: Clock) -> None:
    """S46, S101: by `jti`, remembered or not."""
    async with trusting(configured(browser), clock) as service:
        token = browser.tokens()["access_token"]
        caller = await service.validate(token)
        await service.revoke(Revocation(Revoked.TOKEN, browser.issuer, caller.token_id))
        assert await refusal(service, token) is Refusal.REVOKED
        assert (await service.validate(browser.tokens()["access_token"])).subject == "alice"


async def test_nothing_that_is_told_or_logged_holds_a_token(
    browser: Browser, clock: Clock, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """S62, S64: planted tokens are in no event, no log of any library, no output."""
    caplog.set_level(logging.DEBUG)
    events: list[Authentication] = []
    async with trusting(configured(browser, opaque=True), clock, events) as service:
        planted = [browser.tokens()["access_token"], browser.tokens(client_id="opaque")["access_token"]]
        planted.append(browser.tokens()["refresh_token"])
        for token in planted[:2]:
            await service.validate(token)
        await refusal(service, planted[2])
        await refusal(service, planted[0][:-4] + "AAAA")
    assert len(events) == 4
    out, err = capfd.readouterr()
    printed = out + err + caplog.text + repr(events)
    for token in [*planted, RESOURCE_SERVER[1], SECRET]:
        for part in (token, *token.split(".")):
            assert part[-24:] not in printed


async def test_the_examples_fit_each_other(tmp_path: Path) -> None:
    """S68: Every example is run: the issuer's file and that of a server which trusts it, but for the port."""
    with serving(load_config(EXAMPLES / "dev-issuer.toml"), "127.0.0.1:0") as issuer:
        text = (EXAMPLES / "issuers.toml").read_text()
        assert '"http://127.0.0.1:9000"' in text
        path = tmp_path / "issuers.toml"
        path.write_text(text.replace("http://127.0.0.1:9000", issuer.issuer))
        settings = load_issuers(path)
        browser = Browser(issuer.issuer)
        service = TokenService(settings.issuers, SafeHttp(loopback_http=settings.loopback_http))
        try:
            (resource,) = issuer.config.resources
            code = browser.sign_in("carol", resource=resource).parameters["code"]
            caller = await service.validate(browser.exchange(code, resource=resource).json()["access_token"])
        finally:
            await service.close()
            browser.http.close()
    assert (caller.subject, caller.tenant, caller.roles) == ("carol", "globex", ("editor",))
