"""Every policy of at most two rules from a menu, asked every question there is in a small world.

Most defects show in small examples; here all of them are tried, where random ones would leave gaps.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import pytest

from authz.lang.validator import validate
from authz.model import Reason, Request, Resource
from authz.pdp.compiler import compile_policy
from tests.reference import reference_decide
from tests.strategies import parse_text

WORLD = """\
role "viewer"
role "editor" extends "viewer"
scope "a" implies "b"
"""

MENU = (
    'tool "read" { allow "1" role "viewer" then "log" { n: 1 } }',
    'tool "*" { allow "2" role "editor" across tenants when resource.open }',
    'tool "*" { allow "3" scope "a" oblige "log" }',
    'tool "*" on "document" { allow "4" role "viewer" when resource.open }',
    'tool "*" { allow "5" scope any "a", "b" unless resource.open }',
    'tool "write" { allow "6" anyone when "b" in scopes }',
    'tool "*" { allow "7" when not resource.open or "editor" in roles }',
    'tool "*" { deny "8" when resource.open }',
    'tool "*" except "w*e" { deny "9" role "viewer" }',
    'tool "*" { deny "10" scope "a" unless "editor" in roles }',
    'tool "*" { require role "editor" }',
    'tool "*" on "document" { require scope any "a", "b" }',
    'tool "write" { require scope "b" }',
    'tool "*" { require when resource.open or tenant == "acme" }',
    'tenant "acme" { tool "*" { allow "11" role "viewer" } }',
    'tenant "glo*" { role "editor2" when resource.open tool "*" { deny "12" role "editor2" } }',
)

RESOURCES = (
    None,
    Resource("document", "d1", "acme", {"open": True}),
    Resource("document", "d2", "globex", {"open": False}),
)

REQUESTS = tuple(
    Request(
        tool=tool,
        subject="alice",
        tenant=tenant,
        roles=roles,
        scopes=scopes,
        resource=resource,
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    for tool, tenant, roles, scopes, resource in product(
        ("read", "write"),
        ("acme", "globex"),
        ((), ("viewer",), ("editor",)),
        ((), ("a",), ("b",)),
        RESOURCES,
    )
)


def _reasons(rules: tuple[str, ...]) -> set[Reason]:
    """Compare engine and reference on every request; return the reasons that came up."""
    texts = [WORLD, *rules]
    files = [parse_text(f"f{number}.authz", text) for number, text in enumerate(texts)]
    program = compile_policy(validate(files))
    reasons = set()
    for request in REQUESTS:
        actual, expected = program.decide(request), reference_decide(files, request)
        told = "\n".join([*texts, repr(request)])
        assert (actual.effect, actual.reason, actual.rules) == (expected.effect, expected.reason, expected.rules), told
        assert actual.obligations == expected.obligations, told
        assert actual.required_scopes == expected.required_scopes, told
        assert actual.missing_scopes == expected.missing_scopes, told
        reasons.add(actual.reason)
    return reasons


@pytest.mark.parametrize("first", range(len(MENU)))
def test_engine_agrees_with_the_reference_on_all_small_policies(first: int) -> None:
    """Issue 2, build 3: the engine and the reference agree always; L10-L67."""
    _reasons((MENU[first],))
    for second in MENU[first + 1 :]:
        _reasons((MENU[first], second))


def test_the_small_world_shows_every_reason() -> None:
    """L61: a world that never came to some step would prove nothing about it.

    All its tenants and resources have names, nothing is unknown, and limits are not counted yet (L70).
    """
    seen = {reason for rule in MENU for reason in _reasons((rule,))}
    assert seen == set(Reason) - {Reason.RATE_LIMITED, Reason.TENANT_UNKNOWN, Reason.CONDITIONAL}
