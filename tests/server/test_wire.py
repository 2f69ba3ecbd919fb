"""Messages and the model: what is refused, what arrives, what goes out."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import json_format, struct_pb2

from authz import wire
from authz.errors import InvalidRequestError
from authz.json_form import Call, call_from_json, decision_to_json
from authz.model import (
    CALLER,
    Client,
    ConditionTrace,
    Decision,
    Effect,
    Explanation,
    Obligation,
    Outcome,
    Part,
    Reason,
    Request,
    Resource,
    RuleTrace,
    Seen,
    ToolInfo,
)
from authz.pdp.engine import RevisionNotServedError
from authz.v1 import decision_pb2 as v1
from authz.wire import plain

if TYPE_CHECKING:
    from authz.model import Value

FULL = Call(
    Request(
        subject="alice",
        scopes=("docs:read", "docs:write"),
        roles=("editor",),
        tenant="acme",
        tool="read_document",
        resource=Resource("document", "d1", "acme", {"owner": "alice", "size": 3, "ratio": 0.5}, ("folder:42",)),
        arguments={"path": "/a", "deep": {"list": [1, "x", None, True, {"y": []}]}, "empty": {}},
        context={"mfa": True},
        subject_attributes={"groups": ["eng"]},
        client=Client("agent", {"trusted": False}),
        tool_info=ToolInfo("files", ("safe",), read_only=True, destructive=False),
    ),
    explain=True,
    request_id="r-1",
    min_policy_revision="abc",
)

TRACE = ConditionTrace(
    "resource.size < 5",
    "a.authz",
    2,
    20,
    Outcome.UNKNOWN,
    (Seen("resource.size", None, "`size` is missing"), Seen("5", 5), Seen("x", None)),
)
DECISION = Decision(
    Effect.DENY,
    Reason.INSUFFICIENT_SCOPE,
    "needs a scope",
    ("a:1", "a:b"),
    "f" * 64,
    (Obligation("notify", {"to": "x", "days": 30, "all": True, "list": ["a"]}), Obligation("plain")),
    ("docs:read", "docs:write"),
    ("docs:write",),
)
EXPLANATION = Explanation(
    DECISION, (RuleTrace("a:1", "deny", "a.authz", 2, 3, Outcome.FALSE, (TRACE,)),), "would be allowed"
)


def nested(levels: int) -> struct_pb2.Struct:
    """Return an object that nests this deep."""
    struct = struct_pb2.Struct()
    inner = struct
    for _ in range(levels - 1):
        inner = inner.fields["a"].struct_value
    inner.fields["a"].string_value = "x"
    return struct


def refusal(data: bytes) -> InvalidRequestError:
    """Return the error that a CheckRequest's bytes are refused with."""
    with pytest.raises(InvalidRequestError) as caught:
        wire.read_check(data)
    return caught.value


def with_length(tag: int, payload: bytes) -> bytes:
    """Encode a short field that has a length."""
    assert len(payload) < 128
    return bytes((tag, len(payload))) + payload


def test_a_request_arrives_as_it_was_sent() -> None:
    """docs/architecture.md, Wire: every field of CheckRequest has its place in the model."""
    assert wire.read_check(wire.check_request(FULL).SerializeToString()) == FULL


def test_what_libraries_write_is_read_in_one_pass() -> None:
    """Issue 6, build 2: else every question would be read twice; other spellings are left to the careful reader."""
    data = wire.check_request(FULL).SerializeToString()
    assert plain.read_check(data, None, tokens=False) == FULL
    with_token = v1.CheckRequest.FromString(data)
    with_token.token = "x" * 1_000
    read = plain.read_check(with_token.SerializeToString(), None, tokens=True)
    assert read is not None
    assert (read.token, read.request) == ("x" * 1_000, FULL.request)
    large = v1.CheckRequest(subject="a", tool="t", resource=v1.Resource(id="x" * (plain.SMALL - 12)))
    assert large.ByteSize() == plain.SMALL
    assert plain.read_check(large.SerializeToString(), None, tokens=False) is not None
    larger = large.SerializeToString() + b"\x70\x01"
    for odd in (data + b"\x22\x00", b"\xa0\x06\x01" + data, larger, b"", data[:-1]):
        assert plain.read_check(odd, None, tokens=False) is None


