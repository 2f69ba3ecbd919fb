"""What leads from name to name: scopes that imply others (L10), and tool groups that hold others (L16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lang import ast
from authz.lang.checked import Place
from authz.lang.diagnostics import near
from authz.lang.symbols import closures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from authz.lang.source import Source
    from authz.lang.symbols import Reporter, Symbols


def check_scopes(symbols: Symbols, report: Reporter) -> Mapping[str, frozenset[str]]:
    """Close the hierarchy of scopes (L10)."""
    edges = {name: tuple(t.value for t in declaration.implies) for name, (declaration, _) in symbols.scopes.items()}

    def on_cycle(cycle: list[str]) -> None:
        declaration, place = symbols.scopes[cycle[0]]
        report_cycle(f"scope `{cycle[0]}` implies itself", cycle, place._replace(span=declaration.name.span), report)

    return closures(edges, on_cycle)


def check_groups(symbols: Symbols, report: Reporter) -> None:
    """Refuse cycles of tool groups (L16)."""
    edges = {
        name: tuple(p.name.text for p in declaration.patterns if isinstance(p, ast.GroupReference))
        for name, (declaration, _) in symbols.groups.items()
    }

    def on_cycle(cycle: list[str]) -> None:
        declaration, place = symbols.groups[cycle[0]]
        report_cycle(
            f"tool group `{cycle[0]}` contains itself", cycle, place._replace(span=declaration.name.span), report
        )
        for name in cycle:
            symbols.groups[name] = (symbols.groups[name][0]._replace(patterns=()), symbols.groups[name][1])

    closures(edges, on_cycle)
    for declaration, place in symbols.groups.values():
        check_group_names(declaration.patterns, place.source, symbols, report)


def check_group_names(patterns: Iterable[ast.Pattern], source: Source, symbols: Symbols, report: Reporter) -> None:
    """Report groups that are not declared (L16)."""
    for pattern in patterns:
        if isinstance(pattern, ast.GroupReference) and pattern.name.text not in symbols.groups:
            report.unless_gaps(
                "unknown-group",
                f"there is no tool group `{pattern.name.text}`",
                Place(source, pattern.span),
                near(pattern.name.text, symbols.groups) or "declare it with `tools`",
            )


def put_groups_in(written: Iterable[ast.Pattern], symbols: Symbols) -> tuple[str, ...]:
    """Put groups in, each once; check_groups() has cut cycles open."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = list(reversed(tuple(written)))
    while waiting:
        pattern = waiting.pop()
        if isinstance(pattern, ast.Text):
            found[pattern.value] = None
        elif pattern.name.text not in seen and pattern.name.text in symbols.groups:
            seen.add(pattern.name.text)
            waiting.extend(reversed(symbols.groups[pattern.name.text][0].patterns))
    return tuple(found)


def report_cycle(what: str, cycle: list[str], place: Place, report: Reporter) -> None:
    """Report names that lead back to the first of them; `what` says it of that one."""
    shown = " → ".join(f"`{name}`" for name in (*cycle[:4], *(["…"] if len(cycle) > 4 else []), cycle[0]))
    way = "" if len(cycle) == 1 else f": {shown}"
    report.error("cycle", f"{what}{way}", place, "leave out what leads back to the start")
