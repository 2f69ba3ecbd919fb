"""Ask an issuer what an opaque token is (RFC 7662).

Only the answer `"active": true` counts, and what it says is checked as a JWT's claims are. An
issuer that cannot be asked is never taken for one that says no: the caller learns that nothing is
known, and nothing is remembered.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from authz.errors import AuthzError, InvalidRequestError
from authz.json_form import read_json
from authz.tokens.claims import check
from authz.tokens.errors import HttpError, Refusal, TokenError, refused
from authz.tokens.flight import pause
from authz.tokens.sharing import Sharing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from authz.tokens.http import Http, Response
    from authz.tokens.issuer import Introspection, Issuer

DEADLINE: Final = 3.0
"""Seconds for one question, with all that it takes to know where to ask."""
MAX_ANSWER: Final = 32 * 1024
MAX_ACTIVE: Final = 2_000
"""Answers that are kept; those that say no are kept apart, so that they never displace these."""
MAX_INACTIVE: Final = 10_000
MAX_ASKING: Final = 256
"""Questions at the same time; what an issuer does not answer must not pile up here."""
_PATIENCE: Final = 3
"""Failures in a row before an issuer is left alone for a moment."""

_T = TypeVar("_T")
_Claims = Mapping[str, object]


class Introspector:
    """Asks one issuer. What it was told is kept for a moment, for the same token of the same issuer alone.

    `where` returns the endpoint, and raises an `AuthzError` when it cannot be known; it is not
    asked where configuration names one. All calls come from one event loop.
    """

    def __init__(
        self,
        issuer: Issuer,
        http: Http,
        where: Callable[[], Awaitable[str]],
        *,
        deadline: float = DEADLINE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nothing yet. `clock` never runs backwards, so that no kept answer comes back."""
        assert issuer.introspection is not None  # whoever routes tokens knows whom to ask
        self._issuer = issuer
        self._settings: Introspection = issuer.introspection
        self._http = http
        self._where = where
        self._deadline = deadline
        self._clock = clock
        self._active: _Kept[_Claims] = _Kept(MAX_ACTIVE, clock)
        self._inactive: _Kept[bool] = _Kept(MAX_INACTIVE, clock)
        self._sharing: Sharing[_Claims] = Sharing()
        self._asking = 0
        self._failures = 0
        self._alone_until = 0.0

    async def introspect(self, token: str, now: float, *, fresh: bool = False) -> _Claims:
        """Return what the issuer says of a token, all of it checked; `now` is in seconds since 1970, UTC.

        `fresh` asks the issuer whatever is kept. Raises `TokenError`: INACTIVE when the issuer says
        so or says nothing clear, UNAVAILABLE when it cannot be asked, else what `claims.check` finds.
        """
        key = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        claims = None if fresh else self._active.get(key)
        if claims is None:
            if not fresh and self._inactive.get(key):
                raise refused(Refusal.INACTIVE, "the issuer said so a moment ago")
            ask = functools.partial(self._ask, token, key)
            claims = await (ask() if fresh else self._sharing.once(key, ask))
        check(claims, self._issuer, now)  # what is kept may have expired meanwhile
        self._keep(key, claims, now)
        return claims

    async def _ask(self, token: str, key: bytes) -> _Claims:
        if self._clock() < self._alone_until:
            raise refused(Refusal.UNAVAILABLE, "the introspection endpoint failed repeatedly and is left alone")
        if self._asking >= MAX_ASKING:
            raise refused(Refusal.UNAVAILABLE, f"{MAX_ASKING} questions to the introspection endpoint are open already")
        self._asking += 1
        try:
            async with asyncio.timeout(self._deadline):
                response = await self._post(token)
            answer = _read(response)
        except (TimeoutError, AuthzError) as error:
            self._failed()
            raise _unavailable(error, self._deadline) from None
        finally:
            self._asking -= 1
        self._failures = 0
        return self._claims(answer, key)

    async def _post(self, token: str) -> Response:
        settings = self._settings
        return await self._http.post(
            settings.endpoint or await self._where(),
            {"token": token, "token_type_hint": "access_token"},
            basic=(settings.client_id, settings.client_secret),
            deadline=self._deadline,
            max_bytes=MAX_ANSWER,
        )

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= _PATIENCE:
            self._alone_until = self._clock() + pause(self._failures - _PATIENCE + 1, base=0.5, cap=10.0)

    def _claims(self, answer: Mapping[str, object], key: bytes) -> _Claims:
        """Return what an answer says of an active token."""
        active = answer.get("active")
        self._active.drop(key)  # what was kept is no longer what the issuer says
        self._inactive.drop(key)
        if active is not True:
            if active is False:
                self._inactive.put(key, True, self._settings.negative_ttl)
                raise refused(Refusal.INACTIVE, "the issuer says so")
            raise refused(Refusal.INACTIVE, "the issuer's answer does not say `active` as RFC 7662 has it")
        _check_token_type(answer)
        claims = {name: value for name, value in answer.items() if name != "active"}
        if "iss" not in self._issuer.required_claims:
            claims.setdefault("iss", self._issuer.issuer)  # it is the issuer itself that says all this
        return claims

    def _keep(self, key: bytes, claims: _Claims, now: float) -> None:
        expires = claims.get("exp")
        ttl = self._settings.positive_ttl
        if isinstance(expires, int | float):
            ttl = min(ttl, expires - now)
        if self._active.get(key) is not claims:  # being asked for does not make an answer younger
            self._active.put(key, claims, ttl)


