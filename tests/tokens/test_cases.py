"""Every hostile token is refused, and for its own reason: through the library, with keys over HTTP."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from authz.tokens.caller import caller_of
from authz.tokens.errors import Refusal, TokenError
from authz.tokens.http import SafeHttp
from authz.tokens.issuer import Introspection
from authz.tokens.revocation import Revocation, Revoked
from authz.tokens.service import TokenService
from authz.tokens.validation import validate
from tests.tokens.cases import GROUPS, Case, cases
from tests.tokens.world import ISSUER, REVOKED, FixedKeys, NoHttp, Published, claims, header, issuer, key_set, sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.tokens.events import Authentication

NOW = time.time()
CATALOGUE = cases(NOW)


@pytest.fixture(scope="module")
def idp() -> Iterator[Published]:
    """Publish the issuer's keys."""
    server = Published({"/keys": key_set()})
    yield server
    server.close()


@pytest.fixture(scope="module")
def trap() -> Iterator[Published]:
    """Listen where nobody may ever ask."""
    server = Published({})
    yield server
    server.close()


@pytest.fixture
def told() -> list[Authentication]:
    """Collect what the observer is told."""
    return []


@pytest.fixture
async def tokens(told: list[Authentication]) -> TokenService:
    """Validate without any network: a request would fail the test."""
    service = TokenService([issuer()], NoHttp(), keys={ISSUER: FixedKeys()}, observer=told.append, clock=lambda: NOW)
    await service.revoke(Revocation(Revoked.TOKEN, ISSUER, REVOKED))
    return service


def test_the_catalogue_is_complete() -> None:
    """180 entries in seven groups, each counted once (threats 3a)."""
    numbers = [re.fullmatch(r"(\w+)-(\d\d)(\w?)-.*", case.id.replace("\n", " ")) for case in CATALOGUE]
    assert all(numbers)
    counted = Counter(found[1] for found in numbers if found and not found[3])
    assert counted == GROUPS
    assert sum(GROUPS.values()) == 180


async def test_the_clean_twin_is_accepted(tokens: TokenService) -> None:
    """Without it, refusing everything would pass."""
    caller = await tokens.validate(sign(header(), claims(NOW)))
    assert (caller.subject, caller.tenant, caller.scopes) == ("alice", "acme", ("files:read", "files:write"))


@pytest.mark.parametrize("case", CATALOGUE, ids=lambda case: case.id)
async def test_a_hostile_token_is_refused_for_its_own_reason(
    case: Case, tokens: TokenService, told: list[Authentication]
) -> None:
    """Issue 4, threats 3a: no unintended accept, one reason each, one event, and no token text in anything said."""
    said = ""
    for fresh in (False, False, True):
        try:
            said += repr(await tokens.validate(case.token, fresh=fresh, source="test"))
            outcome = None
        except TokenError as error:
            outcome = error.reason
            said += f"{error} {error.detail} {error!r}"
        assert outcome is case.expected
    assert [event.refusal for event in told] == [case.expected] * 3
    said += repr(told)
    assert [part for part in case.token[:20_000].split(".") if len(part) >= 12 and part in said] == []


async def outcomes(service: TokenService, catalogue: list[Case]) -> dict[str, Refusal | None]:
    """Return what becomes of each token, None where a caller does."""
    found: dict[str, Refusal | None] = {}
    for case in catalogue:
        try:
            await service.validate(case.token)
            found[case.id] = None
        except TokenError as error:
            found[case.id] = error.reason
    return found


async def test_all_of_it_over_http_with_keys_as_they_are_published(idp: Published, trap: Published) -> None:
    """The same outcomes with keys from a JWKS; one request for it, none to an address in a token (issue 4)."""
    catalogue = cases(NOW, trap.url)
    service = TokenService([issuer(f"{idp.url}/keys")], SafeHttp(loopback_http=True), clock=lambda: NOW)
    await service.revoke(Revocation(Revoked.TOKEN, ISSUER, REVOKED))
    idp.asked.clear()
    found = await outcomes(service, catalogue)
    await service.close()
    assert found == {case.id: case.expected for case in catalogue}
    assert idp.asked == ["/keys"]
    assert trap.asked == []


async def test_introspection_beside_it_opens_no_second_way(idp: Published) -> None:
    """A token that looks like a JWT is never sent to introspection, whoever it says to be from (issue 4, S42)."""
    asks = Introspection(endpoint=f"{idp.url}/introspect", client_id="c", client_secret="s" * 32)
    other = issuer("", issuer=f"{ISSUER}/opaque", algorithms=frozenset(), introspection=asks)
    http = SafeHttp(loopback_http=True)
    service = TokenService([issuer(), other], http, keys={ISSUER: FixedKeys()}, clock=lambda: NOW)
    await service.revoke(Revocation(Revoked.TOKEN, ISSUER, REVOKED))
    idp.asked.clear()
    found = await outcomes(service, CATALOGUE)
    await service.close()
    # Without two or more dots, nothing tells these from opaque tokens.
    opaque = {"form-02-one-dot": Refusal.UNAVAILABLE, "form-04-one-part": Refusal.UNAVAILABLE}
    assert found == {case.id: opaque.get(case.id, case.expected) for case in CATALOGUE}
    assert idp.asked == ["/introspect"] * 2


async def test_the_plain_function_refuses_as_the_service_does() -> None:
    """One function stands behind every door: only revocations need the service."""
    wrong = []
    for case in CATALOGUE:
        try:
            caller_of(await validate(case.token, issuer(), FixedKeys(), NOW), issuer(), "", NOW)
            outcome = None
        except TokenError as error:
            outcome = error.reason
        if outcome is not case.expected:
            wrong.append((case.id, outcome))
    assert wrong == [("rights-14-replay-after-revocation", None)]
