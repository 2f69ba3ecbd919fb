"""Tree → its one canonical text (L90).

Two spaces of indent, one statement a line, single spaces, no more brackets than the tree needs.
A blank line stands around blocks and between declarations of different kinds; next to comments
the author's blank lines are kept, one at most. Comments keep their line, or the end of their line;
one inside a statement moves to the line before it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from authz.lang import ast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from authz.lang.source import Source

_WIDTH: Final = 100
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_HEAD: Final = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"|#[^\n]*|[(){]')
"""What can stand before the brace of a block: strings and comments may hold braces of their own."""
_ESCAPED: Final = re.compile('["\\\\\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\u2028\u2029]')
_SIMPLE: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_ONE_LINERS: Final = (ast.ScopeDeclaration, ast.RoleDeclaration, ast.LetDeclaration, ast.GroupDeclaration, ast.Fixture)


def format_policy(source: Source, file: ast.PolicyFile | ast.TestFile) -> str:
    """Return the canonical text of a file; `source` is what it was parsed from."""
    printer = _Printer(source.text, file.comments)
    members = file.declarations if isinstance(file, ast.PolicyFile) else file.items
    printer.members(members, printer.declaration, len(source.text), apart=_apart)
    return "".join(f"{line}\n" for line in printer.lines)


def _apart(one: object, other: object) -> bool:
    """Say whether a blank line stands between two declarations."""
    return type(one) is not type(other) or not isinstance(one, _ONE_LINERS)


class _Printer:
    """Prints members of lists line by line, with the comments around them."""

    def __init__(self, text: str, comments: Sequence[ast.Comment]) -> None:
        self.text = text
        self.comments = list(reversed(comments))
        self.lines: list[str] = []
        self.indent = 0

    def line(self, text: str) -> None:
        self.lines.append(f"{'  ' * self.indent}{text}" if text else "")

    # --- Comments and blank lines -------------------------------------------------------------

    def blank(self) -> None:
        if self.lines and self.lines[-1] and not self.lines[-1].endswith("{"):
            self.line("")

    def comments_before(self, position: int, after: int) -> int:
        """Print the comments before a position, each on its line; return where the last one ended."""
        while self.comments and self.comments[-1].span.start < position:
            comment = self.comments.pop()
            if self.blank_between(after, comment.span.start):
                self.blank()
            self.line(comment.text)
            after = comment.span.end
        return after

    def blank_between(self, start: int, end: int) -> bool:
        return re.search(r"\n[ \t\r]*\n", self.text[start:end]) is not None

    def trailing(self, end: int) -> int:
        """Put a comment that stands on the line a member ends on at the end of that line."""
        if self.comments and "\n" not in self.text[end : self.comments[-1].span.start]:
            comment = self.comments.pop()
            self.lines[-1] += f"  {comment.text}"
            return comment.span.end
        return end

    def members(
        self,
        members: Sequence[ast.Declaration | ast.Statement | ast.Field | ast.Fixture | ast.TestCase],
        print_one: Callable[..., None],
        end: int,
        start: int = 0,
        apart: Callable[[object, object], bool] = lambda *_: False,
    ) -> None:
        """Print the members of a list, and the comments among them up to `end`."""
        position = start
        previous: object = None
        for member in members:
            if previous is not None and apart(previous, member):
                self.blank()
            block = isinstance(member, (ast.ToolBlock, ast.TenantBlock, ast.ShapeDeclaration, ast.TestCase))
            within = self.head_end(member.span) if block else member.span.end
            after = self.comments_before(within, position)
            if after > position and after <= member.span.start and self.blank_between(after, member.span.start):
                self.blank()
            print_one(member)
            position = self.trailing(member.span.end)
            previous = member
        self.comments_before(end, position)

    def head_end(self, span: ast.Span) -> int:
        """Return where the brace of a block stands: comments before it belong to the head."""
        depth = 0
        for match in _HEAD.finditer(self.text, span.start, span.end):
            if match[0] == "{" and not depth:
                return match.start()
            depth += {"(": 1, ")": -1}.get(match[0], 0)  # a record type among the arguments has braces too
        return span.end

    def body(
        self,
        head: str,
        members: Sequence[object],
        print_one: Callable[..., None],
        span: ast.Span,
        apart: Callable[[object, object], bool] = lambda *_: False,
    ) -> None:
        start = self.head_end(span) + 1
        inside = self.comments and self.comments[-1].span.start < span.end
        if not members and not inside:
            self.line(f"{head} {{}}")
            return
        self.line(f"{head} {{")
        self.indent += 1
        self.members(members, print_one, span.end, start, apart)  # type: ignore[arg-type]  # members of a body are nodes
        self.indent -= 1
        self.line("}")

    # --- Declarations -------------------------------------------------------------------------

    def declaration(self, node: ast.Declaration | ast.Fixture | ast.TestCase) -> None:
        match node:
            case ast.ScopeDeclaration(name, implies):
                self.line(f"scope {_quote(name)}{_listed(' implies ', implies)}")
            case ast.RoleDeclaration(name, extends, when):
                self.rule_line(f"role {_quote(name)}{_listed(' extends ', extends)}", [("when", when)])
            case ast.ShapeDeclaration(kind, name, is_global, fields):
                head = f"{kind} {_quote(name)}" if name is not None else kind
                self.body(f"{head}{' global' * is_global}", fields, self.field, node.span)
            case ast.LetDeclaration(name, value):
                self.rule_line("", [(f"let {name.text} =", value)])
            case ast.GroupDeclaration(name, patterns):
                self.line(f"tools {name.text} = {_patterns(patterns)}")
            case ast.ToolBlock():
                self.body(_tool_head(node), node.statements, self.statement, node.span)
            case ast.TenantBlock(patterns, items):
                self.body(f"tenant {_texts(patterns)}", items, self.declaration, node.span, _apart)
            case ast.Fixture(name, value, clauses):
                parts = [f"fixture {name.text} = {_spec(value)}", *map(_clause, clauses)]
                self.line(" ".join(parts))
            case ast.TestCase():
                self.test(node)

    def field(self, field: ast.Field) -> None:
        self.line(_field(field))

    def statement(self, statement: ast.Statement) -> None:
        match statement:
            case ast.Require(kind, mode, names):
                self.line(f"require {kind} {_mode(mode)}{_texts(names)}")
            case ast.RequireWhen(condition):
                self.rule_line("require", [("when", condition)])
            case ast.Limit(calls, per, keys):
                self.line(f"limit {expression(calls)} per {per.text} by {', '.join(key.text for key in keys)}")
            case ast.Oblige(obligation):
                self.line(f"oblige {_obligation(obligation)}")
            case ast.Rule(effect, label, who, across, when, unless, because, obligations):
                head = effect + (f" {_quote(label)}" if label else "") + (f" {_who(who)}" if who else "")
                tail = f" because {_quote(because)}" if because else ""
                tail += "".join(f" then {_obligation(obligation)}" for obligation in obligations)
                self.rule_line(head + " across tenants" * across, [("when", when), ("unless", unless)], tail)

    def rule_line(self, head: str, conditions: Iterable[tuple[str, ast.Expr | None]], tail: str = "") -> None:
        """Print a statement on one line; one that is too wide breaks before each `and` or `or`."""
        written = [(word, condition) for word, condition in conditions if condition is not None]
        text = " ".join(part for part in [head, *(f"{word} {expression(c)}" for word, c in written)] if part) + tail
        if len(text) + 2 * self.indent <= _WIDTH or not any(isinstance(c, (ast.And, ast.Or)) for _, c in written):
            self.line(text)
            return
        lines = [head] if head else []
        for word, condition in written:
            joint = "and" if isinstance(condition, ast.And) else "or" if isinstance(condition, ast.Or) else ""
            items = condition.items if isinstance(condition, (ast.And, ast.Or)) else (condition,)
            level = _level(condition) + 1 if joint else 0
            first, *rest = [_child(item, level) for item in items]
            lines[-1:] = [f"{lines[-1]} {word} {first}" if lines else f"{word} {first}"]
            lines += [f"{'  ' * 2}{joint} {item}" for item in rest]
        lines[-1] += tail
        for line in lines:
            self.line(line)

    def test(self, node: ast.TestCase) -> None:
        self.body(
            f"test {_quote(node.name)}",
            [_TestLine(line, node.expectation.span) for line in _test_lines(node)],
            lambda part: self.line(part.text),
            node.span,
        )


class _TestLine:
    """One line of a test; comments inside a test stand before its last line."""

    def __init__(self, text: str, span: ast.Span) -> None:
        self.text = text
        self.span = span


def _test_lines(node: ast.TestCase) -> list[str]:
    caller = node.caller.text if isinstance(node.caller, ast.Name) else _spec(node.caller)
    clauses = f" with {', '.join(map(_clause, node.clauses))}" if node.clauses else ""
    call = f"call {_quote(node.tool)}"
    if node.arguments is not None:
        call += f" {_json(node.arguments)}"
    if node.resource is not None:
        call += f" on {node.resource.text if isinstance(node.resource, ast.Name) else _spec(node.resource)}"
    if node.at is not None:
        call += f" at {_quote(node.at)}"
    expected = node.expectation
    expect = f"expect {expected.effect}" + (f" {expected.reason.text}" if expected.reason else "")
    expect += _listed(" by ", expected.rules or ()) + _listed(" missing ", expected.missing or ())
    expect += "".join(f" then {_obligation(obligation)}" for obligation in expected.obligations or ())
    return [f"as {caller}{clauses}", call, expect]


# --- Parts of lines -------------------------------------------------------------------------


def quote(text: str) -> str:
    """Write a string literal: quotes, backslashes, control and bidirectional characters escaped."""
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    return _SIMPLE.get(match[0]) or f"\\u{{{ord(match[0]):x}}}"


def _quote(text: ast.Text) -> str:
    return quote(text.value)


def _texts(texts: Iterable[ast.Text]) -> str:
    return ", ".join(map(_quote, texts))


def _listed(word: str, texts: Sequence[ast.Text]) -> str:
    return f"{word}{_texts(texts)}" if texts else ""


def _patterns(patterns: Iterable[ast.Pattern]) -> str:
    return ", ".join(_quote(p) if isinstance(p, ast.Text) else f"@{p.name.text}" for p in patterns)


def _tool_head(block: ast.ToolBlock) -> str:
    head = f"tool {_patterns(block.patterns)}"
    if block.excepted:
        head += f" except {_patterns(block.excepted)}"
    if block.arguments is not None:
        head += f" ({', '.join(map(_field, block.arguments))})"
    return head + _listed(" on ", block.types or ())


def _field(field: ast.Field) -> str:
    return f"{field.name.text}{'?' * field.optional}: {_type(field.type)}"


def _type(node: ast.TypeExpr) -> str:
    match node:
        case ast.NamedType(name):
            return name
        case ast.UnionType(options):
            return " | ".join(map(_quote, options))
        case ast.SetType(item):
            return f"set<{_type(item)}>"
        case ast.MapType(item):
            return f"map<{_type(item)}>"
        case ast.RefType(target):
            return f"ref<{target.text if isinstance(target, ast.Name) else _quote(target)}>"
        case ast.RecordType(fields):
            return f"{{ {', '.join(map(_field, fields))} }}" if fields else "{}"


def _mode(mode: ast.Mode | None) -> str:
    return f"{mode} " if mode else ""


def _who(who: ast.Who) -> str:
    return f"{who.kind} {_mode(who.mode)}{_texts(who.names)}" if who.names else who.kind


def _obligation(clause: ast.ObligationClause) -> str:
    if not clause.parameters:
        return _quote(clause.name)
    parameters = ", ".join(f"{parameter.name.text}: {expression(parameter.value)}" for parameter in clause.parameters)
    return f"{_quote(clause.name)} {{ {parameters} }}"


def _spec(spec: ast.SubjectSpec | ast.ResourceSpec) -> str:
    if isinstance(spec, ast.ResourceSpec):
        text = f"resource {_quote(spec.type)} {_quote(spec.id)}"
    elif spec.id is None:
        return "anonymous"
    else:
        text = f"subject {_quote(spec.id)}"
    return f"{text} {_json(spec.attributes)}" if spec.attributes is not None else text


def _clause(clause: ast.Clause) -> str:
    text = f"{clause.kind}{_listed(' ', clause.texts)}"
    return f"{text} {_json(clause.attributes)}" if clause.attributes is not None else text


def _json(node: ast.JsonValue) -> str:
    match node:
        case ast.JsonNull():
            return "null"
        case ast.JsonList(items):
            return f"[{', '.join(map(_json, items))}]"
        case ast.JsonObject(members):
            shown = (f"{m.key if _WORD.fullmatch(m.key) else quote(m.key)}: {_json(m.value)}" for m in members)
            return f"{{ {', '.join(shown)} }}" if members else "{}"
        case _:
            return expression(node)


# --- Expressions ----------------------------------------------------------------------------

_LEVELS: Final[dict[type, int]] = {
    ast.If: 0,
    ast.Or: 1,
    ast.And: 2,
    ast.Not: 3,
    ast.Compare: 4,
    ast.Chain: 4,
    ast.Has: 4,
    ast.Range: 5,
    ast.Sum: 6,
    ast.Coalesce: 7,
}
_OPERAND: Final = 8


def _level(node: ast.Expr) -> int:
    """Return how tightly an expression binds, in the order of L31."""
    return _LEVELS.get(type(node), _OPERAND)


def _child(node: ast.Expr, level: int) -> str:
    return expression(node) if _level(node) >= level else f"({expression(node)})"


def number(value: float) -> str:
    """Write a number as a literal."""
    return str(value) if isinstance(value, int) else f"{value:.4f}".rstrip("0")


def expression(node: ast.Expr) -> str:  # noqa: C901, PLR0912 (one case for each kind of expression)
    """Write an expression with no more brackets than it needs."""
    level = _level(node)
    match node:
        case ast.StringLiteral(value):
            return quote(value)
        case ast.NumberLiteral(value):
            return number(value)
        case ast.BoolLiteral(value):
            return "true" if value else "false"
        case ast.DurationLiteral(text=text):
            return text
        case ast.SetLiteral(items):
            return f"[{', '.join(map(expression, items))}]"
        case ast.Reference(root, steps):
            return root.text + "".join(map(_step, steps))
        case ast.Call(function, arguments):
            return f"{function.text}({', '.join(map(expression, arguments))})"
        case ast.Not(operand):
            return f"not {_child(operand, level)}"
        case ast.And(items):
            return " and ".join(_child(item, level + 1) for item in items)
        case ast.Or(items):
            return " or ".join(_child(item, level + 1) for item in items)
        case ast.If(condition, yes, no):
            return f"if {expression(condition)} then {expression(yes)} else {expression(no)}"
        case ast.Compare(op, left, right):
            return f"{_child(left, level + 1)} {op} {_child(right, level + 1)}"
        case ast.Chain(items, ops):
            rest = (f" {op} {_child(item, level + 1)}" for op, item in zip(ops, items[1:], strict=True))
            return _child(items[0], level + 1) + "".join(rest)
        case ast.Has(operand, path):
            return f"{_child(operand, level + 1)} has {'.'.join(name.text for name in path)}"
        case ast.Range(low, high):
            return f"{_child(low, level + 1)}..{_child(high, level + 1)}"
        case ast.Sum(first, rest):
            terms = (f" {term.sign} {_child(term.operand, level + 1)}" for term in rest)
            return _child(first, level + 1) + "".join(terms)
        case ast.Coalesce(items):
            return " ?? ".join(_child(item, level + 1) for item in items)


def _step(step: ast.Attribute | ast.Index) -> str:
    return f".{step.name}" if isinstance(step, ast.Attribute) else f"[{expression(step.key)}]"
