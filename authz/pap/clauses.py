"""The parts of a test that become parts of a request: braces, clauses, resources, times (L80).

What is wrong with a part is added to `Problems`, and a harmless value takes its place: nothing
runs where there are problems.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from authz.lang import ast
from authz.lang.diagnostics import Diagnostic, Related, near
from authz.lang.values import read_time
from authz.model import Resource, ToolInfo, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.lang.source import Source

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HINTS: Final = ("read_only", "destructive", "idempotent", "open_world")
_TOOL_ATTRIBUTES: Final = ("server", "tags", *_HINTS)
_CLAUSES: Final = {
    "scopes": "one string or more",
    "roles": "one string or more",
    "tenant": "one string",
    "context": "braces and no string",
    "subject": "braces and no string",
    "client": "one string, and braces if it has attributes",
    "tool": "braces and no string",
}
"""The kinds of clauses of L80, and what each one takes."""


class Problems:
    """What is wrong in one test file, in the order it was found."""

    __slots__ = ("found", "source")

    def __init__(self, source: Source) -> None:
        """Start with nothing found."""
        self.source = source
        self.found: list[Diagnostic] = []

    def add(self, code: str, message: str, span: ast.Span, help_: str = "", first: ast.Span | None = None) -> None:
        """Take note of a problem; `first` is where the same name was declared before."""
        related = (Related(self.source, first, "first declared here"),) if first is not None else ()
        self.found.append(Diagnostic(code, message, self.source, span, help_, related))


def check_clauses(clauses: Iterable[ast.Clause], problems: Problems) -> None:
    """Check what each clause takes. The grammar lets any word stand with strings and braces."""
    for clause in clauses:
        kind = _word(clause.kind)
        if kind not in _CLAUSES:
            problems.add(
                "unknown-clause",
                f"there is no clause `{kind}`" if kind else "this string belongs to no clause",
                clause.span,
                near(kind, _CLAUSES) or f"the clauses are {_listed(_CLAUSES)}",
            )
        elif not _fits(clause):
            problems.add("wrong-clause-value", f"`{kind}` takes {_CLAUSES[kind]}", clause.span)
        json_object(clause.attributes, problems)
        if kind == "tool":
            tool_info(clause, problems)


def tool_info(clause: ast.Clause, problems: Problems) -> ToolInfo:
    """Read `tool { … }`: the server, the tags and the hints, and nothing else."""
    members = _members(clause.attributes)
    for member in clause.attributes.members if clause.attributes is not None else ():
        if member.key not in _TOOL_ATTRIBUTES:
            problems.add(
                "unknown-clause-attribute",
                f"a tool has no attribute `{member.key}`",
                member.span,
                near(member.key, _TOOL_ATTRIBUTES) or f"a tool has {_listed(_TOOL_ATTRIBUTES)}",
            )
    hints = {hint: _flag(hint, members.get(hint), problems) for hint in _HINTS}
    return ToolInfo(
        _text("server", members.get("server"), problems), _texts("tags", members.get("tags"), problems), **hints
    )


def resource(spec: ast.ResourceSpec, problems: Problems) -> Resource:
    """Read a resource; `tenant` and `ancestors` among its attributes are the built-in ones."""
    attributes = json_object(spec.attributes, problems)
    members = _members(spec.attributes)
    tenant = _text("tenant", members.get("tenant"), problems)
    ancestors = _texts("ancestors", members.get("ancestors"), problems)
    rest = {key: value for key, value in attributes.items() if key not in {"tenant", "ancestors"}}
    return Resource(spec.type.value, spec.id.value, tenant, rest, ancestors)


def json_object(node: ast.JsonObject | None, problems: Problems) -> dict[str, Value]:
    """Read `{ … }`. A key that stands twice is an error, as it is in a request (L60)."""
    values: dict[str, Value] = {}
    for member in node.members if node is not None else ():
        if member.key in values:
            problems.add("duplicate-declaration", f"`{member.key}` is given twice", member.span)
        values[member.key] = _json(member.value, problems)
    return values


def time(text: ast.Text, problems: Problems) -> datetime | None:
    """Read the time of a decision (L12).

    A fraction finer than a microsecond is refused: a test must not be asked at an instant other
    than the one it names.
    """
    nanoseconds = read_time(text.value)
    if nanoseconds is not None and nanoseconds % 1000 == 0:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    problems.add(
        "invalid-time",
        f"`{text.value}` is not a time with an offset",
        text.span,
        "write it like `2026-01-31T08:00:00Z`, with six fractional digits at most",
    )
    return None


def _json(node: ast.JsonValue, problems: Problems) -> Value:
    match node:
        case ast.JsonNull():
            return None
        case ast.JsonList():
            return [_json(item, problems) for item in node.items]
        case ast.JsonObject():
            return json_object(node, problems)
        case _:
            return node.value


def _text(key: str, node: ast.JsonValue | None, problems: Problems) -> str:
    """Read a built-in attribute that is a string; null is as good as left out (L12)."""
    if isinstance(node, ast.StringLiteral):
        return node.value
    if node is not None and not isinstance(node, ast.JsonNull):
        problems.add("wrong-clause-value", f"`{key}` must be a string", node.span)
    return ""


def _texts(key: str, node: ast.JsonValue | None, problems: Problems) -> tuple[str, ...]:
    if isinstance(node, ast.JsonList):
        items = tuple(item.value for item in node.items if isinstance(item, ast.StringLiteral))
        if len(items) == len(node.items):
            return items
    if node is not None and not isinstance(node, ast.JsonNull):
        problems.add("wrong-clause-value", f"`{key}` must be a list of strings", node.span)
    return ()


def _flag(key: str, node: ast.JsonValue | None, problems: Problems) -> bool | None:
    if isinstance(node, ast.BoolLiteral):
        return node.value
    if node is not None and not isinstance(node, ast.JsonNull):
        problems.add("wrong-clause-value", f"`{key}` must be `true` or `false`", node.span)
    return None


def _members(node: ast.JsonObject | None) -> dict[str, ast.JsonValue]:
    return {member.key: member.value for member in node.members} if node is not None else {}


def _word(kind: str | None) -> str:
    """Return the word a clause starts with; the grammar lets a string stand without one."""
    return kind or ""


def _fits(clause: ast.Clause) -> bool:
    match clause.kind:
        case "scopes" | "roles":
            return bool(clause.texts) and clause.attributes is None
        case "tenant":
            return len(clause.texts) == 1 and clause.attributes is None
        case "client":
            return len(clause.texts) == 1
        case "context" | "subject" | "tool":
            return not clause.texts and clause.attributes is not None


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
