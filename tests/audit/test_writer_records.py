"""What a record says, and that what is recorded can be decided again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given

from authz.audit.records import (
    Contents,
    Decided,
    act_record,
    authentication_record,
    decision_record,
    loss_record,
    request_digest,
)
from authz.errors import InvalidRequestError
from authz.json_form import (
    read_json,
    recorded_to_json,
    request_from_json,
    request_from_recorded,
    request_to_json,
)
from authz.model import Act, Client, Decision, Effect, Fact, Obligation, Part, Reason, Request, Resource, ToolInfo
from tests.strategies import Policy, build, cases

if TYPE_CHECKING:
    from authz.model import Value

DECISION = Decision(Effect.DENY, Reason.NO_ALLOW, "no", ("doc:owner",), "rev1", (Obligation("log", {"x": "y"}),))
REQUEST = Request(
    tool="read_doc",
    subject="alice",
    scopes=("b", "a", "b"),
    roles=("r",),
    tenant="acme",
    resource=Resource("document", "d1", "acme", {"owner": "alice"}, ("folder:2", "folder:1")),
    arguments={"path": "/x"},
    context={"ip": "10.0.0.1", "deep": {"a": {"b": 1}}},
    subject_attributes={"department": "law"},
    client=Client("agent", {"trust": 3}),
    tool_info=ToolInfo("srv", ("t",), read_only=False),
    now=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    entities={("folder", "1"): {"owner": "bob"}, ("subject", "bob"): {}},
)
TIME = 1_767_323_045_000_678_000  # 2026-01-02T03:04:05.000678Z


def decided(request: Request = REQUEST, **more: Any) -> Decided:  # noqa: ANN401  # its other members
    """Return a decision as the server hands it over."""
    return Decided(request, DECISION, TIME, 17, "id1")._replace(**more)


def test_a_record_says_who_asked_what_and_what_came_of_it_in_a_fixed_order() -> None:
    """Issue 3, decision log, and S5, S28, S63: the list of what one record holds."""
    facts = (Fact("resource.tenant", "globex", contradicted=True, given="acme"), Fact("resource.owner", "bob"))
    entry = decided(request_id="r-7", pep="ipv4:127.0.0.1:5", trace_id="ab" * 16, facts=facts, directory_revision=9)
    record = json.loads(decision_record(entry, Contents(("context.ip",))))
    digest = record.pop("request_digest")
    assert len(bytes.fromhex(digest)) == 32
    assert record == {
        "time": "2026-01-02T03:04:05.000678Z",
        "kind": "decision",
        "pep": "ipv4:127.0.0.1:5",
        "subject": "alice",
        "client": "agent",
        "tenant": "acme",
        "tool": "read_doc",
        "resource": {"type": "document", "id": "d1", "tenant": "acme"},
        "decision": "DENY",
        "reason": "NO_ALLOW",
        "rules": ["doc:owner"],
        "policy_revision": "rev1",
        "directory_revision": 9,
        "attributes": {"context.ip": "10.0.0.1"},
        "latency_us": 17,
        "request_id": "r-7",
        "decision_id": "id1",
        "trace_id": "ab" * 16,
        "contradictions": [{"path": "resource.tenant", "given": "acme", "directory": "globex"}],
        "obligations": ["log"],
    }
    assert list(record)[:4] == ["time", "kind", "pep", "subject"]


def test_what_is_empty_is_left_out_and_the_latency_is_not() -> None:
    """Issue 3: one record; a latency of 0 is one."""
    record = json.loads(decision_record(decided(Request(tool="t", anonymous=True), latency_us=0)))
    names = {"time", "kind", "anonymous", "tool", "decision", "reason", "rules", "policy_revision"}
    assert set(record) == names | {"request_digest", "latency_us", "decision_id", "obligations"}


@pytest.mark.parametrize("hostile", ["a\nb", "\x1b[31mred", "x\r\ny", "\u2028", "\u202e", "nul\0", '"}\n{"kind":"act"'])
def test_one_record_is_one_line_of_ascii_whatever_is_in_it(hostile: str) -> None:
    """Threats 3d-47: log injection in every string field."""
    request = replace(
        REQUEST,
        resource=Resource("document", hostile, "acme", {"a": hostile}),
        context={"ip": hostile},
    )
    fact = Fact(f"resource.{hostile}", hostile, contradicted=True, given=[hostile])
    decision = replace(DECISION, rules=(hostile,), obligations=(Obligation(hostile),))
    entry = decided(request, decision=decision, facts=(fact,), request_id=hostile, pep=hostile, trace_id=hostile)
    act = act_record("policy.put", Act(hostile, "cli", hostile), {"name": hostile})
    for line in (
        decision_record(entry, Contents(("context.ip", "resource.attributes.a"), requests=True)),
        authentication_record("refused", pep=hostile, method=hostile, reason=hostile),
        act,
    ):
        assert line.isascii()
        assert line.isprintable()
        assert line.startswith('{"time":"')
        json.loads(line)
    record = json.loads(decision_record(entry))
    assert record["resource"]["id"] == hostile
    assert json.loads(act)["kind"] == "act"


def test_no_string_of_a_record_is_longer_than_its_bound() -> None:
    """Issue 3: everything that comes from outside is bounded."""
    long = "x" * 100_000
    request = replace(REQUEST, resource=Resource("document", long), context={"ip": long})
    decision = replace(DECISION, rules=(long,) * 200, obligations=(Obligation(long),) * 200)
    fact = Fact(long, long, contradicted=True, given=long)
    entry = decided(request, decision=decision, facts=(fact,) * 200, pep=long, request_id=long)
    record = json.loads(decision_record(entry, Contents(("context.ip",))))
    assert len(record["rules"]) == len(record["contradictions"]) == len(record["obligations"]) == 50
    texts = [record["pep"], record["request_id"], record["resource"]["id"], record["rules"][0]]
    texts += [record["attributes"]["context.ip"], *record["contradictions"][0].values(), record["obligations"][0]]
    assert all(len(text) <= 1_024 and text.endswith("…") for text in texts)


def test_attributes_enter_a_record_only_where_they_are_named() -> None:
    """Issue 3, S64: attributes by allow-list; SECURITY.md: secrets in arguments never reach the log."""
    canary = "s3cret-4711"
    held: dict[str, Value] = {"password": canary, "deep": {"also": canary}, "ok": 1}
    request = replace(
        REQUEST,
        arguments=held,
        context=held,
        subject_attributes=held,
        resource=Resource("document", "d", "", held),
        client=Client("c", held),
        entities={("subject", "bob"): held},
    )
    paths = ("arguments.ok", "context.deep.gone", "resource.attributes.ok", "client.attributes.ok.more")
    line = decision_record(decided(request), Contents(paths))
    assert canary not in line
    assert "password" not in line
    assert json.loads(line)["attributes"] == {"arguments.ok": 1, "resource.attributes.ok": 1}
    assert "attributes" not in json.loads(decision_record(decided(request)))
    assert canary in decision_record(decided(request), Contents(requests=True))  # the test can fail
    record = json.loads(decision_record(decided(request), Contents(("context.deep.also",))))
    assert record["attributes"] == {"context.deep.also": canary}


@pytest.mark.parametrize("path", ["", "ip", "context", "context.", "tenant.x", "context..ip", "contexts.ip"])
def test_a_path_that_begins_nowhere_is_refused(path: str) -> None:
    """CONTRIBUTING.md: refuse to start rather than run weak: a typo would leave the attribute out for years."""
    with pytest.raises(ValueError, match="is no path of an attribute"):
        Contents((path,))


def test_two_spellings_of_one_question_have_one_digest() -> None:
    """Issue 3: digest of the normalised request: order and doubles in sets are no difference, values are."""
    assert REQUEST.resource is not None
    same = replace(
        REQUEST,
        scopes=["a", "b"],
        roles=("r", "r"),
        resource=replace(REQUEST.resource, ancestors=("folder:1", "folder:2", "folder:1")),
        context=MappingProxyType(dict(reversed(list(REQUEST.context.items())))),
        now=None,
        entities={},
    )
    assert request_digest(same) == request_digest(REQUEST)
    for other in (
        replace(REQUEST, scopes=("a",)),
        replace(REQUEST, arguments={"path": "/y"}),
        replace(REQUEST, resource=None),
        replace(REQUEST, resource=Resource()),
        replace(REQUEST, tool_info=ToolInfo("srv", ("t",))),
    ):
        assert request_digest(other) != request_digest(REQUEST)
    assert request_digest(replace(REQUEST, resource=None)) != request_digest(replace(REQUEST, resource=Resource()))


def test_a_pseudonym_stands_for_the_subject_wherever_the_record_names_it() -> None:
    """Issue 3: subject optionally pseudonymised with a per-tenant key; erasure must leave nothing behind."""
    asked: list[tuple[str, str]] = []

    def pseudonym(tenant: str, subject: str) -> str:
        asked.append((tenant, subject))
        return "p-1"

    request = replace(REQUEST, resource=None)
    line = decision_record(decided(request), Contents(), pseudonym)
    assert json.loads(line)["subject"] == "p-1"
    assert asked == [("acme", "alice")]
    assert "alice" not in line
    # Whoever knows all else of a request must not find the subject by trying.
    assert json.loads(line)["request_digest"] == request_digest(replace(request, subject="p-1"))
    assert "subject" not in json.loads(
        decision_record(decided(Request(tool="t", anonymous=True)), Contents(), pseudonym)
    )


def test_a_loss_says_how_many_and_since_when() -> None:
    """Issue 3: exact count of what was dropped."""
    time = datetime(2026, 1, 1, tzinfo=UTC)
    record = json.loads(loss_record(3, time, time))
    assert record == {
        "time": "2026-01-01T00:00:00.000000Z",
        "kind": "loss",
        "dropped": 3,
        "since": "2026-01-01T00:00:00.000000Z",
    }


def test_a_request_is_read_back_as_it_was_written() -> None:
    """Issue 3: a full request is recorded so that it can be decided again."""
    assert REQUEST.resource is not None
    normal = replace(REQUEST, scopes=("a", "b"), resource=replace(REQUEST.resource, ancestors=("folder:1", "folder:2")))
    text = json.dumps(recorded_to_json(REQUEST))
    assert request_from_recorded(read_json(text)) == normal
    bare = Request(tool="t", anonymous=True)
    assert recorded_to_json(bare) == {"check": {"tool": "t", "anonymous": True}}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert request_from_recorded(recorded_to_json(bare), now=now) == replace(bare, now=now)
    assert request_from_json(read_json(json.dumps(request_to_json(REQUEST)))) == replace(normal, now=None, entities={})


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ([], "request"),
        ({"check": {"tool": "t", "anonymous": True}, "more": 1}, "request"),
        ({}, "request"),
        ({"check": {"anonymous": True}}, "tool"),
        ({"check": {"tool": "t", "anonymous": True}, "now": "yesterday"}, "now"),
        ({"check": {"tool": "t", "anonymous": True}, "now": "2026-01-01T00:00:00"}, "now"),
        ({"check": {"tool": "t", "anonymous": True}, "entities": {}}, "entities"),
        ({"check": {"tool": "t", "anonymous": True}, "entities": [{"type": "a", "id": 1}]}, "entities[0]"),
    ],
)
def test_what_is_no_recorded_request_is_refused_by_its_field(form: object, field: str) -> None:
    """Issue 3: a log is a file, and files can hold anything."""
    with pytest.raises(InvalidRequestError) as refused:
        request_from_recorded(form)
    assert refused.value.field == field


@given(cases())
def test_a_recorded_request_is_decided_as_it_was(case: tuple[Policy, list[Request]]) -> None:
    """Issue 3: recorded requests are decided again exactly."""
    policy, requests = case
    program = build(policy)
    for request in requests:
        record = decision_record(Decided(request, DECISION, TIME, 1, "id"), Contents(requests=True))
        again = request_from_recorded(read_json(json.dumps(json.loads(record)["request"])))
        assert program.decide(again) == program.decide(request)
        assert recorded_to_json(request_from_recorded(recorded_to_json(again))) == recorded_to_json(again)


def test_a_question_with_unknown_parts_keeps_them_in_its_recorded_form() -> None:
    """L68: decided again, it is the same question."""
    partial = replace(REQUEST, arguments={}, context={}, unknown=frozenset({Part.CONTEXT, Part.ARGUMENTS}))
    assert cast("dict[str, Any]", recorded_to_json(partial)["check"])["unknown"] == ["PART_ARGUMENTS", "PART_CONTEXT"]
    assert request_from_recorded(recorded_to_json(partial)).unknown == partial.unknown
