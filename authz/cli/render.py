"""Write findings, decisions and explanations for people, and findings as JSON.

Policies, requests and file names may hold anything, also what would move a terminal's cursor or
turn its text around: every such character is shown by its escape.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

from authz.model import Effect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from authz.lang.ast import Span
    from authz.lang.diagnostics import Diagnostic
    from authz.lang.source import Source
    from authz.model import ConditionTrace, Decision, Explanation, Fact, Outcome, RuleTrace, Seen, Value

TAB_WIDTH: Final = 4
MAX_COLUMNS: Final = 160
"""Columns of source text shown of one line; what is longer is cut around the finding."""
_CUT: Final = "…"

RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
BLUE: Final = "34"
BOLD: Final = "1"


class Paint:
    """Colour, where it is wanted."""

    __slots__ = ("on",)

    def __init__(self, *, on: bool) -> None:
        """Remember whether to colour at all."""
        self.on = on

    def __call__(self, text: str, *codes: str) -> str:
        """Return the text in the colours of these SGR codes."""
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.on and text else text


PLAIN: Final = Paint(on=False)


def paint_for(stream: TextIO) -> Paint:
    """Colour on a terminal only, and not where NO_COLOR or a dumb terminal asks for none."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Paint(on=wanted and stream.isatty())


def printable(text: str) -> str:
    """Return the text with everything escaped that a terminal would obey instead of show."""
    if text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return f"\\u{{{ord(character):x}}}"


# --- Findings -------------------------------------------------------------------------------


def render_diagnostics(diagnostics: Iterable[Diagnostic], paint: Paint = PLAIN) -> str:
    """Return every finding with the text it is about, an empty line between two."""
    return "\n\n".join(render_diagnostic(diagnostic, paint) for diagnostic in diagnostics)


def render_diagnostic(diagnostic: Diagnostic, paint: Paint = PLAIN) -> str:
    """Return one finding: what is wrong, where, the text underlined, and what to do."""
    severity = diagnostic.severity.value
    colour = RED if severity == "error" else YELLOW
    places = [(diagnostic.source, diagnostic.span), *((related.source, related.span) for related in diagnostic.related)]
    width = max(len(str(source.place(span.start)[0])) for source, span in places)
    lines = [
        paint(f"{severity}[{diagnostic.code}]", colour, BOLD) + f": {printable(diagnostic.message)}",
        *_excerpt(diagnostic.source, diagnostic.span, _Style(width, "-->", "^", colour, paint)),
    ]
    for related in diagnostic.related:
        style = _Style(width, ":::", "-", BLUE, paint)
        lines += _excerpt(related.source, related.span, style, f" {printable(related.message)}")
    if diagnostic.help:
        lines.append(paint(f"{' ' * (width + 2)}=", BLUE) + f" help: {printable(diagnostic.help)}")
    return "\n".join(lines)


class _Style(NamedTuple):
    """How one excerpt looks: the digits of its line numbers, its arrow and its underline."""

    width: int
    arrow: str
    mark: str
    colour: str
    paint: Paint


def _excerpt(source: Source, span: Span, style: _Style, note: str = "") -> Iterator[str]:
    """Yield the place, and its line with the span marked below it, where there is any text."""
    width, paint = style.width, style.paint
    line, column = source.place(span.start)
    yield paint(f"{' ' * (width + 1)}{style.arrow}", BLUE) + f" {printable(source.path)}:{line}:{column}"
    if not source.text:  # the finding is about a file as a whole
        return
    bar = paint(f"{' ' * (width + 2)}|", BLUE)
    shown, before, marked = _line(source.line(line), column - 1, max(span.end - span.start, 1))
    yield bar
    yield (paint(f" {line:>{width}} |", BLUE) + f" {shown}").rstrip()
    yield f"{bar} {' ' * before}{paint(style.mark * marked, style.colour, BOLD)}{note}"


def _line(text: str, start: int, length: int) -> tuple[str, int, int]:
    """Return a line as it is shown, the columns before the marked part, and the columns of that part.

    A span that goes on in the next line is marked to the end of its first.
    """
    before = [_piece(character) for character in text[max(0, start - MAX_COLUMNS) : start]]
    after = [_piece(character) for character in text[start : start + MAX_COLUMNS]]
    if len(before) + len(after) < len(text) or _columns(before) + _columns(after) > MAX_COLUMNS:
        before = _fitting(before[::-1])[::-1]
        after = _fitting(after)
    head = _CUT if len(before) < start else ""
    tail = _CUT if start + len(after) < len(text) else ""
    shown = "".join(piece for piece, _ in (*before, *after))
    return head + shown + tail, len(head) + _columns(before), max(_columns(after[:length]), 1)


def _columns(pieces: Sequence[tuple[str, int]]) -> int:
    return sum(columns for _, columns in pieces)


