"""What a request is completed with, rule by rule, from a store on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from authz.directory.completion import Completer
from authz.directory.entities import Entity, Key, Kind
from authz.errors import InvalidRequestError, StoreError
from authz.model import Act, Client, Fact, Request, Resource, ToolInfo
from authz.stores.sqlite.store import open_store
from tests.directory.memory import MemoryDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from authz.directory.completion import Completed
    from authz.model import Value
    from authz.stores.sqlite.directory import SqliteDirectory

ACT = Act("ann", "cli")


def subject(id_: str, tenant: str = "acme", *groups: str, **attributes: Value) -> Entity:
    """Make a subject's entry."""
    return Entity(Key(Kind.SUBJECT, "", id_, tenant), attributes, groups)


def group(id_: str, tenant: str = "acme", *groups: str) -> Entity:
    """Make a group's entry."""
    return Entity(Key(Kind.GROUP, "", id_, tenant), {}, groups)


def binding(principal: str, role: str, tenant: str = "acme") -> Entity:
    """Make a role binding."""
    return Entity(Key(Kind.ROLE_BINDING, principal, role, tenant))


def document(id_: str, tenant: str = "acme", *within: str, **attributes: Value) -> Entity:
    """Make a document's entry."""
    return Entity(Key(Kind.RESOURCE, "document", id_, tenant), attributes, within)


def folder(id_: str, tenant: str = "acme", *within: str) -> Entity:
    """Make a folder's entry."""
    return Entity(Key(Kind.RESOURCE, "folder", id_, tenant), {}, within)


def tool(server: str, name: str, tenant: str = "", **attributes: Value) -> Entity:
    """Make a tool's entry."""
    return Entity(Key(Kind.TOOL, server, name, tenant), attributes)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[SqliteDirectory]:
    """Return the directory of a new store."""
    store = open_store(tmp_path / "authz.db", create=True, durable=False)
    yield store.directory
    store.close()


def ask(**given: Any) -> Request:  # noqa: ANN401  # the parts of a request
    """Make a request of ann's."""
    resource = given.pop("resource", None)
    if isinstance(resource, str):
        resource = Resource("document", resource, given.get("tenant", "acme"))
    return Request(**{"tool": "read", "subject": "ann", "tenant": "acme", "resource": resource, **given})


def completed(directory: SqliteDirectory, request: Request, *entities: Entity) -> Completed:
    """Write entries, and complete a request from them."""
    directory.write(entities, ACT)
    return Completer(directory).complete(request)


def test_a_request_of_which_nothing_is_known_stays_the_very_same(directory: SqliteDirectory) -> None:
    """Issue 3.3."""
    request = ask(resource="d1", client=Client("bot"), tool_info=ToolInfo("files"))
    result = completed(directory, request, subject("ann", "globex", level=1), document("d2"))
    assert result.request is request
    assert result.facts == ()


# --- The subject ----------------------------------------------------------------------------


def test_attributes_that_the_request_does_not_give_are_filled_in_and_its_own_stay(directory: SqliteDirectory) -> None:
    """Issue 3.3; a null is an attribute that is not given (L12)."""
    request = ask(subject_attributes={"level": 1, "team": None})
    result = completed(directory, request, subject("ann", level=9, team="x", groups="forged"))
    assert result.request.subject_attributes == {"level": 1, "team": "x"}
    assert result.facts == (Fact("subject_attributes.team", "x"),)


def test_groups_of_groups_are_the_subjects_too(directory: SqliteDirectory) -> None:
    """Issue 3.3: nested and transitive; those of the request count as well."""
    entities = (subject("ann", "acme", "eng"), group("eng", "acme", "staff"), group("ops", "acme", "night"))
    request = ask(subject_attributes={"groups": ["group:ops", "staff"]})
    result = completed(directory, request, *entities)
    assert result.request.subject_attributes["groups"] == ["group:ops", "staff", "eng", "night"]
    assert result.facts == (Fact("subject_attributes.groups", ("eng", "night")),)


def test_groups_that_contain_one_another_come_to_an_end() -> None:
    """Issue 3.3: cycle-safe, even where data has one that no write lets in."""
    store = MemoryDirectory([subject("ann", "acme", "a"), group("a", "acme", "b"), group("b", "acme", "a", "c")])
    assert Completer(store).complete(ask()).request.subject_attributes["groups"] == ["a", "b", "c"]


