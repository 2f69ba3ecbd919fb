"""The keys of an issuer as they change and fail (issue 4, item 2; S31 to S34; threats 2.1 and 3d, 13 to 23)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from authz.tokens.errors import Refusal, TokenConfigError, TokenError
from authz.tokens.flight import lifetime, pause
from authz.tokens.http import SafeHttp
from authz.tokens.jwks import RemoteKeys, SecretKey
from tests.tokens.jwk import ec_jwk, key_set, rsa_jwk, rsa_key
from tests.tokens.servers import Asked, Server, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

ALLOWED = frozenset({"ES256"})
ONE, TWO, THREE = ec_jwk("one"), ec_jwk("two"), ec_jwk("three")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        """Start anywhere but at zero."""
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self.now


class Issuer:
    """An issuer that publishes keys, and the client that is under test."""

    def __init__(self, server: Server, http: SafeHttp) -> None:
        """Publish one key, to be kept for 600 seconds."""
        self.server = server
        self.http = http
        self.clock = Clock()
        self.said: list[str] = []
        self.publish(ONE, max_age=600)
        self.keys = self.client()

    def client(
        self, *, deadline: float = 10, min_ttl: float = 60, max_ttl: float = 86_400, cooldown: float = 30
    ) -> RemoteKeys:
        """Return a client with settings of its own."""

        async def where() -> str:
            return f"{self.server.url}/keys"

        return RemoteKeys(
            where,
            self.http,
            ALLOWED,
            min_ttl=min_ttl,
            max_ttl=max_ttl,
            cooldown=cooldown,
            deadline=deadline,
            clock=self.clock,
            jitter=lambda: 0.0,
            observe=self.said.append,
        )

    def publish(self, *keys: object, max_age: int = 600) -> None:
        """Let the set be these keys from now on."""
        self.server.answers["/keys"] = answer(key_set(*keys), Cache_Control=f"max-age={max_age}")

    def fail(self, how: bytes | Callable[[Asked], Iterator[bytes]] | None = None) -> None:
        """Answer 500, or as told, from now on."""
        self.server.answers["/keys"] = how if how is not None else answer(b"", 500)

    @property
    def fetches(self) -> int:
        """How often the set was asked for."""
        return self.server.paths().count("/keys")

    async def finds(self, kid: str = "one") -> None:
        """Expect that a key is known."""
        assert (await self.keys.key(kid, "ES256")).kid == kid

    async def refuses(self, kid: str, reason: Refusal = Refusal.UNKNOWN_KEY) -> TokenError:
        """Expect that a key is refused."""
        with pytest.raises(TokenError) as caught:
            await self.keys.key(kid, "ES256")
        assert caught.value.reason is reason
        return caught.value

    async def settled(self) -> None:
        """Wait for the request that is under way."""
        await self.keys._flight.wait()  # the only way to see work that nobody waits for


@pytest.fixture
async def issuer(few: Path) -> AsyncIterator[Issuer]:
    """Return an issuer that works."""
    http = SafeHttp(loopback_http=True, ca_file=few)
    with Server() as server:
        made = Issuer(server, http)
        yield made
        await made.keys.close()
        await http.close()


async def test_a_set_is_asked_for_once_and_kept(issuer: Issuer) -> None:
    """S31, S105."""
    for _ in range(100):
        await issuer.finds()
    assert issuer.fetches == 1
    assert issuer.said == []


async def test_those_who_come_together_share_one_request(issuer: Issuer) -> None:
    """S34: single flight."""
    await asyncio.gather(*(issuer.finds() for _ in range(500)))
    assert issuer.fetches == 1


async def test_a_waiter_that_gives_up_does_not_end_the_request_of_the_others(issuer: Issuer) -> None:
    """Issue 4, item 2: a cancelled caller costs nobody else their answer."""
    issuer.fail(slowly(issuer.server, key_set(ONE)))
    first = asyncio.create_task(issuer.finds())
    second = asyncio.create_task(issuer.finds())
    await asked(issuer)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    issuer.server.released.set()
    await second
    assert issuer.fetches == 1


def slowly(server: Server, body: bytes) -> Callable[[Asked], Iterator[bytes]]:
    """Answer only when released."""

    def wait(_: Asked) -> Iterator[bytes]:
        server.released.wait()
        yield answer(body)

    return wait


async def asked(issuer: Issuer, times: int = 1) -> None:
    """Wait until the server has seen so many requests."""
    while issuer.fetches < times:  # noqa: ASYNC110  # the server is a thread
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({}, 300),
        ({"cache-control": "max-age=600"}, 600),
        ({"cache-control": "public, MAX-AGE=600, must-revalidate"}, 600),
        ({"cache-control": 'max-age="600"'}, 600),
        ({"cache-control": "max-age=600", "age": "100"}, 500),
        ({"cache-control": "max-age=600", "age": "10000"}, 60),
        ({"cache-control": "max-age=1"}, 60),
        ({"cache-control": "max-age=0"}, 60),
        ({"cache-control": "max-age=-5"}, 60),
        ({"cache-control": "max-age=x"}, 60),
        ({"cache-control": "max-age="}, 60),
        ({"cache-control": "max-age=99999999999999999999999999"}, 86_400),
        ({"cache-control": "max-age=600, max-age=100"}, 100),
        ({"cache-control": "s-maxage=600"}, 300),
        ({"cache-control": "no-store, max-age=600"}, 60),
        ({"cache-control": "max-age=600, no-cache"}, 60),
        ({"cache-control": "max-age=²"}, 60),
        ({"cache-control": "max-age=" + "9" * 5_000}, 86_400),
    ],
)
def test_a_set_is_kept_for_as_long_as_it_says_within_bounds(headers: dict[str, str], kept: float) -> None:
    """S31: max-age clamped, no-store to the least; RFC 9111, section 5.2.2."""
    assert lifetime(headers, least=60, most=86_400, unstated=300) == kept


async def test_a_key_that_was_taken_away_is_refused_when_the_set_has_lived_its_time(issuer: Issuer) -> None:
    """Threats 3d-23: a removed key is refused within the TTL."""
    issuer.publish(ONE, TWO)
    await issuer.finds("two")
    issuer.publish(ONE)
    issuer.clock.now += 440
    await issuer.finds("two")
    assert issuer.fetches == 1
    issuer.clock.now += 161
    await issuer.refuses("two")
    assert issuer.fetches == 2
    await issuer.finds()


async def test_a_set_is_renewed_in_the_background_before_its_time_is_over(issuer: Issuer) -> None:
    """Issue 4, item 2: nobody waits for it."""
    await issuer.finds()
    issuer.publish(TWO)
    issuer.clock.now += 451
    await issuer.finds("one")
    await issuer.settled()
    assert issuer.fetches == 2
    await issuer.finds("two")
    await issuer.refuses("one")


async def test_a_new_key_is_known_after_one_request_once_the_cooldown_is_over(issuer: Issuer) -> None:
    """Threats 3d-23; S34: rotation."""
    await issuer.finds()
    issuer.publish(ONE, TWO)
    await issuer.refuses("two")
    assert issuer.fetches == 1
    issuer.clock.now += 30
    await issuer.finds("two")
    assert issuer.fetches == 2


async def test_ten_thousand_unknown_keys_cause_one_request_in_a_cooldown(issuer: Issuer) -> None:
    """S34, CVE-2026-48524; issue 4, speed."""
    await issuer.finds()
    for cooldown in range(1, 4):
        issuer.clock.now += 30
        for number in range(0, 10_000, 100):
            together = (issuer.refuses(f"{cooldown}-{place}") for place in range(number, number + 100))
            await asyncio.gather(*together)
            issuer.clock.now += 0.29
        issuer.clock.now -= 29
        assert issuer.fetches == 1 + cooldown
    await issuer.finds()


async def test_ten_thousand_unknown_keys_at_an_issuer_that_fails_cause_one_request_in_a_cooldown(
    issuer: Issuer,
) -> None:
    """CVE-2026-48524: failures count as well."""
    await issuer.finds()
    issuer.fail()
    issuer.clock.now += 30
    for number in range(10_000):
        await issuer.refuses(str(number), Refusal.UNAVAILABLE)
        issuer.clock.now += 0.0029
    assert issuer.fetches == 2
    await issuer.finds()


async def test_ten_thousand_look_ups_at_a_dead_endpoint_cause_few_requests(issuer: Issuer) -> None:
    """Issue 4, speed: at most ten; here over five minutes."""
    issuer.fail()
    for _ in range(10_000):
        await issuer.refuses("one", Refusal.UNAVAILABLE)
        issuer.clock.now += 0.03
    assert 5 <= issuer.fetches <= 10


async def test_an_endpoint_that_takes_no_connection_is_no_different(issuer: Issuer) -> None:
    """Threats 3d-13."""
    issuer.server.stop()
    error = await issuer.refuses("one", Refusal.UNAVAILABLE)
    assert error.message == "the issuer's keys cannot be reached"
    assert "nothing takes the connection" in error.detail
    issuer.clock.now += 20
    for _ in range(100):
        await issuer.refuses("one", Refusal.UNAVAILABLE)
    assert len(issuer.said) == 1


async def test_an_issuer_that_comes_back_is_believed_again(issuer: Issuer) -> None:
    """Threats 3d-14."""
    issuer.fail()
    await issuer.refuses("one", Refusal.UNAVAILABLE)
    issuer.publish(ONE)
    await issuer.refuses("one", Refusal.UNAVAILABLE)
    issuer.clock.now += 1
    await issuer.finds()


async def test_the_last_keys_stay_good_for_a_bounded_while_when_the_issuer_fails(issuer: Issuer) -> None:
    """S31: stale-if-error; issue 4, item 2."""
    await issuer.finds()
    issuer.fail()
    for _ in range(41):
        issuer.clock.now += 100
        await issuer.finds()
        await issuer.settled()
    issuer.clock.now += 100
    await issuer.refuses("one", Refusal.UNAVAILABLE)
    assert 10 < issuer.fetches <= 43


async def test_after_a_long_silence_keys_are_not_believed_before_the_issuer_was_asked(issuer: Issuer) -> None:
    """Threats 3d-23: nothing is known of keys that were taken away meanwhile; 3d-13: unless it does not answer."""
    await issuer.finds()
    issuer.clock.now += 601
    issuer.publish(TWO)
    await issuer.refuses("one")
    issuer.clock.now += 601
    issuer.fail()
    await issuer.finds("two")
    assert issuer.fetches == 3


async def test_a_known_key_verifies_while_a_request_hangs(issuer: Issuer) -> None:
    """Issue 4, speed; S104: within 5 ms; here a thousand look-ups, none of which waits."""
    await issuer.finds()
    issuer.clock.now += 30
    issuer.fail(issuer.server.hang)
    waiting = asyncio.create_task(issuer.refuses("unknown", Refusal.UNAVAILABLE))
    await asked(issuer, 2)
    for _ in range(1_000):
        # A coroutine that waits for nothing ends when it is first resumed.
        with pytest.raises(StopIteration):
            issuer.keys.key("one", "ES256").send(None)
    assert not waiting.done()
    issuer.server.stop()
    await waiting


async def test_nobody_waits_for_an_issuer_that_is_known_to_fail(issuer: Issuer) -> None:
    """Threats 3d-13 to 21: known keys never wait, not even when their set is over."""
    await issuer.finds()
    issuer.fail()
    issuer.clock.now += 500
    await issuer.finds()
    await issuer.settled()
    issuer.fail(issuer.server.hang)
    issuer.clock.now += 200
    with pytest.raises(StopIteration):
        issuer.keys.key("one", "ES256").send(None)
    await asked(issuer, 3)
    with pytest.raises(StopIteration):
        issuer.keys.key("one", "ES256").send(None)


async def test_a_request_that_drips_ends_in_time(issuer: Issuer) -> None:
    """Threats 3d-16."""
    issuer.keys = issuer.client(deadline=0.3)
    issuer.fail(issuer.server.drip)
    error = await issuer.refuses("one", Refusal.UNAVAILABLE)
    assert "longer than 0.3 s" in error.detail


async def test_an_address_that_is_never_told_ends_in_time(issuer: Issuer) -> None:
    """Issue 4, item 2: the deadline covers discovery too."""

    async def never() -> str:
        await asyncio.Event().wait()
        return ""

    issuer.keys = RemoteKeys(never, issuer.http, ALLOWED, deadline=0.05, clock=issuer.clock)
    await issuer.refuses("one", Refusal.UNAVAILABLE)


BAD_ANSWERS = [
    answer(b"", 500),
    answer(b"", 503),
    answer(key_set(TWO), 201),
    answer(b"", 204),
    answer(b"", 401),
    answer(b"", 404),
    answer(b"", 301, Location="/other"),
    answer(b"<html>sign in</html>"),
    answer(b""),
    answer(key_set()),
    answer(b'{"keys": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    answer(b'{"keys": [' + b",".join([b"{}"] * 20_000) + b"]}"),
    answer(b"x" * 300_000),
    answer({"keys": {}}),
    answer([]),
    b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n",
    b"nonsense\r\n\r\n",
]


@pytest.mark.parametrize("bad", BAD_ANSWERS)
async def test_a_bad_answer_takes_nothing_away_and_adds_nothing(issuer: Issuer, bad: bytes) -> None:
    """Threats 3d-14 to 22: the last good keys are kept."""
    issuer.server.answers["/other"] = answer(key_set(TWO))
    await issuer.finds()
    issuer.fail(bad)
    issuer.clock.now += 700
    await issuer.finds()
    await issuer.refuses("two", Refusal.UNAVAILABLE)
    assert issuer.server.paths() == ["/keys", "/keys"]
    assert len(issuer.said) == 1


@pytest.mark.parametrize("bad", BAD_ANSWERS)
async def test_a_bad_first_answer_is_no_key(issuer: Issuer, bad: bytes) -> None:
    """Threats 3d-14 to 22."""
    issuer.server.answers["/other"] = answer(key_set(ONE))
    issuer.fail(bad)
    await issuer.refuses("one", Refusal.UNAVAILABLE)
    assert issuer.fetches == 1


async def test_keys_that_cannot_be_used_any_longer_are_refused_though_nothing_else_is_published(
    issuer: Issuer,
) -> None:
    """Threats 2.1: an issuer that lists keys was understood; only an empty list is taken for a mistake."""
    await issuer.finds()
    issuer.publish(rsa_jwk("one"), {**TWO, "d": "AQAB"})
    issuer.clock.now += 601
    await issuer.refuses("one")
    assert len(issuer.said) == 2
    assert "key `two` is published with its private half" in issuer.said[1]


async def test_the_same_trouble_is_told_once(issuer: Issuer) -> None:
    """Threats 3d-47: an operator's log is not flooded."""
    issuer.publish(ONE, {**TWO, "use": "enc"})
    for _ in range(5):
        await issuer.finds()
        issuer.clock.now += 601
    assert issuer.fetches == 5
    assert len(issuer.said) == 1


