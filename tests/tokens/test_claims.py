"""What a token says of itself and of its caller's rights, under each way of configuring it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.tokens.caller import caller_of
from authz.tokens.claims import check
from authz.tokens.errors import MESSAGES, Refusal, TokenError
from authz.tokens.issuer import Introspection, Issuer
from tests.tokens.world import AUDIENCE, ISSUER, claims, issuer

NOW = 1_800_000_000.0
ENTRA = "https://login.example/{tenantid}/v2.0"
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"


def outcome(settings: Issuer, **changed: object) -> Refusal | None:
    """Return why claims are refused."""
    found = claims(NOW, **changed)
    try:
        check(found, settings, NOW)
        caller_of(found, settings, "digest", NOW)
    except TokenError as error:
        return error.reason
    return None


def test_a_caller_is_what_the_claims_say() -> None:
    """Issue 4, item 6."""
    actors = {"sub": "planner", "act": {"sub": "scheduler", "iss": ISSUER}}
    found = claims(NOW, act=actors, roles=["editor", "editor", "viewer"], department="legal", nbf=NOW)
    settings = issuer(exposed_claims=("department", "absent"))
    check(found, settings, NOW)
    caller = caller_of(found, settings, "d" * 64, NOW, key_id="k1")
    assert (caller.issuer, caller.subject, caller.client, caller.tenant) == (ISSUER, "alice", "agent", "acme")
    assert caller.actors == ("planner", "scheduler")
    assert caller.scopes == ("files:read", "files:write")
    assert caller.roles == ("editor", "viewer")
    assert caller.audience == (AUDIENCE,)
    assert (caller.token_id, caller.digest, caller.key_id) == ("j-1", "d" * 64, "k1")
    assert (caller.expires_at, caller.issued_at) == (NOW + 600, NOW - 5)
    assert caller.validated_at.timestamp() == NOW
    assert caller.claims == {"department": "legal"}


@pytest.mark.parametrize(
    ("changed", "roles"),
    [
        ({"roles": "admin"}, ("admin",)),
        ({"roles": "admin editor"}, ("admin editor",)),
        ({"roles": []}, ()),
        ({"roles": None}, ()),
    ],
)
def test_text_where_roles_are_expected_never_becomes_letters(
    changed: dict[str, object], roles: tuple[str, ...]
) -> None:
    """Issue 4, item 3, and S51: it is one role, as it stands."""
    assert caller_of(claims(NOW, **changed), issuer(), "", NOW).roles == roles


def test_roles_are_found_by_their_path() -> None:
    """Issue 4, item 1: `realm_access.roles`."""
    settings = issuer(roles_path=("realm_access", "roles"))
    found = claims(NOW, realm_access={"roles": ["admin"]}, roles=["ignored"])
    assert caller_of(found, settings, "", NOW).roles == ("admin",)
    assert outcome(settings, realm_access="admin") is Refusal.INVALID_CLAIM
    assert outcome(settings, realm_access=["admin"]) is Refusal.INVALID_CLAIM
    assert outcome(settings, realm_access={"roles": {"admin": 1}}) is Refusal.INVALID_CLAIM
    assert caller_of(claims(NOW, roles=["ignored"]), settings, "", NOW).roles == ()


def test_scopes_may_be_lists_only_where_that_is_configured() -> None:
    """Threats 3a: Okta's `scp` and Auth0's `permissions` are lists, `scope` is text."""
    settings = issuer(scope_claims=("scope", "scp", "permissions"))
    found = claims(NOW, scope="a b", scp=["b", "c"], permissions=["d:e"])
    assert caller_of(found, settings, "", NOW).scopes == ("a", "b", "c", "d:e")
    assert caller_of(claims(NOW, scope=None, scp="x y"), settings, "", NOW).scopes == ("x", "y")
    assert caller_of(claims(NOW, scope=""), settings, "", NOW).scopes == ()
    assert outcome(settings, scope=["a"]) is Refusal.INVALID_CLAIM
    for odd in (["a b"], [""], [1], ['a"'], ["a\\"], {"a": 1}, 7, True):
        assert outcome(settings, scp=odd) is Refusal.INVALID_CLAIM
    for text in (" a", "a ", "a  b", "a\nb", 'a"b', "é"):
        assert outcome(settings, scope=text) is Refusal.INVALID_CLAIM


@pytest.mark.parametrize("leeway", [0.0, 60.0])
def test_times_count_to_the_second_with_their_leeway(leeway: float) -> None:
    """S36 and S37; RFC 7519, section 4.1.4: at `exp` itself it is too late."""
    settings = issuer(leeway=leeway)
    assert outcome(settings, exp=NOW - leeway, iat=NOW - 700) is Refusal.EXPIRED
    assert outcome(settings, exp=NOW - leeway + 1, iat=NOW - 700) is None
    assert outcome(settings, nbf=NOW + leeway) is None
    assert outcome(settings, nbf=NOW + leeway + 1) is Refusal.NOT_YET_VALID
    assert outcome(settings, iat=NOW + leeway) is None
    assert outcome(settings, iat=NOW + leeway + 1) is Refusal.ISSUED_IN_FUTURE


def test_a_lifetime_is_bounded_with_and_without_the_time_of_issue() -> None:
    """S57: leaving `iat` out must not make a token live longer."""
    settings = issuer(max_lifetime=3_600.0, required_claims=("exp",))
    assert outcome(settings, iat=NOW, exp=NOW + 3_600) is None
    assert outcome(settings, iat=NOW, exp=NOW + 3_601) is Refusal.LIFETIME_TOO_LONG
    assert outcome(settings, iat=NOW - 3_600, exp=NOW + 1) is Refusal.LIFETIME_TOO_LONG
    assert outcome(settings, iat=None, exp=NOW + 3_600) is None
    assert outcome(settings, iat=None, exp=NOW + 3_601) is Refusal.LIFETIME_TOO_LONG


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), 10**400, -(10**400), True, "1", [1], {}])
def test_a_time_that_is_no_time_is_refused_by_name(odd: object) -> None:
    """Threats 3a, times: introspection hands over values that no JSON reader of ours has seen."""
    for name in ("exp", "iat", "nbf"):
        assert outcome(issuer(), **{name: odd}) is Refusal.INVALID_CLAIM


def test_audiences_beside_ours_are_taken_only_where_they_are_known() -> None:
    """Issue 4, item 3; S39: ours and only what configuration allows."""
    both = [AUDIENCE, "https://idp.example/userinfo"]
    assert outcome(issuer(), aud=both) is Refusal.WRONG_AUDIENCE
    assert outcome(issuer(known_audiences=frozenset(both[1:])), aud=both) is None
    assert outcome(issuer(known_audiences=frozenset(both[1:])), aud=both[1:]) is Refusal.WRONG_AUDIENCE
    assert outcome(issuer(extra_audiences=True), aud=[AUDIENCE, "https://anything.example"]) is None
    assert outcome(issuer(extra_audiences=True), aud=["https://anything.example"]) is Refusal.WRONG_AUDIENCE
    assert outcome(issuer(extra_audiences=True), aud=[AUDIENCE] * 9) is Refusal.INVALID_CLAIM


def test_the_audience_may_be_in_another_claim() -> None:
    """Cognito's access tokens have no `aud`: the app client in `client_id` stands for it."""
    settings = issuer(audience_claim="client_id", audiences=frozenset({"agent"}))
    assert outcome(settings, aud=None) is None
    assert outcome(settings, aud=None, client_id="another") is Refusal.WRONG_AUDIENCE
    assert outcome(settings, aud=None, client_id=None) is Refusal.MISSING_CLAIM
    assert outcome(settings, aud="agent", client_id=None) is Refusal.MISSING_CLAIM


