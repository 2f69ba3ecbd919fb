"""Find in the bytes of a message what protobuf would not tell: a name or a field that is given twice (L60)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor import FieldDescriptor

from authz.errors import InvalidRequestError
from authz.json_form import WHOLE
from authz.v1 import decision_pb2 as v1
from authz.wire.parts import path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

_WITH_LENGTH: Final = (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_MESSAGE)
_NAMELESS: Final = (  # messages whose parts a path does not name: it begins below the one, and JSON has not the others
    "authz.v1.StreamCheckRequest",
    "google.protobuf.Value",
    "google.protobuf.ListValue",
)
_MAX_FIELDS: Final = 500_000  # fields of one message that are looked at one by one


def refuse_doubles(message: Message, data: bytes) -> Mapping[int, InvalidRequestError]:
    """Refuse a message that gives one name or one field twice (L60); return the questions of a batch that do.

    Protobuf lets the last one win, so that two readers could see two different requests. A
    message that says everything once is as long as its own encoding, or says some default
    explicitly; only then its bytes are worth a look. Entries whose name or value is left out are
    the one thing that the encoding spells longer, and could make up for a double.
    """
    encoded = message.SerializeToString()
    if len(data) != len(encoded) or b"\x0a\x00" in encoded or b"\x12\x00" in encoded:
        scan = _Scan()
        scan.message(message.DESCRIPTOR, data, "")  # type: ignore[arg-type]  # the stub adds the C twin of Descriptor
        return scan.spoilt
    return {}


class _Scan:
    """Walks the bytes of a message that protobuf has already found well-formed."""

    __slots__ = ("fields", "spoilt")

    def __init__(self) -> None:
        self.fields = 0
        self.spoilt: dict[int, InvalidRequestError] = {}
        """What is wrong with questions of a batch, by their places: one spoils only itself."""

    def message(self, descriptor: Descriptor | None, data: bytes, where: str) -> None:
        assert descriptor is not None  # asked only of fields that are messages
        is_struct = descriptor.full_name == "google.protobuf.Struct"
        seen: set[str] = set()
        item = 0
        for field, payload in self._known(descriptor, data):
            if is_struct and (entry := field.message_type) is not None:
                name = self._name(entry, payload)
                self._once(seen, name, path(where, name))
                self._entry(entry, payload, path(where, name))
                continue
            place = f"{where}.{field.name}" if where else field.name
            if not field.is_repeated:
                oneof = field.containing_oneof
                self._once(seen, oneof.name if oneof else field.name, place)
            if field.message_type is None:
                continue
            if field.message_type is v1.Question.DESCRIPTOR:
                self._question(payload, item)
            else:
                inside = where if descriptor.full_name in _NAMELESS else place
                self.message(field.message_type, payload, f"{inside}[{item}]" if field.is_repeated else inside)
            item += field.is_repeated

    def _question(self, payload: bytes, index: int) -> None:
        try:
            self.message(v1.Question.DESCRIPTOR, payload, "")
        except InvalidRequestError as error:
            self.spoilt[index] = error

    def _entry(self, entry: Descriptor, payload: bytes, where: str) -> None:
        seen: set[str] = set()
        for part, value in self._known(entry, payload):
            self._once(seen, part.name, where)
            if part.message_type is not None:
                self.message(part.message_type, value, where)

    def _name(self, entry: Descriptor, payload: bytes) -> str:
        names = [value for part, value in self._known(entry, payload) if part.number == 1]
        return names[-1].decode() if names else ""

    def _once(self, seen: set[str], name: str, where: str) -> None:
        if name in seen:
            raise InvalidRequestError(where, "is given twice")
        seen.add(name)

    def _known(self, descriptor: Descriptor, data: bytes) -> Iterator[tuple[FieldDescriptor, bytes]]:
        """Yield the fields that the descriptor knows, with the payload of those that have a length."""
        at, end = 0, len(data)
        while at < end:
            self.fields += 1
            if self.fields > _MAX_FIELDS:
                raise InvalidRequestError(WHOLE, "holds too many fields")
            key, at = _varint(data, at)
            start, at = self._payload(key & 7, data, at)
            field = descriptor.fields_by_number.get(key >> 3)
            # Known by its number but of another wire type, it is an unknown field to protobuf.
            if field is not None and (field.cpp_type in _WITH_LENGTH) == (key & 7 == 2):
                yield field, data[start:at]

    def _payload(self, wire_type: int, data: bytes, at: int) -> tuple[int, int]:
        match wire_type:
            case 0:
                return at, _varint(data, at)[1]
            case 1:
                return at, at + 8
            case 2:
                length, at = _varint(data, at)
                return at, at + length
            case 5:
                return at, at + 4
        raise InvalidRequestError(WHOLE, "holds a group")  # only ever as an unknown field


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
