"""Direct checks of the reference evaluator, each against the statement of docs/language.md it shows.

The engine is compared with the reference elsewhere; here the reference is compared with the page.
"""

# ruff: noqa: ANN401, FBT001  (a request's values are of any type, and an outcome is one of three)
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from authz.lang.parser import parse_policy
from authz.lang.source import Source
from authz.model import Client, Effect, Obligation, Reason, Request, Resource, ToolInfo
from tests.reference import ReferenceResult, reference_decide

T, F, U = True, False, None
MONDAY = datetime(2026, 1, 5, 23, 30, tzinfo=UTC)


def ask(policy: str | dict[str, str], **request: Any) -> ReferenceResult:
    """Decide a request about tool `t` by `alice`, unless it says otherwise."""
    files = []
    for name, text in (policy if isinstance(policy, dict) else {"p.authz": policy}).items():
        source = Source(name, text)
        file, diagnostics = parse_policy(source)
        assert diagnostics == ()
        files.append((source, file))
    request = {"tool": "t", "subject": "" if request.get("anonymous") else "alice", "now": MONDAY, **request}
    return reference_decide(files, Request(**request))


def truth(condition: str, declared: str = "", head: str = 'tool "t"', **request: Any) -> bool | None:
    """Return what a condition comes to: ALLOW, NO_ALLOW and INDETERMINATE tell the three values apart (L61)."""
    result = ask(f"{declared}\n{head} {{ allow public when {condition} }}", **request)
    return {Reason.ALLOWED: T, Reason.NO_ALLOW: F, Reason.INDETERMINATE: U}[result.reason]


def doc(**attributes: Any) -> Resource:
    """Return a document without a tenant."""
    return Resource("document", "d1", attributes=attributes)


# --- Text and declarations (sections 1 and 2) -----------------------------------------------


def test_a_policy_is_the_union_of_its_files() -> None:
    """L1, L23, L65: what one file allows another may deny, in whatever order they come."""
    files = {"a/b.authz": 'tool "t" { allow public }', "c.authz": 'tool "t" { deny "no" }'}
    assert ask(files) == ask(dict(reversed(files.items())))
    assert ask(files).rules == ("c:no",)
    assert ask({"a/b.authz": files["a/b.authz"]}).rules == ("a/b:1",)


def test_scopes_imply_transitively() -> None:
    """L10: whoever holds S holds T."""
    policy = 'scope "a" implies "b" scope "b" implies "c" tool "t" { allow scope "c" }'
    assert ask(policy, scopes=["a"]).effect is Effect.ALLOW
    assert ask(policy, scopes=["c"]).effect is Effect.ALLOW
    assert ask('scope "a" implies "b" tool "t" { allow scope "a" }', scopes=["b"]).effect is Effect.DENY


def test_roles_extend_transitively() -> None:
    """L11: whoever holds R holds Q."""
    policy = 'role "c" role "b" extends "c" role "a" extends "b" tool "t" { allow role "c" }'
    assert ask(policy, roles=["a"]).effect is Effect.ALLOW
    assert ask(policy, roles=["d"]).reason is Reason.NO_ALLOW


DERIVED = """
role "viewer"
role "owner" extends "viewer" when resource.owner == subject.id
"""


def test_a_derived_role_is_held_when_its_condition_is_true() -> None:
    """L11, L51: carrying its name does not help, it extends as others do, and it may be unknown."""
    policy = DERIVED + 'tool "t" { allow role "viewer" }'
    assert ask(policy, resource=doc(owner="alice")).effect is Effect.ALLOW
    assert ask(policy, resource=doc(owner="bob"), roles=["owner"]).reason is Reason.NO_ALLOW
    assert ask(policy, resource=doc()).reason is Reason.INDETERMINATE
    assert ask(policy, resource=doc(), roles=["viewer"]).effect is Effect.ALLOW


def test_roles_inside_a_derived_role_are_the_carried_ones() -> None:
    """L11: one derived role cannot see another."""
    declared = 'role "viewer" role "x" when "a" == "a" role "y" when "x" in roles role "z" when "viewer" in roles'
    assert truth('"x" in roles and "z" in roles and not ("y" in roles)', declared, roles=["viewer"]) is T


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (2**53, T), (-(2**53), T), (2**53 + 1, U), (1e15, T), (1e300, U), (0.1, T), (1.0001, T), (1.00001, U),
        (899_999_999_999.5, T), (900_000_000_000.5, U), (600_000_000_000.0001, T),
        (600_000_000_000.0002, U), ("1", U), (True, U), (None, U),
    ],
)  # fmt: skip
def test_a_number_is_exact_or_of_the_wrong_type(number: Any, outcome: bool | None) -> None:
    """L12, L14: ±2^53, four fractional digits within ±9·10^11, and nothing is coerced."""
    assert truth("args.n == args.n", arguments={"n": number}, head='tool "t" (n: number)') is outcome


