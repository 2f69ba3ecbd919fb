"""Entries and requests made to be taken for others (threats 2.4: key confusion; 4: I1, I2)."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import pytest

from authz.directory.checking import checked
from authz.directory.completion import Completer
from authz.directory.entities import Entity, EntityError, Key, Kind
from authz.directory.reading import read_lines
from authz.directory.records import Defaults
from authz.model import Act, Effect, Reason, Request, Resource
from authz.pap.loader import load
from authz.stores.sqlite.store import open_store
from tests.hostile.support import CANARY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from authz.directory.store import DirectoryStore
    from authz.pdp.program import Program

ACT = Act("somebody", "cli")
POLICY = """
role "admin"
resource "document" { owner?: string  secret?: string }
subject { grade?: number  flag?: bool }
tool "wipe" { allow role "admin" }
tool "eng" { allow when subject in "group:eng" }
tool "read" on "document" { allow when resource.owner == subject.id }
tool "share" on "document" { allow across tenants when resource.secret == "open" }
tool "one" { allow when subject.grade == 1 }
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DirectoryStore]:
    """Return a directory with nothing in it."""
    with contextlib.closing(open_store(tmp_path / "s.db", create=True)) as store:
        yield store.directory


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Return the policy."""
    path = tmp_path_factory.mktemp("policies") / "a.authz"
    path.write_text(POLICY)
    return load(path).program


def entry(kind: Kind, type_: str, id_: str, *within: str, tenant: str = "acme", **attributes: object) -> Entity:
    """Return an entry as it comes from outside."""
    return checked(Entity(Key(kind, type_, id_, tenant), attributes, within))  # type: ignore[arg-type]  # any JSON


def allowed(program: Program, completer: Completer, **request: object) -> bool:
    """Say whether a request is allowed once it is completed."""
    asked = Request(**{"subject": "mallory", "tenant": "acme", **request})  # type: ignore[arg-type]  # its fields
    return program.decide(completer.complete(asked, program).request).effect is Effect.ALLOW


NEAR = (
    "admins\0",
    "admins\0x",
    "Admins",
    "admins ",
    "subject:root",
    "group:group:admins",
    "adm\u0131ns",
)


@pytest.mark.parametrize("name", NEAR)
def test_a_name_that_only_looks_like_another_has_none_of_its_roles(
    directory: DirectoryStore, program: Program, name: str
) -> None:
    """Threats 2.4, 3b-39, -44: a NUL ended a name in SQLite's JSON, and gave its bearer the roles of a shorter one."""
    bound = [entry(Kind.ROLE_BINDING, principal, "admin") for principal in ("group:admins", "subject:root")]
    directory.write(bound, ACT)
    completer = Completer(directory)
    assert allowed(program, completer, tool="wipe", subject_attributes={"groups": ["admins"]})
    assert not allowed(program, completer, tool="wipe", subject_attributes={"groups": [name]})
    assert directory.roles_of("acme", [f"group:{name}"]) == frozenset()
    for subject in ("root\0", "root\0x", "ROOT", "root "):
        assert directory.roles_of("acme", [f"subject:{subject}"]) == frozenset()


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        (Kind.GROUP, '{"kind":"group","id":"group:eng"}'),
        (Kind.GROUP, '{"kind":"group","id":"a","groups":["group:a"]}'),
        (Kind.SUBJECT, '{"kind":"subject","id":"u","groups":["x","group:eng"]}'),
        (Kind.SUBJECT, '{"kind":"subject","id":"\\u0075","groups":["group:group:eng"]}'),
        (Kind.ROLE_BINDING, '{"kind":"role_binding","group":"group:eng","role":"admin"}'),
        (Kind.ROLE_BINDING, '{"kind":"role_binding","group":"group:\\u0065ng","role":"admin"}'),
    ],
)
def test_a_group_cannot_be_named_so_that_it_passes_for_another(kind: Kind, record: str) -> None:
    """L33 takes `group:eng` for `eng`: as a name of its own it would let a stranger in, and hide a cycle."""
    ((_, read),) = read_lines(io.BytesIO(record.encode()), Defaults())
    assert isinstance(read, EntityError), read
    assert "`group:`" in str(read)
    assert str(read).startswith(kind.value)


