"""What the hostile requests share: bytes made by hand, a policy, one good request, and the look at what came of one.

The encoder is its own, and checks nothing: protobuf's would refuse half of what has to be sent.
"""

from __future__ import annotations

import copy
import json
import re
import struct as binary
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import grpc

from authz.v1 import decision_pb2 as v1

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.server.support import Running

Form: TypeAlias = "dict[str, Any]"
"""The JSON form of a CheckRequest."""

CANARY: Final = "canary-4711"
"""Stands for a secret: it is in every part of a request that must never be shown or logged."""

POLICY: Final = """
scope "docs:admin" implies "docs:read", "docs:write"
role "viewer"
role "admin" extends "viewer"
role "owner" when resource.owner == subject.id

tool "r*_document" on "document" {
  require scope "docs:read"
  allow "viewer" role "viewer"
  deny "blocked" when context.blocked
}
tool "delete_all" { allow role "admin" }
tool "open" on "document" { allow when resource.id == "d1" }
tool "edit" on "document" { allow role "owner" }
tool "in_folder" on "document" { allow when resource in "folder:42" }
tool "in_group" { allow when subject in "group:eng" }

tool "path_in" { allow when args.value under "/a" }
tool "path_out" { allow anyone  deny when args.value under "/archive" }
tool "path_home" { allow when args.value under "/home/{subject.id}" }
tool "path_like" { allow when args.value like "/home/{subject.id}/*" }
tool "path_tenant" { allow when args.value under "/tenants/{tenant}" }

tool "flag" { allow when args.value }
tool "zero" { allow when args.value == 0 }
tool "one" { allow when args.value == 1 }
tool "few" { allow when args.value in [1, 2] }
tool "positive" { allow when args.value > 0 }
tool "not_many" { allow anyone  deny when args.value > 10 }
tool "listed" { allow when "x" in args.value }
tool "member" { allow when args.value in ["x", "y"] }
tool "early" { allow when time(args.value) < time("2030-01-01T00:00:00Z") }
tool "not_early" { allow anyone  deny when time(args.value) < time("2020-01-01T00:00:00Z") }
tool "accented" { allow when args.value == "caf\u00e9" }
tool "lowered" { allow when lower(args.value) == "istanbul strasse" }
tool "python" { allow when args.__class__ == "x" and args.__dict__.keys == "y" }
tool "guarded" { allow anyone  deny when args.__proto__ == "x" }

tenant "acme" {
  tool "export_*" { allow role "viewer" }
}
"""

GOOD: Final[Form] = {
    "subject": "alice",
    "scopes": ["docs:read"],
    "roles": ["viewer"],
    "tenant": "acme",
    "tool": "read_document",
    "resource": {
        "type": "document",
        "id": "d1",
        "tenant": "acme",
        "attributes": {"owner": "alice", "password": CANARY},
        "ancestors": ["folder:42"],
    },
    "arguments": {"password": CANARY},
    "context": {"blocked": False, "password": CANARY},
    "subject_attributes": {"groups": ["eng"], "password": CANARY},
    "client": {"id": "agent", "attributes": {"password": CANARY}},
    "tool_info": {"server": "files", "tags": ["stable"], "read_only": True},
}
"""A request that is ALLOW. Most cases change one thing in it."""


def but(form: Form, *changes: tuple[str | tuple[str, ...], object]) -> Form:
    """Return a request in which the value at each path (`resource.id`, `scopes.0`) is another; `...` takes it out.

    A path may be given in its parts: a name may hold a dot.
    """
    changed: Form = copy.deepcopy(form)
    for path, value in changes:
        *parents, last = path.split(".") if isinstance(path, str) else path
        at: Any = changed
        for name in parents:
            at = at[int(name) if isinstance(at, list) else name]
        key = int(last) if isinstance(at, list) else last
        if value is ...:
            del at[key]
        else:
            at[key] = value
    return changed


def calling(tool: str, value: object = ..., *changes: tuple[str, object]) -> Form:
    """Return a good caller's request for a tool without a resource, with this argument."""
    arguments = {} if value is ... else {"value": value}
    return but(GOOD, ("tool", tool), ("resource", ...), ("arguments", arguments), *changes)


# --- Bytes ----------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """Return a number in base 128, least significant first."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


def number_field(field: int, number: int) -> bytes:
    """Return a field of wire type 0."""
    return varint(field << 3) + varint(number)


def field(number: int, payload: bytes | str) -> bytes:
    """Return a field with a length; text may hold what is no Unicode."""
    data = payload if isinstance(payload, bytes) else payload.encode("utf-8", "surrogatepass")
    return varint(number << 3 | 2) + varint(len(data)) + data