def test_absent_and_empty_parts_are_told_apart() -> None:
    """L30: a resource without a type is not the same as no resource; a hint not given is not false."""
    bare = wire.read_check(v1.CheckRequest(subject="a", tool="t").SerializeToString()).request
    assert (bare.resource, bare.client, bare.tool_info) == (None, None, None)
    empty = wire.read_check(
        v1.CheckRequest(
            subject="a", tool="t", resource=v1.Resource(), client=v1.Client(), tool_info=v1.ToolInfo(read_only=False)
        ).SerializeToString()
    ).request
    assert (empty.resource, empty.client) == (Resource(), Client())
    assert empty.tool_info == ToolInfo(read_only=False)
    assert empty.tool_info.destructive is None


@pytest.mark.parametrize(("sent", "read"), [(3.0, int), (-0.0, int), (0.5, float), (2.0**53, int), (1e300, float)])
def test_integral_numbers_become_integers(sent: float, read: type) -> None:
    """L12: the wire has one kind of number; an integer is exact within 2^53."""
    message = v1.CheckRequest(subject="a", tool="t")
    message.arguments.fields["n"].number_value = sent
    value = wire.read_check(message.SerializeToString()).request.arguments["n"]
    assert (type(value), value) == (read, sent)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (v1.CheckRequest(subject="a"), "tool"),
        (v1.CheckRequest(tool="t"), "subject"),
        (v1.CheckRequest(tool="t", subject="a", anonymous=True), "anonymous"),
        (v1.CheckRequest(tool="t", subject="a\n"), "subject"),
        (v1.CheckRequest(tool="t", subject="a", scopes=["x", "e\u0301"]), "scopes[1]"),
        (v1.CheckRequest(tool="t", subject="a", scopes=["x"] * 10_001), "scopes"),
        (v1.CheckRequest(tool="t", subject="a", tenant="x" * 1025), "tenant"),
        (v1.CheckRequest(tool="t", subject="a", resource=v1.Resource(type="\x00")), "resource.type"),
        (v1.CheckRequest(tool="t", subject="a", token="secret"), "token"),
        (v1.CheckRequest(tool="t", token="secret"), "token"),
        (v1.CheckRequest(tool="t", subject="a", unknown=[v1.PART_UNSPECIFIED]), "unknown[0]"),
        (v1.CheckRequest(tool="t", subject="a", unknown=[v1.PART_CONTEXT, 77]), "unknown[1]"),  # type: ignore[list-item]  # a number of tomorrow
        (v1.CheckRequest(tool="t", subject="a", unknown=[v1.PART_CONTEXT] * 10_001), "unknown"),
        (
            v1.CheckRequest(tool="t", subject="a", resource=v1.Resource(id="d"), unknown=[v1.PART_RESOURCE]),
            "resource",
        ),
        (v1.CheckRequest(tool="t", subject="a", request_id="x\ny"), "request_id"),
        (v1.CheckRequest(tool="t", subject="a", request_id="x" * 1025), "request_id"),
    ],
)
def test_a_request_that_breaks_the_rules_is_refused_by_field(message: v1.CheckRequest, field: str) -> None:
    """L60: a malformed request is INVALID_ARGUMENT and the field is named, never a value."""
    error = refusal(message.SerializeToString())
    assert error.field == field
    assert "secret" not in str(error)
    assert wire.status(error) == (grpc.StatusCode.INVALID_ARGUMENT, str(error))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    """L60: NaN and infinities are no values."""
    message = v1.CheckRequest(subject="a", tool="t")
    message.context.fields["n"].number_value = number
    assert refusal(message.SerializeToString()).field == "context.n"


def test_a_value_of_no_kind_is_refused() -> None:
    """L60: a Value without a kind is no JSON value, wherever it stands."""
    message = v1.CheckRequest(subject="a", tool="t")
    message.arguments.fields["list"].list_value.values.add().struct_value.fields["x"].SetInParent()
    assert refusal(message.SerializeToString()).field == "arguments.list[0].x"


