"""What a denial of a plan depends on, as a value: requests that agree in it are denied alike.

A list of tools asks for one denial after another, and finding out which scopes would help takes
several evaluations each (L67). With this, one is found out once for all callers who hold the same
scopes and for whom every condition comes to the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from authz.lang import checked
from authz.pdp.codegen import Emitter
from authz.pdp.nodes import asked_roles, atoms_of, nodes_of
from authz.pdp.unknown import Open

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from authz.lang.checked import Core
    from authz.model import Request
    from authz.pdp.plan import Plan

    Signature: TypeAlias = Callable[[Request], tuple[Any, ...]]

_MOST_FACES: Final = 128
_LONGEST: Final = 50_000
"""Characters of the function that a signature is, as in `plan`."""


def signature_of(plan: Plan) -> Signature | None:
    """Return what tells requests apart as far as a plan does, their scopes aside; None where that is too much.

    It is too much, too, where a condition reads scopes together with other things, or a derived role reads them.
    """
    emitter = Emitter(plan.view)
    faces = ["(not q.subject)"]
    for name in _roles(plan):
        faces += [emitter.held_true("roles", name), emitter.held_false("roles", name)]
    for atom in (atom for rule in plan.rules for atom in atoms_of(rule.rule.condition)):
        if isinstance(atom, Open):
            continue
        if not _reads_scopes(atom):
            faces += [emitter.true(atom), emitter.false(atom)]
        elif not _reads_nothing_else(atom):
            return None
        if len(faces) > _MOST_FACES:
            return None
    if any(_reads_scopes(role.condition) for role, _, _ in asked_roles(plan)):
        return None
    if len(faces) > _MOST_FACES or sum(map(len, faces)) > _LONGEST:
        return None
    return cast("Signature", emitter.function(f"({', '.join(faces)},)"))


def _roles(plan: Plan) -> Iterator[str]:
    whos = [rule.rule.who for rule in plan.rules]
    asked = {name for who in whos if isinstance(who, checked.Names) and who.what == "role" for name in who.names}
    yield from sorted(asked)


def _reads_scopes(node: Core) -> bool:
    return any(isinstance(one, checked.Held) and one.what == "scopes" for one in nodes_of(node))


def _reads_nothing_else(node: Core) -> bool:
    return not any(
        isinstance(one, (checked.Read, checked.Follow, checked.Builtin, checked.InEntity))
        or (isinstance(one, checked.Held) and one.what == "roles")
        for one in nodes_of(node)
    )