async def test_a_token_without_a_key_name_is_right_for_a_set_of_one_key_alone(issuer: Issuer) -> None:
    """S32; threats 3a: `kid` absent is refused when the set has more than one key."""
    assert (await issuer.keys.key("", "ES256")).kid == "one"
    issuer.publish(ONE, TWO)
    issuer.clock.now += 601
    await issuer.refuses("")
    issuer.publish(rsa_jwk(None))
    issuer.clock.now += 601
    await issuer.refuses("")


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "' OR 1=1 --", "file:///etc/passwd", "one\0", "ONE", "one ", "on", "é" * 1_000, "\r\nx"]
)
async def test_a_hostile_key_name_is_an_unknown_key_and_nothing_else(issuer: Issuer, kid: str) -> None:
    """Threats 2.1 and 3a: a key name is looked up, never a file, a query or an address."""
    await issuer.finds()
    issuer.clock.now += 30
    error = await issuer.refuses(kid)
    assert issuer.server.paths() == ["/keys", "/keys"]
    assert kid not in error.message
    assert "\r" not in error.detail
    assert len(error.detail) < 200


async def test_a_key_is_not_found_for_another_algorithm(issuer: Issuer) -> None:
    """CVE-2026-48523."""
    await issuer.finds()
    for algorithm in ("ES384", "RS256", "HS256", "none", ""):
        with pytest.raises(TokenError):
            await issuer.keys.key("one", algorithm)
    assert issuer.fetches == 1