def test_nesting_is_taken_up_to_the_limit_and_refused_beyond() -> None:
    """L60, S97: 32 levels, and deeper ones are INVALID_ARGUMENT however deep they are."""
    for field in ("arguments", "context"):
        fits = v1.CheckRequest(subject="a", tool="t", **{field: nested(32)})  # type: ignore[arg-type]  # only Structs
        assert wire.read_check(fits.SerializeToString()).request.tool == "t"
    assert "nests" in str(refusal(v1.CheckRequest(subject="a", tool="t", arguments=nested(33)).SerializeToString()))
    deep = b""
    for _ in range(200):  # what no library builds, bytes can say
        entry = (
            b"\x0a\x01a\x12"
            + _length(2 + len(deep) + len(_length(len(deep))) - 1)
            + b"\x2a"
            + _length(len(deep))
            + deep
        )
        deep = b"\x0a" + _length(len(entry)) + entry
    bomb = b"\x0a\x01a\x2a\x01t\x3a" + _length(len(deep)) + deep
    assert refusal(bomb).field == "request"


def _length(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"\x0a", b"\x0a\x05abc", b"\x0a\x02\xff\xfe", b"\x0a\x03\xed\xa0\x80", b"\x3a\x02\x0a\x05", b"\x00\x00"],
)
def test_malformed_bytes_are_the_askers_fault(data: bytes) -> None:
    """Issue 2: malformed protobuf, invalid UTF-8 and surrogates give INVALID_ARGUMENT."""
    error = refusal(data)
    assert error.field == "request"
    assert wire.status(error)[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_any_damaged_message_is_read_or_refused() -> None:
    """Issue 2: no bytes make the reader fail in any other way."""
    whole = wire.check_request(FULL).SerializeToString()
    chance = random.Random(7)
    damaged = [whole[:at] for at in range(len(whole))]
    for _ in range(2_000):
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        damaged.append(bytes(changed))
    refused = 0
    for data in damaged:
        try:
            wire.read_check(data)
        except InvalidRequestError:
            refused += 1
    assert 0 < refused < len(damaged)


STRING_X = b"\x1a\x01x"
ENTRY = with_length(0x0A, b"\x0a\x01k" + with_length(0x12, STRING_X))
ASK = b"\x0a\x01a\x2a\x01t"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (ASK + with_length(0x3A, ENTRY + ENTRY), "arguments.k"),
        (ASK + with_length(0x3A, ENTRY) + with_length(0x3A, ENTRY), "arguments"),
        (b"\x0a\x01b" + ASK, "subject"),
        (
            ASK + with_length(0x3A, with_length(0x0A, b"\x0a\x01j\x0a\x01k" + with_length(0x12, STRING_X))),
            "arguments.k",
        ),
        (
            ASK + with_length(0x3A, with_length(0x0A, b"\x0a\x01k" + with_length(0x12, STRING_X + b"\x20\x01"))),
            "arguments.k.bool_value",
        ),
        (ASK + with_length(0x32, b"\x0a\x01d\x0a\x01e"), "resource.type"),
        # Entries without a name (4 bytes longer once encoded) beside a double (10 bytes shorter).
        (
            ASK + with_length(0x3A, ENTRY + ENTRY) + with_length(0x42, with_length(0x0A, with_length(0x12, STRING_X))),
            "arguments.k",
        ),
    ],
)
def test_what_is_said_twice_is_refused(data: bytes, field: str) -> None:
    """L60: a name that occurs twice; protobuf would let the last one win, another reader the first."""
    assert v1.CheckRequest.FromString(data).tool == "t"
    assert refusal(data).field == field


