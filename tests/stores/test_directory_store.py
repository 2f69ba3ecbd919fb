"""What every directory store promises (issue 3, point 3): whole writes, exact keys, one snapshot an export."""

from __future__ import annotations

import json
import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from authz.directory.entities import Entity, Key, Kind
from authz.directory.groups import GroupCycleError
from authz.errors import StoreBusyError
from authz.model import Act
from authz.stores.sqlite.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from authz.stores.sqlite.store import SqliteStore

ACT = Act("tester", "cli", "why not")
HOSTILE = (
    "'; DROP TABLE entity; --",
    '" OR 1=1 --',
    "%",
    "_",
    "*",
    "\\",
    "?1",
    ":name",
    "x'00'",
    "NULL",
    "a b",
    "é",
    "\U0001d4b3",
    "[1]",
    "{}",
)


def resource(id_: str, tenant: str = "acme", **attributes: object) -> Entity:
    """Return a document."""
    return Entity(Key(Kind.RESOURCE, "document", id_, tenant), attributes)  # type: ignore[arg-type]  # JSON values


def group(id_: str, *within: str, tenant: str = "acme") -> Entity:
    """Return a group that is in others."""
    return Entity(Key(Kind.GROUP, "", id_, tenant), {}, within)


def binding(principal: str, role: str, tenant: str = "acme") -> Entity:
    """Return a role binding."""
    return Entity(Key(Kind.ROLE_BINDING, principal, role, tenant))


@pytest.mark.parametrize("number", [0, 1, 999, 1000, 1001, 1999, 2000, 2001, 10_000])
def test_every_entry_of_a_write_is_there_whatever_their_number(store: SqliteStore, number: int) -> None:
    """Issue 3: import in chunks; no chunk's border may lose or double an entry."""
    written = store.directory.write((resource(str(n), size=n) for n in range(number)), ACT)
    assert written == number
    found = list(store.directory.entities())
    assert sorted(entity.attributes["size"] for entity in found) == list(range(number))  # type: ignore[type-var]  # ints
    assert [entity.key for entity in found] == sorted(entity.key for entity in found)


def test_entries_that_are_large_are_all_there(store: SqliteStore) -> None:
    """Issue 3: import in chunks; those of large entries are bounded by what they hold."""
    text = "x" * 60_000
    assert store.directory.write((resource(str(n), text=f"{n} {text}") for n in range(300)), ACT) == 300
    found = list(store.directory.entities())
    assert all(entity.attributes["text"] == f"{entity.key.id} {text}" for entity in found)
    assert len(found) == 300


def test_what_is_read_from_a_store_can_be_written_to_it(store: SqliteStore) -> None:
    """Entries are still read while those before them are staged."""
    store.directory.write((resource(str(n), size=n) for n in range(9_999)), ACT)
    before = list(store.directory.entities())
    assert store.directory.write(store.directory.entities(), ACT) == 9_999
    assert list(store.directory.entities()) == before


def test_a_write_grows_the_revision_and_is_told_to_the_log_by_its_count(store: SqliteStore) -> None:
    """Issue 3: every administrative act is recorded; counts, not contents."""
    before = store.directory.revision()
    store.directory.write([resource("secret-id"), resource("2")], ACT)
    assert store.directory.revision() > before
    (link,) = list(store.log.links())
    record = json.loads(link.text)
    assert (record["act"], record["author"], record["note"], record["written"]) == (
        "directory.import",
        "tester",
        "why not",
        2,
    )
    assert "secret-id" not in link.text


def test_an_empty_write_is_no_act(store: SqliteStore) -> None:
    """Nothing done, nothing told."""
    before = store.directory.revision()
    assert store.directory.write([], ACT) == 0
    assert store.directory.delete([], ACT) == 0
    assert store.directory.revision() == before
    assert list(store.log.links()) == []


def test_the_last_entry_with_a_key_counts(store: SqliteStore) -> None:
    """Also where the two are in different chunks."""
    many = [resource("a", n=1), *(resource(str(n)) for n in range(5000)), resource("a", n=2)]
    assert store.directory.write(many, ACT) == 5001
    found = store.directory.get(Key(Kind.RESOURCE, "document", "a", "acme"))
    assert found is not None
    assert found.attributes == {"n": 2}


