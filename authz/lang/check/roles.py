"""Roles: their hierarchy, and those that a condition gives (L11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from authz.lang import checked
from authz.lang.check.checker import Checker, Scope
from authz.lang.check.hierarchies import report_cycle
from authz.lang.checked import Place
from authz.lang.diagnostics import near
from authz.lang.symbols import closures
from authz.lang.values import glob

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from authz.lang.limits import Limits
    from authz.lang.symbols import LetKey, Reporter, Role, Symbols


def check_roles(symbols: Symbols, report: Reporter) -> tuple[Mapping[str, frozenset[str]], dict[int, frozenset[str]]]:
    """Close the hierarchy of plain roles; return it, and what each derived role holds (L11)."""
    plain: dict[str, Role] = {}
    derived: dict[str, _Namesakes] = {}
    for role in symbols.roles:
        name = role.declaration.name
        others = derived.setdefault(name.value, _Namesakes([], {}, []))
        first = plain.get(name.value) or _overlapping(others, role, symbols)
        if first is not None:
            report.twice(
                f"role `{name.value}` is declared twice",
                Place(role.place.source, name.span),
                Place(first.place.source, first.declaration.name.span),
            )
        elif role.declaration.when is None:
            if others.roles:
                report.twice(
                    f"role `{name.value}` is declared twice",
                    Place(role.place.source, name.span),
                    Place(others.roles[0].place.source, others.roles[0].declaration.name.span),
                )
            plain[name.value] = role
        else:
            _add(others, role, symbols)
    conditional = {name for name, others in derived.items() if others.roles}
    for role in symbols.roles:
        _check_extends(role, plain, conditional, report)
    edges = {name: tuple(t.value for t in role.declaration.extends) for name, role in plain.items()}

    def on_cycle(cycle: list[str]) -> None:
        role = plain[cycle[0]]
        report_cycle(
            f"role `{cycle[0]}` extends itself", cycle, role.place._replace(span=role.declaration.name.span), report
        )

    roles = closures(edges, on_cycle)
    holds = {
        id(role): frozenset({role.declaration.name.value}).union(
            *(roles.get(t.value, ()) for t in role.declaration.extends)
        )
        for others in derived.values()
        for role in others.roles
    }
    return roles, holds


class _Namesakes(NamedTuple):
    """Derived roles of one name, which may stand in the blocks of thousands of tenants."""

    roles: list[Role]
    by_tenant: dict[str, int]
    """The first that names a tenant, by that name."""
    wide: list[int]
    """Those of more tenants than they name."""


def _add(others: _Namesakes, role: Role, symbols: Symbols) -> None:
    number = len(others.roles)
    others.roles.append(role)
    patterns = _tenants(role, symbols)
    for pattern in patterns:
        others.by_tenant.setdefault(pattern, number)
    if any("*" in pattern for pattern in patterns):
        others.wide.append(number)


def _overlapping(others: _Namesakes, role: Role, symbols: Symbols) -> Role | None:
    """Return the first declaration that one tenant could meet beside another one."""
    patterns = _tenants(role, symbols)
    if any("*" in pattern for pattern in patterns):
        near: Iterable[int] = range(len(others.roles))
    else:
        near = sorted({*others.wide, *(others.by_tenant[p] for p in patterns if p in others.by_tenant)})
    for number in near:
        if any(_patterns_meet(p, q) for p in _tenants(others.roles[number], symbols) for q in patterns):
            return others.roles[number]
    return None


def _tenants(role: Role, symbols: Symbols) -> tuple[str, ...]:
    """Return the tenants whose requests meet a declaration, as patterns."""
    return ("*",) if role.section is None else symbols.sections[role.section].patterns


def _patterns_meet(one: str, other: str) -> bool:
    """Say whether some text matches both patterns."""
    if "*" not in one:
        return glob(other.split("*"), one)
    if "*" not in other:
        return glob(one.split("*"), other)
    head, tail = one.split("*"), other.split("*")
    heads_agree = head[0].startswith(tail[0]) or tail[0].startswith(head[0])
    return heads_agree and (head[-1].endswith(tail[-1]) or tail[-1].endswith(head[-1]))


def _check_extends(role: Role, plain: Mapping[str, Role], conditional: set[str], report: Reporter) -> None:
    """Report bases that are not plain roles."""
    for base in role.declaration.extends:
        place = Place(role.place.source, base.span)
        if base.value in conditional:
            report.error(
                "extends-derived-role",
                f"`{base.value}` is a derived role: only its condition gives it",
                place,
                "name both roles where they are asked for",
            )
        elif base.value not in plain:
            report.unless_gaps(
                "unknown-role",
                f"there is no role `{base.value}`",
                place,
                near(base.value, plain) or "declare it with `role`",
            )


def check_derived_roles(
    symbols: Symbols, holds: Mapping[int, frozenset[str]], limits: Limits, report: Reporter, used_lets: set[LetKey]
) -> tuple[checked.DerivedRole, ...]:
    """Check the conditions of derived roles (L11)."""
    derived = []
    for role in symbols.roles:
        if role.declaration.when is None or id(role) not in holds:
            continue
        scope = Scope(role.section, None, tuple(symbols.resources), every=False)
        checker = Checker(symbols, scope, limits, report)
        condition = checker.condition(role.declaration.when, role.place.source)
        used_lets.update(checker.lets)
        derived.append(
            checked.DerivedRole(role.declaration.name.value, holds[id(role)], condition, role.section, role.place)
        )
    return tuple(derived)
