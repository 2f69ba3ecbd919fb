"""The little of ASGI that the gate needs: its types, headers, and an answer of one piece."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response. Names of headers are in lower case."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


def json_answer(status: int, content: object, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """Return an answer in JSON, with nothing in it but ASCII; nobody keeps it unless `headers` say so."""
    if not any(name == b"cache-control" for name, _ in headers):
        headers = (*headers, (b"cache-control", b"no-store"))
    return Answer(status, (_JSON, *headers), json.dumps(content, separators=(",", ":")).encode("ascii"))


async def send_answer(send: Send, answer: Answer, *, with_body: bool = True) -> None:
    """Send an answer; to HEAD without its body, whose length is told all the same (RFC 9110, section 9.3.2)."""
    length = (b"content-length", str(len(answer.body)).encode("ascii"))
    await send({"type": "http.response.start", "status": answer.status, "headers": [*answer.headers, length]})
    await send({"type": "http.response.body", "body": answer.body if with_body else b"", "more_body": False})


def headers_named(scope: Scope, name: bytes) -> list[bytes]:
    """Return the values of all headers of a name, which is in lower case, without the space around them."""
    return [value.strip(b" \t") for given, value in scope["headers"] if given.lower() == name]


def address(scope: Scope) -> str:
    """Return the address of whoever is connected, "" where there is none, as on a Unix socket.

    That is what the ASGI server says. Behind a proxy it is the proxy's, unless the server is told which
    proxies to believe (S60).
    """
    client = scope.get("client")
    return str(client[0]) if client else ""
