"""L68 as a program: what a request comes to while parts of it are unknown. Beside `reference`, and like it.

A condition has a set of outcomes here: one where it reads nothing that is unknown, all three for an
atom that does, and for what is joined every result that a choice of one outcome each may give. The
steps of L61 are then taken for each type that the resource may have, once with every outcome chosen in
the caller's favour, and once with every one chosen against it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Final, TypeAlias

from authz.lang import ast
from authz.model import Effect, Part, Reason, Resource
from tests import reference
from tests.reference import Case, Judge, ReferenceResult, Roles, Scene, Stated, Truth, every, names, negate, some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from authz.model import Request
    from tests.reference import Lets, Policy

Outcomes: TypeAlias = frozenset[Truth]

ANY: Final[Outcomes] = frozenset({True, False, None})
NAMES: Final = {Part.ARGUMENTS: "args", Part.RESOURCE: "resource", Part.CONTEXT: "context"}
OTHER: Final = "\u00a4"
"""Stands for what no policy names."""


def decide_unknown(policy: Policy, request: Request) -> ReferenceResult:
    """Say what is certain about every completion of a request."""
    types = possible_types(policy, request)
    typed = request.resource is not None and bool(request.resource.type)
    hopeful = [reference.decide(Hopeful(policy, with_type(request, one), typed)) for one in types]
    open_ways = [result for result in hopeful if result.effect is Effect.ALLOW]
    if not open_ways:
        return min(hopeful, key=how_far)
    wary = [Wary(policy, with_type(request, one), typed).judge(frozenset()) for one in types]
    if all(judgement.is_allow for judgement in wary):
        always = [one for one in wary[0].allows if all(one in judgement.allows for judgement in wary)]
        return ReferenceResult(Effect.ALLOW, Reason.ALLOWED, names(always), reference.obligations(always))
    rules = tuple(sorted({name for result in open_ways for name in result.rules}))
    return ReferenceResult(Effect.CONDITIONAL, Reason.CONDITIONAL, rules)


def how_far(result: ReferenceResult) -> tuple[int, int, tuple[str, ...], tuple[str, ...]]:
    """Order denials: the one that comes furthest first, then the one that lacks least."""
    return -result.reason.value, len(result.missing_scopes), result.missing_scopes, result.rules


def possible_types(policy: Policy, request: Request) -> Sequence[str | None]:
    """Return a type for each way in which the policy may look at it; None for no resource."""
    resource = request.resource
    if Part.RESOURCE not in request.unknown or (resource is not None and resource.type):
        return [resource.type if resource is not None else None]
    patterns = {one.value for block in policy.blocks for one in block.node.types or ()}
    return [None, OTHER, *sorted(pattern.replace("*", OTHER) for pattern in patterns)]


def with_type(request: Request, type_: str | None) -> Request:
    """Return the request for a resource of a type, whose other attributes nothing may read."""
    if Part.RESOURCE not in request.unknown:
        return request
    return replace(request, resource=Resource(type_) if type_ is not None else None)


@dataclass(frozen=True, slots=True)
class Fog:
    """What cannot be seen: names of L30, and whether the type of an unknown resource is known."""

    roots: frozenset[str]
    typed: bool
    roles: bool = False

    def hides(self, atom: ast.Expr, lets: Lets) -> bool:
        """Say whether an atom reads anything that is unknown."""
        return any(isinstance(one, ast.Reference) and self.hidden(one) for one in reference.nodes(atom, lets))

    def hidden(self, node: ast.Reference) -> bool:
        """Say whether a name is unknown."""
        if node.root.text == "roles":
            return self.roles
        if node.root.text == "resource" and self.typed and node.steps:
            step = node.steps[0]
            name = step.name if isinstance(step, ast.Attribute) else getattr(step.key, "value", None)
            if name == "type":
                return False
        return node.root.text in self.roots


def joined(join: Callable[[Sequence[Truth]], Truth], parts: Iterable[Outcomes]) -> Outcomes:
    """Return every result that a choice of one outcome each may give."""
    result: Outcomes = frozenset({join(())})
    for part in parts:
        result = frozenset(join((one, other)) for one, other in product(result, part))
    return result


def flipped(outcomes: Outcomes) -> Outcomes:
    """Return the outcomes of the negation."""
    return frozenset(map(negate, outcomes))


@dataclass(frozen=True, slots=True)
class FoggyCase(Case):
    """A request of which parts are unknown: what each statement may come to."""

    fog: Fog
    carried: frozenset[str]
    given: tuple[tuple[frozenset[str], Outcomes], ...]
    """The roles that each derived role gives, and what its condition may come to."""
    favour: bool
    """Whether outcomes are chosen in the caller's favour."""

    def chosen(self, outcomes: Outcomes, *, wish: bool) -> Truth:
        """Choose the outcome that the caller would, or the opposite of it."""
        if not self.favour:
            return wish if outcomes == {wish} else not wish
        if wish in outcomes:
            return wish
        return (not wish) if (not wish) in outcomes else None

    def possible(self, scene: Scene, expr: ast.Expr) -> Outcomes:
        """Return what a condition may come to."""
        expr = reference.put_in(expr, scene.lets)
        match expr:
            case ast.Not(operand, _):
                return flipped(self.possible(scene, operand))
            case ast.And(items, _):
                return joined(every, [self.possible(scene, item) for item in items])
            case ast.Or(items, _):
                return joined(some, [self.possible(scene, item) for item in items])
            case ast.If(test, yes, no, _):
                return self.possible(scene, either_way(test, yes, no))
            case ast.Compare(op="not in"):
                return flipped(self.possible(scene, expr._replace(op="in")))
            case ast.Compare(op="in", left=left, right=right) if is_role_test(left, right, scene.lets):
                literal = reference.put_in(left, scene.lets)
                assert isinstance(literal, ast.StringLiteral)
                return self.role(literal.value)
            case _:
                return ANY if self.fog.hides(expr, scene.lets) else frozenset({scene.truth(expr)})

    def role(self, name: str) -> Outcomes:
        """Return what holding a role may come to."""
        carried = frozenset({name in self.carried})
        return joined(some, [carried, *(outcomes for roles, outcomes in self.given if name in roles)])

    def asked(self, who: ast.Require | ast.Who) -> Outcomes:
        """Return what holding the roles or scopes of a list may come to."""
        if who.kind == "scope":
            return frozenset({self.holds(who)})
        join = every if who.mode == "all" else some
        return joined(join, [self.role(one.value) for one in who.names])

    def met(self, stated: Stated, condition: ast.Expr | None, *, default: bool) -> Outcomes:
        """Return what a condition of a statement may come to, in its place (L13)."""
        if condition is None:
            return frozenset({default})
        block = stated.block.node
        args = None if block.arguments is None else {one.name.text: one.type for one in block.arguments}
        resource = self.policy.resource_fields(block.types)
        scene = Scene(self.policy, self.request, self.scopes, self.roles, stated.block.lets, args, resource)
        return self.possible(scene, condition)

    def rule(self, stated: Stated, rule: ast.Rule) -> Outcomes:
        """Return what `when` and `unless` may come to."""
        when = self.met(stated, rule.when, default=True)
        return joined(every, [when, flipped(self.met(stated, rule.unless, default=False))])

    def allow(self, stated: Stated) -> Truth:
        """Say whether an allow applies (L22, L51)."""
        rule = stated.node
        if not isinstance(rule, ast.Rule) or rule.effect != "allow" or (self.foreign and not rule.across):
            return False
        kind = rule.who.kind if rule.who else "anyone"
        if self.request.anonymous and kind != "public":
            return False
        who = self.asked(rule.who) if rule.who and kind in {"role", "scope"} else frozenset({True})
        return self.chosen(joined(every, [who, self.rule(stated, rule)]), wish=True)

    def deny(self, stated: Stated) -> Truth:
        """Say whether a deny applies."""
        rule = stated.node
        if not isinstance(rule, ast.Rule) or rule.effect != "deny":
            return False
        who: Outcomes = frozenset({True})
        if rule.who and rule.who.kind == "anyone":
            who = frozenset({not self.request.anonymous})
        elif rule.who and rule.who.kind in {"role", "scope"}:
            who = self.asked(rule.who)
        return self.chosen(joined(every, [who, self.rule(stated, rule)]), wish=False)

    def required(self, stated: Sequence[Stated]) -> list[tuple[Reason, tuple[Stated, ...]]]:
        """Step 4."""
        roles = [
            (one, self.chosen(self.asked(one.node), wish=True))
            for one in stated
            if isinstance(one.node, ast.Require) and one.node.kind == "role"
        ]
        whens = [
            (one, self.chosen(self.met(one, one.node.condition, default=True), wish=True))
            for one in stated
            if isinstance(one.node, ast.RequireWhen)
        ]
        return [
            (Reason.MISSING_ROLE, tuple(one for one, outcome in roles if outcome is False)),
            (Reason.REQUIREMENT_NOT_MET, tuple(one for one, outcome in whens if outcome is False)),
            (Reason.INDETERMINATE, tuple(one for one, outcome in (*roles, *whens) if outcome is None)),
        ]