@pytest.mark.parametrize("grade", [True, "1", "1.0", [1], {"1": 1}, None])
def test_a_value_that_only_python_takes_for_another_is_another(
    directory: DirectoryStore, program: Program, grade: object
) -> None:
    """Threats 2.4 and 3b-62: 1, true, "1"; warm from the one, the cache must not answer for the other."""
    entities = [entry(Kind.SUBJECT, "", "one", grade=1), entry(Kind.SUBJECT, "", "other", grade=grade)]
    directory.write(entities, ACT)
    completer = Completer(directory)
    for _ in range(2):
        assert allowed(program, completer, subject="one", tool="one")
        assert not allowed(program, completer, subject="other", tool="one")


def test_keys_that_run_together_are_still_two(directory: DirectoryStore, program: Program) -> None:
    """Threats 2.4, 3b-60: separators in ids and types; each is asked before and after the other."""
    pairs = [("acme", "doc", "a:b"), ("acme:doc", "a", "b"), ("acme", "doc:a", "b"), ("", "doc", "a:b")]
    for tenant, type_, id_ in pairs:
        if ":" not in type_:
            directory.write([entry(Kind.RESOURCE, type_, id_, tenant=tenant, owner=f"{tenant}/{type_}/{id_}")], ACT)
    completer = Completer(directory)
    for tenant, type_, id_ in (*pairs, *reversed(pairs)):
        asked = Request(subject="u", tenant=tenant, tool="x", resource=Resource(type_, id_, tenant))
        found = completer.complete(asked, program).request.resource
        assert found is not None
        assert found.attributes.get("owner") in (None, f"{tenant}/{type_}/{id_}")


def test_what_was_taken_back_by_another_process_grants_nothing_any_more(tmp_path: Path, program: Program) -> None:
    """Issue 3: invalidated on change in all workers; a delete is a change, and so is the very next one."""
    path = tmp_path / "s.db"
    with (
        contextlib.closing(open_store(path, create=True)) as other,
        contextlib.closing(open_store(path, readonly=True)) as store,
    ):
        completer = Completer(store.directory)
        binding = entry(Kind.ROLE_BINDING, "group:ops", "admin")
        member = entry(Kind.SUBJECT, "", "mallory", "team")
        nested = entry(Kind.GROUP, "", "team", "ops")
        other.directory.write([binding, member, nested], ACT)
        for taken in (binding, member, nested):
            assert allowed(program, completer, tool="wipe")
            other.directory.delete([taken.key], ACT)
            assert not allowed(program, completer, tool="wipe")
            other.directory.write([taken], ACT)
        assert allowed(program, completer, tool="wipe")


@pytest.mark.parametrize("named", ["globex", ""])
@pytest.mark.parametrize("caller", ["acme", ""])
def test_an_explanation_never_says_what_another_tenants_resource_holds(
    directory: DirectoryStore, program: Program, named: str, caller: str
) -> None:
    """Issue 3: reads for tenant A cannot return what is tenant B's, also where the request itself names B."""
    directory.write([entry(Kind.RESOURCE, "document", "d1", tenant="globex", owner=CANARY, secret=CANARY)], ACT)
    completer = Completer(directory)
    for tool in ("read", "share"):
        asked = Request(subject="mallory", tenant=caller, tool=tool, resource=Resource("document", "d1", named))
        completed = completer.complete(asked, program)
        explanation = program.explain(completed.request, completed.facts)
        assert explanation.decision.effect is Effect.DENY
        assert explanation.decision.reason in (Reason.TENANT_MISMATCH, Reason.TENANT_UNKNOWN)
        assert CANARY not in str(explanation)


@pytest.mark.parametrize("text", ["'; DROP TABLE entity; --", '" OR 1=1 --', "%", "_", "?1", ":x", "') OR ('1'='1"])
def test_sql_in_any_part_of_an_entry_is_a_text_like_any_other(directory: DirectoryStore, text: str) -> None:
    """Threats 2.3 and 3b-27: nothing of a request becomes SQL."""
    entities = [
        entry(Kind.SUBJECT, "", text, text, tenant=text, **{text: text}),
        entry(Kind.ROLE_BINDING, f"subject:{text}", text, tenant=text),
        entry(Kind.TOOL, text, text, tenant=text),
        entry(Kind.CLIENT, "", text, tenant=text),
        entry(Kind.SUBJECT, "", "somebody else", tenant="acme"),
    ]
    assert directory.write(entities, Act(text, text, text)) == 5
    assert directory.get(entities[0].key) == entities[0]
    assert directory.roles_of(text, [f"subject:{text}"]) == {text}
    assert directory.servers_of(text, text) == [text]
    assert directory.tenants_of(Kind.SUBJECT, "", text) == [text]
    assert len(list(directory.entities(text))) == 4
    assert directory.delete([entities[0].key], Act(text, text, text)) == 1
    assert len(list(directory.entities())) == 4