def value_bytes(value: object) -> bytes:
    """Return a `google.protobuf.Value`."""
    match value:
        case None:
            return number_field(1, 0)
        case bool():
            return number_field(4, int(value))
        case int() | float():
            return varint(2 << 3 | 1) + binary.pack("<d", value)
        case str() | bytes():
            return field(3, value)
        case Mapping():
            return field(5, struct_bytes(value))
        case list():
            return field(6, b"".join(field(1, value_bytes(item)) for item in value))
    raise AssertionError(value)


def struct_bytes(values: Mapping[str, object]) -> bytes:
    """Return a `google.protobuf.Struct`."""
    return b"".join(entry(name, value_bytes(value)) for name, value in values.items())


def entry(name: str, value: bytes) -> bytes:
    """Return one entry of a Struct, its value given as bytes."""
    return field(1, field(1, name) + field(2, value))


def request_bytes(form: Form) -> bytes:
    """Return a CheckRequest."""
    return _message(v1.CheckRequest.DESCRIPTOR, form)


def _message(descriptor: Any, form: Mapping[str, Any]) -> bytes:  # noqa: ANN401  # protobuf has two classes for it
    if descriptor.full_name == "google.protobuf.Struct":
        return struct_bytes(form)
    known = descriptor.fields_by_name
    return b"".join(_field(known[name], value) for name, value in form.items() if name in known)


def _field(descriptor: Any, value: object) -> bytes:  # noqa: ANN401  # as above
    match value:
        case list():
            return b"".join(_field(descriptor, item) for item in value)
        case bool():
            return number_field(descriptor.number, int(value))
        case Mapping():
            return field(descriptor.number, _message(descriptor.message_type, value))
        case str() | bytes():
            return field(descriptor.number, value)
    raise AssertionError(value)


# --- What comes of it -----------------------------------------------------------------------


class Outcome(NamedTuple):
    """What came of a request: decision and reason, or status and field."""

    code: str
    detail: str = ""


ALLOWED: Final = Outcome("ALLOW", "ALLOWED")


def denied(reason: str) -> Outcome:
    """Expect DENY for this reason."""
    return Outcome("DENY", reason)


def refused(path: str) -> Outcome:
    """Expect INVALID_ARGUMENT for this field."""
    return Outcome("INVALID_ARGUMENT", path)


def decided(outcome: Outcome) -> bool:
    """Say whether a decision was made."""
    return outcome.code in {"ALLOW", "DENY"}


async def outcome_of(running: Running, data: bytes, method: str = "Check") -> tuple[Outcome, str]:
    """Ask with these bytes; return what came of it, and the decision's id."""
    try:
        said = await running.unary(method)(data)
    except grpc.aio.AioRpcError as error:
        details = error.details() or ""
        assert_tells_nothing(details)
        malformed = error.code() is grpc.StatusCode.INVALID_ARGUMENT
        return Outcome(error.code().name, details.partition(": ")[0] if malformed else ""), ""
    assert len(said) < 10_000  # nothing of a large question comes back
    answer = v1.CheckResponse.FromString(said)
    assert_tells_nothing(str(answer))
    return outcome_of_answer(answer), answer.decision_id


def outcome_of_answer(answer: v1.CheckResponse) -> Outcome:
    """Return what one answer says."""
    decision, reason = v1.Decision.Name(answer.decision), v1.Reason.Name(answer.reason)
    return Outcome(decision.removeprefix("DECISION_"), reason.removeprefix("REASON_"))


def outcome_printed(line: str) -> Outcome:
    """Return what one line of `authz-eval check --format json` says."""
    assert line.isascii() or line.isprintable()
    assert_tells_nothing(line)
    answer = json.loads(line)
    if (error := answer.get("error")) is not None:
        return Outcome(error["code"], error["field"])
    return Outcome(answer["decision"].removeprefix("DECISION_"), answer["reason"].removeprefix("REASON_"))


_INSIDE: Final = re.compile(r"Traceback|File \"|\.py\b|line \d+, in |object at 0x|site-packages|Error\b|Exception")


def assert_tells_nothing(text: str) -> None:
    """Fail where a text holds a secret, or shows how the program is made inside."""
    assert CANARY not in text
    assert not _INSIDE.search(text), text


def log_of(running: Running) -> list[dict[str, Any]]:
    """Return what has been logged since the last look: one record a line, safe to print, without secrets."""
    text = running.log.getvalue()
    running.log.seek(0)
    running.log.truncate()
    assert text.endswith("\n") or not text
    lines = text.split("\n")[:-1]
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert_tells_nothing(text)
    return [json.loads(line) for line in lines]


def events(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the records' events, in order."""
    return [record["event"] for record in records]
