"""What a directory holds of other tenants is nothing to a decision (threats section 4: I1, I2 and I4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from authz.directory.completion import Completer
from authz.model import Effect, Reason
from authz.wire import response
from tests.directory.memory import MemoryDirectory
from tests.directory.worlds import TENANTS, entities, lean
from tests.strategies import Policy, build, policies, requests

if TYPE_CHECKING:
    from authz.directory.entities import Entity
    from authz.model import Request
    from authz.pdp.program import Program

_SLOW = settings(max_examples=max(1, settings().max_examples // 4))
"""Every example is a policy to compile, and a dozen explanations."""


class World(NamedTuple):
    """A policy, requests, and entries."""

    policy: Policy
    asked: list[Request]
    entries: list[Entity]
    others: list[Entity]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a policy, requests that leave much out, and two directories."""
    policy = draw(policies(depth=1))
    asked = [draw(lean(request)) for request in draw(requests(policy, count=6))]
    return World(policy, asked, draw(entities(TENANTS)), draw(entities(TENANTS)))


def seen_by(request: Request) -> set[str]:
    """Return the tenants whose entries may count: the caller's, the one that the resource is said to be of, and ""."""
    return {request.tenant, "", request.resource.tenant if request.resource is not None else ""}


def answer(program: Program, completer: Completer, request: Request) -> tuple[bytes, str | None]:
    """Return the whole response, and the tenant that the resource turned out to be of."""
    completed = completer.complete(request, program)
    explanation = program.explain(completed.request, completed.facts)
    assert explanation.decision == program.decide(completed.request)
    message = response(explanation.decision, explanation=explanation)
    resource = completed.request.resource
    return message.SerializeToString(deterministic=True), resource.tenant if resource is not None else None


@_SLOW
@given(worlds())
def test_entries_of_other_tenants_change_no_byte_of_an_answer(world: World) -> None:
    """I2, S72: the caller's, the resource's and the empty tenant's entries decide; with a cold cache."""
    program = build(world.policy)
    for request in world.asked:
        visible = seen_by(request)
        same = [entity for entity in world.entries if entity.key.tenant in visible]
        runs = []
        for foreign in (world.entries, world.others):
            held = [*same, *(entity for entity in foreign if entity.key.tenant not in visible)]
            runs.append(answer(program, Completer(MemoryDirectory(held)), request))
        if {tenant for _, tenant in runs} <= {
            *visible,
            None,
        }:  # else it is another tenant's, which is then its own view
            assert runs[0] == runs[1], request


@_SLOW
@given(worlds())
def test_a_warm_cache_shows_nothing_of_what_others_asked(world: World) -> None:
    """I4, S71, S72: whatever was asked before, in whatever order, and by whom."""
    program = build(world.policy)
    store = MemoryDirectory(world.entries)
    warm = Completer(store)
    cold = [answer(program, Completer(store), request) for request in world.asked]
    for _ in range(2):
        assert [answer(program, warm, request) for request in world.asked] == cold
    assert [answer(program, warm, request) for request in reversed(world.asked)] == cold[::-1]


@_SLOW
@given(worlds())
def test_a_resource_of_another_tenant_is_reached_across_tenants_only(world: World) -> None:
    """I1: whatever the request calls it; and nothing of its entry is in the answer."""
    program = build(world.policy)
    across = "across tenants" in world.policy.text
    completer = Completer(MemoryDirectory(world.entries))
    for request in world.asked:
        completed = completer.complete(request, program)
        resource = completed.request.resource
        if resource is None or resource.tenant == request.tenant or resource.type in program.policy.global_types:
            continue
        decision = program.decide(completed.request)
        assert across or decision.effect is Effect.DENY
        if decision.reason is not Reason.TENANT_MISMATCH or resource.tenant in seen_by(request):
            continue
        explanation = program.explain(completed.request, completed.facts)
        shown = [seen for rule in explanation.rules for one in rule.conditions for seen in one.seen]
        attributes = [seen for seen in shown if _is_of_entry(seen.expression)]
        assert all(seen.value in (None, []) for seen in attributes), attributes
        assert [fact.path for fact in explanation.facts if fact.path.startswith("resource.")] == ["resource.tenant"]


def _is_of_entry(expression: str) -> bool:
    built_in: tuple[Any, ...] = ("resource.id", "resource.type", "resource.tenant")
    return expression.startswith("resource.") and expression not in built_in