def _fitting(pieces: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return as many of the first pieces as half a line holds."""
    room = accumulate(columns for _, columns in pieces)
    return [piece for piece, columns in zip(pieces, room, strict=True) if columns <= MAX_COLUMNS // 2]


def _piece(character: str) -> tuple[str, int]:
    """Return a character as it is shown, and the columns a terminal gives it."""
    if character == "\t":
        return " " * TAB_WIDTH, TAB_WIDTH
    shown = _visible(character)
    if len(shown) > 1 or character.isascii():
        return shown, len(shown)
    if unicodedata.combining(character) or unicodedata.category(character) == "Me":
        return shown, 0
    return shown, 2 if unicodedata.east_asian_width(character) in "WF" else 1


def diagnostic_to_json(diagnostic: Diagnostic) -> dict[str, object]:
    """Return a finding as JSON. Lines and columns count characters from 1; the end is exclusive."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "message": diagnostic.message,
        **_place_to_json(diagnostic.source, diagnostic.span),
        "help": diagnostic.help,
        "related": [
            {"message": related.message, **_place_to_json(related.source, related.span)}
            for related in diagnostic.related
        ],
    }


def _place_to_json(source: Source, span: Span) -> dict[str, object]:
    line, column = source.place(span.start)
    end_line, end_column = source.place(span.end)
    return {"file": source.path, "line": line, "column": column, "end_line": end_line, "end_column": end_column}


# --- Decisions ------------------------------------------------------------------------------


def render_decision(decision: Decision, paint: Paint = PLAIN) -> str:
    """Return a decision: the answer and its message, then what belongs to it, a line each."""
    lines = [render_decision_line(decision, paint)]
    for name, values in (
        ("rules", decision.rules),
        ("required scopes", decision.required_scopes),
        ("missing scopes", decision.missing_scopes),
    ):
        if values:
            lines.append(f"  {name}: {printable(', '.join(values))}")
    for obligation in decision.obligations:
        parameters = f" {json_text(obligation.parameters)}" if obligation.parameters else ""
        lines.append(f"  obligation: {printable(obligation.name)}{parameters}")
    lines.append(f"  policy revision: {decision.policy_revision}")
    return "\n".join(lines)


def render_decision_line(decision: Decision, paint: Paint = PLAIN) -> str:
    """Return a decision in one line."""
    colour = {Effect.ALLOW: GREEN, Effect.CONDITIONAL: YELLOW}.get(decision.effect, RED)
    message = f": {printable(decision.message)}" if decision.message else ""
    reason = f" {decision.reason.name}" if decision.effect is not Effect.CONDITIONAL else ""  # it says the same
    return f"{paint(decision.effect.name, colour, BOLD)}{reason}{message}"


def render_explanation(explanation: Explanation, paint: Paint = PLAIN) -> str:
    """Return a decision, each rule that could have had a say, each condition, and the nearest miss."""
    lines = [render_decision(explanation.decision, paint)]
    for rule in explanation.rules:
        lines += ["", *_rule(rule, rule.name in explanation.decision.rules, paint)]
    if explanation.facts:
        lines += ["", paint("from the directory", BOLD) + ":", *map(_fact, explanation.facts)]
    if explanation.nearest not in {"", explanation.decision.message}:
        lines += ["", f"{paint('nearest miss', BOLD)}: {printable(explanation.nearest)}"]
    return "\n".join(lines)


def _fact(fact: Fact) -> str:
    line = f"  {printable(fact.path)} is {_short(fact.value)}"
    if fact.contradicted:
        line += f", not {_short(fact.given)} as the request says"
    return line


def _short(value: Value) -> str:
    from authz.json_form import abridged  # noqa: PLC0415  # start-up: only explanations need it

    return json_text(abridged(value))


def _rule(rule: RuleTrace, decided: bool, paint: Paint) -> Iterator[str]:  # noqa: FBT001  # private, one caller
    deciding = "  (deciding)" if decided else ""
    yield (
        f"{_outcome(rule.outcome, paint)}  {paint(printable(rule.kind), BOLD)} {printable(rule.name)}"
        f"  {printable(rule.file)}:{rule.line}:{rule.column}{deciding}"
    )
    for condition in rule.conditions:
        yield f"  {_outcome(condition.outcome, paint)}  {_condition(condition, rule)}"
        yield from (f"           {printable(seen.expression)} {_seen(seen)}" for seen in condition.seen)


def _condition(condition: ConditionTrace, rule: RuleTrace) -> str:
    """Return a condition's text, and where it stands as far as the rule's own place does not say so."""
    text = printable(" ".join(condition.text.split()))
    place = (condition.file, condition.line, condition.column)
    if place == (rule.file, rule.line, rule.column):
        return text
    shown = f"{condition.line}:{condition.column}"
    return f"{text}  {shown}" if condition.file == rule.file else f"{text}  {printable(condition.file)}:{shown}"


def _seen(seen: Seen) -> str:
    return printable(seen.problem) if seen.problem else f"= {json_text(seen.value)}"


def _outcome(outcome: Outcome, paint: Paint) -> str:
    colour = {"TRUE": GREEN, "FALSE": RED, "UNKNOWN": YELLOW}[outcome.name]
    return paint(f"{outcome.name.lower():<7}", colour)


def json_text(value: object, indent: int | None = None) -> str:
    """Return a value as JSON, with everything escaped that a terminal would obey."""
    text = json.dumps(value, ensure_ascii=False, default=_plain, indent=indent)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _plain(value: object) -> object:
    """Give `json` the mappings that it does not know."""
    assert isinstance(value, Mapping)  # a `Value` is made of JSON's own types and mappings
    return dict(value)