async def test_a_request_that_is_cut_off_counts_for_the_cooldown(issuer: Issuer) -> None:
    """S34: attempts count, not answers."""
    issuer.fail(issuer.server.hang)
    waiting = asyncio.create_task(issuer.refuses("one", Refusal.UNAVAILABLE))
    await asked(issuer)
    await issuer.keys.close()
    await waiting
    for _ in range(100):
        await issuer.refuses("one", Refusal.UNAVAILABLE)
    assert issuer.fetches == 1


async def test_a_set_that_moved_is_found_where_discovery_then_says(issuer: Issuer) -> None:
    """S14: re-discovery when the address answers 404."""
    place = ["/keys"]

    async def where() -> str:
        return issuer.server.url + place[0]

    def moved() -> None:
        place[0] = "/new"

    issuer.server.answers["/new"] = answer(key_set(TWO))
    issuer.keys = RemoteKeys(where, issuer.http, ALLOWED, clock=issuer.clock, moved=moved)
    await issuer.finds()
    del issuer.server.answers["/keys"]
    issuer.clock.now += 601
    await issuer.finds("two")
    assert issuer.server.paths() == ["/keys", "/keys", "/new"]


async def test_a_clock_that_stands_still_or_jumps_ahead_breaks_nothing(issuer: Issuer) -> None:
    """Threats 3d-10 to 12: times are of a clock that never goes back; a jump ahead only asks again."""
    await issuer.finds()
    issuer.clock.now += 10 * 365 * 86_400
    await issuer.finds()
    assert issuer.fetches == 2
    issuer.clock.now += 10 * 365 * 86_400
    issuer.fail()
    await issuer.refuses("one", Refusal.UNAVAILABLE)


