"""Walk through the files of two tenants: the filesystem server from npm, guarded by where a path leads.

Usage: walk_files.py SERVER_URL ISSUER_URL FOLDER_OF_FILES
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from walk import call, client, show

if TYPE_CHECKING:
    from mcp import Client


async def read(connected: Client, path: str) -> str:
    """Read a file, and return what came of it, in one line."""
    return await call(connected, "read_text_file", path=path)


async def walk(server: str, issuer: str, files: str) -> None:
    """Take every step."""
    acme, globex = f"{files}/acme", f"{files}/globex"
    print("alice of acme, whom the directory knows as a file editor")
    async with client("alice", server, issuer) as alice:
        tools = (await alice.list_tools()).tools
        print(f"  sees {', '.join(tool.name for tool in tools)}")
        await show("reads her notes", read(alice, f"{acme}/home/alice/notes.md"))
        await show("reads what all of acme share", read(alice, f"{acme}/shared/plan.md"))
        await show("reads bob's diary", read(alice, f"{acme}/home/bob/diary.md"))
        await show("reads it by a detour", read(alice, f"{acme}/home/alice/../bob/diary.md"))
        await show("reads secrets", read(alice, f"{acme}/secrets/db.txt"))
        await show("reads her keys", read(alice, f"{acme}/home/alice/.env"))
        await show("reads a report of another tenant", read(alice, f"{globex}/shared/report.md"))
        milk = {"path": f"{acme}/home/alice/milk.md", "content": "Milk is bought.\n"}
        await show("writes a file: her client steps up", call(alice, "write_file", **milk))
        move = {"source": milk["path"], "destination": f"{acme}/shared/milk.md"}
        await show("shares it", call(alice, "move_file", **move))
        keys = {"source": f"{acme}/home/alice/.env", "destination": f"{acme}/shared/env.txt"}
        await show("shares her keys under another name", call(alice, "move_file", **keys))
    print("carol of globex")
    async with client("carol", server, issuer) as carol:
        tools = (await carol.list_tools()).tools
        print(f"  sees {', '.join(tool.name for tool in tools)}")
        await show("reads what all of globex share", read(carol, f"{globex}/shared/report.md"))
        await show("reads what alice shared", read(carol, f"{acme}/shared/milk.md"))
        await show("moves a file, with a tool that her list leaves out", call(carol, "move_file", **move))


if __name__ == "__main__":
    asyncio.run(walk(*sys.argv[1:4]))