class _Kept(Generic[_T]):
    """Values that are forgotten after their time, the one put longest ago first when there are too many."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._held: OrderedDict[bytes, tuple[_T, float]] = OrderedDict()

    def get(self, key: bytes) -> _T | None:
        found = self._held.get(key)
        if found is None:
            return None
        if found[1] <= self._clock():
            del self._held[key]
            return None
        return found[0]

    def drop(self, key: bytes) -> None:
        self._held.pop(key, None)

    def put(self, key: bytes, value: _T, ttl: float) -> None:
        if ttl <= 0:
            return
        self.drop(key)
        self._held[key] = (value, self._clock() + ttl)
        if len(self._held) > self._most:
            self._held.popitem(last=False)


def _read(response: Response) -> Mapping[str, object]:
    """Read an answer; raises `TokenError` for one that is no answer to the question."""
    if response.status in {401, 403}:
        raise refused(Refusal.UNAVAILABLE, "the issuer does not take `introspection.client_id` and its secret")
    if response.status != 200:
        raise refused(Refusal.UNAVAILABLE, f"the introspection endpoint answers with status {response.status}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise refused(Refusal.UNAVAILABLE, "the introspection endpoint's answer is not application/json")
    try:
        answer = read_json(response.body.decode())
    except (UnicodeDecodeError, InvalidRequestError):
        raise refused(Refusal.UNAVAILABLE, "the introspection endpoint's answer is no JSON within bounds") from None
    if not isinstance(answer, dict):
        raise refused(Refusal.UNAVAILABLE, "the introspection endpoint's answer is no object")
    return answer


def _check_token_type(answer: Mapping[str, object]) -> None:
    """Refuse what is active but no bearer access token: endpoints answer for refresh tokens too."""
    kind = answer.get("token_type", "bearer")
    named = kind.lower() if isinstance(kind, str) else ""
    if named in {"dpop", "pop", "mac"}:
        raise refused(Refusal.PROOF_REQUIRED, "`token_type` binds it to a key")
    if named not in {"bearer", "access_token"}:
        raise refused(Refusal.WRONG_TYPE, "`token_type` says that it is no bearer token")


def _unavailable(error: TimeoutError | AuthzError, deadline: float) -> TokenError:
    if isinstance(error, TokenError):
        return error
    if isinstance(error, TimeoutError):
        return refused(Refusal.UNAVAILABLE, f"the issuer did not answer within {deadline:g} seconds")
    where = "the introspection endpoint" if isinstance(error, HttpError) else "where to introspect"
    return refused(Refusal.UNAVAILABLE, f"{where}: {error}")