def test_the_decimal_meant_is_the_one_compared() -> None:
    """L12, L31: no binary rounding shows."""
    assert truth("args.n + 0.2 == 0.3", arguments={"n": 0.1}) is T


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("2026-01-05T23:30:00Z", T), ("2026-01-06T00:30:00.000000000+01:00", T), ("2026-01-05T23:30:00.000000001Z", F),
        ("2026-01-05T23:30:00", U), ("2026-01-05", U), ("2026-02-30T00:00:00Z", U), ("0000-01-01T00:00:00Z", U),
        ("2026-01-05T23:30:00.0000000001Z", U), ("0001-01-01T00:00:00+01:00", U), ("2026-01-05T23:30:00+24:00", U),
        (1, U),
    ],
)  # fmt: skip
def test_a_time_is_rfc_3339_with_an_offset(text: Any, outcome: bool | None) -> None:
    """L12: up to nine fractional digits, years 0001-9999; RFC 3339 section 5.6."""
    assert truth("context.at == now", "context { at: time }", context={"at": text}) is outcome


@pytest.mark.parametrize(
    ("type_", "value", "condition", "outcome"),
    [
        ("duration", "15m", "args.v == 900s", T),
        ("duration", "1.5h", "args.v == 900s", U),
        ("duration", "3660001d", "args.v == args.v", U),
        ("ip", "10.1.2.3", 'args.v in cidr("10.0.0.0/8")', T),
        ("ip", "::ffff:10.1.2.3", 'args.v in cidr("10.0.0.0/8") and args.v == ip("10.1.2.3")', T),
        ("ip", "fe80::1%eth0", 'args.v == ip("fe80::1")', U),
        ("ip", "10.1.2.03", 'args.v in cidr("10.0.0.0/8")', U),
        ('"a" | "b"', "c", 'args.v == "a"', U),
        ("set<string>", ["a", "b", "a"], 'args.v == ["b", "a"]', T),
        ("set<string>", ["a", 1], '"a" in args.v', U),
        ("set<string>", ["a", None], '"a" in args.v', U),
        ("set<string>", "a", '"a" in args.v', U),
        ("map<number>", {"k": 1}, 'args.v["k"] == 1', T),
        ("map<number>", {"k": "1"}, 'args.v["k"] == 1', U),
        ("{ a: { b: bool } }", {"a": {"b": True}}, "args.v.a.b", T),
        ("{ a: { b: bool } }", {"a": True}, "args.v.a.b ?? true", U),
        ("ref<folder>", "f1", 'args.v == "f1" and args.v.id == "f1"', T),
        ("ref<folder>", "f1", 'args.v.owner == "alice"', U),
    ],
)
def test_a_declared_type_says_how_a_value_is_read(type_: str, value: Any, condition: str, outcome: bool | None) -> None:
    """L12, L14: one table line for each kind of type."""
    assert truth(condition, head=f'tool "t" (v: {type_})', arguments={"v": value}) is outcome


@pytest.mark.parametrize(
    ("value", "condition", "outcome"),
    [
        (1, 'args.v == "1"', U), (True, "args.v == 1", U), (1.0, "args.v == 1", T), ([1, True], "1 in args.v", U),
        ([], '"a" in args.v', F), ([[1], ["a"]], "size(args.v) == 2", U), ([[1], [2], [1]], "size(args.v) == 2", T),
        ({"a": 1}, "args.v == args.v", U), ("10.0.0.1", 'args.v == ip("10.0.0.1")', U), ("15m", "args.v == 15m", U),
        ({"a": None}, "args.v.a ?? 1 == 1", T), ({}, "args.v[subject.id] == 1", U),
        ({"alice": 1}, "args.v[subject.id] == 1", T),
    ],
)  # fmt: skip
def test_an_undeclared_attribute_is_what_its_json_says(value: Any, condition: str, outcome: bool | None) -> None:
    """L12, L13, L32: dynamic values are checked when they are compared."""
    assert truth(condition, arguments={"v": value}) is outcome


def test_built_in_names_cannot_be_sent_as_attributes() -> None:
    """L12: `id`, `type` and `tenant` among the attributes are ignored; `groups` is where groups come from."""
    resource = Resource("document", "d1", "", {"type": "x", "id": "x", "tenant": "x", "ancestors": ["x:1"]})
    sent = {"id": "bob", "groups": ["eng"]}
    condition = (
        'resource.type == "document" and resource["id"] == "d1" and resource.tenant == "" and subject.id == "alice" '
        'and "eng" in subject.groups and size(resource.ancestors) == 0 and client.id == "c"'
    )
    client = Client("c", {"id": "x"})
    assert truth(condition, resource=resource, subject_attributes=sent, client=client) is T