def test_what_raises_within_a_write_leaves_nothing_behind(store: SqliteStore) -> None:
    """Issue 3: all or nothing, with its record and its revision."""

    def entities() -> Iterator[Entity]:
        yield from (resource(str(n)) for n in range(3000))
        raise RuntimeError("on purpose")

    before = store.directory.revision()
    with pytest.raises(RuntimeError, match="on purpose"):
        store.directory.write(entities(), ACT)
    assert list(store.directory.entities()) == []
    assert list(store.log.links()) == []
    assert store.directory.revision() == before
    assert store.directory.write([resource("1")], ACT) == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_text_in_any_part_of_a_key_comes_back_as_it_was_and_runs_nothing(store: SqliteStore, text: str) -> None:
    """Threats 2.4 and issue 3, point 1: nothing from a request becomes SQL."""
    entities = [
        Entity(Key(Kind.SUBJECT, "", text, text), {text: text}, (text,)),
        Entity(Key(Kind.ROLE_BINDING, f"subject:{text}", text, text)),
        Entity(Key(Kind.TOOL, text, text, text), {"tags": [text]}),
        resource(text, text, owner=text),
    ]
    assert store.directory.write(entities, ACT) == 4
    for entity in entities:
        assert store.directory.get(entity.key) == entity
    assert store.directory.roles_of(text, [f"subject:{text}"]) == {text}
    assert list(store.directory.servers_of(text, text)) == [text]
    assert list(store.directory.tenants_of(Kind.SUBJECT, "", text)) == [text]
    assert len(list(store.directory.entities(tenant=text))) == 4
    assert store.directory.delete([entity.key for entity in entities], ACT) == 4
    assert list(store.directory.entities()) == []


def test_entries_of_two_tenants_or_in_two_cases_are_different_ones(store: SqliteStore) -> None:
    """Threats 4, I2; S72: the same id elsewhere is something else."""
    entities = [resource(id_, tenant, me=f"{id_}/{tenant}") for id_ in ("a", "A", "á") for tenant in ("", "t", "T")]
    assert store.directory.write(entities, ACT) == 9
    for entity in entities:
        assert store.directory.get(entity.key) == entity
    assert list(store.directory.tenants_of(Kind.RESOURCE, "document", "a")) == ["", "T", "t"]
    assert store.directory.delete([entities[0].key], ACT) == 1
    assert store.directory.get(entities[1].key) == entities[1]
    assert {entity.key.tenant for entity in store.directory.entities(tenant="t")} == {"t"}


def test_roles_are_those_of_the_named_principals_in_that_tenant(store: SqliteStore) -> None:
    """Issue 3, point 3: role bindings (subject or group, role, tenant)."""
    store.directory.write(
        [
            binding("subject:a", "reader"),
            binding("group:a", "writer"),
            binding("group:eng", "editor"),
            binding("group:eng", "owner", "other"),
            binding("subject:b", "admin"),
        ],
        ACT,
    )
    roles_of = store.directory.roles_of
    assert roles_of("acme", ["subject:a"]) == {"reader"}
    assert roles_of("acme", ["subject:a", "group:eng", "group:none"]) == {"reader", "editor"}
    assert roles_of("acme", []) == frozenset()
    assert roles_of("", ["subject:a"]) == frozenset()
    assert roles_of("acme", [f"group:{n}" for n in range(10_000)] + ["subject:b"]) == {"admin"}


@pytest.mark.parametrize(
    ("groups", "named"),
    [
        ([group("a", "a")], {"a"}),
        ([group("a", "b"), group("b", "a")], {"a", "b"}),
        ([group("a", "b"), group("b", "c"), group("c", "d", "a")], {"a", "b", "c"}),
        ([group(str(n), str(n + 1)) for n in range(9_999)] + [group("9999", "0")], {"0", "1", "2"}),
    ],
    ids=["itself", "two", "three", "10000"],
)
def test_groups_that_would_be_in_themselves_are_refused(
    store: SqliteStore, groups: list[Entity], named: set[str]
) -> None:
    """Issue 3, bad input: a cycle of groups is refused at write."""
    with pytest.raises(GroupCycleError) as caught:
        store.directory.write([resource("1"), *groups], ACT)
    assert named <= {group.id for group in caught.value.groups}
    assert list(store.directory.entities()) == []
    assert list(store.log.links()) == []


