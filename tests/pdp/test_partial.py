"""Requests with unknown parts beyond their decision: what is looked up, kept, written down, and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from authz import wire
from authz.cli.options import RequestFlags
from authz.directory.completion import Completer
from authz.directory.entities import Entity, Key, Kind
from authz.json_form import Call, recorded_to_json, request_from_recorded
from authz.model import Client, Effect, Outcome, Part, Request, Resource
from tests.directory.memory import MemoryDirectory
from tests.pdp.test_plan import compiled
from tests.properties.test_unknown import HIDINGS, Hiding, hidden
from tests.strategies import Policy, cases

if TYPE_CHECKING:
    from authz.pdp.program import Program

ALL = frozenset(Part)
REFERENCES = """
subject { boss?: ref<subject>, level?: number, place?: ref<"office"> }
resource "office" { floor: number }
resource "doc" { owner: ref<subject> }
tool "any" { allow anyone when subject.place.floor == 3 }
tool "boss" { allow anyone across tenants when subject.boss.level == 2 }
tool "owner" on "doc" { allow anyone when resource.owner.level == 2 }
"""


def reference_program() -> Program:
    """Compile a policy that follows references of the caller and of the resource."""
    return compiled(REFERENCES)[0]


def directory() -> MemoryDirectory:
    """Hold a caller, their boss and an office."""
    entities = [
        Entity(Key(Kind.SUBJECT, "", "ann", "acme"), {"boss": "bob", "place": "hq"}),
        Entity(Key(Kind.SUBJECT, "", "bob", "acme"), {"level": 2}),
        Entity(Key(Kind.RESOURCE, "office", "hq", "acme"), {"floor": 3}),
    ]
    return MemoryDirectory(entities)


def test_references_of_what_is_known_are_followed_though_the_resource_is_unknown() -> None:
    """Issue 5, build 1: entities behind the caller count."""
    program = reference_program()
    request = Request(tool="any", subject="ann", tenant="acme", unknown=frozenset({Part.ARGUMENTS}))
    completed = Completer(directory()).complete(request, program).request
    assert program.decide(completed).effect is Effect.ALLOW


@pytest.mark.parametrize("type_", ["", "doc"])
def test_nothing_of_an_unknown_resource_is_looked_up(type_: str) -> None:
    """Issue 5, build 1."""
    program = reference_program()
    request = Request(tool="owner", subject="ann", tenant="acme", resource=Resource(type_), unknown=ALL)
    completed = Completer(directory()).complete(request, program)
    assert completed.request.resource == Resource(type_)
    assert completed.request.unknown == ALL
    assert completed.request.entities == {}
    assert program.decide(completed.request).effect is Effect.CONDITIONAL


def test_a_reference_that_the_resource_may_lead_astray_is_not_relied_on() -> None:
    """L12, L68: one id may come to mean two entries, and then leads nowhere."""
    program = reference_program()
    request = Request(tool="boss", subject="ann", tenant="acme", unknown=frozenset({Part.RESOURCE}))
    completed = Completer(directory()).complete(request, program).request
    assert program.decide(completed).effect is Effect.CONDITIONAL
    known = Completer(directory()).complete(Request(tool="boss", subject="ann", tenant="acme"), program).request
    assert program.decide(known).effect is Effect.ALLOW


# --- What is written down -------------------------------------------------------------------


@given(cases(count=4), HIDINGS)
def test_a_recorded_request_is_decided_again_the_same(case: tuple[Policy, list[Request]], hiding: Hiding) -> None:
    """Issue 5, build 1; issue 3: what the decision log holds says which parts were unknown."""
    for request in case[1]:
        partial = hidden(request, hiding)
        again = request_from_recorded(recorded_to_json(partial))
        assert (again.unknown, again.arguments, again.context) == (
            partial.unknown,
            partial.arguments,
            partial.context,
        )
        assert recorded_to_json(again) == recorded_to_json(partial)


def test_unknown_parts_survive_the_wire() -> None:
    """Issue 5, build 1."""
    request = Request(tool="t", subject="ann", client=Client("c"), resource=Resource("doc"), unknown=ALL)
    assert wire.read_check(wire.check_request(Call(request)).SerializeToString()).request == request


def test_a_conditional_answer_survives_the_wire() -> None:
    """Issue 5, build 1: it comes back as what it is, and as no permission."""
    program, _ = compiled('tool "t" { allow anyone when args.x }')
    decision = program.decide(Request(tool="t", subject="ann", unknown=ALL))
    assert wire.decision_from(wire.response(decision)) == decision
    assert not decision.allowed


def test_the_flag_of_the_command_line_leaves_the_resource_open() -> None:
    """Issue 5, build 1: its tenant is not the caller's by default then."""
    flags = RequestFlags(subject="ann", tenant="acme", tool="t", resource="doc:", unknown=("resource", "context"))
    form = flags.to_json()
    assert form["unknown"] == ["PART_RESOURCE", "PART_CONTEXT"]
    assert form["resource"] == {"type": "doc", "id": "", "attributes": {}}


