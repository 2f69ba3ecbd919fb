"""What the requests of one tenant can see of a policy: its tenant blocks, derived roles and names.

A view is made once for each set of tenant blocks that apply together, so nothing that stands in
another tenant's block is even looked at (L24).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from authz.pdp.codegen import RoleTests, Test, condition_tests

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from authz.lang.checked import CheckedPolicySet, DerivedRole
    from authz.model import Request


def granted_by(closures: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Turn `name → all it stands for` into `name → all that stand for it`."""
    inverse: dict[str, set[str]] = {}
    for name, reached in closures.items():
        for other in reached:
            inverse.setdefault(other, {other}).add(name)
    return {name: frozenset(names) for name, names in inverse.items()}


class View:
    """The scopes and roles of the requests for which the given tenant blocks apply."""

    def __init__(self, policy: CheckedPolicySet, sections: frozenset[int], *, derived: bool = True) -> None:
        """See the global text and `sections`; without `derived`, as a derived role's condition does (L11)."""
        self._policy = policy
        self.sections = sections
        mentions = [policy.known[0], *(policy.known[section + 1] for section in sections)]
        self._known_scopes = frozenset().union(*(part.scopes for part in mentions))
        self._known_roles = frozenset().union(*(part.roles for part in mentions))
        self._derived = [role for role in policy.derived if role.section is None or role.section in sections]
        self._conditional = frozenset(role.name for role in self._derived)
        self._with_derived = derived
        self._scopes = granted_by(policy.scopes)
        self._roles = granted_by(policy.roles)
        self.traceable: dict[int, Any] = {}
        """What `explain` keeps of the conditions that it has traced, by their ids; there are only so many."""

    @cached_property
    def derived(self) -> tuple[tuple[DerivedRole, Test, Test], ...]:
        """Return the derived roles with the tests of their conditions."""
        if not self._with_derived or not self._derived:
            return ()
        return tuple((role, *condition_tests(self.inner, role.condition)) for role in self._derived)

    @cached_property
    def inner(self) -> View:
        """Return what the conditions of derived roles see."""
        return View(self._policy, self.sections, derived=False)

    def scope_names(self, name: str) -> frozenset[str]:
        """Return the scopes that grant a scope (L10)."""
        return self._scopes.get(name, frozenset({name}))

    def role_tests(self, name: str) -> RoleTests:
        """Return how a role can be held (L11): a derived one only by its condition."""
        carried = self._roles.get(name, frozenset({name})) - self._conditional
        return RoleTests(carried, tuple((true, false) for role, true, false in self.derived if name in role.holds))

    def held_scopes(self, request: Request) -> frozenset[str]:
        """Return `scopes` as a set: those the policy knows, and what they imply (L30)."""
        return _expand(request.scopes, self._known_scopes, self._policy.scopes)

    def held_roles(self, request: Request) -> frozenset[str] | None:
        """Return `roles` as a set, None when a derived role is unknown (L30)."""
        held = _expand(request.roles, self._known_roles - self._conditional, self._policy.roles)
        for role, true, false in self.derived:
            if true(request):
                held |= role.holds
            elif not false(request):
                return None
        return held


def _expand(carried: Iterable[str], known: frozenset[str], closures: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*(closures.get(name, frozenset({name})) for name in carried if name in known))
