"""A policy against a server's real catalogue: warnings of what does not fit.

A policy is written from what somebody believes that a server offers. Where the two differ, nothing
is opened — a pattern that matches nothing allows nothing — but the policy does not do what its text
says: a deny of a misspelt tool denies nothing, and a comparison with a value of another type is never
decided. The catalogue is of one server: a policy for several has parts that are about another one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.lang import ast
from authz.lang.checked import Place
from authz.lang.diagnostics import Diagnostic, Related, Severity, in_order, near
from authz.lang.values import glob
from authz.pap.catalogue import arguments
from authz.pap.catalogue.arguments import Schemas, Subject, named
from authz.pap.catalogue.tools import METHODS, Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from authz.lang.checked import Block, CheckedPolicySet, Rule
    from authz.lang.source import Source
    from authz.pap.catalogue.tools import Catalogue

MAX_GUESSES: Final = 100
"""Patterns that a near name is looked for: a policy with more of them is about another server."""

_FIRST_WORD: Final = re.compile(r"[^_.\-/]+[_.\-/]+")


class Fitted(NamedTuple):
    """A block as it is written and as it was checked, and the tools of the catalogue that it is about."""

    written: ast.ToolBlock
    source: Source
    block: Block
    tools: tuple[Tool, ...]


def fit(policy: CheckedPolicySet, catalogue: Catalogue) -> tuple[Diagnostic, ...]:
    """Return every warning, in order of file and place; those at the catalogue come last."""
    fitted = tuple(_fitted(policy, catalogue))
    return in_order(
        [
            *unmatched_patterns(policy, catalogue),
            *unreached_tools(fitted, catalogue),
            *unguarded_tools(fitted, catalogue),
            *unfit_arguments(policy, fitted, catalogue),
        ]
    )


def _warning(code: str, message: str, place: Place, help_: str, related: tuple[Related, ...] = ()) -> Diagnostic:
    return Diagnostic(code, message, place.source, place.span, help_, related, Severity.WARNING)


def _written(policy: CheckedPolicySet) -> Iterator[tuple[Source, ast.Declaration]]:
    """Yield every declaration, those of tenant blocks included."""
    for source, file in policy.files:
        waiting = list(file.declarations)
        while waiting:
            declaration = waiting.pop()
            yield source, declaration
            if isinstance(declaration, ast.TenantBlock):
                waiting.extend(declaration.items)


def _fitted(policy: CheckedPolicySet, catalogue: Catalogue) -> Iterator[Fitted]:
    checked = {(block.place.source.name, block.place.span): block for block in policy.blocks}
    for source, declaration in _written(policy):
        if isinstance(declaration, ast.ToolBlock):
            block = checked[source.name, declaration.span]
            yield Fitted(declaration, source, block, catalogue.matching(block.patterns, block.excepted))


# --- Patterns -------------------------------------------------------------------------------


def unmatched_patterns(policy: CheckedPolicySet, catalogue: Catalogue) -> Iterator[Diagnostic]:
    """Warn of each pattern of a block, an `except` or a group that matches no tool."""
    names = [tool.name for tool in catalogue.tools]
    words = {f"{match[0]}*" for name in names if (match := _FIRST_WORD.match(name))}
    helps: dict[str, str] = {}
    for source, declaration in _written(policy):
        match declaration:
            case ast.ToolBlock(patterns, excepted):
                written = (*patterns, *excepted)
            case ast.GroupDeclaration(_, patterns):
                written = patterns
            case _:
                continue
        for pattern in written:
            if not isinstance(pattern, ast.Text):
                continue
            pieces = pattern.value.split("*")
            known = any(catalogue.named(pattern.value)) or any(glob(pieces, name) for name in METHODS)
            if not known:
                if pattern.value not in helps:
                    guess = near(pattern.value, words if len(pieces) > 1 else names) if len(helps) < MAX_GUESSES else ""
                    helps[pattern.value] = guess or "leave it out, unless it is meant for a tool of another server"
                yield _warning(
                    "unmatched-tool-pattern",
                    f"no tool of the catalogue matches `{pattern.value[:60]}`",
                    Place(source, pattern.span),
                    helps[pattern.value],
                )


# --- Reach ----------------------------------------------------------------------------------


def unreached_tools(fitted: Iterable[Fitted], catalogue: Catalogue) -> Iterator[Diagnostic]:
    """Warn of each tool that nobody can call: no block is about it, or none with an allow.

    A tool that some block denies to everyone, without a condition, is meant to be denied.
    """
    mentioned: set[str] = set()
    settled: set[str] = set()
    for one in fitted:
        names = {tool.name for tool in one.tools}
        mentioned |= names
        if any(rule.kind == "allow" or _denies_all(rule) for rule in one.block.rules):
            settled |= names
    for tool in catalogue.tools:
        if tool.name in settled:
            continue
        problem = "no rule allows a call of" if tool.name in mentioned else "no block is about"
        yield _warning(
            "unreached-tool",
            f"{problem} `{tool.name[:60]}`, so it is denied to everyone",
            Place(catalogue.source, tool.span),
            f'say who may call it, or that nobody may: `tool "{tool.name[:60]}" {{ deny }}`',
        )


def _denies_all(rule: Rule) -> bool:
    return rule.kind == "deny" and rule.who is None and rule.condition is None


# --- Destructive tools ----------------------------------------------------------------------


def unguarded_tools(fitted: Sequence[Fitted], catalogue: Catalogue) -> Iterator[Diagnostic]:
    """Warn of each destructive tool that is allowed like any other.

    A tool is destructive when its server says so, or says neither that nor that it only reads: that
    is the specification's default (R21). Its guard is a deny or a require that is not there for every
    tool alike: in a block that names the tool without a `*`, or that leaves some tool of the catalogue
    out. An allow is no guard, since the next one to be written opens the tool again. The guard must
    hold wherever an allow does: for its tenants, and its resource types.
    """
    blocks: dict[str, list[Fitted]] = {tool.name: [] for tool in catalogue.tools if tool.destructive}
    for one in fitted:
        for tool in one.tools:
            if tool.destructive:
                blocks[tool.name].append(one)
    for tool in catalogue.tools:
        about = blocks.get(tool.name, [])
        guards = [one.block for one in about if _is_own(one, tool, catalogue) and _restricts(one.block)]
        for one in about:
            allow = next((rule for rule in one.block.rules if rule.kind == "allow"), None)
            if allow is None or any(_holds_with(guard, one.block) for guard in guards):
                continue
            said = "says that it destroys" if "destructive" in tool.hints else "does not say that it destroys nothing"
            yield _warning(
                "unguarded-destructive-tool",
                f"`{tool.name[:60]}` may overwrite or delete, and is allowed here without a deny or require of its own",
                allow.place,
                f'say what it takes in a block of its own: `tool "{tool.name[:60]}" {{ require … }}`',
                (Related(catalogue.source, tool.span, f"its server {said}"),),
            )
            break


def _is_own(one: Fitted, tool: Tool, catalogue: Catalogue) -> bool:
    return tool.name in one.block.patterns or len(one.tools) < len(catalogue.tools)


def _restricts(block: Block) -> bool:
    return any(rule.kind != "allow" for rule in block.rules)


def _holds_with(guard: Block, allowing: Block) -> bool:
    """Say whether a guard holds for each call that another block may allow."""
    for_tenant = guard.section is None or guard.section == allowing.section
    for_type = guard.types is None or (allowing.types is not None and set(allowing.types) <= set(guard.types))
    return for_tenant and for_type


# --- Arguments ------------------------------------------------------------------------------


def unfit_arguments(policy: CheckedPolicySet, fitted: Iterable[Fitted], catalogue: Catalogue) -> Iterator[Diagnostic]:
    """Warn of arguments that the tools do not have, or have otherwise."""
    schemas = Schemas()
    for one in fitted:
        if not one.tools:  # its patterns are warned of
            continue
        they = f"{named(one.tools)} has no" if len(one.tools) == 1 else "no tool that this block is about has an"
        subject = Subject(one.tools, they)
        yield from arguments.declared(one.written, one.source, subject, schemas)
        typed = one.written.arguments is not None
        for rule in one.block.rules:
            if rule.condition is not None:
                allows = rule.kind == "allow"
                yield from arguments.read(rule.condition, subject, schemas, typed=typed, allows=allows)
    for role in policy.derived:
        subject = Subject(catalogue.tools, "no tool of the catalogue has an")
        yield from arguments.read(role.condition, subject, schemas, typed=False, allows=False)