def test_a_double_cannot_hide_behind_entries_without_names() -> None:
    """L60: bytes saved by a double and bytes gained elsewhere may cancel out."""
    unnamed = with_length(0x0A, with_length(0x12, STRING_X))
    short = with_length(0x0A, b"\x12\x02\x1a\x00")  # no name, empty text: encoded, two bytes longer
    twice = with_length(0x0A, b"\x0a\x00" + with_length(0x12, STRING_X))
    for struct in (unnamed + unnamed, unnamed + twice, short + short):
        for field in (0x3A, 0x42, 0x4A):
            assert "twice" in refusal(ASK + with_length(field, struct)).problem


def test_odd_but_unambiguous_bytes_are_taken() -> None:
    """Protobuf: long varints, explicit defaults and unknown fields mean nothing by themselves."""
    for extra in (
        b"\x22\x00",
        b"\x22\x80\x00",
        b"\x68\x80\x00",
        b"\xa0\x06\x01",
        b"\xa2\x06\x02hi\x68\x00",
        b"\x28\x01",
    ):
        assert wire.read_check(ASK + extra).request.subject == "a"


def test_a_large_request_is_refused_before_it_is_copied() -> None:
    """L60, S97: 10 000 members in a list and 100 000 values in a request."""
    message = v1.CheckRequest(subject="a", tool="t")
    message.arguments.update({"list": [None] * 10_001})
    assert refusal(message.SerializeToString()).field == "arguments.list"
    many = v1.CheckRequest(subject="a", tool="t")
    many.arguments.update({f"k{n}": [None] * 9_999 for n in range(11)})
    assert "values" in refusal(many.SerializeToString()).problem


def batch(**caller: object) -> v1.BatchCheckRequest:
    """Return a batch of one good question."""
    return v1.BatchCheckRequest(**{"subject": "a", "questions": [v1.Question(tool="t")], **caller})  # type: ignore[arg-type]  # any field


def test_a_batch_means_what_single_questions_would_mean() -> None:
    """Issue 2: BatchCheck is one caller and many questions, each as in CheckRequest."""
    single = wire.check_request(FULL)
    message = v1.BatchCheckRequest.FromString(single.SerializeToString())  # the caller's fields have the same numbers
    message.questions.append(v1.Question.FromString(single.SerializeToString()))
    message.questions.append(v1.Question(tool="other"))
    message.DiscardUnknownFields()
    read = wire.read_batch_check(message.SerializeToString())
    first, second = read.requests()
    assert first == FULL.request
    assert isinstance(second, Request)
    assert (second.subject, second.tool, second.resource, dict(second.arguments)) == ("alice", "other", None, {})
    assert (read.explain, read.request_id, read.min_policy_revision) == (True, "r-1", "abc")


def test_every_field_of_a_request_is_the_callers_or_the_questions() -> None:
    """Issue 2: a field that joins Request later must not get lost in a batch."""
    assert {field.name for field in fields(Request)} == {
        *CALLER,
        "tool",
        "resource",
        "arguments",
        "tool_info",
        "unknown",
        "entities",
    }  # the last is the directory's


def test_a_context_that_the_batch_gives_is_not_unknown_to_its_questions() -> None:
    """Issue 5, build 1; L68: a part is given or unknown, in a batch too; each question has its own unknown parts."""
    questions = [v1.Question(tool="t", unknown=[v1.PART_CONTEXT]), v1.Question(tool="t", unknown=[v1.PART_ARGUMENTS])]
    message = batch(questions=questions)
    message.context.fields["mfa"].bool_value = True
    refused, read = wire.read_batch_check(message.SerializeToString()).requests()
    assert isinstance(refused, InvalidRequestError)
    assert refused.field == "context"
    assert isinstance(read, Request)
    assert (read.unknown, dict(read.context)) == (frozenset({Part.ARGUMENTS}), {"mfa": True})


