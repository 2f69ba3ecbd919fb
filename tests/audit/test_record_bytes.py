"""The bytes of a record are those that plain `json` gives for what the record says, whatever is asked."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from authz.audit.records import Contents, Decided, decision_record, request_digest
from authz.json_form import abridged, recorded_to_json, request_to_json
from authz.model import Client, Decision, Effect, Fact, Obligation, Part, Reason, Request, Resource, ToolInfo
from authz.tokens.caller import Caller

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMES = st.integers(0, 4_000_000_000_000_000_000)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["\n", '"}\n{"kind":"act"', "\\", "\x00", "\x7f", "\u2028", "\u202e", "😀", "</script>"]
)
LONG = TEXTS | st.integers(1_020, 1_030).map(lambda length: "é" * length)
PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8) | st.sampled_from(
    ["a", '"', "\\u0041", "😀"]
)
NAMES = PLAIN.map(lambda text: unicodedata.normalize("NFC", text)).filter(lambda text: len(text) <= 1_024)
SETS = st.lists(NAMES, max_size=4) | st.lists(NAMES, max_size=4).map(tuple)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(NAMES, inner, max_size=3)
        | st.dictionaries(NAMES, inner, max_size=2).map(MappingProxyType)
    ),
    max_leaves=6,
)
ATTRIBUTES: st.SearchStrategy[Mapping[str, Any]] = st.dictionaries(NAMES, VALUES, max_size=3)
ATTRIBUTES = ATTRIBUTES | ATTRIBUTES.map(MappingProxyType)
HINTS = st.none() | st.booleans()


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw a request that L60 takes, with hostile text wherever text may stand."""
    subject = draw(NAMES)
    unknown = draw(st.frozensets(st.sampled_from(Part)))
    nothing: st.SearchStrategy[Mapping[str, Any]] = st.just({})
    bare = st.builds(Resource, type=NAMES)
    whole = st.builds(Resource, NAMES, LONG, NAMES, ATTRIBUTES, st.lists(TEXTS, max_size=4))
    return Request(
        tool=draw(NAMES.filter(bool)),
        subject=subject,
        anonymous=not subject,
        scopes=draw(SETS),
        roles=draw(SETS),
        tenant=draw(NAMES),
        resource=draw(st.none() | (bare if Part.RESOURCE in unknown else whole)),
        arguments=draw(nothing if Part.ARGUMENTS in unknown else ATTRIBUTES),
        context=draw(nothing if Part.CONTEXT in unknown else ATTRIBUTES),
        subject_attributes=draw(ATTRIBUTES),
        client=draw(st.none() | st.builds(Client, NAMES, ATTRIBUTES)),
        tool_info=draw(st.none() | st.builds(ToolInfo, NAMES, SETS, HINTS, HINTS, HINTS, HINTS)),
        unknown=unknown,
    )


DECISIONS = st.builds(
    Decision,
    st.sampled_from(Effect),
    st.sampled_from(Reason),
    TEXTS,
    st.lists(TEXTS, max_size=60).map(tuple),
    NAMES,
    st.lists(st.builds(Obligation, TEXTS), max_size=3).map(tuple),
)
CALLERS = st.builds(
    lambda issuer, token_id, key_id, digest: Caller(
        issuer, "s", "", (), (), (), "", (), token_id, 0.0, 0.0, datetime.now(UTC), digest, key_id
    ),
    LONG,
    TEXTS,
    TEXTS,
    TEXTS,
)
DECIDED = st.builds(
    Decided,
    requests(),
    DECISIONS,
    TIMES,
    st.integers(0, 10**9),
    TEXTS,
    LONG,
    LONG,
    TEXTS,
    st.lists(st.builds(Fact, TEXTS, VALUES, st.booleans(), VALUES), max_size=2),
    st.integers(0, 9),
    st.none() | CALLERS,
)


