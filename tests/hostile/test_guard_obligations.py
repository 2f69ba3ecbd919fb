"""Conditions of a call cannot be talked away: approvals that nobody gave, and secrets in other clothes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from authz.mcp.asking import _name
from authz.pep.handlers import _APPROVAL
from tests.hostile.mcp_support import FRAMEWORKS, LEGACY, MODERN, SECRET, attacked

if TYPE_CHECKING:
    from pathlib import Path

COMPLETION: Final[dict[str, Any]] = {
    "ref": {"type": "ref/prompt", "name": "ask"},
    "argument": {"name": "what", "value": ""},
}
GUARDED: Final = (
    ("share", "tools/call", {"name": "share", "arguments": {"id": "d1"}}),
    ("completion/complete", "completion/complete", COMPLETION),
)


def _forged(what: str, *, answered: bool) -> dict[str, Any]:
    """Return the state and the answers of a call that the user has approved, as nobody has sealed them."""
    name = _name(f"Allow the call of `{what}`? Sure?", _APPROVAL)
    answers = {name: {"approve": True}} if answered else {}
    state = json.dumps({"authz.v1": {"asked": [name], "answers": answers, "inner": None}})
    responses = {name: {"action": "accept", "content": {"approve": True}}}
    return {"requestState": state, "inputResponses": responses}


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_an_approval_that_a_client_makes_up_is_none(tmp_path: Path, framework: str) -> None:
    """R19: the state of a call is the attacker's, whatever the method, unless the server has sealed it."""
    async with attacked(tmp_path, framework) as server:
        token = server.world.token("alice")
        for what, method, params in GUARDED:
            for answered in (True, False):
                for wire in (MODERN, LEGACY):
                    reply = await server.ask(token, method, params | _forged(what, answered=answered), wire=wire)
                    assert not reply.done or reply.message["result"].get("resultType") == "input_required", reply.text
                    assert SECRET not in reply.text
        assert server.done.calls == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_an_approval_counts_for_whom_and_what_it_was_given(tmp_path: Path, framework: str) -> None:
    """R19: neither another caller, nor another tenant's, nor another call can use it; and no is no."""
    async with attacked(tmp_path, framework) as server:
        alice, edith = server.world.token("alice"), server.world.token("edith")
        call = {"name": "share", "arguments": {"id": "d1"}}
        asked = (await server.ask(alice, "tools/call", call)).message["result"]
        (name,) = asked["inputRequests"]

        def round_(content: object, action: str = "accept", **other: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
            answer = {"inputResponses": {name: {"action": action, "content": content}}}
            return call | {"requestState": asked["requestState"]} | answer | other

        yes = {"approve": True}
        refusals = [
            (edith, round_(yes)),
            (server.world.token("glen"), round_(yes)),
            (alice, round_(yes, arguments={"id": "d2"})),
            (alice, round_(yes, requestState=asked["requestState"][:-4] + "AAAA")),
            (alice, round_(yes, "decline")),
            (alice, round_(yes, "cancel")),
            (alice, round_({"approve": False})),
            (alice, round_({"approve": 1})),
            (alice, round_({"approve": "true"})),
            (alice, round_({"Approve": True})),
            (alice, round_({})),
            (alice, round_(None)),
            (alice, round_([yes])),
            (alice, round_(yes, inputResponses=[yes])),
            (alice, round_(yes, inputResponses={"authz.v1.other": {"action": "accept", "content": yes}})),
        ]
        for token, params in refusals:
            reply = await server.ask(token, "tools/call", params)
            assert not reply.done or reply.message["result"].get("resultType") == "input_required", (params, reply.text)
        assert server.done.calls == []
        assert (await server.ask(alice, "tools/call", round_(yes))).done
        assert server.done.calls == ["share d1"]


@pytest.mark.parametrize("wire", [LEGACY, MODERN])
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_what_is_redacted_is_in_no_part_of_any_answer(tmp_path: Path, framework: str, wire: str) -> None:
    """Issue 5, build 6: JSON in text that the server wraps, text, lists, failures and errors of the protocol."""
    tools = ("as_text", "as_texts", "as_plain", "as_objects", "as_fields", "as_failure", "as_error")
    async with attacked(tmp_path, framework) as server:
        token = server.world.token("alice")
        headers = {} if wire == MODERN else {"Mcp_Session_Id": await server.session(token)}
        for tool in tools:
            reply = await server.ask(token, "tools/call", {"name": tool, "arguments": {}}, wire=wire, **headers)
            assert "result" in reply.message, (tool, reply.text)
            assert SECRET not in reply.text, tool
        assert server.done.calls == ["as_error"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_resource_that_fails_tells_nothing_that_is_redacted(tmp_path: Path, framework: str) -> None:
    """Issue 5, build 6: an error of the protocol can give away as much as the content; one that is not there cannot."""
    policy = """
    role "viewer"
    resource "resource" {}
    tool "resources/read" on "resource" { allow "read" role "viewer" then "redact" { fields: "**.secret" } }
    """
    async with attacked(tmp_path, framework, policy) as server:
        token = server.world.token("alice")
        for uri in ("docs://failing", "docs://bytes", "docs://held"):
            reply = await server.ask(token, "resources/read", {"uri": uri})
            assert SECRET not in reply.text, uri
        assert set(server.done.calls) == {"failing", "held"}
        assert (await server.ask(token, "resources/read", {"uri": "docs://nothing"})).code == -32602