def test_an_issuer_is_equal_or_it_is_another() -> None:
    """S38, CVE-2024-53861: no prefix, no part, no other spelling (threats 2.1)."""
    for other in (ISSUER[:-1], ISSUER[8:], f"{ISSUER}/", f"{ISSUER}x", ISSUER.upper(), f" {ISSUER}", f"{ISSUER}\0", ""):
        assert outcome(issuer(), iss=other) is Refusal.UNKNOWN_ISSUER
    for odd in ([ISSUER], {ISSUER: 1}, 1, True):
        assert outcome(issuer(), iss=odd) is Refusal.INVALID_CLAIM


def test_a_templated_issuer_names_the_tenant_of_the_token() -> None:
    """Entra ID's `{tenantid}`: a UUID, the same in `tid` and in `iss`, and nothing else."""
    settings = issuer(issuer=ENTRA)
    good = ENTRA.replace("{tenantid}", TENANT)
    assert outcome(settings, iss=good, tid=TENANT) is None
    for iss, tid in (
        (good, None),
        (good, "*"),
        (good, TENANT.upper()),
        (good, TENANT.replace("7", "8")),
        (good, [TENANT]),
        (ENTRA, "{tenantid}"),
        (good.replace(TENANT, "common"), "common"),
        (good + "/", TENANT),
        (good.replace("login", "evil"), TENANT),
        (good.replace(TENANT, f"{TENANT}/v2.0/x"), f"{TENANT}/v2.0/x"),
    ):
        assert outcome(settings, iss=iss, tid=tid) is Refusal.UNKNOWN_ISSUER


