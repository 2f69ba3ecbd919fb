"""Checked policy → program: the index from a tool to the blocks that apply to a request.

What a request needs is put together when it is first asked for and kept: a `Plan` for each set of
blocks that apply together, looked up by tool, resource type and tenant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lang.values import glob
from authz.pdp.plan import CompiledRule, Plan
from authz.pdp.program import Program
from authz.pdp.view import View

if TYPE_CHECKING:
    from authz.lang.checked import Block, CheckedPolicySet


def compile_policy(policy: CheckedPolicySet) -> Program:
    """Compile a checked policy. Takes linear time; conditions become code when they are first needed."""
    return Program(policy, Planner(policy))


class Planner:
    """Finds the blocks that apply, and makes the plan of each set of them once."""

    def __init__(self, policy: CheckedPolicySet) -> None:
        self._policy = policy
        self._by_name: dict[str, list[int]] = {}
        self._by_prefix: dict[str, list[int]] = {}
        self._by_glob: list[tuple[list[str], int]] = []
        for index, block in enumerate(policy.blocks):
            for pattern in block.patterns:
                self._file(pattern, index)
        self._prefix_lengths = sorted({len(prefix) for prefix in self._by_prefix})
        self._views: dict[frozenset[int], View] = {}
        self._plans: dict[object, Plan] = {}
        self.has_sections = bool(policy.sections)

    def _file(self, pattern: str, index: int) -> None:
        if "*" not in pattern:
            self._by_name.setdefault(pattern, []).append(index)
        elif pattern.index("*") == len(pattern) - 1:
            self._by_prefix.setdefault(pattern[:-1], []).append(index)
        else:
            self._by_glob.append((pattern.split("*"), index))

    def plan(self, tool: str, type_: str | None, tenant: str) -> Plan:
        """Return the plan of a request's tool, resource type (None without a resource) and tenant."""
        policy = self._policy
        view = self.view(tenant)
        matching = self.within(view.sections, tool)
        applying = self.applying(matching, type_)
        key = (applying, view.sections, type_ in policy.global_types, bool(matching))
        plan = self._plans.get(key)
        if plan is None:
            blocks = [policy.blocks[index] for index in applying]
            plan = Plan(
                [CompiledRule(rule, view) for block in blocks for rule in block.rules],
                view,
                applies=bool(blocks),
                is_global=type_ in policy.global_types,
                known_tool=bool(matching),
            )
            self._plans[key] = plan
        return plan

    def view(self, tenant: str) -> View:
        """Return what a tenant sees."""
        sections = frozenset(
            index
            for index, patterns in enumerate(self._policy.sections)
            if any(glob(pattern.split("*"), tenant) for pattern in patterns)
        )
        if sections not in self._views:
            self._views[sections] = View(self._policy, sections)
        return self._views[sections]

    def within(self, sections: frozenset[int], tool: str) -> tuple[int, ...]:
        """Return the blocks that speak of a tool where some tenant blocks count, whatever the resource."""
        blocks = self._policy.blocks
        return tuple(i for i in self.matching(tool) if blocks[i].section is None or blocks[i].section in sections)

    def applying(self, blocks: tuple[int, ...], type_: str | None) -> tuple[int, ...]:
        """Return those of some blocks that apply to resources of a type, or to none where it is None (L21)."""
        return tuple(index for index in blocks if _meets(self._policy.blocks[index], type_))

    def matching(self, tool: str) -> list[int]:
        """Return the indices of the blocks that speak of a tool, whatever their tenant and type."""
        found = set(self._by_name.get(tool, ()))
        for length in self._prefix_lengths:
            if length > len(tool):
                break
            found.update(self._by_prefix.get(tool[:length], ()))
        found.update(index for pieces, index in self._by_glob if glob(pieces, tool))
        blocks = self._policy.blocks
        return [i for i in sorted(found) if not any(glob(p.split("*"), tool) for p in blocks[i].excepted)]


def _meets(block: Block, type_: str | None) -> bool:
    return block.types is None or (type_ is not None and any(glob(p.split("*"), type_) for p in block.types))
