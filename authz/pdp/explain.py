"""How a decision came about. Nothing is decided here: the functions asked are those that decide."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from authz.lang import checked
from authz.lang.types import kind_of
from authz.lang.values import split_path
from authz.model import ConditionTrace, Explanation, Outcome, Part, Reason, RuleTrace, Seen
from authz.pdp.codegen import condition_tests, value_of
from authz.pdp.nodes import Operand, asked_roles, atoms_of, name_of, nodes_of, place_of, text_of
from authz.pdp.runtime import absent, absent_behind
from authz.pdp.steps import is_foreign, may_apply
from authz.pdp.unknown import is_hidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from authz.lang.checked import Core, Rule
    from authz.model import Decision, Fact, Request, Value
    from authz.pdp.codegen import Test
    from authz.pdp.codegen import Value as Value_
    from authz.pdp.plan import CompiledRule, Plan
    from authz.pdp.program import Program
    from authz.pdp.view import View

_SHOWN_CHARACTERS = 200


# --- Traces ---------------------------------------------------------------------------------


_NOT_OURS: Final = (Reason.TENANT_MISMATCH, Reason.TENANT_UNKNOWN)


def explain(program: Program, request: Request, facts: tuple[Fact, ...] = ()) -> Explanation:
    """Decide, and trace every statement that applies to the tool, the resource's type and the tenant."""
    decision = program.decide(request)
    if decision.reason in _NOT_OURS and any(f.path.startswith("resource.") for f in facts):
        request, facts = _without_foreign(request), tuple(f for f in facts if not _is_foreign(f))
    plan = program.shown(request)
    compiled = [*plan.denies, *plan.requirements, *plan.scopes, *plan.allows]
    foreign = _certainly_foreign(plan, request)
    traces = [_trace(rule, request, foreign=foreign) for rule in compiled]
    traces += [_trace_role(role, true, false, plan.view, request) for role, true, false in asked_roles(plan)]
    return Explanation(decision, tuple(traces), _nearest(plan, request, decision), facts)


def _without_foreign(request: Request) -> Request:
    """Leave out what the directory says of another tenant's resource: the asker may only learn that it is one."""
    resource = request.resource
    assert resource is not None  # it is what the directory says the tenant of
    return replace(request, resource=replace(resource, attributes={}, ancestors=()), entities={})


def _is_foreign(fact: Fact) -> bool:
    return fact.path.startswith("resource.") and fact.path != "resource.tenant"


def _certainly_foreign(plan: Plan, request: Request) -> bool:
    return Part.RESOURCE not in request.unknown and is_foreign(plan, request)


def _outcome(*, true: bool, false: bool) -> Outcome:
    return Outcome.TRUE if true else Outcome.FALSE if false else Outcome.UNKNOWN


def _trace(rule: CompiledRule, request: Request, *, foreign: bool) -> RuleTrace:
    outcome = _outcome(true=bool(rule.true(request)), false=bool(rule.false(request)))
    conditions = [*_trace_who(rule, request), *_trace_condition(rule.view, rule.rule.condition, request)]
    if foreign and rule.rule.kind == "allow" and not rule.rule.across:
        outcome = Outcome.FALSE
        tenants = (
            Seen("tenant", request.tenant),
            Seen("resource.tenant", request.resource.tenant if request.resource else ""),
        )
        conditions.insert(
            0, ConditionTrace("the caller's own tenant", *place_of(rule.rule.place), Outcome.FALSE, tenants)
        )
    return RuleTrace(rule.name, rule.rule.kind, *place_of(rule.rule.place), outcome, tuple(conditions))


def _crooked_path(atom: _Traceable, request: Request) -> Iterator[Seen]:
    """Say that a path is what keeps `under` from an answer (L35)."""
    if atom.path is not None:
        path = atom.path.read(request)
        if isinstance(path, str) and split_path(path) is None:
            yield Seen(atom.path.text, path[:_SHOWN_CHARACTERS], "is not a normal path")


def _trace_role(role: checked.DerivedRole, true: Test, false: Test, view: View, request: Request) -> RuleTrace:
    conditions = tuple(_trace_condition(view, role.condition, request))
    outcome = _outcome(true=bool(true(request)), false=bool(false(request)))
    return RuleTrace(role.name, "derived role", *place_of(role.place), outcome, conditions)


