"""Trees → CheckedPolicySet: the passes of validation, in order. Nothing else makes one.

Every pass reports all it finds and goes on; if anything was found, `validate` raises at the end.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING, Final, Literal

from authz.errors import PolicyError
from authz.lang import ast, checked
from authz.lang.checked import CheckedPolicySet, Place
from authz.lang.diagnostics import Diagnostic, in_order, near
from authz.lang.expressions import Checker, Scope
from authz.lang.formatter import canonical_text
from authz.lang.limits import DEFAULT_LIMITS, Limits
from authz.lang.symbols import Reporter, Role, Symbols, closures, collect, read_fields
from authz.lang.values import glob
from authz.model import Obligation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from authz.lang.source import Source
    from authz.lang.types import FieldType
    from authz.model import Value

_LIMIT_KEYS: Final = ("subject", "client", "tenant", "tool", "ip")


def validate(
    files: Sequence[tuple[Source, ast.PolicyFile]],
    limits: Limits = DEFAULT_LIMITS,
    found: Iterable[Diagnostic] = (),
) -> CheckedPolicySet:
    """Check a whole policy (L10-L39). `found` is what parsing has reported of it.

    Raises `PolicyError` with every diagnostic, those of parsing included.
    """
    report = Reporter(gaps=any(file.broken for _, file in files))
    report.found += found
    check_identifiers(files, report)
    symbols = collect(files, report)
    scopes = check_scopes(symbols, report)
    roles, derived_holds = check_roles(symbols, report)
    check_groups(symbols, report)
    check_let_cycles(symbols, report)
    check_rule_count(symbols, limits, report)
    used_lets: set[int] = set()
    blocks = [check_block(block, symbols, limits, report, used_lets) for block in symbols.blocks]
    derived = check_derived_roles(symbols, derived_holds, limits, report, used_lets)
    check_unused_lets(symbols, limits, report, used_lets)
    check_labels(symbols, report)
    if report.found:
        raise PolicyError(in_order(report.found))
    return CheckedPolicySet(
        revision(files),
        tuple(blocks),
        tuple(s.patterns for s in symbols.sections),
        derived,
        scopes,
        roles,
        symbols.global_types,
        mentions(symbols),
        tuple(files),
    )


def revision(files: Sequence[tuple[Source, ast.PolicyFile]]) -> str:
    """Digest the canonical text of all files, each after its path (L66)."""
    digest = hashlib.sha256()
    for source, file in sorted(files, key=lambda pair: pair[0].name.encode()):
        text = canonical_text(source, file).encode()
        digest.update(b"%s\0%d\0" % (source.name.encode(), len(text)))
        digest.update(text)
    return digest.hexdigest()


# --- Identifiers ----------------------------------------------------------------------------


def check_identifiers(files: Sequence[tuple[Source, ast.PolicyFile]], report: Reporter) -> None:
    """Refuse names that no request could carry (L1, L60)."""
    for source, file in files:
        for text in _identifiers(file.declarations):
            if text.value.isascii() and text.value.isprintable() and text.value:
                continue
            place = Place(source, text.span)
            if not text.value:
                report.error("empty-name", "this name is empty", place, "write a name, or leave this out")
            elif any(unicodedata.category(c) == "Cc" for c in text.value):
                report.error(
                    "invalid-identifier",
                    "this name holds a control character, so no request can match it",
                    place,
                    "leave the character out",
                )
            elif not unicodedata.is_normalized("NFC", text.value):
                report.error(
                    "invalid-identifier",
                    "this name is not in Unicode normal form NFC, so no request can match it",
                    place,
                    "save it with composed characters",
                )


def _identifiers(declarations: Iterable[ast.Declaration]) -> Iterator[ast.Text]:
    for declaration in declarations:
        match declaration:
            case ast.ScopeDeclaration(name, others) | ast.RoleDeclaration(name, others):
                yield name
                yield from others
            case ast.ShapeDeclaration(_, name) if name is not None:
                yield name
            case ast.GroupDeclaration(_, patterns):
                yield from (p for p in patterns if isinstance(p, ast.Text))
            case ast.TenantBlock(patterns, items):
                yield from (p for p in patterns if p.value)
                yield from _identifiers(items)
            case ast.ToolBlock():
                yield from _block_identifiers(declaration)


def _block_identifiers(block: ast.ToolBlock) -> Iterator[ast.Text]:
    yield from (p for p in (*block.patterns, *block.excepted) if isinstance(p, ast.Text))
    yield from block.types or ()
    for statement in block.statements:
        match statement:
            case ast.Require(_, _, names):
                yield from names
            case ast.Rule(who=ast.Who(names=names), label=label):
                yield from names
                yield from (label,) if label is not None else ()
            case ast.Rule(label=ast.Text() as label):
                yield label


# --- Hierarchies and groups -----------------------------------------------------------------


def check_scopes(symbols: Symbols, report: Reporter) -> Mapping[str, frozenset[str]]:
    """Close the hierarchy of scopes (L10)."""
    edges = {name: tuple(t.value for t in declaration.implies) for name, (declaration, _) in symbols.scopes.items()}

    def on_cycle(cycle: list[str]) -> None:
        declaration, place = symbols.scopes[cycle[0]]
        report.error(
            "cycle",
            f"scope `{cycle[0]}` implies itself{_through(cycle)}",
            place._replace(span=declaration.name.span),
            _BREAK,
        )

    return closures(edges, on_cycle)


_BREAK: Final = "leave out what leads back to the start"


def _through(cycle: list[str]) -> str:
    shown = " → ".join(f"`{name}`" for name in (*cycle[:4], *(["…"] if len(cycle) > 4 else []), cycle[0]))
    return "" if len(cycle) == 1 else f": {shown}"


def check_roles(symbols: Symbols, report: Reporter) -> tuple[Mapping[str, frozenset[str]], dict[int, frozenset[str]]]:
    """Close the hierarchy of plain roles; return it, and what each derived role holds (L11)."""
    plain: dict[str, Role] = {}
    derived: list[Role] = []
    for role in symbols.roles:
        name = role.declaration.name
        first = plain.get(name.value) or next(
            (d for d in derived if d.declaration.name.value == name.value and _overlap(d, role, symbols)), None
        )
        if first is not None:
            report.twice(
                f"role `{name.value}` is declared twice",
                Place(role.place.source, name.span),
                Place(first.place.source, first.declaration.name.span),
            )
        elif role.declaration.when is None:
            clash = next((d for d in derived if d.declaration.name.value == name.value), None)
            if clash is not None:
                report.twice(
                    f"role `{name.value}` is declared twice",
                    Place(role.place.source, name.span),
                    Place(clash.place.source, clash.declaration.name.span),
                )
            plain[name.value] = role
        else:
            derived.append(role)
    conditional = {role.declaration.name.value for role in derived}
    for role in symbols.roles:
        _check_extends(role, plain, conditional, report)
    edges = {name: tuple(t.value for t in role.declaration.extends) for name, role in plain.items()}

    def on_cycle(cycle: list[str]) -> None:
        role = plain[cycle[0]]
        report.error(
            "cycle",
            f"role `{cycle[0]}` extends itself{_through(cycle)}",
            role.place._replace(span=role.declaration.name.span),
            _BREAK,
        )

    roles = closures(edges, on_cycle)
    holds = {
        id(role): frozenset({role.declaration.name.value}).union(
            *(roles.get(t.value, ()) for t in role.declaration.extends)
        )
        for role in derived
    }
    return roles, holds


def _overlap(one: Role, other: Role, symbols: Symbols) -> bool:
    """Say whether one tenant could meet both declarations."""
    if one.section is None or other.section is None or one.section == other.section:
        return True
    patterns, others = symbols.sections[one.section].patterns, symbols.sections[other.section].patterns
    return any(patterns_meet(p, q) for p in patterns for q in others)


def patterns_meet(one: str, other: str) -> bool:
    """Say whether some text matches both patterns."""
    if "*" not in one:
        return glob(other.split("*"), one)
    if "*" not in other:
        return glob(one.split("*"), other)
    head, tail = one.split("*"), other.split("*")
    heads_agree = head[0].startswith(tail[0]) or tail[0].startswith(head[0])
    return heads_agree and (head[-1].endswith(tail[-1]) or tail[-1].endswith(head[-1]))


def _check_extends(role: Role, plain: Mapping[str, Role], conditional: set[str], report: Reporter) -> None:
    for base in role.declaration.extends:
        place = Place(role.place.source, base.span)
        if base.value in conditional:
            report.error(
                "extends-derived-role",
                f"`{base.value}` is a derived role: only its condition gives it",
                place,
                "name both roles where they are asked for",
            )
        elif base.value not in plain:
            report.unless_gaps(
                "unknown-role",
                f"there is no role `{base.value}`",
                place,
                near(base.value, plain) or "declare it with `role`",
            )


def check_groups(symbols: Symbols, report: Reporter) -> None:
    """Refuse cycles of tool groups (L16)."""
    edges = {
        name: tuple(p.name.text for p in declaration.patterns if isinstance(p, ast.GroupReference))
        for name, (declaration, _) in symbols.groups.items()
    }

    def on_cycle(cycle: list[str]) -> None:
        declaration, place = symbols.groups[cycle[0]]
        report.error(
            "cycle",
            f"tool group `{cycle[0]}` contains itself{_through(cycle)}",
            place._replace(span=declaration.name.span),
            _BREAK,
        )
        for name in cycle:
            symbols.groups[name] = (symbols.groups[name][0]._replace(patterns=()), symbols.groups[name][1])

    closures(edges, on_cycle)
    for declaration, place in symbols.groups.values():
        _check_group_names(declaration.patterns, place.source, symbols, report)


def _check_group_names(patterns: Iterable[ast.Pattern], source: Source, symbols: Symbols, report: Reporter) -> None:
    for pattern in patterns:
        if isinstance(pattern, ast.GroupReference) and pattern.name.text not in symbols.groups:
            report.unless_gaps(
                "unknown-group",
                f"there is no tool group `{pattern.name.text}`",
                Place(source, pattern.span),
                near(pattern.name.text, symbols.groups) or "declare it with `tools`",
            )


def _patterns(written: Iterable[ast.Pattern], symbols: Symbols) -> tuple[str, ...]:
    """Put groups in, each once; collect() and check_groups() have refused cycles."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = list(reversed(tuple(written)))
    while waiting:
        pattern = waiting.pop()
        if isinstance(pattern, ast.Text):
            found[pattern.value] = None
        elif pattern.name.text not in seen and pattern.name.text in symbols.groups:
            seen.add(pattern.name.text)
            waiting.extend(reversed(symbols.groups[pattern.name.text][0].patterns))
    return tuple(found)


