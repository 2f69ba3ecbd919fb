"""Tokens → tree. The only module that knows Lark.

Lark reads the grammar and works out its LALR tables. That takes as long as starting Python ten
times, so `scripts/gen` keeps them in tables.json, and Lark is called only where the grammar has
changed since. The machine follows the tables by itself, so that it can step back over what does
not fit.
"""

from __future__ import annotations

import hashlib
import json
import os.path
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from authz.lang import ast
from authz.lang.lexer import Lexer
from authz.lang.limits import DEFAULT_LIMITS, Limits
from authz.lang.machine import Grammar, Machine, UnexpectedTokenError, end_token, read_tables
from authz.lang.recovery import Parse
from authz.lang.source import Source
from authz.lang.syntax_errors import unexpected

if TYPE_CHECKING:
    from authz.lang.diagnostics import Diagnostic

_FOLDER: Final = os.path.dirname(__file__)  # noqa: PTH120 (nothing else on the way to a decision needs pathlib)
_STARTS: Final = ["policy", "tests", "expression"]
_KEYWORD_VALUES: Final = ("NAME", "STRING", "DURATION", "NUMBER", "COMMENT")


def parse_policy(source: Source, limits: Limits = DEFAULT_LIMITS) -> tuple[ast.PolicyFile, tuple[Diagnostic, ...]]:
    """Parse one policy file. Never raises: what cannot be parsed is left out and reported."""
    parse = Parse(source, limits, "policy", _grammar(), _lexer())
    return ast.PolicyFile(parse.result, parse.comments, parse.broken, parse.span), parse.report()


def parse_tests(source: Source, limits: Limits = DEFAULT_LIMITS) -> tuple[ast.TestFile, tuple[Diagnostic, ...]]:
    """Parse one `_test.authz` file (L80). Never raises."""
    parse = Parse(source, limits, "tests", _grammar(), _lexer())
    return ast.TestFile(parse.result, parse.comments, parse.broken, parse.span), parse.report()


def parse_expression(text: str, limits: Limits = DEFAULT_LIMITS) -> ast.Expr:
    """Parse what stands between the braces of a pattern (L34). Raises ValueError saying what is wrong."""
    source = Source("", text)
    read = _lexer().tokens(source, limits)
    if read.diagnostics:
        raise ValueError(read.diagnostics[0].message)
    machine = Machine(_grammar(), "expression")
    try:
        for token in read.tokens:
            machine.feed(token)
        return machine.finish(end_token(source.text))  # type: ignore[no-any-return]  # the start symbol is an expression
    except UnexpectedTokenError as error:
        message, _ = unexpected(error.token, error.expected, _grammar().texts)
        raise ValueError(message.removesuffix(" of file")) from None


@cache
def _grammar() -> Grammar:
    try:
        stored = json.loads(_read("tables.json"))
    except FileNotFoundError:
        stored = {}
    if stored.get("grammar") != _digest():
        stored = json.loads(tables())
    return read_tables(stored)


def _read(name: str) -> bytes:
    with open(os.path.join(_FOLDER, name), "rb") as file:  # noqa: PTH118, PTH123 (as above)
        return file.read()


@cache
def _lexer() -> Lexer:
    return Lexer(_grammar().literals, _grammar().patterns)


def _digest() -> str:
    return hashlib.sha256(_read("grammar.lark")).hexdigest()


def tables() -> str:
    """Return the text of tables.json: what Lark makes of the grammar, and the grammar's digest."""
    import lark  # noqa: PLC0415 (see the top of the file)
    from lark.parsers.lalr_analysis import Shift  # noqa: PLC0415 (the same)

    parser = lark.Lark(
        _read("grammar.lark").decode(),
        parser="lalr",
        lexer="basic",
        start=_STARTS,
        keep_all_tokens=True,
        maybe_placeholders=False,
    )
    confs = {start: parser.parse_interactive(start=start).parser_state.parse_conf for start in _STARTS}
    found = confs["policy"].states
    rules = sorted(
        {action[1] for row in found.values() for action in row.values() if action[0] is not Shift},
        key=lambda rule: (str(rule.origin.name), rule.order, str(rule)),
    )
    rule_numbers = {rule: -number for number, rule in enumerate(rules, 1)}
    state_numbers = _number_states(found, [confs[start].start_state for start in _STARTS], Shift)
    symbols = sorted({str(symbol) for row in found.values() for symbol in row})
    symbol_numbers = {symbol: number for number, symbol in enumerate(symbols)}
    states: list[list[int]] = [[]]
    for row in (found[state] for state in state_numbers):
        actions = {str(s): state_numbers[to] if kind is Shift else rule_numbers[to] for s, (kind, to) in row.items()}
        states.append([part for symbol in sorted(actions) for part in (symbol_numbers[symbol], actions[symbol])])
    terminals = {t.name: t.pattern for t in parser.terminals}
    content = {
        "grammar": _digest(),
        "literals": {p.value: name for name, p in terminals.items() if name not in _KEYWORD_VALUES},
        "patterns": {name: p.to_regexp() for name, p in terminals.items() if name in _KEYWORD_VALUES},
        "symbols": symbols,
        "starts": {s: (state_numbers[c.start_state], state_numbers[c.end_state]) for s, c in confs.items()},
        "rules": list(map(_rule, rules)),
        "states": states,
    }
    lines = (f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in content.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _number_states(rows: Any, starts: list[Any], shift: object) -> dict[Any, int]:
    """Give numbers to Lark's states, from 1 as they are reached; Lark's own numbers change from run to run."""
    numbers: dict[Any, int] = {}
    waiting = list(reversed(starts))
    while waiting:
        state = waiting.pop()
        if state in numbers:
            continue
        numbers[state] = len(numbers) + 1
        shifts = sorted((str(symbol), to) for symbol, (kind, to) in rows.get(state, {}).items() if kind is shift)
        waiting.extend(to for _, to in reversed(shifts))
    return numbers


def _rule(rule: Any) -> dict[str, Any]:
    """Describe one of Lark's rules: `inline` says which of its symbols are lists to splice in."""
    inline = [not symbol.is_term and symbol.name.startswith("_") for symbol in rule.expansion]
    single = bool(rule.options.expand1) and not rule.alias
    return {
        "name": str(rule.origin.name),
        "method": str(rule.alias or rule.origin.name),
        "single": single,
        "inline": inline,
    }
