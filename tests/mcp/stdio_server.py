"""A guarded server over stdio, in a process of its own: `python stdio_server.py guard.toml`."""

from __future__ import annotations

import sys

from authz.mcp import protect_local
from tests.mcp.world import documents

if __name__ == "__main__":
    server = documents()
    protect_local(server, sys.argv[1])
    server.run("stdio")
