"""Decide requests of which parts are not known yet (L68), and what it takes to get in at all.

The rules are read twice. The *possible* plans allow whatever some completion allows: if none of them
allows, the answer is DENY, and why is what they say. The *sure* plan allows only what every completion
allows. What lies between is CONDITIONAL.

Where the type of the resource is not known either, it is not known which blocks apply (L21). A completion
that is allowed is allowed by the allow of some block; so there is one possible plan for each set of
blocks that certainly apply together with one, and the sure plan has the denies and requirements of all.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from authz.model import Decision, Effect, Part, Reason, Request
from authz.pdp.nodes import asked_roles
from authz.pdp.patterns import PatternIndex
from authz.pdp.plan import CompiledRule, Plan
from authz.pdp.scopes import missing_scopes
from authz.pdp.steps import Step, is_foreign, outcome
from authz.pdp.unknown import EVERYTHING, Hidden, hidden, is_open, opened_roles, opened_rule, parts_read
from authz.pdp.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from authz.lang.checked import CheckedPolicySet
    from authz.pdp.compiler import Planner
    from authz.pdp.program import Program

    Blocks: TypeAlias = tuple[int, ...]
    Way: TypeAlias = tuple[Plan, int | tuple[CompiledRule, ...]]

_MOST_KEPT: Final = 65_536
_LONGEST_KEPT_NAME: Final = 256
_MOST_DECISIONS: Final = 1_024


class Prospect(NamedTuple):
    """What decides the requests of one tool, resource type and tenant of which the same parts are unknown."""

    possible: tuple[Plan, ...]
    sure: Plan
    shown: Plan
    """All rules that may have a say, read as the sure plan reads them: for explanations and references."""
    foreign: bool | None
    """Whether the resource may be another tenant's; None where the request says whose it is."""
    parts: tuple[str, ...]
    """Those of the unknown parts that the answer can depend on."""
    decisions: dict[object, Decision]


class Prospects:
    """Finds the prospect of each request, and makes it once."""

    def __init__(self, policy: CheckedPolicySet, planner: Planner) -> None:
        self._policy = policy
        self._planner = planner
        self._kept: dict[object, Prospect] = {}
        self._plans: dict[object, Plan] = {}
        self._views: dict[object, tuple[View, Hidden]] = {}
        self._entry: dict[str, tuple[str, ...]] = {}

    def of(self, request: Request) -> Prospect:
        """Return what decides a request."""
        unknown, resource = request.unknown, request.resource
        type_ = None if resource is None else resource.type
        if not type_ and Part.RESOURCE in unknown:
            type_ = None
        key = (request.tool, type_, request.tenant if self._planner.has_sections else "", unknown)
        prospect = self._kept.get(key)
        if prospect is None:
            prospect = self._make(*key)
            if prospect.sure.known_tool and sum(map(len, (key[0], type_ or "", key[2]))) <= _LONGEST_KEPT_NAME:
                if len(self._kept) >= _MOST_KEPT:  # as in Program: requests choose these names
                    self._kept.clear()
                self._kept[key] = prospect
        return prospect

    def _make(self, tool: str, type_: str | None, tenant: str, unknown: frozenset[Part]) -> Prospect:
        find = self._planner.blocks
        sections = find.sections(tenant)
        what = (unknown, type_ is not None)
        is_global = type_ in self._policy.global_types
        if Part.RESOURCE not in unknown or type_ is not None:
            applying = find.applying(sections, tool, type_)
            together, always, restricting = [applying], applying, applying
            known_tool = bool(applying) or find.knows(sections, tool)
        else:
            always, restricting = find.applying(sections, tool, None), find.speaking(sections, tool)
            together, known_tool = self._together(restricting, always), bool(restricting)
        plan = partial(self._plan, sections, what=what, is_global=is_global, known_tool=known_tool)
        possible = tuple(plan(blocks, blocks, possible=True) for blocks in together)
        sure = plan(always, restricting, possible=False)
        shown = plan(restricting, restricting, possible=False)
        foreign = not is_global if Part.RESOURCE in unknown else None
        parts = frozenset().union(*(_depends_on(plan) for plan in (*possible, sure)))
        if foreign:
            parts |= {Part.RESOURCE}
        return Prospect(possible, sure, shown, foreign, tuple(part.name.lower() for part in Part if part in parts), {})

    def _together(self, matching: Blocks, always: Blocks) -> list[Blocks]:
        """Return the sets of blocks that certainly apply: always, and for each pattern that a type may meet."""
        by_pattern: dict[str, list[int]] = {}
        for index in matching:
            for pattern in self._policy.blocks[index].types or ():
                by_pattern.setdefault(pattern, []).append(index)
        # A type pattern is covered by those that it matches as a text: all its types meet them too.
        covering = PatternIndex(by_pattern)
        sets = [tuple(sorted({*always, *covering.find(pattern)})) for pattern in by_pattern]
        return list(dict.fromkeys([always, *sets]))

    def _plan(
        self,
        sections: frozenset[int],
        allowing: Blocks,
        restricting: Blocks,
        *,
        what: tuple[frozenset[Part], bool] | None,
        possible: bool,
        is_global: bool = False,
        known_tool: bool = True,
    ) -> Plan:
        """Make the plan of the allows of some blocks and of all else of some; once."""
        key = (sections, allowing, restricting, what, possible, is_global, known_tool)
        plan = self._plans.get(key)
        if plan is None:
            view, hides = self._view(sections, what, possible=possible)
            blocks = self._policy.blocks
            rules = [rule for index in allowing for rule in blocks[index].rules if rule.kind == "allow"]
            rules += [rule for index in restricting for rule in blocks[index].rules if rule.kind != "allow"]
            compiled = [CompiledRule(opened_rule(rule, hides, possible=possible), view) for rule in rules]
            if len(self._plans) >= _MOST_KEPT:
                self._plans.clear()
            plan = self._plans[key] = Plan(
                compiled, view, applies=bool(restricting), is_global=is_global, known_tool=known_tool
            )
        return plan

    def _view(
        self, sections: frozenset[int], what: tuple[frozenset[Part], bool] | None, *, possible: bool
    ) -> tuple[View, Hidden]:
        """Return what some tenant blocks show, derived roles open; and what is hidden from rules."""
        key = (sections, what, possible)
        found = self._views.get(key)
        if found is None:
            hides = EVERYTHING if what is None else hidden(self._policy, what[0], typed=what[1])
            vocabulary = self._planner.vocabulary
            derived = opened_roles(vocabulary.derived(sections), hides, possible=possible)
            if any(is_open(role.condition) for role in derived):
                hides = hides.with_roles()
            if len(self._views) >= _MOST_KEPT:
                self._views.clear()
            found = self._views[key] = View(vocabulary, sections, derived), hides
        return found

    # --- What it takes to get in --------------------------------------------------------------

    def entry_scopes(self, tool: str) -> tuple[str, ...]:
        """Return the fewest scopes, then the first alphabetically, with which somebody could call a tool somehow.

        All but the tool's name and the scopes is open. () where none are needed, or none would help.
        """
        found = self._entry.get(tool)
        if found is None:
            found = self._find_entry(tool)
            if len(tool) <= _LONGEST_KEPT_NAME:
                if len(self._entry) >= _MOST_KEPT:
                    self._entry.clear()
                self._entry[tool] = found
        return found

    def _find_entry(self, tool: str) -> tuple[str, ...]:
        somebody, nobody = Request(tool=tool, subject="-"), Request(tool=tool, anonymous=True)
        ways: list[tuple[str, ...]] = []
        for plan in self._entries(tool):
            for request in (somebody, nobody):
                if outcome(plan, request, foreign=False)[0] is Step.ALLOW:
                    return ()
                ways.append(missing_scopes(plan, request, foreign=False))
        return min((way for way in ways if way), key=lambda way: (len(way), way), default=())

    def _entries(self, tool: str) -> Iterator[Plan]:
        """Yield the possible plans of every tenant: whoever is allowed is so by one of them."""
        find, blocks = self._planner.blocks, self._policy.blocks
        everywhere = find.everywhere(tool)
        own = {blocks[index].section for index in everywhere} - {None}
        for sections in (frozenset[int](), *(frozenset({section}) for section in own if section is not None)):
            matching = find.speaking(sections, tool)
            always = find.applying(sections, tool, None)
            for together in self._together(matching, always):
                yield self._plan(sections, together, together, what=None, possible=True)


