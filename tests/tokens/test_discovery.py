"""Where an issuer says that its endpoints are, and when it is not believed (C2, S12 to S14; threats 2.2 and 3d-30)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from authz.tokens.discovery import ATTEMPTS, Discovery, DiscoveryError, Metadata, addresses, read_metadata
from authz.tokens.errors import Refusal, TokenConfigError, TokenError
from authz.tokens.http import SafeHttp
from authz.tokens.jwks import RemoteKeys
from tests.tokens.jwk import ec_jwk, key_set
from tests.tokens.servers import Asked, Server, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

WELL_KNOWN = "/.well-known/"
FORMS = (
    "/.well-known/oauth-authorization-server/a",
    "/.well-known/openid-configuration/a",
    "/a/.well-known/openid-configuration",
)
HOME = frozenset({"https://issuer.example"})


class Asking:
    """An issuer with a path, and the client that is under test, which never really sleeps."""

    def __init__(self, server: Server, http: SafeHttp) -> None:
        """Publish nothing yet."""
        self.server = server
        self.http = http
        self.issuer = f"{server.url}/a"
        self.now = 1_000.0
        self.slept: list[float] = []
        self.said: list[str] = []
        self.discovery = self.client()

    def client(self, deadline: float = 10, origins: frozenset[str] = frozenset()) -> Discovery:
        """Return a client with settings of its own."""

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        return Discovery(
            self.issuer,
            self.http,
            origins=origins,
            deadline=deadline,
            clock=lambda: self.now,
            jitter=lambda: 0.0,
            sleep=sleep,
            observe=self.said.append,
        )

    def document(self, **members: object) -> dict[str, object]:
        """Return the issuer's document, changed."""
        return {"issuer": self.issuer, "jwks_uri": f"{self.server.url}/keys", **members}

    def publish(self, form: str = FORMS[0], members: Mapping[str, object] | None = None) -> None:
        """Answer at a form with the document, changed."""
        self.server.answers[form] = answer(self.document(**(members or {})))

    async def unavailable(self) -> TokenError:
        """Expect that there is no document."""
        with pytest.raises(TokenError) as caught:
            await self.discovery.metadata()
        assert caught.value.reason is Refusal.UNAVAILABLE
        return caught.value

    async def settled(self) -> None:
        """Wait for the requests that are under way."""
        await self.discovery._flight.wait()  # the only way to see work that nobody waits for


@pytest.fixture
async def asking(few: Path) -> AsyncIterator[Asking]:
    """Return an issuer that publishes nothing."""
    http = SafeHttp(loopback_http=True, ca_file=few)
    with Server() as server:
        made = Asking(server, http)
        yield made
        await made.discovery.close()
        await http.close()


@pytest.mark.parametrize(
    ("issuer", "paths"),
    [
        ("https://issuer.example", ["oauth-authorization-server", "openid-configuration"]),
        ("https://issuer.example/", ["oauth-authorization-server", "openid-configuration"]),
        (
            "https://issuer.example/realms/one",
            ["oauth-authorization-server/realms/one", "openid-configuration/realms/one"],
        ),
        ("https://issuer.example/a/", ["oauth-authorization-server/a", "openid-configuration/a"]),
    ],
)
def test_a_document_is_looked_for_in_the_order_of_the_specification(issuer: str, paths: list[str]) -> None:
    """C2; RFC 8414, sections 3.1 and 5."""
    expected = [f"https://issuer.example{WELL_KNOWN}{path}" for path in paths]
    if issuer.rstrip("/") != "https://issuer.example":
        expected.append(issuer.rstrip("/") + WELL_KNOWN + "openid-configuration")
    assert addresses(issuer) == tuple(expected)


def test_an_issuer_for_every_tenant_is_asked_for_what_is_common_to_them() -> None:
    """Issue 4, item 1: the template of Entra ID."""
    assert addresses("https://login.example/{tenantid}/v2.0")[2] == (
        "https://login.example/common/v2.0/.well-known/openid-configuration"
    )


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "issuer.example",
        "ftp://issuer.example",
        "https://issuer.example?a=b",
        "https://issuer.example#a",
        "https://a@issuer.example",
        "https://issuer.example/../a",
        "https://login.example/{tenantid}/{tenantid}",
        "https://issuer.example/{other}",
    ],
)
def test_an_issuer_that_is_no_plain_address_does_not_start(issuer: str) -> None:
    """RFC 8414, section 2; issue 4, item 1."""
    with pytest.raises(TokenConfigError):
        Discovery(issuer, SafeHttp())