def test_a_bad_question_spoils_only_itself() -> None:
    """Issue 2, bad input: the field's path is the one in the question."""
    good, unset = v1.Question(tool="t"), v1.Question()
    typed = v1.Question(tool="t", resource=v1.Resource(type="\n"))
    future = v1.Question(tool="t", unknown=[v1.PART_RESOURCE, 77])  # type: ignore[list-item]  # as above
    valueless = v1.Question(tool="t")
    valueless.arguments.fields["x"].SetInParent()
    data = batch(questions=[good, unset, typed, future, valueless, good]).SerializeToString()
    outcomes = [r.field if isinstance(r, InvalidRequestError) else "" for r in wire.read_batch_check(data).requests()]
    assert outcomes == ["", "tool", "resource.type", "unknown[1]", "arguments.x", ""]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (batch(subject=""), "subject"),
        (batch(anonymous=True), "anonymous"),
        (batch(roles=["\t"]), "roles[0]"),
        (batch(token="x"), "token"),
        (batch(request_id="\n"), "request_id"),
        (batch(questions=[v1.Question(tool="t")] * 1_001), "questions"),
    ],
)
def test_a_bad_caller_fails_the_whole_batch(message: v1.BatchCheckRequest, field: str) -> None:
    """Issue 2: who asks is said once, so nothing can be answered when it is malformed."""
    with pytest.raises(InvalidRequestError) as caught:
        wire.read_batch_check(message.SerializeToString())
    assert caught.value.field == field


def test_a_batch_holds_from_none_to_a_thousand_questions() -> None:
    """Issue 2: the bound is 1000."""
    for count in (0, 1, 1_000):
        data = batch(questions=[v1.Question(tool="t")] * count).SerializeToString()
        assert len(list(wire.read_batch_check(data).requests())) == count


def test_caller_and_question_share_the_limits_of_one_request() -> None:
    """L60: splitting a request over a batch gains no room."""
    half = {f"k{n}": [None] * 9_999 for n in range(6)}
    message = batch()
    message.context.update(half)
    message.questions[0].arguments.update(half)
    message.questions.add(tool="t")
    large, small = wire.read_batch_check(message.SerializeToString()).requests()
    assert isinstance(large, InvalidRequestError)
    assert isinstance(small, Request)


def test_a_stream_message_without_a_question_is_refused() -> None:
    """Issue 2: nothing is not a question."""
    with pytest.raises(InvalidRequestError, match="check: must not be empty"):
        wire.read_stream_check(b"")


def test_an_answer_reads_back_as_it_was_written() -> None:
    """docs/architecture.md, Wire: every part of Decision and Explanation has its place in CheckResponse."""
    message = wire.response(DECISION, explanation=EXPLANATION, decision_id="id-1")
    back = v1.CheckResponse.FromString(message.SerializeToString())
    assert wire.decision_from(back) == DECISION
    assert wire.explanation_from(back) == EXPLANATION
    assert wire.explanation_from(wire.response(DECISION)) is None
    assert back.decision_id == "id-1"


ID = "0123456789abcdef" * 2
ANSWERS = (
    DECISION,
    Decision(Effect.ALLOW, Reason.ALLOWED, "", (), ""),
    Decision(Effect.ALLOW, Reason.ALLOWED, "\u00fc" * 300, tuple(f"r:{n}" for n in range(3_000)), "f" * 64),
    Decision(Effect.CONDITIONAL, Reason.CONDITIONAL, "depends", ("a:1",), "f" * 64),
)


@pytest.mark.parametrize("explanation", [None, EXPLANATION])
@pytest.mark.parametrize("decision", ANSWERS)
def test_the_bytes_of_an_answer_are_those_of_its_message(decision: Decision, explanation: Explanation | None) -> None:
    """Issue 6, build 2: prepared answers are what protobuf would write, byte for byte, at the first time and later."""
    message = wire.response(decision, explanation=explanation, decision_id=ID)
    streamed = v1.StreamCheckResponse(response=message)
    error = InvalidRequestError("tool", "must not be empty")
    result, failed = v1.CheckResult(response=message), v1.CheckResult(error=wire.error_item(error))
    batched = v1.BatchCheckResponse(results=[result, failed, result], policy_revision="r")
    for _ in range(2):
        assert wire.check_answer(decision, ID, explanation) == message.SerializeToString()
        assert wire.stream_answer(decision, ID, explanation) == streamed.SerializeToString()
        one = wire.batch_result(decision, ID, explanation)
        assert wire.batch_answer([one, wire.batch_error(error), one], "r") == batched.SerializeToString()
    assert wire.batch_answer([], "r") == v1.BatchCheckResponse(policy_revision="r").SerializeToString()
    assert wire.stream_error(error) == v1.StreamCheckResponse(error=wire.error_item(error)).SerializeToString()


