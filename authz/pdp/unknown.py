"""Conditions of which parts are not known yet (L68).

An atom that reads an unknown part becomes an `Open` node, which stands for whatever it may come to.
A condition is then read twice: once with all that is open in the caller's favour, for what is
*possible*, and once with nothing certain about it, for what is *sure*. Since evaluation only ever
asks whether something is certainly true or certainly false, and denies what is neither, the first
reading allows whatever some completion allows, and the second denies whatever some completion denies.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, cast

from authz.lang import checked
from authz.lang.ast import Node
from authz.lang.checked import Core, Place
from authz.lang.types import BOOL
from authz.model import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from authz.lang.checked import CheckedPolicySet, DerivedRole, Rule
    from authz.lang.types import Type
    from authz.model import Request

ROOTS: Final = {Part.ARGUMENTS: "args", Part.RESOURCE: "resource", Part.CONTEXT: "context"}
"""What conditions call the parts that may be unknown."""


class Open(Node):
    """An atom that cannot be evaluated yet. `possible` says which of the two readings it stands in."""

    atom: Core
    possible: bool
    type: Type
    place: Place


@dataclass(frozen=True, slots=True)
class Hidden:
    """What of a request is not known.

    `roots` are names of L30. `typed` says that the type of an unknown resource is known all the same.
    `targets` are the entities that known references may lead astray from: where the resource's own
    references lead to the same types, one id may come to mean two entries, and then neither counts (L12).
    `everything` leaves only the tool's name and the scopes known.
    """

    roots: frozenset[str]
    typed: bool = False
    targets: frozenset[str] = field(default_factory=frozenset)
    everything: bool = False
    roles: bool = False
    """Whether some derived role depends on what is not known, so that `roles` is no set that is known."""

    def with_roles(self) -> Hidden:
        """Return the same where some derived role is not known either."""
        return replace(self, roles=True)

    def hides(self, atom: Core) -> bool:
        """Say whether an atom reads anything that is not known."""
        if _asks_for_a_role(atom):  # each role is asked by itself: a derived one by its own condition
            return self.everything
        return any(self._hides(node) for node in _below(atom))

    def _hides(self, node: object) -> bool:
        match node:
            case checked.Read(root):
                return root in self.roots
            case checked.Follow(_, target):
                return target in self.targets
            case checked.Builtin(name):
                return self._hides_builtin(name)
            case checked.InEntity(root):
                return root in self.roots
            case checked.Held("roles"):
                return self.roles
            case _:
                return False

    def _hides_builtin(self, name: str) -> bool:
        if self.everything:
            return name != "tool.name"
        if name == "resource.type":
            return "resource" in self.roots and not self.typed
        return name.startswith("resource.") and "resource" in self.roots


EVERYTHING: Final = Hidden(frozenset({"subject", "client", "resource", "args", "context"}), everything=True, roles=True)
"""All but the scopes."""


def is_hidden(node: Core, request: Request) -> bool:
    """Say whether something that a condition reads is in an unknown part of a request."""
    typed = request.resource is not None and bool(request.resource.type)
    return Hidden(frozenset(ROOTS[part] for part in request.unknown), typed=typed).hides(node)


def hidden(policy: CheckedPolicySet, unknown: frozenset[Part], *, typed: bool) -> Hidden:
    """Return what is not known of requests with some parts unknown; `typed` says that the resource's type is."""
    roots = frozenset(ROOTS[part] for part in unknown)
    targets = frozenset(_targets(policy)) if Part.RESOURCE in unknown else frozenset[str]()
    return Hidden(roots, typed=typed, targets=targets)


def opened(node: Core, what: Hidden, *, possible: bool) -> Core:
    """Return a condition with every atom open that reads what is not known."""
    match node:
        case checked.And(items) | checked.Or(items):
            return node._replace(items=tuple(opened(item, what, possible=possible) for item in items))
        case checked.Not(operand):
            return node._replace(operand=opened(operand, what, possible=possible))
        case checked.If(condition, yes, no, _, place) if what.hides(node):
            # What L50 says that a choice of conditions means, so that its sides are atoms of their own.
            sides = (checked.And((condition, yes), place), checked.And((checked.Not(condition, place), no), place))
            return opened(checked.Or(sides, place), what, possible=possible)
        case _:
            return _open(node, possible=possible) if what.hides(node) else node


def _open(atom: Core, *, possible: bool) -> Core:
    return cast("Core", Open(atom, possible, BOOL, atom.place))  # only code generation meets it, and knows it


def opened_rule(rule: Rule, what: Hidden, *, possible: bool) -> Rule:
    """Return a rule with its condition open where it reads what is not known, and its WHO where roles are not."""
    condition = opened(rule.condition, what, possible=possible) if rule.condition is not None else None
    if what.everything and isinstance(rule.who, checked.Names) and rule.who.what == "role":
        asked = _open(checked.Const(value=True, type=BOOL, place=rule.place), possible=possible)
        joined = asked if condition is None else checked.And((asked, condition), rule.place)
        return rule._replace(who="anyone" if rule.kind == "allow" else None, condition=joined)
    return rule._replace(condition=condition)


def opened_roles(roles: Iterable[DerivedRole], what: Hidden, *, possible: bool) -> tuple[DerivedRole, ...]:
    """Return derived roles with their conditions open where they read what is not known."""
    inside = replace(what, roles=what.everything)  # in such a condition `roles` holds no derived ones (L11)
    return tuple(role._replace(condition=opened(role.condition, inside, possible=possible)) for role in roles)


def is_open(node: object) -> bool:
    """Say whether any part of a condition is open."""
    return any(isinstance(one, Open) for one in _below(node))


def parts_read(condition: object) -> frozenset[Part]:
    """Return the parts that a condition's open atoms read."""
    read = {root for one in _below(condition) if isinstance(one, Open) for root in _roots(one.atom)}
    return frozenset(part for part, root in ROOTS.items() if root in read)


def _roots(atom: Core) -> Iterator[str]:
    for node in _below(atom):
        match node:
            case checked.Read(root) | checked.InEntity(root):
                yield root
            case checked.Builtin(name):
                yield name.partition(".")[0]


def _asks_for_a_role(atom: Core) -> bool:
    match atom:
        case checked.InSet(checked.Const(value=str()), checked.Held("roles")):
            return True
        case _:
            return False


def _targets(policy: CheckedPolicySet) -> Iterator[str]:
    """Yield what references of the resource lead to."""
    conditions = [rule.condition for block in policy.blocks for rule in block.rules]
    conditions += [role.condition for role in policy.derived]
    for node in _below(tuple(conditions)):
        if isinstance(node, checked.Follow) and "resource" in _roots(node):
            yield node.target


def _below(node: object) -> Iterator[object]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, tuple) and not isinstance(node, Place):
            yield node
            waiting.extend(node)
