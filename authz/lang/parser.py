"""Tokens → tree. The only module that knows Lark.

Lark reads the grammar and works out its LALR tables. That takes as long as starting Python ten
times, so `scripts/gen` keeps them in tables.json, and Lark is called only where the grammar has
changed since. `_Machine` follows the tables itself: a syntax error can then be reported and
stepped over (L5), leaving out only the statement or declaration that holds it.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from authz.lang import ast
from authz.lang.builder import Builder
from authz.lang.diagnostics import Diagnostic, Related, in_order, near
from authz.lang.lexer import Lexer, Token
from authz.lang.limits import DEFAULT_LIMITS, Limits
from authz.lang.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable

GRAMMAR: Final = Path(__file__).with_name("grammar.lark")
TABLES: Final = Path(__file__).with_name("tables.json")
_STARTS: Final = ["policy", "tests", "expression"]
_KEYWORD_VALUES: Final = ("NAME", "STRING", "DURATION", "NUMBER", "COMMENT")
_STATEMENTS: Final = frozenset({"ALLOW", "DENY", "REQUIRE", "LIMIT", "OBLIGE"})
# A keyword opens a declaration only before one of these: `resource` and `tool` are also names.
_DECLARATIONS: Final = {
    "SCOPE": {"STRING"},
    "ROLE": {"STRING"},
    "RESOURCE": {"STRING"},
    "SUBJECT": {"LBRACE"},
    "CONTEXT": {"LBRACE"},
    "CLIENT": {"LBRACE"},
    "LET": {"NAME"},
    "TOOLS": {"NAME"},
    "TENANT": {"STRING"},
    "TOOL": {"STRING", "AT_SIGN"},
    "FIXTURE": {"NAME"},
    "TEST": {"STRING"},
}
_TEST_STARTS: Final = frozenset({"FIXTURE", "TEST"})
_BODIES: Final = frozenset({"TOOL", "TENANT"})
_TOP: Final = 2
"""The depth of the parser's stack before each top-level member: the start state and the list."""
_MAX_EXPECTED: Final = 6


def parse_policy(source: Source, limits: Limits = DEFAULT_LIMITS) -> tuple[ast.PolicyFile, tuple[Diagnostic, ...]]:
    """Parse one policy file. Never raises: what cannot be parsed is left out and reported."""
    parse = _Parse(source, limits, "policy")
    return ast.PolicyFile(parse.result, parse.comments, parse.broken, parse.span), parse.report()


def parse_tests(source: Source, limits: Limits = DEFAULT_LIMITS) -> tuple[ast.TestFile, tuple[Diagnostic, ...]]:
    """Parse one `_test.authz` file (L80). Never raises."""
    parse = _Parse(source, limits, "tests")
    return ast.TestFile(parse.result, parse.comments, parse.broken, parse.span), parse.report()


def parse_expression(text: str, limits: Limits = DEFAULT_LIMITS) -> ast.Expr:
    """Parse what stands between the braces of a pattern (L34). Raises ValueError saying what is wrong."""
    source = Source("", text)
    read = _lexer().tokens(source, limits)
    if read.diagnostics:
        raise ValueError(read.diagnostics[0].message)
    machine = _Machine("expression")
    try:
        for token in read.tokens:
            machine.feed(token)
        return machine.finish(_end(source))  # type: ignore[no-any-return]  # the start symbol is an expression
    except _UnexpectedTokenError as error:
        raise ValueError(_unexpected(error.token, error.expected)[0].removesuffix(" of file")) from None


class _UnexpectedTokenError(Exception):
    """Raised by the machine for a token that no rule has a place for; nothing was shifted."""

    def __init__(self, token: Token, expected: set[str]) -> None:
        super().__init__(token.text)
        self.token = token
        self.expected = expected


