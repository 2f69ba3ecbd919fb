"""What the conformance suite asks of calls in several rounds (2026-07-28, `InputRequiredResult`)."""
# ruff: noqa: ANN401  # answers are whatever a client sends

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver import Context  # noqa: TC002  # the SDK looks at the annotations of tools
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer


def _form(message: str, name: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _model(text: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


def _said(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)])


def _ask(state: str | None = None, **requests: Any) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


def _answered(ctx: Context, *names: str) -> bool:
    return all(name in (ctx.input_responses or {}) for name in names)


def _answer(ctx: Context, name: str, field: str) -> Any:
    found = (ctx.input_responses or {}).get(name)
    return (found.content or {}).get(field) if isinstance(found, ElicitResult) else None


def add_rounds(server: MCPServer[Any]) -> None:
    """Add the tools and the prompt of these scenarios."""
    _single(server)
    _several(server)

    @server.prompt()
    def test_input_required_result_prompt(ctx: Context) -> Any:
        """Say something about what the user names."""
        if not _answered(ctx, "user_context"):
            return _ask(user_context=_form("What context should the prompt use?", "context"))
        return f"Use {_answer(ctx, 'user_context', 'context')}"


def _single(server: MCPServer[Any]) -> None:
    """Add tools that ask for one thing."""

    @server.tool()
    def test_input_required_result_elicitation(ctx: Context) -> CallToolResult | InputRequiredResult:
        """Greet the user."""
        name = _answer(ctx, "user_name", "name")
        return _ask(user_name=_form("What is your name?", "name")) if name is None else _said(f"Hello, {name}!")

    @server.tool()
    def test_input_required_result_sampling(ctx: Context) -> CallToolResult | InputRequiredResult:
        """Ask the client's model."""
        if not _answered(ctx, "capital_question"):
            return _ask(capital_question=_model("What is the capital of France?"))
        return _said("It answered")

    @server.tool()
    def test_input_required_result_list_roots(ctx: Context) -> CallToolResult | InputRequiredResult:
        """Ask for the client's folders."""
        return _said("Thank you") if _answered(ctx, "client_roots") else _ask(client_roots=ListRootsRequest())

    @server.tool()
    def test_input_required_result_capabilities(ctx: Context) -> CallToolResult | InputRequiredResult:
        """Ask in the way that the client knows."""
        able = ctx.client_capabilities
        if able is not None and able.elicitation is not None:
            return _ask(confirm=_form("Please confirm", "ok", "boolean"))
        return _ask(question=_model("Is it right?"))

    @server.tool()
    def test_streaming_elicitation(ctx: Context) -> CallToolResult | InputRequiredResult:
        """Ask the user, and not by a request of its own."""
        if not _answered(ctx, "confirm"):
            return _ask(confirm=_form("Please confirm", "ok", "boolean"))
        return _said("confirmed")


def _several(server: MCPServer[Any]) -> None:
    """Add tools that remember something between rounds, or ask for several things."""

    def confirmed(ctx: Context) -> CallToolResult | InputRequiredResult:
        if ctx.request_state is None:
            return _ask("begun", confirm=_form("Please confirm", "ok", "boolean"))
        if ctx.request_state != "begun":
            raise MCPError(INVALID_PARAMS, "this state is not mine")
        return _said("state-ok")

    @server.tool()
    def test_input_required_result_request_state(ctx: Context) -> CallToolResult | InputRequiredResult:
        """Remember that it has asked."""
        return confirmed(ctx)

    @server.tool()
    def test_input_required_result_tampered_state(ctx: Context) -> CallToolResult | InputRequiredResult:
        """Remember that it has asked, whatever the client says."""
        return confirmed(ctx)

    @server.tool()
    def test_input_required_result_multiple_inputs(ctx: Context) -> CallToolResult | InputRequiredResult:
        """Ask for three things at once."""
        if _answered(ctx, "user_name", "greeting", "client_roots"):
            return _said("Thank you")
        return _ask(
            "asked",
            user_name=_form("What is your name?", "name"),
            greeting=_model("Generate a greeting"),
            client_roots=ListRootsRequest(),
        )

    @server.tool()
    def test_input_required_result_multi_round(ctx: Context) -> CallToolResult | InputRequiredResult:
        """Ask for one thing after the other."""
        match ctx.request_state:
            case None:
                return _ask("first", step1=_form("Step 1: What is your name?", "name"))
            case "first":
                return _ask("second", step2=_form("Step 2: What is your favorite color?", "color"))
            case _:
                return _said("Thank you")
