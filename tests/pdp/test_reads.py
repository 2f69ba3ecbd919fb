"""What a policy reads for a tool, and that sending no more changes no decision."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from authz.lang.validator import validate
from authz.model import Client, Part, Reason, Request, Resource
from authz.pdp.compiler import compile_policy
from authz.pdp.reads import EVERYTHING, MOST_PATHS, ToolReads, project, shortest
from tests.strategies import Policy, build, cases, parse_text

if TYPE_CHECKING:
    from authz.lang.checked import CheckedPolicySet
    from authz.model import Value
    from authz.pdp.reads import Paths


def policy(text: str) -> CheckedPolicySet:
    """Check a policy that is valid."""
    return validate([parse_text("a.authz", text)])


def projected(request: Request, found: ToolReads) -> Request:
    """Return the request as an enforcement point would send it."""
    resource, client = request.resource, request.client
    return replace(
        request,
        arguments=project(request.arguments, found.arguments),
        context=project(request.context, found.context),
        subject_attributes=project(request.subject_attributes, found.subject),
        resource=resource and replace(resource, attributes=project(resource.attributes, found.resource)),
        client=client and replace(client, attributes=project(client.attributes, found.client)),
    )


# --- Which paths ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ('args.path == "x"', ToolReads(True, arguments=(("path",),))),
        ('args.a.b == "x" and args.a.c == "x"', ToolReads(True, arguments=(("a", "b"), ("a", "c")))),
        ('args.a.b == "x" and size(args.a) > 1', ToolReads(True, arguments=(("a",),))),
        ("args has content.text", ToolReads(True, arguments=(("content", "text"),))),
        ('(args.mode ?? "r") == "r"', ToolReads(True, arguments=(("mode",),))),
        ('args.by[subject.id].x == "x"', ToolReads(True, arguments=(("by",),))),
        ('args[context.name] == "x"', ToolReads(True, arguments=EVERYTHING, context=(("name",),))),
        ('args["content type"] == "x"', ToolReads(True, arguments=(("content type",),))),
        ('args.p under "/home/{subject.home}"', ToolReads(True, arguments=(("p",),), subject=(("home",),))),
        ('args.p like "{client.zone}*"', ToolReads(True, arguments=(("p",),), client=(("zone",),))),
        ('subject in "group:eng"', ToolReads(True, subject=(("groups",),))),
        ('"eng" in subject.groups', ToolReads(True, subject=(("groups",),))),
        ('resource in "folder:1"', ToolReads(True)),
        ('resource.owner == subject.id or resource.tags intersects ["a"]',
         ToolReads(True, resource=(("owner",), ("tags",)))),
        ('(if context.mfa == true then args.a else args.b) == "x"',
         ToolReads(True, arguments=(("a",), ("b",)), context=(("mfa",),))),
        ('tenant == "acme" and now > time("2026-01-01T00:00:00Z") and tool.read_only == true', ToolReads(True)),
    ],
)  # fmt: skip
def test_what_a_condition_can_reach_is_read_and_nothing_else(condition: str, found: ToolReads) -> None:
    """Issue 5: what the active policy reads, whatever the form in which it does."""
    text = f'tool "read" {{ allow anyone when {condition} }}\ntool "other" {{ deny when args.secret == "x" }}'
    assert compile_policy(policy(text)).reads.of("read") == found


def test_every_block_counts_that_speaks_of_the_tool_and_no_other() -> None:
    """Issue 5, L20, L21, L24: whatever the type and the tenant; a tool that is excepted is not spoken of."""
    checked = policy(
        """
        tool "read_*" except "read_secret" on "document" { allow anyone when args.a == 1 }
        tool "read_*" on "folder" { deny when args.b == 1 }
        tenant "acme" { tool "*_secret" { deny when args.c == 1 } }
        tool "x" { allow public }
        """
    )
    found = compile_policy(checked).reads
    assert found.of("read_it") == ToolReads(True, arguments=(("a",), ("b",)))
    assert found.of("read_secret") == ToolReads(True, arguments=(("b",), ("c",)))
    assert found.of("x") == ToolReads(True)
    assert found.of("unknown") == ToolReads(False)


ROLES = """
role "owner" when resource.owner == subject.id
role "keeper" extends "plain" when resource.keeper == subject.id
role "fresh" when context.age < 5
role "plain"
tenant "acme" { role "local" when context.local == true }
"""


@pytest.mark.parametrize(
    ("statement", "resource", "context"),
    [
        ('allow role "owner"', (("owner",),), ()),
        ('deny role "keeper"', (("keeper",),), ()),
        ('require role "fresh"', (), (("age",),)),
        ('allow role "plain"', (("keeper",),), ()),
        ('allow role "stranger"', (), ()),
        ('allow anyone when "fresh" in roles', (("keeper",), ("owner",)), (("age",), ("local",))),
        ("allow anyone when size(roles) > 1", (("keeper",), ("owner",)), (("age",), ("local",))),
        ("allow public", (), ()),
    ],
)
def test_a_derived_role_that_may_matter_is_read(statement: str, resource: Paths, context: Paths) -> None:
    """Issue 5, L11, L30: a rule asks for a role, or looks at all that are held."""
    assert compile_policy(policy(f'{ROLES}tool "x" {{ {statement} }}')).reads.of("x") == ToolReads(
        True, resource=resource, context=context
    )


def test_a_reference_is_read_as_an_attribute_and_what_lies_behind_it_is_not() -> None:
    """Issue 5, L12: the directory knows what a reference leads to; the request holds the reference."""
    checked = policy(
        """
        subject { boss: ref<subject>, level: number }
        resource "folder" { keeper: ref<subject> }
        resource "document" { folder: ref<folder> }
        tool "x" on "document" { allow anyone when resource.folder.keeper.level > subject.boss.level }
        """
    )
    assert compile_policy(checked).reads.of("x") == ToolReads(True, resource=(("folder",),), subject=(("boss",),))


def test_too_many_paths_become_fewer_and_shorter() -> None:
    """Issue 5: an answer about one tool is bounded, and what it leaves out is sent rather than missed."""
    assert shortest([("b",), ("a", "c"), ("a",), ("b", "x"), ("ab",)]) == (("a",), ("ab",), ("b",))
    deep = [("a", f"n{index}") for index in range(MOST_PATHS + 1)]
    assert shortest(deep) == (("a",),)
    assert shortest([(f"n{index}",) for index in range(MOST_PATHS + 1)]) == EVERYTHING
    assert shortest([("a",), ()]) == EVERYTHING


# --- Sending no more ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "paths", "left"),
    [
        ({"path": "/a", "content": "secret"}, (("path",),), {"path": "/a"}),
        ({"a": {"b": 1, "c": 2}, "d": 3}, (("a", "b"),), {"a": {"b": 1}}),
        ({"a": {"c": 2}}, (("a", "b"),), {"a": {}}),
        ({"a": [1, 2]}, (("a", "b"),), {"a": [1, 2]}),
        ({"a": None}, (("a", "b"),), {"a": None}),
        ({"a": {"b": {"c": 1}}}, (("a",),), {"a": {"b": {"c": 1}}}),
        ({"a": {"b": 1}, "c": 1}, (("a", "b"), ("a",)), {"a": {"b": 1}}),
        ({"a": {"b": 1, "x": 2}, "c": 1}, (("a",), ("a", "b")), {"a": {"b": 1, "x": 2}}),
        ({"a": 1}, (), {}),
        ({"a": 1}, EVERYTHING, {"a": 1}),
    ],
)
def test_no_more_is_kept_than_the_paths_lead_to(
    attributes: dict[str, Value], paths: Paths, left: dict[str, Value]
) -> None:
    """Issue 5: a file's contents never travel to be decided on; a value of the wrong type stays one."""
    assert project(attributes, paths) == left


