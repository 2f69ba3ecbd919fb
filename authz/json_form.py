"""Read and write the JSON form of `authz.v1.CheckRequest` and `CheckResponse`.

The form is proto3 JSON, done by hand so that a dry run starts without protobuf. It is stricter
than protobuf's own reader where that one guesses: a number is never read as a string or the
reverse, and a name that occurs twice is refused wherever it stands (L60).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from authz.errors import InvalidRequestError
from authz.model import MAX_IDENTIFIER, Client, Request, Resource, ToolInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from authz.model import ConditionTrace, Decision, Explanation, Obligation, RuleTrace, Seen, Value

T = TypeVar("T")

MAX_JSON_DEPTH: Final = 64
"""Levels of nesting that `read_json` takes: what L60 allows, and the messages around it."""
MAX_EXACT: Final = 2**53
"""The largest integer that the wire carries exactly (L12)."""

_WHOLE: Final = "request"
"""Stands for the field in an error that concerns the whole text."""
_MAX_SEEN_TEXT: Final = 1_000
_MAX_SEEN_VALUES: Final = 100
_MAX_SEEN_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and what its asker wants of the answer beside the decision."""

    request: Request
    explain: bool = False
    request_id: str = ""
    min_policy_revision: str = ""


# --- JSON text ------------------------------------------------------------------------------