async def test_a_set_that_lives_shorter_than_the_cooldown_is_renewed_all_the_same(issuer: Issuer) -> None:
    """Issue 4, item 2: no setting makes an issuer that answers unavailable."""
    issuer.keys = issuer.client(min_ttl=5, max_ttl=5, cooldown=100)
    for fetches in range(1, 5):
        await issuer.finds()
        assert issuer.fetches == fetches
        issuer.clock.now += 5


async def test_a_library_that_fails_in_a_new_way_leaves_nobody_waiting(issuer: Issuer) -> None:
    """Tokens: no exception of a library escapes."""

    async def broken() -> str:
        raise RuntimeError("planted-secret")

    issuer.keys = RemoteKeys(broken, issuer.http, ALLOWED, clock=issuer.clock, observe=issuer.said.append)
    error = await issuer.refuses("one", Refusal.UNAVAILABLE)
    assert "planted-secret" not in error.detail + "".join(issuer.said)


def test_pauses_double_up_to_a_bound_and_differ_by_chance() -> None:
    """S13; issue 4, item 2: back-off with jitter."""
    steady = [pause(failures, base=1, cap=60, jitter=lambda: 0.0) for failures in range(9)]
    assert steady == [1, 1, 2, 4, 8, 16, 32, 60, 60]
    assert pause(10**9, base=1, cap=60, jitter=lambda: 1.0) == 90
    assert len({pause(3, base=1, cap=60) for _ in range(50)}) > 1


