"""Which references a policy follows: what a directory is asked for before a request is decided (L12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from authz.lang import checked
from authz.pdp.codegen import value_of
from authz.pdp.nodes import asked_roles, name_of, nodes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.pdp.codegen import Value
    from authz.pdp.plan import Plan
    from authz.pdp.view import View


class Reference(NamedTuple):
    """One reference that is followed: `path` as the policy writes it, and the attributes read behind it.

    `root` is the name of L30 that it starts from, `target` the type of the entity that it leads to.
    `read` returns the id that a request holds there, None where it holds none.
    """

    path: str
    root: str
    target: str
    attributes: tuple[str, ...]
    read: Value


def references(plan: Plan) -> tuple[Reference, ...]:
    """Return what the rules of a plan and its derived roles follow; what leads to another comes before it."""
    found: dict[object, tuple[checked.Follow, View, set[str]]] = {}
    for node, view in _followed(plan):
        _, _, names = found.setdefault(_identity(node.reference), (node, view, set()))
        if node.keys and isinstance(node.keys[0], str):
            names.add(node.keys[0])
    ordered = sorted(found.values(), key=lambda one: (_depth(one[0]), name_of(one[0].reference)))
    return tuple(_reference(*one) for one in ordered)


def _reference(node: checked.Follow, view: View, names: set[str]) -> Reference:
    path, read = name_of(node.reference), value_of(view, node.reference)
    return Reference(path, _root(node), node.target, tuple(sorted(names)), read)


def _followed(plan: Plan) -> Iterator[tuple[checked.Follow, View]]:
    conditions = [(rule.rule.condition, rule.view) for rule in plan.rules]
    conditions += [(role.condition, plan.view.inner) for role, _, _ in asked_roles(plan)]
    for condition, view in conditions:
        for node in nodes_of(condition):
            if isinstance(node, checked.Follow):
                yield node, view


def _identity(node: checked.Read | checked.Follow) -> object:
    """Return what tells attributes apart, wherever they are read; a computed key is itself at its place."""
    if isinstance(node, checked.Read):
        return node.root, node.keys
    return _identity(node.reference), node.target, node.keys


def _depth(node: checked.Follow) -> int:
    return 1 + (_depth(node.reference) if isinstance(node.reference, checked.Follow) else 0)


def _root(node: checked.Follow) -> str:
    while isinstance(node.reference, checked.Follow):
        node = node.reference
    return node.reference.root