# --- What is shown --------------------------------------------------------------------------


def test_an_explanation_says_what_is_not_known_yet() -> None:
    """Issue 5, build 1: `explain` shows what is open as unknown, and names why."""
    program, _ = compiled(
        'role "owner" when resource.owner == subject.id\n'
        'tool "t" on "doc" { allow "a" role "owner" when args.n > 3 and tenant == "" }'
    )
    explanation = program.explain(Request(tool="t", subject="ann", resource=Resource("doc"), unknown=ALL))
    problems = {
        seen.expression: seen.problem for rule in explanation.rules for one in rule.conditions for seen in one.seen
    }
    assert problems["args.n"] == problems["resource.owner"] == "is not known yet"
    assert problems["subject.id"] == problems["tenant"] == ""
    assert [rule.outcome for rule in explanation.rules] == [Outcome.UNKNOWN, Outcome.UNKNOWN]
    assert explanation.nearest == "depends on arguments, resource"


def test_names_that_requests_choose_are_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threats: a caller that asks for ever new tools and types must not fill the memory."""
    monkeypatch.setattr("authz.pdp.partial._MOST_KEPT", 8)
    program, _ = compiled('tool "*" { require scope "s"  allow anyone when args.x }')
    for number in range(40):
        request = Request(tool=f"t{number}", subject="ann", resource=Resource(f"r{number}"), unknown=ALL)
        assert program.decide(request).missing_scopes == ("s",)
        assert program.entry_scopes(f"t{number}") == ("s",)
    assert len(program.prospects._kept) <= 8  # there is no other way to see it
    assert len(program.prospects._entry) <= 8  # as above


# --- What it takes to get in ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "scopes"),
    [
        ('tool "t" { allow anyone when args.x }', ()),
        ('tool "t" { allow public }', ()),
        ('tool "t" { deny anyone  allow public }', ()),
        ('tool "t" { require scope "a"  allow role "r" when subject.x == 1 }', ("a",)),
        ('tool "t" { require scope "a"  allow scope "b" }', ("a", "b")),
        ('tool "t" { allow scope "a", "b"  allow "z" scope "c" when args.x }', ("c",)),
        ('tool "t" on "doc" { require scope "d"  allow anyone }', ("d",)),
        ('tool "t" { allow scope "x", "y" }\ntool "t" on "doc" { require scope "d"  allow anyone }', ("d",)),
        ('tool "t" { require scope "all" }\ntenant "acme" { tool "t" { require scope "own"  allow anyone } }',
         ("all", "own")),
        ('tenant "acme" { tool "t" { require scope "own" } }\ntool "t" { allow anyone }', ()),
        ('scope "w" implies "r"\ntool "t" { allow scope "w"  allow "b" scope "r" }', ("r",)),
        ('tool "t" { require role "admin"  require scope "a"  allow anyone  deny unless args.x == 1 }', ("a",)),
        ('tool "t" { allow scope "a"  deny when tool.name == "t" }', ()),
        ('tool "u" { allow scope "a" }', ()),
    ],
)  # fmt: skip
def test_entry_scopes_are_the_fewest_with_which_somebody_gets_in(rules: str, scopes: tuple[str, ...]) -> None:
    """Issue 5, build 4 (R13): protected-resource metadata names what basic use needs, and no more."""
    program, _ = compiled(rules)
    assert program.entry_scopes("t") == scopes
