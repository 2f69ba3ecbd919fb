"""Trees → CheckedPolicySet: the passes of validation, in order. Nothing else makes one.

Every pass reports all it finds and goes on; if anything was found, `validate` raises at the end.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from authz.errors import PolicyError
from authz.lang.check.blocks import check_block, check_labels, check_rule_count
from authz.lang.check.hierarchies import check_groups, check_scopes
from authz.lang.check.identifiers import check_identifiers
from authz.lang.check.lets import check_let_cycles, check_unused_lets
from authz.lang.check.mentions import mentions
from authz.lang.check.roles import check_derived_roles, check_roles
from authz.lang.checked import CheckedPolicySet
from authz.lang.diagnostics import Diagnostic, in_order
from authz.lang.formatter import format_policy
from authz.lang.limits import DEFAULT_LIMITS, Limits
from authz.lang.symbols import Reporter, collect

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from authz.lang import ast
    from authz.lang.source import Source


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
        revision=revision(files),
        blocks=tuple(blocks),
        sections=tuple(section.patterns for section in symbols.sections),
        derived=derived,
        scopes=scopes,
        roles=roles,
        global_types=symbols.global_types,
        known=mentions(symbols),
        files=tuple(files),
    )


def revision(files: Sequence[tuple[Source, ast.PolicyFile]]) -> str:
    """Digest the canonical text of all files, each after its path (L66)."""
    digest = hashlib.sha256()
    for source, file in sorted(files, key=lambda pair: pair[0].name.encode()):
        text = format_policy(source, file).encode()
        digest.update(b"%s\0%d\0" % (source.name.encode(), len(text)))
        digest.update(text)
    return digest.hexdigest()
