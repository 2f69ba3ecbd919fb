"""The body of a POST: bounds, strictness, and how it is handed on (issue 5, item 4)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.pep.http.body import BodyError, read_body, read_message, replaying
from tests.pep.gate_world import Settings, bearer, call, world

if TYPE_CHECKING:
    from authz.pep.http.asgi import Event

MOST = 1_000


def refusal(body: bytes) -> tuple[int, int]:
    """Return the status and the code with which a body is refused."""
    with pytest.raises(BodyError) as caught:
        read_message(body)
    answer = caught.value.answer
    error = json.loads(answer.body)["error"]
    assert str(caught.value) == error["message"]
    return answer.status, error["code"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"a":1} {"b":2}',
        b'{"id":1,"id":2,"method":"ping"}',
        b'{"id":1,"method":"ping","params":{"a":{"b":1,"b":1}}}',
        b'{"id":1,"method":"ping","\\u006dethod":"tools/call"}',
        b'{"id":1,"method":"ping","params":{"n":NaN}}',
        b'{"id":1,"method":"ping","params":{"n":-Infinity}}',
        b'{"id":1,"method":"ping","params":{"n":1e999}}',
        b'{"id":1,"method":"\xff"}',
        b'{"id":1,"method":"\xc0\xaf"}',
        b'{"id":1,"method":"\xed\xa0\x80"}',
        b'{"id":1,"method":"\\ud800"}',
        b'{"id":1,"method":"ping","params":{"\\uDC00":1}}',
        b'\xef\xbb\xbf{"id":1,"method":"ping"}',
        '{"id":1,"method":"ping"}'.encode("utf-16"),
        '{"id":1,"method":"ping"}'.encode("utf-16-le"),
        b'{"id":1,"method":"ping"}\0',
        b"[" * 65 + b"]" * 65,
        b"[" * 90_000,
        b'{"a":' * 90_000,
        b'{"id":1,"method":"a\nb"}',
        b"{'id':1}",
        b'{"id":1,}',
    ],
)
def test_what_two_readers_could_read_differently_is_a_parse_error(body: bytes) -> None:
    """Issue 5, R22: names twice, NaN, nesting, bytes that are no UTF-8: 400 with -32700."""
    assert refusal(body) == (400, -32700)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ping"}}]',
        b'"ping"',
        b"1",
        b"null",
        b'{"id":1,"method":7}',
        b'{"id":1,"method":null}',
        b'{"id":1,"method":["tools/call"]}',
        b'{"id":null,"method":"tools/call"}',
        b'{"id":true,"method":"tools/call"}',
        b'{"id":1.5,"method":"tools/call"}',
        b'{"id":{},"method":"tools/call"}',
        b'{"id":123456789012345678901234567890,"method":"tools/call"}',
    ],
)
def test_what_is_no_single_message_is_an_invalid_request(body: bytes) -> None:
    """Issue 5, item 4, R22: lists of 2025-03-26 are refused, and so is what is neither request nor notification."""
    assert refusal(body) == (400, -32600)


@pytest.mark.parametrize("params", [b"[]", b'["a"]', b'"a"', b"1", b"false"])
def test_params_that_are_no_object_are_invalid_params(params: bytes) -> None:
    """R22, S26, COAZ-MCP: -32602, with the request's id."""
    assert refusal(b'{"id":"x","method":"tools/call","params":' + params + b"}") == (400, -32602)


def test_a_request_is_read_with_its_id() -> None:
    """JSON-RPC 2.0, section 4; params may be missing."""
    found = read_message(b'{"jsonrpc":"2.0","id":3,"method":"tools/list","params":null}')
    assert found.request is not None
    assert (found.request.method, found.request.params, found.id) == ("tools/list", {}, 3)
    assert read_message(b'{"method":"notifications/initialized"}').request is None
    assert read_message(b'{"id":1,"error":{"code":1,"message":""}}').request is None


def test_half_a_surrogate_pair_is_told_from_a_whole_one() -> None:
    """A pair is one character, in whatever case its escape is."""
    found = read_message(b'{"id":1,"method":"\\uD83d\\ude00"}')
    assert found.request is not None
    assert found.request.method == "\U0001f600"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON, max_size=5), st.booleans())
def test_what_is_decided_about_is_what_any_reader_reads(params: dict[str, Any], plain: bool) -> None:  # noqa: FBT001  # drawn
    """Issue 5: the message of the gate and that of the server behind are one."""
    body = json.dumps({"id": 1, "method": "x", "params": params}, ensure_ascii=plain).encode()
    found = read_message(body)
    assert found.request is not None
    assert found.request.params == json.loads(body)["params"] == params


@given(st.binary(max_size=200))
def test_whatever_is_sent_is_read_or_refused(body: bytes) -> None:
    """CVE-2025-53365: nothing that is sent raises anything but a refusal."""
    statuses = []
    try:
        read_message(body)
    except BodyError as error:
        statuses.append(error.answer.status)
    assert statuses in ([], [400])


@pytest.mark.parametrize("value", [b"1", b"{}", b"[]", b'""', b'{"a":1,"a":1}', b'"\\"",1', b'"\\\\",1'])
def test_a_body_of_very_many_values_is_not_read(value: bytes) -> None:
    """L60, S97: reading a few megabytes of them would keep everybody else waiting for seconds."""
    head = b'{"id":1,"method":"x","params":{"a":['
    assert refusal(head + value + b"," + b",".join([value] * 100_000) + b"]}}") == (400, -32600)


