"""All parts together: which issuer a token goes to, what is remembered, and what is told."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, cast

import pytest

from authz.tokens.cache import TokenCache
from authz.tokens.errors import Refusal, TokenConfigError, TokenError, refused
from authz.tokens.failures import Failures
from authz.tokens.http import Response
from authz.tokens.issuer import Introspection, Issuer
from authz.tokens.keys import Key
from authz.tokens.revocation import MemoryRevocations, Revocation, Revoked
from authz.tokens.service import TokenService
from tests.tokens.world import AUDIENCE, ISSUER, KEY_ID, FixedKeys, NoHttp, claims, header, issuer, rsa_key, sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.tokens.caller import Caller
    from authz.tokens.events import Authentication

START = 1_800_000_000.0
SECOND = "https://other-idp.example"


class Clock:
    """A wall clock that tests turn."""

    def __init__(self) -> None:
        """Start at a fixed time."""
        self.now = START

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def service(*issuers: Issuer, keys: Mapping[str, FixedKeys] | None = None, **more: object) -> TokenService:
    """Return a service for issuers, by default for one, whose keys need no network."""
    settings = {"http": NoHttp(), "clock": Clock(), "keys": {ISSUER: FixedKeys()} if keys is None else keys, **more}
    return TokenService(issuers or (issuer(),), **settings)  # type: ignore[arg-type]  # by name


async def outcome(tokens: TokenService, token: str, *, fresh: bool = False, source: str = "") -> Refusal | None:
    """Return why a token is refused."""
    try:
        await tokens.validate(token, fresh=fresh, source=source)
    except TokenError as error:
        return error.reason
    return None


@dataclasses.dataclass
class SlowKeys(FixedKeys):
    """A key source that answers when it is told to."""

    opened: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def key(self, kid: str, algorithm: str) -> Key:
        """Wait, then answer."""
        self.asked.append(kid)
        await self.opened.wait()
        return Key(kid, frozenset({"RS256"}), rsa_key(KEY_ID).public_key())


class Introspecting(NoHttp):
    """An `Http` behind which two issuers answer for opaque tokens, each for its own."""

    def __init__(self) -> None:
        """Know of nothing yet."""
        self.answers: dict[tuple[str, str], dict[str, object]] = {}
        self.asked: list[tuple[str, str]] = []

    async def post(
        self, url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None, deadline: float, max_bytes: int
    ) -> Response:
        """Answer after a turn of the loop, as a network would."""
        self.asked.append((url, form["token"]))
        await asyncio.sleep(0)
        answer = self.answers.get((url, form["token"]), {"active": False})
        return Response(200, {"content-type": "application/json"}, json.dumps(answer).encode())


def opaque_issuer(name: str = ISSUER, **more: object) -> Issuer:
    """Return an issuer that is asked about its tokens."""
    asks = Introspection(endpoint=f"{name}/introspect", client_id="mcp", client_secret="s" * 32)
    return issuer("", issuer=name, algorithms=frozenset(), introspection=asks, **more)


# --- routing


async def test_each_issuer_is_believed_with_its_own_keys_only() -> None:
    """S38: a key of one issuer never signs for another."""
    tokens = service(issuer(), issuer(issuer=SECOND), keys={ISSUER: FixedKeys(), SECOND: OtherKeys()})
    mine, theirs = sign(header(), claims(START)), sign(header(), claims(START, iss=SECOND), rsa_key("evil"))
    assert (await tokens.validate(mine)).issuer == ISSUER
    assert (await tokens.validate(theirs)).issuer == SECOND
    crossed = sign(header(), claims(START, iss=SECOND))
    assert await outcome(tokens, crossed) is Refusal.BAD_SIGNATURE
    assert await outcome(tokens, sign(header(), claims(START), rsa_key("evil"))) is Refusal.BAD_SIGNATURE


class OtherKeys(FixedKeys):
    """The second issuer's keys, under the same name."""

    async def key(self, kid: str, algorithm: str) -> Key:
        """Return the key."""
        return Key(kid, frozenset({"RS256"}), rsa_key("evil").public_key())


