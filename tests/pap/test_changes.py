"""What differs between two policies, rule by rule, and in their answers (issue 3, Build 2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import assume, given
from hypothesis import strategies as st

from authz.model import Request
from authz.pap.changes import (
    PolicyChange,
    Turn,
    answer_changes,
    gravest_first,
    is_widening,
    policy_changes,
    turn_of,
)
from tests.pap.records import loaded
from tests.strategies import Block, File, Item, Policy, Tenant, cases, policies, requests

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random
    from typing import TypeVar

    T = TypeVar("T")

READ = 'tool "read" {\n  allow "owner" role "editor" when resource.owner == subject.id\n}\n'


def changes(old: str, new: str) -> tuple[PolicyChange, ...]:
    """Compare two policies of one file."""
    return policy_changes(loaded({"docs.authz": old}), loaded({"docs.authz": new}))


def texts(policy: Policy) -> dict[str, str]:
    """Return the texts of a policy's files."""
    return {file.name: str(file) for file in policy.files}


# --- Rules ----------------------------------------------------------------------------------


def test_a_rule_that_is_added_removed_or_changed_is_told_by_its_name() -> None:
    """Issue 3: rule by rule, not line by line; proto PolicyChange."""
    old = 'tool "t" {\n  allow "a" role "r"\n  allow "b" role "s"\n}\n'
    new = 'tool "t" {\n  allow "a" role "q"\n  deny "c" role "s"\n}\n'
    assert changes(old, new) == (
        PolicyChange("docs:a", 'tool "t" {\n  allow "a" role "r"\n}', 'tool "t" {\n  allow "a" role "q"\n}'),
        PolicyChange("docs:b", 'tool "t" {\n  allow "b" role "s"\n}', ""),
        PolicyChange("docs:c", "", 'tool "t" {\n  deny "c" role "s"\n}'),
    )


def test_lines_comments_and_spaces_are_no_change() -> None:
    """Issue 3: rule by rule, not line by line; a rule without a label is named by a line that moves."""
    old = 'tool "t" {\n  allow role "r"\n  require scope "s"\n}\n'
    new = '# why\n\n\ntool    "t" { # here\n require scope "s" # and here\n\n allow   role "r" }\n'
    assert changes(old, new) == ()


def test_files_that_are_renamed_split_or_joined_are_no_change() -> None:
    """Issue 3: what a rule says counts, not where it stands."""
    together = loaded({"a.authz": READ + 'tool "t" {\n  allow public\n}\n'})
    apart = loaded({"b.authz": 'tool "t" {\n  allow public\n}\n', "c/d.authz": READ})
    assert policy_changes(together, apart) == ()
    assert policy_changes(apart, together) == ()


def test_the_block_belongs_to_its_rules() -> None:
    """Issue 3: changing a block's tools, types, arguments or tenants changes each of its rules, and is shown."""
    rules = '{\n  allow "a" role "r"\n  require scope "s"\n}\n'
    old = f'tool "t" {rules}'
    for new in (
        f'tool "t", "u" {rules}',
        f'tool "t*" except "tx" {rules}',
        f'tool "t" on "doc" {rules}',
        f'tool "t" (path: string) {rules}',
        f'tenant "acme" {{\ntool "t" {rules}}}\n',
    ):
        found = changes(old, new)
        assert [change.name for change in found][-1] == "docs:a"
        assert len(found) == 2, new
        for change in found:
            assert change.before.startswith('tool "t" {')
            assert change.after.split(" {")[0] in new
            assert loaded({"docs.authz": change.after}).program.revision


def test_the_order_of_what_is_a_set_is_no_change() -> None:
    """L20, L21: the order of patterns, types, roles, scopes and fields means nothing."""
    old = (
        'role "a"\nrole "b"\nrole "c" extends "a", "b"\nresource "doc" {\n  x: string\n  y: "p" | "q"\n}\n'
        'tool "t", "u" except "v", "w" (k: string, l: bool) on "doc", "box" {\n  allow role "a", "b"\n}\n'
    )
    new = (
        'resource "doc" {\n  y: "q" | "p"\n  x: string\n}\nrole "c" extends "b", "a"\nrole "b"\nrole "a"\n'
        'tool "u", "t", "u" except "w", "v" (l: bool, k: string) on "box", "doc" {\n  allow role "b", "a", "a"\n}\n'
    )
    assert changes(old, new) == ()


