"""The statements of a tool block that decide: `require`, `allow` and `deny` (L22, L23)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from authz.lang import ast, checked
from authz.lang.check.obligations import read_obligation, unique
from authz.lang.checked import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.lang.check.checker import Checker
    from authz.lang.source import Source
    from authz.lang.symbols import Reporter
    from authz.model import Obligation


def check_rule(
    statement: ast.Require | ast.RequireWhen | ast.Rule,
    source: Source,
    checker: Checker,
    obliged: tuple[Obligation, ...],
    report: Reporter,
) -> checked.Rule:
    """Check one statement. `obliged` is what the block obliges each allow to."""
    place = Place(source, statement.span)
    name = f"{source.module}:{source.place(statement.span.start)[0]}"
    match statement:
        case ast.Require(kind, mode, names):
            who = _names(kind, mode, names)
            return checked.Rule(f"require {kind}", name, who, False, None, "", (), place)  # type: ignore[arg-type]
        case ast.RequireWhen(condition):
            return checked.Rule("require when", name, None, False, checker.condition(condition, source), "", (), place)
        case ast.Rule():
            return _allow_or_deny(statement, source, checker, obliged, report)


def _allow_or_deny(
    rule: ast.Rule, source: Source, checker: Checker, obliged: tuple[Obligation, ...], report: Reporter
) -> checked.Rule:
    """Check an `allow` or `deny` (L23); the obligations of its block come after its own."""
    place = Place(source, rule.span)
    label = rule.label.value if rule.label is not None else source.place(rule.span.start)[0]
    if rule.effect == "allow" and rule.who is None and rule.when is None:
        report.error(
            "allow-without-who",
            "this allow says neither who nor when",
            place,
            "name a role or scope, or write `anyone` or `public`",
        )
    if rule.across and rule.when is None and rule.unless is None:
        report.error(
            "across-without-condition",
            "`across tenants` needs a condition",
            place,
            "say with `when` which resources of other tenants may be reached",
        )
    own = tuple(read_obligation(obligation, source, report) for obligation in rule.obligations)
    obligations = unique((*own, *obliged)) if rule.effect == "allow" else ()
    because = rule.because.value if rule.because is not None else ""
    return checked.Rule(
        rule.effect,
        f"{source.module}:{label}",
        _who(rule),
        rule.across,
        _condition(rule, source, checker),
        because,
        obligations,
        place,
    )


def _who(rule: ast.Rule) -> checked.Names | Literal["anyone", "public"] | None:
    """Return whom a rule speaks of."""
    who = rule.who
    if who is None:
        return "anyone" if rule.effect == "allow" else None
    if who.kind in {"anyone", "public"}:
        return "anyone" if who.kind == "anyone" else "public"
    return _names(who.kind, who.mode, who.names)


def _names(kind: str, mode: ast.Mode | None, names: Iterable[ast.Text]) -> checked.Names:
    """Sort the names; without a mode, one role is enough and all scopes are needed."""
    sorted_names = tuple(sorted({name.value for name in names}))
    if kind == "role":
        return checked.Names("role", mode or "any", sorted_names)
    return checked.Names("scope", mode or "all", sorted_names)


def _condition(rule: ast.Rule, source: Source, checker: Checker) -> checked.Core | None:
    """Join `when` and `unless` (L23)."""
    parts: list[checked.Core] = []
    if rule.when is not None:
        parts.append(checker.condition(rule.when, source))
    if rule.unless is not None:
        place = Place(source, rule.unless.span)
        parts.append(checked.Not(checker.condition(rule.unless, source), place))
    if len(parts) > 1:
        return checked.And(tuple(parts), Place(source, rule.span))
    return parts[0] if parts else None