@pytest.mark.parametrize("kid", ["", "k" * 257, "k1\0", "k1\r\n", "ключ", "\x1b[2J"])
async def test_a_name_that_no_key_can_have_is_asked_of_nobody(kid: str) -> None:
    """Threats 2.1: such a `kid` costs no look-up and no request, and stands in no log."""
    keys = FixedKeys()
    tokens = service(keys={ISSUER: keys})
    assert await outcome(tokens, sign(header(kid=kid), claims(START))) is Refusal.UNKNOWN_KEY
    assert keys.asked == []


async def test_a_templated_issuer_is_found_by_its_tenant() -> None:
    """Entra ID: `{tenantid}` stands for `tid`."""
    name = "https://login.example/{tenantid}/v2.0"
    tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47"
    tokens = service(issuer(issuer=name), keys={name: FixedKeys()})
    iss = name.replace("{tenantid}", tenant)
    assert (await tokens.validate(sign(header(), claims(START, iss=iss, tid=tenant)))).issuer == iss
    assert await outcome(tokens, sign(header(), claims(START, iss=iss))) is Refusal.UNKNOWN_ISSUER
    assert await outcome(tokens, sign(header(), claims(START, iss=name, tid=tenant))) is Refusal.UNKNOWN_ISSUER


async def test_an_opaque_token_goes_to_the_one_issuer_that_can_be_asked() -> None:
    """Issue 4, item 4: routed by configuration; without exactly one, it is refused."""
    http = Introspecting()
    http.answers[f"{SECOND}/introspect", "opaque-1"] = {"active": True, **claims(START, iss=SECOND)}
    tokens = service(issuer(), opaque_issuer(SECOND), http=http)
    assert (await tokens.validate("opaque-1")).issuer == SECOND
    assert await outcome(tokens, "opaque-2") is Refusal.INACTIVE
    assert await outcome(service(), "opaque-1") is Refusal.MALFORMED
    two = service(opaque_issuer(ISSUER), opaque_issuer(SECOND), http=http)
    assert await outcome(two, "opaque-1") is Refusal.UNKNOWN_ISSUER


async def test_a_jwt_of_an_unknown_issuer_is_shown_to_nobody() -> None:
    """Issue 4 and S42; one of an issuer without keys goes to that issuer's introspection."""
    http = Introspecting()
    tokens = service(opaque_issuer(), http=http, keys={})
    assert await outcome(tokens, sign(header(), claims(START, iss=SECOND))) is Refusal.UNKNOWN_ISSUER
    assert http.asked == []
    mine = sign(header(), claims(START))
    http.answers[f"{ISSUER}/introspect", mine] = {"active": True, **claims(START)}
    assert (await tokens.validate(mine)).subject == "alice"


def test_a_service_without_issuers_or_with_one_twice_does_not_start() -> None:
    """Which settings count must never be chance."""
    with pytest.raises(TokenConfigError):
        TokenService((), NoHttp())
    with pytest.raises(TokenConfigError):
        service(issuer(), issuer(leeway=0.0))


# --- remembering


async def test_a_validated_token_is_remembered_until_it_expires() -> None:
    """S45, S48, S102 and S105: the key is asked for once; past `exp`, and its leeway, memory says nothing."""
    clock, keys = Clock(), FixedKeys()
    tokens = service(keys={ISSUER: keys}, clock=clock)
    token = sign(header(), claims(START, exp=START + 100))
    first = await tokens.validate(token)
    assert await tokens.validate(token) is first
    assert len(keys.asked) == 1
    clock.now = START + 100
    assert await tokens.validate(token) is not first  # within the leeway, but no longer from memory
    clock.now = START + 160
    assert await outcome(tokens, token) is Refusal.EXPIRED


async def test_a_remembered_token_is_checked_again_for_its_begin() -> None:
    """S48: a clock that was set back makes a token begin later."""
    clock = Clock()
    tokens = service(clock=clock)
    token = sign(header(), claims(START, nbf=START))
    await tokens.validate(token)
    clock.now = START - 100
    assert await outcome(tokens, token) in {Refusal.NOT_YET_VALID, Refusal.ISSUED_IN_FUTURE}


async def test_fresh_validation_asks_memory_nothing() -> None:
    """S49: for what is critical."""
    keys = FixedKeys()
    tokens = service(keys={ISSUER: keys})
    token = sign(header(), claims(START))
    for _ in range(3):
        await tokens.validate(token, fresh=True)
    assert len(keys.asked) == 3