def test_groups_of_the_wrong_type_stay_unknown(directory: SqliteDirectory) -> None:
    """L14: nothing is guessed, so nothing is added to it."""
    result = completed(directory, ask(subject_attributes={"groups": "eng"}), subject("ann", "acme", "staff"))
    assert result.request.subject_attributes == {"groups": "eng"}


def test_roles_come_from_bindings_of_the_subject_and_of_its_groups(directory: SqliteDirectory) -> None:
    """Issue 3.3: in that tenant, and no other; also for a subject without an entry."""
    bindings = (
        binding("subject:ann", "viewer"),
        binding("group:staff", "editor"),
        binding("group:staff", "admin", "globex"),
        binding("subject:bob", "boss"),
        binding("group:ann", "odd"),
    )
    request = ask(roles=("carried", "viewer"), subject_attributes={"groups": ["eng"]})
    result = completed(directory, request, group("eng", "acme", "staff"), *bindings)
    assert result.request.roles == ("carried", "viewer", "editor")
    assert Fact("roles", ("editor",)) in result.facts


def test_nothing_is_known_of_nobody(directory: SqliteDirectory) -> None:
    """Issue 3.3."""
    request = ask(subject="", anonymous=True)
    assert completed(directory, request, subject("ann"), binding("subject:ann", "viewer")).request is request


# --- The resource ---------------------------------------------------------------------------


def test_a_resource_is_filled_in_from_the_entry_of_the_tenant_it_names(directory: SqliteDirectory) -> None:
    """Issue 3.3; ancestors of ancestors are known from their own entries."""
    entities = (
        document("d1", "acme", "folder:f1", owner="ann", size=1),
        document("d1", "globex", "folder:f9", owner="eve", size=9),
        folder("f1", "acme", "folder:root"),
        folder("root", "acme", "folder:f1"),  # a cycle
        folder("root", "globex", "folder:top"),
    )
    resource = Resource("document", "d1", "acme", {"size": 5}, ("folder:here",))
    result = completed(directory, ask(resource=resource), *entities)
    filled = Resource(
        "document", "d1", "acme", {"size": 5, "owner": "ann"}, ("folder:here", "folder:f1", "folder:root")
    )
    assert result.request.resource == filled
    assert result.facts == (
        Fact("resource.attributes.owner", "ann"),
        Fact("resource.ancestors", ("folder:f1", "folder:root")),
    )


def test_a_resource_without_a_tenant_is_the_callers_where_the_caller_has_it(directory: SqliteDirectory) -> None:
    """Issue 3.3: whose it is says the directory."""
    entities = (document("d1", "acme", size=1), document("d1", "aaa", size=2))
    result = completed(directory, ask(resource=Resource("document", "d1")), *entities)
    assert result.request.resource == Resource("document", "d1", "acme", {"size": 1})
    assert Fact("resource.tenant", "acme") in result.facts


def test_a_shared_resource_is_found_in_the_empty_tenant(directory: SqliteDirectory) -> None:
    """Issue 3.3: types that are `global`. Its entry takes the resource from no tenant."""
    result = completed(directory, ask(resource="d1"), document("d1", "", size=1), document("d1", "aaa", size=2))
    assert result.request.resource == Resource("document", "d1", "acme", {"size": 1})


@pytest.mark.parametrize("named", ["acme", ""])
def test_a_resource_that_only_others_have_is_anothers(directory: SqliteDirectory, named: str) -> None:
    """Issue 3.3: the directory wins, whole; and tells nothing of the entry but whose it is."""
    entities = (document("d1", "zeta", owner="eve"), document("d1", "globex", "folder:f9", owner="bob"))
    resource = Resource("document", "d1", named, {"owner": "ann", "size": 1}, ("folder:mine",))
    result = completed(directory, ask(resource=resource), *entities)
    assert result.request.resource == Resource("document", "d1", "globex", {"owner": "bob"}, ("folder:f9",))
    assert result.facts == (Fact("resource.tenant", "globex", bool(named), named or None),)


