"""Ask an issuer where its endpoints are (RFC 8414, OpenID Connect Discovery), and believe only what is its own."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from authz.errors import AuthzError, InvalidRequestError
from authz.json_form import read_json, shown
from authz.tokens.errors import HttpError, Refusal, TokenConfigError, TokenError
from authz.tokens.flight import Flight, lifetime, pause
from authz.tokens.urls import read_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from authz.tokens.http import Http, Response

MAX_BYTES: Final = 64 * 1024
"""Of one document."""
ATTEMPTS: Final = 5
"""At an address that fails in a way that may pass (S13)."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 2.0
"""Seconds between those attempts."""
TTL: Final = (300.0, 3_600.0, 86_400.0)
"""Seconds that a document counts: at least, where it does not say, at most."""
COOLDOWN: Final = 30.0
LONGEST_COOLDOWN: Final = 300.0
"""Seconds between two rounds of requests; they double from the first to the longest while the issuer fails."""

_MUST_BE_OURS: Final = ("jwks_uri", "introspection_endpoint")
"""What is trusted with keys or tokens: a document that places one of them elsewhere is refused as a whole."""
_OTHERS: Final = ("revocation_endpoint", "authorization_endpoint", "token_endpoint", "userinfo_endpoint")
"""A document may place these elsewhere; then we do not know them."""
_TEMPLATE: Final = "{tenantid}"


class DiscoveryError(AuthzError):
    """Raised when an issuer's document cannot be had, or is not the issuer's own; the text says why."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where an issuer has what; "" where the document does not say."""

    issuer: str
    jwks_uri: str = ""
    introspection_endpoint: str = ""
    revocation_endpoint: str = ""
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str = ""


def addresses(issuer: str) -> tuple[str, ...]:
    """Return where the document may be, in the order in which to ask.

    For an issuer with a path: RFC 8414 and OpenID Connect with the well-known part before the path, then
    OpenID Connect with it at the end. Raises `TokenConfigError` for an issuer that is no plain URL.
    """
    try:
        place = read_url(issuer.replace(_TEMPLATE, "common", 1))
    except HttpError as error:
        raise TokenConfigError(f"issuer `{shown(issuer)}`: {error}") from None
    if place.query is not None:
        raise TokenConfigError(f"issuer `{shown(issuer)}`: an issuer has no query (RFC 8414, section 2)")
    path = place.path.rstrip("/")
    forms = [
        f"{place.origin}/.well-known/oauth-authorization-server{path}",
        f"{place.origin}/.well-known/openid-configuration{path}",
    ]
    if path:
        forms.append(f"{place.origin}{path}/.well-known/openid-configuration")
    return tuple(forms)


def read_metadata(body: bytes, issuer: str, origins: frozenset[str]) -> Metadata:
    """Read a document that must be the issuer's: named so byte for byte, its endpoints at `origins`.

    Raises `DiscoveryError`.
    """
    try:
        found = read_json(body.decode())
    except (UnicodeDecodeError, InvalidRequestError):
        raise DiscoveryError("the document is not valid JSON, or holds a name twice") from None
    if not isinstance(found, dict):
        raise DiscoveryError("the document is no object")
    stated = found.get("issuer")
    if stated != issuer:
        other = f"`{shown(stated)}`" if isinstance(stated, str) else "nobody"
        raise DiscoveryError(f"the document is of {other}, not of `{shown(issuer)}`")
    return Metadata(
        issuer=issuer,
        **{name: _endpoint(found, name, origins, required=True) for name in _MUST_BE_OURS},
        **{name: _endpoint(found, name, origins, required=False) for name in _OTHERS},
    )


def _endpoint(found: Mapping[str, object], name: str, origins: frozenset[str], *, required: bool) -> str:
    address = found.get(name)
    if address is None:
        return ""
    try:
        return _own(address, origins)
    except HttpError as error:
        if required:
            raise DiscoveryError(f"`{name}` of `{shown(str(found['issuer']))}`: {error}") from None
        return ""


def _own(address: object, origins: frozenset[str]) -> str:
    if not isinstance(address, str):
        raise HttpError("the address is not text")
    if read_url(address).origin not in origins:
        raise HttpError("the address is elsewhere; name its origin in the configuration to allow that")
    return address


