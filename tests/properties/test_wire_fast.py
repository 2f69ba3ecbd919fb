"""The fast reader of questions and the careful one: one verdict, whatever the bytes are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import pytest
from google.protobuf import struct_pb2
from hypothesis import example, given
from hypothesis import strategies as st

from authz import wire
from authz.errors import InvalidRequestError
from authz.json_form import recorded_to_json
from authz.v1 import decision_pb2 as v1
from authz.wire import requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from authz.json_form import Call
    from authz.model import Request

    T = TypeVar("T")

NOW = datetime(2026, 11, 22, tzinfo=UTC)

# Text that protobuf takes and L60 may not: controls, what is not NFC, bidirectional marks, long and longer names.
HOSTILE = ("", "\0", "a\n", "\x7f", "\x85", "e\u0301", "\u00e9", "\ufb01", "\u202e", "\U0001f600", "\ufeff")
LONG = tuple(letter * size for letter in ("a", "\u00e9") for size in (127, 128, 1_024, 1_025, 16_400))
good = st.sampled_from(["a", "documents.read", "acme", "x y", "doc-4711"])
texts = st.integers(0, 59).flatmap(
    lambda chance: good if chance else st.sampled_from(HOSTILE) | st.sampled_from(LONG) | st.text(max_size=4)
)
numbers = st.sampled_from([0.0, -0.0, 1.0, -7.0, 0.5, 2.0**53, -(2.0**53), 2.0**53 + 2, 1e300, 5e-324]) | st.floats()


def kinds(inner: st.SearchStrategy[struct_pb2.Value]) -> st.SearchStrategy[struct_pb2.Value]:
    """Return values that hold others."""
    objects = st.dictionaries(texts, inner, max_size=3).map(struct).map(lambda one: struct_pb2.Value(struct_value=one))
    lists = st.lists(inner, max_size=3).map(lambda items: struct_pb2.ListValue(values=items))
    return objects | lists.map(lambda items: struct_pb2.Value(list_value=items))


def struct(fields: dict[str, struct_pb2.Value]) -> struct_pb2.Struct:
    """Return an object."""
    return struct_pb2.Struct(fields=fields)


def nest(value: struct_pb2.Value, levels: int) -> struct_pb2.Value:
    """Return a value that lies so deep in objects and lists by turns."""
    for level in range(levels):
        if level % 2:
            value = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[value]))
        else:
            value = struct_pb2.Value(struct_value=struct({"a": value}))
    return value


LEAF = struct_pb2.Value(string_value="x")
leaves = st.one_of(
    texts.map(lambda text: struct_pb2.Value(string_value=text)),
    numbers.map(lambda number: struct_pb2.Value(number_value=number)),
    st.booleans().map(lambda flag: struct_pb2.Value(bool_value=flag)),
    st.just(struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)),
    st.integers(0, 9).map(lambda chance: struct_pb2.Value(bool_value=True) if chance else struct_pb2.Value()),
)
values = st.recursive(leaves, kinds, max_leaves=6)
deep = st.builds(nest, leaves, st.sampled_from([6, 7, 8, 9, 30, 31, 32, 33]))
objects = st.dictionaries(texts, values | deep, max_size=4).map(struct)
name_lists = st.lists(texts, max_size=3)
hints = st.none() | st.booleans()


def message_of(kind: Callable[..., T], **fields: st.SearchStrategy[object]) -> st.SearchStrategy[T]:
    """Return messages that have any of these fields, and mostly few of them."""
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: kind(**given))


def completed(message: T, **missing: str) -> T:
    """Return a message with what else would be the one thing that is wrong with it, mostly."""
    for name, value in missing.items():
        if not getattr(message, name) and not getattr(message, "anonymous", False):
            setattr(message, name, value)
    return message


resources = message_of(v1.Resource, type=texts, id=texts, tenant=texts, attributes=objects, ancestors=name_lists)
clients = message_of(v1.Client, id=texts, attributes=objects)
infos = message_of(
    v1.ToolInfo, server=texts, tags=name_lists, read_only=hints, destructive=hints, idempotent=hints, open_world=hints
)
asked = {
    "tool": texts,
    "resource": resources,
    "arguments": objects,
    "tool_info": infos,
    "unknown": st.lists(st.sampled_from([1, 2, 3]), max_size=4) | st.lists(st.sampled_from([0, 3, 77, 300])),
}
caller = {
    "subject": texts,
    "scopes": name_lists,
    "roles": name_lists,
    "tenant": texts,
    "context": objects,
    "subject_attributes": objects,
    "client": clients,
    "anonymous": st.just(True),
    "explain": st.booleans(),
    "request_id": texts,
    "min_policy_revision": texts,
    "token": texts,
}
questions = message_of(v1.Question, **asked).map(lambda message: completed(message, tool="t"))
checks = message_of(v1.CheckRequest, **asked, **caller)
checks = checks | checks.map(lambda message: completed(message, subject="s", tool="t"))
batches = message_of(v1.BatchCheckRequest, **caller, questions=st.lists(questions, max_size=4))
batches = batches | batches.map(lambda message: completed(message, subject="s"))


@st.composite
def spelled(draw: st.DrawFn, messages: st.SearchStrategy[Message]) -> bytes:
    """Return a message's bytes, as they are or spelled in a way that no library has."""
    data = draw(messages).SerializeToString(deterministic=True)
    match draw(st.sampled_from(["as it is"] * 6 + ["changed", "cut", "put in", "said twice", "defaults"])):
        case "changed" if data:
            at = draw(st.integers(0, len(data) - 1))
            return data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
        case "cut":
            return data[: draw(st.integers(0, len(data)))]
        case "put in":
            at = draw(st.integers(0, len(data)))
            return data[:at] + draw(st.binary(min_size=1, max_size=3)) + data[at:]
        case "said twice":
            return data + draw(messages).SerializeToString()
        case "defaults":
            extra = [b"\x22\x00", b"\x22\x80\x00", b"\x68\x00", b"\x32\x00", b"\xa0\x06\x01", b"\x3a\x02\x0a\x00"]
            return draw(st.permutations([data, draw(st.sampled_from(extra))]).map(b"".join))
    return data


