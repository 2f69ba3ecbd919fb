"""The JSON form of requests and answers, and the reader of JSON text."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product

import pytest
from google.protobuf import json_format

from authz import wire
from authz.errors import InvalidRequestError
from authz.json_form import call_from_json, decision_to_json, explanation_to_json, read_json, request_from_json
from authz.model import Client, Decision, Effect, Explanation, Reason, Request, Resource, ToolInfo
from authz.v1 import decision_pb2 as v1


def problem_of(text: str) -> InvalidRequestError:
    """Return the error that a text is refused with."""
    with pytest.raises(InvalidRequestError) as caught:
        call_from_json(read_json(text))
    return caught.value


def test_a_whole_request_is_read() -> None:
    """docs/architecture.md: the JSON form of CheckRequest, in either spelling."""
    text = """{"subject": "alice", "scopes": ["s"], "roles": ["r"], "tenant": "acme", "tool": "t",
      "resource": {"type": "d", "id": "1", "tenant": "acme", "attributes": {"n": 1.50}, "ancestors": ["folder:1"]},
      "arguments": {"a": [1, 2.0, null]}, "context": {"mfa": true}, "subjectAttributes": {"groups": ["g"]},
      "client": {"id": "c"}, "toolInfo": {"server": "s", "tags": ["x"], "readOnly": false, "open_world": true},
      "unknown": [], "anonymous": false, "explain": true, "requestId": "r-1", "min_policy_revision": "", "token": ""}"""
    call = call_from_json(read_json(text))
    assert call.request == Request(
        subject="alice",
        scopes=("s",),
        roles=("r",),
        tenant="acme",
        tool="t",
        resource=Resource("d", "1", "acme", {"n": 1.5}, ("folder:1",)),
        arguments={"a": [1, 2, None]},
        context={"mfa": True},
        subject_attributes={"groups": ["g"]},
        client=Client("c"),
        tool_info=ToolInfo("s", ("x",), read_only=False, open_world=True),
    )
    assert (call.explain, call.request_id) == (True, "r-1")


def test_null_means_not_given() -> None:
    """proto3 JSON: null is the default of any field."""
    fields = ("resource", "client", "tool_info", "scopes", "context", "anonymous", "tenant", "unknown", "token")
    request = request_from_json({"subject": "a", "tool": "t", **dict.fromkeys(fields)})
    assert request == Request(subject="a", tool="t")


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"sub": "a"}, "sub", ""),
        ({"tenent": "a"}, "tenent", "did you mean `tenant`?"),
        ({"resource": {"kind": "x"}}, "resource.kind", "not a field"),
        ({"client": {"attribute": {}}}, "client.attribute", "did you mean `attributes`?"),
        ({"toolInfo": {"readonly": True}}, "tool_info.readonly", "did you mean `read_only`?"),
        ({"now": "2026-01-01T00:00:00Z"}, "now", "not a field"),
        ({"\u202e\n": 1}, "\\u202e\\n", "not a field"),
        ({"subject": 5}, "subject", "must be a string"),
        ({"tool": True}, "tool", "must be a string"),
        ({"scopes": "docs:read"}, "scopes", "must be a list"),
        ({"scopes": ["a", 1]}, "scopes[1]", "must be a string"),
        ({"scopes": [None]}, "scopes[0]", "must be a string"),
        ({"anonymous": "true"}, "anonymous", "must be true or false"),
        ({"explain": 1}, "explain", "must be true or false"),
        ({"arguments": []}, "arguments", "must be an object"),
        ({"resource": "document:1"}, "resource", "must be an object"),
        ({"resource": {"ancestors": {}}}, "resource.ancestors", "must be a list"),
        ({"tool_info": {"read_only": "no"}}, "tool_info.read_only", "must be true or false"),
        ({"unknown": ["PART_ARGUMENTS", "arguments"]}, "unknown[1]", "`PART_RESOURCE`"),
        ({"unknown": ["PART_UNSPECIFIED"]}, "unknown[0]", "must be one of"),
        ({"unknown": [1]}, "unknown[0]", "must be a string"),
        ({"unknown": "PART_ARGUMENTS"}, "unknown", "must be a list"),
        ({"unknown": ["PART_ARGUMENTS"], "arguments": {"a": 1}}, "arguments", "`unknown`"),
        ({"token": "secret"}, "token", "not supported"),
        ({"tool": ""}, "tool", "must not be empty"),
        ({"tool_info": {}, "toolInfo": {}}, "tool_info", "two spellings"),
        ({"arguments": {"x": "\ud800"}}, "arguments.x", "surrogate"),
        ({"tenant": "\ud800"}, "tenant", "surrogate"),
        ({"request_id": "\ud800"}, "request_id", ""),
        ({"context": {"a\n": 1}}, "context (a name)", "control character"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], field: str, words: str) -> None:
    """L60 and issue 2: an unknown field or a wrong type is refused by its path, with a near name."""
    error = problem_of(json.dumps({"subject": "a", "tool": "t", **change}))
    assert error.field == field
    assert words in error.problem
    assert "secret" not in str(error)
    assert str(error).isprintable()


@pytest.mark.parametrize("value", [None, [], "x", 5, True])
def test_a_request_is_an_object(value: object) -> None:
    """L60: anything else is malformed."""
    assert problem_of(json.dumps(value)).field == "request"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"tool": "t", "tool": "u", "subject": "a"}', "request"),
        ('{"tool": "t", "subject": "a", "arguments": {"path": "/a", "path": "/b"}}', "arguments"),
        ('{"tool": "t", "context": {"list": [1, {"k": {"x": 1, "x": 1}}]}}', "context.list[1].k"),
        ('{"tool": "t", "context": {"a": 1, "\\u0061": 2}}', "context"),
    ],
)
def test_a_name_that_occurs_twice_is_refused_with_its_place(text: str, field: str) -> None:
    """L60: two readers could see two different requests."""
    error = problem_of(text)
    assert error.field == field
    assert "twice" in error.problem


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400, "[1, 2, 1e400]"])
def test_numbers_are_finite(text: str) -> None:
    """L60: NaN and infinities are refused, however they are written."""
    with pytest.raises(InvalidRequestError):
        read_json(f'{{"context": {{"n": {text}}}}}')


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0", 1),
        ("-0", 0),
        ("-0.0", 0),
        ("1e3", 1000),
        ("0.5", 0.5),
        ("9007199254740992", 2**53),
        ("9007199254740993", 2**53 + 1),
        ("1e300", 1e300),
        ("123456789012345678901", 1.2345678901234568e20),
    ],
)
def test_a_number_has_one_value_whatever_its_spelling(text: str, value: float) -> None:
    """L12: numbers are exact within 2^53, and mean the same from the wire and from JSON."""
    read = read_json(text)
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(
    "text", ["", "{", '{"a":}', "[1,]", "{'a': 1}", '"\n"', "01", "tru", "{} {}", '{"a": 1', "\ufeff{}", '"\\x"', "["]
)
def test_text_that_is_not_json_is_refused_in_one_line(text: str) -> None:
    """Issue 2, bad input: said where and what, without a traceback."""
    with pytest.raises(InvalidRequestError) as caught:
        read_json(text)
    assert caught.value.field == "request"
    assert "\n" not in str(caught.value)


def test_deep_nesting_is_refused_and_brackets_in_text_are_not_nesting() -> None:
    """L60: no recursion on what others send."""
    for bracket in ("[", '{"a":', '[{"a":'):
        with pytest.raises(InvalidRequestError, match="nests deeper"):
            read_json(bracket * 100_000)
    assert read_json(json.dumps({"a": "[" * 1_000, "b": '"\\' + "{" * 1_000})) == {
        "a": "[" * 1_000,
        "b": '"\\' + "{" * 1_000,
    }
    assert read_json("[" * 64 + "]" * 64)
    assert read_json("[" + ",".join(["[]"] * 200) + "]") == [[]] * 200
    error = problem_of(json.dumps({"subject": "a", "tool": "t", "context": {"x": json.loads("[" * 40 + "]" * 40)}}))
    assert error.field.startswith("context.x[0]")


@pytest.mark.parametrize(
    "text",
    ["9" * 2_000_000, '["' + '\\"' * 1_000_000, "[" + '"a",' * 300_000, '{"a":' + "-" * 1_000_000, "[" * 2_000_000],
    ids=["digits", "quotes", "unfinished", "dashes", "brackets"],
)
def test_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    """L60 and issue 2: in quadratic time, texts of this length would never come to an end."""
    with pytest.raises(InvalidRequestError):
        read_json(text)


def test_protobufs_reader_agrees() -> None:
    """docs/architecture.md: the JSON form is proto3 JSON: what both take, both read alike."""
    values: dict[str, list[object]] = {
        "subject": ["a", "", 5, None],
        "scopes": [["x"], [], None, "x", [1]],
        "resource": [{}, {"type": "d", "attributes": {"n": 1.5, "l": [None]}}, None, "d"],
        "anonymous": [True, None, "yes"],
        "toolInfo": [{"readOnly": False}, {}],
        "bogus": [1],
    }
    agreed = 0
    for names in (("subject", "scopes"), ("subject", "resource"), ("subject", "toolInfo"), ("anonymous",), ("bogus",)):
        for chosen in product(*(values[name] for name in names)):
            form = {"tool": "t", **dict(zip(names, chosen, strict=True))}
            try:
                ours: object = request_from_json(form)
            except InvalidRequestError:
                ours = None
            try:
                message = json_format.ParseDict(form, v1.CheckRequest())
                theirs: object = wire.read_check(message.SerializeToString()).request
            except (InvalidRequestError, json_format.ParseError):
                theirs = None
            assert ours == theirs, form
            agreed += ours is not None
    assert agreed >= 9


def test_an_answer_leaves_out_what_is_empty() -> None:
    """docs/architecture.md: proto names, enums by name, no empty fields."""
    decision = Decision(Effect.ALLOW, Reason.ALLOWED, "", ("a:1",), "rev")
    assert decision_to_json(decision) == {
        "decision": "DECISION_ALLOW",
        "reason": "REASON_ALLOWED",
        "rules": ["a:1"],
        "policy_revision": "rev",
    }
    assert explanation_to_json(Explanation(decision, ())) == {}
    assert json.dumps(decision_to_json(decision, explanation=Explanation(decision, ()), decision_id="x"))


def test_the_json_form_needs_neither_grpc_nor_protobuf() -> None:
    """docs/architecture.md: authz-eval starts without them; its start-up time is published."""
    code = "import sys, authz.json_form; print([m for m in sys.modules if m.startswith(('grpc', 'google.protobuf'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
