"""What an issuer says of an opaque token, and how it can misbehave (issue 4, item 4; threats 2.2, 3d-26 to 29)."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote_plus

import pytest

from authz.tokens.errors import HttpError, Refusal, TokenError
from authz.tokens.http import SafeHttp
from authz.tokens.introspection import MAX_ANSWER, Introspector
from authz.tokens.issuer import Introspection, Issuer
from tests.tokens.servers import Asked, Server, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

AUDIENCE = "https://mcp.example.com"
ISSUER = "https://id.example.com"
TOKEN = "planted-opaque-token"
SECRET = "p:l a+n/ted%secret"
NOW = 1_700_000_000.0

GOOD: dict[str, object] = {
    "active": True,
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "alice",
    "client_id": "web",
    "scope": "docs:read",
    "exp": NOW + 600,
    "iat": NOW - 10,
    "token_type": "Bearer",
}


class Clock:
    """A monotonic clock that stands still until it is told otherwise."""

    now = 50.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Asking:
    """An introspector, the server that it asks, and its clock."""

    def __init__(self, server: Server, http: SafeHttp) -> None:
        """Ask this server."""
        self.server = server
        self.http = http
        self.clock = Clock()

    def introspector(self, path: str = "/introspect", deadline: float = 3.0, **changes: object) -> Introspector:
        """Return one for an issuer that is configured like this."""
        settings = Introspection("", "mcp server", SECRET, positive_ttl=30, negative_ttl=5)
        usual = Issuer(ISSUER, frozenset({AUDIENCE}), frozenset(), introspection=settings, insecure_loopback=True)
        issuer = dataclasses.replace(usual, **changes)  # type: ignore[arg-type]  # as its fields are

        async def where() -> str:
            return self.server.url + path

        return Introspector(issuer, self.http, where, deadline=deadline, clock=self.clock)

    def says(self, body: object, status: int = 200, content_type: str = "application/json") -> None:
        """Let the server answer so."""
        self.server.answers["/introspect"] = answer(body, status, content_type=content_type)

    async def refusal(self, body: object, **changes: object) -> Refusal:
        """Return why a token is refused of which the server says this."""
        self.says(body)
        with pytest.raises(TokenError) as caught:
            await self.introspector(**changes).introspect(TOKEN, NOW)  # type: ignore[arg-type]  # as its fields are
        assert TOKEN not in caught.value.detail + caught.value.message
        assert SECRET not in caught.value.detail
        return caught.value.reason


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    """Run a server and a client."""
    http = SafeHttp(loopback_http=True)
    with Server() as server:
        made = Asking(server, http)
        made.says(GOOD)
        yield made
        await http.close()


def without(name: str) -> dict[str, object]:
    """Return a good answer less one member."""
    return {key: value for key, value in GOOD.items() if key != name}


async def test_an_active_token_is_what_the_issuer_says_of_it(asking: Asking) -> None:
    """RFC 7662, section 2.2; the question is a form with a hint (section 2.1)."""
    claims = await asking.introspector().introspect(TOKEN, NOW)
    assert claims["sub"] == "alice"
    assert "active" not in claims
    (asked,) = asking.server.asked
    assert (asked.method, asked.headers["content-type"]) == ("POST", "application/x-www-form-urlencoded")
    assert parse_qs(asked.body.decode()) == {"token": [TOKEN], "token_type_hint": ["access_token"]}


async def test_client_id_and_secret_are_form_encoded_before_they_are_basic(asking: Asking) -> None:
    """RFC 6749, section 2.3.1: a colon in an id, a percent in a secret and a space arrive as they are."""
    await asking.introspector().introspect(TOKEN, NOW)
    scheme, _, given = asking.server.asked[0].headers["authorization"].partition(" ")
    user, _, password = base64.b64decode(given).decode().partition(":")
    assert scheme == "Basic"
    assert (unquote_plus(user), unquote_plus(password)) == ("mcp server", SECRET)
    assert " " not in user + password
    assert ":" not in password


@pytest.mark.parametrize("active", [None, "true", "True", 1, 1.0, [True], {}, {"active": True}, "", 0, "yes"])
async def test_only_true_is_active(active: object, asking: Asking) -> None:
    """CVE-2026-11717: everything but `true` is inactive."""
    assert await asking.refusal({**GOOD, "active": active}) is Refusal.INACTIVE


async def test_an_answer_that_says_nothing_of_active_is_inactive(asking: Asking) -> None:
    """CVE-2026-11717: missing is not true."""
    assert await asking.refusal(without("active")) is Refusal.INACTIVE
    assert await asking.refusal({"active": False}) is Refusal.INACTIVE


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "sub", "iat"])
async def test_what_is_required_must_be_in_the_answer(claim: str, asking: Asking) -> None:
    """CVE-2026-11718: a missing claim skips no check."""
    assert await asking.refusal(without(claim)) is Refusal.MISSING_CLAIM


CLAIMS: dict[str, tuple[dict[str, object], Refusal]] = {
    "another issuer": ({"iss": "https://other.example.com"}, Refusal.UNKNOWN_ISSUER),
    "another audience": ({"aud": "https://other.example.com"}, Refusal.WRONG_AUDIENCE),
    "expired": ({"exp": NOW - 61}, Refusal.EXPIRED),
    "not yet valid": ({"nbf": NOW + 61}, Refusal.NOT_YET_VALID),
    "a time that is text": ({"exp": "1700000600"}, Refusal.INVALID_CLAIM),
    "bound to a key": ({"cnf": {"jkt": "x"}}, Refusal.PROOF_REQUIRED),
    "bound by DPoP": ({"token_type": "DPoP"}, Refusal.PROOF_REQUIRED),
    "a refresh token": ({"token_type": "refresh_token"}, Refusal.WRONG_TYPE),
    "a type that is no text": ({"token_type": ["Bearer"]}, Refusal.WRONG_TYPE),
    "a refresh token of Keycloak": ({"typ": "Refresh"}, Refusal.WRONG_TYPE),
    "an ID token": ({"nonce": "x"}, Refusal.WRONG_TYPE),
    "a subject that is no text": ({"sub": 7}, Refusal.INVALID_CLAIM),
}


@pytest.mark.parametrize("case", CLAIMS)
async def test_what_an_issuer_says_is_checked_as_a_jwt_is(case: str, asking: Asking) -> None:
    """S43, CVE-2026-11718: all claim checks."""
    changes, expected = CLAIMS[case]
    assert await asking.refusal({**GOOD, **changes}) is expected


async def test_an_issuer_need_not_name_itself_where_configuration_says_so(asking: Asking) -> None:
    """Opaque tokens only: the answer comes from the issuer itself."""
    asking.says(without("iss"))
    claims = await asking.introspector(required_claims=("exp", "aud", "sub")).introspect(TOKEN, NOW)
    assert claims["iss"] == ISSUER


NO_ANSWER: dict[str, tuple[Any, int, str]] = {
    "500": (GOOD, 500, "application/json"),
    "503": (GOOD, 503, "application/json"),
    "400": ({"error": "invalid_request"}, 400, "application/json"),
    "401": ({"error": "invalid_client"}, 401, "application/json"),
    "403": ({"error": "insufficient_scope"}, 403, "application/json"),
    "404": (GOOD, 404, "application/json"),
    "429": (GOOD, 429, "application/json"),
    "204": (b"", 204, "application/json"),
    "302": (GOOD, 302, "application/json"),
    "HTML": (b"<html>Sign in</html>", 200, "text/html"),
    "JSON called HTML": (GOOD, 200, "text/html"),
    "a signed answer nobody asked for": (GOOD, 200, "application/token-introspection+jwt"),
    "no JSON": (b"active=true", 200, "application/json"),
    "a list": ([GOOD], 200, "application/json"),
    "true": (True, 200, "application/json"),
    "active twice": (b'{"active": false, "active": true}', 200, "application/json"),
    "deep": (b'{"active": true, "x": ' + b"[" * 10_000, 200, "application/json"),
    "Latin-1": (b'{"active": true, "sub": "\xe9"}', 200, "application/json"),
    "too large": ({**GOOD, "x": "x" * MAX_ANSWER}, 200, "application/json"),
    "NaN": (b'{"active": true, "exp": NaN}', 200, "application/json"),
}


@pytest.mark.parametrize("case", NO_ANSWER)
async def test_what_is_no_answer_is_not_taken_for_inactive_nor_remembered(case: str, asking: Asking) -> None:
    """Threats 3d-26 to 29: never allow, and nothing is kept of an error."""
    introspector = asking.introspector()
    asking.says(*NO_ANSWER[case])
    with pytest.raises(TokenError) as caught:
        await introspector.introspect(TOKEN, NOW)
    assert caught.value.reason is Refusal.UNAVAILABLE
    assert TOKEN not in caught.value.detail
    asking.says(GOOD)
    assert (await introspector.introspect(TOKEN, NOW))["sub"] == "alice"


async def test_wrong_credentials_are_the_operators_to_read(asking: Asking) -> None:
    """S93: the client learns nothing of how this service is configured."""
    asking.says({}, 401)
    with pytest.raises(TokenError) as caught:
        await asking.introspector().introspect(TOKEN, NOW)
    assert "client_id" in caught.value.detail
    assert caught.value.message == "the token cannot be checked at the moment"


@pytest.mark.parametrize("manner", ["hang", "drip"])
async def test_an_issuer_that_does_not_come_to_an_end_is_given_up(manner: str, asking: Asking) -> None:
    """Threats 3d-27: one deadline for everything, however the time is spent."""
    asking.server.answers["/introspect"] = getattr(asking.server, manner)
    with pytest.raises(TokenError) as caught:
        await asking.introspector(deadline=0.2).introspect(TOKEN, NOW)
    assert caught.value.reason is Refusal.UNAVAILABLE


async def test_finding_the_endpoint_counts_towards_the_deadline(asking: Asking) -> None:
    """S100: a total deadline."""

    async def where() -> str:
        await asyncio.Event().wait()
        return ""

    issuer = Issuer(ISSUER, frozenset({AUDIENCE}), frozenset(), introspection=Introspection("", "x", SECRET))
    with pytest.raises(TokenError, match="cannot be checked") as caught:
        await Introspector(issuer, asking.http, where, deadline=0.05).introspect(TOKEN, NOW)
    assert caught.value.reason is Refusal.UNAVAILABLE


async def test_an_issuer_that_cannot_be_found_is_unavailable(asking: Asking) -> None:
    """An error of discovery is one of introspection."""

    async def where() -> str:
        raise HttpError("the issuer says nothing of introspection")

    issuer = Issuer(ISSUER, frozenset({AUDIENCE}), frozenset(), introspection=Introspection("", "x", SECRET))
    with pytest.raises(TokenError) as caught:
        await Introspector(issuer, asking.http, where).introspect(TOKEN, NOW)
    assert caught.value.reason is Refusal.UNAVAILABLE
    assert "says nothing of introspection" in caught.value.detail


# --- What is kept ---------------------------------------------------------------------------


async def test_answers_are_kept_for_a_moment_and_a_no_for_less(asking: Asking) -> None:
    """S44: positive short, negative shorter."""
    introspector = asking.introspector()
    for _ in range(3):
        await introspector.introspect(TOKEN, NOW)
    assert len(asking.server.asked) == 1
    asking.clock.now += 29.9
    asking.says({"active": False})
    await introspector.introspect(TOKEN, NOW + 29.9)
    asking.clock.now += 0.1
    for _ in range(3):
        with pytest.raises(TokenError):
            await introspector.introspect(TOKEN, NOW + 30)
    assert len(asking.server.asked) == 2
    asking.says(GOOD)
    asking.clock.now += 5
    await introspector.introspect(TOKEN, NOW + 35)
    assert len(asking.server.asked) == 3


async def test_what_is_kept_ends_with_the_token(asking: Asking) -> None:
    """S45, S48: min(TTL, exp), and expiry is looked at on every hit."""
    asking.says({**GOOD, "exp": NOW + 1})
    introspector = asking.introspector(leeway=0.0)
    await introspector.introspect(TOKEN, NOW)
    with pytest.raises(TokenError) as caught:
        await introspector.introspect(TOKEN, NOW + 1)
    assert caught.value.reason is Refusal.EXPIRED


async def test_fresh_asks_again_and_its_answer_replaces_what_is_kept(asking: Asking) -> None:
    """S49: a critical operation does not rest on memory, and revocation found by it counts for all."""
    introspector = asking.introspector()
    await introspector.introspect(TOKEN, NOW)
    asking.says({"active": False})
    for fresh in (True, False):
        with pytest.raises(TokenError) as caught:
            await introspector.introspect(TOKEN, NOW, fresh=fresh)
        assert caught.value.reason is Refusal.INACTIVE
    assert len(asking.server.asked) == 2
    asking.says(GOOD)
    await introspector.introspect(TOKEN, NOW, fresh=True)
    await introspector.introspect(TOKEN, NOW)
    assert len(asking.server.asked) == 3


async def test_an_answer_about_a_refused_token_is_not_kept(asking: Asking) -> None:
    """Oathkeeper CVE-2021-32701: what was not accepted is not there to be accepted later."""
    asking.says({**GOOD, "aud": "https://other.example.com"})
    introspector = asking.introspector()
    for _ in range(2):
        with pytest.raises(TokenError):
            await introspector.introspect(TOKEN, NOW)
    assert len(asking.server.asked) == 2


async def test_the_same_token_of_two_issuers_is_two_questions(asking: Asking) -> None:
    """CVE-2026-33496, Duende GHSA-84rm-mhfq-f476: neither cache nor concurrent calls cross issuers."""
    asking.server.answers["/other"] = answer(
        {**GOOD, "iss": "https://other.example.com", "sub": "bob"}, content_type="application/json"
    )
    one = asking.introspector()
    other = asking.introspector("/other", issuer="https://other.example.com")
    found = await asyncio.gather(*(who.introspect(TOKEN, NOW) for who in (one, other, one, other)))
    assert [claims["sub"] for claims in found] == ["alice", "bob", "alice", "bob"]
    assert sorted(asking.server.paths()) == ["/introspect", "/other"]


async def test_who_asks_at_the_same_time_shares_one_question(asking: Asking) -> None:
    """Single flight; one who gives up does not take the answer from the others."""
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()

    def wait(_: Asked) -> Iterator[bytes]:
        loop.call_soon_threadsafe(arrived.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        yield answer(GOOD, content_type="application/json")

    asking.server.answers["/introspect"] = wait
    introspector = asking.introspector()
    first, *others = [asyncio.create_task(introspector.introspect(TOKEN, NOW)) for _ in range(50)]
    await arrived.wait()
    others[0].cancel()
    release.set()
    assert [claims["sub"] for claims in await asyncio.gather(first, *others[1:])] == ["alice"] * 49
    assert len(asking.server.asked) == 1


async def test_an_issuer_that_fails_again_and_again_is_left_alone_for_a_while(asking: Asking) -> None:
    """S100: what is down is not kept down; 10 000 tokens are a handful of questions."""
    asking.says({}, 500)
    introspector = asking.introspector()
    for number in range(10_000):
        with pytest.raises(TokenError) as caught:
            await introspector.introspect(f"token-{number}", NOW)
        assert caught.value.reason is Refusal.UNAVAILABLE
    assert len(asking.server.asked) == 3
    asking.says(GOOD)
    asking.clock.now += 20
    assert (await introspector.introspect(TOKEN, NOW))["sub"] == "alice"


async def test_what_is_kept_is_bounded(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound everything that comes from outside: guesses do not displace tokens that are in use."""
    monkeypatch.setattr("authz.tokens.introspection.MAX_INACTIVE", 10)
    asking.server.answers["/introspect"] = lambda asked: iter(
        [answer(GOOD if TOKEN.encode() in asked.body else {"active": False}, content_type="application/json")]
    )
    introspector = asking.introspector()
    await introspector.introspect(TOKEN, NOW)
    for number in range(50):
        with pytest.raises(TokenError):
            await introspector.introspect(f"guess-{number}", NOW)
    assert len(introspector._inactive._held) == 10
    asked = len(asking.server.asked)
    await introspector.introspect(TOKEN, NOW)
    assert len(asking.server.asked) == asked


async def test_no_token_text_is_held_by_what_keeps_answers(asking: Asking) -> None:
    """S47, S64: digests only."""
    introspector = asking.introspector()
    await introspector.introspect(TOKEN, NOW)
    assert TOKEN not in json.dumps([repr(held) for held in introspector._active._held.items()])
