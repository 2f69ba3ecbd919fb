"""Random directories over the vocabularies of `tests.strategies`, and requests that leave much to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from authz.directory.entities import Entity, Key, Kind
from tests.strategies import GOOD, ROLES, SHAPES, TOOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.model import Request

TENANTS: Final = ("", "acme", "globex", "zeta")


def _attributes(shape: str) -> st.SearchStrategy[dict[str, Any]]:
    kinds = SHAPES[shape]
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(GOOD[kind]) for name, kind in kinds.items()})


_GROUPS: Final = st.lists(st.sampled_from(("eng", "ops", "staff")), max_size=2, unique=True).map(tuple)
_FOLDERS: Final = st.lists(st.sampled_from(("folder:42", "folder:f1", "folder:7")), max_size=2, unique=True).map(tuple)
_HINTS: Final = st.fixed_dictionaries(
    {}, optional={"read_only": st.booleans(), "destructive": st.booleans(), "tags": st.just(["a"])}
)


def entities(tenants: Sequence[str]) -> st.SearchStrategy[list[Entity]]:
    """Draw entries of these tenants; the last of one key counts."""
    tenant = st.sampled_from(tuple(tenants))

    def entry(
        kind: Kind, type_: st.SearchStrategy[str], id_: st.SearchStrategy[str], *rest: st.SearchStrategy[Any]
    ) -> st.SearchStrategy[Entity]:
        return st.builds(Entity, st.builds(Key, st.just(kind), type_, id_, tenant), *rest)

    none, nothing = st.just(""), st.just(dict[str, Any]())
    people = st.sampled_from(("alice", "bob"))
    kinds = (
        entry(Kind.SUBJECT, none, people, _attributes("subject"), _GROUPS),
        entry(Kind.GROUP, none, st.sampled_from(("eng", "ops")), nothing, st.sampled_from(((), ("staff",)))),
        entry(
            Kind.ROLE_BINDING, st.sampled_from(("subject:alice", "group:eng", "group:staff")), st.sampled_from(ROLES)
        ),
        entry(Kind.RESOURCE, st.just("document"), st.just("d1"), _attributes("document"), _FOLDERS),
        entry(Kind.RESOURCE, st.just("folder"), st.sampled_from(("f1", "d1", "42")), _attributes("folder"), _FOLDERS),
        entry(Kind.TOOL, st.sampled_from(("files", "more")), st.sampled_from(TOOLS[:2]), _HINTS),
        entry(Kind.CLIENT, none, st.just("agent"), _attributes("client")),
    )
    return st.lists(st.one_of(*kinds), max_size=14)


@st.composite
def lean(draw: st.DrawFn, request: Request) -> Request:
    """Take away some of what a directory could fill in."""
    bits = draw(st.integers(0, 63))
    resource = request.resource
    if bits & 1:
        request = replace(request, subject_attributes={})
    if bits & 2 and resource is not None:
        resource = replace(resource, attributes={}, ancestors=())
    if bits & 4 and resource is not None:
        resource = replace(resource, tenant="")
    if bits & 8 and request.client is not None:
        request = replace(request, client=replace(request.client, attributes={}))
    if bits & 16:
        request = replace(request, tool_info=None)
    if bits & 32:
        request = replace(request, roles=())
    return replace(request, resource=resource, entities={})
