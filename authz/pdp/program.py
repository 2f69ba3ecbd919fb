"""A compiled policy: one request in, one decision out. The steps are those of L61.

A Program never changes, so any number of threads may ask it; a new policy is a new Program.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

from authz.model import Decision, Effect, Reason
from authz.pdp import partial
from authz.pdp.scopes import changed, missing_scopes, required_scopes
from authz.pdp.steps import Step, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from authz.lang.checked import CheckedPolicySet
    from authz.model import Explanation, Fact, Request
    from authz.pdp.compiler import Planner
    from authz.pdp.outline import RuleOutline
    from authz.pdp.plan import CompiledRule, Plan
    from authz.pdp.reads import PolicyReads
    from authz.pdp.references import Reference

_MAX_LOOKUPS: Final = 65_536
_LONGEST_KEPT_NAME: Final = 256
_MAX_DECISIONS: Final = 1_024


class Program:
    """Decides requests by one revision of one policy."""

    def __init__(self, policy: CheckedPolicySet, planner: Planner) -> None:
        """Made by `compile_policy`."""
        self.policy = policy
        self.revision = policy.revision
        self._planner = planner
        self._lookups: dict[tuple[str, str | None, str], Plan] = {}
        self._has_sections = planner.has_sections
        self.prospects = partial.Prospects(policy, planner)

    def decide(self, request: Request) -> Decision:
        """Answer a request (L61, L68). Never raises for a valid request; a Request is always valid."""
        if request.unknown:
            return partial.decide(self, self.prospects, request)
        # Written out, what `plan` and `steps.is_foreign` do: two calls would be a third of the time.
        resource, tenant = request.resource, request.tenant
        key = (request.tool, None if resource is None else resource.type, tenant if self._has_sections else "")
        plan = self._lookups.get(key) or self._look_up(key)
        foreign = resource is not None and resource.tenant != tenant and not plan.is_global
        if plan.narrows:
            plan = plan.narrowed(request)
        if not foreign and (bits := plan.allowing(request)):
            return plan.decisions.get(bits) or self.allowed(plan, bits)
        return self.denied(plan, request, foreign=foreign)

    def denied(self, plan: Plan, request: Request, *, foreign: bool) -> Decision:
        """Answer as `settle` does, by what was answered before where all that counts is the same.

        Denials are as frequent as allows, and their reasons take three to forty times as long to find.
        """
        if request.now is None and plan.reads_now:
            # What is remembered must have been found out at the very time that it is remembered for.
            request = changed(request, "now", datetime.now(UTC))
        if foreign or not plan.is_signed or (telling := plan.telling_scopes) is None or plan.signature is None:
            decision = self.settle(plan, request, foreign=foreign)
            if plan.applies and not decision.allowed:  # from the second denial on: most plans deny nobody, or once
                plan.is_signed = True
            return decision
        key = ("denied", telling.intersection(request.scopes), plan.signature(request))
        kept = plan.decisions.get(key)
        if kept is not None:
            return kept
        decision = self.settle(plan, request, foreign=False)
        if decision.reason is not Reason.INDETERMINATE:  # its message may speak of values
            self.keep(plan, key, decision)
        return decision

    def settle(self, plan: Plan, request: Request, *, foreign: bool) -> Decision:
        """Answer a request by the rules that have a say, one step after the other."""
        if not plan.applies:
            return self._no_block(plan)
        step, rules = outcome(plan, request, foreign=foreign)
        match step:
            case Step.ALLOW:
                return self.allowed(plan, tuple(rules))
            case Step.DENY:
                return self._deny(plan, rules, request)
            case Step.SHORT:
                return self._short(plan, rules, request, foreign=foreign)
            case Step.REQUIRE:
                return self._requirement(plan, rules, request)
            case Step.TENANT:
                return self._tenant(plan, request)

    def explain(self, request: Request, facts: tuple[Fact, ...] = ()) -> Explanation:
        """Answer a request and show how the answer came about: every rule that could have had a say.

        `facts` are what the directory has brought into the request. Of a resource that it knows to be
        another tenant's no more is shown than that, unless a rule reaches across tenants.
        """
        from authz.pdp import explain  # noqa: PLC0415  # an ALLOW needs none of it, and `authz-eval` starts sooner

        return explain.explain(self, request, facts)

    def references(self, request: Request) -> tuple[Reference, ...]:
        """Return the references that deciding a request follows: what `Request.entities` should hold."""
        return self.shown(request).references

    def entry_scopes(self, tool: str) -> tuple[str, ...]:
        """Return the fewest scopes with which somebody could call a tool in some way; sorted.

        () where none are needed, or none would help. It is what a server's metadata may ask for at first.
        """
        return self.prospects.entry_scopes(tool)

    @cached_property
    def reads(self) -> PolicyReads:
        """What the policy reads of the requests for each tool: to have them decided, no more need be sent."""
        from authz.pdp.reads import PolicyReads  # noqa: PLC0415  # only enforcement points elsewhere ask

        return PolicyReads(self.policy, self._planner.blocks.everywhere)

    def is_global(self, type_: str) -> bool:
        """Say whether resources of a type belong to no tenant (L12)."""
        return type_ in self.policy.global_types

    def outline(self) -> tuple[RuleOutline, ...]:
        """Return every rule and condition of the policy, for coverage."""
        from authz.pdp import outline  # noqa: PLC0415  # only coverage asks

        return outline.outline(self.policy)

    def plan(self, request: Request) -> Plan:
        """Return the rules that have a say."""
        resource = request.resource
        type_ = None if resource is None else resource.type
        key = (request.tool, type_, request.tenant if self._has_sections else "")
        return self._lookups.get(key) or self._look_up(key)

    def _look_up(self, key: tuple[str, str | None, str]) -> Plan:
        tool, type_, tenant = key
        plan = self._planner.plan(tool, type_, tenant)
        if plan.known_tool and len(tool) + len(type_ or "") + len(tenant) <= _LONGEST_KEPT_NAME:
            if len(self._lookups) >= _MAX_LOOKUPS:  # requests choose these names: never keep them all
                self._lookups.clear()
            self._lookups[key] = plan
        return plan

    def shown(self, request: Request) -> Plan:
        """Return the rules that may have a say: with unknown parts, all that some completion meets."""
        return self.prospects.of(request).shown if request.unknown else self.plan(request)

    # --- Decisions ----------------------------------------------------------------------------

    def _kept(self, plan: Plan, key: object, make: Callable[[], Decision]) -> Decision:
        """Return the decision of an outcome, made once."""
        decision = plan.decisions.get(key)
        if decision is None:
            decision = make()
            self.keep(plan, key, decision)
        return decision

    def keep(self, plan: Plan, key: object, decision: Decision) -> None:
        """Remember the decision of an outcome; requests choose which outcomes there are."""
        if len(plan.decisions) >= _MAX_DECISIONS:
            plan.decisions.clear()
        plan.decisions[key] = decision

    def _denial(self, reason: Reason, message: str, rules: Sequence[CompiledRule] = ()) -> Decision:
        return Decision(Effect.DENY, reason, message, _names(rules), self.revision)

    def allowed(self, plan: Plan, allows: int | tuple[CompiledRule, ...]) -> Decision:
        """Return the ALLOW of some allows of a plan, made once."""
        key = allows if isinstance(allows, int) else ("allow", *allows)
        return self._kept(plan, key, lambda: self._allowed(plan.found(allows)))

    def _allowed(self, rules: Sequence[CompiledRule]) -> Decision:
        obligations = []
        for rule in sorted(rules, key=lambda rule: rule.name):
            obligations += [o for o in rule.rule.obligations if o not in obligations]
        message = "; ".join(dict.fromkeys(rule.rule.because for rule in rules if rule.rule.because))
        names = _names(rules)
        return Decision(
            Effect.ALLOW,
            Reason.ALLOWED,
            message or f"allowed by {', '.join(names)}",
            names,
            self.revision,
            tuple(obligations),
        )

    def _no_block(self, plan: Plan) -> Decision:
        if plan.known_tool:
            message = "no rule for this tool speaks of this type of resource"
            return self._kept(plan, "none", lambda: self._denial(Reason.NO_APPLICABLE_RULE, message))
        return self._kept(plan, "none", lambda: self._denial(Reason.UNKNOWN_TOOL, "the policy does not know this tool"))

    def _tenant(self, plan: Plan, request: Request) -> Decision:
        resource_tenant = request.resource.tenant if request.resource is not None else ""
        if resource_tenant and request.tenant:
            message = "the resource belongs to another tenant"
            return self._kept(plan, "tenant", lambda: self._denial(Reason.TENANT_MISMATCH, message))
        who = "caller" if resource_tenant else "resource"
        message = f"the {who} names no tenant"
        return self._kept(plan, who, lambda: self._denial(Reason.TENANT_UNKNOWN, message))

    def _deny(self, plan: Plan, rules: list[CompiledRule], request: Request) -> Decision:
        certain = [rule for rule in rules if rule.true(request)]
        if not certain:
            because = [rule.rule.because for rule in rules if rule.rule.because]
            return self._indeterminate(rules, request, because)

        def make() -> Decision:
            because = "; ".join(dict.fromkeys(rule.rule.because for rule in certain if rule.rule.because))
            return self._denial(Reason.EXPLICIT_DENY, because or f"denied by {', '.join(_names(certain))}", certain)

        return self._kept(plan, ("deny", *certain), make)

    def _requirement(self, plan: Plan, rules: list[CompiledRule], request: Request) -> Decision:
        from authz.pdp import explain  # noqa: PLC0415  # an ALLOW needs none of it, and `authz-eval` starts sooner

        refuted = [rule for rule in rules if rule.false(request)]
        roles = [rule for rule in refuted if rule.rule.kind == "require role"]
        if roles:
            wanted = " and ".join(dict.fromkeys(explain.wanted(rule.rule) for rule in roles))
            return self._kept(
                plan, ("role", *roles), lambda: self._denial(Reason.MISSING_ROLE, f"requires {wanted}", roles)
            )
        if refuted:
            message = f"a requirement is not met: {', '.join(_names(refuted))}"
            return self._kept(
                plan, ("when", *refuted), lambda: self._denial(Reason.REQUIREMENT_NOT_MET, message, refuted)
            )
        return self._indeterminate(rules, request)

    def _short(self, plan: Plan, allows: list[CompiledRule], request: Request, *, foreign: bool) -> Decision:
        """Decide steps 5 and 6: would scopes help, and if not, what kept every allow from applying."""
        from authz.pdp import explain  # noqa: PLC0415  # an ALLOW needs none of it, and `authz-eval` starts sooner

        missing = missing_scopes(plan, request, foreign=foreign)
        if missing:
            return self._insufficient_scope(plan, allows, request, missing, foreign=foreign)
        if not allows:
            unknown = (plan.crossing if foreign else plan.allows).not_false(request)
            if unknown:
                return self._indeterminate(unknown, request)
        nearest = explain.nearest_rule(plan, request, foreign=foreign)
        message = f"no rule allows this; the nearest is {nearest.name}" if nearest else "no rule allows this"
        return self._kept(plan, ("none", nearest), lambda: self._denial(Reason.NO_ALLOW, message))

    def _insufficient_scope(
        self, plan: Plan, allows: list[CompiledRule], request: Request, missing: tuple[str, ...], *, foreign: bool
    ) -> Decision:
        required, would_allow = required_scopes(plan, request, missing, foreign=foreign)
        rules = plan.scopes.not_true(request)
        if not allows:
            rules += would_allow
        return Decision(
            Effect.DENY,
            Reason.INSUFFICIENT_SCOPE,
            f"requires scope {', '.join(missing)}",
            _names(rules),
            self.revision,
            required_scopes=required,
            missing_scopes=missing,
        )

    def _indeterminate(self, rules: list[CompiledRule], request: Request, because: Sequence[str] = ()) -> Decision:
        from authz.pdp import explain  # noqa: PLC0415  # an ALLOW needs none of it, and `authz-eval` starts sooner

        problem = explain.first_problem(rules, request)
        message = f"cannot be decided: {problem}"
        if because:
            message = f"{'; '.join(dict.fromkeys(because))} ({message})"
        return self._denial(Reason.INDETERMINATE, message, rules)


def _names(rules: Sequence[CompiledRule]) -> tuple[str, ...]:
    return tuple(sorted({rule.name for rule in rules}))
