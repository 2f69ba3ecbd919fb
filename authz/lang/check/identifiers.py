"""The names in a policy that requests are to carry."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from authz.lang import ast
from authz.lang.checked import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from authz.lang.source import Source
    from authz.lang.symbols import Reporter


def check_identifiers(files: Iterable[tuple[Source, ast.PolicyFile]], report: Reporter) -> None:
    """Refuse names that no request could carry (L1, L60)."""
    for source, file in files:
        for text in _identifiers(file.declarations):
            if text.value.isascii() and text.value.isprintable() and text.value:
                continue
            place = Place(source, text.span)
            if not text.value:
                report.error("empty-name", "this name is empty", place, "write a name, or leave this out")
            elif any(unicodedata.category(c) == "Cc" for c in text.value):
                report.error(
                    "invalid-identifier",
                    "this name holds a control character, so no request can match it",
                    place,
                    "leave the character out",
                )
            elif not unicodedata.is_normalized("NFC", text.value):
                report.error(
                    "invalid-identifier",
                    "this name is not in Unicode normal form NFC, so no request can match it",
                    place,
                    "save it with composed characters",
                )


def _identifiers(declarations: Iterable[ast.Declaration]) -> Iterator[ast.Text]:
    """Yield the names that declarations hold, those of tenant blocks included."""
    for declaration in declarations:
        match declaration:
            case ast.ScopeDeclaration(name, others) | ast.RoleDeclaration(name, others):
                yield name
                yield from others
            case ast.ShapeDeclaration(_, name) if name is not None:
                yield name
            case ast.GroupDeclaration(_, patterns):
                yield from (p for p in patterns if isinstance(p, ast.Text))
            case ast.TenantBlock(patterns, items):
                yield from (p for p in patterns if p.value)
                yield from _identifiers(items)
            case ast.ToolBlock():
                yield from _block_identifiers(declaration)


def _block_identifiers(block: ast.ToolBlock) -> Iterator[ast.Text]:
    """Yield the names that a tool block holds."""
    yield from (p for p in (*block.patterns, *block.excepted) if isinstance(p, ast.Text))
    yield from block.types or ()
    for statement in block.statements:
        match statement:
            case ast.Require(_, _, names):
                yield from names
            case ast.Rule(who=ast.Who(names=names), label=label):
                yield from names
                yield from (label,) if label is not None else ()
            case ast.Rule(label=ast.Text() as label):
                yield label