def decide(program: Program, prospects: Prospects, request: Request) -> Decision:
    """Answer a request with unknown parts: ALLOW or DENY where that is certain, else CONDITIONAL."""
    prospect = prospects.of(request)
    foreign = prospect.foreign
    ways: list[Way] = []
    for plan in prospect.possible:
        if plan.applies:
            is_other = foreign is None and is_foreign(plan, request)
            narrowed = plan.narrowed(request)
            if found := _allowing(narrowed, request, foreign=is_other):
                ways.append((narrowed, found))
    if not ways:
        return _denied(program, prospect, request)
    sure = prospect.sure
    if sure.allows:
        narrowed = sure.narrowed(request)
        is_other = is_foreign(sure, request) if foreign is None else foreign
        if found := _allowing(narrowed, request, foreign=is_other):
            return program.allowed(narrowed, found)
    key = tuple(ways)
    decision = prospect.decisions.get(key)
    if decision is None:
        decision = _conditional(program, prospect, ways)
        if len(prospect.decisions) >= _MOST_DECISIONS:
            prospect.decisions.clear()
        prospect.decisions[key] = decision
    return decision


def _allowing(plan: Plan, request: Request, *, foreign: bool) -> int | tuple[CompiledRule, ...]:
    """Return the allows of a request that a plan allows, as bits where it can; 0 or () for any other."""
    if not foreign:
        is_fused = plan.is_fused  # asked before: the first request makes the function, and is not answered by it
        if (bits := plan.allowing(request)) or is_fused:
            return bits
    step, rules = outcome(plan, request, foreign=foreign)
    return tuple(rules) if step is Step.ALLOW else ()


def _conditional(program: Program, prospect: Prospect, ways: Sequence[Way]) -> Decision:
    names = sorted({rule.name for plan, found in ways for rule in plan.found(found)})
    message = f"depends on {', '.join(prospect.parts)}"
    return Decision(Effect.CONDITIONAL, Reason.CONDITIONAL, message, tuple(names), program.revision)


def _denied(program: Program, prospect: Prospect, request: Request) -> Decision:
    """Return the denial of the possible plan that comes furthest: with the fewest scopes missing, then by name."""
    known = prospect.foreign is None
    denials = [
        program.denied(plan.narrowed(request), request, foreign=known and is_foreign(plan, request))
        for plan in prospect.possible
    ]
    if len(denials) == 1:
        return denials[0]
    return min(denials, key=lambda one: (-one.reason.value, len(one.missing_scopes), one.missing_scopes, one.rules))


def _depends_on(plan: Plan) -> frozenset[Part]:
    conditions = [rule.rule.condition for rule in plan.rules]
    return parts_read((*conditions, *(role.condition for role, _, _ in asked_roles(plan))))
