"""A document server on the MCP SDK, guarded by authz. Serve it with `uvicorn sdk_server:app`."""

from __future__ import annotations

from typing import Any

from documents import GUARD, Documents, document
from mcp.server import MCPServer
from mcp.types import ToolAnnotations

from authz.mcp import protect
from authz.pep import caller

documents = Documents()
server = MCPServer("documents", log_level="WARNING")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def list_documents() -> list[dict[str, str]]:
    """List the documents of your organisation."""
    return documents.titles(caller().tenant)


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def read_document(id: str) -> dict[str, Any]:
    """Read a document."""
    return documents.read(id)


@server.tool(annotations=ToolAnnotations(destructive_hint=False))
def write_document(id: str, body: str) -> str:
    """Replace the text of a document."""
    documents.write(id, body)
    return "written"


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def delete_document(id: str) -> str:
    """Delete a document."""
    documents.delete(id)
    return "deleted"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def count_documents() -> int:
    """Count the documents of all organisations."""
    return documents.count()


app = protect(server, GUARD, mapping=document(documents))