class Discovery:
    """The document of one issuer, as it changes. It belongs to one event loop.

    `origins` are those beside the issuer's own at which its endpoints may be (`https://www.googleapis.com`).
    The last good document is kept until a better one comes: one that cannot be had, or is not the
    issuer's, never takes its place. `observe` takes one line about each failure; it must not raise.
    Raises `TokenConfigError` for an issuer or an origin that is no plain URL.
    """

    def __init__(  # noqa: PLR0913  # each is a setting of its own, and all but two have a default
        self,
        issuer: str,
        http: Http,
        *,
        origins: frozenset[str] = frozenset(),
        deadline: float = 10,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        observe: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Ask for nothing yet."""
        self._issuer = issuer
        self._forms = addresses(issuer)
        self._origins = frozenset(_origin(text) for text in (self._forms[0], *origins))
        self._http = http
        self._deadline = deadline
        self._clock = clock
        self._jitter = jitter
        self._sleep = sleep
        self._observe = observe
        self._held: Metadata | None = None
        self._fresh_until = self._not_before = clock()
        self._doubted = False
        self._failures = 0
        self._problem = "the issuer was not asked yet"
        self._flight = Flight(self._renew)

    async def metadata(self) -> Metadata:
        """Return the document: at once where one is held, while a newer one is fetched beside it when its time is over.

        Raises `TokenError` with `UNAVAILABLE` when there is none.
        """
        now = self._clock()
        if self._held is None or self._doubted or now >= self._fresh_until:
            if now >= self._not_before and not self._flight.running:
                self._not_before = now + COOLDOWN
                self._flight.start()
            if self._held is None or self._doubted:
                await self._flight.wait()
        if self._held is None:
            raise TokenError(Refusal.UNAVAILABLE, "the issuer's configuration cannot be reached", self._problem)
        return self._held

    async def jwks_uri(self) -> str:
        """Return where the keys are. Raises `TokenError`."""
        return self._stated((await self.metadata()).jwks_uri, "jwks_uri")

    async def introspection_endpoint(self) -> str:
        """Return where to ask about opaque tokens. Raises `TokenError`."""
        return self._stated((await self.metadata()).introspection_endpoint, "introspection_endpoint")

    def doubt(self) -> None:
        """Look again before the document is next used: an address in it answered that it is gone."""
        self._doubted = True

    async def close(self) -> None:
        """End the requests that are under way."""
        await self._flight.close()

    def _stated(self, address: str, name: str) -> str:
        if not address:
            why = f"the document of `{shown(self._issuer)}` states no `{name}`"
            raise TokenError(Refusal.UNAVAILABLE, "the issuer's configuration cannot be used", why)
        return address

    async def _renew(self) -> None:
        self._doubted = False
        try:
            async with asyncio.timeout(self._deadline):
                self._held, answer = await self._first_good()
        except TimeoutError:
            self._failed(f"the document of `{shown(self._issuer)}` took longer than {self._deadline:g} s")
        except AuthzError as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001  # a defect must not leave those who wait without an answer
            self._failed(f"the document of `{shown(self._issuer)}` could not be read ({type(error).__name__})")
        else:
            least, unstated, most = TTL
            now = self._clock()
            self._failures = 0
            self._fresh_until = now + lifetime(answer.headers, least=least, most=most, unstated=unstated)
            self._not_before = now + COOLDOWN

    def _failed(self, why: str) -> None:
        self._failures += 1
        first, longest = (FIRST_PAUSE * 5, COOLDOWN) if self._held is None else (COOLDOWN, LONGEST_COOLDOWN)
        self._not_before = self._clock() + pause(self._failures, base=first, cap=longest, jitter=self._jitter)
        if why != self._problem:
            self._observe(why)
        self._problem = why

    async def _first_good(self) -> tuple[Metadata, Response]:
        """Ask at each form in turn, and again where a failure may pass. Raises `DiscoveryError`."""
        open_forms = list(self._forms)
        problems: dict[str, str] = {}
        for attempt in range(1, ATTEMPTS + 1):
            for form in tuple(open_forms):
                try:
                    answer = await self._http.get(form, deadline=self._deadline, max_bytes=MAX_BYTES)
                    if answer.status == 200:
                        return read_metadata(answer.body, self._issuer, self._origins), answer
                except HttpError as error:
                    problems[form] = str(error)
                    if not error.status:
                        break  # no answer at all: the other forms are at the same host
                    open_forms.remove(form)
                except DiscoveryError as error:
                    problems[form] = str(error)
                    open_forms.remove(form)
                else:
                    if answer.status >= 500:
                        problems[form] = f"`{form}` answered {answer.status}"
                    else:
                        open_forms.remove(form)
            if not open_forms or attempt == ATTEMPTS:
                break
            await self._sleep(pause(attempt, base=FIRST_PAUSE, cap=LONGEST_PAUSE, jitter=self._jitter))
        missing = f"`{shown(self._issuer)}` has no document at any of its {len(self._forms)} well-known addresses"
        raise DiscoveryError(next(iter(problems.values()), missing))


def _origin(text: str) -> str:
    try:
        return read_url(text).origin
    except HttpError as error:
        raise TokenConfigError(f"origin `{shown(text)}`: {error}") from None
