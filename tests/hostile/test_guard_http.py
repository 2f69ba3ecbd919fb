"""HTTP in strange forms is no way past the gate: paths, methods, lengths, tokens in other places, other hosts."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final

import pytest

from tests.hostile.mcp_support import FRAMEWORKS, META, MODERN, attacked
from tests.hostile.support import CANARY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hostile.mcp_support import Attacked

CALL: Final = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read", "arguments": {}, "_meta": META}}
)
PATHS: Final = (
    "/mcp",
    "/mcp/",
    "//mcp",
    "/mcp//",
    "/./mcp",
    "/x/../mcp",
    "/mcp/..;/mcp",
    "/mcp;x=1",
    "/%6dcp",
    "/mcp%2f",
    "/mcp%00",
    "/MCP",
    "/health/../mcp",
    "/health%2f..%2fmcp",
    "/health/..;/mcp",
    "/health?/../mcp",
    "/health#/../mcp",
    "/.well-known/oauth-protected-resource/../../mcp",
    "/.well-known/oauth-protected-resource/mcp/../../../mcp",
    "/.well-known/oauth-protected-resource/mcp/",
    "http://127.0.0.1/mcp",
    "http://evil.example/mcp",
    "*",
    "mcp",
)
METHODS: Final = (
    "POST",
    "post",
    "PoSt",
    "GET",
    "HEAD",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "QUERY",
)
_HEADERS: Final = (
    "Content-Type: application/json",
    "Accept: application/json, text/event-stream",
    f"MCP-Protocol-Version: {MODERN}",
    "Mcp-Method: tools/call",
    "Mcp-Name: read",
    "Connection: close",
)


def _request(server: Attacked, *headers: str, method: str = "POST", path: str = "/mcp", body: str = CALL) -> bytes:
    host = server.world.url.removeprefix("http://").partition("/")[0]
    length = (
        []
        if any(one.lower().startswith(("content-length", "transfer-encoding")) for one in headers)
        else [str(len(body))]
    )
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        *_HEADERS,
        *headers,
        *(f"Content-Length: {one}" for one in length),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_no_path_and_no_method_goes_without_a_token(tmp_path: Path, framework: str) -> None:
    """Threats 2.5 (Oathkeeper CVE-2026-33494, Envoy, gRPC-Go): an open path opens itself and nothing else."""
    async with attacked(tmp_path, framework, open_paths=frozenset({"/health"})) as server:
        for path in PATHS:
            for method in METHODS if path == "/mcp" else ("POST",):
                answer = await server.wire(_request(server, method=method, path=path))
                status = int(answer.split(b" ", 2)[1]) if answer else 0
                assert status not in {200, 202, 500}, (method, path, answer[:200])
                if path == "/mcp" and method == "POST":
                    assert status == 401
        assert server.done.calls == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_no_length_smuggles_a_second_call(tmp_path: Path, framework: str) -> None:
    """RFC 9112, section 6.3: one request, of one length; what follows needs a token of its own."""
    async with attacked(tmp_path, framework) as server:
        token = f"Authorization: Bearer {server.world.token('alice')}"
        inner = _request(server, path="/mcp").decode("latin-1")
        chunked = f"{len(CALL):x}\r\n{CALL}\r\n0\r\n\r\n"
        attacks = [
            _request(server, token, "Content-Length: 0", "Transfer-Encoding: chunked", body=chunked + inner),
            _request(server, token, "Transfer-Encoding: chunked", "Content-Length: 4", body=f"0\r\n\r\n{inner}"),
            _request(server, token, "Transfer-Encoding: xchunked", body=chunked + inner),
            _request(server, token, "Transfer-Encoding: chunked, identity", body=chunked + inner),
            _request(server, token, "Transfer-Encoding : chunked", body=chunked + inner),
            _request(server, token, "Content-Length: 5", f"Content-Length: {len(CALL)}"),
            _request(server, token, f"Content-Length: +{len(CALL)}"),
            _request(server, token, f"Content-Length: {len(CALL)}, {len(CALL)}"),
            _request(server, token, "Content-Length: -1"),
            _request(server, token, "Content-Length: 0", body=inner),
        ]
        for attack in attacks:
            answer = await server.wire(attack)
            assert answer.count(b"HTTP/1.1 200 ") <= 1, attack
            assert b" 500 " not in answer.partition(b"\r\n")[0], (attack, answer[:200])
        assert len(server.done.calls) <= len(attacks)


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_token_counts_in_its_header_and_nowhere_else(tmp_path: Path, framework: str) -> None:
    """C6, S18, S22, RFC 6750: not in the URL, a cookie, `_meta`, a proxy's header, nor twice."""
    async with attacked(tmp_path, framework) as server:
        token = server.world.token("alice")
        other = json.loads(CALL)
        other["params"]["_meta"] |= {"authorization": {"type": "bearer", "token": token}}
        refused = [
            _request(server, path=f"/mcp?access_token={token}"),
            _request(server, f"Authorization: Bearer {token}", path=f"/mcp?access_token={token}"),
            _request(server, f"Authorization: Bearer {token}", path="/mcp?Access%5FToken=x"),
            _request(server, f"Cookie: Authorization=Bearer {token}; access_token={token}"),
            _request(server, f"X-Forwarded-Authorization: Bearer {token}"),
            _request(server, f"Proxy-Authorization: Bearer {token}"),
            _request(server, "X-Forwarded-User: alice", "X-Remote-User: alice", "Remote-User: alice"),
            _request(server, body=json.dumps(other)),
            _request(server, f"Authorization: Bearer {token}", f"Authorization: Bearer {token}"),
            _request(server, f"Authorization: Bearer {token}, Bearer {token}"),
            _request(server, f"Authorization: Bearer {token} x"),
            _request(server, f"Authorization: Bearer\t{token}"),
            _request(server, f"Authorization: Bearer\xa0{token}"),
            _request(server, f"Authorization: Bearer {token}=="),
            _request(server, f"Authorization: Basic {token}"),
            _request(server, f"Authorization: Token {token}"),
            _request(server, f"Authorization: Bearer {token[: len(token) // 2]}\r\n {token[len(token) // 2 :]}"),
            _request(server, f"Authorization: Bearer {token}", "Origin: https://evil.example"),
            _request(server, f"Authorization: Bearer {token}", "Origin: null"),
            _request(server, f"Authorization: Bearer {token}").replace(b"Host: 127.0.0.1", b"Host: evil.example"),
        ]
        for number, attack in enumerate(refused):
            answer = await server.wire(attack)
            status = int(answer.split(b" ", 2)[1]) if answer else 0
            assert status in {0, 400, 401, 403, 421}, (number, answer[:300])
            assert token.encode() not in answer
        assert server.done.calls == []
        assert b'"result"' in await server.wire(_request(server, f"Authorization: bearer {token}"))


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_the_log_holds_no_secret_and_one_line_for_each_event(
    tmp_path: Path, framework: str, caplog: pytest.LogCaptureFixture
) -> None:
    """R23, S64, threats 3d 47: neither tokens nor arguments, at whatever level, and nobody writes lines of others."""
    caplog.set_level(logging.DEBUG, "authz")
    async with attacked(tmp_path, framework) as server:
        token = server.world.token("alice")
        forged = "x\r\nallowed request_id='0' subject='edith'\x1b[2K\u2028"
        for name in ("read", "find", "write", "hidden", "as_error", forged):
            for arguments in ({"id": CANARY}, {"id": [CANARY]}, {"folder": CANARY}, CANARY):
                await server.ask(token, "tools/call", {"name": name, "arguments": arguments})
        await server.ask(token, "resources/read", {"uri": f"docs://page/{forged}"})
        await server.ask(token, forged, {"name": CANARY})
        await server.send(CANARY, token)
        await server.send(CALL, f"{token}{CANARY}")
        await server.wire(
            _request(server, f"Authorization: Bearer {token}, {CANARY}", path=f"/mcp?access_token={CANARY}")
        )
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("authz")]
    assert any("denied" in line for line in lines)
    for line in lines:
        assert CANARY not in line
        assert token not in line
        assert token.rpartition(".")[2] not in line
        assert line.isprintable(), line