async def test_fresh_validation_asks_the_issuer_where_it_can() -> None:
    """S49: a JWT that its issuer has withdrawn is refused at once, with all its signature."""
    http = Introspecting()
    asks = Introspection(endpoint=f"{ISSUER}/introspect", client_id="mcp", client_secret="s" * 32)
    tokens = service(issuer(introspection=asks), http=http)
    token = sign(header(), claims(START))
    http.answers[f"{ISSUER}/introspect", token] = {"active": True, **claims(START)}
    await tokens.validate(token)
    assert http.asked == []
    await tokens.validate(token, fresh=True)
    assert len(http.asked) == 1
    http.answers[f"{ISSUER}/introspect", token] = {"active": True, **claims(START, sub="bob")}
    assert await outcome(tokens, token, fresh=True) is Refusal.INVALID_CLAIM
    del http.answers[f"{ISSUER}/introspect", token]
    assert await outcome(tokens, token, fresh=True) is Refusal.INACTIVE


async def test_a_revoked_token_is_refused_from_memory_and_anew() -> None:
    """Issue 4, item 5; CVE-2026-3583; S46, S101: a revoked token does not live on in a cache (threats 2.2)."""
    for revocation in (
        Revocation(Revoked.TOKEN, ISSUER, "j-1"),
        Revocation(Revoked.SUBJECT, ISSUER, "alice", START),
        Revocation(Revoked.ISSUER, ISSUER, before=START),
        Revocation(Revoked.EVERYTHING, before=START),
    ):
        cache = TokenCache()
        tokens = service(cache=cache)
        token = sign(header(), claims(START))
        await tokens.validate(token)
        await tokens.revoke(revocation)
        assert len(cache) == 0
        assert await outcome(tokens, token) is Refusal.REVOKED
        assert await outcome(tokens, token, fresh=True) is Refusal.REVOKED
        later = sign(header(), claims(START, iat=START + 1, jti="j-2"))
        assert await outcome(tokens, later) is None


async def test_a_revocation_is_kept_for_as_long_as_a_token_could_still_be_shown() -> None:
    """Dropped too early, it would let the token in again: where no claim bounds its life, it is kept for years."""

    class Kept(MemoryRevocations):
        seconds = 0.0

        async def revoke(self, revocation: Revocation, *, keep: float) -> None:
            self.seconds = keep

    day, year = 86_400.0, 365 * 86_400.0
    for settings, least in (
        (issuer(max_lifetime=day, leeway=60.0), day + 120),
        (issuer(max_lifetime=day, required_claims=("exp",)), year),
        (opaque_issuer(max_lifetime=day), year),
    ):
        kept = Kept()
        tokens = service(settings, revocations=kept, http=Introspecting())
        await tokens.revoke(Revocation(Revoked.TOKEN, ISSUER, "j-1"))
        assert least <= kept.seconds < 100 * year
        await tokens.revoke(Revocation(Revoked.SUBJECT, ISSUER, "alice", START + day))
        assert kept.seconds >= least + day


async def test_an_entry_that_a_purge_missed_is_still_refused() -> None:
    """A replica's own cache learns of nothing: revocations are looked up on each hit."""
    shared = MemoryRevocations()
    tokens = service(revocations=shared)
    token = sign(header(), claims(START))
    await tokens.validate(token)
    await shared.revoke(Revocation(Revoked.TOKEN, ISSUER, "j-1"), keep=100)
    assert await outcome(tokens, token) is Refusal.REVOKED


async def test_nothing_is_accepted_while_revocations_cannot_be_known() -> None:
    """An error never widens access: neither memory nor a good signature helps."""

    class Broken(MemoryRevocations):
        down = False

        async def is_revoked(self, caller: Caller) -> bool:
            if self.down:
                raise refused(Refusal.UNAVAILABLE)
            return False

    revocations = Broken()
    tokens = service(revocations=revocations)
    token = sign(header(), claims(START))
    await tokens.validate(token)
    revocations.down = True
    assert await outcome(tokens, token) is Refusal.UNAVAILABLE
    assert await outcome(tokens, token, fresh=True) is Refusal.UNAVAILABLE
    revocations.down = False
    assert await outcome(tokens, token) is None


