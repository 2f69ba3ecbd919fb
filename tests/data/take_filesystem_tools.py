"""Ask a real filesystem MCP server for its tools, and print the answer.

    npm install --prefix FOLDER @modelcontextprotocol/server-filesystem
    python tests/data/take_filesystem_tools.py FOLDER > tests/data/filesystem_tools.json

The server speaks newline-delimited JSON-RPC over stdio. The printed object is the result of its
`tools/list`, with the package's name and version under `_meta`, which MCP reserves for such notes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

PACKAGE: Final = "@modelcontextprotocol/server-filesystem"
PROTOCOL: Final = "2025-11-25"


def main(installed: Path) -> None:
    """Start the server on an empty directory, take its list of tools and stop it."""
    home = installed / "node_modules" / PACKAGE
    about = json.loads((home / "package.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as served:
        result = _tools(["node", str(home / "dist" / "index.js"), served])
    if "nextCursor" in result:
        raise SystemExit("the server answered with a first page only")
    text = json.dumps({"_meta": {"package": PACKAGE, "version": about["version"]}, **result}, indent=2)
    sys.stdout.write(text + "\n")


def _tools(command: list[str]) -> dict[str, object]:
    client = {"name": "snapshot", "version": "1"}
    start: dict[str, object] = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        _ask(server, 1, "initialize", start)
        _send(server, {"method": "notifications/initialized"})
        answer = _ask(server, 2, "tools/list", {})
        server.terminate()
    return answer


def _send(server: subprocess.Popen[str], message: dict[str, object]) -> None:
    if server.stdin is None:
        raise SystemExit("the server has no standard input")
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    server.stdin.flush()


def _ask(server: subprocess.Popen[str], number: int, method: str, params: dict[str, object]) -> dict[str, object]:
    _send(server, {"id": number, "method": method, "params": params})
    for line in server.stdout or ():
        message = json.loads(line)
        if message.get("id") == number:
            result: dict[str, object] = message["result"]
            return result
    raise SystemExit(f"the server ended before it answered `{method}`")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
