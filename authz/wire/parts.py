"""Read and write the parts that messages are made of: values, resources, clients, tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from google.protobuf.message import DecodeError

from authz.errors import InvalidRequestError
from authz.json_form import WHOLE, as_number, shown
from authz.model import MAX_ITEMS, MAX_VALUES, Client, Part, Resource, ToolInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message
    from google.protobuf.struct_pb2 import ListValue, Struct
    from google.protobuf.struct_pb2 import Value as ValueMessage

    from authz.model import Value
    from authz.v1 import decision_pb2 as v1

    MessageT = TypeVar("MessageT", bound=Message)

_PARTS: Final = {part.value: part for part in Part}


def parse(kind: type[MessageT], data: bytes) -> MessageT:
    """Read a message of a kind; raises `InvalidRequestError`, where gRPC would answer malformed bytes with INTERNAL."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        name = kind.DESCRIPTOR.name
        problem = "nests too deeply" if "MaxDepth" in str(error) else f"is not a well-formed {name} message"
        raise InvalidRequestError(WHOLE, problem) from None


class Asked(NamedTuple):
    """The part of a request that differs from question to question."""

    tool: str
    resource: Resource | None = None
    arguments: Mapping[str, Value] = {}  # a default that nobody is handed to change
    tool_info: ToolInfo | None = None
    unknown: frozenset[Part] = frozenset()


class Reader:
    """Reads the parts of one request, and stops as soon as it is too large (L60)."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self.values = 0

    def asked(self, message: v1.CheckRequest | v1.Question) -> Asked:
        """Read what one question asks."""
        resource = self.resource(message)
        arguments = self.struct("arguments", message.arguments)
        return Asked(message.tool, resource, arguments, self.tool_info(message), self.unknown(message.unknown))

    def texts(self, where: str, texts: Sequence[str]) -> tuple[str, ...]:
        """Return a list of strings; `where` is its path."""
        self._count(where, len(texts))
        return tuple(texts)

    def unknown(self, parts: Sequence[int]) -> frozenset[Part]:
        """Read the parts that are not known (L68)."""
        self._count("unknown", len(parts))
        for index, part in enumerate(parts):
            if part not in _PARTS:
                raise InvalidRequestError(f"unknown[{index}]", "is no part of a request that may be unknown")
        return frozenset(_PARTS[part] for part in parts)

    def resource(self, message: v1.CheckRequest | v1.Question) -> Resource | None:
        """Read the resource, None where there is none."""
        if not message.HasField("resource"):
            return None
        resource = message.resource
        return Resource(
            type=resource.type,
            id=resource.id,
            tenant=resource.tenant,
            attributes=self.struct("resource.attributes", resource.attributes),
            ancestors=self.texts("resource.ancestors", resource.ancestors),
        )

    def client(self, message: v1.CheckRequest | v1.BatchCheckRequest) -> Client | None:
        """Read the client, None where there is none."""
        if not message.HasField("client"):
            return None
        return Client(message.client.id, self.struct("client.attributes", message.client.attributes))

    def tool_info(self, message: v1.CheckRequest | v1.Question) -> ToolInfo | None:
        """Read what is known of the tool; a hint that is not set stays unknown."""
        if not message.HasField("tool_info"):
            return None
        info = message.tool_info
        return ToolInfo(
            server=info.server,
            tags=self.texts("tool_info.tags", info.tags),
            read_only=info.read_only if info.HasField("read_only") else None,
            destructive=info.destructive if info.HasField("destructive") else None,
            idempotent=info.idempotent if info.HasField("idempotent") else None,
            open_world=info.open_world if info.HasField("open_world") else None,
        )

    def struct(self, where: str, struct: Struct) -> dict[str, Value]:
        """Return an object as a dict; `where` is its path."""
        fields = struct.fields
        self._count(where, len(fields))
        return {name: self.value(where, name, value) for name, value in fields.items()}

    def _list(self, where: str, values: ListValue) -> list[Value]:
        self._count(where, len(values.values))
        return [self.value(where, index, value) for index, value in enumerate(values.values)]

    def value(self, where: str, key: str | int, value: ValueMessage) -> Value:
        """Return the value that an object or a list at `where` holds under `key`."""
        match value.WhichOneof("kind"):
            case "string_value":
                return value.string_value
            case "number_value":
                return as_number(value.number_value)
            case "bool_value":
                return value.bool_value
            case "null_value":
                return None
            case "struct_value":
                return self.struct(path(where, key), value.struct_value)
            case "list_value":
                return self._list(path(where, key), value.list_value)
        raise InvalidRequestError(path(where, key), "is a value of no kind")

    def _count(self, where: str, length: int) -> None:
        self.values += length
        if length > MAX_ITEMS:
            raise InvalidRequestError(where, f"holds more than {MAX_ITEMS} items")
        if self.values > MAX_VALUES:
            raise InvalidRequestError(where, f"the request holds more than {MAX_VALUES} values")


def path(where: str, key: str | int) -> str:
    """Return the path of what an object or a list at `where` holds under `key`."""
    return f"{where}[{key}]" if isinstance(key, int) else f"{where}.{shown(key)}"


def fill_struct(struct: Struct, values: Mapping[str, Value]) -> None:
    """Write an object, an empty one too."""
    struct.SetInParent()
    for name, value in values.items():
        fill_value(struct.fields[name], value)


def fill_value(message: ValueMessage, value: Value) -> None:
    """Write a value under its own kind."""
    match value:
        case None:
            message.null_value = 0  # type: ignore[assignment]  # the stub names the enum, whose only member is 0
        case bool():
            message.bool_value = value
        case int() | float():
            message.number_value = value
        case str():
            message.string_value = value
        case Mapping():
            fill_struct(message.struct_value, value)
        case _:
            message.list_value.SetInParent()
            for item in value:
                fill_value(message.list_value.values.add(), item)
