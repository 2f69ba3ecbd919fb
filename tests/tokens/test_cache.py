"""What is remembered of validated tokens: for whom, for how long, and that no two questions are one."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tokens.cache import MAX_TTL, Entry, RefusedTokens, TokenCache, cache_key, configuration_digest
from authz.tokens.caller import Caller
from authz.tokens.errors import Refusal, TokenError, refused
from authz.tokens.issuer import Introspection, Issuer
from authz.tokens.revocation import Revocation, Revoked
from tests.tokens.world import ISSUER, issuer

NOW = 1_800_000_000.0


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        """Start somewhere."""
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def caller(subject: str = "alice", token_id: str = "j-1", issued_at: float = NOW, issuer: str = ISSUER) -> Caller:
    """Return a caller."""
    return Caller(
        issuer=issuer,
        subject=subject,
        client="agent",
        actors=(),
        scopes=(),
        roles=(),
        tenant="acme",
        audience=(),
        token_id=token_id,
        expires_at=NOW + 600,
        issued_at=issued_at,
        validated_at=datetime.fromtimestamp(NOW, UTC),
        digest="d",
    )


# Few and short texts, with what separators are made of, so that collisions would be found.
WORDS = st.sampled_from(["", "a", "b", "ab", "a,b", 'a"', "a\0", "a|b", "[]", "1", "{tenantid}"])
SETS = st.frozensets(WORDS, max_size=3)
TUPLES = st.lists(WORDS, max_size=3).map(tuple)
ISSUERS = st.builds(
    Issuer,
    issuer=WORDS,
    audiences=SETS,
    algorithms=SETS,
    jwks_uri=WORDS,
    discovery=st.booleans(),
    secret=st.sampled_from([b"", b"a", b"b"]),
    types=SETS,
    leeway=st.sampled_from([0.0, 1.0, 60.0]),
    required_claims=TUPLES,
    scope_claims=TUPLES,
    scope_lists=SETS,
    roles_path=TUPLES,
    tenant_path=TUPLES,
    tenant_required=st.booleans(),
    tenants=SETS,
    client_tenants=st.dictionaries(WORDS, SETS, max_size=2),
    expected_claims=st.dictionaries(WORDS, WORDS, max_size=2),
    introspection=st.none()
    | st.builds(Introspection, endpoint=WORDS, client_id=WORDS, client_secret=st.just("s"), positive_ttl=st.just(1.0)),
)
QUESTIONS = st.tuples(st.binary(max_size=4), st.lists(ISSUERS, max_size=2))


def key_of(question: tuple[bytes, list[Issuer]]) -> bytes:
    """Return the key of a token under a configuration."""
    token, issuers = question
    return cache_key(configuration_digest(issuers), token)


def canonical(question: tuple[bytes, list[Issuer]]) -> object:
    """Return what makes a question the same: the token, and the issuers in whatever order."""
    token, issuers = question
    return token, sorted(repr([dataclasses.asdict(one), one.secret]) for one in map(_sorted_sets, issuers))


def _sorted_sets(one: Issuer) -> Issuer:
    changed: dict[str, object] = {}
    for field in dataclasses.fields(one):
        value = getattr(one, field.name)
        if isinstance(value, frozenset):
            changed[field.name] = tuple(sorted(value))
        elif isinstance(value, dict):
            changed[field.name] = sorted((k, sorted(v) if isinstance(v, frozenset) else v) for k, v in value.items())
    return dataclasses.replace(one, **changed)  # type: ignore[arg-type]  # only for its repr


@given(QUESTIONS, QUESTIONS)
def test_no_two_questions_share_a_key(one: tuple[bytes, list[Issuer]], other: tuple[bytes, list[Issuer]]) -> None:
    """CVE-2026-35039 and eleven others (threats 2.4): `key(a) == key(b)` exactly when a and b are the same."""
    assert (key_of(one) == key_of(other)) is (canonical(one) == canonical(other))


@given(ISSUERS, st.data())
def test_one_setting_changed_changes_the_key(one: Issuer, data: st.DataObject) -> None:
    """As above, for questions that differ in one place; each field counts."""
    other = data.draw(ISSUERS)
    name = data.draw(st.sampled_from([field.name for field in dataclasses.fields(Issuer)]))
    changed = dataclasses.replace(one, **{name: getattr(other, name)})
    assert (configuration_digest([one]) == configuration_digest([changed])) is (one == changed)


def test_every_setting_is_in_the_key() -> None:
    """A setting that is added later cannot be forgotten: whatever is no secret of ours takes part."""
    base = issuer()
    for field in dataclasses.fields(Issuer):
        value = getattr(base, field.name)
        other: object
        match value:
            case bool():
                other = not value
            case str():
                other = value + "x"
            case bytes():
                other = value + b"x"
            case float():
                other = value + 1
            case frozenset():
                other = value | {"x"}
            case tuple():
                other = (*value, "x")
            case dict():
                other = {**value, "x": frozenset("x")} if field.name == "client_tenants" else {**value, "x": "x"}
            case _:
                other = Introspection("e", "c", "s")
        changed = dataclasses.replace(base, **{field.name: other})  # type: ignore[arg-type]  # of the field's type
        assert configuration_digest([changed]) != configuration_digest([base]), field.name


def test_the_key_gives_no_token_and_no_secret_away() -> None:
    """Issue 4, item 5: claims only; the key may leave the process."""
    key = cache_key(configuration_digest([issuer(secret=b"s3cret" * 8)]), b"token-text")
    assert len(key) == 64
    assert b"token" not in key
    one, other = (issuer(introspection=Introspection("e", "c", secret)) for secret in ("hunter2", "hunter3"))
    assert configuration_digest([one]) == configuration_digest([other])


async def test_an_entry_lives_for_its_time_by_a_clock_that_cannot_run_backwards() -> None:
    """S45, and threats 3d 10 to 12."""
    clock = Clock()
    cache = TokenCache(clock=clock)
    await cache.put(b"k", Entry(caller()), 10)
    clock.now += 9.9
    assert await cache.get(b"k") == Entry(caller())
    clock.now += 0.1
    assert await cache.get(b"k") is None
    clock.now -= 10
    assert await cache.get(b"k") is None


async def test_no_entry_lives_longer_than_five_minutes() -> None:
    """S45, whatever is asked for."""
    clock = Clock()
    cache = TokenCache(clock=clock)
    await cache.put(b"k", Entry(caller()), 1e9)
    clock.now += MAX_TTL
    assert await cache.get(b"k") is None
    await cache.put(b"k", Entry(caller()), 0)
    assert await cache.get(b"k") is None


async def test_the_longest_unused_entry_goes_first() -> None:
    """S45: bounded, whoever fills it."""
    cache = TokenCache(most=3)
    for key in (b"a", b"b", b"c"):
        await cache.put(key, Entry(caller()), 10)
    await cache.get(b"a")
    for number in range(2):
        await cache.put(b"%d" % number, Entry(caller()), 10)
    assert len(cache) == 3
    assert await cache.get(b"a") is not None
    assert await cache.get(b"b") is None
    assert await cache.get(b"c") is None


@pytest.mark.parametrize(
    ("revocation", "left"),
    [
        (Revocation(Revoked.TOKEN, ISSUER, "j-1"), {"old-bob", "elsewhere"}),
        (Revocation(Revoked.SUBJECT, ISSUER, "alice", NOW), {"new", "old-bob", "elsewhere"}),
        (Revocation(Revoked.ISSUER, ISSUER, before=NOW), {"new", "elsewhere"}),
        (Revocation(Revoked.EVERYTHING, before=NOW), {"new"}),
        (Revocation(Revoked.EVERYTHING, before=NOW + 9), set()),
    ],
)
async def test_a_revocation_purges_what_it_covers(revocation: Revocation, left: set[str]) -> None:
    """Issue 4, item 5: `jti`, `sub`, issuer, everything before a time."""
    entries = {
        "old": caller(),
        "new": caller(issued_at=NOW + 1),
        "old-bob": caller("bob", "j-2"),
        "elsewhere": caller(issuer="https://other.example"),
    }
    cache = TokenCache()
    for name, one in entries.items():
        await cache.put(name.encode(), Entry(one), 10)
    await cache.purge(revocation)
    assert {name for name in entries if await cache.get(name.encode())} == left


def test_only_refusals_that_last_are_remembered_and_not_for_long() -> None:
    """Threats 2.2: a negative cache is shorter, and holds no errors."""
    clock = Clock()
    tokens = RefusedTokens(clock=clock)
    for reason in Refusal:
        tokens.remember(reason.value.encode(), refused(reason, "why"))
    held = set()
    for reason in Refusal:
        try:
            tokens.check(reason.value.encode())
        except TokenError as error:
            held.add((reason, error.reason))
    assert held == {(reason, reason) for reason in (Refusal.MALFORMED, Refusal.BAD_SIGNATURE)}
    clock.now += 5
    tokens.check(Refusal.MALFORMED.value.encode())


def test_refusals_are_bounded() -> None:
    """A flood of bad tokens costs no memory."""
    tokens = RefusedTokens(most=2)
    for key in (b"a", b"b", b"c"):
        tokens.remember(key, refused(Refusal.BAD_SIGNATURE))
    tokens.check(b"a")
    with pytest.raises(TokenError):
        tokens.check(b"c")