ATOMS = (
    'args.a.b == "a"', 'args.a.c == "a"', "args has a.b", '(args.a.b ?? "a") == "a"', '(args.a ?? "a") == "a"',
    "size(args.a) > 1", 'args.a[context.k] == "a"', 'args.a[context.k].b == "a"', 'args[context.k] == "a"',
    'args[client.z] == "a"', '(args.a[context.k] ?? "a") == "a"', 'not args.a[context.k] == "b"',
    'args.p under "/{context.k}"', 'args.p like "{client.z}*"', 'context.k == "a"', '(context.k ?? "b") != "a"',
    'client.z == "a"', 'subject in "group:a"', 'subject.k.b in ["a", "b"]', "resource.o == subject.id",
    "resource.a.b == args.p", 'not resource.a.b == "a"', '(if resource.o == "a" then args.p else context.k) == "a"',
    '"derived0" in roles', '"derived1" in roles', 'not "derived0" in roles',
    "size(roles) == 1", '"base" in roles', "client has z",
)  # fmt: skip
VALUES: tuple[Value, ...] = (
    None, "a", "a", "a", "a", "a", "b", "b", 1, [], ["a"], ["a", "b"], {}, {"b": "a"}, {"b": "b"}, {"c": "a"},
    {"b": "a", "c": "b"}, {"a": {"b": "a"}}, {"a": {"b": "a", "c": "a"}}, {"b": {"b": "a"}}, "/a", "/a/b",
)  # fmt: skip


