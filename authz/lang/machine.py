"""The LALR automaton that follows the grammar's tables, and the tables in a form that is quick to follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from authz.lang import ast
from authz.lang.builder import Builder
from authz.lang.lexer import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Build: TypeAlias = "Callable[[list[Any]], Any]"


class Grammar(NamedTuple):
    """The tables: `literals` leads from a text to its terminal, `texts` back; `patterns` are regular.

    `states` leads from a symbol to a state to go to, or to a rule, negative, to reduce by; no
    state and no rule is 0. A rule is its size, its name, and what makes its value (None: its only
    child is its value). `starts` gives the first and the last state.
    """

    literals: dict[str, str]
    texts: dict[str, str]
    patterns: dict[str, str]
    states: list[dict[str, int]]
    rules: list[tuple[int, str, _Build | None]]
    starts: dict[str, tuple[int, int]]


def read_tables(stored: Mapping[str, Any]) -> Grammar:
    """Turn the content of tables.json into a grammar."""
    builder = Builder()
    symbols = stored["symbols"]
    states = [{symbols[row[i]]: row[i + 1] for i in range(0, len(row), 2)} for row in stored["states"]]
    rules = [(len(rule["inline"]), rule["name"], _build(builder, **rule)) for rule in stored["rules"]]
    texts = {name: text for text, name in stored["literals"].items()}
    return Grammar(stored["literals"], texts, stored["patterns"], states, [(0, "", None), *rules], stored["starts"])


def _build(builder: Builder, name: str, method: str, *, single: bool, inline: list[bool]) -> _Build | None:
    """Return what makes a rule's value. Rules whose names start with `_` are lists, spliced into their parents."""
    if single and len(inline) == 1:
        return None
    make: _Build = list if name.startswith("_") else getattr(builder, method)
    if not any(inline):
        return make

    def splice(children: list[Any]) -> Any:
        spliced = children[0] if inline[0] else [children[0]]  # a list that grows at its end is not copied
        for child, is_list in zip(children[1:], inline[1:], strict=True):
            if is_list:
                spliced.extend(child)
            else:
                spliced.append(child)
        if single and len(spliced) == 1:
            return spliced[0]
        return spliced if make is list else make(spliced)

    return splice


class UnexpectedTokenError(Exception):
    """Raised by the machine for a token that no rule has a place for; nothing was shifted."""

    def __init__(self, token: Token, expected: set[str]) -> None:
        super().__init__(token.text)
        self.token = token
        self.expected = expected


class Machine:
    """The LALR automaton: shift a token, after as many reductions as it takes."""

    def __init__(self, grammar: Grammar, start: str) -> None:
        self.table = grammar.states
        self.rules = grammar.rules
        start_state, self.end_state = grammar.starts[start]
        self.states = [start_state]
        self.values: list[Any] = []

    def feed(self, token: Token) -> None:
        """Shift a token. Raises `UnexpectedTokenError`, with the stacks as the reductions left them."""
        table, rules, states, values = self.table, self.rules, self.states, self.values
        kind = token.type
        while (action := table[states[-1]].get(kind, 0)) <= 0:
            _, origin, build = rules[-action]
            if build is None and action:  # its one child stands for itself: the most frequent case, done here
                del states[-1]
                states.append(table[states[-1]][origin])
            else:
                self.reduce(action, token)
        states.append(action)
        values.append(token)

    def finish(self, end: Token) -> Any:
        """Reduce to the start symbol and return its value. Raises `UnexpectedTokenError`."""
        while self.states[-1] != self.end_state:
            self.reduce(min(self.table[self.states[-1]].get(end.type, 0), 0), end)
        return self.values[-1]

    def accepts(self, kind: str) -> bool:
        """Say whether a kind of token fits, after the reductions it asks for: these are made."""
        while (action := self.table[self.states[-1]].get(kind, 0)) < 0:
            self.reduce(action, end_token(""))
        return action > 0

    def reduce(self, action: int, token: Token) -> None:
        """Put a rule's value in the place of its children. Action 0 is none: the token does not fit."""
        states, values = self.states, self.values
        if action == 0:
            raise UnexpectedTokenError(
                token, {name for name in self.table[states[-1]] if name.isupper() or name == "$END"}
            )
        size, origin, build = self.rules[-action]
        if build is not None:
            if size:
                children = values[-size:]
                del states[-size:], values[-size:]
            else:
                children = []
            values.append(build(children))
        else:  # one child, which stands for itself
            del states[-1]
        states.append(self.table[states[-1]][origin])


def end_token(text: str) -> Token:
    """Return the token that ends a text: it stands after the last word."""
    length = len(text.rstrip())
    return Token("$END", "", "", ast.Span(length, length))
