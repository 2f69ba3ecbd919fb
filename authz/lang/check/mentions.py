"""The scopes and roles that each part of a policy knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from authz.lang import ast
from authz.lang.checked import Mentions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from authz.lang.symbols import LetKey, Symbols


Found: TypeAlias = "tuple[set[str], set[str]]"
"""Scopes and roles."""


def block_mentions(blocks: Iterable[tuple[ast.ToolBlock, int | None]], symbols: Symbols) -> dict[int | None, Mentions]:
    """Collect what some tool blocks mention, by the tenant block that they stand in (L30)."""
    found: dict[int | None, Found] = {}
    for block, section in blocks:
        names = found.setdefault(section, (set(), set()))
        for statement in block.statements:
            _mention(statement, section, symbols, names)
    return {section: Mentions(frozenset(scopes), frozenset(roles)) for section, (scopes, roles) in found.items()}


def mentions(symbols: Symbols, of_blocks: Iterable[Mapping[int | None, Mentions]]) -> tuple[Mentions, ...]:
    """Collect the scopes and roles that the global text and each tenant block mention (L30)."""
    found: list[Found] = [(set(), set()) for _ in range(len(symbols.sections) + 1)]
    for name, (declaration, _) in symbols.scopes.items():
        found[0][0].update({name, *(t.value for t in declaration.implies)})
    for role in symbols.roles:
        at = 0 if role.section is None else role.section + 1
        found[at][1].update({role.declaration.name.value, *(t.value for t in role.declaration.extends)})
        _mention(role.declaration.when, role.section, symbols, found[at])
    for names in of_blocks:
        for section, own in names.items():
            at = 0 if section is None else section + 1
            found[at][0].update(own.scopes)
            found[at][1].update(own.roles)
    return tuple(Mentions(frozenset(scopes), frozenset(roles)) for scopes, roles in found)


def _mention(node: object, section: int | None, symbols: Symbols, found: Found) -> None:
    """Add the names a statement or condition mentions; `let`s count where they are used."""
    seen: set[LetKey] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.StringLiteral(value):
                found[0].add(value)
                found[1].add(value)
            case ast.Require(kind, _, names) | ast.Who(kind, _, names):
                found[0 if kind == "scope" else 1].update(name.value for name in names)
            case ast.Rule(who=who, when=when, unless=unless):
                waiting += [who, when, unless]
            case ast.Oblige() | ast.Limit() | ast.Span():
                pass
            case ast.Reference(root, steps):
                let = symbols.let(root.text, section)
                if let is not None and let not in seen:
                    seen.add(let)
                    waiting.append(symbols.lets[let].declaration.value)
                waiting += steps
            case tuple():
                waiting.extend(node)
