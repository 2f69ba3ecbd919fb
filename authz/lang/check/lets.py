"""`let`s: none may lead back to itself, and those that nothing uses are checked all the same (L15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.lang import ast
from authz.lang.check.checker import Checker, Scope
from authz.lang.check.hierarchies import report_cycle
from authz.lang.checked import Place
from authz.lang.symbols import closures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.lang.limits import Limits
    from authz.lang.symbols import LetKey, Reporter, Symbols


def check_let_cycles(symbols: Symbols, report: Reporter) -> None:
    """Refuse `let`s that lead back to themselves (L15)."""
    names = {key: f"{key[0]}\0{key[1]}" for key in symbols.lets}
    edges: dict[str, tuple[str, ...]] = {}
    for (name, section), let in symbols.lets.items():
        used = set(_words(let.declaration.value))
        visible = [k for word in sorted(used) for k in ((word, section), (word, None)) if k in names][: len(used) * 2]
        edges[names[name, section]] = tuple(dict.fromkeys(names[k] for k in visible))
    by_text = {text: key for key, text in names.items()}

    def on_cycle(cycle: list[str]) -> None:
        let = symbols.lets[by_text[cycle[0]]]
        report_cycle(
            f"`{let.declaration.name.text}` is defined by itself",
            [by_text[c][0] for c in cycle],
            Place(let.source, let.declaration.name.span),
            report,
        )

    closures(edges, on_cycle)


def _words(node: object) -> Iterator[str]:
    """Yield the roots of all references below a node, those inserted into patterns included by their text."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Reference):
            yield node.root.text
        if isinstance(node, ast.StringLiteral) and "{" in node.value:
            yield from "".join(c if c.isalnum() or c == "_" else " " for c in node.value).split()
        if isinstance(node, tuple) and not isinstance(node, ast.Span):
            waiting.extend(node)


def check_unused_lets(symbols: Symbols, limits: Limits, report: Reporter, used: set[LetKey]) -> None:
    """Check `let`s that nothing uses as if a block without declarations used them (L15)."""
    for let in symbols.lets:
        if let not in used:
            checker = Checker(symbols, Scope(let[1], None, tuple(symbols.resources), every=False), limits, report)
            checker.open_lets.append(let)
            checker.let(let)
            used.update(checker.lets)