def test_what_an_issuer_is_expected_to_say_has_to_be_there() -> None:
    """Cognito's `token_use`, Keycloak's `typ`: by text, never by likeness."""
    settings = issuer(expected_claims={"token_use": "access"})
    assert outcome(settings, token_use="access") is None
    assert outcome(settings) is Refusal.MISSING_CLAIM
    for other in ("id", "Access", ["access"], {"access": 1}, True):
        assert outcome(settings, token_use=other) is Refusal.WRONG_TYPE


def test_tenants_are_those_configured() -> None:
    """S69 and S70: missing where it is required is a refusal, never a wildcard."""
    assert outcome(issuer(tenant_required=False), tenant_id=None) is None
    assert caller_of(claims(NOW, tenant_id=None), issuer(tenant_required=False), "", NOW).tenant == ""
    only = issuer(tenant_required=False, tenants=frozenset({"acme"}))
    assert outcome(only) is None
    assert outcome(only, tenant_id="globex") is Refusal.INVALID_CLAIM
    assert outcome(only, tenant_id=None) is Refusal.TENANT_MISSING
    for odd in ("", "*", "ac*", ["acme"], {"acme": 1}, 1, True, "a\0"):
        assert outcome(issuer(tenant_required=False), tenant_id=odd) is Refusal.INVALID_CLAIM


def test_clients_act_for_the_tenants_that_they_are_configured_for() -> None:
    """S74."""
    settings = issuer(tenant_required=False, client_tenants={"agent": frozenset({"acme"}), "internal": frozenset()})
    assert outcome(settings) is None
    assert outcome(settings, tenant_id="globex") is Refusal.CLIENT_NOT_ALLOWED
    assert outcome(settings, tenant_id=None) is Refusal.CLIENT_NOT_ALLOWED
    assert outcome(settings, client_id="another") is Refusal.CLIENT_NOT_ALLOWED
    assert outcome(settings, client_id=None) is Refusal.CLIENT_NOT_ALLOWED
    assert outcome(settings, client_id="internal", tenant_id=None) is None
    assert outcome(settings, client_id="internal") is Refusal.CLIENT_NOT_ALLOWED
    assert outcome(settings, azp="agent") is None
    assert outcome(settings, azp="internal") is Refusal.INVALID_CLAIM


