"""What was revoked stays revoked for as long as it could still be used."""

from __future__ import annotations

import itertools

import pytest

from authz.errors import InvalidRequestError
from authz.tokens.revocation import MemoryRevocations, Revocation, RevocationsFullError, Revoked
from tests.tokens.test_cache import NOW, Clock, caller
from tests.tokens.world import ISSUER

OTHER = "https://other.example"


async def revoked(*revocations: Revocation) -> MemoryRevocations:
    """Return a table that holds these."""
    table = MemoryRevocations()
    for revocation in revocations:
        await table.revoke(revocation, keep=100)
    return table


async def test_a_token_is_revoked_within_its_issuer() -> None:
    """RFC 7519, section 4.1.7: a `jti` is unique for one issuer only."""
    table = await revoked(Revocation(Revoked.TOKEN, ISSUER, "j-1"))
    assert await table.is_revoked(caller())
    assert await table.is_revoked(caller(issued_at=NOW + 1e6))
    assert not await table.is_revoked(caller(token_id="j-2"))
    assert not await table.is_revoked(caller(token_id=""))
    assert not await table.is_revoked(caller(issuer=OTHER))


async def test_a_subject_is_revoked_up_to_a_time() -> None:
    """Whoever signs in again afterwards has a new token, and that one counts."""
    table = await revoked(Revocation(Revoked.SUBJECT, ISSUER, "alice", NOW))
    assert await table.is_revoked(caller(issued_at=NOW))
    assert await table.is_revoked(caller(issued_at=0.0))
    assert not await table.is_revoked(caller(issued_at=NOW + 1))
    assert not await table.is_revoked(caller("bob"))
    assert not await table.is_revoked(caller(issuer=OTHER))


async def test_an_issuer_and_everything_are_revoked_up_to_a_time() -> None:
    """Keycloak's CVE-2026-8922 (threats 2.1): a realm's "not before" counts."""
    table = await revoked(Revocation(Revoked.ISSUER, ISSUER, before=NOW))
    assert await table.is_revoked(caller("bob"))
    assert not await table.is_revoked(caller(issuer=OTHER))
    table = await revoked(Revocation(Revoked.EVERYTHING, before=NOW))
    assert await table.is_revoked(caller(issuer=OTHER))
    assert not await table.is_revoked(caller(issued_at=NOW + 1))


async def test_no_name_is_taken_for_another_kind_of_name() -> None:
    """Threats 2.4: a token's id, a subject and an issuer of the same text are three things."""
    table = await revoked(Revocation(Revoked.TOKEN, ISSUER, "alice"))
    assert not await table.is_revoked(caller("alice", "j-1"))
    table = await revoked(Revocation(Revoked.SUBJECT, ISSUER, "j-1", NOW))
    assert not await table.is_revoked(caller("alice", "j-1"))


async def test_revoking_again_never_revokes_less() -> None:
    """The later time counts, in whatever order they come."""
    early, late = (Revocation(Revoked.SUBJECT, ISSUER, "alice", NOW + more) for more in (0, 10))
    for order in itertools.permutations((early, late)):
        table = await revoked(*order)
        assert await table.is_revoked(caller(issued_at=NOW + 10))


async def test_a_full_table_refuses_rather_than_forgets() -> None:
    """Dropping the oldest would let its tokens in again; what can no longer matter makes room."""
    clock = Clock()
    table = MemoryRevocations(most=2, clock=clock)
    await table.revoke(Revocation(Revoked.TOKEN, ISSUER, "j-1"), keep=100)
    await table.revoke(Revocation(Revoked.TOKEN, ISSUER, "j-2"), keep=10)
    with pytest.raises(RevocationsFullError):
        await table.revoke(Revocation(Revoked.TOKEN, ISSUER, "j-3"), keep=100)
    await table.revoke(Revocation(Revoked.TOKEN, ISSUER, "j-1"), keep=100)
    clock.now += 10
    await table.revoke(Revocation(Revoked.TOKEN, ISSUER, "j-3"), keep=100)
    assert await table.is_revoked(caller(token_id="j-1"))
    assert not await table.is_revoked(caller(token_id="j-2"))


@pytest.mark.parametrize(
    ("what", "issuer", "name", "before"),
    [
        (Revoked.TOKEN, "", "j-1", NOW),
        (Revoked.TOKEN, ISSUER, "", NOW),
        (Revoked.SUBJECT, ISSUER, "", NOW),
        (Revoked.SUBJECT, ISSUER, "alice", float("inf")),
        (Revoked.ISSUER, ISSUER, "alice", NOW),
        (Revoked.ISSUER, ISSUER, "", float("nan")),
        (Revoked.EVERYTHING, ISSUER, "", NOW),
        (Revoked.EVERYTHING, "", "alice", NOW),
    ],
)
def test_a_revocation_that_leaves_open_what_it_means_cannot_be_made(
    what: Revoked, issuer: str, name: str, before: float
) -> None:
    """It would revoke nothing, or more than was meant."""
    with pytest.raises(InvalidRequestError):
        Revocation(what, issuer, name, before)
