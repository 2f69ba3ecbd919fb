"""What is kept of a directory: nothing that is not so any more, nothing of anybody else, and not too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from authz.directory.cache import Cache
from authz.directory.completion import Completer
from authz.directory.entities import Entity, Key, Kind
from authz.model import Act, Request, Resource
from authz.stores.sqlite.store import open_store
from tests.directory.memory import MemoryDirectory
from tests.directory.worlds import TENANTS, entities

if TYPE_CHECKING:
    import pytest

    from authz.directory.completion import Completed

ACT = Act("ann", "cli")

_REQUESTS = st.builds(
    lambda tenant, subject, named, id_: Request(
        tool="read_doc", subject=subject, tenant=tenant, resource=Resource("document", id_, named)
    ),
    st.sampled_from(TENANTS),
    st.sampled_from(("alice", "bob")),
    st.sampled_from(TENANTS),
    st.sampled_from(("d1", "d2")),
)


@settings(max_examples=12)
@given(steps=st.lists(st.one_of(_REQUESTS, entities(TENANTS)), min_size=4, max_size=12))
def test_what_is_kept_equals_what_is_stored_whoever_writes(
    steps: list[Request | list[Entity]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """I4: with another connection writing between any two requests."""
    path = tmp_path_factory.mktemp("store") / "authz.db"
    writer, reader = open_store(path, create=True, durable=False), open_store(path, readonly=True)
    try:
        warm = Completer(reader.directory)
        for step in steps:
            if isinstance(step, Request):
                assert warm.complete(step) == Completer(writer.directory).complete(step)
            else:
                writer.directory.write([one for one in step if one.key.kind is not Kind.GROUP], ACT)
    finally:
        reader.close()
        writer.close()


def test_an_answer_is_of_one_revision_even_where_it_changes_in_between() -> None:
    """Issue 3.3: a subject from before a change and a resource from after it were never true together."""
    key, other = Key(Kind.SUBJECT, "", "ann", "acme"), Key(Kind.RESOURCE, "document", "d1", "acme")

    class Changing(MemoryDirectory):
        def get(self, key: Key) -> Entity | None:
            found = super().get(key)
            if key[::2] == (Kind.SUBJECT, "ann") and self.changes == 0:  # somebody writes right after this read
                self.write([Entity(key, {"at": 2}), Entity(other, {"at": 2})], ACT)
            return found

    completer = Completer(Changing([Entity(key, {"at": 1}), Entity(other, {"at": 1})]))
    completer.complete(Request(tool="read", subject="bob", tenant="acme"))  # now it knows the revision
    request = Request(tool="read", subject="ann", tenant="acme", resource=Resource("document", "d1", "acme"))
    completed = completer.complete(request).request
    assert completed.subject_attributes == {"at": 2}
    assert completed.resource is not None
    assert completed.resource.attributes == {"at": 2}


def test_what_is_not_there_is_kept_too_until_it_is() -> None:
    """Issue 3.3: or everybody could make every request read the disk."""
    store = MemoryDirectory()
    completer = Completer(store)
    request = Request(tool="read", subject="ann", tenant="acme")
    first = completer.complete(request)
    reads = len(store.reads)
    assert completer.complete(request) == first
    assert len(store.reads) == reads
    store.write([Entity(Key(Kind.SUBJECT, "", "ann", "acme"), {"level": 1})], ACT)
    assert completer.complete(request).request.subject_attributes == {"level": 1}


def test_names_that_run_together_are_not_taken_for_one_another() -> None:
    """Threats 2.4: no key is made by joining."""

    def named(type_: str, id_: str, tenant: str, level: int) -> Entity:
        return Entity(Key(Kind.RESOURCE, type_, id_, tenant), {"level": level})

    names = [("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""), ("a\x00b", "c", ""), ("A", "b", "c"), ("a", "b", "c ")]
    store = MemoryDirectory([named(*name, level) for level, name in enumerate(names)])
    completer = Completer(store)

    def level(type_: str, id_: str, tenant: str) -> Completed:
        return completer.complete(Request(tool="x", subject="s", tenant=tenant, resource=Resource(type_, id_, tenant)))

    for at, name in enumerate(names):
        if name[1] and "\x00" not in name[0]:
            resource = level(*name).request.resource
            assert resource is not None
            assert resource.attributes == {"level": at}


def test_a_cache_holds_no_more_than_it_may() -> None:
    """Issue 3.3: bounded; what was used last stays."""
    few: Cache[str] = Cache(max_entries=3)
    for key in ("a", "b", "c", "a", "d"):
        few.get((key,), lambda key=key: (key, 1))  # type: ignore[misc]  # the default binds it now
    assert len(few) == 3
    made = few.made
    assert [few.get((key,), lambda: ("new", 1)) for key in ("a", "c", "d")] == ["a", "c", "d"]
    assert few.made == made
    assert few.get(("b",), lambda: ("new", 1)) == "new"

    small: Cache[str] = Cache(max_bytes=5_000)
    for number in range(100):
        small.get(number, lambda: ("x", 500))
    assert 1 <= len(small) <= 3
    assert small.bytes <= 5_000
    assert small.get("huge", lambda: ("y", 10_000)) == "y"
    assert small.bytes <= 5_000