def exact(request: Request) -> tuple[Request, str]:
    """Return a request, and its text, which tells 1, 1.0 and True apart."""
    return request, json.dumps(recorded_to_json(request), sort_keys=True)


def refusal(error: InvalidRequestError) -> tuple[str, str]:
    """Return all that an error says."""
    return error.field, error.problem


def of_check(read: Callable[[], Call]) -> object:
    """Return what reading a question comes to."""
    try:
        call = read()
    except InvalidRequestError as error:
        return refusal(error)
    return call, exact(call.request)


def of_batch(read: Callable[[], wire.BatchCall]) -> object:
    """Return what reading a batch comes to, and each of its questions."""
    try:
        batch = read()
    except InvalidRequestError as error:
        return refusal(error)
    asked = [refusal(one) if isinstance(one, InvalidRequestError) else exact(one) for one in batch.requests()]
    wishes = batch.explain, batch.request_id, batch.min_policy_revision, batch.token
    return exact(batch.asker), wishes, asked


ASK = b"\x0a\x01a\x2a\x01t"


@given(spelled(checks), st.booleans(), st.sampled_from([None, NOW, NOW.replace(tzinfo=None)]))
@example(ASK + b"\x3a\x0d\x0a\x0b\x0a\x01k\x12\x06\x11\x00\x00\x00", False, None)
def test_both_readers_of_a_question_come_to_one_verdict(data: bytes, tokens: bool, now: datetime | None) -> None:  # noqa: FBT001  # drawn
    """Issue 6, build 2: a faster path that skips a check of L60 is a defect; the careful reader is the measure."""
    careful = of_check(lambda: requests.read_check_carefully(data, now, tokens=tokens))
    assert of_check(lambda: wire.read_check(data, now, tokens=tokens)) == careful


