"""What the conditions of a policy are made of: their atoms, what these read, and where it all stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from authz.lang import checked
from authz.lang.types import STRING, Type, set_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from authz.lang.checked import Core, Place
    from authz.pdp.codegen import Test
    from authz.pdp.plan import Plan

STRINGS = set_of(STRING)
Operand: TypeAlias = "checked.Read | checked.Follow | checked.Builtin | checked.Held | checked.Unknown"


def place_of(place: Place) -> tuple[str, int, int]:
    """Return the file, line and column where something stands."""
    return (place.source.path, *place.source.place(place.span.start))


def text_of(place: Place) -> str:
    """Return the text of the policy at a place, its white space made one."""
    return " ".join(place.source.slice(place.span).split())


def atoms_of(condition: Core | None) -> Iterator[Core]:
    """Yield what `and`, `or`, `not` and `if` join in a condition, in the order written."""
    waiting = [condition] if condition is not None else []
    while waiting:
        node = waiting.pop()
        match node:
            case checked.And(items) | checked.Or(items):
                waiting.extend(reversed(items))
            case checked.Not(operand):
                waiting.append(operand)
            case checked.If(test, yes, no):
                waiting.extend((no, yes, test))
            case checked.Const():
                pass
            case _:
                yield node


def nodes_of(node: object) -> Iterator[object]:
    """Yield an expression and all below it, in the order written."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, tuple) and not isinstance(node, (checked.Place, Type)):
            yield node
            children = _ancestors(node) if isinstance(node, checked.InEntity) else node
            waiting.extend(reversed(children))


def _ancestors(node: checked.InEntity) -> tuple[Core, ...]:
    """Return what `resource in …` and `subject in …` look into, and what they look for."""
    if node.root == "resource":
        return (checked.Builtin("resource.ancestors", STRINGS, node.place), node.entities)
    return (checked.Read("subject", ("groups",), STRINGS, node.place), node.entities)


def name_of(node: Operand) -> str:
    """Return what a condition reads, as its path: `resource.folder.owner`."""
    match node:
        case checked.Builtin(name) | checked.Held(name):
            return name
        case checked.Read(root, keys):
            return root + _steps(keys)
        case checked.Follow(reference, _, keys):
            return name_of(reference) + _steps(keys)
        case _:
            return text_of(node.place)


def _steps(keys: Iterable[str | Core]) -> str:
    return "".join(f".{key}" if isinstance(key, str) else f"[{text_of(key.place)}]" for key in keys)


def asked_roles(plan: Plan) -> Iterator[tuple[checked.DerivedRole, Test, Test]]:
    """Yield the derived roles that some rule of the plan asks for, by name or as part of `roles`."""
    asked: set[str] = set()
    for rule in (*plan.denies, *plan.requirements, *plan.allows):
        if isinstance(rule.rule.who, checked.Names) and rule.rule.who.what == "role":
            asked.update(rule.rule.who.names)
        if any(isinstance(node, checked.Held) and node.what == "roles" for node in nodes_of(rule.rule.condition)):
            yield from plan.view.derived
            return
    yield from ((role, true, false) for role, true, false in plan.view.derived if not role.holds.isdisjoint(asked))
