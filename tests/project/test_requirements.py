"""What docs/requirements.md says is so: each item has a test that runs, or a reason why it has none."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

from scripts.requirements import groups, named, page, proofs

ROOT = Path(__file__).resolve().parents[2]
ITEMS: Final = {item: text for group in groups(ROOT) for item, text in group["items"].items()}
OPEN: Final = {item: reason for group in groups(ROOT) for item, reason in group.get("open", {}).items()}
PROOFS: Final = proofs(ROOT)
NOT_RUN: Final = frozenset({"skip", "skipif", "xfail"})


def marks(nodes: list[ast.expr]) -> set[str]:
    """Return the names of the marks among decorators, or in the value of `pytestmark`."""
    return {node.attr for one in nodes for node in ast.walk(one) if isinstance(node, ast.Attribute)}


def run_always(file: str, test: str) -> bool:
    """Whether a test is there and has no mark by which it may not run, of its own or of its file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    of_file = [node.value for node in assigned if ast.unparse(node.targets[0]) == "pytestmark"]
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(node.name == test and not NOT_RUN & marks([*node.decorator_list, *of_file]) for node in functions)


def test_every_item_has_a_test_or_a_reason_and_never_both() -> None:
    """Issue 5, done when, and S81: all of it together; what is open is said to be."""
    assert set(OPEN) - set(ITEMS) == set()
    assert set(PROOFS).isdisjoint(OPEN)
    assert set(ITEMS) - set(PROOFS) - set(OPEN) == set()


def test_no_test_names_an_item_that_does_not_exist() -> None:
    """Issue 5, done when: a number that was mistyped proves nothing."""
    assert {item: tests for item, tests in PROOFS.items() if item not in ITEMS} == {}


def test_the_items_of_each_kind_are_numbered_without_a_gap() -> None:
    """Issue 5, done when: an item that was forgotten here would be neither proved nor open."""
    for letter, last in (("R", 23), ("C", 13), ("S", 108)):
        assert [item for item in ITEMS if item[0] == letter] == [f"{letter}{number}" for number in range(1, last + 1)]


@pytest.mark.parametrize("item", [item for item in ITEMS if item not in OPEN])
def test_an_item_is_proved_by_a_test_that_always_runs(item: str) -> None:
    """Issue 5, done when: named by a passing test; one that may be skipped, or a file as a whole, is not enough."""
    assert [proof for proof in PROOFS[item] if run_always(*proof)]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("R9: a challenge.", ["R9"]),
        ("R9, R10 and S64's sibling (C2).", ["R9", "R10", "S64", "C2"]),
        ("S12-S14", ["S12", "S13", "S14"]),
        ("S12-14", ["S12", "S13", "S14"]),
        ("S12 to S14; threats 3d", ["S12", "S13", "S14"]),
        ("R9 to 5 of them", ["R9"]),
        ("S9-R3", ["S9"]),
        ("PKCE with S256, RS256, HS256", []),
        ("L61, I2, CVE-2026-116684, GHSA-84rm-mhfq-f476, x-S3", []),
    ],
)
def test_items_are_read_as_people_write_them(text: str, items: list[str]) -> None:
    """Issue 5, done when: what only looks like an item is none."""
    assert list(named(text)) == items


def test_the_page_has_a_row_for_each_item() -> None:
    """Issue 5, done when: which test proves which item, and which are open."""
    rows = [line.strip("| ").split(" | ") for line in page(ROOT, "").splitlines() if line.startswith("| ")]
    told = {item: (text, proof) for item, text, proof in rows}
    for item, text in ITEMS.items():
        assert told[item][0] == text
        assert told[item][1].startswith(f"open: {OPEN[item]}" if item in OPEN else "[")