def test_an_attribute_has_its_declared_type_wherever_the_condition_may_meet_it() -> None:
    """L13: after `on` only the types it names count; elsewhere all declared ones do."""
    declared = 'resource "document" { at: time } resource "folder" { size: number }'
    folder = Resource("folder", "f", "", {"at": "2026-01-05T23:30:00Z"})
    assert truth("resource.at == now", declared, resource=folder) is T
    assert truth("resource.at == now", declared, head='tool "t" on "photo"', resource=Resource("photo", "", "")) is U
    assert (
        truth(
            'resource.at == "x"', declared, head='tool "t" on "photo"', resource=Resource("photo", "", "", {"at": "x"})
        )
        is T
    )


def test_a_let_means_what_its_text_would_mean_where_it_is_used() -> None:
    """L15: the same let reads a time in one block and text in another."""
    policy = """
    let late = args.at == now
    let folder = resource.folder
    let inner = folder.name
    tool "t" (at: time) { allow "typed" when late and inner == "x" }
    tool "t" { allow "dynamic" when late }
    """
    sent = {"at": "2026-01-05T23:30:00Z"}
    assert ask(policy, arguments=sent, resource=doc(folder={"name": "x"})).rules == ("p:typed",)
    assert ask(policy, arguments=sent, resource=doc(folder={"name": "y"})).rules == ("p:dynamic",)


def test_tool_groups_hold_patterns_and_groups() -> None:
    """L16, L20: `except` takes groups too."""
    policy = 'tools a = "read_*" tools b = @a, "list" tool @b except "read_x*" { allow public }'
    assert ask(policy, tool="read_").effect is Effect.ALLOW
    assert ask(policy, tool="list").effect is Effect.ALLOW
    assert ask(policy, tool="read_xy").reason is Reason.UNKNOWN_TOOL


# --- Tool blocks (section 3) ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "tool", "matches"),
    [
        ("*", "t", T), ("a*a", "a", F), ("a*a", "aa", T), ("a*b*c", "abbc", T), ("a*b*c", "acb", F), ("A", "a", F),
        ("a.c", "abc", F), ("a", "*", F), ("*b*", "ab", T), ("a**", "a", T), ("a*b", "a\u2028b", T),
    ],
)  # fmt: skip
def test_a_star_stands_for_any_run_and_nothing_else_is_special(pattern: str, tool: str, matches: bool) -> None:
    """L20: whole name, case-sensitive; a `*` in a request is the character."""
    result = ask(f'tool "{pattern}" {{ allow public }}', tool=tool)
    assert result.reason is (Reason.ALLOWED if matches else Reason.UNKNOWN_TOOL)


def test_on_asks_for_a_resource_of_that_type() -> None:
    """L21, L61 step 1: a block that names a type applies to no request without a resource."""
    policy = 'tool "t" on "doc*" { allow public }'
    assert ask(policy, resource=doc()).effect is Effect.ALLOW
    assert ask(policy).reason is Reason.NO_APPLICABLE_RULE
    assert ask(policy, resource=Resource("folder")).reason is Reason.NO_APPLICABLE_RULE
    assert ask(policy, tool="u").reason is Reason.UNKNOWN_TOOL


@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        ('role "a", "b"', T), ('role all "a", "b"', F), ('scope "s", "u"', F), ('scope any "s", "u"', T),
        ("anyone", T), ("public", T), ('role any "b"', F), ('role all "a"', T),
    ],
)  # fmt: skip
def test_roles_mean_any_and_scopes_mean_all_unless_said(who: str, allowed: bool) -> None:
    """L22: WHO."""
    result = ask(f'tool "t" {{ allow {who} when not (scopes == ["u"]) }}', roles=["a"], scopes=["s"])
    assert (result.effect is Effect.ALLOW) is allowed


def test_an_anonymous_caller_satisfies_public_and_no_other_who_of_an_allow() -> None:
    """L22: not even a role or scope that it carries."""
    for who in ("anyone", 'role "a"', 'scope "s"', "when true"):
        denied = ask(f'tool "t" {{ allow {who} }}', anonymous=True, roles=["a"], scopes=["s"])
        assert (denied.effect, denied.reason) == (Effect.DENY, Reason.NO_ALLOW)
    assert ask('tool "t" { allow public }', anonymous=True).effect is Effect.ALLOW