class _Machine:
    """The LALR automaton: shift a token, after as many reductions as it takes."""

    def __init__(self, start: str) -> None:
        grammar = _grammar()
        self.table = grammar.states
        self.rules = grammar.rules
        start_state, self.end_state = grammar.starts[start]
        self.states = [start_state]
        self.values: list[Any] = []

    def feed(self, token: Token) -> None:
        """Shift a token. Raises `_UnexpectedTokenError`, with the stacks as the reductions left them."""
        table, states = self.table, self.states
        while (action := table[states[-1]].get(token.type, 0)) <= 0:
            self.reduce(action, token)
        states.append(action)
        self.values.append(token)

    def finish(self, end: Token) -> Any:
        """Reduce to the start symbol and return its value. Raises `_UnexpectedTokenError`."""
        while self.states[-1] != self.end_state:
            self.reduce(min(self.table[self.states[-1]].get(end.type, 0), 0), end)
        return self.values[-1]

    def accepts(self, kind: str) -> bool:
        """Say whether a kind of token fits, after the reductions it asks for: these are made."""
        while (action := self.table[self.states[-1]].get(kind, 0)) < 0:
            self.reduce(action, _end(Source("", "")))
        return action > 0

    def reduce(self, action: int, token: Token) -> None:
        """Put a rule's value in the place of its children. Action 0 is none: the token does not fit."""
        states, values = self.states, self.values
        if action == 0:
            raise _UnexpectedTokenError(
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


class _Frame(NamedTuple):
    """A member of a list under way: how deep the parser's stack was before its first token."""

    depth: int
    token: Token


class _Brace(NamedTuple):
    """An open brace; `members` is the depth of the stack before each member of a body, else 0."""

    token: Token
    members: int


class _Parse:
    """One file's parse: feeds tokens, and steps over what does not fit."""

    def __init__(self, source: Source, limits: Limits, start: str) -> None:
        self.source = source
        read = _lexer().tokens(source, limits)
        self.tokens = read.tokens
        self.comments = read.comments
        self.diagnostics = read.diagnostics
        self.broken = not read.complete
        self.span = ast.Span(0, len(source.text))
        self.statements = _STATEMENTS if start == "policy" else frozenset()
        names = _TEST_STARTS if start == "tests" else _DECLARATIONS.keys() - _TEST_STARTS
        self.declarations = {name: _DECLARATIONS[name] for name in names}
        self.machine = _Machine(start)
        self.frames: list[_Frame] = []
        self.braces: list[_Brace] = []
        self.members = [_TOP]
        self.result: tuple[Any, ...] = self.run(complete=read.complete)

    def report(self) -> tuple[Diagnostic, ...]:
        return in_order(self.diagnostics)

    def run(self, *, complete: bool) -> tuple[Any, ...]:
        index = 0
        while index < len(self.tokens):
            index = self.feed(index)
        end = _end(self.source)
        try:
            return self.machine.finish(end)  # type: ignore[no-any-return]  # a start symbol is a tuple
        except _UnexpectedTokenError as error:
            if complete:
                self.unexpected(end, error.expected)
        self.cut(self.frames[0])
        return self.machine.finish(end)  # type: ignore[no-any-return]  # as above

    def feed(self, index: int) -> int:
        """Feed one token; return the index of the next."""
        token = self.tokens[index]
        try:
            self.machine.feed(token)
        except _UnexpectedTokenError as error:
            self.unexpected(token, error.expected, opens=self.opens_declaration(index))
            return self.recover(index)
        depth = len(self.machine.states) - 1
        kind = token.type
        if kind == "RBRACE":
            if self.braces.pop().members:
                self.members.pop()
        elif depth == self.members[-1]:
            self.leave_finished(depth)
            self.frames.append(_Frame(depth, token))
        elif kind == "LBRACE":
            frame = self.frames[-1]
            is_body = frame.depth == self.members[-1] and frame.token.type in _BODIES
            self.braces.append(_Brace(token, depth + 2 if is_body else 0))
            if is_body:
                self.members.append(depth + 2)  # the brace and the list of members, empty at first
        return index + 1

    def leave_finished(self, depth: int) -> None:
        while self.frames and self.frames[-1].depth >= depth:
            self.frames.pop()

    def cut(self, frame: _Frame) -> None:
        """Put the parser back to where it was before the frame's first token."""
        if frame.token.type not in self.statements and frame.token.type != "TOOL":
            self.broken = True  # what was cut may have declared something
        del self.machine.states[frame.depth :]
        del self.machine.values[frame.depth - 1 :]
        self.leave_finished(frame.depth)
        while self.braces and self.braces[-1].token.span.start > frame.token.span.start:
            if self.braces.pop().members:
                self.members.pop()

    def recover(self, index: int) -> int:
        """Step over what cannot be parsed; return the index at which to go on."""
        self.leave_finished(len(self.machine.states))
        nested = 0
        frame = self.frames[-1] if self.frames and self.frames[-1].depth == self.members[-1] else None
        if frame is not None and self.tokens[index - 1] != frame.token and self.opens_member(index - 1):
            self.cut(frame)
            index -= 1  # `let x =` took the next line's `tool` for a value
        elif frame is not None and not self.is_whole():
            nested = sum(brace.token.span.start > frame.token.span.start for brace in self.braces)
            self.cut(frame)
        elif not self.in_tool_block():
            self.broken = True  # what does not fit may have been a declaration, misspelt
        at = self.next_start(index, nested)
        if self.in_tool_block() and at < len(self.tokens) and self.opens_declaration(at):
            self.cut(next(frame for frame in reversed(self.frames) if frame.token.type == "TOOL"))  # it was never closed
        return at

    def is_whole(self) -> bool:
        """Say whether the declaration under way could end here; then it is sound, and the next one is not."""
        if self.in_tool_block():
            return False  # `allow` alone would count
        fits = self.machine.accepts("FIXTURE" if "TEST" in self.declarations else "LET")
        return fits and len(self.machine.states) == self.members[-1]  # else it is a word inside the declaration

    def next_start(self, index: int, nested: int) -> int:
        """Find the next token that opens a declaration or statement, or closes the block around it."""
        in_tool_block = self.in_tool_block()
        while index < len(self.tokens):
            if self.opens_declaration(index):
                return index
            if in_tool_block and self.opens_statement(index) and (not nested or self.begins_line(index)):
                return index
            kind = self.tokens[index].type
            if kind == "LBRACE":
                nested += 1
            elif kind == "RBRACE" and not nested and self.braces:
                return index
            elif kind == "RBRACE":
                nested = max(nested - 1, 0)
            index += 1
        return index

    def in_tool_block(self) -> bool:
        block = next((frame.token.type for frame in reversed(self.frames) if frame.depth < self.members[-1]), "")
        return block == "TOOL"

    def opens_statement(self, index: int) -> bool:
        before, after = self.tokens[index - 1].type, self.tokens[index + 1 : index + 2]
        return (
            self.tokens[index].type in self.statements
            and before not in {"DOT", "HAS"}
            and not (after and after[0].type in {"COLON", "QMARK"})
        )

    def opens_declaration(self, index: int) -> bool:
        kind = self.tokens[index].type
        if kind in {"ROLE", "SCOPE"} and self.in_tool_block() and not self.begins_line(index):
            return False  # part of a statement
        follows = self.declarations.get(kind)
        return follows is not None and index + 1 < len(self.tokens) and self.tokens[index + 1].type in follows

    def opens_member(self, index: int) -> bool:
        return self.opens_declaration(index) or (self.opens_statement(index) and self.begins_line(index))

    def begins_line(self, index: int) -> bool:
        start = self.tokens[index].span.start
        return not self.source.text[self.source.text.rfind("\n", 0, start) + 1 : start].strip()

    def unexpected(self, token: Token, expected: set[str], *, opens: bool = False) -> None:
        message, help_ = _unexpected(token, expected)
        related: tuple[Related, ...] = ()
        if self.braces and (token.type == "$END" or opens):
            related = (Related(self.source, self.braces[-1].token.span, "this brace is not closed"),)
            help_ = "close the block before this with `}`"
        elif token.type == "RBRACE" and not self.braces:
            help_ = "no block is open here"
        elif expected == {"NAME"} and token.text.isidentifier():
            help_ = f"`{token.text}` is a keyword; choose another name"
        elif token.type in self.statements and not self.braces:
            help_ = "statements stand inside a `tool` block"
        elif token.type in {"ROLE", "SCOPE"} and "TEST" in self.declarations:
            help_ = f"did you mean `{token.text}s`?"
        elif token.text in _INSTEAD:
            help_ = _INSTEAD[token.text]
        self.diagnostics.append(Diagnostic("syntax", message, self.source, token.span, help_, related))


def _unexpected(token: Token, expected: set[str]) -> tuple[str, str]:
    """Say what was found, and what could have stood there."""
    found = "unexpected end of file" if token.type == "$END" else f"unexpected `{token.text[:60]}`"
    if token.type == "NAME" and (suggestion := near(token.text, (name.lower() for name in expected))):
        return found, suggestion
    choices = []
    for shown, names in _KINDS.items():
        if names <= expected:
            choices.append(shown.strip())
            expected = expected - names
    if "an expression" in choices:
        choices, expected = ["an expression"], expected & {"RPAR", "RSQB"}
    choices += sorted(f"`{_texts().get(name, name.lower())}`" for name in expected - _OPERATORS - {"$END"})
    if not choices:
        choices = sorted(f"`{_texts()[name]}`" for name in expected - {"$END"}) or ["the end"]
    if len(choices) > _MAX_EXPECTED:
        choices = [*choices[: _MAX_EXPECTED - 1], "another word that fits here"]
    return found, "expected " + " or ".join([", ".join(choices[:-1]), choices[-1]] if len(choices) > 1 else choices)


_NO_FILES: Final = "a policy is all files of its folder; none names another"
_INSTEAD: Final = {
    "=": "to compare, write `==`",
    "|": "to join conditions, write `or`",
    "permit": "write `allow`",
    "grant": "write `allow`",
    "forbid": "write `deny`",
    "import": _NO_FILES,
    "include": _NO_FILES,
}
"""What to write instead of what other languages have."""
_OPERATORS: Final = frozenset(
    {
        "AND",
        "OR",
        "PLUS",
        "MINUS",
        "IN",
        "LIKE",
        "UNDER",
        "MATCHES",
        "HAS",
        "SUBSET",
        "INTERSECTS",
        "NOT",
        "LESSTHAN",
        "MORETHAN",
        "DOT",
        "LSQB",
        "__ANON_0",
        "__ANON_1",
        "__ANON_2",
        "__ANON_3",
        "__ANON_4",
        "__ANON_5",
    }
)
_KINDS: Final = {
    "a name": frozenset({"NAME", "ACROSS", "WITH", "ELSE"}),  # any word will do
    "an expression": frozenset({"NAME", "STRING", "LSQB", "TRUE"}),
    "a declaration such as `tool`": frozenset(_DECLARATIONS.keys() - _TEST_STARTS),
    "a statement such as `allow`": _STATEMENTS,
    "an operator": frozenset({"AND", "OR"}),
    "a number": frozenset({"NUMBER"}),
    "a duration such as `15m`": frozenset({"DURATION"}),
    "a string in double quotes": frozenset({"STRING"}),
    "a name ": frozenset({"NAME"}),
}
"""What to call the terminals that can follow, the wide kinds first."""


def _end(source: Source) -> Token:
    length = len(source.text.rstrip())
    return Token("$END", "", "", ast.Span(length, length))


# --- The grammar ----------------------------------------------------------------------------

_Build: TypeAlias = "Callable[[list[Any]], Any]"


class _Grammar(NamedTuple):
    """The tables in a form that is quick to follow.

    `states` leads from a symbol to a state to go to, or to a rule, negative, to reduce by; no
    state and no rule is 0. A rule is its size, its name, and what makes its value (None: its only
    child is its value). `starts` gives the first and the last state.
    """

    literals: dict[str, str]
    patterns: dict[str, str]
    states: list[dict[str, int]]
    rules: list[tuple[int, str, _Build | None]]
    starts: dict[str, tuple[int, int]]


@cache
def _grammar() -> _Grammar:
    stored = json.loads(TABLES.read_text("utf-8")) if TABLES.exists() else {}
    if stored.get("grammar") != _digest():
        stored = json.loads(tables())
    builder = Builder()
    symbols = stored["symbols"]
    states = [{symbols[row[i]]: row[i + 1] for i in range(0, len(row), 2)} for row in stored["states"]]
    rules = [(len(rule["inline"]), rule["name"], _build(builder, **rule)) for rule in stored["rules"]]
    return _Grammar(stored["literals"], stored["patterns"], states, [(0, "", None), *rules], stored["starts"])


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


def _texts() -> dict[str, str]:
    """Return the literal text of each terminal that has one."""
    return {name: text for text, name in _grammar().literals.items()}


@cache
def _lexer() -> Lexer:
    return Lexer(_grammar().literals, _grammar().patterns)


def _digest() -> str:
    return hashlib.sha256(GRAMMAR.read_bytes()).hexdigest()


def tables() -> str:
    """Return the text of tables.json: what Lark makes of the grammar, and the grammar's digest."""
    import lark  # noqa: PLC0415 (see the top of the file)
    from lark.parsers.lalr_analysis import Shift  # noqa: PLC0415 (the same)

    parser = lark.Lark(
        GRAMMAR.read_text("utf-8"),
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
