"""Every rule and condition of a policy, for coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from authz.pdp.nodes import atoms_of, place_of, text_of

if TYPE_CHECKING:
    from authz.lang.checked import CheckedPolicySet, Core, Place


class ConditionOutline(NamedTuple):
    """One atom of a condition, and where it stands."""

    text: str
    file: str
    line: int
    column: int


class RuleOutline(NamedTuple):
    """One statement of the policy, and the atoms of its condition."""

    name: str
    kind: str
    file: str
    line: int
    column: int
    conditions: tuple[ConditionOutline, ...]


def outline(policy: CheckedPolicySet) -> tuple[RuleOutline, ...]:
    """List every statement of a policy and every atom of its conditions, derived roles included."""
    statements: list[tuple[str, str, Place, Core | None]] = [
        (rule.name, rule.kind, rule.place, rule.condition) for block in policy.blocks for rule in block.rules
    ]
    statements += [(role.name, "derived role", role.place, role.condition) for role in policy.derived]
    return tuple(
        RuleOutline(name, kind, *place_of(place), tuple(_outline_atom(atom) for atom in atoms_of(condition)))
        for name, kind, place, condition in statements
    )


def _outline_atom(atom: Core) -> ConditionOutline:
    return ConditionOutline(text_of(atom.place), *place_of(atom.place))