def either_way(test: ast.Expr, yes: ast.Expr, no: ast.Expr) -> ast.Expr:
    """Write a choice of conditions as what L50 says it is."""
    span = reference.BUILT_IN
    return ast.Or((ast.And((test, yes), span), ast.And((ast.Not(test, span), no), span)), span)


def is_role_test(left: ast.Expr, right: ast.Expr, lets: Lets) -> bool:
    """Tell `"x" in roles`, which asks for one role, from whatever looks at all of them."""
    left, right = reference.put_in(left, lets), reference.put_in(right, lets)
    return isinstance(left, ast.StringLiteral) and isinstance(right, ast.Reference) and right.root.text == "roles"


@dataclass(frozen=True, slots=True)
class FoggyJudge(Judge):
    """Takes the steps of L61 with outcomes chosen. `typed` says that the request names its resource's type."""

    typed: bool = False

    def favours(self) -> bool:
        """Say whether outcomes are chosen in the caller's favour."""
        raise NotImplementedError

    def is_foreign(self) -> bool:
        """Another tenant's resource is the caller's own at best, and the reverse at worst."""
        if Part.RESOURCE not in self.request.unknown:
            return Judge.is_foreign(self)
        resource = self.request.resource
        return not self.favours() and resource is not None and not self.policy.is_global(resource.type)

    def case(self, added: frozenset[str]) -> Case:
        """Compute what is held, and what derived roles may come to."""
        seen = Judge.case(self, added)
        carried = self.carried_roles()
        inside = Roles(carried, frozenset(), certain=True)
        fog = Fog(frozenset(NAMES[part] for part in self.request.unknown), self.typed)
        policy, request, favour = self.policy, self.request, self.favours()
        case = FoggyCase(policy, request, seen.scopes, seen.roles, self.is_foreign(), fog, carried, (), favour)
        implied = [(one.node.name.value, one.node.extends) for one in policy.roles]
        given = []
        for role in policy.roles:
            if role.node.when is not None:
                fields = policy.resource_fields(None)
                scene = Scene(policy, request, seen.scopes, inside, role.lets, None, fields)
                held = frozenset(reference.closure({role.node.name.value}, implied))
                given.append((held, case.possible(scene, role.node.when)))
        is_open = any(len(outcomes) > 1 for _, outcomes in given)
        return replace(case, fog=replace(fog, roles=is_open), given=tuple(given))


@dataclass(frozen=True, slots=True)
class Hopeful(FoggyJudge):
    """Allows what some completion allows."""

    def favours(self) -> bool:
        """In the caller's favour."""
        return True


@dataclass(frozen=True, slots=True)
class Wary(FoggyJudge):
    """Allows what every completion allows."""

    def favours(self) -> bool:
        """Against the caller."""
        return False