def cut(text: str) -> str:
    """Return a text as a record holds it."""
    return text if len(text) <= 1_024 else text[:1_023] + "…"


def written(value: object, *, sort_keys: bool = False) -> str:
    """Return JSON on one line, as `json` writes it."""
    return json.dumps(value, separators=(",", ":"), sort_keys=sort_keys, allow_nan=False, default=dict)


def plainly(decided: Decided, contents: Contents, pseudonym: str = "") -> str:
    """Return the body of a record, made in the obvious way."""
    request, decision = decided.request, decided.decision
    asked = request_to_json(request)
    if pseudonym and request.subject:
        asked["subject"] = pseudonym
    caller = decided.caller
    token = {
        name: cut(value)
        for name in ("issuer", "token_id", "key_id", "digest")
        if caller is not None and (value := getattr(caller, name))
    }
    resource = request.resource or Resource()
    place = {"type": resource.type, "id": cut(resource.id), "tenant": resource.tenant}
    seconds, rest = divmod(decided.time, 10**9)
    members: dict[str, object] = {
        "time": f"{_date(seconds)}.{rest // 1_000:06}Z",
        "kind": "decision",
        "pep": cut(decided.pep),
        "subject": asked.get("subject"),
        "anonymous": request.anonymous,
        "token": {{"token_id": "id", "key_id": "key"}.get(name, name): value for name, value in token.items()},
        "client": request.client.id if request.client is not None else "",
        "tenant": request.tenant,
        "tool": request.tool,
        "resource": {name: value for name, value in place.items() if value},
        "decision": decision.effect.name,
        "reason": decision.reason.name,
        "rules": [cut(name) for name in decision.rules[:50]],
        "policy_revision": decision.policy_revision,
        "directory_revision": decided.directory_revision,
        "request_digest": sha256(written(asked, sort_keys=True).encode()).hexdigest(),
        "attributes": contents.of(request),
        "latency_us": decided.latency_us,
        "request_id": cut(decided.request_id),
        "decision_id": decided.decision_id,
        "trace_id": decided.trace_id,
        "contradictions": [
            {"path": cut(fact.path), "given": abridged(fact.given), "directory": abridged(fact.value)}
            for fact in decided.facts
            if fact.contradicted
        ],
        "obligations": [cut(obligation.name) for obligation in decision.obligations],
        "request": {**recorded_to_json(request), "check": asked} if contents.requests else {},
    }
    return written({name: value for name, value in members.items() if value or name == "latency_us"})


def _date(seconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


@given(DECIDED, st.booleans(), st.sampled_from(["", "p:00112233445566778899aabbccddeeff"]))
def test_a_record_is_written_as_plain_json_would_be(decided: Decided, whole: bool, pseudonym: str) -> None:  # noqa: FBT001  # drawn
    """Issue 6, P5: what is written faster is the same to the byte: chains, digests and whoever reads them."""
    contents = Contents(("context.a", "arguments.a"), whole)
    name = (lambda _tenant, _subject: pseudonym) if pseudonym else None
    assert decision_record(decided, contents, name) == plainly(decided, contents, pseudonym)


@given(requests())
def test_the_digest_is_that_of_the_canonical_json(request: Request) -> None:
    """Issue 3: digest of the normalised request; issue 6: however it is made."""
    assert request_digest(request) == sha256(written(request_to_json(request), sort_keys=True).encode()).hexdigest()


def test_no_record_says_what_another_decision_was() -> None:
    """Issue 6: a decision is written down once for all its records, and never taken for one that lives where it did."""
    request = Request(tool="t", subject="alice")
    for number in range(2_000):
        decision = Decision(Effect.DENY, Reason.NO_ALLOW, "no", (f"rule {number}",), f"r{number}")
        for time in (0, 1):
            record = json.loads(decision_record(Decided(request, decision, time, 0, "d")))
            assert (record["rules"], record["policy_revision"]) == ([f"rule {number}"], f"r{number}")
