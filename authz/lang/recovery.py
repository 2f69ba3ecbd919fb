"""A file's tokens → its declarations, stepping over what does not fit (L5).

The machine's stack tells where a member of a list — a declaration, or a statement of a tool block —
began. One that cannot be parsed is cut off there, and parsing goes on at the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from authz.lang import ast
from authz.lang.diagnostics import Diagnostic, Related, in_order
from authz.lang.machine import Grammar, Machine, UnexpectedTokenError, end_token
from authz.lang.syntax_errors import INSTEAD, unexpected

if TYPE_CHECKING:
    from authz.lang.lexer import Lexer, Token
    from authz.lang.limits import Limits
    from authz.lang.source import Source

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


class _Frame(NamedTuple):
    """A member of a list under way: how deep the parser's stack was before its first token."""

    depth: int
    token: Token


class _Brace(NamedTuple):
    """An open brace; `members` is the depth of the stack before each member of a body, else 0."""

    token: Token
    members: int


class Parse:
    """One file's parse: feeds tokens, and steps over what does not fit."""

    def __init__(self, source: Source, limits: Limits, start: str, grammar: Grammar, lexer: Lexer) -> None:
        """Parse a source by a start symbol of the grammar."""
        self.source = source
        self.texts = grammar.texts
        read = lexer.tokens(source, limits)
        self.tokens = read.tokens
        self.comments = read.comments
        self.diagnostics = read.diagnostics
        self.broken = not read.complete
        self.span = ast.Span(0, len(source.text))
        self.statements = _STATEMENTS if start == "policy" else frozenset()
        names = _TEST_STARTS if start == "tests" else _DECLARATIONS.keys() - _TEST_STARTS
        self.declarations = {name: _DECLARATIONS[name] for name in names}
        self.machine = Machine(grammar, start)
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
        end = end_token(self.source.text)
        try:
            return self.machine.finish(end)  # type: ignore[no-any-return]  # a start symbol is a tuple
        except UnexpectedTokenError as error:
            if complete:
                self.unexpected(end, error.expected)
        self.cut(self.frames[0])
        return self.machine.finish(end)  # type: ignore[no-any-return]  # as above

    def feed(self, index: int) -> int:
        """Feed one token; return the index of the next."""
        token = self.tokens[index]
        try:
            self.machine.feed(token)
        except UnexpectedTokenError as error:
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
            self.cut(
                next(frame for frame in reversed(self.frames) if frame.token.type == "TOOL")
            )  # it was never closed
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
        message, help_ = unexpected(token, expected, self.texts)
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
        elif token.text in INSTEAD:
            help_ = INSTEAD[token.text]
        self.diagnostics.append(Diagnostic("syntax", message, self.source, token.span, help_, related))
