"""DirectoryService over gRPC, on a real store (issue 3, point 3)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import structlog

from authz.server.directory_service import DirectoryService
from authz.stores.sqlite.store import open_store
from authz.v1 import directory_pb2 as v1
from authz.v1.directory_pb2_grpc import DirectoryServiceStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from authz.directory.store import DirectoryStore
    from authz.v1.directory_pb2_grpc import DirectoryServiceAsyncStub


class Running:
    """A server with the service, its store and a client."""

    def __init__(self, path: Path, stub: DirectoryServiceAsyncStub, channel: grpc.aio.Channel) -> None:
        """Remember all three."""
        self.path = path
        self.stub = stub
        self.channel = channel

    def ids(self) -> list[tuple[str, str]]:
        """Return the tenant and id of all entries, as another process sees them."""
        with contextlib.closing(open_store(self.path, readonly=True)) as store:
            return [(entity.key.tenant, entity.key.id) for entity in store.directory.entities()]

    def acts(self) -> list[dict[str, object]]:
        """Return the records of the log."""
        with contextlib.closing(open_store(self.path, readonly=True)) as store:
            return [json.loads(link.text) for link in store.log.links()]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """Serve a new store on a socket of its own."""
    path = tmp_path / "authz.db"
    open_store(path, create=True).close()

    @contextlib.contextmanager
    def stores() -> Iterator[DirectoryStore]:
        with contextlib.closing(open_store(path)) as store:
            yield store.directory

    service = DirectoryService(stores, structlog.get_logger())
    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("authz.v1.DirectoryService", service.handlers())  # type: ignore[arg-type]  # the stub asks for a dict
    server.add_generic_rpc_handlers((handler,))
    address = f"unix:{tmp_path / 's'}"
    server.add_insecure_port(address)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield Running(path, DirectoryServiceStub(channel), channel)
    finally:
        await server.stop(None)


def subject(
    id_: str, tenant: str = "acme", *groups: str, kind: v1.EntityKind.ValueType = v1.ENTITY_KIND_SUBJECT
) -> v1.Entity:
    """Return the message of a subject, or a group."""
    return v1.Entity(key=v1.EntityKey(kind=kind, id=id_, tenant=tenant), within=groups)


def first(*entities: v1.Entity, on_error: v1.OnError.ValueType = v1.ON_ERROR_UNSPECIFIED) -> v1.ImportEntitiesRequest:
    """Return the first message of an import."""
    return v1.ImportEntitiesRequest(author="root", note="why", on_error=on_error, entities=entities)


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    """Return the status of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]  # what a stub returns
    return caught.value.code(), caught.value.details() or ""


async def test_what_is_imported_can_be_read_exported_and_deleted(running: Running) -> None:
    """Issue 3: DirectoryService."""
    alice = subject("alice", "acme", "eng")
    alice.attributes.update({"grade": 3, "tags": ["a"], "none": None})
    rest = [v1.ImportEntitiesRequest(entities=[subject(f"{n:04}") for n in range(k, k + 900)]) for k in (0, 900, 1800)]
    answer = await running.stub.ImportEntities(iter([first(alice), *rest]))
    assert (answer.written, answer.refused) == (2701, 0)
    got = await running.stub.GetEntity(v1.GetEntityRequest(key=alice.key))
    assert got.entity == alice
    exported = [
        entity
        async for part in running.stub.ExportEntities(v1.ExportEntitiesRequest(tenant="acme"))
        for entity in part.entities
    ]
    assert len(exported) == 2701
    assert exported[-1] == alice
    deleted = await running.stub.DeleteEntities(
        v1.DeleteEntitiesRequest(keys=[alice.key, alice.key, subject("x").key], author="root")
    )
    assert deleted.deleted == 1
    acts = [(act["act"], act["author"], act["via"], act.get("note")) for act in running.acts()]
    assert acts == [("directory.import", "root", "admin", "why"), ("directory.delete", "root", "admin", None)]


async def test_what_is_another_tenants_is_not_found_in_the_same_words(running: Running) -> None:
    """Threats 4, I2: no leak of the existence of other tenants' entries."""
    await running.stub.ImportEntities(iter([first(subject("alice", "other"))]))
    asked = [v1.GetEntityRequest(key=subject("alice", tenant).key) for tenant in ("acme", "")]
    before = [await refusal(running.stub.GetEntity(request)) for request in asked]
    await running.stub.DeleteEntities(v1.DeleteEntitiesRequest(keys=[subject("alice", "other").key], author="root"))
    assert before == [await refusal(running.stub.GetEntity(request)) for request in asked]
    assert before[0] == (grpc.StatusCode.NOT_FOUND, "there is no subject `alice` here")
    parts = [part async for part in running.stub.ExportEntities(v1.ExportEntitiesRequest(tenant="acme"))]
    assert parts == []