# --- Lets -----------------------------------------------------------------------------------


def check_let_cycles(symbols: Symbols, report: Reporter) -> None:
    """Refuse `let`s that lead back to themselves (L15)."""
    names = {key: f"{key[0]}\0{key[1]}" for key in symbols.lets}
    edges: dict[str, tuple[str, ...]] = {}
    for (name, section), let in symbols.lets.items():
        used = set(_words(let.declaration.value))
        visible = [k for word in sorted(used) for k in ((word, section), (word, None)) if k in names][: len(used) * 2]
        edges[names[name, section]] = tuple(dict.fromkeys(names[k] for k in visible))
    by_text = {text: key for key, text in names.items()}

    def on_cycle(cycle: list[str]) -> None:
        let = symbols.lets[by_text[cycle[0]]]
        report.error(
            "cycle",
            f"`{let.declaration.name.text}` is defined by itself{_through([by_text[c][0] for c in cycle])}",
            Place(let.source, let.declaration.name.span),
            _BREAK,
        )

    closures(edges, on_cycle)


def _words(node: object) -> Iterator[str]:
    """Yield the roots of all references below a node, those inserted into patterns included by their text."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Reference):
            yield node.root.text
        if isinstance(node, ast.StringLiteral) and "{" in node.value:
            yield from "".join(c if c.isalnum() or c == "_" else " " for c in node.value).split()
        if isinstance(node, tuple) and not isinstance(node, ast.Span):
            waiting.extend(node)


def check_unused_lets(symbols: Symbols, limits: Limits, report: Reporter, used: set[int]) -> None:
    """Check `let`s that nothing uses as if a block without declarations used them (L15)."""
    for (_, section), let in symbols.lets.items():
        if id(let) not in used:
            checker = Checker(symbols, Scope(section, None, tuple(symbols.resources), every=False), limits, report)
            checker.open_lets.append(id(let))
            checker.let(let)
            used.update(checker.lets)


# --- Blocks ---------------------------------------------------------------------------------


def check_rule_count(symbols: Symbols, limits: Limits, report: Reporter) -> None:
    """Refuse more statements than the limit (L6)."""
    count = 0
    for block, source, _ in symbols.blocks:
        count += len(block.statements)
        if count > limits.rules:
            report.error(
                "too-many-rules",
                f"this policy has more than {limits.rules} rules",
                Place(source, block.span),
                "let a rule compare attributes instead of naming each user or resource",
            )
            return


def check_block(
    written: tuple[ast.ToolBlock, Source, int | None],
    symbols: Symbols,
    limits: Limits,
    report: Reporter,
    used_lets: set[int],
) -> checked.Block:
    """Check a tool block and its statements (L20-L23)."""
    block, source, section = written
    _check_group_names((*block.patterns, *block.excepted), source, symbols, report)
    arguments = None if block.arguments is None else read_fields(block.arguments, source, symbols.resources, report)
    checker = Checker(symbols, _scope(block, section, arguments, symbols), limits, report)
    obliged = tuple(
        _obligation(statement.obligation, source, report)
        for statement in block.statements
        if isinstance(statement, ast.Oblige)
    )
    rules = tuple(
        _rule(statement, source, checker, obliged, report)
        for statement in block.statements
        if not isinstance(statement, (ast.Oblige, ast.Limit))
    )
    for statement in block.statements:
        if isinstance(statement, ast.Limit):
            _check_limit(statement, source, report)
    used_lets.update(checker.lets)
    return checked.Block(
        _patterns(block.patterns, symbols),
        _patterns(block.excepted, symbols),
        None if block.types is None else tuple(t.value for t in block.types),
        rules,
        section,
        Place(source, block.span),
    )


def _scope(
    block: ast.ToolBlock, section: int | None, arguments: tuple[FieldType, ...] | None, symbols: Symbols
) -> Scope:
    if block.types is None:
        return Scope(section, arguments, tuple(symbols.resources), every=False)
    patterns = [t.value for t in block.types]
    declared = tuple(t for t in symbols.resources if any(glob(p.split("*"), t) for p in patterns))
    every = all("*" not in p and p in symbols.resources for p in patterns)
    return Scope(section, arguments, declared, every)


def _rule(
    statement: ast.Require | ast.RequireWhen | ast.Rule,
    source: Source,
    checker: Checker,
    obliged: tuple[Obligation, ...],
    report: Reporter,
) -> checked.Rule:
    place = Place(source, statement.span)
    name = f"{source.module}:{source.place(statement.span.start)[0]}"
    match statement:
        case ast.Require(kind, mode, names):
            who = _names(kind, mode, names)
            return checked.Rule(f"require {kind}", name, who, False, None, "", (), place)  # type: ignore[arg-type]
        case ast.RequireWhen(condition):
            return checked.Rule("require when", name, None, False, checker.condition(condition, source), "", (), place)
        case ast.Rule():
            return _allow_or_deny(statement, source, checker, obliged, report)


def _allow_or_deny(
    rule: ast.Rule, source: Source, checker: Checker, obliged: tuple[Obligation, ...], report: Reporter
) -> checked.Rule:
    place = Place(source, rule.span)
    label = rule.label.value if rule.label is not None else source.place(rule.span.start)[0]
    if rule.effect == "allow" and rule.who is None and rule.when is None:
        report.error(
            "allow-without-who",
            "this allow says neither who nor when",
            place,
            "name a role or scope, or write `anyone` or `public`",
        )
    if rule.across and rule.when is None and rule.unless is None:
        report.error(
            "across-without-condition",
            "`across tenants` needs a condition",
            place,
            "say with `when` which resources of other tenants may be reached",
        )
    own = tuple(_obligation(obligation, source, report) for obligation in rule.obligations)
    obligations = _unique((*own, *obliged)) if rule.effect == "allow" else ()
    because = rule.because.value if rule.because is not None else ""
    return checked.Rule(
        rule.effect,
        f"{source.module}:{label}",
        _who(rule),
        rule.across,
        _condition(rule, source, checker),
        because,
        obligations,
        place,
    )


def _who(rule: ast.Rule) -> checked.Names | Literal["anyone", "public"] | None:
    who = rule.who
    if who is None:
        return "anyone" if rule.effect == "allow" else None
    if who.kind in {"anyone", "public"}:
        return "anyone" if who.kind == "anyone" else "public"
    return _names(who.kind, who.mode, who.names)


def _names(kind: str, mode: ast.Mode | None, names: Iterable[ast.Text]) -> checked.Names:
    sorted_names = tuple(sorted({name.value for name in names}))
    if kind == "role":
        return checked.Names("role", mode or "any", sorted_names)
    return checked.Names("scope", mode or "all", sorted_names)


def _condition(rule: ast.Rule, source: Source, checker: Checker) -> checked.Core | None:
    """Join `when` and `unless` (L23)."""
    parts: list[checked.Core] = []
    if rule.when is not None:
        parts.append(checker.condition(rule.when, source))
    if rule.unless is not None:
        place = Place(source, rule.unless.span)
        parts.append(checked.Not(checker.condition(rule.unless, source), place))
    if len(parts) > 1:
        return checked.And(tuple(parts), Place(source, rule.span))
    return parts[0] if parts else None


def _obligation(clause: ast.ObligationClause, source: Source, report: Reporter) -> Obligation:
    parameters: dict[str, Value] = {}
    for parameter in clause.parameters:
        if parameter.name.text in parameters:
            report.error(
                "duplicate-declaration",
                f"`{parameter.name.text}` is given twice",
                Place(source, parameter.name.span),
                "leave one of them out",
            )
        parameters[parameter.name.text] = _literal(parameter.value, source, report)
    return Obligation(clause.name.value, parameters)


def _literal(value: ast.Expr, source: Source, report: Reporter) -> Value:
    match value:
        case ast.StringLiteral(text) | ast.DurationLiteral(text=text):
            return text
        case ast.NumberLiteral(number):
            return number
        case ast.BoolLiteral(truth):
            return truth
        case ast.SetLiteral(items):
            return [_literal(item, source, report) for item in items]
        case _:
            report.error(
                "not-a-literal",
                "an obligation takes literals only",
                Place(source, value.span),
                "write a string, number, bool, duration or set of these",
            )
            return None


def _unique(obligations: Iterable[Obligation]) -> tuple[Obligation, ...]:
    kept: list[Obligation] = []
    for obligation in obligations:
        if obligation not in kept:
            kept.append(obligation)
    return tuple(kept)


def _check_limit(limit: ast.Limit, source: Source, report: Reporter) -> None:
    if not isinstance(limit.calls.value, int) or limit.calls.value < 1:
        report.error(
            "invalid-limit",
            f"`{source.slice(limit.calls.span)}` is no number of calls",
            Place(source, limit.calls.span),
            "a limit counts whole calls, one or more",
        )
    if limit.per.nanoseconds <= 0:
        report.error(
            "invalid-limit",
            f"`{source.slice(limit.per.span)}` is no time to count in",
            Place(source, limit.per.span),
            "the time of a limit is longer than nothing",
        )
    for key in limit.keys:
        if key.text not in _LIMIT_KEYS:
            report.error(
                "invalid-limit",
                f"a limit cannot count by `{key.text}`",
                Place(source, key.span),
                near(key.text, _LIMIT_KEYS) or "the keys are `subject`, `client`, `tenant`, `tool` and `ip`",
            )


def check_derived_roles(
    symbols: Symbols, holds: Mapping[int, frozenset[str]], limits: Limits, report: Reporter, used_lets: set[int]
) -> tuple[checked.DerivedRole, ...]:
    """Check the conditions of derived roles (L11)."""
    derived = []
    for role in symbols.roles:
        if role.declaration.when is None or id(role) not in holds:
            continue
        scope = Scope(role.section, None, tuple(symbols.resources), every=False)
        checker = Checker(symbols, scope, limits, report)
        condition = checker.condition(role.declaration.when, role.place.source)
        used_lets.update(checker.lets)
        derived.append(
            checked.DerivedRole(role.declaration.name.value, holds[id(role)], condition, role.section, role.place)
        )
    return tuple(derived)


def check_labels(symbols: Symbols, report: Reporter) -> None:
    """Refuse two rules of one label in one file (L23)."""
    first: dict[tuple[str, str], Place] = {}
    for block, source, _ in symbols.blocks:
        for statement in block.statements:
            if not isinstance(statement, ast.Rule) or statement.label is None:
                continue
            label = statement.label
            place = Place(source, label.span)
            if (source.name, label.value) in first:
                report.twice(
                    f"the label `{label.value}` is used twice in this file", place, first[source.name, label.value]
                )
            first.setdefault((source.name, label.value), place)


# --- Names that are mentioned ---------------------------------------------------------------


def mentions(symbols: Symbols) -> tuple[checked.Mentions, ...]:
    """Collect the scopes and roles that the global text and each tenant block mention (L30)."""
    found = [(set[str](), set[str]()) for _ in range(len(symbols.sections) + 1)]
    for name, (declaration, _) in symbols.scopes.items():
        found[0][0].update({name, *(t.value for t in declaration.implies)})
    for role in symbols.roles:
        at = 0 if role.section is None else role.section + 1
        found[at][1].update({role.declaration.name.value, *(t.value for t in role.declaration.extends)})
        _mention(role.declaration.when, role.section, symbols, found[at])
    for block, _, section in symbols.blocks:
        at = 0 if section is None else section + 1
        for statement in block.statements:
            _mention(statement, section, symbols, found[at])
    return tuple(checked.Mentions(frozenset(scopes), frozenset(roles)) for scopes, roles in found)


def _mention(node: object, section: int | None, symbols: Symbols, found: tuple[set[str], set[str]]) -> None:
    """Add the names a statement or condition mentions; `let`s count where they are used."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.StringLiteral(value):
                found[0].add(value)
                found[1].add(value)
            case ast.Require(kind, _, names) | ast.Who(kind, _, names):
                found[0 if kind == "scope" else 1].update(name.value for name in names)
            case ast.Rule(who=who, when=when, unless=unless):
                waiting += [who, when, unless]
            case ast.Oblige() | ast.Limit() | ast.Span():
                pass
            case ast.Reference(root, steps):
                let = symbols.lets.get((root.text, section)) or symbols.lets.get((root.text, None))
                if let is not None and id(let) not in seen:
                    seen.add(id(let))
                    waiting.append(let.declaration.value)
                waiting += steps
            case tuple():
                waiting.extend(node)
