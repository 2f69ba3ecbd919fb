"""A long search for a list that lies: what it hides must be closed to every call, what it shows may be open."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from authz.model import Client, Effect
from authz.pep.catalogue import Item
from authz.pep.guard import Guard
from authz.pep.identity import Identity
from authz.pep.mapping import Mapping
from authz.pep.pdps.local import LocalPdp
from authz.pep.verdict import Verdict
from tests.reference import reference_decide
from tests.strategies import Policy, build, cases, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.model import Request


class _Catalogue:
    """The tools of some requests."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._items = {request.tool: Item(request.tool, request.tool_info) for request in requests}

    async def tools(self) -> Sequence[Item]:
        return list(self._items.values())

    async def tool(self, name: str) -> Item | None:
        return self._items.get(name)


def _caller(request: Request) -> Identity:
    return Identity(
        "" if request.anonymous else request.subject,
        tuple(request.scopes),
        tuple(request.roles),
        request.tenant,
        request.client.id if request.client is not None else "",
        request.subject_attributes,
    )


@pytest.mark.slow
@settings(max_examples=1_000)
@given(cases(depth=3, count=5))
def test_what_a_list_hides_no_call_opens(case: tuple[Policy, list[Request]]) -> None:
    """L68, threats 2.3 (SpiceDB CVE-2026-55866): for random policies, against the reference evaluator."""
    policy, requests = case
    files, program = parse(policy), build(policy)
    catalogue = _Catalogue(requests)
    guard = Guard(
        pdp=LocalPdp.of(program),
        catalogue=catalogue,
        mapping=Mapping.by(lambda *_: None),
        resource="https://mcp.example",
        knows=lambda _: True,
        list_mode="callable",
        deadline=5.0,
    )
    items = asyncio.run(catalogue.tools())
    for asking in requests:
        identity = _caller(asking)
        shown = asyncio.run(guard.visible("tools/list", items, identity))
        assert not isinstance(shown, Verdict), shown
        for item, seen in zip(items, shown, strict=True):
            for other in requests:
                call = replace(
                    other,
                    subject=identity.subject,
                    anonymous=not identity.subject,
                    scopes=identity.scopes,
                    roles=identity.roles,
                    tenant=identity.tenant,
                    client=Client(identity.client) if identity.client else None,
                    subject_attributes=identity.attributes,
                    tool=item.name,
                    tool_info=item.info,
                    entities={},  # there is no directory, for the list neither
                )
                decision = reference_decide(files, call)
                assert seen or decision.effect is not Effect.ALLOW, f"{policy}\n{call}\n{decision}"