async def test_a_shared_cache_serves_no_other_configuration() -> None:
    """CVE-2026-19202: two audiences, one cache (threats 2.2); so for an issuer that was changed or disabled."""
    cache = TokenCache()
    token = sign(header(), claims(START))
    assert await outcome(service(cache=cache), token) is None
    other = service(issuer(audiences=frozenset({"https://other.example/mcp"})), cache=cache)
    assert await outcome(other, token) is Refusal.WRONG_AUDIENCE
    strict = service(issuer(tenants=frozenset({"globex"})), cache=cache)
    assert await outcome(strict, token) is Refusal.INVALID_CLAIM
    without = service(issuer(issuer=SECOND), keys={SECOND: FixedKeys()}, cache=cache)
    assert await outcome(without, token) is Refusal.UNKNOWN_ISSUER


async def test_bad_signatures_are_remembered_but_outages_are_not() -> None:
    """Issue 4, item 5: negative and short, and never for errors."""

    class Down(FixedKeys):
        down = True

        async def key(self, kid: str, algorithm: str) -> Key:
            if self.down:
                raise refused(Refusal.UNAVAILABLE)
            return await super().key(kid, algorithm)

    keys = Down()
    tokens = service(keys={ISSUER: keys})
    good, forged = sign(header(), claims(START)), sign(header(), claims(START), rsa_key("evil"))
    assert await outcome(tokens, good) is Refusal.UNAVAILABLE
    keys.down = False
    assert await outcome(tokens, good) is None
    for _ in range(3):
        assert await outcome(tokens, forged) is Refusal.BAD_SIGNATURE
    assert len(keys.asked) == 2


# --- at the same time


async def test_the_same_token_at_the_same_time_is_validated_once() -> None:
    """Single flight: a hundred ask, one works, and all have the answer."""
    keys = SlowKeys()
    tokens = service(keys={ISSUER: keys})
    token = sign(header(), claims(START))
    waiting = [asyncio.create_task(tokens.validate(token)) for _ in range(100)]
    await asyncio.sleep(0)
    keys.opened.set()
    callers = await asyncio.gather(*waiting)
    assert len(keys.asked) == 1
    assert {caller.subject for caller in callers} == {"alice"}


async def test_different_tokens_at_the_same_time_share_nothing() -> None:
    """CVE-2026-71326: single flight must not hand one caller's identity to another (threats 2.4)."""
    keys = SlowKeys()
    tokens = service(keys={ISSUER: keys})
    names = [f"user-{number}" for number in range(50)]
    waiting = [asyncio.create_task(tokens.validate(sign(header(), claims(START, sub=name)))) for name in names]
    await asyncio.sleep(0)
    keys.opened.set()
    assert [caller.subject for caller in await asyncio.gather(*waiting)] == names


