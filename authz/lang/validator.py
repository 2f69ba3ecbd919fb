"""Trees → CheckedPolicySet: the passes of validation, in order. Nothing else makes one.

Every pass reports all it finds and goes on; if anything was found, `validate` raises at the end.
"""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import TYPE_CHECKING

from authz.errors import PolicyError
from authz.lang import ast
from authz.lang.check.blocks import check_block, check_labels, check_rule_count
from authz.lang.check.hierarchies import check_groups, check_scopes
from authz.lang.check.identifiers import check_identifiers
from authz.lang.check.lets import check_let_cycles, check_unused_lets
from authz.lang.check.mentions import block_mentions, mentions
from authz.lang.check.roles import check_derived_roles, check_roles
from authz.lang.checked import CheckedPolicySet, FilePart, Parts
from authz.lang.diagnostics import in_order
from authz.lang.formatter import format_policy
from authz.lang.limits import DEFAULT_LIMITS, Limits
from authz.lang.symbols import Reporter, collect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from authz.lang.diagnostics import Diagnostic
    from authz.lang.source import Source
    from authz.lang.symbols import LetKey, Symbols


def validate(
    files: Sequence[tuple[Source, ast.PolicyFile]],
    limits: Limits = DEFAULT_LIMITS,
    found: Iterable[Diagnostic] = (),
    before: CheckedPolicySet | None = None,
) -> CheckedPolicySet:
    """Check a whole policy (L10-L39). `found` is what parsing has reported of it.

    Blocks of files that are the same in `before`, an earlier version, are not checked again where
    they would come to the same. Raises `PolicyError` with every diagnostic, those of parsing included.
    """
    report = Reporter(gaps=any(file.broken for _, file in files))
    report.found += found
    around = _around(files)
    kept = {} if report.gaps or before is None else _unchanged(files, before.parts, limits, around)
    check_identifiers((pair for pair in files if pair[0].name not in kept), report)
    symbols = collect(files, report)
    scopes = check_scopes(symbols, report)
    roles, derived_holds = check_roles(symbols, report)
    check_groups(symbols, report)
    check_let_cycles(symbols, report)
    check_rule_count(symbols, limits, report)
    written: dict[int, list[tuple[ast.ToolBlock, int | None]]] = {}
    for block, source, section in symbols.blocks:
        written.setdefault(id(source), []).append((block, section))
    parts = [
        kept.get(source.name) or _part(source, tree, written.get(id(source), ()), symbols, limits, report)
        for source, tree in files
    ]
    used_lets = {let for part in parts for let in part.lets}
    derived = check_derived_roles(symbols, derived_holds, limits, report, used_lets)
    check_unused_lets(symbols, limits, report, used_lets)
    if report.found:
        raise PolicyError(in_order(report.found))
    return CheckedPolicySet(
        revision=_revision(parts),
        blocks=tuple(block for part in parts for block in part.blocks),
        sections=tuple(section.patterns for section in symbols.sections),
        derived=derived,
        scopes=scopes,
        roles=roles,
        global_types=symbols.global_types,
        known=mentions(symbols, (part.mentions for part in parts)),
        files=tuple(files),
        parts=Parts(limits, around, {part.source.name: part for part in parts}),
    )


def _part(
    source: Source,
    tree: ast.PolicyFile,
    written: Sequence[tuple[ast.ToolBlock, int | None]],
    symbols: Symbols,
    limits: Limits,
    report: Reporter,
) -> FilePart:
    """Check the tool blocks of one file."""
    lets: set[LetKey] = set()
    blocks = tuple(check_block((block, source, section), symbols, limits, report, lets) for block, section in written)
    check_labels((block for block, _ in written), source, report)
    canonical = b"" if report.found else format_policy(source, tree).encode()
    return FilePart(source, tree, blocks, frozenset(lets), block_mentions(written, symbols), canonical)


def _unchanged(
    files: Sequence[tuple[Source, ast.PolicyFile]], before: Parts, limits: Limits, around: object
) -> Mapping[str, FilePart]:
    """Return the parts of files that would be checked to the same again."""
    if (before.limits, before.around) != (limits, around):
        return {}
    parts = before.files
    return {source.name: part for source, tree in files if (part := parts.get(source.name)) and part.tree is tree}


def _around(files: Sequence[tuple[Source, ast.PolicyFile]]) -> object:
    """Return all that the blocks of a file may refer to beside themselves: the files with other declarations.

    Each file's number of tenant blocks counts too, for a block holds the number of its own.
    """
    found: list[object] = []
    for source, tree in files:
        tenants = [declaration for declaration in tree.declarations if isinstance(declaration, ast.TenantBlock)]
        if tenants:
            found.append((source.name, len(tenants)))
        inside = (item for tenant in tenants for item in tenant.items)
        if not all(isinstance(item, (ast.ToolBlock, ast.TenantBlock)) for item in chain(tree.declarations, inside)):
            found.append(source)
    return found


def _revision(parts: Iterable[FilePart]) -> str:
    """Digest the canonical text of all files, each after its path (L66)."""
    digest = hashlib.sha256()
    for part in sorted(parts, key=lambda part: part.source.name.encode()):
        digest.update(b"%s\0%d\0" % (part.source.name.encode(), len(part.canonical)))
        digest.update(part.canonical)
    return digest.hexdigest()