async def test_a_shared_secret_answers_to_every_name_for_its_algorithms() -> None:
    """Issue 4, item 1."""
    source = SecretKey(b"x" * 48, frozenset({"HS256", "HS384"}))
    assert (await source.key("anything", "HS384")).key == b"x" * 48
    for algorithm in ("HS512", "RS256", "none"):
        with pytest.raises(TokenError):
            await source.key("", algorithm)
    assert "xxx" not in repr(await source.key("", "HS256")) + repr(vars(source))


@pytest.mark.parametrize(
    ("secret", "algorithm"),
    [(b"", "HS256"), (b"x" * 31, "HS256"), (b"x" * 47, "HS384"), (b"x" * 63, "HS512"), (b"x" * 99, "RS256")],
)
def test_a_secret_shorter_than_its_hash_does_not_start(secret: bytes, algorithm: str) -> None:
    """Threats 2.1 (empty HMAC keys); RFC 7518, section 3.2."""
    with pytest.raises(TokenConfigError):
        SecretKey(secret, frozenset({algorithm}))


async def test_sixty_four_keys_are_read_in_a_moment(issuer: Issuer) -> None:
    """Issue 4, speed: reading a set does not hold up decisions for long; a second is far more than it takes."""
    issuer.publish(*({**rsa_jwk(f"rsa-{place}"), "kid": f"rsa-{place}"} for place in range(63)), ONE)
    rsa_key()
    began = time.process_time()
    await issuer.finds()
    assert time.process_time() - began < 1


async def test_two_loops_one_after_the_other_may_use_the_same_source(issuer: Issuer) -> None:
    """Issue 4: usable by itself in any Python server, whose tests start a loop each."""
    issuer.fail(issuer.server.hang)

    async def interrupted() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await issuer.keys.key("one", "ES256")

    await asyncio.to_thread(lambda: asyncio.run(interrupted()))
    issuer.publish(ONE)
    issuer.clock.now += 60
    issuer.keys._http = SafeHttp(loopback_http=True)  # connections belong to a loop
    await issuer.finds()
    await issuer.keys._http.close()