def test_an_origin_that_is_no_plain_address_does_not_start() -> None:
    """Issue 4, item 1."""
    with pytest.raises(TokenConfigError):
        Discovery("https://issuer.example", SafeHttp(), origins=frozenset({"*.example"}))


@pytest.mark.parametrize("form", FORMS)
async def test_a_document_is_taken_from_the_first_form_that_has_it(asking: Asking, form: str) -> None:
    """C2: 4xx leads to the next form, and is not asked for again."""
    asking.publish(form, {"introspection_endpoint": f"{asking.server.url}/ask"})
    found = await asking.discovery.metadata()
    assert found.jwks_uri == f"{asking.server.url}/keys"
    assert found.introspection_endpoint == await asking.discovery.introspection_endpoint()
    assert asking.server.paths() == list(FORMS[: FORMS.index(form) + 1])
    assert asking.slept == []


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 405, 410, 429])
async def test_nothing_of_its_own_is_asked_for_twice(asking: Asking, status: int) -> None:
    """S13: 4xx is not retried, and a redirect is not followed."""
    for form in FORMS:
        asking.server.answers[form] = answer(b"", status, Location="/other")
    await asking.unavailable()
    assert asking.server.paths() == list(FORMS)
    assert asking.slept == []


async def test_what_may_pass_is_asked_again_a_bounded_number_of_times(asking: Asking) -> None:
    """S13: at most five attempts, with growing pauses."""
    asking.server.answers[FORMS[0]] = answer(b"", 503)
    error = await asking.unavailable()
    assert asking.server.paths().count(FORMS[0]) == ATTEMPTS
    assert asking.server.paths().count(FORMS[1]) == 1
    assert asking.slept == [0.2, 0.4, 0.8, 1.6]
    assert "answered 503" in error.detail


async def test_an_issuer_that_recovers_is_heard_within_the_same_round(asking: Asking) -> None:
    """S13."""

    def recovering(_: Asked) -> Iterator[bytes]:
        failing = asking.server.paths().count(FORMS[0]) < 3
        yield answer(b"", 500) if failing else answer(asking.document())

    asking.server.answers[FORMS[0]] = recovering
    await asking.discovery.metadata()
    assert len(asking.slept) == 2
    assert asking.said == []


async def test_an_issuer_that_is_down_is_asked_at_one_form_only(asking: Asking) -> None:
    """S13: the other forms are at the same host."""
    seen = 0

    def cut(_: Asked) -> Iterator[bytes]:
        nonlocal seen
        seen += 1
        yield b""
        raise OSError

    for form in FORMS:
        asking.server.answers[form] = cut
    await asking.unavailable()
    assert seen == ATTEMPTS


async def test_one_deadline_holds_for_all_attempts(asking: Asking) -> None:
    """S13; threats 3d-15 and 16."""
    asking.discovery = asking.client(deadline=0.3)
    asking.server.answers[FORMS[0]] = asking.server.drip
    error = await asking.unavailable()
    assert "longer than 0.3 s" in error.detail
    assert len(asking.server.paths()) == 1


async def test_those_who_come_together_share_one_round(asking: Asking) -> None:
    """Issue 4, item 2: single flight."""
    asking.publish()
    found = await asyncio.gather(*(asking.discovery.metadata() for _ in range(200)))
    assert len(set(found)) == 1
    assert len(asking.server.paths()) == 1


async def test_a_waiter_that_gives_up_does_not_end_the_round_of_the_others(asking: Asking) -> None:
    """Issue 4, item 2."""

    def slow(_: Asked) -> Iterator[bytes]:
        asking.server.released.wait()
        yield answer(asking.document())

    asking.server.answers[FORMS[0]] = slow
    first = asyncio.create_task(asking.discovery.metadata())
    second = asyncio.create_task(asking.discovery.metadata())
    while not asking.server.asked:  # noqa: ASYNC110  # the server is a thread
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    asking.server.released.set()
    assert (await second).jwks_uri


async def test_ten_thousand_questions_to_an_issuer_that_is_down_are_few_requests(asking: Asking) -> None:
    """Issue 4, speed: a dead endpoint is left alone for longer and longer."""
    asking.server.stop()
    for _ in range(10_000):
        await asking.unavailable()
    assert len(asking.slept) == ATTEMPTS - 1
    assert len(asking.said) == 1


def document(**members: object) -> bytes:
    """Return a document of `https://issuer.example`, changed."""
    return json.dumps({"issuer": "https://issuer.example", **members}).encode()


