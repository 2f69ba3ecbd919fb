"""A server on the MCP SDK with everything that the conformance suite asks a server for; nobody guards it.

The names, and what stands behind them, are the suite's: `@modelcontextprotocol/conformance`, server scenarios.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from typing import Annotated, Any, Final

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import Field

from tests.mcp.npm.everything_rounds import add_rounds

PICTURE: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""One pixel, as PNG."""
SOUND: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
"""Nothing to hear, as WAV."""
PAUSE: Final = 0.05
"""Seconds between notices, as the suite wants them."""
CHOICES: Final = ("option1", "option2", "option3")
TITLED: Final = [{"const": f"value{number}", "title": f"Choice {number}"} for number in (1, 2, 3)]
SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
"""Words of JSON Schema that must come through as they are."""


def everything() -> MCPServer[Any]:
    """Return such a server."""
    server: MCPServer[Any] = MCPServer("everything", version="1", log_level="CRITICAL")
    for add in (_contents, _notices, _questions, _resources, _prompts, _protocol, add_rounds):
        add(server)
    return server


def _text(uri: str, text: str, kind: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=kind, text=text))


def _contents(server: MCPServer[Any]) -> None:
    """Add tools that return each kind of content."""

    @server.tool()
    def test_simple_text() -> str:
        """Return a text."""
        return "This is a simple text response for testing."

    @server.tool(structured_output=False)
    def test_image_content() -> ImageContent:
        """Return a picture."""
        return ImageContent(data=PICTURE, mime_type="image/png")

    @server.tool(structured_output=False)
    def test_audio_content() -> AudioContent:
        """Return a sound."""
        return AudioContent(data=SOUND, mime_type="audio/wav")

    @server.tool(structured_output=False)
    def test_embedded_resource() -> EmbeddedResource:
        """Return a resource."""
        return _text("test://embedded-resource", "This is an embedded resource content.")

    @server.tool(structured_output=False)
    def test_multiple_content_types() -> list[Any]:
        """Return one of each."""
        return [
            TextContent(text="Multiple content types test:"),
            ImageContent(data=PICTURE, mime_type="image/png"),
            _text("test://mixed-content-resource", '{"test": "data", "value": 123}', "application/json"),
        ]

    @server.tool()
    def test_error_handling() -> str:
        """Fail."""
        raise ToolError("This tool intentionally returns an error for testing")

    @server.tool()
    def test_header_region(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
        """Take an argument that a header repeats."""
        return region

    def json_schema_2020_12_tool() -> str:
        """Take what a rich schema describes."""
        return "taken"

    tool = Tool.from_function(json_schema_2020_12_tool)
    server._tool_manager._tools[tool.name] = tool.model_copy(
        update={"parameters": SCHEMA}
    )  # the SDK makes schemas by itself


def _notices(server: MCPServer[Any]) -> None:
    """Add tools that tell something while they work."""

    async def log(ctx: Context) -> None:
        for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(text)
            await asyncio.sleep(PAUSE)

    @server.tool()
    async def test_tool_with_logging(ctx: Context) -> str:
        """Log three times."""
        await log(ctx)
        return "logged"

    @server.tool()
    async def test_logging_tool(ctx: Context) -> str:
        """Log, whether or not anybody wants to hear."""
        await log(ctx)
        return "logged"

    @server.tool()
    async def test_tool_with_progress(ctx: Context) -> str:
        """Tell three times how far it is."""
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100)
            await asyncio.sleep(PAUSE)
        return "done"

    @server.tool()
    async def test_reconnection(ctx: Context) -> str:
        """Close the stream, and go on."""
        await ctx.close_sse_stream()
        await asyncio.sleep(4 * PAUSE)
        return "done"

    @server.tool()
    async def test_trigger_tool_change(ctx: Context) -> str:
        """Say that the tools are others now."""
        await ctx.notify_tools_changed()
        return "said"

    @server.tool()
    async def test_trigger_prompt_change(ctx: Context) -> str:
        """Say that the prompts are others now."""
        await ctx.notify_prompts_changed()
        return "said"


def _questions(server: MCPServer[Any]) -> None:
    """Add tools that ask the client in the middle of a call (2025-11-25)."""

    async def asked(ctx: Context, message: str, properties: dict[str, Any], *required: str) -> str:
        schema = {"type": "object", "properties": properties, "required": list(required)}
        answer = await ctx.session.elicit_form(message, schema, ctx.request_context.request_id)
        return f"action={answer.action}, content={json.dumps(answer.content)}"

    @server.tool()
    async def test_sampling(prompt: str, ctx: Context) -> str:
        """Ask the client's model."""
        message = SamplingMessage(role="user", content=TextContent(text=prompt))
        result = await ctx.session.create_message(
            [message], max_tokens=100, related_request_id=ctx.request_context.request_id
        )
        return f"LLM response: {getattr(result.content, 'text', '')}"

    @server.tool()
    async def test_elicitation(message: str, ctx: Context) -> str:
        """Ask the user."""
        text = {"type": "string", "description": "What to say of you"}
        return f"User response: {await asked(ctx, message, {'username': text, 'email': text}, 'username', 'email')}"

    @server.tool()
    async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
        """Ask the user, with answers to begin with."""
        properties = {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": True},
        }
        return f"Elicitation completed: {await asked(ctx, 'Who are you?', properties)}"

    @server.tool()
    async def test_elicitation_sep1330_enums(ctx: Context) -> str:
        """Ask the user to choose."""
        names = [f"Option {number}" for number in (1, 2, 3)]
        properties = {
            "untitledSingle": {"type": "string", "enum": list(CHOICES)},
            "titledSingle": {"type": "string", "oneOf": TITLED},
            "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": names},
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": list(CHOICES)}},
            "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
        }
        return f"Elicitation completed: {await asked(ctx, 'Which?', properties)}"

    @server.tool()
    async def test_missing_capability(ctx: Context) -> str:
        """Do what only a client with a model can have done."""
        if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
            needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "sampling is needed", needed)
        return "done"


def _resources(server: MCPServer[Any]) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        """Return a text."""
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        """Return a picture."""
        return b64decode(PICTURE)

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:  # noqa: A002  # the suite's name
        """Return what was asked for."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        """Return what others watch."""
        return "nothing new"


def _prompts(server: MCPServer[Any]) -> None:
    @server.prompt()
    def test_simple_prompt() -> str:
        """Say something."""
        return "This is a simple prompt for testing."

    @server.prompt()
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """Say what was given."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803  # the suite's name
        """Show a resource."""
        return [
            UserMessage(_text(resourceUri, "Embedded resource content for testing.")),
            UserMessage("Please process the embedded resource above."),
        ]

    @server.prompt()
    def test_prompt_with_image() -> list[UserMessage]:
        """Show a picture."""
        return [
            UserMessage(ImageContent(data=PICTURE, mime_type="image/png")),
            UserMessage("Please analyze the image above."),
        ]


def _protocol(server: MCPServer[Any]) -> None:
    """Add what the SDK has no decorators for."""

    async def complete(_ctx: Any, _params: Any) -> CompleteResult:  # noqa: ANN401  # whatever was begun
        return CompleteResult(completion=Completion(values=["paris", "park", "party"], total=3, has_more=False))

    async def nothing(_ctx: Any, _params: Any) -> EmptyResult:  # noqa: ANN401  # whatever it is, it changes nothing
        return EmptyResult()

    low = server._lowlevel_server
    low.add_request_handler("completion/complete", CompleteRequestParams, complete)
    low.add_request_handler("logging/setLevel", SetLevelRequestParams, nothing)
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, nothing)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, nothing)