@st.composite
def close_cases(draw: st.DrawFn) -> tuple[str, list[Request]]:
    """Draw a small policy of which every word counts, and requests whose values are close to what it asks for."""
    atom = st.sampled_from(ATOMS)
    carried = [one for one in ATOMS if "roles" not in one]
    lines = ['role "base"']
    conditions = draw(st.lists(st.sampled_from(carried), max_size=2))
    lines += [f'role "derived{index}" extends "base" when {text}' for index, text in enumerate(conditions)]
    whos = ("anyone", "public", 'scope "s"', 'role "base"', 'role "derived0"')
    lines.append('tool "x" {')
    for _ in range(draw(st.integers(2, 6))):
        kind = draw(st.sampled_from(("allow", "allow", "deny", "require when", "require role")))
        match kind:
            case "require when":
                lines.append(f"  require when {draw(atom)}")
            case "require role":
                lines.append(f'  require role "{draw(st.sampled_from(("base", "derived0")))}"')
            case _:
                lines.append(f"  {kind} {draw(st.sampled_from(whos))} when {draw(atom)}")
    lines += ['  allow "else" anyone', "}"]
    chance = Random(draw(st.integers(0, 2**32)))  # drawing every value by itself would take a hundred times as long
    return "\n".join(lines), [_close_request(chance) for _ in range(25)]


def _close_request(chance: Random) -> Request:
    def attributes() -> dict[str, Value]:
        return {name: chance.choice(VALUES) for name in "abkopz" if chance.random() < 0.6}

    groups = chance.choice(({}, {"groups": ["group:a"]}, {"groups": "group:a"}))
    return Request(
        tool="x",
        subject="a",
        scopes=("s",),
        arguments=attributes(),
        context=attributes(),
        subject_attributes={**attributes(), **groups},
        client=Client("", attributes()),
        resource=Resource("document", attributes=attributes()),
    )


@given(close_cases())
def test_a_request_without_what_is_not_read_gets_the_same_decision(case: tuple[str, list[Request]]) -> None:
    """Issue 5, L51, L52: values of every kind at every place, and `has`, `??` and computed keys among the reads."""
    text, requests = case
    program = compile_policy(policy(text))
    found = program.reads.of("x")
    for whole in requests:
        less = projected(whole, found)
        event("less is sent" if less != whole else "all is sent")
        assert program.decide(less) == program.decide(whole), f"{text}\n{whole}\n{less}"


@given(cases(count=10), st.data())
def test_so_does_a_request_for_any_policy(case: tuple[Policy, list[Request]], data: st.DataObject) -> None:
    """Issue 5: random policies and requests, every type and every declaration among them."""
    random_policy, requests = case
    program = build(random_policy)
    found = program.reads
    extra = data.draw(st.sampled_from(["content", "meta", "x"]))
    for request in requests:
        if not found.of(request.tool).known:
            assert program.decide(request).reason is Reason.UNKNOWN_TOOL
        whole = replace(request, arguments={extra: {"text": "a"}, **request.arguments})
        less = projected(whole, found.of(request.tool))
        event("less is sent" if less != whole else "all is sent")
        assert program.decide(less) == program.decide(whole), f"{random_policy}\n{whole}\n{less}"


PARTS = [frozenset({Part.ARGUMENTS}), frozenset({Part.CONTEXT}), frozenset({Part.RESOURCE}), frozenset(Part)]


@given(cases(count=6), st.sampled_from(PARTS))
def test_so_does_a_request_with_unknown_parts(case: tuple[Policy, list[Request]], unknown: frozenset[Part]) -> None:
    """Issue 5, L68: the questions of a list are cut down as well, their callers' attributes above all."""
    random_policy, requests = case
    program = build(random_policy)
    found = program.reads
    for request in requests:
        resource = request.resource
        whole = replace(
            request,
            unknown=unknown,
            arguments={} if Part.ARGUMENTS in unknown else request.arguments,
            context={} if Part.CONTEXT in unknown else request.context,
            resource=resource and Resource(resource.type) if Part.RESOURCE in unknown else resource,
        )
        less = projected(whole, found.of(request.tool))
        assert program.decide(less) == program.decide(whole), f"{random_policy}\n{whole}\n{less}"
