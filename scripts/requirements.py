"""Requirements and the tests that prove them → docs/requirements.md.

A test proves an item when its docstring, or that of its module, names it: `R9`, `S12 to S14`.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MOST_SHOWN: Final = 4
_NAMED: Final = re.compile(r"(?<![\w-])([RCS])(\d{1,3})(?:(?:-\1?| to \1)(\d{1,3}))?\b")
_OTHERS: Final = frozenset({"S256"})
"""What looks like an item and is none: the method of PKCE (RFC 7636, section 4.2)."""


class Proof(NamedTuple):
    """A test, or a file of tests, that names an item."""

    file: str
    test: str
    """"" is the file as a whole."""


def proofs(root: Path) -> dict[str, list[Proof]]:
    """Return the tests below `tests` by the items that they name."""
    found: dict[str, list[Proof]] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        name = path.relative_to(root).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for test, docstring in _docstrings(tree):
            for item in sorted(set(named(docstring))):
                found.setdefault(item, []).append(Proof(name, test))
    return found


def named(text: str) -> Iterator[str]:
    """Yield the items that a text names; `S12-S14` and `S12 to S14` name three."""
    for letter, first, last in _NAMED.findall(text):
        numbers = range(int(first), int(last or first) + 1)
        yield from (item for item in (f"{letter}{number}" for number in numbers) if item not in _OTHERS)


def _docstrings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    yield "", ast.get_docstring(tree) or ""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


def groups(root: Path) -> list[Mapping[str, Any]]:
    """Return the groups of tests/requirements.toml: `name`, `source`, `items` and `open`, both by item."""
    document = tomllib.loads((root / "tests" / "requirements.toml").read_text(encoding="utf-8"))
    return list(document["group"])


def page(root: Path, note: str) -> str:
    """Return the page."""
    tests, lines = proofs(root), [note, "", "# Requirements", "", *_INTRODUCTION]
    named_by = Counter(proof for found in tests.values() for proof in found)
    for group in groups(root):
        items, still_open = group["items"], group.get("open", {})
        done = sum(item in tests for item in items)
        lines += ["", f"## {group['name']}", "", f"From: {group['source']}.", "", f"{done} of {len(items)} are proved."]
        lines += ["", "| item | requirement | proved by |", "| --- | --- | --- |"]
        for item, text in items.items():
            found = sorted(tests.get(item, ()), key=lambda proof: named_by[proof])
            lines.append(f"| {item} | {text} | {_proof(found, still_open.get(item, ''))} |")
    return "\n".join(lines) + "\n"


_INTRODUCTION: Final = (
    "What the MCP specification and the field's documents ask of a secure MCP server, and which test proves it here.",
    "An item is proved by a test that names it; an item that is open says why.",
)


def _proof(found: list[Proof], still_open: str) -> str:
    """Write the tests of one item: each name once, those that are about the fewest items first."""
    if not found:
        return f"open: {still_open}"
    tests: dict[str, Proof] = {}
    for proof in found:
        tests.setdefault(proof.test, proof)
    shown = [proof for proof in tests.values() if proof.test] or found
    links = ", ".join(f"[{_words(proof)}](../{proof.file})" for proof in shown[:MOST_SHOWN])
    return f"{links} and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else links


def _words(proof: Proof) -> str:
    return proof.test.removeprefix("test_").replace("_", " ") if proof.test else f"`{proof.file}`"