def test_a_deny_compares_its_lists_with_what_is_carried() -> None:
    """L22: whoever the caller is; without WHO it speaks of every caller, `anyone` of the authenticated."""
    public = 'tool "t" { allow public deny %s }'
    assert ask(public % 'role "a"', anonymous=True, roles=["a"]).reason is Reason.EXPLICIT_DENY
    assert ask(public % "when true", anonymous=True).reason is Reason.EXPLICIT_DENY
    assert ask(public % "anyone", anonymous=True).effect is Effect.ALLOW
    assert ask(public % "anyone").reason is Reason.EXPLICIT_DENY


def test_unless_is_when_not() -> None:
    """L23, L51: an unknown `unless` keeps an allow from applying and lets a deny apply."""
    assert ask('tool "t" { allow public unless args.off }', arguments={"off": False}).effect is Effect.ALLOW
    assert ask('tool "t" { allow public unless args.off }').reason is Reason.INDETERMINATE
    unsure = ask('tool "t" { allow public deny "d" unless args.off }')
    assert (unsure.reason, unsure.rules) == (Reason.INDETERMINATE, ("p:d",))


def test_what_stands_in_a_tenant_block_exists_for_its_tenants_only() -> None:
    """L24, L30: rules, derived roles, lets and the names that make a scope known."""
    policy = """
    let a = true
    role "r" when false
    tool "t" { allow public when size(scopes) == 0 }
    tenant "ac*" {
      let b = a
      role "boss" when subject.id == "alice"
      tool "t" { deny role "boss" when b and "x" != "s" }
    }
    """
    assert ask(policy, tenant="acme").reason is Reason.EXPLICIT_DENY
    assert ask(policy, tenant="globex", scopes=["s"], roles=["boss"]).effect is Effect.ALLOW
    assert ask(policy, tenant="acme", subject="bob", scopes=["s"]).reason is Reason.NO_ALLOW


def test_an_empty_policy_denies_everything() -> None:
    """L25."""
    assert ask("").reason is Reason.UNKNOWN_TOOL


# --- Conditions (section 4) -----------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["client.id", "client.kind", "resource.id", "resource.type", "resource.tenant", "resource.ancestors",
     "tool.server", "tool.tags", "tool.read_only", "subject.groups", "subject.rank", "args.x", "context.x"],
)  # fmt: skip
def test_what_a_request_does_not_say_is_missing(name: str) -> None:
    """L30, L37: missing makes an atom unknown and `has` false."""
    root, attribute = name.split(".")
    assert truth(f"{name} == {name}") is U
    assert truth(f"not ({root} has {attribute})") is T


def test_empty_ids_and_hints_that_are_not_given_are_missing() -> None:
    """L30: but `tenant` and `resource.tenant` may be empty strings, `ancestors` and `tags` empty sets."""
    request: dict[str, Any] = {"resource": Resource(), "client": Client(), "tool_info": ToolInfo(destructive=False)}
    present = 'resource has tenant and tenant == "" and size(resource.ancestors) == 0 and size(tool.tags) == 0'
    absent = "client has id or resource has id or resource has type or tool has server or tool has read_only"
    assert truth(f'{present} and not ({absent}) and not tool.destructive and tool.name == "t"', **request) is T
    assert truth('subject.id == ""', anonymous=True) is U


def test_scopes_and_roles_hold_only_what_the_policy_mentions() -> None:
    """L30, L65: in a declaration, a rule, or as a string anywhere in a condition; hierarchy included."""
    declared = 'scope "a" implies "b" role "r" let s = "c"'
    condition = 'size(scopes) == 3 and size(roles) == 1 and not (s == "x")'
    assert truth(condition, declared, scopes=["a", "c", "zz", "c"], roles=["r", "yy"]) is T


