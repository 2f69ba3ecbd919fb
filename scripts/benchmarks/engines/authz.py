"""Authz itself, in one process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from authz.model import Effect, Request, Resource
from authz.pap.loader import load
from scripts.benchmarks.engines.engine import Engine
from scripts.benchmarks.workloads import FLOOR, Question, w2_rules, w3_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from authz.model import Decision

PACKAGE: Final = "authz"
_A_FILE: Final = 1_000
"""Rules of a file at most."""
_W2: Final = """\
resource "document" { owner: string }
role "owner" when resource.owner == subject.id
"""


def w2() -> Engine:
    """Return the policy W2."""
    return _engine({"w2.authz": w2_policy()})


def w3(kind: str, rules: int) -> Engine:
    """Return n rules."""
    return _engine(dict(w3_files(kind, rules)))


def w2_policy() -> str:
    """Return W2 in our language; that the tenants must be the same needs no rule (L61)."""
    blocks = (
        f'tool "{rule.tool}" on "document" {{ require scope "{rule.scope}"  allow role "{rule.role}", "owner" }}\n'
        for rule in w2_rules()
    )
    return _W2 + "".join(blocks)


def w3_files(kind: str, rules: int) -> Iterator[tuple[str, str]]:
    """Return W3 in our language, a thousand rules a file: names and texts."""
    if kind == "alike":
        yield "context.authz", "context { level: number }\n"
    for first in range(0, rules, _A_FILE):
        numbers = range(first, min(first + _A_FILE, rules))
        lines = "\n".join(map(_LINES[kind], numbers))
        yield f"rules{first}.authz", lines if kind not in _ONE_BLOCK else f'tool "read" {{\n{lines}\n}}\n'


_ONE_BLOCK: Final = ("role", "alike")
_LINES: Final[dict[str, Callable[[int], str]]] = {
    **{
        kind: lambda number, kind=kind: f'tool "{w3_tool(kind, number)}" {{ allow role "reader" }}'  # type: ignore[misc]  # bound here
        for kind in ("exact", "prefix", "suffix", "glob")
    },
    "type": lambda number: f'tool "read" on "type{number}" {{ allow role "reader" }}',
    "role": lambda number: f'allow role "role{number}"',
    "tenant": lambda number: f'tenant "tenant{number}" {{ tool "read" {{ allow role "reader" }} }}',
    "alike": lambda number: f'allow role "reader" when context.level > {FLOOR + number}',
}


def request(question: Question) -> Request:
    """Return the question as the product's own."""
    resource = None
    if question.type:
        attributes = {"owner": question.owner} if question.owner else {}
        resource = Resource(question.type, question.id, question.of_tenant, attributes)
    return Request(
        tool=question.tool,
        subject=question.subject,
        scopes=question.scopes,
        roles=question.roles,
        tenant=question.tenant,
        resource=resource,
        context={"level": question.level} if question.level else {},
    )


def _engine(files: dict[str, str]) -> Engine:
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as name:
        for file, text in files.items():
            (Path(name) / file).write_text(text, encoding="utf-8")
        program = load(name).program
    return Engine(request, program.decide, _allowed)


def _allowed(decision: Decision) -> bool:
    return decision.effect is Effect.ALLOW