def _trace_who(rule: CompiledRule, request: Request) -> Iterator[ConditionTrace]:
    who = rule.rule.who
    if who is None or who == "public":
        return
    if isinstance(who, checked.Names):
        seen = Seen(f"{who.what}s", list(request.roles if who.what == "role" else request.scopes))
    else:
        seen = Seen("subject.id", request.subject, "" if request.subject else "is missing")
    outcome = Outcome.TRUE if rule.who(request) else Outcome.FALSE
    yield ConditionTrace(wanted(rule.rule), *place_of(rule.rule.place), outcome, (seen,))


def wanted(rule: Rule) -> str:
    """Say whom a rule asks for: `role a or b`, `scope x and y`."""
    who = rule.who
    if not isinstance(who, checked.Names):
        return str(who)
    return f"{who.what} {(' and ' if who.mode == 'all' else ' or ').join(who.names)}"


def _trace_condition(view: View, condition: Core | None, request: Request) -> Iterator[ConditionTrace]:
    for atom in _traceable(view, condition):
        outcome = _outcome(true=bool(atom.true(request)), false=bool(atom.false(request)))
        seen = (*(_see(view, operand, request) for operand in atom.operands), *_crooked_path(atom, request))
        yield ConditionTrace(atom.text, *atom.place, outcome, seen)


class _Traceable(NamedTuple):
    """An atom with all that it takes to trace it."""

    text: str
    place: tuple[str, int, int]
    true: Test
    false: Test
    operands: tuple[_Readable, ...]
    path: _Path | None
    """Of an `under`."""


class _Readable(NamedTuple):
    """What an atom reads of a request."""

    name: str
    node: Operand
    read: Value_


class _Path(NamedTuple):
    """The path that an `under` looks at."""

    text: str
    read: Value_


def _traceable(view: View, condition: Core | None) -> tuple[_Traceable, ...]:
    """Return the atoms of a condition; made once, for it takes a hundred times as long as to trace them."""
    if condition is None:
        return ()
    kept: tuple[Core, tuple[_Traceable, ...]] | None = view.traceable.get(id(condition))
    if kept is None:
        atoms = tuple(_made_traceable(view, atom) for atom in atoms_of(condition))
        kept = view.traceable[id(condition)] = (condition, atoms)  # with the condition, so that it keeps its id
    return kept[1]


def _made_traceable(view: View, atom: Core) -> _Traceable:
    operands = tuple(_Readable(name_of(node), node, value_of(view, node)) for node in _operands(atom))
    path = None
    if isinstance(atom, checked.Under):
        path = _Path(text_of(atom.operand.place), value_of(view, atom.operand))
    return _Traceable(text_of(atom.place), place_of(atom.place), *condition_tests(view, atom), operands, path)


_OPERANDS: Final = (checked.Read, checked.Follow, checked.Builtin, checked.Held, checked.Unknown)


def _operands(atom: Core) -> Iterator[Operand]:
    """Yield what an atom reads of the request, each once."""
    seen: set[str] = set()
    for node in nodes_of(atom):
        if isinstance(node, _OPERANDS) and name_of(node) not in seen:
            seen.add(name_of(node))
            yield node


def _see(view: View, operand: _Readable, request: Request) -> Seen:
    name, node = operand.name, operand.node
    if request.unknown and is_hidden(node, request):
        return Seen(name, problem="is not known yet")
    value = operand.read(request)
    if value is not None:
        return Seen(name, _shown(value, node))
    if isinstance(node, checked.Held):
        return Seen(name, problem="depends on a derived role that is unknown")
    if isinstance(node, (checked.Read, checked.Follow)) and not _absent(view, node, request):
        return Seen(name, problem=f"is not a {kind_of(node.type)}" if node.type.kind != "dynamic" else "cannot be read")
    return Seen(name, problem="is missing")


def _root(node: checked.Read, request: Request) -> Any:
    holder: dict[str, Any] = {
        "subject": request.subject_attributes,
        "client": request.client.attributes if request.client is not None else {},
        "resource": request.resource.attributes if request.resource is not None else {},
        "args": request.arguments,
        "context": request.context,
    }
    return holder[node.root]