async def test_one_who_gives_up_does_not_end_it_for_the_others() -> None:
    """The first to ask is cancelled; the next does the work."""
    keys = SlowKeys()
    tokens = service(keys={ISSUER: keys})
    token = sign(header(), claims(START))
    first, second, third = (asyncio.create_task(tokens.validate(token)) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    first.cancel()
    keys.opened.set()
    assert (await third).subject == "alice"
    assert len(keys.asked) == 2
    for cancelled in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await cancelled


async def test_a_refusal_is_shared_as_one_of_each_own() -> None:
    """Each has its own error, so that no traceback grows from task to task; the next to ask is told from memory."""
    keys = SlowKeys()
    tokens = service(keys={ISSUER: keys})
    forged = sign(header(), claims(START), rsa_key("evil"))
    waiting = [asyncio.create_task(tokens.validate(forged)) for _ in range(3)]
    await asyncio.sleep(0)
    keys.opened.set()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [cast("TokenError", error).reason for error in errors] == [Refusal.BAD_SIGNATURE] * 3
    assert len({id(error) for error in errors}) == 3
    assert len(keys.asked) == 1


async def test_the_same_opaque_token_of_two_issuers_is_two_tokens() -> None:
    """CVE-2026-33496 (threats 2.2): two services, one cache, one token text, at the same time."""
    http, cache = Introspecting(), TokenCache()
    for name, subject in ((ISSUER, "alice"), (SECOND, "bob")):
        http.answers[f"{name}/introspect", "same"] = {"active": True, **claims(START, iss=name, sub=subject)}
    services = [service(opaque_issuer(name), http=http, cache=cache) for name in (ISSUER, SECOND)]
    for _ in range(2):
        found = await asyncio.gather(*(one.validate("same") for one in services for _ in range(5)))
        assert [caller.subject for caller in found] == ["alice"] * 5 + ["bob"] * 5


# --- counting and telling


async def test_a_source_that_fails_too_often_is_refused_unseen_for_a_while() -> None:
    """Issue 4, item 7; what is remembered as valid still counts, and others are not made to suffer."""
    keys = FixedKeys()
    tokens = service(keys={ISSUER: keys}, failures=Failures(per_source=3))
    known, new = sign(header(), claims(START)), sign(header(), claims(START, jti="j-2"))
    await tokens.validate(known, source="10.0.0.1")
    for number in range(3):
        forged = sign(header(), claims(START, jti=f"f-{number}"), rsa_key("evil"))
        assert await outcome(tokens, forged, source="10.0.0.1") is Refusal.BAD_SIGNATURE
    asked = len(keys.asked)
    assert await outcome(tokens, new, source="10.0.0.1") is Refusal.TOO_MANY_FAILURES
    assert await outcome(tokens, new, source="10.0.0.1", fresh=True) is Refusal.TOO_MANY_FAILURES
    assert len(keys.asked) == asked
    assert await outcome(tokens, known, source="10.0.0.1") is None
    assert await outcome(tokens, new, source="10.0.0.2") is None


async def test_an_outage_is_nobodys_failure() -> None:
    """A source must not be shut out for what its issuer does."""

    class Down(FixedKeys):
        async def key(self, kid: str, algorithm: str) -> Key:
            raise refused(Refusal.UNAVAILABLE)

    tokens = service(keys={ISSUER: Down()}, failures=Failures(per_source=2))
    for number in range(5):
        token = sign(header(), claims(START, jti=f"j-{number}"))
        assert await outcome(tokens, token, source="10.0.0.1") is Refusal.UNAVAILABLE


async def test_each_authentication_is_told_and_no_token_is() -> None:
    """Issue 4, item 7, and S62 to S64, S99: issuer, client, audience, kid, reason, digest."""
    told: list[Authentication] = []
    tokens = service(observer=told.append)
    good, forged = sign(header(), claims(START)), sign(header(kid="k2"), claims(START))
    caller = await tokens.validate(good, source="10.0.0.1")
    await tokens.validate(good, source="10.0.0.1")
    assert await outcome(tokens, forged, source="10.0.0.2") is Refusal.BAD_SIGNATURE
    strange = sign(header(kid="no-such-key"), claims(START, iss="https://evil.example/\x1b[2J" + "x" * 500))
    assert await outcome(tokens, strange) is Refusal.UNKNOWN_ISSUER
    first, second, third, fourth = told
    assert (first.refusal, first.issuer, first.subject, first.client) == (None, ISSUER, "alice", "agent")
    assert (first.audience, first.key_id, first.source) == ((AUDIENCE,), KEY_ID, "10.0.0.1")
    assert first.digest == caller.digest
    assert (first.remembered, second.remembered) == (False, True)
    assert (third.refusal, third.issuer, third.key_id) == (Refusal.BAD_SIGNATURE, ISSUER, "k2")
    assert len(third.digest) == 64
    assert (fourth.refusal, fourth.key_id) == (Refusal.UNKNOWN_ISSUER, "no-such-key")
    assert len(fourth.issuer) < 100
    assert fourth.issuer.isprintable()
    for token in (good, forged, strange):
        assert not [part for part in token.split(".") if part in repr(told)]


async def test_a_refusal_tells_the_client_nothing_of_configuration() -> None:
    """S93; threats 5, error texts: the reason in words; what explains it is for the operator."""
    tokens = service()
    for changed in ({"aud": "https://other.example"}, {"iss": SECOND}, {"tenant_id": None}, {"exp": START - 900}):
        with pytest.raises(TokenError) as caught:
            await tokens.validate(sign(header(), claims(START, **changed)))
        for secret in (ISSUER, AUDIENCE, SECOND, "tenant_id", "other.example"):
            assert secret not in str(caught.value)