@pytest.mark.parametrize(
    "issuer",
    [
        "https://issuer.example/",
        "https://Issuer.example",
        "https://issuer.example:443",
        "http://issuer.example",
        "https://issuer.example.evil.example",
        "https://issuer.exampl",
        "https://issuer.example\0",
        " https://issuer.example",
        "https://evil.example",
        "",
        None,
        1,
        ["https://issuer.example"],
        {"https://issuer.example": 1},
    ],
)
def test_a_document_of_another_issuer_is_refused(issuer: object) -> None:
    """C2, S12: identical, byte for byte; CVE-2026-104056; threats 3d-30."""
    with pytest.raises(DiscoveryError):
        read_metadata(document(issuer=issuer), "https://issuer.example", HOME)


def test_a_document_that_names_no_issuer_is_refused() -> None:
    """C2."""
    with pytest.raises(DiscoveryError, match="of nobody"):
        read_metadata(b"{}", "https://issuer.example", HOME)


ELSEWHERE = [
    "https://evil.example/keys",
    "http://issuer.example/keys",
    "https://issuer.example:8443/keys",
    "https://issuer.example.evil.example/keys",
    "https://issuer.example@evil.example/keys",
    "https://evil.example/https://issuer.example/",
    "https://sub.issuer.example/keys",
    "//issuer.example/keys",
    "/keys",
    "file:///etc/passwd",
    "https://169.254.169.254/keys",
    "",
    1,
    ["https://issuer.example/keys"],
]


@pytest.mark.parametrize("name", ["jwks_uri", "introspection_endpoint"])
@pytest.mark.parametrize("place", ELSEWHERE)
def test_a_document_that_places_keys_or_introspection_elsewhere_is_refused_whole(name: str, place: object) -> None:
    """CVE-2026-104056: endpoints are at the issuer's origin, or where configuration says."""
    with pytest.raises(DiscoveryError, match=name):
        read_metadata(document(**{name: place}), "https://issuer.example", HOME)


@pytest.mark.parametrize("place", ELSEWHERE)
def test_other_endpoints_elsewhere_are_not_known(place: object) -> None:
    """CVE-2026-104056: nothing is sent there."""
    found = read_metadata(document(revocation_endpoint=place), "https://issuer.example", HOME)
    assert found == Metadata("https://issuer.example")


def test_an_origin_that_configuration_names_counts_as_the_issuers_own() -> None:
    """Issue 4, item 2: Google has its keys at another host."""
    origins = HOME | {"https://keys.example"}
    found = read_metadata(document(jwks_uri="https://keys.example/certs"), "https://issuer.example", origins)
    assert found.jwks_uri == "https://keys.example/certs"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>sign in</html>",
        b"[]",
        b"null",
        b'{"issuer": "https://issuer.example", "issuer": "https://issuer.example"}',
        b'{"issuer": "https://issuer.example", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"issuer": "https://issuer.example", "a": NaN}',
        b'{"issuer": "https://issuer.example", "a": "\xff"}',
        b'\xef\xbb\xbf{"issuer": "https://issuer.example"}',
        b'{"issuer": "https://issuer.example"} {}',
    ],
)
def test_what_is_no_document_is_refused(body: bytes) -> None:
    """Threats 3d-17 to 21, 2.2."""
    with pytest.raises(DiscoveryError):
        read_metadata(body, "https://issuer.example", HOME)


async def test_a_page_in_the_place_of_a_document_leads_to_the_next_form(asking: Asking) -> None:
    """C2: some servers answer every address with a page of theirs."""
    asking.server.answers[FORMS[0]] = answer(b"<html>welcome</html>")
    asking.server.answers[FORMS[1]] = answer(asking.document(issuer=asking.server.url))
    asking.publish(FORMS[2])
    assert (await asking.discovery.metadata()).issuer == asking.issuer
    assert asking.server.paths() == list(FORMS)


@pytest.mark.parametrize(
    "poison",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "https://evil.example/keys"},
        {"introspection_endpoint": "https://evil.example/ask"},
        {"jwks_uri": "http://169.254.169.254/keys"},
    ],
)
async def test_a_poisoned_document_never_takes_the_place_of_a_good_one(
    asking: Asking, poison: dict[str, object]
) -> None:
    """Threats 3d-30; CVE-2026-104056: the old one stays, and the operator is told, once."""
    asking.publish(members={"introspection_endpoint": f"{asking.server.url}/ask"})
    good = await asking.discovery.metadata()
    asking.publish(members=poison)
    for _ in range(10):
        asking.now += 4_000
        assert await asking.discovery.metadata() == good
        await asking.settled()
    assert len(asking.said) == 1
    asking.publish(members={"jwks_uri": f"{asking.server.url}/new"})
    asking.now += 4_000
    await asking.discovery.metadata()
    await asking.settled()
    assert await asking.discovery.jwks_uri() == f"{asking.server.url}/new"


