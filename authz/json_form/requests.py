"""Read the JSON form of `authz.v1.CheckRequest`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from authz.errors import InvalidRequestError
from authz.json_form.text import WHOLE, shown
from authz.model import MAX_IDENTIFIER, Client, Part, Request, Resource, ToolInfo, maker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from authz.model import Value

T = TypeVar("T")

_REQUEST: Final = (
    "subject",
    "scopes",
    "roles",
    "tenant",
    "tool",
    "resource",
    "arguments",
    "context",
    "subject_attributes",
    "client",
    "tool_info",
    "unknown",
    "anonymous",
    "explain",
    "request_id",
    "min_policy_revision",
    "token",
)
_RESOURCE: Final = ("type", "id", "tenant", "attributes", "ancestors")
_CLIENT: Final = ("id", "attributes")
_TOOL_INFO: Final = ("server", "tags", "read_only", "destructive", "idempotent", "open_world")
_PARTS: Final = {f"PART_{part.name}": part for part in Part}


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and what its asker wants of the answer beside the decision."""

    request: Request
    explain: bool = False
    request_id: str = ""
    min_policy_revision: str = ""
    token: str = field(default="", repr=False)
    """Who calls is what this says once it is validated; until then the request only seems to be anonymous."""


call_of: Final[Callable[[Request, bool, str, str, str], Call]] = maker(Call)
"""Return what `Call` would, sooner."""


def request_from_json(value: object, *, now: datetime | None = None) -> Request:
    """Return the request that a CheckRequest in JSON form describes.

    Raises `InvalidRequestError`, naming the field, for an unknown field, a value of the wrong
    type, and whatever L60 refuses.
    """
    return call_from_json(value, now=now).request


def call_from_json(value: object, *, now: datetime | None = None, tokens: bool = False) -> Call:
    """Return a CheckRequest in JSON form with all that it asks for.

    Field names may be written as in the proto file or in lowerCamelCase; null means not given.
    `tokens` says that whoever gets the call sees to its token; else one is refused.
    """
    fields = _Fields("", value, _REQUEST)
    token = fields.text("token")
    refuse_unsupported("" if tokens else token)
    request = Request(
        subject=fields.text("subject"),
        scopes=fields.texts("scopes"),
        roles=fields.texts("roles"),
        tenant=fields.text("tenant"),
        tool=fields.text("tool"),
        resource=fields.message("resource", _resource),
        arguments=fields.mapping("arguments"),
        context=fields.mapping("context"),
        subject_attributes=fields.mapping("subject_attributes"),
        client=fields.message("client", _client),
        tool_info=fields.message("tool_info", _tool_info),
        anonymous=anonymous_until_known(token, fields.text("subject"), anonymous=fields.flag("anonymous") or False),
        now=now,
        unknown=fields.parts("unknown"),
    )
    return Call(
        request,
        explain=fields.flag("explain") or False,
        request_id=checked_request_id(fields.text("request_id")),
        min_policy_revision=fields.text("min_policy_revision"),
        token=token,
    )


def refuse_unsupported(token: str) -> None:
    """Refuse what cannot be answered here: ignoring it could widen access (L60)."""
    if token:
        raise InvalidRequestError("token", "is not supported here: name the subject, or ask a server with `--tokens`")


def part_name(part: Part) -> str:
    """Return what the proto file calls a part that may be unknown."""
    return f"PART_{part.name}"


def anonymous_until_known(token: str, subject: str, *, anonymous: bool) -> bool:
    """Return how a request that comes with a token is read before the token says who asks."""
    if token and anonymous:
        raise InvalidRequestError("anonymous", "must not be set beside a token")
    return anonymous or bool(token and not subject)


def checked_request_id(request_id: str) -> str:
    """Return a request id that is fit for the log."""
    if len(request_id) > MAX_IDENTIFIER:
        raise InvalidRequestError("request_id", f"is longer than {MAX_IDENTIFIER} characters")
    if any(c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in request_id):
        raise InvalidRequestError("request_id", "holds a control character")
    return request_id


def _resource(where: str, value: object) -> Resource:
    fields = _Fields(where, value, _RESOURCE)
    return Resource(
        type=fields.text("type"),
        id=fields.text("id"),
        tenant=fields.text("tenant"),
        attributes=fields.mapping("attributes"),
        ancestors=fields.texts("ancestors"),
    )


def _client(where: str, value: object) -> Client:
    fields = _Fields(where, value, _CLIENT)
    return Client(id=fields.text("id"), attributes=fields.mapping("attributes"))


def _tool_info(where: str, value: object) -> ToolInfo:
    fields = _Fields(where, value, _TOOL_INFO)
    return ToolInfo(
        server=fields.text("server"),
        tags=fields.texts("tags"),
        read_only=fields.flag("read_only"),
        destructive=fields.flag("destructive"),
        idempotent=fields.flag("idempotent"),
        open_world=fields.flag("open_world"),
    )


class _Fields:
    """The fields of one message in JSON form, read by their names in the proto file."""

    __slots__ = ("_values", "_where")

    def __init__(self, where: str, value: object, known: tuple[str, ...]) -> None:
        if not isinstance(value, dict):
            raise InvalidRequestError(where or WHOLE, "must be an object")
        self._where = where
        self._values: dict[str, object] = {}
        for name, member in value.items():
            field = self._known(name, known)
            if field in self._values:
                raise InvalidRequestError(self._path(field), "is given twice, in two spellings")
            self._values[field] = member

    def _known(self, name: object, known: tuple[str, ...]) -> str:
        if name in known:
            return str(name)
        text = name if isinstance(name, str) else repr(name)
        field = next((field for field in known if _camel(field) == text), None)
        if field is None:
            raise InvalidRequestError(self._path(shown(text)), _unknown_field(text, known))
        return field

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise InvalidRequestError(self._path(name), "must be a string")
        return value

    def flag(self, name: str) -> bool | None:
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            raise InvalidRequestError(self._path(name), "must be true or false")
        return value

    def items(self, name: str) -> Sequence[object]:
        value = self._values.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise InvalidRequestError(self._path(name), "must be a list")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        texts = tuple(item for item in self.items(name) if isinstance(item, str))
        if len(texts) < len(self.items(name)):
            index = next(index for index, item in enumerate(self.items(name)) if not isinstance(item, str))
            raise InvalidRequestError(f"{self._path(name)}[{index}]", "must be a string")
        return texts

    def parts(self, name: str) -> frozenset[Part]:
        """Read the parts that are not known, by the names of the enum in the proto file (L68)."""
        for index, item in enumerate(self.texts(name)):
            if item not in _PARTS:
                names = ", ".join(f"`{part}`" for part in _PARTS)
                raise InvalidRequestError(f"{self._path(name)}[{index}]", f"must be one of {names}")
        return frozenset(_PARTS[item] for item in self.texts(name))

    def mapping(self, name: str) -> Mapping[str, Value]:
        value = self._values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InvalidRequestError(self._path(name), "must be an object")
        return value

    def message(self, name: str, read: Callable[[str, object], T]) -> T | None:
        value = self._values.get(name)
        return None if value is None else read(self._path(name), value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _unknown_field(name: str, known: tuple[str, ...]) -> str:
    from authz.lang.diagnostics import near  # noqa: PLC0415  # start-up: most requests have no such field

    hint = near(name, known)
    return f"is not a field here; {hint}" if hint else "is not a field here"