def test_a_role_is_unknown_only_where_an_unknown_derived_role_could_give_it() -> None:
    """L30: any other use of `roles` is unknown when any derived role is."""
    declared = 'role "q" role "r" role "d" extends "q" when args.missing'
    assert truth('"q" in roles', declared) is U
    assert truth('"q" in roles', declared, roles=["q"]) is T
    assert truth('"r" in roles', declared) is F
    assert truth('"r" not in roles', declared) is T
    assert truth('["r"] subset of roles', declared, roles=["r"]) is U
    assert truth("size(roles) == 0", 'role "q" role "d" extends "q" when false') is T


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ("1 < 2 and 2 <= 2 and 3 > 2 and not (2 >= 3)", T),
        ("5 in 1..5 and 1 in 1..5 and 6 not in 1..5", T),
        ("now - 15m < now", T),
        ("now - (now - 90s) == 1500ms + 88500ms", T),
        ("args.text < args.text", U),
        ("now + args.text == now", U),
        ("9007199254740992 + args.one == 1", U),
        ("900000000000 + 0.5 == args.one", U),
        ("now + 3660000d > now", U),
        ("3660000d + 1ms > 0s", U),
        ("10 - 3 - 2 == 5", T),
        ("args.one in args.one..args.missing", U),
        ("if args.one == 1 then false else true", F),
        ("args.t or args.missing", T),
        ("not args.t and args.missing", F),
        ("not args.missing", U),
        ("args.one", U),
        ("(args.one == 1) == true", T),
        ("(args.one == args.missing) == true", U),
    ],
)
def test_operators_take_what_they_are_for(condition: str, outcome: bool | None) -> None:
    """L31, L50: kinds, ranges, results out of range, and Kleene's logic."""
    assert truth(condition, arguments={"one": 1, "text": "a", "t": True}) is outcome


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ('"a" in ["a", "b"]', T),
        ("1 in args.names", U),
        ("1 in args.empty", F),
        ("args.missing in args.empty", U),
        ('["a"] subset of args.names', T),
        ("args.empty subset of args.names", T),
        ("[1] subset of args.names", U),
        ("[1] subset of args.empty", F),
        ("[1] intersects args.names", U),
        ("[1] intersects args.empty", F),
        ('["b", "z"] intersects args.names', T),
        ("args.names == args.empty", F),
        ("args.names == [1]", U),
        ("args.objects == args.objects", U),
        ("size(args.objects) == 2", T),
    ],
)
def test_sets_compare_with_sets_of_their_kind(condition: str, outcome: bool | None) -> None:
    """L32, L33: unlike elements are unknown, an empty set is of every kind."""
    sent = {"names": ["a", "b"], "empty": [], "objects": [{"a": 1}, {"a": 2}, {"a": 1.0, "b": None}]}
    assert truth(condition, arguments=sent) is outcome


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ('resource in "folder:1"', T), ('resource in ["folder:9", "folder:1"]', T), ('resource in "document:d1"', F),
        ('resource not in "folder:9"', T), ('resource in "folder"', F), ("resource in args.missing", U),
        ('subject in "group:eng"', T), ('subject in "group:ops"', T), ('subject in "eng"', F),
        ('subject in "team:eng"', F),
        ('subject in ["group:x", "group:ops"]', T), ('"eng" in subject.groups', T), ('"ops" in subject.groups', F),
    ],
)  # fmt: skip
def test_an_entity_is_in_its_ancestors(condition: str, outcome: bool | None) -> None:
    """L33: groups with or without `group:` in front; an entity is not its own ancestor."""
    resource = Resource("document", "d1", "", {}, ["folder:1", "folder:0"])
    assert truth(condition, resource=resource, subject_attributes={"groups": ["eng", "group:ops"]}) is outcome


def test_an_entity_whose_ancestors_are_not_known_is_unknown() -> None:
    """L33, L50: no resource, no groups."""
    assert truth('resource in "folder:1"') is U
    assert truth('subject in "group:eng"') is U
    assert truth('subject in "group:eng"', subject_attributes={"groups": "eng"}) is U


@pytest.mark.parametrize(
    ("text", "pattern", "outcome"),
    [
        ("a/b\nc", "a*c", T), ("abc", "b", F), ("x*y", "x{args.star}y", T), ("xzy", "x{args.star}y", F),
        ("a{b}", "a{{b}}", T), ("a", "{args.missing}", U), ("1", "{args.one}", U), (1, "*", U), ("", "*", T),
        ("alice-1", "{subject.id}-*", T),
    ],
)  # fmt: skip
def test_like_matches_the_whole_string_and_inserts_literally(text: Any, pattern: str, outcome: bool | None) -> None:
    """L34."""
    sent = {"text": text, "star": "*", "one": 1}
    assert truth(f'args.text like "{pattern}"', arguments=sent) is outcome
    assert truth(f'not (args.text not like "{pattern}")', arguments=sent) is outcome