async def test_a_bad_entry_is_named_and_the_others_go_in_where_asked(running: Running) -> None:
    """Issue 3, bad input: by its place in the stream."""
    bad = subject("a\nb")
    messages = [[subject("a"), subject("b")], [bad, subject("c")]]

    def stream(on_error: v1.OnError.ValueType) -> Iterator[v1.ImportEntitiesRequest]:
        yield first(*messages[0], on_error=on_error)
        yield v1.ImportEntitiesRequest(entities=messages[1])

    code, details = await refusal(running.stub.ImportEntities(stream(v1.ON_ERROR_UNSPECIFIED)))
    assert (code, details) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "entry 3: subject: `id` holds a control character",
    )
    assert running.ids() == []
    stopped = await running.stub.ImportEntities(stream(v1.ON_ERROR_STOP))
    assert (stopped.written, stopped.refused, stopped.problems[0].number) == (2, 1, 3)
    skipped = await running.stub.ImportEntities(stream(v1.ON_ERROR_SKIP))
    assert (skipped.written, skipped.refused) == (3, 1)
    assert [id_ for _, id_ in running.ids()] == ["a", "b", "c"]


async def test_groups_in_themselves_fail_the_precondition(running: Running) -> None:
    """Issue 3, bad input."""
    kind = v1.ENTITY_KIND_GROUP
    groups = [subject("a", "t", "b", kind=kind), subject("b", "t", "a", kind=kind)]
    code, details = await refusal(running.stub.ImportEntities(iter([first(*groups)])))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert details == "entry 2: group: groups would be in themselves: `a` in `b` in `a`"
    assert running.ids() == []


@pytest.mark.parametrize(
    ("messages", "details"),
    [
        ([], "author: must not be empty"),
        ([v1.ImportEntitiesRequest(entities=[subject("a")])], "author: must not be empty"),
        ([v1.ImportEntitiesRequest(author="a\n")], "author: holds a control character"),
        ([first(), first()], "author: and what else concerns the whole import belongs into the first message"),
        ([first(*[subject("a")] * 1001)], "entities: holds more than 1000 items"),
        ([v1.ImportEntitiesRequest(author="a", on_error=9)], "on_error: is no value of OnError"),  # type: ignore[arg-type]  # that is the point
        ([first(v1.Entity())], "entry 1: `kind` is no kind of entry"),
        ([first(subject("a", "t", ""))], "entry 1: subject: `groups[0]` must not be empty"),
    ],
)
async def test_an_import_that_is_malformed_is_refused(
    running: Running, messages: list[v1.ImportEntitiesRequest], details: str
) -> None:
    """Issue 3, bad input: INVALID_ARGUMENT, with what is wrong."""
    found = await refusal(running.stub.ImportEntities(iter(messages)))
    assert found == (grpc.StatusCode.INVALID_ARGUMENT, details)
    assert running.ids() == []


async def test_bytes_that_are_no_message_or_say_a_name_twice_are_refused(running: Running) -> None:
    """L60: two readers must not see two different entries; malformed protobuf is the asker's fault (threats 3d-39)."""
    entity = subject("alice")
    entity.attributes.update({"x": 1})
    field = v1.Entity.DESCRIPTOR.fields_by_name["attributes"].number << 3 | 2
    payload = entity.attributes.SerializeToString()
    doubled = entity.SerializeToString() + bytes([field, len(payload)]) + payload
    message = first().SerializeToString() + bytes([4 << 3 | 2, len(doubled)]) + doubled
    for data in (b"\xff\xff", message):
        send: Any = running.channel.stream_unary("/authz.v1.DirectoryService/ImportEntities")
        code, details = await refusal(send(iter([data])))
        assert code is grpc.StatusCode.INVALID_ARGUMENT, details
    for method in ("GetEntity", "DeleteEntities"):
        send = running.channel.unary_unary(f"/authz.v1.DirectoryService/{method}")
        assert (await refusal(send(b"\xff\xff")))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert running.ids() == []


async def test_half_an_import_is_not_taken_for_a_whole_one(running: Running) -> None:
    """Issue 3: all or nothing, also when the sender vanishes in the middle of its stream."""
    for _ in range(5):
        call = running.stub.ImportEntities()
        await call.write(first(subject("a")))
        await call.write(v1.ImportEntitiesRequest(entities=[subject("b")]))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    whole = await running.stub.ImportEntities(iter([first(subject("c"))]))
    assert whole.written == 1
    assert running.ids() == [("acme", "c")]


async def test_a_store_that_is_gone_is_unavailable_without_its_path(running: Running) -> None:
    """What the asker sees and what the log keeps are different texts."""
    running.path.unlink()
    code, details = await refusal(running.stub.GetEntity(v1.GetEntityRequest(key=subject("a").key)))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert str(running.path) not in details


async def test_large_entries_are_exported_in_messages_that_clients_take(running: Running) -> None:
    """A message has at most 4 MiB, whatever the entries hold."""
    entities = []
    for n in range(150):
        entity = subject(f"{n}")
        entity.attributes.update({"text": "x" * 65_000})
        entities.append(entity)
    parts = [first(), *(v1.ImportEntitiesRequest(entities=entities[k : k + 50]) for k in (0, 50, 100))]
    assert (await running.stub.ImportEntities(iter(parts))).written == 150
    exported = [part async for part in running.stub.ExportEntities(v1.ExportEntitiesRequest())]
    assert sum(len(part.entities) for part in exported) == 150
    assert max(part.ByteSize() for part in exported) < 2 * 1024 * 1024
