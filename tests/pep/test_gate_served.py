"""The gate on a real server: bodies in pieces, clients that leave, and the lifespan (issue 5, item 4)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
import pytest
import uvicorn

from authz.pep.http.admission import admitted
from authz.pep.http.gate import Gate
from authz.pep.pdp import PdpError
from tests.pep.gate_world import Doors, Settings, bearer, call

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

    from authz.pep.http.asgi import ASGIApp, Event, Receive, Scope, Send


class Streaming:
    """An application that tells the body's length, then streams until its client leaves."""

    def __init__(self) -> None:
        """Begin."""
        self.happened: list[str] = []
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        who = admitted(scope)
        assert who is not None
        length = len((await receive())["body"]) if scope["method"] == "POST" else 0
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        text = f"data: {who.identity.subject} {length} {scope['state']['started']}\n\n"
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        if scope.get("query_string") == b"once":
            await send({"type": "http.response.body", "body": b""})
            return
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        self.happened.append("startup")
        scope["state"]["started"] = "yes"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        self.happened.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})


class Server(uvicorn.Server):
    """A server that tells when it listens."""

    def __init__(self, app: ASGIApp) -> None:
        """Serve on a free port of loopback."""
        super().__init__(uvicorn.Config(app, port=0, log_config=None, ws="none"))
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start."""
        await super().startup(sockets)
        self.listens.set()


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[tuple[str, int]]:
    """Serve an application, and say where."""
    server = Server(app)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        await server.listens.wait()
    try:
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        await serving


def header() -> dict[str, str]:
    """Return the header with a token."""
    name, value = bearer()
    return {name.decode(): value.decode()}


async def raw(address: tuple[str, int], request: bytes, *, end: bool = False) -> bytes:
    """Send bytes as they are, and return what comes back until the server closes or answers."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request)
        if end:
            writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read(65_536)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_the_protection_is_open_while_the_application_runs() -> None:
    """Issue 5, item 4: opened before the application's own lifespan, closed after it, whose state is kept."""
    app, doors = Streaming(), Doors()
    doors.happened = app.happened
    async with served(Gate(app, doors)) as (host, port), httpx2.AsyncClient(trust_env=False) as client:
        assert app.happened == ["open", "startup"]
        url = f"http://{host}:{port}/mcp?once"
        answer = await client.post(url, content=call("ping"), headers=header())
        assert answer.text == f"data: alice {len(call('ping'))} yes\n\n"
    assert app.happened.index("shutdown") < app.happened.index("close")


async def test_a_body_in_pieces_is_decided_about_as_a_whole() -> None:
    """Issue 5, item 4: chunked, without a length, and larger than one packet."""
    app = Streaming()
    body = call("ping", text="x" * 200_000)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 30_000):
            yield body[start : start + 30_000]
            await asyncio.sleep(0)

    gate = Gate(app, Doors(Settings(max_body=300_000)))
    async with served(gate) as (host, port), httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"http://{host}:{port}/mcp?once", content=pieces(), headers=header())
        assert answer.text == f"data: alice {len(body)} yes\n\n"


async def test_a_body_without_end_is_cut_off() -> None:
    """Issue 5, item 4: nobody needs to say how long it is to be refused."""
    gate = Gate(Streaming(), Doors(Settings(max_body=10_000)))
    name, value = bearer()
    chunk = b"3e8\r\n" + b"x" * 1_000 + b"\r\n"
    start = b"POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + name + b": " + value + b"\r\n\r\n"
    async with served(gate) as address:
        answer = await raw(address, start + chunk * 50)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """Issue 5, item 4: slow-loris costs a bounded time."""
    gate = Gate(Streaming(), Doors(), body_seconds=0.1)
    name, value = bearer()
    start = b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n" + name + b": " + value + b"\r\n\r\n"
    async with served(gate) as address:
        answer = await raw(address, start + b'{"id":1')
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_half_a_body_is_not_decided_about() -> None:
    """A client that leaves has asked nothing."""
    doors = Doors()
    name, value = bearer()
    start = b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n" + name + b": " + value + b"\r\n\r\n"
    async with served(Gate(Streaming(), doors)) as address:
        assert b"200" not in await raw(address, start + call("ping"), end=True)
    assert doors.verdicts == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_stream_ends_when_its_client_leaves(method: str) -> None:
    """Issue 5, item 4: after the body, what happens to the connection is the application's to hear."""
    app = Streaming()
    async with served(Gate(app, Doors())) as (host, port), httpx2.AsyncClient(trust_env=False) as client:
        content = call("ping") if method == "POST" else None
        url = f"http://{host}:{port}/mcp"
        async with client.stream(method, url, content=content, headers=header()) as answer:
            assert answer.status_code == 200
            async for text in answer.aiter_text():
                assert text.startswith("data: alice")
                break
        async with asyncio.timeout(10):
            await app.left.wait()