def test_a_cycle_that_closes_over_stored_groups_is_refused_and_a_diamond_is_none(store: SqliteStore) -> None:
    """Issue 3: also where each write alone is fine."""
    store.directory.write([group("a", "b", "c"), group("b", "d"), group("c", "d"), group("d")], ACT)
    with pytest.raises(GroupCycleError, match="`d` in `a`"):
        store.directory.write([group("d", "a")], ACT)
    assert store.directory.write([group("d", "a", tenant="other")], ACT) == 1
    assert store.directory.write([group("a"), group("d", "a")], ACT) == 2


def test_a_cycle_that_two_processes_would_close_together_is_refused(store: SqliteStore) -> None:
    """Issue 3: the other's group came between the look and the write."""
    with_other = open_store(store.database.path)
    try:

        def entities() -> Iterator[Entity]:
            yield group("a", "b")
            with_other.directory.write([group("b", "a")], ACT)

        with pytest.raises(GroupCycleError):
            store.directory.write(entities(), ACT)
        assert [entity.key.id for entity in store.directory.entities()] == ["b"]
    finally:
        with_other.close()


def test_only_the_group_that_closes_a_cycle_is_left_out_when_asked(store: SqliteStore) -> None:
    """Issue 3: an import goes on where it is told to."""
    refused: list[str] = []
    entities = [group("a", "b"), resource("1"), group("b", "c"), group("c", "a"), group("d", "a")]
    assert store.directory.write(entities, ACT, lambda _error, key: refused.append(key.id)) == 4
    assert refused == ["c"]
    assert {entity.key.id for entity in store.directory.entities(kind=Kind.GROUP)} == {"a", "b", "d"}


def test_a_change_by_another_connection_is_seen_in_the_revision(store: SqliteStore) -> None:
    """Issue 3: invalidated on change in all workers."""
    other = open_store(store.database.path)
    try:
        before = store.directory.revision()
        assert store.directory.revision() == before
        other.directory.write([resource("1")], ACT)
        middle = store.directory.revision()
        assert middle > before
        other.directory.delete([resource("1").key], ACT)
        assert store.directory.revision() > middle
    finally:
        other.close()


def test_an_export_is_of_one_moment(store: SqliteStore) -> None:
    """A change during an export belongs to the next one."""
    store.directory.write([resource(f"{n:04}") for n in range(3000)], ACT)
    other = open_store(store.database.path)
    try:
        export = store.directory.entities()
        next(export)
        other.directory.delete([resource("2999").key], ACT)
        assert len(list(export)) == 2999
        assert len(list(store.directory.entities())) == 2999
    finally:
        other.close()


def test_others_write_while_entries_are_staged(store: SqliteStore) -> None:
    """The decision log must not wait for an import that is being read."""
    staged, go_on = threading.Event(), threading.Event()

    def entities() -> Iterator[Entity]:
        yield from (resource(str(n)) for n in range(5000))
        staged.set()
        assert go_on.wait(30)

    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(store.directory.write(entities(), ACT)))
    thread.start()
    try:
        assert staged.wait(30)
        other = open_store(store.database.path, wait=0.0)
        try:
            other.log.append(['{"kind":"decision"}'])
        finally:
            other.close()
    finally:
        go_on.set()
        thread.join()
    assert done == [5000]


def test_a_write_that_finds_the_store_locked_writes_nothing(tmp_path: Path) -> None:
    """Threats 3d-7."""
    store = open_store(tmp_path / "authz.db", create=True, wait=0.0)
    holder = sqlite3.connect(tmp_path / "authz.db", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError):
            store.directory.write([resource("1")], ACT)
        holder.execute("ROLLBACK")
        assert list(store.directory.entities()) == []
        assert store.directory.write([resource("1")], ACT) == 1
    finally:
        holder.close()
        store.close()


def test_reads_by_key_scan_nothing(store: SqliteStore) -> None:
    """Issue 3, speed: a directory of a million entries is asked before each decision."""
    seen: list[str] = []
    connection = store.database.connection
    connection.set_trace_callback(seen.append)
    store.directory.get(resource("1").key)
    store.directory.tenants_of(Kind.RESOURCE, "document", "1")
    store.directory.roles_of("acme", ["subject:a"])
    store.directory.servers_of("acme", "read_file")
    connection.set_trace_callback(None)
    statements = [statement for statement in seen if "entity" in statement]
    assert len(statements) == 4
    for statement in statements:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert not [line for line in plan if "SCAN entity" in line], plan
