"""Checked policy → program: from a tool to the rules that have a say in a request.

What a request needs is put together when it is first asked for and kept: a `Plan` for each set of
blocks that apply together, found by tool, resource type and tenant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.pdp.applying import Blocks
from authz.pdp.plan import CompiledRule, Plan
from authz.pdp.program import Program
from authz.pdp.view import View, Vocabulary

if TYPE_CHECKING:
    from authz.lang.checked import CheckedPolicySet

_MOST_PLANS: Final = 65_536
_MOST_VIEWS: Final = 65_536
"""Plans and views that are kept: names in requests choose among the sets of patterns that match together."""


def compile_policy(policy: CheckedPolicySet) -> Program:
    """Compile a checked policy. Takes linear time; conditions become code when they are first needed."""
    return Program(policy, Planner(policy))


class Planner:
    """Makes the plan of each set of blocks that apply together once."""

    def __init__(self, policy: CheckedPolicySet) -> None:
        self._policy = policy
        self.blocks = Blocks(policy)
        self.has_sections = bool(policy.sections)
        self.vocabulary = Vocabulary(policy)
        self._views: dict[frozenset[int], View] = {}
        self._plans: dict[object, Plan] = {}

    def plan(self, tool: str, type_: str | None, tenant: str) -> Plan:
        """Return the plan of a request's tool, resource type (None without a resource) and tenant."""
        policy = self._policy
        sections = self.blocks.sections(tenant)
        applying = self.blocks.applying(sections, tool, type_)
        known_tool = bool(applying) or self.blocks.knows(sections, tool)
        key = (applying, sections, type_ in policy.global_types, known_tool)
        plan = self._plans.get(key)
        if plan is None:
            view = self.view(sections)
            plan = Plan(
                [CompiledRule(rule, view) for index in applying for rule in policy.blocks[index].rules],
                view,
                applies=bool(applying),
                is_global=type_ in policy.global_types,
                known_tool=known_tool,
            )
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def view(self, sections: frozenset[int]) -> View:
        """Return what is seen where some tenant blocks count."""
        view = self._views.get(sections)
        if view is None:
            if len(self._views) >= _MOST_VIEWS:
                self._views.clear()
            view = self._views[sections] = View(self.vocabulary, sections, self.vocabulary.derived(sections))
        return view