async def test_two_tokens_on_the_wire_are_refused() -> None:
    """S22: as two headers, which some servers join and some take the first of."""
    name, value = bearer()
    one = name + b": " + value + b"\r\n"
    body = call("ping")
    start = b"POST /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n" % len(body)
    async with served(Gate(Streaming(), Doors())) as address:
        assert (await raw(address, start + one + one + b"\r\n" + body)).startswith(b"HTTP/1.1 400 ")
        twice = name + b": " + value + b", " + value + b"\r\n"
        assert (await raw(address, start + twice + b"\r\n" + body)).startswith(b"HTTP/1.1 400 ")


async def test_the_connection_lives_on_after_a_refusal() -> None:
    """A step-up is one connection: 401, 403 and then 200 on it."""
    app = Streaming()
    async with served(Gate(app, Doors())) as (host, port), httpx2.AsyncClient(trust_env=False) as client:
        url = f"http://{host}:{port}/mcp?once"
        denied = call("send_document", id="d")
        statuses = [
            (await client.post(url, content=denied)).status_code,
            (await client.post(url, content=denied, headers=header())).status_code,
            (await client.post(url, content=call("ping"), headers=header())).status_code,
        ]
    assert statuses == [401, 403, 200]


async def test_a_protection_that_cannot_be_opened_does_not_start(caplog: pytest.LogCaptureFixture) -> None:
    """Issue 5: refuse to start rather than run weak, and say why in one line."""
    app = Streaming()
    gate = Gate(app, Doors(fails=PdpError("nobody listens at `unix:/run/authz.sock`:\n start authz-server")))
    server = Server(gate)
    with caplog.at_level(logging.ERROR, "uvicorn.error"), pytest.raises(SystemExit):
        await server.serve()
    assert not server.started
    assert app.happened == []
    said = "the guard cannot be opened: nobody listens at `unix:/run/authz.sock`: start authz-server"
    assert [record.getMessage() for record in caplog.records].count(said) == 1


async def lifespan(app: ASGIApp, doors: Doors) -> list[Event]:
    """Run a whole lifespan, and return what the server is told."""
    events: list[Event] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Event] = []

    async def receive() -> Event:
        return events.pop(0)

    async def send(event: Event) -> None:
        doors.happened.append(event["type"])
        sent.append(event)

    await Gate(app, doors)({"type": "lifespan", "state": {}}, receive, send)
    return sent


@pytest.mark.parametrize("returns", [True, False])
async def test_an_application_without_a_lifespan_is_protected_too(*, returns: bool) -> None:
    """ASGI, "Lifespan Protocol": an application that raises has none; one that returns is no better."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not returns:
            raise RuntimeError("what is a lifespan?")

    doors = Doors()
    await lifespan(app, doors)
    assert doors.happened[:4] == ["open", "lifespan.startup.complete", "close", "lifespan.shutdown.complete"]


async def test_an_application_that_fails_to_start_is_reported_as_it_says() -> None:
    """ASGI: `lifespan.startup.failed` with the application's own text, and nothing stays open."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    doors = Doors()
    sent = await lifespan(app, doors)
    assert sent == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert doors.happened[:3] == ["open", "close", "lifespan.startup.failed"]


async def test_a_lifespan_that_breaks_later_closes_everything() -> None:
    """Whatever ends the application ends the protection, and the error is the server's to see."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise RuntimeError("broken")

    doors = Doors()
    with pytest.raises(RuntimeError, match="broken"):
        await lifespan(app, doors)
    assert doors.happened == ["open", "lifespan.startup.complete", "close"]


async def test_a_defect_while_opening_is_not_told_to_the_operator_as_a_text() -> None:
    """Texts of defects may hold anything; the log has the trace."""
    doors = Doors(fails=RuntimeError("planted secret"))
    sent = await lifespan(Streaming(), doors)
    assert sent == [{"type": "lifespan.startup.failed", "message": "the guard cannot be opened: see the log"}]
    assert doors.happened == ["open", "close", "lifespan.startup.failed"]
