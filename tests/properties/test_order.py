"""Order and repetition mean nothing, neither in a policy nor in a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from authz.model import Decision, Effect, Reason
from tests.strategies import (
    STRANGE_ROLE,
    STRANGE_SCOPE,
    Block,
    File,
    Item,
    Policy,
    Statement,
    Tenant,
    build,
    cases,
    relabelled,
    requests,
    whole_set_policies,
)

if TYPE_CHECKING:
    from random import Random

    from authz.model import Request, Value

T = TypeVar("T")


class _Shuffler:
    """Put everything whose order means nothing into another order; repeat some of it on request."""

    def __init__(self, random: Random, *, repeat: bool = False) -> None:
        self.random = random
        self.repeat = repeat

    def policy(self, policy: Policy) -> Policy:
        return Policy(self._mixed([self.file(file) for file in policy.files]))

    def file(self, file: File) -> File:
        return File(file.name, self._items(file.items))

    def _items(self, items: Iterable[Item]) -> tuple[Item, ...]:
        found = [self._item(item) for item in items]
        if self.repeat:
            found += [item for item in found if isinstance(item, Block)]
        return self._mixed(found)

    def _item(self, item: Item) -> Item:
        match item:
            case Block():
                return Block(
                    self._more(item.patterns),
                    self._more(item.excepted),
                    self._mixed(item.arguments),
                    self._more(item.types),
                    self._more([self._statement(statement) for statement in item.statements]),
                )
            case Tenant():
                return Tenant(self._more(item.patterns), self._items(item.items))
            case _:
                return item

    def _statement(self, statement: Statement) -> Statement:
        return replace(statement, names=self._more(statement.names))

    def _more(self, members: Iterable[T]) -> tuple[T, ...]:
        found = list(members)
        return self._mixed(found + found if self.repeat else found)

    def _mixed(self, members: Iterable[T]) -> tuple[T, ...]:
        found = list(members)
        self.random.shuffle(found)
        return tuple(found)


def _names(policy: Policy, decision: Decision) -> list[str]:
    """Return the deciding rules; those named by a line (L23) by the words of that line instead."""
    lines = {file.name.removesuffix(".authz"): str(file).split("\n") for file in policy.files}
    found = set()
    for name in decision.rules:
        module, _, label = name.rpartition(":")
        if label.isdigit():
            line = lines[module][int(label) - 1]
            found.add(" ".join(sorted(set(line.replace(",", " ").split()))))
        else:
            found.add(name)
    return sorted(found)


def _obligations(decision: Decision) -> list[str]:
    return sorted(map(repr, decision.obligations))


Drawn = tuple[Policy, list["Request"]]


@given(cases(labelled=True), st.randoms(use_true_random=True))
def test_order_in_a_policy_means_nothing(case: Drawn, random: Random) -> None:
    """L65, L21: files, blocks, declarations, statements, patterns, types, roles and scopes in any order."""
    policy, asked = case
    shuffled = _Shuffler(random).policy(policy)
    one, other = build(policy), build(shuffled)
    for request in asked:
        first, second = one.decide(request), other.decide(request)
        told = f"{policy}\n=== shuffled\n{shuffled}\n{request}\n{first}\n{second}"
        assert (first.effect, first.reason) == (second.effect, second.reason), told
        assert _names(policy, first) == _names(shuffled, second), told
        assert _obligations(first) == _obligations(second), told
        assert first.required_scopes == second.required_scopes, told
        assert first.missing_scopes == second.missing_scopes, told


@given(cases(labelled=True), st.randoms(use_true_random=True))
def test_saying_a_thing_twice_means_nothing(case: Drawn, random: Random) -> None:
    """L65: duplicates of blocks, statements, patterns, types, roles and scopes."""
    policy, asked = case
    repeated = relabelled(_Shuffler(random, repeat=True).policy(policy))
    one, other = build(policy), build(repeated)
    for request in asked:
        first, second = one.decide(request), other.decide(request)
        told = f"{policy}\n=== repeated\n{repeated}\n{request}\n{first}\n{second}"
        assert (first.effect, first.reason) == (second.effect, second.reason), told
        assert first.missing_scopes == second.missing_scopes, told
        assert _obligations(first) == _obligations(second), told


@given(cases(labelled=True))
def test_how_a_policy_is_cut_into_files_means_nothing(case: Drawn) -> None:
    """L1: a policy is the union of its files."""
    policy, asked = case
    merged = Policy((File("one.authz", tuple(item for file in policy.files for item in file.items)),))
    apart = Policy(tuple(File(f"f{n}.authz", (item,)) for n, item in enumerate(merged.files[0].items)))
    programs = [build(each) for each in (policy, merged, apart)]
    for request in asked:
        answers = [program.decide(request) for program in programs]
        told = f"{policy}\n{request}\n{answers}"
        assert len({(a.effect, a.reason, a.missing_scopes) for a in answers}) == 1, told
        assert len({tuple(_obligations(a)) for a in answers}) == 1, told


def _turned(value: Value) -> Value:
    """Reverse the order of attributes; reverse a list, which is read as a set, and repeat a member."""
    match value:
        case Mapping():
            return {name: _turned(value[name]) for name in reversed(list(value))}
        case list():
            return [*(_turned(item) for item in reversed(value)), *map(_turned, value[:1])]
        case _:
            return value


def _turned_request(request: Request) -> Request:
    def again(names: Iterable[str]) -> tuple[str, ...]:
        found = list(names)
        return (*reversed(found), *found[:2])

    def attributes(values: Mapping[str, Value]) -> Mapping[str, Value]:
        turned = _turned(values)
        assert isinstance(turned, Mapping)
        return turned

    resource, client, info = request.resource, request.client, request.tool_info
    return replace(
        request,
        scopes=again(request.scopes),
        roles=again(request.roles),
        arguments=attributes(request.arguments),
        context=attributes(request.context),
        subject_attributes=attributes(request.subject_attributes),
        resource=resource
        and replace(resource, attributes=attributes(resource.attributes), ancestors=again(resource.ancestors)),
        client=client and replace(client, attributes=attributes(client.attributes)),
        tool_info=info and replace(info, tags=again(info.tags)),
    )


@given(cases())
def test_order_and_repetition_in_a_request_mean_nothing(case: Drawn) -> None:
    """L65, L12: roles, scopes, attributes, ancestors, tags; a JSON array is a set."""
    policy, asked = case
    program = build(policy)
    for request in asked:
        turned = _turned_request(request)
        assert program.decide(turned) == program.decide(request), f"{policy}\n{request}\n{turned}"


def _assert_strangers_change_nothing(policy: Policy, asked: list[Request]) -> None:
    program = build(policy)
    for request in asked:
        known = replace(
            request,
            scopes=[name for name in request.scopes if name != STRANGE_SCOPE],
            roles=[name for name in request.roles if name != STRANGE_ROLE],
        )
        more = replace(
            known, scopes=[STRANGE_SCOPE, *known.scopes, "*"], roles=["*", *known.roles, STRANGE_ROLE, "Viewer"]
        )
        assert program.decide(more) == program.decide(known), f"{policy}\n{more}"


@given(cases())
def test_roles_and_scopes_that_the_policy_does_not_know_change_nothing(case: Drawn) -> None:
    """L65, L30."""
    _assert_strangers_change_nothing(*case)


@given(whole_set_policies().flatmap(lambda policy: st.tuples(st.just(policy), requests(policy))))
def test_roles_and_scopes_that_the_policy_does_not_know_are_not_counted(case: Drawn) -> None:
    """L30: `scopes` and `roles` hold only names that the policy mentions."""
    _assert_strangers_change_nothing(*case)


@given(cases(depth=1))
def test_every_decision_is_one_of_those_that_the_table_knows(case: Drawn) -> None:
    """L61, L66: each reason belongs to one effect, lists are sorted, and the revision is the policy's."""
    policy, asked = case
    program = build(policy)
    for request in asked:
        decision = program.decide(request)
        told = f"{policy}\n{request}\n{decision}"
        assert (decision.effect is Effect.ALLOW) == (decision.reason is Reason.ALLOWED), told
        assert decision.effect is not Effect.CONDITIONAL, told
        assert list(decision.rules) == sorted(set(decision.rules)), told
        assert decision.policy_revision == program.revision, told
        assert decision.message, told
        assert decision.effect is Effect.ALLOW or not decision.obligations, told
