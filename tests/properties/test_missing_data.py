"""What a request leaves out never opens a door."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given

from authz.model import Attributes, Client, Effect, Request, Resource
from tests.strategies import RECORD, SHAPES, Policy, build, cases

if TYPE_CHECKING:
    from authz.model import Value

RECORDS = {name for types in SHAPES.values() for name, kind in types.items() if kind == RECORD}


def _smaller(attributes: Attributes, *, is_record: bool = False) -> Iterator[Attributes]:
    """Yield the attributes without one of them, and without one field of one record.

    The entries of a map are not attributes: `size` may count them.
    """
    for name, value in attributes.items():
        yield {other: kept for other, kept in attributes.items() if other != name}
        if isinstance(value, Mapping) and (is_record or name in RECORDS):
            for inner in _smaller(value, is_record=True):
                changed: dict[str, Value] = {**attributes, name: inner}
                yield changed


def _with_less(request: Request) -> Iterator[Request]:
    for smaller in _smaller(request.arguments):
        yield replace(request, arguments=smaller)
    for smaller in _smaller(request.context):
        yield replace(request, context=smaller)
    for smaller in _smaller(request.subject_attributes):
        yield replace(request, subject_attributes=smaller)
    if request.client is not None:
        yield replace(request, client=None)
        yield replace(request, client=Client("", request.client.attributes))
        for smaller in _smaller(request.client.attributes):
            yield replace(request, client=replace(request.client, attributes=smaller))
    if request.resource is not None:
        resource: Resource = request.resource
        yield replace(request, resource=replace(resource, id=""))
        for smaller in _smaller(resource.attributes):
            yield replace(request, resource=replace(resource, attributes=smaller))
    if request.tool_info is not None:
        info = request.tool_info
        yield replace(request, tool_info=replace(info, read_only=None))
        yield replace(request, tool_info=replace(info, destructive=None))
        yield replace(request, tool_info=replace(info, idempotent=None))
        yield replace(request, tool_info=replace(info, open_world=None))
        yield replace(request, tool_info=replace(info, server=""))


@given(cases(hiding=False, count=6))
def test_taking_an_attribute_away_never_turns_deny_into_allow(case: tuple[Policy, list[Request]]) -> None:
    """L51, L52, S26: in a policy that uses neither `has` nor `??`."""
    policy, requests = case
    program = build(policy)
    for request in requests:
        if program.decide(request).effect is Effect.ALLOW:
            continue
        for less in _with_less(request):
            assert program.decide(less).effect is Effect.DENY, f"{policy}\nbefore: {request}\nafter: {less}"
