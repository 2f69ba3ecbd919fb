"""Read and write the messages of DirectoryService."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import grpc

from authz.directory.checking import check_name, checked, checked_key
from authz.directory.entities import Entity, EntityError, Key, Kind
from authz.directory.importing import Imported, OnError
from authz.errors import InvalidRequestError, NotStoredError
from authz.json_form import shown
from authz.model import MAX_IDENTIFIER, Act
from authz.v1 import directory_pb2 as v1
from authz.wire.doubles import refuse_doubles
from authz.wire.errors import status
from authz.wire.parts import Reader, fill_struct, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message

    MessageT = TypeVar("MessageT", bound=Message)

MAX_ENTITIES: Final = 1_000
"""Entries in one message of an import, and keys in one deletion."""
_VIA: Final = "admin"
_MAX_DETAILS: Final = 500
_EXPORTED_BYTES: Final = 1024 * 1024  # and one entry more: well below the 4 MiB that clients take
_KINDS: Final = {
    v1.ENTITY_KIND_SUBJECT: Kind.SUBJECT,
    v1.ENTITY_KIND_GROUP: Kind.GROUP,
    v1.ENTITY_KIND_ROLE_BINDING: Kind.ROLE_BINDING,
    v1.ENTITY_KIND_RESOURCE: Kind.RESOURCE,
    v1.ENTITY_KIND_TOOL: Kind.TOOL,
    v1.ENTITY_KIND_CLIENT: Kind.CLIENT,
}
_NUMBERS: Final = {kind: number for number, kind in _KINDS.items()}
_ON_ERROR: Final = {
    v1.ON_ERROR_UNSPECIFIED: OnError.NOTHING,
    v1.ON_ERROR_STOP: OnError.STOP,
    v1.ON_ERROR_SKIP: OnError.SKIP,
}


class ImportPart(NamedTuple):
    """One message of an import: who imports and how, which counts in the first one, and entries."""

    act: Act | None
    on_error: OnError
    entries: tuple[Entity | EntityError, ...]


class ExportCall(NamedTuple):
    """Whose entries, and of which kind; None means all."""

    tenant: str | None
    kind: Kind | None


# --- Bytes to values ------------------------------------------------------------------------


def read_import(data: bytes, *, first: bool) -> ImportPart:
    """Read an ImportEntitiesRequest. An entry that is malformed stands as its error in its place."""
    message = parse(v1.ImportEntitiesRequest, data)
    _refuse_many("entities", message.entities)
    refuse_doubles(message, data)
    if not first and (message.author or message.note or message.on_error):
        raise InvalidRequestError("author", "and what else concerns the whole import belongs into the first message")
    on_error = _ON_ERROR.get(message.on_error)
    if on_error is None:
        raise InvalidRequestError("on_error", "is no value of OnError")
    act = _act(message.author, message.note) if first else None
    return ImportPart(act, on_error, tuple(_entity(entity) for entity in message.entities))


def read_export(data: bytes) -> ExportCall:
    """Read an ExportEntitiesRequest."""
    message = parse(v1.ExportEntitiesRequest, data)
    refuse_doubles(message, data)
    kind = _KINDS.get(message.kind)
    if kind is None and message.kind:
        raise InvalidRequestError("kind", "is no kind of entry")
    return ExportCall(message.tenant if message.HasField("tenant") else None, kind)


def read_get(data: bytes) -> Key:
    """Read a GetEntityRequest."""
    message = parse(v1.GetEntityRequest, data)
    refuse_doubles(message, data)
    return _valid_key("key", message.key)


def read_delete(data: bytes) -> tuple[tuple[Key, ...], Act]:
    """Read a DeleteEntitiesRequest: the keys, each once, and who deletes."""
    message = parse(v1.DeleteEntitiesRequest, data)
    _refuse_many("keys", message.keys)
    refuse_doubles(message, data)
    keys = (_valid_key(f"keys[{index}]", key) for index, key in enumerate(message.keys))
    return tuple(dict.fromkeys(keys)), _act(message.author, message.note)


def _refuse_many(where: str, items: Sequence[object]) -> None:
    if len(items) > MAX_ENTITIES:
        raise InvalidRequestError(where, f"holds more than {MAX_ENTITIES} items")


def _act(author: str, note: str) -> Act:
    try:
        check_name("", "author", author)
    except EntityError as error:
        raise InvalidRequestError("author", error.problem) from None
    if len(note) > MAX_IDENTIFIER:
        raise InvalidRequestError("note", f"is longer than {MAX_IDENTIFIER} characters")
    return Act(author, _VIA, note)


def _key(message: v1.EntityKey) -> Key:
    kind = _KINDS.get(message.kind)
    if kind is None:
        raise EntityError("", "kind", "is no kind of entry")
    return checked_key(Key(kind, message.type, message.id, message.tenant))


def _valid_key(where: str, message: v1.EntityKey) -> Key:
    try:
        return _key(message)
    except EntityError as error:
        raise InvalidRequestError(where, str(error)) from None


def _entity(message: v1.Entity) -> Entity | EntityError:
    try:
        key = _key(message.key)
        attributes = Reader().struct("attributes", message.attributes)
        return checked(Entity(key, attributes, tuple(message.within)))
    except EntityError as error:
        return error
    except InvalidRequestError as error:
        return EntityError(_KINDS[message.key.kind], shown(error.field), error.problem)


# --- Values to messages ---------------------------------------------------------------------


def get_response(entity: Entity) -> v1.GetEntityResponse:
    """Return the message that shows one entry."""
    return v1.GetEntityResponse(entity=entity_message(entity))


def delete_response(deleted: int) -> v1.DeleteEntitiesResponse:
    """Return the message that says how many entries are gone."""
    return v1.DeleteEntitiesResponse(deleted=deleted)


def import_response(imported: Imported) -> v1.ImportEntitiesResponse:
    """Return what an import came to."""
    problems = [v1.ImportProblem(number=problem.place, message=problem.message) for problem in imported.problems]
    return v1.ImportEntitiesResponse(written=imported.written, refused=imported.refused, problems=problems)


def import_refusal(imported: Imported) -> tuple[grpc.StatusCode, str]:
    """Return the gRPC status of an import that wrote nothing because of its entries."""
    first = imported.problems[0]
    more = f" (and {imported.refused - 1} more)" if imported.refused > 1 else ""
    code = grpc.StatusCode.FAILED_PRECONDITION if first.cycle else grpc.StatusCode.INVALID_ARGUMENT
    return code, _cut(f"entry {first.place}: {first.message}") + more


def export_part(entities: Iterator[Entity]) -> v1.ExportEntitiesResponse | None:
    """Take the next entries and return the message that says them, None where there are none."""
    messages: list[v1.Entity] = []
    size = 0
    while size < _EXPORTED_BYTES and len(messages) < MAX_ENTITIES and (entity := next(entities, None)) is not None:
        messages.append(entity_message(entity))
        size += messages[-1].ByteSize()
    return v1.ExportEntitiesResponse(entities=messages) if messages else None


def entity_message(entity: Entity) -> v1.Entity:
    """Return the message that says an entry."""
    key = entity.key
    message = v1.Entity(
        key=v1.EntityKey(kind=_NUMBERS[key.kind], type=key.type, id=key.id, tenant=key.tenant), within=entity.within
    )
    fill_struct(message.attributes, entity.attributes)
    return message


def not_there(key: Key) -> NotStoredError:
    """Return what is told of an entry that this tenant has not, whoever else has one."""
    return NotStoredError(f"there is no {key.kind.replace('_', ' ')} `{shown(key.id)}` here")


def directory_status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return the gRPC status of an error, and the details that an administrator may see."""
    if isinstance(error, NotStoredError):
        return grpc.StatusCode.NOT_FOUND, _cut(str(error))
    return status(error)


def _cut(text: str) -> str:
    """Return a text that fits into a status even where each character is percent-encoded."""
    return text if len(text) <= _MAX_DETAILS else text[: _MAX_DETAILS - 1] + "…"
