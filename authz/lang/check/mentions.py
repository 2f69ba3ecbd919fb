"""The scopes and roles that each part of a policy knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lang import ast, checked

if TYPE_CHECKING:
    from authz.lang.symbols import Symbols


def mentions(symbols: Symbols) -> tuple[checked.Mentions, ...]:
    """Collect the scopes and roles that the global text and each tenant block mention (L30)."""
    found = [(set[str](), set[str]()) for _ in range(len(symbols.sections) + 1)]
    for name, (declaration, _) in symbols.scopes.items():
        found[0][0].update({name, *(t.value for t in declaration.implies)})
    for role in symbols.roles:
        at = 0 if role.section is None else role.section + 1
        found[at][1].update({role.declaration.name.value, *(t.value for t in role.declaration.extends)})
        _mention(role.declaration.when, role.section, symbols, found[at])
    for block, _, section in symbols.blocks:
        at = 0 if section is None else section + 1
        for statement in block.statements:
            _mention(statement, section, symbols, found[at])
    return tuple(checked.Mentions(frozenset(scopes), frozenset(roles)) for scopes, roles in found)


def _mention(node: object, section: int | None, symbols: Symbols, found: tuple[set[str], set[str]]) -> None:
    """Add the names a statement or condition mentions; `let`s count where they are used."""
    seen: set[int] = set()
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
                let = symbols.lets.get((root.text, section)) or symbols.lets.get((root.text, None))
                if let is not None and id(let) not in seen:
                    seen.add(id(let))
                    waiting.append(let.declaration.value)
                waiting += steps
            case tuple():
                waiting.extend(node)