_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def read_json(text: str) -> object:
    """Read one JSON value, in time linear in its length.

    Integral numbers within ±2^53 come back as int, whatever their spelling, as they do from the
    wire. Raises `InvalidRequestError` for text that is not JSON, for a name that occurs twice in
    an object, a number that is not finite, and nesting deeper than `MAX_JSON_DEPTH` (L60).
    """
    _check_depth(text)
    flawed: list[object] = []

    def pairs(members: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(members)
        if len(found) < len(members):
            flawed.append(found)
            found = _Doubled(found)
            found.name = _first_double(name for name, _ in members)
        return found

    def number(digits: str) -> int | float:
        # int() takes quadratic time, and 17 characters hold every integer that counts.
        value = int(digits) if len(digits) <= 17 and digits.lstrip("-").isdigit() else float(digits)
        if not math.isfinite(value):
            flawed.append(value)
        return as_number(value)

    def constant(name: str) -> NoReturn:
        raise InvalidRequestError(_WHOLE, f"is not valid JSON: it holds `{name}`")

    try:
        value: object = json.loads(
            text, object_pairs_hook=pairs, parse_int=number, parse_float=number, parse_constant=constant
        )
    except json.JSONDecodeError as error:
        problem = error.msg[:1].lower() + error.msg[1:]
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequestError(_WHOLE, f"is not valid JSON: {problem} at {place}") from None
    if flawed:
        _refuse_flaw(value, "")
    return value


def as_number(value: float) -> int | float:
    """Return an integral number within ±2^53 as an int, anything else as it is."""
    if abs(value) <= MAX_EXACT and (whole := int(value)) == value:
        return whole
    return value


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the JSON reader, which is recursive, sees it."""
    if text.count("[") + text.count("{") <= MAX_JSON_DEPTH:
        return
    depth = 0
    for token in _BRACKETS.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise InvalidRequestError(_WHOLE, f"nests deeper than {MAX_JSON_DEPTH} levels")
        elif first != '"':
            depth -= 1


class _Doubled(dict[str, object]):
    """An object in which `name` occurs twice; it never leaves `read_json`."""

    name: str


def _first_double(names: Iterable[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add returns None, which is falsy


def _refuse_flaw(value: object, where: str) -> None:
    """Find what `read_json` noticed, and raise with its path."""
    if isinstance(value, _Doubled):
        raise InvalidRequestError(where or _WHOLE, f"holds the name `{shown(value.name)}` twice")
    if isinstance(value, dict):
        for name, member in value.items():
            _refuse_flaw(member, f"{where}.{shown(name)}" if where else shown(name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _refuse_flaw(member, f"{where}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequestError(where or _WHOLE, "is not a finite number")


def shown(name: str) -> str:
    """Return a name from outside so that it is short and safe to print."""
    cut = name if len(name) <= 64 else name[:63] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


# --- Requests -------------------------------------------------------------------------------

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


def request_from_json(value: object, *, now: datetime | None = None) -> Request:
    """Return the request that a CheckRequest in JSON form describes.

    Raises `InvalidRequestError`, naming the field, for an unknown field, a value of the wrong
    type, and whatever L60 refuses.
    """
    return call_from_json(value, now=now).request


def call_from_json(value: object, *, now: datetime | None = None) -> Call:
    """Return a CheckRequest in JSON form with all that it asks for.

    Field names may be written as in the proto file or in lowerCamelCase; null means not given.
    """
    fields = _Fields("", value, _REQUEST)
    refuse_unsupported(fields.text("token"), fields.items("unknown"))
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
        anonymous=fields.flag("anonymous") or False,
        now=now,
    )
    return Call(
        request,
        explain=fields.flag("explain") or False,
        request_id=checked_request_id(fields.text("request_id")),
        min_policy_revision=fields.text("min_policy_revision"),
    )


def refuse_unsupported(token: str, unknown: Sequence[object]) -> None:
    """Refuse the fields that this version cannot answer: ignoring them could widen access (L60)."""
    if token:
        raise InvalidRequestError("token", "is not supported here: name the subject instead")
    if unknown:
        raise InvalidRequestError("unknown", "is not supported here: leave it empty")


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
            raise InvalidRequestError(where or _WHOLE, "must be an object")
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


# --- Answers --------------------------------------------------------------------------------


def decision_to_json(
    decision: Decision, *, explanation: Explanation | None = None, decision_id: str = ""
) -> dict[str, object]:
    """Return the JSON form of the CheckResponse: proto names, empty fields left out."""
    return _filled(
        {
            "decision": f"DECISION_{decision.effect.name}",
            "reason": f"REASON_{decision.reason.name}",
            "message": decision.message,
            "rules": list(decision.rules),
            "required_scopes": list(decision.required_scopes),
            "missing_scopes": list(decision.missing_scopes),
            "obligations": [_obligation_to_json(obligation) for obligation in decision.obligations],
            "policy_revision": decision.policy_revision,
            "decision_id": decision_id,
            "explanation": None if explanation is None else explanation_to_json(explanation),
        }
    )


def explanation_to_json(explanation: Explanation) -> dict[str, object]:
    """Return the JSON form of the Explanation message, which does not repeat the decision."""
    return _filled({"rules": [_rule_to_json(rule) for rule in explanation.rules], "nearest": explanation.nearest})


def abridged(value: Value) -> Value:
    """Return a value short enough for an explanation; `…` stands where something was left out.

    An explanation may show a value once for each condition that read it, so whole values could
    make an answer many times as large as its question, and deeper than a message may be.
    """
    return _abridged(value, 1, count(1))


def _abridged(value: Value, depth: int, visited: Iterator[int]) -> Value:
    if isinstance(value, str):
        return value if len(value) <= _MAX_SEEN_TEXT else value[:_MAX_SEEN_TEXT] + "…"
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth > _MAX_SEEN_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        members: dict[str, Value] = {}
        for name, member in value.items():
            if next(visited) > _MAX_SEEN_VALUES:
                members["…"] = "…"
                break
            members[name] = _abridged(member, depth + 1, visited)
        return members
    items: list[Value] = []
    for item in value:
        if next(visited) > _MAX_SEEN_VALUES:
            items.append("…")
            break
        items.append(_abridged(item, depth + 1, visited))
    return items


def _filled(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [])}


def _obligation_to_json(obligation: Obligation) -> dict[str, object]:
    form: dict[str, object] = {"name": obligation.name}
    if obligation.parameters:
        form["parameters"] = dict(obligation.parameters)
    return form


def _rule_to_json(rule: RuleTrace) -> dict[str, object]:
    return _filled(
        {
            "name": rule.name,
            "kind": rule.kind,
            "file": rule.file,
            "line": rule.line,
            "column": rule.column,
            "outcome": f"OUTCOME_{rule.outcome.name}",
            "conditions": [_condition_to_json(condition) for condition in rule.conditions],
        }
    )


def _condition_to_json(condition: ConditionTrace) -> dict[str, object]:
    return _filled(
        {
            "text": condition.text,
            "file": condition.file,
            "line": condition.line,
            "column": condition.column,
            "outcome": f"OUTCOME_{condition.outcome.name}",
            "seen": [_seen_to_json(seen) for seen in condition.seen],
        }
    )


def _seen_to_json(seen: Seen) -> dict[str, object]:
    form: dict[str, object] = {"expression": seen.expression}
    if seen.problem:
        form["problem"] = seen.problem
    else:
        form["value"] = abridged(seen.value)
    return form
