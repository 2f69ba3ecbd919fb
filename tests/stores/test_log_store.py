"""What every store of the log holds to (issue 3, 1: one conformance test suite)."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from authz.audit.query import Query
from authz.audit.signing import load_verifier, public_path
from authz.audit.verify import verify
from authz.errors import NotStoredError, StoreError
from authz.model import Act
from authz.stores.sqlite.store import SqliteStore, key_path, open_store

if TYPE_CHECKING:
    from pathlib import Path

ACT = Act("olga", "cli")


def decided(random: Random) -> dict[str, object]:
    """Draw a record whose members meet often."""
    record: dict[str, object] = {
        "time": f"2026-01-{random.randint(1, 9):02}T00:00:00.000000Z",
        "kind": random.choice(("decision", "act", "authentication")),
        "subject": random.choice(("alice", "bob", "' OR 1=1 --", "{", "\u2028")),
        "tool": random.choice(("read", "write", "%")),
        "tenant": random.choice(("acme", "globex", "")),
        "client": random.choice(("cli", "web")),
        "decision": random.choice(("ALLOW", "DENY")),
        "reason": random.choice(("ALLOWED", "NO_RULE")),
        "rules": random.sample(["a", "b", "c", "a,b"], 2),
        "resource": {"type": random.choice(("doc", "dir")), "id": random.choice(("1", "2", "$.x"))},
    }
    for name in random.sample(sorted(record), 2):
        del record[name]
    return {"n": random.random(), **record}


def asked(random: Random) -> Query:
    """Draw a query that asks for few things at a time."""
    choices: dict[str, Any] = {
        "subjects": random.choice((("alice",), ("bob", "alice"), ("' OR 1=1 --",), ("\u2028",), ())),
        "tool": random.choice(("read", "%", "nothing")),
        "tenant": random.choice(("acme", "")),
        "client": "web",
        "resource_type": "doc",
        "resource_id": random.choice(("1", "$.x")),
        "decision": "DENY",
        "reason": "NO_RULE",
        "kind": "decision",
        "rule": random.choice(("a", "a,b")),
        "since": f"2026-01-{random.randint(1, 9):02}T00:00:00.000000Z",
        "until": f"2026-01-{random.randint(1, 9):02}T00:00:00.000000Z",
        "limit": random.choice((1, 5)),
    }
    names = random.sample(sorted(choices), random.randint(0, 3))
    return Query(**{name: choices[name] for name in names}, newest_first=random.random() < 0.5)


def answers(records: list[dict[str, Any]], query: Query) -> list[int]:
    """Answer a query as its words say, and give the numbers of the records."""

    def meets(record: dict[str, Any]) -> bool:
        resource = record.get("resource", {})
        same = (
            (query.tool, record.get("tool")),
            (query.tenant, record.get("tenant")),
            (query.client, record.get("client")),
            (query.resource_type, resource.get("type")),
            (query.resource_id, resource.get("id")),
            (query.decision, record.get("decision")),
            (query.reason, record.get("reason")),
            (query.kind, record.get("kind")),
        )
        return (
            all(wanted is None or wanted == has for wanted, has in same)
            and (query.subjects is None or record.get("subject") in query.subjects)
            and (query.rule is None or query.rule in record.get("rules", ()))
            and (query.since is None or record.get("time", "") >= query.since)
            and (query.until is None or ("time" in record and record["time"] < query.until))
        )

    found = [record["seq"] for record in records if meets(record)]
    return (found[::-1] if query.newest_first else found)[: query.limit]


def test_a_query_finds_what_a_plain_filter_finds(store: SqliteStore) -> None:
    """Issue 3, 4: `log query`; and no text of a query is ever SQL."""
    random = Random(11)
    store.log.append([json.dumps(decided(random)) for _ in range(300)])
    records = [json.loads(link.text) for link in store.log.links()]
    hits = 0
    for _ in range(400):
        query = asked(random)
        found = [json.loads(text)["seq"] for text in store.log.query(query)]
        assert found == answers(records, query), query
        hits += bool(found)
    assert hits > 100


def test_a_query_goes_through_all_pages(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 3, 4: a log is searched in pages, and what is found does not depend on them."""
    store.log.append([json.dumps({"n": number, "tool": f"t{number % 3}"}) for number in range(100)])
    whole = {first: list(store.log.query(Query(tool="t1", newest_first=first))) for first in (True, False)}
    steps: list[int] = []
    monkeypatch.setattr("authz.stores.sqlite.log._PAGE", 7)
    for first, texts in whole.items():
        assert list(store.log.query(Query(tool="t1", newest_first=first), steps.append)) == texts
        assert list(store.log.query(Query(tool="t1", limit=9, newest_first=first))) == texts[:9]
    assert steps[-1] == 100
    assert steps[:15] == sorted(steps[:15])


def test_an_append_is_whole_or_not_there(store: SqliteStore) -> None:
    """Issue 3, 4: acts append in their own transaction, and go with it."""
    store.log.append(['{"a":1}'])
    before = store.log.head()
    with pytest.raises(RuntimeError), store.database.writing() as connection:  # noqa: PT012  # the transaction is the point
        store.log.append_within(connection, ['{"a":2}', '{"a":3}'])
        raise RuntimeError
    assert store.log.head() == before
    assert len(list(store.log.links())) == 1
    assert store.log.append([]) == before.head


def test_links_begin_where_they_are_asked_to(store: SqliteStore) -> None:
    """Issue 3, 4: `tail -f` goes on after what it has printed."""
    store.log.append(['{"a":1}'] * 1_203)
    assert [link.seq for link in store.log.links(600)] == list(range(600, 1_204))
    assert list(store.log.links(1_204)) == []


def test_a_log_without_its_key_can_be_read_and_not_written(store: SqliteStore) -> None:
    """Issue 3, 4: who only reads needs no key that signs."""
    store.log.append(['{"a":1}'])
    path = store.database.path
    with contextlib.closing(open_store(path, readonly=True)) as reader:
        assert verify(reader.log, load_verifier(public_path(key_path(path)))).records == 1
        with pytest.raises(StoreError):
            reader.log.append(['{"a":2}'])
    assert store.log.head().head.seq == 1


def test_records_go_up_to_a_checkpoint_only(store: SqliteStore) -> None:
    """Issue 3, 4: retention ends at a signed head."""
    store.log.append(['{"a":1}'] * 1_500)
    (checkpoint,) = store.log.checkpoints()
    with pytest.raises(NotStoredError):
        store.log.retire(700, ACT)
    assert store.log.retire(checkpoint.head.seq, ACT) == 1_500
    assert [link.seq for link in store.log.links()] == [1_501]
    assert store.log.retire(checkpoint.head.seq, ACT) == 0
    assert store.log.head().head.seq == 1_501


def append_often(path: Path, name: str) -> None:
    """Append records as one of several processes."""
    with contextlib.closing(open_store(path, durable=False)) as store:
        for number in range(60):
            store.log.append([json.dumps({"by": name, "n": number})] * (number % 4 + 1))


def test_chains_of_several_processes_are_one(store: SqliteStore) -> None:
    """Issue 3, 1: a writer discipline that holds for several processes; threats 3d-52."""
    path = store.database.path
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=append_often, args=(path, name)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    seen = verify(store.log, load_verifier(public_path(key_path(path))))
    assert (seen.findings, seen.records) == ((), 450)
    for name in "abc":
        own = [json.loads(link.text)["n"] for link in store.log.links() if json.loads(link.text)["by"] == name]
        assert own == [number for number in range(60) for _ in range(number % 4 + 1)]
