"""`authz-eval tools` and `scopes`: a policy seen from its tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from authz.cli.questions import opened
from authz.cli.render import GREEN, RED, Paint, printable
from authz.json_form import decision_to_json
from authz.lang.checked import Names
from authz.pap.catalogue.tools import MAX_BYTES, CatalogueError, read_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from authz.lang.ast import Mode
    from authz.lang.checked import Block, CheckedPolicySet
    from authz.model import Decision
    from authz.pap.catalogue.tools import Catalogue


class Tool(NamedTuple):
    """A tool that somebody named, and the hints that its server gives."""

    name: str
    hints: Mapping[str, bool]

    def ask(self, caller: Mapping[str, object]) -> dict[str, object]:
        """Return the request of this caller for this tool, in JSON form."""
        asked = {**caller, "tool": self.name}
        return {**asked, "tool_info": dict(self.hints)} if self.hints else asked


# --- The tools there are --------------------------------------------------------------------


def read_tools(path: str) -> tuple[Tool, ...]:
    """Read a server's answer to `tools/list`, `-` being stdin.

    Raises `click.UsageError` for a file that holds something else, and `LoadError`.
    """
    return tuple(Tool(tool.name, tool.hints) for tool in opened_catalogue(path).tools)


def opened_catalogue(path: str) -> Catalogue:
    """Read a catalogue, with the schemas of its tools; raises what `read_tools` raises."""
    with opened(path) as stream:
        data = stream.read(MAX_BYTES + 1)
    try:
        return read_catalogue(data, path)
    except CatalogueError as error:
        raise click.UsageError(str(error)) from None


def known_tools(checked: CheckedPolicySet, listed: Iterable[Tool]) -> tuple[Tool, ...]:
    """Return the tools that the policy names without a `*`, and those listed, by name."""
    named = {name: Tool(name, {}) for name in _patterns(checked, also_excepted=True) if "*" not in name}
    named |= {tool.name: tool for tool in listed}
    return tuple(named[name] for name in sorted(named))


def _patterns(checked: CheckedPolicySet, *, also_excepted: bool = False) -> set[str]:
    blocks = checked.blocks
    return {pattern for block in blocks for pattern in (*block.patterns, *(block.excepted if also_excepted else ()))}


# --- Who may use them -----------------------------------------------------------------------


def answers_to_json(answers: Sequence[tuple[str, Decision]]) -> dict[str, object]:
    """Return each tool with its decision."""
    return {"tools": [{"tool": name, **decision_to_json(decision)} for name, decision in answers]}


def render_answers(answers: Sequence[tuple[str, Decision]], paint: Paint) -> str:
    """Return a line for each tool."""
    width = max((len(printable(name)) for name, _ in answers), default=0)
    return "".join(f"{_answer(name, decision, width, paint)}\n" for name, decision in answers)


def _answer(name: str, decision: Decision, width: int, paint: Paint) -> str:
    colour = GREEN if decision.allowed else RED
    verdict = paint(f"{decision.effect.name:<5}", colour)
    missing = f" ({', '.join(map(printable, decision.missing_scopes))})" if decision.missing_scopes else ""
    reason = "" if decision.allowed else f"  {decision.reason.name}{missing}"
    return f"{verdict}  {printable(name):<{width}}{reason}".rstrip()


# --- Which scopes they need -----------------------------------------------------------------


class Term(NamedTuple):
    """Scopes that one statement asks for: any or all of them, for these resource types (None: all)."""

    mode: Mode
    scopes: tuple[str, ...]
    types: tuple[str, ...] | None


class Row(NamedTuple):
    """A tool or pattern of one tenant's callers: what every call needs, and what each allow asks for.

    An alternative without scopes is an allow that asks for none. No alternatives: never allowed.
    """

    tool: str
    tenants: tuple[str, ...] | None
    required: tuple[Term, ...]
    alternatives: tuple[Term, ...]


def scope_rows(checked: CheckedPolicySet, listed: Iterable[Tool]) -> tuple[Row, ...]:
    """Return the scopes that each tool and each pattern of the policy needs.

    Only statements that name scopes count; a condition that reads `scopes` says it itself.
    A pattern stands for a tool that matches it and nothing narrower.
    """
    tools = _patterns(checked) | {tool.name for tool in listed}
    return tuple(row for tool in sorted(tools) for row in _rows(checked, tool))


def _rows(checked: CheckedPolicySet, tool: str) -> Iterator[Row]:
    """Yield a row for every tenant, and one for each tenant block that asks for something else."""
    matching = [block for block in checked.blocks if _matches(block, tool)]
    everywhere = _row(tool, None, [block for block in matching if block.section is None])
    if not matching or any(block.section is None for block in matching):
        yield everywhere
    sections = {tuple(sorted(checked.sections[block.section])) for block in matching if block.section is not None}
    for tenants in sorted(sections):
        own = [
            block for block in matching if block.section is None or _covers(checked.sections[block.section], tenants)
        ]
        row = _row(tool, tenants, own)
        if row != everywhere._replace(tenants=tenants):  # a block of denies needs no line of its own
            yield row


def _row(tool: str, tenants: tuple[str, ...] | None, blocks: Sequence[Block]) -> Row:
    required: set[Term] = set()
    alternatives: set[Term] = set()
    for block in blocks:
        for rule in block.rules:
            names = rule.who if isinstance(rule.who, Names) and rule.who.what == "scope" else None
            if rule.kind == "require scope" and names is not None:
                required.add(Term(names.mode, names.names, block.types))
            elif rule.kind == "allow":
                alternatives.add(Term(names.mode, names.names, block.types) if names else Term("all", (), block.types))
    return Row(tool, tenants, _sorted(required), _sorted(alternatives))


def _sorted(terms: Iterable[Term]) -> tuple[Term, ...]:
    return tuple(sorted(terms, key=lambda term: (term.types or (), term.scopes, term.mode)))


def _matches(block: Block, tool: str) -> bool:
    # A pattern may stand in the tool's place: a `*` in it is met by a `*` only, so whatever
    # matches the one matches the other.
    return any(glob(p, tool) for p in block.patterns) and not any(glob(p, tool) for p in block.excepted)


def _covers(wider: Sequence[str], narrower: Sequence[str]) -> bool:
    return all(any(glob(pattern, tenant) for pattern in wider) for tenant in narrower)


def glob(pattern: str, text: str) -> bool:
    """Say whether the whole text matches, `*` being any run of characters (L20)."""
    first, *middle = pattern.split("*")
    if not middle:
        return pattern == text
    last = middle.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def rows_to_json(rows: Sequence[Row]) -> dict[str, object]:
    """Return the table as JSON."""
    return {"tools": [_row_to_json(row) for row in rows]}


def _row_to_json(row: Row) -> dict[str, object]:
    return {
        "tool": row.tool,
        "tenants": None if row.tenants is None else list(row.tenants),
        "required": [_term_to_json(term) for term in row.required],
        "alternatives": [_term_to_json(term) for term in row.alternatives],
    }


def _term_to_json(term: Term) -> dict[str, object]:
    return {"mode": term.mode, "scopes": list(term.scopes), "on": None if term.types is None else list(term.types)}


def render_rows(rows: Sequence[Row]) -> str:
    """Return the table for people."""
    heads = ("TOOL", "TENANT", "EVERY CALL NEEDS", "AN ALLOW ASKS FOR")
    cells = [(row.tool, ", ".join(row.tenants or ("any",)), _required(row), _alternatives(row)) for row in rows]
    lines = [heads, *(tuple(printable(cell) for cell in line) for line in cells)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )


def _required(row: Row) -> str:
    return " and ".join(_term(term) for term in row.required) or "-"


def _alternatives(row: Row) -> str:
    if not row.alternatives:
        return "(never allowed)"
    free = [term for term in row.alternatives if not term.scopes]
    asking = [term for term in row.alternatives if term.scopes]
    if not asking or any(term.types is None for term in free):
        return "-"
    return " or ".join([*(_term(term) for term in asking), *(f"-{_on(term.types)}" for term in free)])


def _term(term: Term) -> str:
    joined = (", " if term.mode == "all" else " or ").join(term.scopes)
    return (f"({joined})" if len(term.scopes) > 1 and term.mode == "any" else joined) + _on(term.types)


def _on(types: tuple[str, ...] | None) -> str:
    return f" on {', '.join(types)}" if types is not None else ""
