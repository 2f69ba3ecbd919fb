"""The MCP servers whose guard is measured, their policy and their callers.

`python -m scripts.benchmarks.mcp_world FOLDER DESCRIPTOR…` serves one of each kind over Streamable HTTP, on sockets
that listen already.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jwt
import uvicorn
from fastmcp import FastMCP
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from authz import fastmcp as guarded_fastmcp
from authz import mcp as guarded_mcp
from authz.pep.config import GuardConfig, Stdio
from authz.pep.identity import Identity
from authz.pep.mapping import Rule, Touches

if TYPE_CHECKING:
    from starlette.types import ASGIApp

KINDS: Final = ("bare", "local", "remote")
"""Servers without a guard, with one that decides itself, and with one that asks a server on a Unix socket."""
TOOLS: Final = 121
ISSUER: Final = "https://idp.example/"
CALLED: Final = "tool_0"
REFUSED: Final = "tool_3"
ARGUMENTS: Final = {"id": "d1", "path": "/srv/a.txt"}
ALICE: Final = Identity("alice", ("docs:read",), ("viewer",), "acme", "desktop")
CONTEXT: Final = {"transport": "http", "ip": "127.0.0.1", "protocol_version": "2026-07-28", "agent": "desktop"}
_HEAD: Final = """\
scope "docs:read"
scope "docs:write" implies "docs:read"
role "viewer"
role "editor" extends "viewer"
role "admin"
resource "document" { owner?: string }
context { ip: ip }
"""
_BLOCKS: Final = (
    """tool "{0}" on "document" {{ require scope "docs:read"  allow "{0} reads" role "viewer" }}""",
    """tool "{0}" (path: string) {{
  allow "{0} opens" role "viewer" when args.path under "/srv"
  deny "{0} hides" when args.path under "/srv/secret" because "it is secret"
}}""",
    """tool "{0}" on "document" {{ require scope "docs:write"  allow "{0} writes" role "editor" }}""",
    """tool "{0}" {{ allow "{0} rules" role "admin" when context.ip in cidr("10.0.0.0/8") }}""",
)
"""What the tools are in turn: for Alice to read, to open or not by their arguments, to write if she were an editor,
and another's."""
VISIBLE: Final = sum(number % len(_BLOCKS) < 2 for number in range(TOOLS))
"""Tools that Alice sees: those of the first two kinds; no scope alone would open the others to her."""


def names() -> list[str]:
    """Return the names of the tools."""
    return [f"tool_{number}" for number in range(TOOLS)]


def policy() -> str:
    """Return a policy with a block for each tool."""
    return _HEAD + "\n".join(_BLOCKS[number % len(_BLOCKS)].format(name) for number, name in enumerate(names()))


def mapping() -> tuple[Rule, ...]:
    """Return what the tools touch: every other one a document."""
    return (Rule(tuple(names()[::2]), Touches("document", ("id",))),)


def prepare(folder: Path) -> None:
    """Write the policy, and the issuer that everybody trusts."""
    (folder / "policies").mkdir()
    (folder / "policies" / "documents.authz").write_text(policy(), encoding="utf-8")
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text(base64.b64encode(secrets.token_bytes(48)).decode(), encoding="utf-8")
    for kind in ("local", "remote"):
        (folder / f"{kind}.toml").write_text(
            f'[[issuer]]\nissuer = "{ISSUER}"\naudiences = ["{resource(kind)}"]\nalgorithms = ["HS256"]\n'
            'secret_file = "secret"\nmax_lifetime = 7200\nroles = "roles"\ntenant = "tenant"\n',
            encoding="utf-8",
        )


def resource(kind: str) -> str:
    """Return the identifier of a server, which tokens are issued for."""
    return f"http://127.0.0.1/{kind}"


def token(folder: Path, kind: str) -> str:
    """Return Alice's token for a server."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": resource(kind), "sub": ALICE.subject, "iat": now, "exp": now + 3_600}
    claims |= {"scope": " ".join(ALICE.scopes), "roles": list(ALICE.roles), "tenant": ALICE.tenant, "azp": ALICE.client}
    secret = (folder / "secret").read_bytes()
    return jwt.encode({**claims, "jti": "1"}, secret, "HS256", headers={"typ": "at+jwt"})


def config(folder: Path, kind: str) -> GuardConfig:
    """Return the settings of a guard that decides itself (`local`), or asks a server (`remote`)."""
    decides: dict[str, Any] = (
        {"policies": folder / "policies"} if kind == "local" else {"pdp": (f"unix:{folder}/pdp.sock",)}
    )
    return GuardConfig(
        **decides,
        resource=resource(kind),
        issuers=folder / f"{kind}.toml",
        authorization_servers=(ISSUER,),
        stdio=Stdio(ALICE.subject, "", "", ALICE.scopes, ALICE.roles, ALICE.tenant, ALICE.client),
        mapping=mapping(),
        deadline=5.0,
    )


def sdk_server(kind: str, folder: Path) -> MCPServer[Any]:
    """Return a server on the MCP SDK, guarded for use inside the process unless it is `bare`."""
    server: MCPServer[Any] = MCPServer("documents", log_level="ERROR")
    for name in names():
        server.add_tool(echo, name=name, description="Echo.", annotations=ToolAnnotations(read_only_hint=True))
    if kind != "bare":
        guarded_mcp.protect_local(server, config(folder, kind))
    return server


def fastmcp_server(kind: str, folder: Path) -> FastMCP[Any]:
    """Return the same server on FastMCP."""
    server: FastMCP[Any] = FastMCP("documents")
    for name in names():
        server.tool(echo, name=name, description="Echo.", annotations=ToolAnnotations(read_only_hint=True))
    if kind != "bare":
        guarded_fastmcp.protect_local(server, config(folder, kind))
    return server


async def echo(id: str, path: str = "") -> str:  # noqa: A002  # its public name
    """Do next to nothing."""
    return f"{id} {path}"


def _app(kind: str, folder: Path) -> ASGIApp:
    server = sdk_server("bare", folder)
    if kind == "bare":
        return server.streamable_http_app(streamable_http_path=f"/{kind}")
    return guarded_mcp.protect(server, config(folder, kind))


async def _serve(folder: Path, descriptors: list[int]) -> None:
    """Serve until the process is terminated; all in one event loop, since one is called at a time."""
    served = []
    for kind, descriptor in zip(KINDS, descriptors, strict=True):
        server = uvicorn.Server(uvicorn.Config(_app(kind, folder), log_level="error", lifespan="on", ws="none"))
        served.append(server._serve([socket.socket(fileno=descriptor)]))  # noqa: SLF001  # `serve` wants the signals
    await asyncio.gather(*served)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), [int(descriptor) for descriptor in sys.argv[2:]]))
