"""Rules that are asked together, as rows of a table, say what each of them says by itself."""

from __future__ import annotations

import pytest

from authz.model import Reason, Request, Resource
from tests.pdp.test_plan import compiled
from tests.reference import reference_decide

SHAPES = {
    "allow by an attribute": 'allow "a{i}" when resource.owner == "o{i}"',
    "allow by role and attribute": 'allow "a{i}" role "r{m}" when resource.owner == "o{i}"',
    "allow by one role": 'allow "a{i}" role "r" when resource.owner == "o{i}" and resource.level == {m}',
    "allow by scope": 'allow "a{i}" scope "s{m}"',
    "allow by two scopes": 'allow "a{i}" scope "s{m}", "s1" when resource.owner == "o{i}"',
    "allow by derived role": 'allow "a{i}" role "self" when resource.owner == "o{i}"',
    "deny by an attribute": 'deny "a{i}" when resource.owner == "o{i}"',
    "deny unless": 'deny "a{i}" unless resource.level < {i}',
    "require": "require when resource.level != {i}",
    "require a role": 'require role any "r", "r{i}"',
    "require a scope": 'require scope any "s", "s{m}"',
    "truth and numbers": 'allow "a{i}" when resource.flag == {t} and resource.level == {m}',
}
HEAD = (
    'role "self" when resource.owner == subject.id\n'
    'resource "doc" { owner?: string level?: number flag?: bool }\n'
    'tool "t" {\n  allow "anyway" scope "s" when resource.level in 3..4\n'
)
COUNT = 66


@pytest.mark.parametrize("shape", SHAPES)
def test_a_table_of_rules_decides_as_the_rules_do(shape: str) -> None:
    """Issue 6, P2; L51, L61, L67: whichever row it is, and where attributes are missing or of another type."""
    rules = "".join(
        f"  {SHAPES[shape].format(i=i, m=i % 5, t=('true', 'false', '1', '0')[i % 2])}\n" for i in range(COUNT)
    )
    program, files = compiled(f"{HEAD}{rules}}}\n")
    told: list[dict[str, object]] = [{"owner": f"o{i}", "level": i, "flag": bool(i % 2)} for i in (3, 65)]
    for attributes in ({"owner": 3, "level": "3", "flag": 1}, {"owner": "ann", "level": 99}, *told):
        resource = Resource("doc", "d", "", attributes)  # type: ignore[arg-type]  # JSON values
        for scopes in ((), ("s", "s3")):
            for roles in ((), ("r", "r3", "self")):
                request = Request(tool="t", subject="ann", scopes=scopes, roles=roles, resource=resource)
                expected = reference_decide(files, request)
                for _ in range(3):
                    actual = program.decide(request)
                    assert (actual.effect, actual.reason, actual.rules, actual.missing_scopes) == (
                        expected.effect,
                        expected.reason,
                        expected.rules,
                        expected.missing_scopes,
                    ), request


def test_a_scope_that_helps_is_found_among_a_thousand() -> None:
    """Issue 6; L67: scopes that no allow which applies asks for are not tried one after the other."""
    rules = "".join(f'  allow "a{i}" scope "s{i:04}" when resource.owner == "o{i}"\n' for i in range(1000))
    program, _ = compiled(f'tool "t" {{\n{rules}}}\n')
    last = Request(tool="t", subject="ann", resource=Resource("doc", attributes={"owner": "o999"}))
    decision = program.decide(last)
    assert (decision.reason, decision.missing_scopes) == (Reason.INSUFFICIENT_SCOPE, ("s0999",))


def test_a_denial_that_was_kept_is_not_given_to_who_may() -> None:
    """Issue 6; L61, L65: denials are kept by all that they depend on."""
    program, files = compiled(
        'resource "doc" { owner: string }\n'
        'tool "t" on "doc" {\n  require scope "s"\n  allow "own" when resource.owner == subject.id\n'
        '  allow "boss" role "boss"\n  deny "not-eve" when subject.id == "eve"\n}\n'
    )
    docs = [Resource("doc", "d", attributes={"owner": who}) for who in ("ann", "bob")]
    requests = [
        Request(tool="t", subject=subject, scopes=scopes, roles=roles, resource=doc)
        for subject in ("ann", "eve")
        for doc in docs
        for scopes in ((), ("s",), ("other",))
        for roles in ((), ("boss",), ("clerk",))
    ]
    for _ in range(4):
        for request in requests:
            actual, expected = program.decide(request), reference_decide(files, request)
            assert (actual.reason, actual.rules, actual.missing_scopes) == (
                expected.reason,
                expected.rules,
                expected.missing_scopes,
            ), request
