"""What the tests of requirements share: messages of the newer wire, sent as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.mcp.world import World


def message(method: str, meta: dict[str, Any] | None = None, **params: Any) -> str:  # noqa: ANN401  # any JSON
    """Return a request; `meta` joins what every request has in `_meta`."""
    every = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": every | (meta or {})}}
    )


def read(**meta: Any) -> str:  # noqa: ANN401  # as above
    """Return a call that viewers may make."""
    return message("tools/call", meta, name="read_document", arguments={"id": "d1"})


def write(**meta: Any) -> str:  # noqa: ANN401  # as above
    """Return a call that editors may make."""
    return message("tools/call", meta, name="write_document", arguments={"id": "d1", "title": "x"})


async def ask(world: World, body: str, token: str = "") -> tuple[int, str]:
    """Send a request; return the status and the whole answer."""
    sent = json.loads(body)
    headers = {"Mcp-Method": sent["method"]}
    if "name" in sent["params"]:
        headers["Mcp-Name"] = sent["params"]["name"]
    answer = await world.post(body, token, **headers)
    return answer.status_code, answer.text
