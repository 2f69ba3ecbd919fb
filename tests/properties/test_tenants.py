"""What one tenant's administrators write is nothing to another tenant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import TenantCase, build, requests, tenant_cases

if TYPE_CHECKING:
    from authz.model import Request


@st.composite
def _cases(draw: st.DrawFn) -> tuple[TenantCase, list[Request]]:
    case = draw(tenant_cases())
    asked = draw(requests(case.one))
    tenants = draw(st.lists(st.sampled_from(case.unaffected), min_size=12, max_size=12))
    return case, [replace(request, tenant=tenant) for request, tenant in zip(asked, tenants, strict=True)]


@given(_cases())
def test_another_tenants_block_changes_nothing(drawn: tuple[TenantCase, list[Request]]) -> None:
    """L24: not the answer, not its reason, rules, message, obligations or scopes."""
    case, asked = drawn
    one, other = build(case.one), build(case.other)
    for request in asked:
        decision = one.decide(request)
        expected = replace(other.decide(request), policy_revision=decision.policy_revision)
        assert decision == expected, f"{case.one}\n=== other\n{case.other}\n{request}"


@given(_cases())
def test_another_tenants_block_cannot_be_seen_in_an_explanation(drawn: tuple[TenantCase, list[Request]]) -> None:
    """L24: "can neither be seen by …"; the trace holds no statement of theirs."""
    case, asked = drawn
    program = build(case.one)
    for request in asked:
        explanation = program.explain(request)
        assert {rule.file for rule in explanation.rules} <= {"main.authz", "acme.authz"}, f"{case.one}\n{request}"
