"""Approval by the user in the middle of a call, as each wire has it (issue 5, item 6)."""
# ruff: noqa: ANN401  # what the SDK hands to callbacks

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    TextContent,
)

from authz.mcp import protect_local
from authz.pep.obligations import Obligations
from tests.mcp.world import EDITH, POLICY, WIRES, documents, guarded, local, settings

if TYPE_CHECKING:
    from pathlib import Path

    from mcp.server.context import CallNext, ServerRequestContext

    from authz.model import Attributes
    from authz.pep.obligations import Call

on_both_wires = pytest.mark.parametrize("wire", WIRES)


class Person:
    """Somebody who answers what a client shows."""

    def __init__(self, action: str = "accept", *, approve: bool = True) -> None:
        """Answer always like this."""
        self.asked: list[str] = []
        self._answer = ElicitResult(action=action, content={"approve": approve} if action == "accept" else None)  # type: ignore[arg-type]  # one of three texts

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        """Answer a question."""
        self.asked.append(params.message)
        return self._answer


@on_both_wires
async def test_the_user_is_asked_once_and_the_call_is_made(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 6: by a request on 2025-11-25, by another round on 2026-07-28."""
    person = Person()
    async with Client(local(tmp_path, EDITH), mode=WIRES[wire], elicitation_callback=person) as client:
        result = await client.call_tool("share_document", {"id": "d1"})
    assert result.structured_content == {"result": "d1 is shared"}
    assert person.asked == ["Allow the call of `share_document`? It leaves the house."]


@on_both_wires
@pytest.mark.parametrize("person", [Person("decline"), Person("cancel"), Person(approve=False), None])
async def test_without_a_clear_yes_the_call_is_not_made(tmp_path: Path, wire: str, person: Person | None) -> None:
    """Issue 5, item 6: no, no answer, and a client that cannot ask."""
    async with Client(local(tmp_path, EDITH), mode=WIRES[wire], elicitation_callback=person) as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("share_document", {"id": "d1"})
    assert raised.value.error.code == -32001
    assert raised.value.error.data["request_id"]


@on_both_wires
async def test_the_user_is_asked_over_http(tmp_path: Path, wire: str) -> None:
    """Issue 5, item 6."""
    person = Person()
    async with guarded(tmp_path) as world, world.client("edith", wire, elicitation_callback=person) as client:
        assert (await client.call_tool("share_document", {"id": "d1"})).structured_content
    assert len(person.asked) == 1


async def test_an_answer_to_another_call_does_not_count(tmp_path: Path) -> None:
    """R19: the state of a call is bound to the tool and its arguments, and an answer to a question that was asked."""
    async with Client(local(tmp_path, EDITH), mode="2026-07-28", elicitation_callback=Person()) as client:
        first = await client.session.call_tool("share_document", {"id": "d1"}, allow_input_required=True)
        assert isinstance(first, InputRequiredResult)
        (name,) = first.input_requests or {}
        answers: Any = {name: ElicitResult(action="accept", content={"approve": True})}
        with pytest.raises(MCPError) as raised:
            await client.session.call_tool(
                "share_document",
                {"id": "d2"},
                input_responses=answers,
                request_state=first.request_state,
                allow_input_required=True,
            )
        assert raised.value.error.code == -32602
        unasked = await client.session.call_tool(
            "share_document", {"id": "d2"}, input_responses=answers, allow_input_required=True
        )
        assert isinstance(unasked, InputRequiredResult)


async def test_a_tool_that_asks_by_itself_keeps_its_state_beside_ours(tmp_path: Path) -> None:
    """R19: an approval is not lost, nor asked for twice, when the tool ends its rounds with a state of its own."""
    server = documents()
    low = server._lowlevel_server
    states: list[str | None] = []

    async def call(ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> Any:
        states.append(params.request_state)
        if params.request_state is None:
            question = ElicitRequestFormParams(
                message="Whom?", requested_schema={"type": "object", "properties": {"who": {"type": "string"}}}
            )
            return InputRequiredResult(
                input_requests={"who": ElicitRequest(params=question)}, request_state="the tool's"
            )
        assert set(params.input_responses or {}) == {"who"}
        return CallToolResult(
            content=[TextContent(type="text", text="shared")], structured_content={"result": "shared"}
        )

    low.add_request_handler("tools/call", CallToolRequestParams, call)
    protect_local(server, settings(tmp_path, stdio=EDITH))
    person = Person()
    async with Client(server, mode="2026-07-28", elicitation_callback=person) as client:
        result = await client.call_tool("share_document", {"id": "d1"})
    assert result.structured_content == {"result": "shared"}
    assert states == [None, "the tool's"]
    assert [asked.partition("?")[0] for asked in person.asked] == ["Allow the call of `share_document`", "Whom"]


class AsksAfterwards:
    """Meets an obligation by asking when the call has been made."""

    async def before(self, call: Call, parameters: Attributes) -> None:
        """Do nothing yet."""

    async def after(self, call: Call, parameters: Attributes, result: dict[str, Any]) -> dict[str, Any]:
        """Ask."""
        assert call.elicit is not None
        await call.elicit("Was that right?", {"type": "object", "properties": {}})
        return result


async def test_a_question_after_the_call_does_not_make_it_twice(tmp_path: Path) -> None:
    """R19: another round would make the call again, so the result is withheld instead."""
    server = documents()
    calls: list[str] = []

    async def counting(ctx: Any, call_next: CallNext) -> Any:
        calls.append(ctx.method)
        return await call_next(ctx)

    protect_local(server, settings(tmp_path, stdio=EDITH), obligations=Obligations({"approval": AsksAfterwards()}))
    server.middleware.append(counting)
    async with Client(server, mode="2026-07-28", elicitation_callback=Person()) as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("share_document", {"id": "d1"})
    assert raised.value.error.code == -32001
    assert calls.count("tools/call") == 1


async def test_where_nothing_seals_the_state_nobody_is_asked(tmp_path: Path) -> None:
    """R19: a low-level server without the SDK's boundary gives clients a state that they can write themselves."""

    async def call(ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        raise AssertionError

    server = Server("documents", on_call_tool=call)
    protect_local(server, settings(tmp_path, POLICY, stdio=EDITH))
    async with Client(server, mode="2026-07-28", elicitation_callback=Person()) as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("share_document", {"id": "d1"})
    assert raised.value.error.code == -32001
