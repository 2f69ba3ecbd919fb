"""The body of a POST: read within bounds, understood strictly, and handed on byte for byte.

What is decided about must be what is executed. A body that two readers could read differently (a
name twice, `NaN`, half of a surrogate pair, bytes that are no UTF-8) is refused before anyone acts on it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from authz.errors import AuthzError, InvalidRequestError
from authz.json_form import read_json
from authz.model import MAX_VALUES
from authz.pep.http.asgi import headers_named
from authz.pep.http.challenge import INVALID_REQUEST, rpc_error
from authz.pep.messages import Message
from authz.pep.verdict import INVALID_PARAMS
from authz.pep.waiting import within

if TYPE_CHECKING:
    from authz.pep.http.asgi import Answer, Event, Receive, Scope
    from authz.pep.http.challenge import RpcId

PARSE_ERROR: Final = -32700
_AT_ONCE: Final = 256 * 1024
"""Bytes that are read in a few milliseconds, unless they are many values."""
_FEW: Final = 1_000
_CLOSE: Final = ((b"connection", b"close"),)
_NOT_JSON: Final = "the body is not JSON in UTF-8 with distinct names, finite numbers and little nesting"


class BodyError(AuthzError):
    """Raised when a body is not taken; `answer` is what to say."""

    def __init__(self, answer: Answer, problem: str) -> None:
        """Use the problem, which holds nothing of the body, as the text."""
        super().__init__(problem)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Incoming:
    """What stands in a body. `request` is None for a notification and for a response: neither calls anything."""

    request: Message | None
    id: RpcId = None


_NOTHING_ASKED: Final = Incoming(None)


async def read_body(scope: Scope, receive: Receive, most: int, seconds: float) -> bytes | None:
    """Return the whole body, of at most so many bytes; None when the client left before its end.

    Raises `BodyError`: 413 for a larger one, 408 for one that takes longer than `seconds`, 415 for one that
    is compressed, 400 for one that is not as long as it says.
    """
    encodings = {value.lower() for value in headers_named(scope, b"content-encoding")}
    if encodings - {b"identity", b""}:
        raise _error(415, "the body must not be encoded", scope, ((b"accept-encoding", b"identity"),))
    declared = _declared(scope, most)
    try:
        body = await within(seconds, _collected(scope, receive, most))
    except TimeoutError:
        raise _error(408, f"the body took longer than {seconds:g} seconds", scope) from None
    if body is not None and declared is not None and len(body) != declared:
        raise _error(400, "the body is not as long as Content-Length says", scope)
    return body


def _declared(scope: Scope, most: int) -> int | None:
    given = headers_named(scope, b"content-length")
    if not given:
        return None
    if len(given) > 1 or not given[0].isdigit() or len(given[0]) > 18:
        raise _error(400, "Content-Length is not one number", scope)
    if int(given[0]) > most:
        raise _too_large(scope, most)
    return int(given[0])


async def _collected(scope: Scope, receive: Receive, most: int) -> bytes | None:
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return None
        body += event.get("body", b"")
        if len(body) > most:
            raise _too_large(scope, most)
        if not event.get("more_body", False):
            return bytes(body)


def _too_large(scope: Scope, most: int) -> BodyError:
    return _error(413, f"the body is larger than {most} bytes", scope)


def _error(status: int, text: str, scope: Scope, headers: tuple[tuple[bytes, bytes], ...] = ()) -> BodyError:
    """Refuse a body that may not have been read to its end: on HTTP/1 nothing can follow it."""
    if str(scope.get("http_version", "")).startswith("1"):
        headers = (*headers, *_CLOSE)
    return BodyError(rpc_error(status, INVALID_REQUEST, text, headers=headers), text)


async def understand(body: bytes) -> Incoming:
    """Return the request in a body, as `read_message` does, while others need not wait for a large one."""
    if len(body) <= _AT_ONCE and _most_values(body) <= _FEW:
        return read_message(body)
    return await asyncio.to_thread(read_message, body)


def read_message(body: bytes) -> Incoming:
    """Return the request in a body. Raises `BodyError`, 400 with the code that JSON-RPC has for it.

    A list of messages is refused: no revision since 2025-06-18 has them.
    """
    if _most_values(body) > MAX_VALUES and _most_values(_outside_strings(body)) > MAX_VALUES:
        raise _invalid(f"it holds more than {MAX_VALUES} values")
    message = _json(body)
    if not isinstance(message, dict):
        raise _invalid("a list of messages is not taken" if isinstance(message, list) else "it is no message")
    if "method" not in message:
        return _NOTHING_ASKED
    method = message["method"]
    if not isinstance(method, str):
        raise _invalid("the method is no text")
    if "id" not in message:
        return _NOTHING_ASKED
    id_ = message["id"]
    if not isinstance(id_, (str, int)) or isinstance(id_, bool):
        raise _invalid("the id is neither a text nor a whole number")
    params = message.get("params")
    if params is not None and not isinstance(params, dict):
        problem = "the params are no object"
        raise BodyError(rpc_error(400, INVALID_PARAMS, problem, id_), problem)
    return Incoming(Message(method, params or {}), id_)


def _json(body: bytes) -> object:
    try:
        text = body.decode("utf-8")
        value = read_json(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair cannot be encoded
    except (UnicodeError, InvalidRequestError):
        # What exactly is wrong would quote the body.
        raise BodyError(rpc_error(400, PARSE_ERROR, _NOT_JSON), _NOT_JSON) from None
    return value


def _most_values(text: bytes) -> int:
    """Return how many values a JSON text holds at most: each follows a bracket or a comma, but for the first."""
    return text.count(b",") + text.count(b"[") + text.count(b"{") + 1


def _outside_strings(text: bytes) -> bytes:
    """Return what of a JSON text stands outside its strings; what is no JSON is told right up to the first flaw."""
    return b"".join(text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def _invalid(problem: str) -> BodyError:
    return BodyError(rpc_error(400, INVALID_REQUEST, problem), problem)


def replaying(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once, in one piece, and then whatever still happens to the request."""
    given = False

    async def replay() -> Event:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
