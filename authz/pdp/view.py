"""What the requests of one tenant can see of a policy: its tenant blocks, derived roles and names.

A view is made once for each set of tenant blocks that apply together, so nothing that stands in
another tenant's block is even looked at (L24).
"""

from __future__ import annotations

from functools import cached_property, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from authz.pdp.codegen import RoleTests, Test, condition_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

    from authz.lang.checked import CheckedPolicySet, DerivedRole, Mentions
    from authz.model import Request

    Closures: TypeAlias = Mapping[str, frozenset[str]]


def granted_by(closures: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Turn `name → all it stands for` into `name → all that stand for it`."""
    inverse: dict[str, set[str]] = {}
    for name, reached in closures.items():
        for other in reached:
            inverse.setdefault(other, {other}).add(name)
    return {name: frozenset(names) for name, names in inverse.items()}


class Vocabulary:
    """The scopes and roles of a policy, worked out once for the views of all tenants."""

    def __init__(self, policy: CheckedPolicySet) -> None:
        self.scopes = policy.scopes
        self.roles = policy.roles
        self.known = policy.known
        self.scopes_granted_by = granted_by(policy.scopes)
        self.roles_granted_by = granted_by(policy.roles)
        self._derived: dict[int | None, list[tuple[int, DerivedRole]]] = {}
        for index, role in enumerate(policy.derived):
            self._derived.setdefault(role.section, []).append((index, role))

    def derived(self, sections: frozenset[int]) -> tuple[DerivedRole, ...]:
        """Return the derived roles that count where some tenant blocks do, in the order written."""
        found = list(self._derived.get(None, ()))
        for section in sections:
            found += self._derived.get(section, ())
        return tuple(role for _, role in sorted(found, key=itemgetter(0)))


class View:
    """The scopes and roles of the requests for which the given tenant blocks apply."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        sections: frozenset[int],
        roles: tuple[DerivedRole, ...],
        *,
        derived: bool = True,
    ) -> None:
        """See the global text and `sections`; without `derived`, as a derived role's condition does (L11)."""
        self._vocabulary = vocabulary
        self.sections = sections
        self._known = (vocabulary.known[0], *(vocabulary.known[section + 1] for section in sections))
        self.derived_roles = roles
        self._conditional = frozenset(role.name for role in roles)
        self._with_derived = derived
        self.whos: dict[object, Test] = {}
        """The tests of who a rule speaks of, by that and whether it is an allow; there are as few as the policy has."""
        self.traceable: dict[int, Any] = {}
        """What `explain` keeps of the conditions that it has traced, by their ids; there are only so many."""

    @cached_property
    def derived(self) -> tuple[tuple[DerivedRole, Test, Test], ...]:
        """Return the derived roles with the tests of their conditions."""
        if not self._with_derived or not self.derived_roles:
            return ()
        return tuple((role, *condition_tests(self.inner, role.condition)) for role in self.derived_roles)

    @cached_property
    def inner(self) -> View:
        """Return what the conditions of derived roles see."""
        return View(self._vocabulary, self.sections, self.derived_roles, derived=False)

    def scope_names(self, name: str) -> frozenset[str]:
        """Return the scopes that grant a scope (L10)."""
        return self._vocabulary.scopes_granted_by.get(name, frozenset({name}))

    def role_tests(self, name: str) -> RoleTests:
        """Return how a role can be held (L11): a derived one only by its condition."""
        carried = self._vocabulary.roles_granted_by.get(name, frozenset({name})) - self._conditional
        return RoleTests(carried, tuple((true, false) for role, true, false in self.derived if name in role.holds))

    @cached_property
    def held_scopes(self) -> Callable[[Request], frozenset[str]]:
        """Return what finds `scopes` as a set: those the policy knows, and what they imply (L30).

        It does not lead back to the view, which keeps functions that call it, here and in `held_roles`.
        """
        return partial(_held_scopes, self._known, self._vocabulary.scopes)

    @cached_property
    def held_roles(self) -> Callable[[Request], frozenset[str] | None]:
        """Return what finds `roles` as a set, None when a derived role is unknown (L30)."""
        return partial(_held_roles, self._known, self._vocabulary.roles, self._conditional, self.derived)


def _held_scopes(known: Iterable[Mentions], closures: Closures, request: Request) -> frozenset[str]:
    return _expand((name for name in request.scopes if any(name in part.scopes for part in known)), closures)


def _held_roles(
    known: Iterable[Mentions],
    closures: Closures,
    conditional: frozenset[str],
    derived: Iterable[tuple[DerivedRole, Test, Test]],
    request: Request,
) -> frozenset[str] | None:
    carried = [name for name in request.roles if any(name in part.roles for part in known)]
    held = _expand((name for name in carried if name not in conditional), closures)
    for role, true, false in derived:
        if true(request):
            held |= role.holds
        elif not false(request):
            return None
    return held


def _expand(carried: Iterable[str], closures: Closures) -> frozenset[str]:
    return frozenset().union(*(closures.get(name, frozenset({name})) for name in carried))
