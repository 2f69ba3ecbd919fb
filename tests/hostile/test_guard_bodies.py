"""Bodies that two readers read differently: whatever the gate makes of them, nothing runs that nobody allowed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.hostile.mcp_support import FRAMEWORKS, LEGACY, META, MODERN, attacked

if TYPE_CHECKING:
    from pathlib import Path

_META: Final = json.dumps(META)
PARAMS: Final = f'{{"name":"admin","arguments":{{}},"_meta":{_META}}}'
OTHER: Final = f'{{"name":"read","arguments":{{}},"_meta":{_META}}}'
GOOD: Final = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{OTHER}}}'
BAD: Final = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{PARAMS}}}'


def _with(members: str, params: str = PARAMS) -> str:
    return f'{{"jsonrpc":"2.0","params":{params},{members}}}'


def _named(name: str) -> str:
    return _with('"id":1,"method":"tools/call"', f'{{{name},"arguments":{{}},"_meta":{_META}}}')


BODIES: Final[dict[str, str | bytes]] = {
    "the same name twice": _named('"name":"read","name":"admin"'),
    "the same name twice, the other way": _named('"name":"admin","name":"read"'),
    "one of two escaped": _named('"name":"read","\\u006eame":"admin"'),
    "an escaped name": _named('"\\u006e\\u0061me":"\\u0061dmin"'),
    "names in another case": _named('"Name":"read","NAME":"read","name":"admin"'),
    "a name in another case alone": _named('"Name":"admin"'),
    "a name with a NUL": _named('"name\\u0000":"read","name":"admin"'),
    "a value with a NUL": _named('"name":"admin\\u0000"'),
    "a name with a long s": _named('"name":"read","\\u017fname":"admin"'),
    "params twice": f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{OTHER},"params":{PARAMS}}}',
    "Params": f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{OTHER},"Params":{PARAMS}}}',
    "method twice": _with('"id":1,"method":"ping","method":"tools/call"'),
    "method twice, the other way": _with('"id":1,"method":"tools/call","method":"ping"'),
    "method and Method": _with('"id":1,"method":"ping","Method":"tools/call"'),
    "Method alone": _with('"id":1,"Method":"tools/call"'),
    "an escaped method": _with('"id":1,"meth\\u006fd":"tools\\/call"'),
    "a method in another case": _with('"id":1,"method":"Tools/Call"'),
    "a method with space": _with('"id":1,"method":"tools/call "'),
    "a method with a NUL": _with('"id":1,"method":"tools/call\\u0000"'),
    "a method that is a list": _with('"id":1,"method":["tools/call"]'),
    "a method that passes, as a prefix": _with('"id":1,"method":"notifications/../tools/call"'),
    "a notification with an id": _with('"id":1,"method":"notifications/tools/call"'),
    "no id": _with('"method":"tools/call"'),
    "an id of null": _with('"id":null,"method":"tools/call"'),
    "id twice": _with('"id":1,"id":null,"method":"tools/call"'),
    "an id that is true": _with('"id":true,"method":"tools/call"'),
    "an id that is no whole number": _with('"id":1.5,"method":"tools/call"'),
    "an id that is an object": _with('"id":{"a":1},"method":"tools/call"'),
    "an id that is a list": _with('"id":[1],"method":"tools/call"'),
    "an id of many digits": _with('"id":1' + "0" * 6_000 + ',"method":"tools/call"'),
    "an id that is half a character": _with('"id":"\\ud800","method":"tools/call"'),
    "a result with a method": _with('"id":1,"method":"tools/call","result":{}'),
    "an error with a method": _with('"id":1,"method":"tools/call","error":{"code":1,"message":""}'),
    "another JSON-RPC": BAD.replace('"2.0"', '"1.0"'),
    "no JSON-RPC": BAD.replace('"jsonrpc":"2.0",', ""),
    "JSON-RPC twice": BAD.replace('"jsonrpc":"2.0",', '"jsonrpc":"1.0","jsonrpc":"2.0",'),
    "a list": f"[{BAD}]",
    "a list of two": f"[{GOOD},{BAD}]",
    "a list in a list": f"[[{BAD}]]",
    "an empty list": "[]",
    "two messages": GOOD + BAD,
    "two lines": f"{GOOD}\n{BAD}",
    "something behind": f"{BAD} x",
    "a NUL behind": f"{BAD}\0",
    "a mark before": b"\xef\xbb\xbf" + BAD.encode(),
    "UTF-16": BAD.encode("utf-16"),
    "UTF-16 without a mark": BAD.encode("utf-16-le"),
    "UTF-32": BAD.encode("utf-32"),
    "UTF-7": _named('"name":"+AGEAZABtAGkAbg-"'),
    "Latin-1": BAD.replace("admin", "\xe4dmin").encode("latin-1"),
    "an overlong letter": BAD.encode().replace(b"admin", b"\xc1\xa1dmin"),
    "an encoded surrogate": BAD.encode().replace(b"admin", b"\xed\xa0\x80admin"),
    "half a surrogate pair": _named('"name":"\\ud800admin"'),
    "a comment": BAD.replace('"id":1', '/* x */"id":1'),
    "single quotes": BAD.replace('"', "'"),
    "a comma too many": BAD[:-1] + ",}",
    "NaN": BAD.replace('"arguments":{}', '"arguments":{"a":NaN}'),
    "Infinity": BAD.replace('"arguments":{}', '"arguments":{"a":-Infinity}'),
    "a number beyond all": BAD.replace('"arguments":{}', '"arguments":{"a":1e999}'),
    "a number of many digits": BAD.replace('"arguments":{}', '"arguments":{"a":' + "9" * 6_000 + "}"),
    "arguments twice": BAD.replace('"arguments":{}', '"arguments":{},"arguments":{"a":1}'),
    "arguments that are a list": BAD.replace('"arguments":{}', '"arguments":[]'),
    "arguments that are a text": BAD.replace('"arguments":{}', '"arguments":"{}"'),
    "params that are a list": _with('"id":1,"method":"tools/call"', f'["admin",{PARAMS}]'),
    "params that are a text": _with('"id":1,"method":"tools/call"', json.dumps(PARAMS)),
    "params within params": _with('"id":1,"method":"tools/call"', f'{{"params":{PARAMS},"name":"read"}}'),
    "deep arguments": BAD.replace('"arguments":{}', '"arguments":' + '{"a":' * 5_000 + "1" + "}" * 5_000),
    "deep lists": BAD.replace('"arguments":{}', '"arguments":{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "many names": BAD.replace('"arguments":{}', '"arguments":{' + ",".join(f'"a{n}":1' for n in range(100_000)) + "}"),
    "nothing": "",
    "null": "null",
    "a token inside": BAD.replace('"_meta":{', '"_meta":{"authorization":{"type":"bearer","token":"x"},'),
    "another caller inside": BAD.replace('"_meta":{', '"_meta":{"subject":"edith","roles":["editor"],"tenant":"acme",'),
}
_CODINGS: Final = ("gzip", "deflate", "br", "chunked", "identity, gzip")
_TYPES: Final = (
    "text/plain",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded",
    "application/xml",
)
_FINE: Final = {200, 202, 400, 403, 404, 406, 413, 415, 421}


@pytest.mark.parametrize(
    ("framework", "wire"),
    [
        ("sdk", MODERN),
        pytest.param("fastmcp", MODERN, marks=pytest.mark.slow),
        pytest.param("sdk", LEGACY, marks=pytest.mark.slow),
        pytest.param("fastmcp", LEGACY, marks=pytest.mark.slow),
    ],
)
async def test_no_body_runs_what_it_was_not_decided_about(tmp_path: Path, framework: str, wire: str) -> None:
    """Threats 2.6 (CVE-2026-27896, GHSA-q382-vc8q-7jhj), 3b; C6, S18: and the server lives on."""
    async with attacked(tmp_path, framework) as server:
        token = server.world.token("alice")
        headers = {"MCP-Protocol-Version": wire}
        if wire == MODERN:
            headers |= {"Mcp-Method": "tools/call", "Mcp-Name": "read"}
        else:
            headers["Mcp-Session-Id"] = await server.session(token)
        for what, body in BODIES.items():
            reply = await server.send(body, token, **headers)
            assert reply.status in _FINE, (what, reply.status, reply.text[:300])
            assert "Traceback" not in reply.text, what
        for name, values in (("Content-Encoding", _CODINGS), ("Content-Type", _TYPES)):
            for value in values:
                reply = await server.send(BAD, token, **headers | {name: value})
                assert reply.status in _FINE, (value, reply.status)
        assert not {"admin", "hidden"} & set(server.done.calls)
        assert (await server.send(GOOD, token, **headers)).done


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_body_that_is_too_large_is_not_read_to_its_end(tmp_path: Path, framework: str) -> None:
    """R16, threats 3b 79-81: told before it is sent, and cut off where its length was not told."""
    async with attacked(tmp_path, framework, max_body=10_000) as server:
        token = server.world.token("alice")
        head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        told = await server.wire(f"{head}Content-Length: 10000000\r\n\r\n".encode())
        assert told.startswith(b"HTTP/1.1 413 ")
        chunk = b"1000\r\n" + b" " * 4_096 + b"\r\n"
        cut = await server.wire(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), chunk, chunk, chunk)
        assert cut.startswith(b"HTTP/1.1 413 ")