@pytest.mark.parametrize("text", [rb"\\", rb"\"", rb"\\\"", rb"\\\\", rb"\u0022"])
def test_an_escape_hides_no_values(text: bytes) -> None:
    """L60: where a string ends is seen as the reader sees it."""
    body = b'{"id":1,"method":"x","params":{"a":["' + text + b'",' + b"1," * 100_000 + b"1]}}"
    assert refusal(body) == (400, -32600)
    assert refusal(body[:-3] + b"}") == (400, -32600)
    assert len(json.loads(body)["params"]["a"]) == 100_002


@pytest.mark.parametrize("text", ["," * 200_000, '[{"' * 100_000, "\\," * 150_000, '\\"," ' * 100_000])
def test_a_text_may_hold_whatever_looks_like_values(text: str) -> None:
    """Issue 5: a file's contents are one value."""
    found = read_message(json.dumps({"id": 1, "method": "x", "params": {"text": text}}).encode())
    assert found.request is not None
    assert found.request.params == {"text": text}


async def test_others_are_served_while_a_large_body_is_read() -> None:
    """S104: one caller's megabytes are no other caller's wait."""
    w = world(Settings(max_body=4 << 20))
    body = json.dumps({"id": 1, "method": "tools/list", "params": {"a": [0] * 90_000}}).encode()
    large = asyncio.ensure_future(w.ask(body, bearer()))
    small = 0
    while not large.done():
        assert (await w.ask(call("ping"), bearer())).status == 200
        small += 1
        await asyncio.sleep(0)
    assert (await large).status == 200
    assert small > 2


async def test_a_large_body_is_refused_before_it_is_kept() -> None:
    """Issue 5, item 4, "body capped"; S97: by what it declares, and by what comes."""
    w = world(Settings(max_body=MOST))
    declared = await w.ask(b"", bearer(), (b"content-length", b"1001"))
    assert declared.status == 413
    assert declared.headers["connection"] == "close"
    pieces = [b"x" * 100] * 20
    assert (await w.ask(pieces, bearer())).status == 413
    assert (await w.ask(pieces, bearer(), http_version="2")).headers.get("connection") is None
    fitting = call("ping", text="x" * 700)
    assert (await w.ask(fitting + b" " * (MOST - len(fitting)), bearer())).status == 200
    assert (await w.ask(fitting + b" " * (MOST + 1 - len(fitting)), bearer())).status == 413
    assert len(w.reached.scopes) == 1


async def test_who_has_no_token_gets_nothing_kept() -> None:
    """Memory is for callers who are known: the body is not even looked at."""
    w = world(Settings(max_body=MOST))
    assert (await w.ask([b"x" * 100] * 20)).status == 401


@pytest.mark.parametrize("length", [b"3", b"999", b"0", b"-1", b"+5", b"0x10", b"", b"1" * 30])
async def test_a_length_that_lies_is_a_bad_request(length: bytes) -> None:
    """Issue 5, item 4: whoever miscounts may be about to smuggle."""
    w = world()
    answer = await w.ask(call("ping"), bearer(), (b"content-length", length))
    assert answer.status == 400
    assert not w.reached.scopes


async def test_two_lengths_are_a_bad_request() -> None:
    """RFC 9112, section 6.3."""
    w = world()
    length = (b"content-length", str(len(call("ping"))).encode())
    assert (await w.ask(call("ping"), bearer(), length)).status == 200
    assert (await w.ask(call("ping"), bearer(), length, length)).status == 400


@pytest.mark.parametrize("encoding", [b"gzip", b"identity, gzip", b"br", b"x"])
async def test_an_encoded_body_is_refused(encoding: bytes) -> None:
    """RFC 9110, section 15.5.16: 415, and what is taken instead; what is decided about is what stands there."""
    w = world()
    answer = await w.ask(call("ping"), bearer(), (b"content-encoding", encoding))
    assert answer.status == 415
    assert answer.headers["accept-encoding"] == "identity"
    assert (await w.ask(call("ping"), bearer(), (b"content-encoding", b"Identity"))).status == 200


async def test_a_slow_body_is_refused() -> None:
    """Issue 5, item 4; S100: time is bounded too (slow-loris)."""
    scope: dict[str, Any] = {"headers": [], "http_version": "1.1"}

    async def receive() -> Event:
        await asyncio.sleep(0)  # a byte at a time, without end
        return {"type": "http.request", "body": b"", "more_body": True}

    with pytest.raises(BodyError) as caught:
        await read_body(scope, receive, MOST, 0.05)
    assert caught.value.answer.status == 408


async def test_a_client_that_leaves_in_the_middle_is_not_decided_about() -> None:
    """Half a body is no message, even where the half could be read."""
    w = world()
    events: list[Event] = [
        {"type": "http.request", "body": call("ping"), "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Event] = []

    async def receive() -> Event:
        return events.pop(0)

    async def send(event: Event) -> None:
        sent.append(event)

    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": [bearer()], "http_version": "1.1"}
    await w.gate(scope, receive, send)
    assert sent == []
    assert not w.doors.verdicts
    assert not w.reached.scopes


async def test_after_the_body_comes_what_the_client_does() -> None:
    """Streams end when the client leaves: the body is given once, then it is the server's turn again."""
    asked = 0

    async def receive() -> Event:
        nonlocal asked
        asked += 1
        return {"type": "http.disconnect"}

    replay = replaying(b"body", receive)
    assert await replay() == {"type": "http.request", "body": b"body", "more_body": False}
    assert asked == 0
    assert [await replay(), await replay()] == [{"type": "http.disconnect"}] * 2
    assert asked == 2