def test_a_let_that_many_rules_use_is_one_change() -> None:
    """Issue 3: what was written anew is told, once, and not everything that it means."""
    rules = 'tool "t" {\n  allow "a" role "r" when mine\n  allow "b" role "s" when mine\n}\n'
    found = changes(f"let mine = resource.a == subject.id\n{rules}", f"let mine = resource.b == subject.id\n{rules}")
    assert found == (
        PolicyChange("let mine", "let mine = resource.a == subject.id", "let mine = resource.b == subject.id"),
    )


def test_every_kind_of_declaration_has_a_name() -> None:
    """Issue 3: roles, scopes, shapes, lets, tool groups, limits, obligations."""
    all_of_them = (
        'scope "s" implies "r"\nscope "r"\nrole "x" extends "y"\nrole "y"\nresource "doc" {\n  a: string\n}\n'
        "subject {\n  b: string\n}\ncontext {\n  c: string\n}\nclient {\n  d: string\n}\n"
        "let l = resource.a == subject.id\n"
        'tools g = "t"\ntool @g {\n  limit 1 per 1m by subject\n  oblige "log"\n  allow "z" role "x" when l\n}\n'
        'tenant "acme" {\n  role "owner" when resource.a == subject.id\n}\n'
    )
    names = [change.name for change in changes("", all_of_them)]
    assert names == [
        "client",
        "context",
        "docs:20",
        "docs:21",
        "docs:z",
        "let l",
        "resource doc",
        'role owner for tenant "acme"',
        "role x",
        "role y",
        "scope r",
        "scope s",
        "subject",
        "tools @g",
    ]
    assert [change.name for change in changes(all_of_them, "")] == names


def test_a_block_without_rules_makes_a_tool_known() -> None:
    """L61: UNKNOWN_TOOL or not is a difference, though no rule says so."""
    assert changes("", 'tool "t" {}\n') == (PolicyChange("docs:1", "", 'tool "t" {}'),)


def test_a_rule_without_a_label_is_followed_where_its_condition_changes() -> None:
    """Issue 3: changed, not removed and added."""
    old = '\ntool "t" {\n  require role "r"\n  allow anyone when context.a == "x"\n}\n'
    new = 'tool "t" {\n  allow anyone when context.a == "y"\n  require role "r"\n}\n'
    (change,) = changes(old, new)
    assert change.name == "docs:2"
    assert '"x"' in change.before
    assert '"y"' in change.after


def test_a_label_that_is_given_or_changed_is_one_change() -> None:
    """L23: the label is the rule's name, which decisions tell."""
    for old, new in (("", '"b" '), ('"a" ', '"b" '), ('"a" ', "")):
        (change,) = changes(f'tool "t" {{\n  allow {old}public\n}}\n', f'tool "t" {{\n  allow {new}public\n}}\n')
        assert change.before
        assert change.after


