"""Some of what the conformance suite asks a server for, on FastMCP; nobody guards it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from mcp_types import ImageContent
from pydantic import Field

from tests.mcp.npm.everything_server import PICTURE


@dataclass
class Person:
    """What the user is asked for."""

    username: str
    email: str


def some() -> FastMCP[Any]:
    """Return such a server."""
    server: FastMCP[Any] = FastMCP("everything", version="1")
    _tools(server)

    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        """Return a text."""
        return "This is the content of the static text resource."

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:  # noqa: A002  # the suite's name
        """Return what was asked for."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.prompt
    def test_simple_prompt() -> str:
        """Say something."""
        return "This is a simple prompt for testing."

    @server.prompt
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """Say what was given."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    return server


def _tools(server: FastMCP[Any]) -> None:
    @server.tool
    def test_simple_text() -> str:
        """Return a text."""
        return "This is a simple text response for testing."

    @server.tool
    def test_image_content() -> ImageContent:
        """Return a picture."""
        return ImageContent(data=PICTURE, mime_type="image/png")

    @server.tool
    def test_error_handling() -> str:
        """Fail."""
        raise ToolError("This tool intentionally returns an error for testing")

    @server.tool
    def test_header_region(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
        """Take an argument that a header repeats."""
        return region

    @server.tool
    async def test_tool_with_progress(ctx: Context) -> str:
        """Tell three times how far it is."""
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100)
        return "done"

    @server.tool
    async def test_elicitation(message: str, ctx: Context) -> str:
        """Ask the user."""
        answer = await ctx.elicit(message, Person)
        return f"User response: {answer.action}"