@pytest.mark.parametrize(
    ("path", "base", "outcome"),
    [
        ("/a/b", "/a", T), ("/a", "/a", T), ("/ab", "/a", F), ("/a", "/a/b", F),
        ("/a", "/", T), ("/", "/", T), ("/", "/a", F), ("a/b", "a", T), ("a/b", "/", F), ("/a", "a", F),
        ("", "/", U), ("/a/", "/a", U), ("//a", "/", U), ("/a/../b", "/a", U), ("/a/./b", "/a", U), ("/a\\b", "/", U),
        ("/a%2Fb", "/", U), ("/a%5cb", "/", U), ("/a%2eb", "/", U), ("/a%00", "/", U), ("/a%25", "/", U),
        ("/a\x00", "/", U), ("/a\x85", "/", U), ("/a%41%zz", "/", T), ("/...", "/", T), (7, "/", U),
        ("/t/alice/x", "/t/{subject.id}", T), ("/t/x..", "/t/x{args.up}", T), ("/t/x", "/t/{args.up}", U),
        ("/t/x", "/t/{args.deep}", U), ("/t/x", "/t/{args.none}", U), ("/t/x", "/t/%2{args.f}", U),
        ("/t/x", "/t/{args.missing}", U),
    ],
)  # fmt: skip
def test_under_goes_segment_by_segment_and_refuses_what_is_not_normal(
    path: Any, base: str, outcome: bool | None
) -> None:
    """L35."""
    sent = {"path": path, "up": "..", "deep": "a/b", "none": "", "f": "f"}
    assert truth(f'args.path under "{base}"', arguments=sent) is outcome


def test_matches_takes_the_whole_string() -> None:
    """L36."""
    assert truth('args.s matches "a|ab"', arguments={"s": "ab"}) is T
    assert truth('args.s matches "a"', arguments={"s": "ab"}) is F
    assert truth('args.s matches "a"', arguments={"s": 1}) is U


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ("args has a.b", T), ("args has a.c", F), ("args has s.b", F), ("args has null", F), ("args.a has b", T),
        ("args has typed", F), ("args has mixed", F), ('args.none ?? "v" == "v"', T), ('args.null ?? "v" == "v"', T),
        ("args.typed ?? 1 == 1", U), ('args.none.x ?? "v" == "v"', T), ('args.s ?? "v" == "s"', T),
        ('args.none ?? args.null ?? "v" == "v"', T), ("args.none ?? args.null == 1", U),
    ],
)  # fmt: skip
def test_has_and_its_default_tell_absent_from_wrong(condition: str, outcome: bool | None) -> None:
    """L37: `has` is never unknown; `??` helps where an attribute is absent, not where it is of the wrong type."""
    sent = {"a": {"b": 1}, "s": "s", "null": None, "typed": "x", "mixed": [1, "a"]}
    fields = "a?: { b: number c?: number } s?: string null?: string typed?: number none?: string mixed?: set<number>"
    head = 'tool "t"' if "none.x" in condition or "s.b" in condition else f'tool "t" ({fields})'
    assert truth(condition, head=head, arguments=sent) is outcome


def test_has_of_an_undeclared_attribute_asks_only_that_it_is_there() -> None:
    """L37: a value that cannot be read is there all the same."""
    assert truth("args has mixed and args has big", arguments={"mixed": [1, "a"], "big": 1e300}) is T


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ('time("2026-01-05T23:30:00Z") == now', T), ("time(args.s) == now", U), ('ip("::1") == ip("0::1")', T),
        ("ip(args.s) == ip(args.s)", U), ('ip("10.0.0.1") in cidr("::ffff:10.0.0.0/104")', T),
        ('ip("::1") in cidr("0.0.0.0/0")', F), ('hour(now, "UTC") == 23', T), ('hour(now, "Europe/Oslo") == 0', T),
        ('weekday(now, "UTC") == 1 and weekday(now, "Europe/Oslo") == 2', T), ("size(args.s) == 4", T),
        ("size(args.m) == 1", T), ("size(args.l) == 2", T), ("size(args.n) == 1", U), ('lower(args.s) == "straße"', F),
        ('lower(args.s) == "ab\u0301c"', T), ('starts_with(args.s, "A") and ends_with(args.s, "C")', T),
        ('contains(args.s, "b")', F), ("contains(args.s, args.n)", U),
        ('hour(time("0001-01-01T00:00:00Z"), "America/New_York") == 0', U),
    ],
)  # fmt: skip
def test_functions(condition: str, outcome: bool | None) -> None:
    """L38."""
    sent = {"s": "AB\u0301C", "m": {"a": 1, "b": None}, "l": ["x", "y", "x"], "n": 1}
    assert truth(condition, arguments=sent) is outcome


# --- Three values (section 5) ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ("if args.m then args.f else args.f", F),
        ("if args.m then args.t else args.t", U),
        ("(if args.m then 1 else 1) == 1", T),
        ("(if args.m then 1 else 2) == 1", U),
        ("(if args.t then 1 else args.m) == 1", T),
        ("if args.f then args.m else args.t", T),
    ],
)
def test_an_unknown_if_is_known_only_where_both_sides_agree(condition: str, outcome: bool | None) -> None:
    """L50: as a condition `(C and A) or (not C and B)`, as a value the side that both are."""
    assert truth(condition, arguments={"t": True, "f": False}) is outcome