def test_a_resource_that_the_request_calls_anothers_never_becomes_the_callers_own(directory: SqliteDirectory) -> None:
    """Issue 3.3: an unknown entry of the other tenant must not be taken for one of the same name here."""
    request = ask(resource=Resource("document", "d1", "globex"))
    assert completed(directory, request, document("d1", "acme", owner="ann")).request is request


def test_the_directorys_owner_counts_and_the_contradiction_is_told(directory: SqliteDirectory) -> None:
    """Issue 3.3."""
    request = ask(resource=Resource("document", "d1", "acme", {"owner": "ann"}))
    result = completed(directory, request, document("d1", owner="bob"))
    assert result.request.resource == Resource("document", "d1", "acme", {"owner": "bob"})
    assert result.facts == (Fact("resource.attributes.owner", "bob", contradicted=True, given="ann"),)


# --- Client and tool ------------------------------------------------------------------------


def test_a_client_of_the_tenant_counts_before_a_shared_one(directory: SqliteDirectory) -> None:
    """Issue 3.3."""
    entities = [Entity(Key(Kind.CLIENT, "", "bot", tenant), {"trust": at}) for at, tenant in enumerate(("", "acme"))]
    entities.append(Entity(Key(Kind.CLIENT, "", "old", ""), {"trust": 7}))
    directory.write(entities, ACT)
    completer = Completer(directory)
    asked = [ask(client=Client("bot")), ask(client=Client("old")), ask(tenant="globex", client=Client("bot"))]
    found = [completer.complete(request).request.client for request in asked]
    assert found == [Client("bot", {"trust": 1}), Client("old", {"trust": 7}), Client("bot", {"trust": 0})]


def test_hints_that_the_request_does_not_give_come_from_the_catalogue(directory: SqliteDirectory) -> None:
    """Issue 3.3; False was given."""
    known = tool("files", "read", read_only=True, destructive=True, tags=["safe"], input_schema={"type": "object"})
    request = ask(tool_info=ToolInfo("files", [], read_only=False))
    result = completed(directory, request, known, tool("evil", "read", read_only=True))
    assert result.request.tool_info == ToolInfo("files", ("safe",), read_only=False, destructive=True)


def test_a_tool_without_a_server_is_found_where_there_is_only_one(directory: SqliteDirectory) -> None:
    """Issue 3.3; the server stays unsaid, and two of one name are none."""
    directory.write([tool("files", "read", read_only=True), tool("other", "list", read_only=True)], ACT)
    completer = Completer(directory)
    assert completer.complete(ask()).request.tool_info == ToolInfo(read_only=True)
    directory.write([tool("evil", "read", "acme")], ACT)
    assert completer.complete(ask()).request.tool_info is None


# --- Limits and failures --------------------------------------------------------------------


def test_a_request_that_would_pass_a_limit_is_refused_and_not_cut(directory: SqliteDirectory) -> None:
    """L60."""
    entities = [subject("ann", "acme", "big"), document("d1", "acme", big=["x"] * 3000)]
    directory.write(entities, ACT)
    completer = Completer(directory)
    groups = {"groups": [f"g{number}" for number in range(10_000)]}
    with pytest.raises(InvalidRequestError, match="10000"):
        completer.complete(ask(subject_attributes=groups))
    full: dict[str, Any] = {f"a{number}": ["y"] * 9_700 for number in range(10)}
    with pytest.raises(InvalidRequestError, match="too much"):
        completer.complete(ask(resource="d1", arguments=full, subject="bob"))
    assert completer.complete(ask(resource="d1", arguments={"a": full["a0"]}, subject="bob")).facts


def test_a_store_that_fails_completes_nothing(directory: SqliteDirectory) -> None:
    """Issue 3.3: an error never widens access."""

    class Broken(MemoryDirectory):
        def get(self, key: Key) -> Entity | None:
            raise StoreError(f"the disk of {key.kind} is gone")

    with pytest.raises(StoreError, match="disk"):
        Completer(Broken()).complete(ask())


def test_what_a_request_does_not_hold_is_not_looked_up() -> None:
    """Issue 3.3: no resource and no client, no read of them."""
    store = MemoryDirectory()
    Completer(store).complete(ask(subject="", anonymous=True))
    assert store.reads == []
