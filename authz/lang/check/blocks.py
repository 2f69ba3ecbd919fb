"""Tool blocks, and what holds for the statements of all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.lang import ast, checked
from authz.lang.check.checker import Checker, Scope
from authz.lang.check.hierarchies import check_group_names, put_groups_in
from authz.lang.check.obligations import read_obligation
from authz.lang.check.rules import check_rule
from authz.lang.checked import Place
from authz.lang.diagnostics import near
from authz.lang.symbols import read_fields
from authz.lang.values import glob

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.lang.limits import Limits
    from authz.lang.source import Source
    from authz.lang.symbols import LetKey, Reporter, Symbols
    from authz.lang.types import FieldType

_LIMIT_KEYS: Final = ("subject", "client", "tenant", "tool", "ip")


def check_rule_count(symbols: Symbols, limits: Limits, report: Reporter) -> None:
    """Refuse more statements than the limit (L6)."""
    count = 0
    for block, source, _ in symbols.blocks:
        count += len(block.statements)
        if count > limits.rules:
            report.error(
                "too-many-rules",
                f"this policy has more than {limits.rules} rules",
                Place(source, block.span),
                "let a rule compare attributes instead of naming each user or resource",
            )
            return


def check_block(
    written: tuple[ast.ToolBlock, Source, int | None],
    symbols: Symbols,
    limits: Limits,
    report: Reporter,
    used_lets: set[LetKey],
) -> checked.Block:
    """Check a tool block and its statements (L20-L23)."""
    block, source, section = written
    check_group_names((*block.patterns, *block.excepted), source, symbols, report)
    arguments = None if block.arguments is None else read_fields(block.arguments, source, symbols.resources, report)
    checker = Checker(symbols, _scope(block, section, arguments, symbols), limits, report)
    obliged = tuple(
        read_obligation(statement.obligation, source, report)
        for statement in block.statements
        if isinstance(statement, ast.Oblige)
    )
    rules = tuple(
        check_rule(statement, source, checker, obliged, report)
        for statement in block.statements
        if not isinstance(statement, (ast.Oblige, ast.Limit))
    )
    for statement in block.statements:
        if isinstance(statement, ast.Limit):
            _check_limit(statement, source, report)
    used_lets.update(checker.lets)
    return checked.Block(
        put_groups_in(block.patterns, symbols),
        put_groups_in(block.excepted, symbols),
        None if block.types is None else tuple(t.value for t in block.types),
        rules,
        section,
        Place(source, block.span),
    )


def _scope(
    block: ast.ToolBlock, section: int | None, arguments: tuple[FieldType, ...] | None, symbols: Symbols
) -> Scope:
    """Say which arguments and resource types the conditions of a block may meet."""
    if block.types is None:
        return Scope(section, arguments, tuple(symbols.resources), every=False)
    patterns = [t.value for t in block.types]
    globs = [p.split("*") for p in patterns if "*" in p]
    found = {p for p in patterns if p in symbols.resources}
    if globs:
        found.update(t for t in symbols.resources if any(glob(pieces, t) for pieces in globs))
    declared = tuple(sorted(found, key=symbols.types.__getitem__))
    every = not globs and len(found) == len(set(patterns))
    return Scope(section, arguments, declared, every)


def _check_limit(limit: ast.Limit, source: Source, report: Reporter) -> None:
    """Refuse a limit that cannot be counted (L70)."""
    if not isinstance(limit.calls.value, int) or limit.calls.value < 1:
        report.error(
            "invalid-limit",
            f"`{source.slice(limit.calls.span)}` is no number of calls",
            Place(source, limit.calls.span),
            "a limit counts whole calls, one or more",
        )
    if limit.per.nanoseconds <= 0:
        report.error(
            "invalid-limit",
            f"`{source.slice(limit.per.span)}` is no time to count in",
            Place(source, limit.per.span),
            "the time of a limit is longer than nothing",
        )
    for key in limit.keys:
        if key.text not in _LIMIT_KEYS:
            report.error(
                "invalid-limit",
                f"a limit cannot count by `{key.text}`",
                Place(source, key.span),
                near(key.text, _LIMIT_KEYS) or "the keys are `subject`, `client`, `tenant`, `tool` and `ip`",
            )


def check_labels(blocks: Iterable[ast.ToolBlock], source: Source, report: Reporter) -> None:
    """Refuse two rules of one label in one file (L23)."""
    first: dict[str, Place] = {}
    for block in blocks:
        for statement in block.statements:
            if not isinstance(statement, ast.Rule) or statement.label is None:
                continue
            label = statement.label
            place = Place(source, label.span)
            if label.value in first:
                report.twice(f"the label `{label.value}` is used twice in this file", place, first[label.value])
            first.setdefault(label.value, place)