@pytest.mark.parametrize("sent", [{}, {"x": None}, {"x": "1"}, {"x": [1]}, {"x": 2}])
def test_what_is_unknown_never_widens_access(sent: dict[str, Any]) -> None:
    """L51: each of these requests lacks what only `x` of 1 gives."""
    for rules in (
        "allow public when args.x == 1",
        "allow public deny when args.x != 1",
        "allow public require when args.x == 1",
    ):
        assert ask(f'tool "t" {{ {rules} }}', arguments=sent).effect is Effect.DENY
        assert ask(f'tool "t" {{ {rules} }}', arguments={"x": 1}).effect is Effect.ALLOW


# --- The decision (section 6) ---------------------------------------------------------------

SHARED = """
resource "shared" global { }
tool "t" { allow "mine" public allow "theirs" public across tenants when resource.open }
"""


@pytest.mark.parametrize(
    ("caller", "resource", "reason", "rules"),
    [
        ("acme", Resource("d", "", "acme"), Reason.ALLOWED, ("p:mine",)),
        ("", Resource("d"), Reason.ALLOWED, ("p:mine",)),
        ("acme", None, Reason.ALLOWED, ("p:mine",)),
        ("acme", Resource("d", "", "globex"), Reason.TENANT_MISMATCH, ()),
        ("acme", Resource("d", "", "*"), Reason.TENANT_MISMATCH, ()),
        ("acme", Resource("d"), Reason.TENANT_UNKNOWN, ()),
        ("", Resource("d", "", "acme"), Reason.TENANT_UNKNOWN, ()),
        ("acme", Resource("d", "", "globex", {"open": True}), Reason.ALLOWED, ("p:theirs",)),
        ("acme", Resource("d", "", "acme", {"open": True}), Reason.ALLOWED, ("p:mine", "p:theirs")),
        ("acme", Resource("shared", "", "globex"), Reason.ALLOWED, ("p:mine",)),
    ],
)
def test_only_across_tenants_passes_a_tenant_boundary(
    caller: str, resource: Resource | None, reason: Reason, rules: tuple[str, ...]
) -> None:
    """L12, L61 step 2, L62, L63."""
    result = ask(SHARED, tenant=caller, resource=resource)
    assert (result.reason, result.rules) == (reason, rules)


def test_the_first_step_that_decides_gives_the_reason() -> None:
    """L61 steps 3 to 8: each requirement that is met uncovers the next."""
    policy = """
    tool "t" {
      allow "ok" role "r"
      deny "sure" when args.bad
      deny "unsure" when args.worse
      require role "m"
      require when args.fit
      require when args.known == 1
      require scope "s"
    }
    """
    steps: list[tuple[dict[str, Any], Reason, tuple[str, ...]]] = [
        ({"arguments": {"bad": True}}, Reason.EXPLICIT_DENY, ("p:sure",)),
        ({"arguments": {"bad": False}}, Reason.INDETERMINATE, ("p:unsure",)),
        ({"arguments": {"worse": False, "fit": False}}, Reason.MISSING_ROLE, ("p:6",)),
        ({"roles": ["m"]}, Reason.REQUIREMENT_NOT_MET, ("p:7",)),
        ({"arguments": {"fit": True}}, Reason.INDETERMINATE, ("p:8",)),
        ({"arguments": {"known": 1}}, Reason.NO_ALLOW, ()),
        ({"roles": ["m", "r"]}, Reason.INSUFFICIENT_SCOPE, ("p:9",)),
        ({"scopes": ["s"]}, Reason.ALLOWED, ("p:ok",)),
    ]
    request: dict[str, Any] = {"arguments": {}}
    for change, reason, rules in steps:
        request |= change | {"arguments": {**request["arguments"], **change.get("arguments", {})}}
        result = ask(policy, **request)
        assert (result.reason, result.rules) == (reason, rules)


def test_a_require_role_that_a_derived_role_makes_unknown_is_indeterminate() -> None:
    """L61 step 4: it counts beside the `require when`s."""
    policy = DERIVED + 'tool "t" {\n allow public\n require role "owner"\n require when args.x }'
    result = ask(policy, resource=doc())
    assert (result.reason, result.rules) == (Reason.INDETERMINATE, ("p:6", "p:7"))
    assert ask(policy, resource=doc(), arguments={"x": False}).reason is Reason.REQUIREMENT_NOT_MET
    assert ask(policy, resource=doc(owner="bob")).reason is Reason.MISSING_ROLE


