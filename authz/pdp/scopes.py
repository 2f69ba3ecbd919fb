"""Which scopes would help (L67).

The search takes sets by size and then alphabetically, and adds to a set only what some failing
statement asks for; so the first set that is allowed is the answer, and few are looked at.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from authz.lang.checked import Names
from authz.model import Request
from authz.pdp.steps import Step, outcome

if TYPE_CHECKING:
    from authz.pdp.plan import CompiledRule, Plan

_MOST_SETS: Final = 2_000


def with_scopes(request: Request, scopes: tuple[str, ...]) -> Request:
    """Return the request with scopes added. They come from the policy: nothing needs checking again."""
    # As a set: where thousands are tried together, thousands of rules look for theirs.
    return changed(request, "scopes", frozenset((*request.scopes, *scopes)))


def changed(request: Request, field: str, value: object) -> Request:
    """Return the request with another value in one field; nothing is checked."""
    copy = object.__new__(Request)
    for name in Request.__slots__:
        object.__setattr__(copy, name, getattr(request, name))
    object.__setattr__(copy, field, value)
    return copy


def missing_scopes(plan: Plan, request: Request, *, foreign: bool) -> tuple[str, ...]:
    """Return the fewest scopes, then the first alphabetically, that turn SHORT into ALLOW; () when none do."""
    lacking = [scope for scope, granted_by in plan.grantable if granted_by.isdisjoint(request.scopes)]
    if plan.is_monotone:
        lacking = _that_could_help(plan, request, lacking, foreign=foreign)
    # Scopes are sorted, so the list is a heap from the start.
    frontier: list[tuple[int, tuple[str, ...]]] = [(1, (scope,)) for scope in _useful(plan, request, lacking)]
    seen = {scopes for _, scopes in frontier}
    looked_at = 0
    while frontier and looked_at < _MOST_SETS:
        looked_at += 1
        _, scopes = heappop(frontier)
        trial = with_scopes(request, scopes)
        if outcome(plan, trial, foreign=foreign)[0] is Step.ALLOW:
            return _narrowed(plan, request, scopes, foreign=foreign)
        for scope in _useful(plan, trial, lacking):
            larger = tuple(sorted((*scopes, scope)))
            if larger not in seen:
                seen.add(larger)
                heappush(frontier, (len(larger), larger))
    return ()


def _narrowed(plan: Plan, request: Request, scopes: tuple[str, ...], *, foreign: bool) -> tuple[str, ...]:
    """Exchange broad scopes for narrower ones that do as well: an answer must not teach more than it takes."""
    for scope in scopes:
        for narrower, granted_by in plan.grantable:
            implied = scope in granted_by and narrower not in plan.view.scope_names(scope)
            if not implied or narrower in scopes:
                continue
            others = tuple(sorted({*scopes, narrower} - {scope}))
            if outcome(plan, with_scopes(request, others), foreign=foreign)[0] is Step.ALLOW:
                return _narrowed(plan, request, others, foreign=foreign)
    return scopes


def _that_could_help(plan: Plan, request: Request, lacking: list[str], *, foreign: bool) -> list[str]:
    """Return what is worth adding where more scopes only ever help: nothing, where all of them together do not.

    Others than those which the allows that would apply ask for, or the requirements, are in no smallest set.
    """
    step, allows = outcome(plan, with_scopes(request, tuple(lacking)), foreign=foreign)
    if step is not Step.ALLOW:
        return []
    asked = {
        name for rule in (*allows, *plan.scopes) if isinstance(rule.rule.who, Names) for name in rule.rule.who.names
    }
    wanted = frozenset[str]().union(*map(plan.view.scope_names, asked))
    return [scope for scope in lacking if scope in wanted]


def _useful(plan: Plan, request: Request, candidates: list[str]) -> list[str]:
    """Return the scopes of which one at least must be added: those that meet the first failing statement."""
    lacking = [scope for scope in candidates if plan.view.scope_names(scope).isdisjoint(request.scopes)]
    if not lacking:
        return lacking
    failing = next((rule for rule in plan.scopes if not rule.true(request)), None)
    if failing is None:
        return lacking
    who = failing.rule.who
    assert isinstance(who, Names)  # every `require scope` names scopes
    names = who.names
    if who.mode == "all":
        names = tuple(name for name in names if not _holds(plan, request, name))[:1]
    wanted = frozenset[str]().union(*(plan.view.scope_names(name) for name in names))
    return [scope for scope in lacking if scope in wanted]


def _holds(plan: Plan, request: Request, name: str) -> bool:
    return not plan.view.scope_names(name).isdisjoint(request.scopes)


def required_scopes(
    plan: Plan, request: Request, missing: tuple[str, ...], *, foreign: bool
) -> tuple[tuple[str, ...], list[CompiledRule]]:
    """Return all scopes of the operation, held ones included, and the allows that the missing ones bring."""
    trial = with_scopes(request, missing)
    allows = outcome(plan, trial, foreign=foreign)[1]
    asking = list(plan.scopes)
    who = [rule.rule.who for rule in allows]
    if all(isinstance(names, Names) and names.what == "scope" for names in who):
        asking.append(min(allows, key=lambda rule: rule.name))
    required = set(missing)
    for rule in asking:
        names = rule.rule.who
        assert isinstance(names, Names)  # so chosen
        held = [name for name in names.names if _holds(plan, request, name)]
        required.update(held if names.mode == "all" else held[:1])
    return tuple(sorted(required)), allows