class _Mover:
    """Put files, declarations and statements into another order, rename files and write comments."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def texts(self, policy: Policy) -> dict[str, str]:
        files = self.mixed(policy.files)
        return {f"moved/{number}.authz": f"# {number}\n\n{self.file(file)}" for number, file in enumerate(files)}

    def file(self, file: File) -> str:
        return "".join(f"# about\n{self.item(item)}  # so\n\n" for item in self.mixed(file.items))

    def item(self, item: Item) -> Item:
        match item:
            case Block(statements=statements):
                return replace(item, statements=self.mixed(statements))
            case Tenant(items=items):
                return replace(item, items=tuple(self.item(inner) for inner in self.mixed(items)))
            case _:
                return item

    def mixed(self, members: Sequence[T]) -> tuple[T, ...]:
        found = list(members)
        self.random.shuffle(found)
        return tuple(found)


@given(cases(), st.randoms(use_true_random=False))
def test_moving_renaming_and_commenting_is_never_a_change(case: tuple[Policy, list[Request]], random: Random) -> None:
    """Issue 3: rule by rule; a diff that cries over moved lines is not read. Nor do answers change by it."""
    policy, asked = case
    old, new = loaded(texts(policy)), loaded(_Mover(random).texts(policy))
    assert policy_changes(old, new) == ()
    assert list(answer_changes(old.program, new.program, asked)) == []


@given(st.data())
def test_one_statement_less_is_one_change(data: st.DataObject) -> None:
    """Issue 3: exactly what changed is told."""
    policy = data.draw(policies())
    places = [
        (f, i)
        for f, file in enumerate(policy.files)
        for i, item in enumerate(file.items)
        if isinstance(item, Block) and len(item.statements) > 1
    ]
    assume(places)
    f, i = data.draw(st.sampled_from(places))
    file, block = policy.files[f], policy.files[f].items[i]
    assert isinstance(block, Block)
    gone = data.draw(st.integers(0, len(block.statements) - 1))
    shorter = replace(block, statements=block.statements[:gone] + block.statements[gone + 1 :])
    items = (*file.items[:i], shorter, *file.items[i + 1 :])
    less = Policy((*policy.files[:f], replace(file, items=items), *policy.files[f + 1 :]))
    old, new = loaded(texts(policy)), loaded(texts(less))
    assert [bool(change.after) for change in policy_changes(old, new)] == [False]
    assert [bool(change.before) for change in policy_changes(new, old)] == [False]


# --- Answers --------------------------------------------------------------------------------


@given(cases(), st.data())
def test_answers_that_change_are_those_that_differ(case: tuple[Policy, list[Request]], data: st.DataObject) -> None:
    """Issue 3: whose answers would change; compared with deciding each by both and looking."""
    one, asked = case
    other = data.draw(policies())
    asked = [*asked, *data.draw(requests(other))]
    old, new = loaded(texts(one)).program, loaded(texts(other)).program
    found = list(answer_changes(old, new, asked))
    differing = []
    for index, request in enumerate(asked):
        before, after = old.decide(request), new.decide(request)
        had, has = sorted(map(repr, before.obligations)), sorted(map(repr, after.obligations))
        if before.effect is not after.effect or had != has:
            differing.append((index, request, before, after))
    assert [(change.index, change.request, change.before, change.after) for change in found] == differing


ALLOW = 'tool "t" {\n  allow public then "a" then "b" { n: 1 }\n}\n'


def turns(old: str, new: str) -> list[Turn]:
    """Return how the answer to one request changes."""
    one, other = loaded({"p.authz": old}).program, loaded({"p.authz": new}).program
    return [turn_of(change) for change in answer_changes(one, other, [Request(tool="t", subject="ann")])]


def test_an_obligation_less_is_a_widening() -> None:
    """L64: what the caller must do belongs to the answer."""
    assert turns(ALLOW, ALLOW) == []
    assert turns(ALLOW, ALLOW.replace('then "a" then "b" { n: 1 }', 'then "b" { n: 1 } then "a"')) == []
    assert turns(ALLOW, ALLOW.replace('then "a" ', "")) == [Turn.FEWER_OBLIGATIONS]
    assert turns(ALLOW, ALLOW.replace("n: 1", "n: 2")) == [Turn.FEWER_OBLIGATIONS]
    assert turns(ALLOW, ALLOW.replace('then "a"', 'then "a" then "c"')) == [Turn.OTHER_OBLIGATIONS]
    assert turns("", ALLOW) == [Turn.NOW_ALLOWED]
    assert turns(ALLOW, "") == [Turn.NO_LONGER_ALLOWED]
    assert turns("", 'tool "t" {\n  deny\n}\n') == []


def test_what_becomes_allowed_comes_first() -> None:
    """Issue 3: DENY→ALLOW first."""
    old = 'tool "a", "b" {\n  allow public\n}\ntool "o" {\n  allow public then "x"\n}\n'
    new = 'tool "c", "d" {\n  allow public\n}\ntool "o" {\n  allow public\n}\n'
    asked = [Request(tool=tool, subject="ann") for tool in "abocd"]
    found = answer_changes(loaded({"p.authz": old}).program, loaded({"p.authz": new}).program, asked)
    ordered = gravest_first(found)
    assert [change.request.tool for change in ordered] == ["c", "d", "o", "a", "b"]
    assert [is_widening(change) for change in ordered] == [True, True, True, False, False]


def test_both_policies_decide_at_one_time() -> None:
    """L65: a request that names no time must not change its answer while the clock goes on."""
    program = loaded({"p.authz": 'tool "t" {\n  allow public when now == now\n}\n'}).program
    assert list(answer_changes(program, program, [Request(tool="t", subject="ann")] * 100)) == []