async def test_a_document_is_renewed_when_its_time_is_over_and_nobody_waits_for_it(asking: Asking) -> None:
    """S14."""
    asking.server.answers[FORMS[0]] = answer(asking.document(), Cache_Control="max-age=1000")
    await asking.discovery.metadata()
    asking.publish(members={"jwks_uri": f"{asking.server.url}/new"})
    asking.now += 999
    await asking.discovery.metadata()
    assert len(asking.server.paths()) == 1
    asking.now += 2
    assert (await asking.discovery.metadata()).jwks_uri.endswith("/keys")
    await asking.settled()
    assert (await asking.discovery.metadata()).jwks_uri.endswith("/new")


async def test_the_last_good_document_is_kept_while_the_issuer_fails(asking: Asking) -> None:
    """S14."""
    asking.publish()
    good = await asking.discovery.metadata()
    asking.server.stop()
    for _ in range(1_000):
        asking.now += 40
        assert await asking.discovery.metadata() == good
        await asking.settled()
    # 40 000 seconds, of which the document counts for 3 600: a round of five about each 300 to 450 after that.
    assert len(asking.slept) < 150 * (ATTEMPTS - 1)


async def test_keys_that_moved_are_found_again_through_the_document(asking: Asking) -> None:
    """S14: an address of keys that answers 404 has the document looked at anew."""
    asking.publish()
    asking.server.answers["/keys"] = answer(key_set(ec_jwk("one")))
    keys = RemoteKeys(
        asking.discovery.jwks_uri,
        asking.http,
        frozenset({"ES256"}),
        moved=asking.discovery.doubt,
        clock=lambda: asking.now,
    )
    await keys.key("one", "ES256")
    del asking.server.answers["/keys"]
    asking.publish(members={"jwks_uri": f"{asking.server.url}/new"})
    asking.server.answers["/new"] = answer(key_set(ec_jwk("two")))
    asking.now += 500
    assert (await keys.key("two", "ES256")).kid == "two"
    assert asking.server.paths()[2:] == ["/keys", FORMS[0], "/new"]
    await keys.close()


async def test_doubt_about_an_issuer_that_fails_is_not_a_way_to_flood_it(asking: Asking) -> None:
    """Issue 4, item 2: at most one round in a cooldown."""
    asking.publish()
    good = await asking.discovery.metadata()
    for _ in range(1_000):
        asking.discovery.doubt()
        assert await asking.discovery.metadata() == good
    assert len(asking.server.paths()) == 1


async def test_doubt_ends_when_the_issuer_was_asked(asking: Asking) -> None:
    """S14: one look for one doubt."""
    asking.publish()
    await asking.discovery.metadata()
    asking.discovery.doubt()
    for _ in range(5):
        asking.now += 100
        await asking.discovery.metadata()
    assert len(asking.server.paths()) == 2


async def test_a_round_that_is_cut_off_counts_for_the_cooldown(asking: Asking) -> None:
    """Issue 4, item 2: attempts count, not answers."""
    asking.server.answers[FORMS[0]] = asking.server.hang
    waiting = asyncio.create_task(asking.unavailable())
    while not asking.server.asked:  # noqa: ASYNC110  # the server is a thread
        await asyncio.sleep(0)
    await asking.discovery.close()
    await waiting
    for _ in range(100):
        await asking.unavailable()
    assert len(asking.server.paths()) == 1


async def test_a_document_without_what_is_needed_says_so(asking: Asking) -> None:
    """S12."""
    asking.publish()
    with pytest.raises(TokenError) as caught:
        await asking.discovery.introspection_endpoint()
    assert caught.value.reason is Refusal.UNAVAILABLE
    assert "states no `introspection_endpoint`" in caught.value.detail


async def test_what_an_issuer_sends_is_shown_short_and_escaped(asking: Asking) -> None:
    """Threats 3d-47."""
    for form in FORMS:
        asking.publish(form, {"issuer": "evil\n\x1b[31m" + "x" * 500})
    error = await asking.unavailable()
    assert "\n" not in error.detail
    assert "\x1b" not in error.detail
    assert len(error.detail) < 300