@given(spelled(checks.map(lambda message: v1.StreamCheckRequest(check=message))), st.booleans())
def test_both_readers_of_a_stream_come_to_one_verdict(data: bytes, tokens: bool) -> None:  # noqa: FBT001  # drawn
    """Issue 6, build 2: as above, for a message of StreamCheck."""
    careful = of_check(lambda: requests.read_stream_check_carefully(data, NOW, tokens=tokens))
    assert of_check(lambda: wire.read_stream_check(data, NOW, tokens=tokens)) == careful


ORDINARY = v1.CheckRequest(
    subject="alice",
    scopes=["a", "b"],
    roles=["r"],
    tenant="acme",
    tool="t",
    resource=v1.Resource(type="d", id="\u00fc" * 70, tenant="acme", attributes=struct({"k": LEAF}), ancestors=["f:1"]),
    arguments=struct({"n": struct_pb2.Value(number_value=0.5), "l": nest(LEAF, 3), "o": nest(LEAF, 2)}),
    context=struct({"z": struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)}),
    client=v1.Client(id="c", attributes=struct({"t": struct_pb2.Value(bool_value=True)})),
    tool_info=v1.ToolInfo(server="s", tags=["x"], read_only=True, open_world=False),
    explain=True,
    request_id="r",
    min_policy_revision="m",
)


@pytest.mark.parametrize("long", [False, True])
def test_one_changed_byte_makes_no_difference_between_the_readers(long: bool) -> None:  # noqa: FBT001  # both are tried
    """Issue 6, build 2: wherever a tag or a length lies, bytes cannot say one thing to this reader and another to that.

    Some of what is long has a length whose second byte looks like a tag.
    """
    message = v1.CheckRequest.FromString(ORDINARY.SerializeToString())
    if long:
        message.resource.attributes.fields["long"].string_value = "x" * 1_290
        message.arguments.fields["a" * 10].string_value = "\x12\x05\x1a\x03abc" * 300
    data = message.SerializeToString(deterministic=True)
    step = 7 if long else 1
    for at in range(0, len(data), step):
        for byte in {
            0,
            1,
            0x0A,
            0x12,
            0x1A,
            0x7F,
            0x80,
            0xFF,
            data[at] ^ 0x80,
            (data[at] + 1) % 256,
            (data[at] - 1) % 256,
        }:
            changed = data[:at] + bytes([byte]) + data[at + 1 :]
            careful = of_check(lambda: requests.read_check_carefully(changed))  # noqa: B023  # called at once
            assert of_check(lambda: wire.read_check(changed)) == careful, (at, byte)  # noqa: B023  # as above


def test_no_length_is_taken_for_a_shorter_one() -> None:
    """Issue 6, build 2: a long length whose second byte is the tag that a short one would be followed by."""
    inner = b"\x0a\x0a0123456789\x12\x72\x1a\x70" + b"x" * 0x70
    entry = b"\x0a" + bytes([0x80 | (len(inner) - 128 & 0x7F)]) + inner
    data = ASK + b"\x3a" + bytes([len(entry) - 128 | 0x80, len(entry) >> 7]) + entry
    for reader in (wire.read_check, requests.read_check_carefully):
        with pytest.raises(InvalidRequestError, match="not a well-formed"):
            reader(data)


@given(spelled(batches), st.booleans())
def test_both_readers_of_a_batch_come_to_one_verdict(data: bytes, tokens: bool) -> None:  # noqa: FBT001  # drawn
    """Issue 6, build 2: as above, for the caller of a batch and each of its questions."""
    careful = of_batch(lambda: requests.read_batch_check_carefully(data, NOW, tokens=tokens))
    assert of_batch(lambda: wire.read_batch_check(data, NOW, tokens=tokens)) == careful


def test_a_batch_of_more_fields_than_the_careful_reader_looks_at_is_refused_by_both() -> None:
    """Issue 6, build 2: as above, for the bound on what is looked at where something is spelled at length."""
    crowded = v1.Question(tool="t", resource=v1.Resource(ancestors=[""] * 600))
    data = v1.BatchCheckRequest(subject="s", questions=[crowded] * 1_000).SerializeToString()
    for reader in (wire.read_batch_check, requests.read_batch_check_carefully):
        with pytest.raises(InvalidRequestError, match="too many fields"):
            reader(data + b"\x70\x00")
