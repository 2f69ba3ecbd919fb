"""The steps of L61 up to where scopes matter: the part that a search for scopes takes again and again."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authz.model import Request
    from authz.pdp.plan import CompiledRule, Plan


class Step(Enum):
    """Where the steps of L61 come to an end, before scopes are searched."""

    TENANT = 2
    DENY = 3
    REQUIRE = 4
    SHORT = 5
    ALLOW = 8


def is_foreign(plan: Plan, request: Request) -> bool:
    """Say whether the resource belongs to another tenant than the caller, byte for byte (L62)."""
    resource = request.resource
    return resource is not None and resource.tenant != request.tenant and not plan.is_global


def outcome(plan: Plan, request: Request, *, foreign: bool) -> tuple[Step, list[CompiledRule]]:
    """Take the steps of L61 up to where scopes matter; return where they end, and the rules that count there.

    For SHORT these are the allows that apply already: a `require scope` may be all that fails.
    """
    allows: list[CompiledRule] = []
    if foreign:
        allows = plan.crossing.true(request)
        if not allows:
            return Step.TENANT, []
    if plan.denies and (denies := plan.denies.not_false(request)):
        return Step.DENY, denies
    if plan.requirements and (failed := plan.requirements.not_true(request)):
        return Step.REQUIRE, failed
    if not foreign:
        allows = plan.allows.true(request)
    if not allows or plan.scopes.not_true(request):
        return Step.SHORT, allows
    return Step.ALLOW, allows


def may_apply(rule: CompiledRule, *, foreign: bool) -> bool:
    """Say whether an allow counts at all where step 2 found another tenant or not (L63)."""
    return rule.rule.across or not foreign
