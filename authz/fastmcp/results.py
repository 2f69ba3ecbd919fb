"""What FastMCP's handlers return ↔ the JSON form of the method's result, which obligations work on."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import mcp_types as wire
from fastmcp.prompts.base import InputRequiredPromptResult, Message, PromptResult
from fastmcp.resources.base import InputRequiredResourceResult, ResourceContent, ResourceResult
from fastmcp.tools.base import InputRequiredToolResult, ToolResult

from authz.pep.obligations import ObligationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

_INPUT_REQUIRED: Final = "input_required"
_OPAQUE: Final = "it is allowed under a condition that cannot be met for this kind of result"


def to_json(result: object, uri: str = "") -> dict[str, Any]:
    """Return a result in JSON form; `uri` is that of the resource that was read.

    Raises `ObligationError` for what nobody can look into, such as a call that goes on as a task.
    """
    match result:
        case InputRequiredToolResult() | InputRequiredPromptResult() | InputRequiredResourceResult():
            return _dumped(result.input_required)
        case ToolResult():
            return _dumped(_tool_result(result))
        case ResourceResult():
            return _dumped(result.to_mcp_result(uri))
        case PromptResult():
            return _dumped(result.to_mcp_prompt_result())
        case dict():
            return result
        case wire.CompleteResult() | wire.EmptyResult():
            return _dumped(result)
        case _:
            raise ObligationError(_OPAQUE)


def failed(text: str) -> dict[str, Any]:
    """Return the result of a tool that failed, in JSON form: a failure can give away as much as a success."""
    return _dumped(wire.CallToolResult(content=[wire.TextContent(type="text", text=text)], is_error=True))


def from_json(method: str, result: Mapping[str, Any]) -> object:
    """Return what FastMCP's handler of a method must return for a result in JSON form."""
    asks = result.get("resultType") == _INPUT_REQUIRED
    match method:
        case "tools/call" if asks:
            return InputRequiredToolResult(wire.InputRequiredResult.model_validate(result))
        case "tools/call":
            return ToolResult.from_mcp_result(wire.CallToolResult.model_validate(result))
        case "resources/read" if asks:
            return InputRequiredResourceResult(wire.InputRequiredResult.model_validate(result))
        case "resources/read":
            return _read(wire.ReadResourceResult.model_validate(result))
        case "prompts/get" if asks:
            return InputRequiredPromptResult(wire.InputRequiredResult.model_validate(result))
        case "prompts/get":
            return _prompt(wire.GetPromptResult.model_validate(result))
        case _:
            return dict(result)


def _read(result: wire.ReadResourceResult) -> ResourceResult:
    contents = [
        ResourceContent(
            one.text if isinstance(one, wire.TextResourceContents) else base64.b64decode(one.blob),
            mime_type=one.mime_type,
            meta=one.meta,
        )
        for one in result.contents
    ]
    return ResourceResult(contents, meta=result.meta)


def _prompt(result: wire.GetPromptResult) -> PromptResult:
    messages = [Message(one.content, role=one.role) for one in result.messages]
    return PromptResult(messages, description=result.description, meta=result.meta)


def _tool_result(result: ToolResult) -> wire.CallToolResult:
    made = result.to_mcp_result()
    if isinstance(made, wire.CallToolResult):
        return made
    if isinstance(made, tuple):
        content, structured = made
        return wire.CallToolResult(content=content, structured_content=structured)
    return wire.CallToolResult(content=made)


def _dumped(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)
