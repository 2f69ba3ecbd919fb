"""Rules that are asked together say what each of them says by itself, whatever their conditions and the request."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz.model import Request, Resource, Value
from tests.pdp.test_plan import compiled

HEAD = """\
resource "doc" { owner?: string level?: number flag?: bool seen?: time age?: duration addr?: ip tags?: set<string> }
role "self" when resource.owner == subject.id
tool "t" {
"""
ATOMS = (
    'resource.owner == "{s}"', "resource.level == {n}", "resource.level > {n}", "resource.flag == {b}",
    'resource.owner in ["{s}", "{r}"]', "resource.level in {n}..5", 'resource.id == "{s}"', 'subject.id == "{s}"',
    'tenant == "{s}"', 'resource.seen == time("2026-01-0{d}T00:00:00Z")', "resource.age == {d}m",
    'resource.addr == ip("10.0.0.{n}")', 'context.x == "{s}"', "context.x == {n}", 'context.{s} == "{r}"',
    '"{s}" in resource.tags', 'resource.tags == ["{s}", "{r}"]', 'resource.owner like "{s}*"', '"{s}" in scopes',
    '"{s}" in roles', '(if resource.flag then resource.owner else "{s}") == "{r}"', 'lower(resource.owner) == "{s}"',
    "resource.level + {n} == 4", 'resource.owner != "{s}"', 'context.x in ["{s}", "{r}"]',
    'not (resource.owner == "{s}")', 'resource.owner == "{s}" or resource.level == {n}',
)  # fmt: skip
STARTS = (
    "allow {name}", 'allow {name} role "{s}"', 'allow {name} scope "{s}", "{r}"', 'allow {name} role "self"',
    "deny {name}", 'deny {name} role "{s}"', "require",
)  # fmt: skip
SHORT = ("a", "b", "c", "d")
VALUES: st.SearchStrategy[Value] = st.sampled_from(
    [None, *SHORT, "A", 0, 1, 1.0, 2, 4, True, False, [], ["a"], ["a", "b"], {}, "5m", "10.0.0.1"]
)


@st.composite
def policies(draw: st.DrawFn) -> str:
    """Draw a tool block of a few shapes, each of them many times with other constants."""
    lines = []
    for shape in range(draw(st.integers(1, 2))):
        start = draw(st.sampled_from(STARTS))
        atoms = draw(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=3))
        for number in range(draw(st.integers(33, 36))):
            told = {
                "s": draw(st.sampled_from(SHORT)), "r": draw(st.sampled_from(SHORT)), "n": draw(st.integers(0, 4)),
                "d": draw(st.integers(1, 3)), "b": draw(st.sampled_from(("true", "false"))),
                "name": f'"r{shape}-{number}"',
            }  # fmt: skip
            lines.append(f"  {start} when {' and '.join(f'({atom})' for atom in atoms)}".format(**told))
    return "\n".join(lines)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw a request: any attribute may be missing, or of any type."""
    names = ("owner", "level", "flag", "addr", "tags")
    attributes: dict[str, Value] = {name: draw(VALUES) for name in names if draw(st.booleans())}
    attributes["seen"] = draw(st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "never", 1]))
    attributes["age"] = draw(st.sampled_from(["1m", "60s", "2m", 60]))
    resource = draw(st.sampled_from([None, Resource("doc", draw(st.sampled_from(("", *SHORT))), "", attributes)]))
    return Request(
        tool="t",
        subject=draw(st.sampled_from(SHORT)),
        scopes=tuple(draw(st.sets(st.sampled_from(SHORT)))),
        roles=tuple(draw(st.sets(st.sampled_from(SHORT)))),
        tenant=draw(st.sampled_from(("", *SHORT))),
        resource=resource,
        context={name: draw(VALUES) for name in ("x", "a", "b")},
    )


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))  # a policy is dozens of rules
@given(policies(), st.lists(requests(), min_size=1, max_size=5))
def test_rules_in_a_table_say_what_each_says_by_itself(rules: str, asked: list[Request]) -> None:
    """Issue 6, P2; L51: both faces, for what is equal, unknown, missing or of another type."""
    program, _ = compiled(f"{HEAD}{rules}\n}}\n")
    for request in asked:
        plan = program.plan(request)
        for kind in (plan.denies, plan.requirements, plan.scopes, plan.allows):
            assert kind.true(request) == [rule for rule in kind if rule.true(request)], request
            assert kind.not_true(request) == [rule for rule in kind if not rule.true(request)], request
            assert kind.not_false(request) == [rule for rule in kind if not rule.false(request)], request
