"""What a request with unknown parts is answered is true of every completion of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from authz.model import Effect, Part, Reason, Request, Resource
from tests.reference import reference_decide
from tests.strategies import Policy, build, cases, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from authz.model import Decision


class Hiding(NamedTuple):
    """Which parts are unknown; `typed` says that the resource's type stays known."""

    unknown: frozenset[Part]
    typed: bool = True


HIDINGS: Final = st.sampled_from(
    [
        Hiding(frozenset(parts), typed)
        for count in (1, 2, 3)
        for parts in combinations(Part, count)
        for typed in (True, False)
    ]
)


def hidden(request: Request, hiding: Hiding) -> Request:
    """Return a request without some parts; of the resource the type may stay."""
    unknown = hiding.unknown
    changes: dict[str, Any] = {"unknown": unknown}
    if Part.ARGUMENTS in unknown:
        changes["arguments"] = {}
    if Part.CONTEXT in unknown:
        changes["context"] = {}
    if Part.RESOURCE in unknown:
        kept = request.resource is not None and hiding.typed and request.resource.type
        changes["resource"] = Resource(kept) if kept else None
    return replace(request, **changes)


def completions(request: Request, partial: Request, others: Iterable[Request]) -> Iterator[Request]:
    """Yield the request itself, and it with the unknown parts of others; nothing at all is a completion too."""
    donors = [request, *others, replace(request, arguments={}, context={}, resource=None)]
    unknown, type_ = partial.unknown, partial.resource.type if partial.resource is not None else ""
    for arguments, context, resource in product(
        donors if Part.ARGUMENTS in unknown else [request],
        donors[:3] if Part.CONTEXT in unknown else [request],
        donors if Part.RESOURCE in unknown else [request],
    ):
        touched = resource.resource
        if Part.RESOURCE in unknown and type_:
            touched = replace(touched, type=type_) if touched is not None else Resource(type_)
        yield replace(request, arguments=arguments.arguments, context=context.context, resource=touched)


def _assert_true(policy: Policy, requests: list[Request], hiding: Hiding) -> None:
    program = build(policy)
    for index, request in enumerate(requests):
        partial = hidden(request, hiding)
        answer = program.decide(partial)
        others = requests[index + 1 :] + requests[:index]
        for whole in completions(request, partial, others[:4]):
            decision = program.decide(whole)
            told = f"{policy}\n{partial}\n{answer}\n{whole}\n{decision}"
            assert answer.effect is not Effect.DENY or decision.effect is Effect.DENY, told
            assert answer.effect is not Effect.ALLOW or decision.effect is Effect.ALLOW, told
            if answer.effect is Effect.ALLOW:
                assert set(answer.rules) <= set(decision.rules), told
                assert all(one in decision.obligations for one in answer.obligations), told
            if answer.effect is Effect.CONDITIONAL and decision.effect is Effect.ALLOW:
                assert set(decision.rules) & set(answer.rules), told


@given(cases(depth=1), HIDINGS)
def test_deny_hides_no_allowed_call_and_allow_promises_no_denied_one(
    case: tuple[Policy, list[Request]], hiding: Hiding
) -> None:
    """Issue 5, build 1; L68."""
    _assert_true(*case, hiding)


@given(cases(depth=4, count=4), HIDINGS)
def test_deny_and_allow_are_never_wrong_in_deep_conditions(case: tuple[Policy, list[Request]], hiding: Hiding) -> None:
    """Issue 5, build 1; L68."""
    _assert_true(*case, hiding)


@given(cases(depth=1), HIDINGS)
def test_the_engine_says_what_the_reference_says_or_that_it_depends(
    case: tuple[Policy, list[Request]], hiding: Hiding
) -> None:
    """Issue 5, build 1; L68: CONDITIONAL may be over-cautious, nothing else may differ."""
    policy, requests = case
    files, program = parse(policy), build(policy)
    for request in requests:
        partial = hidden(request, hiding)
        actual, expected = program.decide(partial), reference_decide(files, partial)
        told = f"{policy}\n{partial}\n{actual}\n{expected}"
        assert actual.effect in {expected.effect, Effect.CONDITIONAL}, told
        if "ref<" in policy.text and expected.effect is not actual.effect:
            continue  # what a known reference leads to may be lost to one of the resource
        assert _plain(actual) == _plain(expected), told


def _plain(decision: Any) -> tuple[object, ...]:  # noqa: ANN401  # a decision of either
    return decision.effect, decision.reason, decision.rules, decision.required_scopes, decision.missing_scopes


@given(cases(depth=1, count=6), HIDINGS)
def test_missing_scopes_of_what_is_unknown_open_the_way(case: tuple[Policy, list[Request]], hiding: Hiding) -> None:
    """Issue 5, build 1; L67, L68: with them the answer is no denial any more; without a shortfall there are none."""
    policy, requests = case
    program = build(policy)
    for request in requests:
        partial = hidden(request, hiding)
        decision = program.decide(partial)
        told = f"{policy}\n{partial}\n{decision}"
        assert bool(decision.missing_scopes) == (decision.reason is Reason.INSUFFICIENT_SCOPE), told
        if decision.missing_scopes:
            more = program.decide(replace(partial, scopes=(*partial.scopes, *decision.missing_scopes)))
            assert more.effect is not Effect.DENY, told


@given(cases(count=6), HIDINGS)
def test_an_explanation_of_what_is_unknown_decides_the_same(case: tuple[Policy, list[Request]], hiding: Hiding) -> None:
    """Issue 5, build 1: `explain` never fails, and shows no value that is not known."""
    policy, requests = case
    program = build(policy)
    for request in requests:
        partial = hidden(request, hiding)
        explanation = program.explain(partial)
        assert explanation.decision == program.decide(partial)


@given(cases(depth=1, count=6))
def test_entry_scopes_are_needed_by_whoever_gets_in(case: tuple[Policy, list[Request]]) -> None:
    """Issue 5, build 4 (R13): where some are named, nobody gets in without any."""
    policy, requests = case
    program = build(policy)
    for request in requests:
        needed = program.entry_scopes(request.tool)
        decision = program.decide(replace(request, scopes=()))
        assert not needed or decision.effect is Effect.DENY, f"{policy}\n{request}\n{needed}\n{decision}"


@settings(max_examples=30)
@given(cases(count=4), HIDINGS)
def test_asking_twice_or_in_another_order_changes_nothing(case: tuple[Policy, list[Request]], hiding: Hiding) -> None:
    """Issue 5, build 1: what is kept of earlier answers never shows."""
    policy, requests = case
    partial = [hidden(request, hiding) for request in requests]
    once: list[Decision] = [build(policy).decide(request) for request in partial]
    program = build(policy)
    for order in (partial, partial[::-1], partial):
        for request in order:
            assert program.decide(request) == once[partial.index(request)]