def test_everything_that_can_be_many_is_bounded() -> None:
    """Threats 2.1 and 3a, S97: what a token may hold of each, and one more."""

    def chain(length: int) -> dict[str, object]:
        return {"sub": "a"} if length == 1 else {"sub": "a", "act": chain(length - 1)}

    for name, most, one_more in (
        ("scope", " ".join(f"s{n}" for n in range(512)), " ".join(f"s{n}" for n in range(513))),
        ("roles", [f"r{n}" for n in range(512)], [f"r{n}" for n in range(513)]),
        ("sub", "a" * 1_024, "a" * 1_025),
        ("jti", "a" * 1_024, "a" * 1_025),
    ):
        assert outcome(issuer(), **{name: most}) is None
        assert outcome(issuer(), **{name: one_more}) is Refusal.INVALID_CLAIM
    assert outcome(issuer(), act=chain(4)) is None
    assert outcome(issuer(), act=chain(5)) is Refusal.ACTOR_CHAIN_TOO_LONG
    assert outcome(issuer(), act={"sub": "a", "iss": "https://evil.example"}) is Refusal.INVALID_CLAIM


def test_what_is_no_bearer_access_token_is_refused_from_introspection_too() -> None:
    """RFC 8705, RFC 9449 and S92: the same function checks a JWT's claims and an introspection's answer."""
    for name in ("nonce", "at_hash", "c_hash", "s_hash", "events", "token_introspection"):
        assert outcome(issuer(), **{name: "x"}) is Refusal.WRONG_TYPE
    for changed in ({"token_use": "id"}, {"typ": "ID"}, {"typ": "Refresh"}, {"typ": ["Bearer"]}):
        assert outcome(issuer(), **changed) is Refusal.WRONG_TYPE
    assert outcome(issuer(), token_use="access", typ="Bearer") is None
    for proof in ({"jkt": "x"}, {}, "x", False):
        assert outcome(issuer(), cnf=proof) is Refusal.PROOF_REQUIRED
    assert outcome(issuer(), exp=NOW + 5, nbf=NOW + 30) is Refusal.INVALID_CLAIM
    assert outcome(issuer(), sub="e\u0301ric") is Refusal.INVALID_CLAIM


def test_an_introspection_may_leave_out_what_is_not_required_but_never_err() -> None:
    """RFC 7662, section 2.2: a missing member skips its check only by configuration (CVE-2026-11718)."""
    asks = Introspection(endpoint="https://idp.example/introspect", client_id="c", client_secret="s", positive_ttl=30.0)
    settings = issuer("", required_claims=("sub",), introspection=asks)
    found = claims(NOW, iss=None, aud=None, exp=None, iat=None)
    check(found, settings, NOW)
    caller = caller_of(found, settings, "", NOW)
    assert (caller.issuer, caller.audience, caller.expires_at, caller.issued_at) == (ISSUER, (), NOW + 30, 0.0)
    assert outcome(settings, iss="https://evil.example") is Refusal.UNKNOWN_ISSUER
    assert outcome(settings, aud="https://other.example") is Refusal.WRONG_AUDIENCE
    assert outcome(settings, exp=NOW - 100) is Refusal.EXPIRED
    assert outcome(issuer("", required_claims=()), sub=None) is Refusal.MISSING_CLAIM
    for name in ("iss", "aud", "exp", "iat"):
        assert outcome(issuer("", required_claims=("sub", name)), **{name: None}) is Refusal.MISSING_CLAIM


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
NAMES = (
    "iss",
    "aud",
    "sub",
    "exp",
    "iat",
    "nbf",
    "jti",
    "scope",
    "scp",
    "roles",
    "tenant_id",
    "client_id",
    "azp",
    "act",
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_claims_of_any_type_give_a_caller_or_a_refusal(changed: dict[str, object]) -> None:
    """No exception but ours, and a caller's parts are always texts (issue 4, item 3)."""
    found = {**claims(NOW), **changed}
    try:
        check(found, issuer(), NOW)
        caller = caller_of(found, issuer(), "", NOW)
    except TokenError:
        return
    assert caller.subject
    assert caller.tenant
    for part in (*caller.scopes, *caller.roles, *caller.actors, *caller.audience, caller.client, caller.token_id):
        assert isinstance(part, str)


def test_every_refusal_has_a_text_for_the_client() -> None:
    """Issue 4, item 3; S27, S93: a stable reason, and a text that is safe."""
    assert set(MESSAGES) == set(Refusal)
    assert len(set(MESSAGES.values())) == len(MESSAGES)
