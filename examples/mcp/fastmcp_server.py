"""A document server on FastMCP, guarded by authz. Serve it with `uvicorn fastmcp_server:app`."""

from __future__ import annotations

from typing import Any

from documents import GUARD, Documents, document
from fastmcp import FastMCP

from authz.fastmcp import protect
from authz.pep import caller

documents = Documents()
server = FastMCP("documents")


@server.tool(annotations={"readOnlyHint": True})
def list_documents() -> list[dict[str, str]]:
    """List the documents of your organisation."""
    return documents.titles(caller().tenant)


@server.tool(annotations={"readOnlyHint": True})
def read_document(id: str) -> dict[str, Any]:
    """Read a document."""
    return documents.read(id)


@server.tool(annotations={"destructiveHint": False})
def write_document(id: str, body: str) -> str:
    """Replace the text of a document."""
    documents.write(id, body)
    return "written"


@server.tool(annotations={"destructiveHint": True})
def delete_document(id: str) -> str:
    """Delete a document."""
    documents.delete(id)
    return "deleted"


@server.tool(annotations={"readOnlyHint": True})
def count_documents() -> int:
    """Count the documents of all organisations."""
    return documents.count()


app = protect(server, GUARD, mapping=document(documents))