def test_an_allow_kept_by_missing_data_is_named() -> None:
    """L61 step 5: WHO and condition together are unknown."""
    policy = (
        'role "r" tool "t" { allow "a" role "r" when args.x allow "b" when args.y allow "c" when args.x and false }'
    )
    result = ask(policy)
    assert (result.reason, result.rules) == (Reason.INDETERMINATE, ("p:b",))


def test_obligations_are_the_union_in_the_order_of_the_rules_names() -> None:
    """L64: an allow's own first, then its block's, each once."""
    policy = """
    tool "t" { oblige "log" { to: ["a", "b"] } allow "b" public then "mask" { n: 1.0, keep: 15m }
      then "log" { to: ["c"] } }
    tool "t" { oblige "mask" { keep: 900s, n: 1 } allow "a" public oblige "note" allow "z" role "x" then "never" }
    """
    assert ask(policy).obligations == (
        Obligation("mask", {"keep": "900s", "n": 1}),
        Obligation("note"),
        Obligation("log", {"to": ("c",)}),
        Obligation("log", {"to": ("a", "b")}),
    )


@pytest.mark.parametrize(
    ("statements", "held", "required", "missing"),
    [
        ('allow public require scope "a", "b"', ["a"], ("a", "b"), ("b",)),
        ('allow public require scope any "b", "a"', [], ("a",), ("a",)),
        ('allow scope "b", "c" allow scope "d"', [], ("d",), ("d",)),
        ('allow scope "z" allow scope "d", "e"', ["e"], ("d", "e"), ("d",)),
        ('allow public when "x" in scopes and args.k != "y"', [], ("x",), ("x",)),
        ('allow scope "low"', [], ("low",), ("low",)),
        ('allow scope "high" require scope "low"', ["high"], None, None),
        ('allow public require scope "low", "a"', ["high"], ("a", "low"), ("a",)),
        ('allow anyone when "n" in scopes require scope any "p", "q", "n"', ["q", "p"], ("n", "p"), ("n",)),
        ('allow scope "a" allow public when "b" in scopes', [], ("a",), ("a",)),
        ('allow scope any "a", "b", "c" require scope "d"', ["c", "b"], ("b", "d"), ("d",)),
    ],
)
def test_the_fewest_then_alphabetically_first_scopes_that_help_are_missing(
    statements: str, held: list[str], required: tuple[str, ...] | None, missing: tuple[str, ...] | None
) -> None:
    """L67: and the held ones that the request leans on are required beside them."""
    policy = f'scope "high" implies "low" tool "t" {{ {statements} }}'
    result = ask(policy, scopes=held, arguments={"k": "v"})
    if missing is None:
        assert result.effect is Effect.ALLOW
    else:
        assert result.reason is Reason.INSUFFICIENT_SCOPE
        assert (result.required_scopes, result.missing_scopes) == (required, missing)
        assert ask(policy, scopes=[*held, *missing], arguments={"k": "v"}).effect is Effect.ALLOW


def test_scopes_that_would_not_help_are_not_named() -> None:
    """L61 steps 5 and 6, L67: a deny that the scope wakes, a condition that stays false."""
    woken = 'deny "d" when "a" in scopes'
    assert ask(f'tool "t" {{ allow scope "a" {woken} }}').reason is Reason.NO_ALLOW
    assert ask('tool "t" { allow scope "a" when args.x }').reason is Reason.NO_ALLOW
    stuck = ask(f'tool "t" {{ allow public {woken}\nrequire scope "a" }}')
    assert (stuck.reason, stuck.rules, stuck.missing_scopes) == (Reason.NO_ALLOW, (), ())


def test_the_rules_of_insufficient_scope_are_those_that_ask_for_it() -> None:
    """L61 step 6: failing `require scope`s and, when no allow applies yet, the allows that would."""
    policy = 'tool "t" { allow "a" scope "x" allow "b" scope "y"\nrequire scope "z" }'
    assert ask(policy).rules == ("p:2", "p:a")
    assert ask(policy, scopes=["y"]).rules == ("p:2",)
    assert ask(policy, scopes=["z"]).rules == ("p:a",)


def test_the_search_for_scopes_looks_at_two_thousand_sets() -> None:
    """L67: past that no scopes are named."""
    wanted = 'tool "t" { allow public\nrequire scope %s }'
    ten = ask(wanted % ", ".join(f'"s{n}"' for n in range(10)))
    eleven = ask(wanted % ", ".join(f'"s{n:02}"' for n in range(11)))
    assert len(ten.missing_scopes) == 10
    assert (eleven.reason, eleven.missing_scopes) == (Reason.NO_ALLOW, ())


def test_a_decision_carries_the_revision() -> None:
    """L66."""
    assert reference_decide([], Request(tool="t", subject="a"), "r1").policy_revision == "r1"
