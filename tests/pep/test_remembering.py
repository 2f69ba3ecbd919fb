"""Remembered answers: only the very same question of the very same caller, by the same policy, and not for long."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.model import Client, Decision, Effect, Obligation, Part, Reason, Request, Resource, ToolInfo
from authz.pep.pdp import PdpError
from authz.pep.pdps.keys import caller_key, request_key
from authz.pep.pdps.remembering import Remembering
from authz.server.config import ConfigError
from tests.pep.world import ALICE, GLEN, ask, local_pdp
from tests.strategies import NOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.pep.pdp import Answer


@dataclass
class Counting:
    """Allows everything, remembers what it was asked, and lets a test change what it says."""

    revision: str = "r1"
    effect: Effect = Effect.ALLOW
    asked: list[Request] = field(default_factory=list)
    before: Any = None
    """Awaited before each answer."""

    def answer(self) -> Decision:
        """Return what is said now."""
        return Decision(self.effect, Reason.ALLOWED, "", (), self.revision, (Obligation("notify", {"to": "x"}),))

    async def check(self, request: Request, *, request_id: str = "") -> Decision:
        """Answer one question."""
        self.asked.append(request)
        answer = self.answer()
        if self.before is not None:
            await self.before()
        return answer

    async def check_all(self, requests: Sequence[Request], *, request_id: str = "") -> Sequence[Answer]:
        """Answer several."""
        self.asked += requests
        return [self.answer() for _ in requests]

    async def describe(self, tools: Sequence[str]) -> tuple[str, tuple[()]]:
        """Name the revision."""
        return self.revision, ()

    async def close(self) -> None:
        """End nothing."""


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


# --- What is remembered, and for how long ---------------------------------------------------


async def test_the_same_question_is_asked_once_while_its_answer_counts() -> None:
    """Issue 5: an optional cache of ALLOW answers, short."""
    pdp, clock = Counting(), Clock()
    remembering = Remembering(pdp, ttl=1.0, clock=clock)
    first = await remembering.check(ask())
    clock.now += 0.99
    assert await remembering.check(ask()) is first
    assert first.obligations == (Obligation("notify", {"to": "x"}),)
    assert len(pdp.asked) == 1
    clock.now += 0.02
    await remembering.check(ask())
    assert len(pdp.asked) == 2


@pytest.mark.parametrize("effect", [Effect.DENY, Effect.CONDITIONAL])
async def test_only_allow_is_remembered(effect: Effect) -> None:
    """Issue 5: a cache of ALLOW answers."""
    pdp = Counting(effect=effect)
    remembering = Remembering(pdp)
    for _ in range(3):
        await remembering.check(ask())
    assert len(pdp.asked) == 3


async def test_an_error_is_not_remembered() -> None:
    """Issue 5: a cache of ALLOW answers."""

    async def fail() -> None:
        raise PdpError("down")

    pdp = Counting(before=fail)
    remembering = Remembering(pdp)
    with pytest.raises(PdpError):
        await remembering.check(ask())
    pdp.before = None
    assert (await remembering.check(ask())).allowed
    assert len(pdp.asked) == 2


@pytest.mark.parametrize("door", ["check", "check_all", "describe"])
async def test_any_answer_by_another_revision_drops_all(door: str) -> None:
    """Issue 5: dropped when the policy revision changes, whichever way that is heard."""
    pdp = Counting()
    remembering = Remembering(pdp)
    await remembering.check(ask())
    pdp.revision, pdp.effect = "r2", Effect.DENY
    match door:
        case "check":
            await remembering.check(ask("other"))
        case "check_all":
            await remembering.check_all([ask("other")])
        case _:
            await remembering.describe(["other"])
    assert (await remembering.check(ask())).effect is Effect.DENY


async def test_an_answer_that_was_overtaken_by_a_new_policy_is_not_remembered() -> None:
    """Issue 5: no decision across revisions: the answer by the old one may arrive after the new one is known."""
    pdp = Counting()
    remembering = Remembering(pdp)
    await remembering.check(ask("first"))
    gate = asyncio.Event()
    pdp.before = gate.wait
    late = asyncio.create_task(remembering.check(ask()))
    await asyncio.sleep(0)
    pdp.before, pdp.revision, pdp.effect = None, "r2", Effect.DENY
    await remembering.check(ask("second"))
    gate.set()
    assert (await late).allowed
    assert (await remembering.check(ask())).effect is Effect.DENY


async def test_the_answers_that_were_used_longest_ago_are_forgotten_first() -> None:
    """Issue 5: bounded."""
    pdp = Counting()
    remembering = Remembering(pdp, most=2)
    for tool in ("a", "b", "a", "c", "a", "b"):
        await remembering.check(ask(tool))
    assert [request.tool for request in pdp.asked] == ["a", "b", "c", "b"]


@pytest.mark.parametrize("ttl", [0.0, -1.0, 60.1, float("nan"), float("inf")])
def test_times_that_are_none_or_too_long_are_refused(ttl: float) -> None:
    """Issue 5: short; refuse to start rather than run weak."""
    with pytest.raises(ConfigError):
        Remembering(Counting(), ttl=ttl)


def test_a_cache_without_room_is_refused() -> None:
    """Issue 5: bounded."""
    with pytest.raises(ConfigError):
        Remembering(Counting(), most=0)


@pytest.mark.parametrize("more", [{"now": NOW}, {"entities": {("subject", "alice"): {"x": 1}}}])
async def test_a_question_with_a_time_or_entities_of_its_own_is_not_remembered(more: dict[str, Any]) -> None:
    """Issue 5: keyed by everything that can change the answer; what the key does not hold is never reused."""
    pdp = Counting()
    door = Remembering(pdp)
    for _ in range(2):
        await door.check(ask(**more))
        await door.check_all([ask(**more)])
    assert len(pdp.asked) == 4


# --- No two questions look the same ---------------------------------------------------------

_TEXTS = st.sampled_from(["", "a", "b", "1", "true", "null", '"', '["a"]', "a,b", "\u00e9"])
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.sampled_from([0, 1, -1, 0.0, 1.0, 1.5, -0.0, 2**53, 1e300]), _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_TEXTS, inner, max_size=2)),
    max_leaves=4,
)
_OBJECTS = st.dictionaries(_TEXTS, _VALUES, max_size=2)
_NAMES = st.lists(_TEXTS, max_size=2).map(tuple)
_HINTS = st.sampled_from([None, True, False])
_RESOURCES = st.none() | st.builds(
    Resource, type=_TEXTS, id=_TEXTS, tenant=_TEXTS, attributes=_OBJECTS, ancestors=_NAMES
)
_REQUESTS = st.builds(
    Request,
    tool=st.sampled_from(["t", "u"]),
    subject=st.sampled_from(["alice", "bob"]),
    scopes=_NAMES,
    roles=_NAMES,
    tenant=_TEXTS,
    resource=_RESOURCES,
    arguments=_OBJECTS,
    context=_OBJECTS,
    subject_attributes=_OBJECTS,
    client=st.none() | st.builds(Client, id=_TEXTS, attributes=_OBJECTS),
    tool_info=st.none() | st.builds(ToolInfo, server=_TEXTS, tags=_NAMES, read_only=_HINTS, open_world=_HINTS),
)


def _typed(value: object) -> object:
    """Return a value in a form in which equality minds types: `True`, `1` and `1.0` are three."""
    match value:
        case dict():
            return {name: _typed(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_typed(inner) for inner in value]
        case frozenset():
            return sorted(map(str, value))
        case _ if dataclasses.is_dataclass(value):
            return type(value), [_typed(getattr(value, one.name)) for one in dataclasses.fields(value)]
    return type(value), str(value)


@given(_REQUESTS, _REQUESTS)
def test_two_questions_have_one_key_exactly_when_they_are_the_same(one: Request, other: Request) -> None:
    """Issue 5 (property): no decision across subjects, tenants, scopes, roles, clients, arguments, context, tools."""
    assert (request_key(one) == request_key(other)) is (_typed(one) == _typed(other))
    assert request_key(one) == request_key(replace(one))


@given(_REQUESTS, st.data())
def test_a_question_that_differs_in_any_one_field_has_another_key(request: Request, data: st.DataObject) -> None:
    """Issue 5 (property): as above, field by field, so that near misses are met."""
    other = data.draw(_REQUESTS)
    for one in dataclasses.fields(Request):
        if one.name in {"anonymous", "now", "entities", "unknown"}:
            continue
        changed = replace(request, **{one.name: getattr(other, one.name)})
        same = _typed(getattr(request, one.name)) == _typed(getattr(other, one.name))
        assert (request_key(changed) == request_key(request)) is same, one.name


@given(_REQUESTS, _REQUESTS)
def test_two_callers_have_one_key_exactly_when_they_are_the_same(one: Request, other: Request) -> None:
    """Issue 5: different callers never share a batch."""

    def caller(request: Request) -> object:
        return _typed(replace(request, tool="-", resource=None, arguments={}, tool_info=None))

    assert (caller_key(one) == caller_key(other)) is (caller(one) == caller(other))


def test_every_field_of_a_question_is_in_its_key() -> None:
    """Issue 5: keyed by everything that can change the answer, whatever a request comes to hold some day."""
    known: dict[str, Any] = {
        "tool": "x",
        "subject": "zoe",
        "scopes": ("s",),
        "roles": ("r",),
        "tenant": "t",
        "resource": Resource("x"),
        "arguments": {"a": 1},
        "context": {"a": 1},
        "subject_attributes": {"a": 1},
        "client": Client("c"),
        "tool_info": ToolInfo("s"),
        "unknown": frozenset({Part.CONTEXT}),
    }
    plain = Request(tool="t", subject="alice")
    for one in dataclasses.fields(Request):
        if one.name in {"anonymous", "now", "entities"}:
            continue  # the first goes with the subject, the others are never remembered
        assert request_key(replace(plain, **{one.name: known[one.name]})) != request_key(plain), one.name
    nobody = Request(tool="t", anonymous=True)
    assert request_key(nobody) != request_key(plain)


@given(st.lists(st.tuples(_REQUESTS, st.sampled_from(["r1", "r1", "r1", "r2"])), max_size=8))
def test_a_reused_decision_was_made_for_this_question_by_this_revision(steps: list[tuple[Request, str]]) -> None:
    """Issue 5 (property): no decision is ever reused across subjects, tenants or revisions."""

    class Naming(Counting):
        async def check(self, request: Request, *, request_id: str = "") -> Decision:
            self.asked.append(request)
            return Decision(Effect.ALLOW, Reason.ALLOWED, repr(_typed(request)), (), self.revision)

    async def run() -> None:
        pdp = Naming()
        remembering = Remembering(pdp, most=3)
        for request, revision in steps:
            if pdp.revision != revision:
                pdp.revision = revision
                await remembering.describe(["t"])  # the change is heard
            for _ in range(2):
                decision = await remembering.check(request)
                assert decision.message == repr(_typed(request))
                assert decision.policy_revision == revision

    asyncio.run(run())


async def test_two_tenants_get_their_own_answers_through_one_cache() -> None:
    """Issue 5: never across tenants, with a real policy: S71."""
    remembering = Remembering(local_pdp(), ttl=60)
    document = Resource("document", "d1", "acme")
    for _ in range(3):
        assert (await remembering.check(ask(resource=document))).allowed
        assert not (await remembering.check(ask(who=GLEN, resource=document))).allowed
        assert not (await remembering.check(ask(who=replace(ALICE, tenant="globex"), resource=document))).allowed
        assert not (await remembering.check(ask(who=replace(ALICE, scopes=()), resource=document))).allowed
        assert not (await remembering.check(ask(who=replace(ALICE, roles=()), resource=document))).allowed
    await remembering.close()