def _absent(view: View, node: checked.Read | checked.Follow, request: Request) -> bool:
    keys = _keys(view, node, request)
    if isinstance(node, checked.Read):
        return absent(_root(node, request), keys)
    reference = value_of(view, node.reference)(request)
    is_absent = reference is None and _absent(view, node.reference, request)
    return absent_behind(request.entities, is_absent, node.target, reference, keys)


def _keys(view: View, node: checked.Read | checked.Follow, request: Request) -> list[Any]:
    return [key if isinstance(key, str) else value_of(view, key)(request) for key in node.keys]


def _shown(value: Any, node: Operand) -> Value:
    """Turn a value into JSON, times as text; long ones are cut."""
    if isinstance(value, frozenset):
        return [_shown(item, node) for item in sorted(value, key=str)[:20]]
    if node.type.kind == "time":
        return _time_text(value)
    if isinstance(value, str):
        return value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…"
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) or hasattr(value, "items"):
        text = json.dumps(value, default=str, ensure_ascii=False)
        return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return str(value)


def _time_text(nanoseconds: int) -> str:
    from authz.lang.values import in_zone  # noqa: PLC0415 (only explanations of times need it)

    return in_zone(nanoseconds, "UTC").isoformat().replace("+00:00", "Z")


# --- What would have helped -----------------------------------------------------------------


def nearest_rule(plan: Plan, request: Request, *, foreign: bool) -> CompiledRule | None:
    """Return the allow that came nearest: one that speaks of this caller, else the first by name."""
    for rule in plan.narrowed(request).allows:  # what its roles rule out does not speak of the caller
        if may_apply(rule, foreign=foreign) and rule.who(request):
            return rule
    return plan.whole.first_allows[foreign]


def first_problem(rules: Iterable[CompiledRule], request: Request) -> str:
    """Name the first attribute that kept rules from being decided, and what is wrong with it."""
    for rule in rules:
        for trace in (*_trace_condition(rule.view, rule.rule.condition, request), *_role_conditions(rule, request)):
            if trace.outcome is not Outcome.UNKNOWN:
                continue
            problem = next((f"`{seen.expression}` {seen.problem}" for seen in trace.seen if seen.problem), "")
            return problem or f"`{trace.text}` has no answer for the values given"
    return "a value is missing"


def _role_conditions(rule: CompiledRule, request: Request) -> Iterator[ConditionTrace]:
    who = rule.rule.who
    if isinstance(who, checked.Names) and who.what == "role":
        for role, _, _ in rule.view.derived:
            if not role.holds.isdisjoint(who.names):
                yield from _trace_condition(rule.view, role.condition, request)


def _nearest(plan: Plan, request: Request, decision: Decision) -> str:
    """Say what would have turned a denial around, as far as one thing would."""
    match decision.reason:
        case Reason.ALLOWED:
            return ""
        case Reason.INSUFFICIENT_SCOPE:
            return "would be allowed with scope " + ", ".join(f"`{scope}`" for scope in decision.missing_scopes)
        case Reason.TENANT_MISMATCH | Reason.TENANT_UNKNOWN:
            resource_tenant = request.resource.tenant if request.resource is not None else ""
            return f"tenant `{request.tenant}` ≠ `{resource_tenant}`"
        case Reason.UNKNOWN_TOOL | Reason.NO_APPLICABLE_RULE | Reason.CONDITIONAL:
            return decision.message
        case _:
            return _nearest_rule_text(plan, request, decision)


def _nearest_rule_text(plan: Plan, request: Request, decision: Decision) -> str:
    named = [r for r in (*plan.denies, *plan.requirements, *plan.allows) if r.name in decision.rules]
    foreign = _certainly_foreign(plan, request)
    rule = named[0] if named else nearest_rule(plan, request, foreign=foreign)
    if rule is None:
        return decision.message
    trace = _trace(rule, request, foreign=foreign)
    blamed = {
        Outcome.UNKNOWN: (Outcome.UNKNOWN,),
        Outcome.FALSE: (Outcome.FALSE,),
        Outcome.TRUE: (Outcome.TRUE, Outcome.FALSE),
    }[trace.outcome]
    telling = next((c for outcome in blamed for c in trace.conditions if c.outcome is outcome), None)
    what = f"{rule.rule.kind} {rule.name}"
    return f"{what}: {telling.text} is {telling.outcome.name.lower()}" if telling is not None else what
