"""Text → tokens, with every lexical error reported and repaired (L1-L4, L6).

The words and marks come from the grammar; this module adds what a terminal cannot say: which
characters may not stand anywhere, what a string's escapes mean, and how deep brackets go.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.lang import ast
from authz.lang.diagnostics import Diagnostic
from authz.lang.values import MAX_DURATION, from_scaled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from authz.lang.limits import Limits
    from authz.lang.source import Source

# Cc but tab, LF and CR; a CR that no LF follows; the bidirectional controls; the byte order mark.
_FORBIDDEN: Final = re.compile(
    "([\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff])\\1*|\r(?!\n)"
)
_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|(.))", re.DOTALL)
_SIMPLE_ESCAPES: Final = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_OPENERS: Final = frozenset("([{")
_CLOSERS: Final = frozenset(")]}")


class Token(NamedTuple):
    """One word, mark or literal. `value` is what it means: the text, a number, a string unescaped."""

    type: str
    text: str
    value: object
    span: ast.Span


class Tokens(NamedTuple):
    """What the lexer makes of one file. `complete` is False where nesting made it give up."""

    tokens: list[Token]
    comments: tuple[ast.Comment, ...]
    diagnostics: list[Diagnostic]
    complete: bool


class Lexer:
    """Split text by the terminals of the grammar: `literals` are exact, `patterns` regular."""

    def __init__(self, literals: Mapping[str, str], patterns: Mapping[str, str]) -> None:
        """Take terminal names by literal text, and regular expressions by terminal name."""
        marks = sorted((text for text in literals if not text.isidentifier()), key=len, reverse=True)
        alternatives = [f"(?P<{name}>{pattern})" for name, pattern in patterns.items()]
        alternatives.append(f"(?P<MARK>{'|'.join(map(re.escape, marks))})")
        alternatives += [r'(?P<BAD_STRING>"[^\n]*)', r"(?P<BAD_NUMBER>[0-9][A-Za-z0-9_]*)"]
        alternatives.append(r"(?P<BAD>.[^\s\w\"#(){}\[\],.:<>=@?+\-]*)")
        self._pattern = re.compile(rf"[ \t\r\n]*+(?:{'|'.join(alternatives)})", re.DOTALL)
        self._literals = literals

    def tokens(self, source: Source, limits: Limits) -> Tokens:
        """Read one file. Never raises; runs in linear time."""
        return _Reader(source, limits).read(self._pattern, self._literals)


class _Reader:
    """The state of one reading."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.diagnostics: list[Diagnostic] = []

    def report(self, code: str, message: str, start: int, end: int, help_: str = "") -> None:
        self.diagnostics.append(Diagnostic(code, message, self.source, ast.Span(start, end), help_))

    def read(self, pattern: re.Pattern[str], literals: Mapping[str, str]) -> Tokens:
        self.forbidden_characters()
        tokens: list[Token] = []
        comments: list[ast.Comment] = []
        text = self.source.text
        new = tuple.__new__  # a third of the time of the tuples' own constructors, and words are most of a file
        for match in pattern.finditer(text, 0, len(text.rstrip(" \t\r\n"))):
            kind = match.lastgroup or ""
            word = match[kind]
            span = new(ast.Span, match.span(kind))
            if kind == "NAME":
                tokens.append(new(Token, (literals.get(word, kind), word, word, span)))
            elif kind == "MARK":
                tokens.append(new(Token, (literals[word], word, word, span)))
            elif kind == "COMMENT":
                comments.append(ast.Comment(word.rstrip(), span))
            elif (token := self.value(kind, word, span)) is not None:
                tokens.append(token)
        depth_exceeded = self.too_deep(tokens)
        if depth_exceeded is not None:
            del tokens[depth_exceeded:]
        return Tokens(tokens, tuple(comments), self.diagnostics, depth_exceeded is None)

    def forbidden_characters(self) -> None:
        for match in _FORBIDDEN.finditer(self.source.text):
            character = match[0][0]  # of a run of one character, which is one finding
            name = f"U+{ord(character):04X}"
            if character == "\r":
                self.report(
                    "lone-carriage-return",
                    "carriage return without a newline",
                    match.start(),
                    match.end(),
                    "end lines with LF or CRLF",
                )
            elif character == "\ufeff":
                self.report(
                    "byte-order-mark",
                    "byte order mark",
                    match.start(),
                    match.end(),
                    "save the file as UTF-8 without a byte order mark",
                )
            elif ord(character) >= 0x061C:
                self.report(
                    "bidirectional-control",
                    f"bidirectional control character {name}",
                    match.start(),
                    match.end(),
                    "it makes the text read differently from what it means; remove it",
                )
            else:
                self.report(
                    "control-character",
                    f"control character {name}",
                    match.start(),
                    match.end(),
                    "write it as an escape such as `\\n` or `\\u{…}` inside a string",
                )

    def value(self, kind: str, text: str, span: ast.Span) -> Token | None:
        """Make a token of what carries a value, or of what is wrong where a near thing is meant."""
        match kind:
            case "STRING":
                return Token("STRING", text, self.string(text, span), span)
            case "NUMBER":
                return Token("NUMBER", text, self.number(text, span), span)
            case "DURATION":
                return Token("DURATION", text, self.duration(text, span), span)
            case "BAD_STRING":
                self.report(
                    "unterminated-string",
                    "this string does not end on its line",
                    *span,
                    'close it with `"`; a newline inside a string is written `\\n`',
                )
                return Token("STRING", text, "", span)
            case "BAD_NUMBER":
                self.report(
                    "invalid-number",
                    f"`{text[:40]}` is not a number",
                    *span,
                    "write it out, without an exponent"
                    if text.strip("0123456789") in {"e", "E"}
                    else "a duration is a whole number and one of the units `ms`, `s`, `m`, `h`, `d`",
                )
                return Token("NUMBER", text, 0, span)
            case _:
                if not _FORBIDDEN.match(text):  # said already
                    self.report(
                        "unexpected-character",
                        f"unexpected character `{text[0]}`",
                        span.start,
                        span.start + 1,
                        _instead(text),
                    )
                return None

    def string(self, text: str, span: ast.Span) -> str:
        body = text[1:-1]
        if len(body) > self.limits.string_characters:
            self.report(
                "string-too-long",
                f"this string is longer than {self.limits.string_characters} characters",
                *span,
                "shorten it, or name a document that holds the text",
            )
        if "\\" not in body:
            return body

        def replace(match: re.Match[str]) -> str:
            code, simple = match.groups()
            if code is not None and (point := int(code, 16)) <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
                return chr(point)
            if simple in _SIMPLE_ESCAPES:
                return _SIMPLE_ESCAPES[simple]
            start = span.start + 1 + match.start()
            self.report(
                "invalid-escape",
                f"`{match[0]}` is not an escape",
                start,
                start + len(match[0]),
                'the escapes are `\\"`, `\\\\`, `\\n`, `\\t` and `\\u{…}`',
            )
            return ""

        return _ESCAPE.sub(replace, body)

    def number(self, text: str, span: ast.Span) -> int | float:
        whole, _, fraction = text.partition(".")
        if len(whole) > 1 and whole[0] == "0":
            self.report("invalid-number", f"`{text[:40]}` has a leading zero", *span, "leave the zero out")
            return 0
        if len(fraction) > 4 or len(whole) > 16:  # 2^53 has 16 digits
            return self.inexact(text, span)
        value = from_scaled(int(whole + fraction.ljust(4, "0")))
        return self.inexact(text, span) if value is None else value

    def inexact(self, text: str, span: ast.Span) -> int:
        self.report(
            "invalid-number",
            f"`{text[:40]}` is not an exact number",
            *span,
            "integers go to 2^53, decimals have at most four digits after the point and go to 9·10^11",
        )
        return 0

    def duration(self, text: str, span: ast.Span) -> int:
        digits = text.rstrip("mshd")
        if len(digits) > 1 and digits[0] == "0":
            self.report("invalid-duration", f"`{text[:40]}` has a leading zero", *span, "leave the zero out")
            return 0
        nanoseconds = int(digits) * ast.DURATION_UNITS[text[len(digits) :]] if len(digits) <= 20 else MAX_DURATION + 1
        if nanoseconds > MAX_DURATION:
            self.report(
                "invalid-duration", f"`{text[:40]}` is longer than 3 660 000 days", *span, "write a shorter one"
            )
            return 0
        return nanoseconds

    def too_deep(self, tokens: Iterable[Token]) -> int | None:
        """Report the first token that nests deeper than the limit, and return its index.

        Brackets, `not`, `if` and `<` in types all nest; whoever walks the tree later relies on this.
        """
        outer: list[int] = []
        depth = ifs = nots = angles = 0
        last_angle = -9
        for index, token in enumerate(tokens):
            mark = token.text
            if mark == "not":
                nots += 1
            elif mark == "if":
                ifs += 1
            elif mark in _OPENERS:
                outer.append(depth)
                depth += ifs + nots + 1
                ifs = nots = 0
            elif mark in _CLOSERS:
                depth = outer.pop() if outer else 0
                ifs = nots = 0
            else:
                nots = 0
                if mark == "<":
                    angles = angles + 1 if last_angle == index - 2 else 1
                    last_angle = index
                elif token.type in _NEW_EXPRESSION:
                    ifs = 0
            if depth + ifs + nots > self.limits.nesting or angles > self.limits.nesting:
                self.report(
                    "nesting-too-deep",
                    f"this nests deeper than {self.limits.nesting} levels",
                    *token.span,
                    "name parts of the condition with `let`, and join conditions with `and` and `or`",
                )
                return index
        return None


def _instead(text: str) -> str:
    """Return what to write instead of a character that means nothing."""
    if text[0].isalnum():
        return "names are made of the letters A to Z, digits and `_`; other text stands in double quotes"
    return _INSTEAD.get(text[0], "")


_INSTEAD: Final = {
    ";": "statements need no mark at their end",
    "&": "write `and`",
    "!": "write `not`, or `!=` to compare",
    "'": 'strings stand in double quotes, `"`',
    "`": 'strings stand in double quotes, `"`',
    "\u201c": 'strings stand in plain double quotes, `"`',
    "\u201d": 'strings stand in plain double quotes, `"`',
    "/": "comments start with `#`",
    "*": "patterns stand in double quotes",
    "$": "write the name without it",
    "~": "write `matches` or `like`",
}
_NEW_EXPRESSION: Final = frozenset(
    {
        "COMMA",
        "EQUAL",
        "COLON",
        "WHEN",
        "UNLESS",
        "ALLOW",
        "DENY",
        "REQUIRE",
        "LIMIT",
        "OBLIGE",
        "LET",
        "TOOL",
        "ROLE",
    }
)
"""Terminals after which an `if` no longer nests in the one before."""