def test_no_decision_is_answered_with_the_bytes_of_another() -> None:
    """Issue 6: decisions that live for one answer leave their place to others; thousands of them change nothing."""
    for number in range(5_000):
        data = wire.check_answer(Decision(Effect.DENY, Reason.NO_ALLOW, f"m{number}", (), "f" * 64), ID, None)
        assert v1.CheckResponse.FromString(data).message == f"m{number}"


def test_every_effect_reason_and_outcome_has_its_number() -> None:
    """docs/architecture.md: the numbers of the model are those of the messages."""
    assert {f"DECISION_{e.name}": e.value for e in Effect} == {k: v for k, v in v1.Decision.items() if v}
    assert {f"REASON_{r.name}": r.value for r in Reason} == {k: v for k, v in v1.Reason.items() if v}
    assert {f"OUTCOME_{o.name}": o.value for o in Outcome} == {k: v for k, v in v1.Outcome.items() if v}


@pytest.mark.parametrize("number", [0, 3, 99])
def test_an_answer_that_is_no_clear_allow_reads_as_a_denial(number: int) -> None:
    """docs/architecture.md, Wire: DECISION_UNSPECIFIED must be read as DENY, and so must what is unknown."""
    message = v1.CheckResponse.FromString(bytes((0x08, number)))
    assert not wire.decision_from(message).allowed


def test_an_explanation_is_never_much_larger_than_it_need_be() -> None:
    """A value seen by a thousand conditions must not make an answer of a thousand times its size."""
    huge: Value = {"deep": [[[[[[[[[[["x"]]]]]]]]]]], "long": "y" * 100_000, "many": list(range(10_000))}
    trace = ConditionTrace("c", "f", 1, 1, Outcome.TRUE, (Seen("args", huge),))
    rules = tuple(RuleTrace("r", "deny", "f", 1, 1, Outcome.TRUE, (trace,)) for _ in range(100))
    message = wire.response(DECISION, explanation=Explanation(DECISION, rules))
    assert message.ByteSize() < 1_000_000
    stream = v1.StreamCheckResponse(response=message)
    assert v1.StreamCheckResponse.FromString(stream.SerializeToString()) == stream


def test_an_error_never_shows_more_than_it_should() -> None:
    """CONTRIBUTING.md: what the caller sees and what the log keeps are different texts."""
    assert wire.status(ValueError("the secret")) == (grpc.StatusCode.INTERNAL, "internal error")
    assert wire.error_item(ValueError("the secret")) == v1.CheckError(
        code=v1.ERROR_CODE_INTERNAL, message="internal error"
    )
    assert wire.status(RevisionNotServedError("not here"))[0] is grpc.StatusCode.UNAVAILABLE
    assert wire.error_item(RevisionNotServedError("not here")).code == v1.ERROR_CODE_UNAVAILABLE
    long = InvalidRequestError("context." + "x" * 9_000, "is wrong")
    assert len(wire.status(long)[1]) <= 500


def test_the_json_form_is_protobufs_own() -> None:
    """docs/architecture.md: one shape of a request everywhere; proto3 JSON in both spellings."""
    message = wire.check_request(FULL)
    for original_names in (True, False):
        form = json_format.MessageToDict(message, preserving_proto_field_name=original_names)
        assert call_from_json(form) == FULL


def test_the_json_form_of_an_answer_is_read_by_protobuf() -> None:
    """docs/architecture.md: the JSON form of CheckResponse, empty fields left out."""
    form = decision_to_json(DECISION, explanation=EXPLANATION, decision_id="id-1")
    message = wire.response(DECISION, explanation=EXPLANATION, decision_id="id-1")
    assert json_format.ParseDict(form, v1.CheckResponse()) == message
    assert json_format.MessageToDict(message, preserving_proto_field_name=True) == form
