"""Tokens → tree. The only module that knows Lark.

Lark reads the grammar and makes the LALR tables; `_Machine` follows them. It keeps the stacks
itself, so that a syntax error can be reported and stepped over (L5): the statement or declaration
that holds it is left out, and parsing goes on at the next one. It is also twice as fast as Lark's
own loop, which looks every rule up by its symbols.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import lark
from lark.parsers.lalr_analysis import Shift

from authz.lang import ast
from authz.lang.builder import Builder
from authz.lang.diagnostics import Diagnostic, Related, in_order, near
from authz.lang.lexer import Lexer, Token
from authz.lang.limits import DEFAULT_LIMITS, Limits
from authz.lang.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable

GRAMMAR: Final = Path(__file__).with_name("grammar.lark")
_STARTS: Final = ["policy", "tests", "expression"]
_KEYWORD_VALUES: Final = ("NAME", "STRING", "DURATION", "NUMBER", "COMMENT")
_STATEMENTS: Final = frozenset({"ALLOW", "DENY", "REQUIRE", "LIMIT", "OBLIGE"})
# A keyword opens a declaration only before one of these: `resource` and `tool` are also names.
_DECLARATIONS: Final = {
    "SCOPE": {"STRING"}, "ROLE": {"STRING"}, "RESOURCE": {"STRING"}, "SUBJECT": {"LBRACE"}, "CONTEXT": {"LBRACE"},
    "CLIENT": {"LBRACE"}, "LET": {"NAME"}, "TOOLS": {"NAME"}, "TENANT": {"STRING"}, "TOOL": {"STRING", "AT_SIGN"},
    "FIXTURE": {"NAME"}, "TEST": {"STRING"},
}  # fmt: skip
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
        raise ValueError(_unexpected(error.token, error.expected)[0]) from None


class _UnexpectedTokenError(Exception):
    """Raised by the machine for a token that no rule has a place for; nothing was shifted."""

    def __init__(self, token: Token, expected: set[str]) -> None:
        super().__init__(token.text)
        self.token = token
        self.expected = expected


class _Machine:
    """The LALR automaton: shift a token, after as many reductions as it takes."""

    def __init__(self, start: str) -> None:
        self.table, start_state, self.end_state = _table(start)
        self.states = [start_state]
        self.values: list[Any] = []

    def feed(self, token: Token) -> None:
        """Shift a token. Raises `_UnexpectedTokenError`, with the stacks as the reductions left them."""
        states, values, table = self.states, self.values, self.table
        while True:
            action = table[states[-1]].get(token.type)
            if type(action) is int:
                states.append(action)
                values.append(token)
                return
            if action is None:
                raise _UnexpectedTokenError(token, {name for name in table[states[-1]] if name.isupper()})
            size, origin, build = action
            if build is not None:
                if size:
                    children = values[-size:]
                    del states[-size:]
                    del values[-size:]
                else:
                    children = []
                values.append(build(children))
            else:  # one child that stands for itself
                del states[-1]
            states.append(table[states[-1]][origin])  # type: ignore[arg-type]  # a rule's name leads to a state

    def finish(self, end: Token) -> Any:
        """Reduce to the start symbol and return its value. Raises `_UnexpectedTokenError`."""
        table = self.table
        while self.states[-1] != self.end_state:
            action = table[self.states[-1]].get(end.type)
            if action is None or type(action) is int:
                raise _UnexpectedTokenError(end, {name for name in table[self.states[-1]] if name.isupper()})
            size, origin, build = action
            children = self.values[len(self.values) - size :]
            del self.states[len(self.states) - size :], self.values[len(self.values) - size :]
            self.values.append(build(children) if build is not None else children[0])
            self.states.append(table[self.states[-1]][origin])  # type: ignore[arg-type]  # as in feed()
        return self.values[-1]


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
        self.broken = bool(read.diagnostics)
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
        self.broken = True
        self.cut(self.frames[0])
        return self.machine.finish(end)  # type: ignore[no-any-return]  # as above

    def feed(self, index: int) -> int:
        """Feed one token; return the index of the next."""
        token = self.tokens[index]
        try:
            self.machine.feed(token)
        except _UnexpectedTokenError as error:
            self.broken = True
            self.unexpected(token, error.expected)
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
        if self.frames and self.frames[-1].depth == self.members[-1]:  # else: between two members
            frame = self.frames[-1]
            nested = sum(brace.token.span.start > frame.token.span.start for brace in self.braces)
            self.cut(frame)
        at = self.next_start(index, nested)
        if self.in_tool_block() and at < len(self.tokens) and self.opens_declaration(at):
            self.cut(self.frames[-1])  # a tool block holds no declarations: it was never closed
        return at

    def next_start(self, index: int, nested: int) -> int:
        """Find the next token that opens a declaration or statement, or closes the block around it."""
        in_tool_block = self.in_tool_block()
        while index < len(self.tokens):
            if self.opens_declaration(index) or (in_tool_block and not nested and self.opens_statement(index)):
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
        return bool(self.frames) and self.frames[-1].token.type == "TOOL" and self.members[-1] > self.frames[-1].depth

    def opens_statement(self, index: int) -> bool:
        before, after = self.tokens[index - 1].type, self.tokens[index + 1 : index + 2]
        return (
            self.tokens[index].type in self.statements
            and before not in {"DOT", "HAS", "COMMA"}
            and not (after and after[0].type in {"COLON", "QMARK"})
        )

    def opens_declaration(self, index: int) -> bool:
        follows = self.declarations.get(self.tokens[index].type)
        return follows is not None and index + 1 < len(self.tokens) and self.tokens[index + 1].type in follows

    def unexpected(self, token: Token, expected: set[str]) -> None:
        message, help_ = _unexpected(token, expected)
        related: tuple[Related, ...] = ()
        if self.braces and (token.type == "$END" or token.type in self.declarations):
            related = (Related(self.source, self.braces[-1].token.span, "this brace is not closed"),)
            help_ = "close the block before this with `}`"
        elif token.type == "RBRACE" and not self.braces:
            help_ = "no block is open here"
        elif token.type in self.statements and not self.braces:
            help_ = "statements stand inside a `tool` block"
        self.diagnostics.append(Diagnostic("syntax", message, self.source, token.span, help_, related))


def _unexpected(token: Token, expected: set[str]) -> tuple[str, str]:
    """Say what was found, and what could have stood there."""
    found = "unexpected end of file" if token.type == "$END" else f"unexpected `{token.text[:60]}`"
    if token.type == "NAME" and (suggestion := near(token.text, (name.lower() for name in expected))):
        return found, suggestion
    choices = []
    for shown, names in _KINDS.items():
        if names <= expected:
            choices.append(shown)
            expected = expected - names
    choices += sorted(f"`{_texts().get(name, name.lower())}`" for name in expected - _OPERATORS - {"$END"})
    if not choices:
        return found, "expected the end"
    if len(choices) > _MAX_EXPECTED:
        choices = [*choices[: _MAX_EXPECTED - 1], "another word that fits here"]
    return found, "expected " + " or ".join([", ".join(choices[:-1]), choices[-1]] if len(choices) > 1 else choices)


_OPERATORS: Final = frozenset({
    "AND", "OR", "PLUS", "MINUS", "IN", "LIKE", "UNDER", "MATCHES", "HAS", "SUBSET", "INTERSECTS", "NOT", "LESSTHAN",
    "MORETHAN", "DOT", "LSQB", "__ANON_0", "__ANON_1", "__ANON_2", "__ANON_3", "__ANON_4", "__ANON_5",
})  # fmt: skip
_KINDS: Final = {
    "a name": frozenset({"NAME", "ACROSS", "WITH", "ELSE"}),  # any word will do
    "an expression": frozenset({"NAME", "STRING", "LSQB", "TRUE"}),
    "a declaration": frozenset({"SCOPE", "LET", "TOOL"}),
    "a statement": _STATEMENTS,
    "an operator": frozenset({"AND", "OR"}),
    "a number": frozenset({"NUMBER"}),
    "a duration such as 15m": frozenset({"DURATION"}),
    "a string in double quotes": frozenset({"STRING"}),
    "a name ": frozenset({"NAME"}),
}
"""What to call the terminals that can follow, the wide kinds first."""


def _end(source: Source) -> Token:
    length = len(source.text.rstrip())
    return Token("$END", "", "", ast.Span(length, length))


@cache
def _lark() -> lark.Lark:
    """Load the parser from the generated tables, or build it where another Lark is installed."""
    options = {"transformer": Builder()}
    try:
        tables = importlib.import_module("authz.lang._tables")
    except ModuleNotFoundError:
        tables = None
    if tables is not None and tables.LARK_VERSION == lark.__version__:
        return lark.Lark._load_from_dict(tables.DATA, tables.MEMO, **options)  # noqa: SLF001 (public load() reads pickles only)
    return _build(**options)


def _build(**options: object) -> lark.Lark:
    return lark.Lark(
        GRAMMAR.read_text("utf-8"), parser="lalr", lexer="basic", start=_STARTS, keep_all_tokens=True,
        maybe_placeholders=False, **options,
    )  # fmt: skip


_Action: TypeAlias = "int | tuple[int, str, Callable[[list[Any]], Any] | None]"
"""Shift, or go, to a state; or reduce so many children by a rule, None where its one child will do."""


@cache
def _table(start: str) -> tuple[dict[int, dict[str, _Action]], int, int]:
    """Return Lark's actions by state and symbol in a form that is quick to follow; start and end state."""
    lark_conf = _lark().parse_interactive(start=start).parser_state.parse_conf

    def action(kind: object, argument: Any) -> _Action:
        if kind is Shift:
            return argument  # type: ignore[no-any-return]  # the number of a state
        stands_for_itself = argument.options.expand1 and len(argument.expansion) == 1 and not argument.alias
        build = None if stands_for_itself else lark_conf.callbacks[argument]
        return len(argument.expansion), str(argument.origin.name), build

    table = {state: {str(k): action(*v) for k, v in row.items()} for state, row in lark_conf.states.items()}
    return table, lark_conf.start_state, lark_conf.end_state


@cache
def _texts() -> dict[str, str]:
    """Return the literal text of each terminal that has one."""
    return {t.name: t.pattern.value for t in _lark().terminals if t.name not in _KEYWORD_VALUES}


@cache
def _lexer() -> Lexer:
    patterns = {t.name: t.pattern.to_regexp() for t in _lark().terminals if t.name in _KEYWORD_VALUES}
    return Lexer({text: name for name, text in _texts().items()}, patterns)


def tables() -> str:
    """Return the text of `_tables.py`: the LALR tables of the grammar, so that start-up need not build them."""
    data, memo = _build().memo_serialize([lark.lexer.TerminalDef, lark.grammar.Rule])
    return (
        '"""The parser tables of grammar.lark. Generated by scripts/gen; do not edit."""\n\n'
        f"LARK_VERSION = {lark.__version__!r}\nDATA = {data!r}\nMEMO = {memo!r}\n"
    )
