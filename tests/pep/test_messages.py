"""What each MCP message means to a guard (issue 5, item 5): the tables of COAZ-MCP draft 1, row by row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.errors import InvalidRequestError
from authz.pep.messages import Message, Target, Treatment, targets, tool_call, treatment

SERVER = "https://mcp.example/mcp"

ROWS: list[tuple[str, dict[str, Any], Target]] = [
    ("resources/read", {"uri": "file:///a"}, Target("resources/read", "resource", "file:///a")),
    ("resources/subscribe", {"uri": "file:///a"}, Target("resources/subscribe", "resource", "file:///a")),
    ("resources/unsubscribe", {"uri": "file:///a"}, Target("resources/unsubscribe", "resource", "file:///a")),
    ("prompts/get", {"name": "review", "arguments": {}}, Target("prompts/get", "prompt", "review")),
    (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "review"}, "argument": {"name": "a", "value": "b"}},
        Target("completion/complete", "prompt", "review"),
    ),
    (
        "completion/complete",
        {"ref": {"type": "ref/resource", "uri": "file:///{path}"}},
        Target("completion/complete", "resource", "file:///{path}"),
    ),
    ("logging/setLevel", {"level": "debug"}, Target("logging/setLevel", "mcp_server", SERVER)),
    ("tasks/list", {}, Target("tasks/list", "mcp_server", SERVER)),
    ("tasks/get", {"taskId": "t1"}, Target("tasks/get", "task", "t1")),
    ("tasks/result", {"taskId": "t1"}, Target("tasks/result", "task", "t1")),
    ("tasks/cancel", {"taskId": "t1"}, Target("tasks/cancel", "task", "t1")),
    ("tasks/update", {"taskId": "t1"}, Target("tasks/update", "task", "t1")),
]


@pytest.mark.parametrize(("method", "params", "expected"), ROWS, ids=[f"{row[0]}-{row[2].type}" for row in ROWS])
def test_the_default_mapping_of_each_method(method: str, params: dict[str, Any], expected: Target) -> None:
    """COAZ-MCP draft 1, "Default Mappings": the method is the action, what it names is the resource."""
    assert treatment(method) is Treatment.TARGET
    assert targets(Message(method, params), SERVER) == (expected,)


def test_a_tool_is_asked_about_by_its_own_name() -> None:
    """Issue 5, item 5: tool and arguments; the difference from COAZ-MCP that messages.py states."""
    assert treatment("tools/call") is Treatment.TOOL
    assert tool_call(Message("tools/call", {"name": "read", "arguments": {"p": 1}})) == ("read", {"p": 1})
    assert tool_call(Message("tools/call", {"name": "read"})) == ("read", {})
    assert tool_call(Message("tools/call", {"name": "read", "arguments": None})) == ("read", {})


@pytest.mark.parametrize("method", ["ping", "initialize", "server/discover"])
def test_what_tells_nothing_passes(method: str) -> None:
    """COAZ-MCP draft 1, "Pass-through Operations", and the two that tell a caller nothing of what is guarded."""
    assert treatment(method) is Treatment.PASS


@pytest.mark.parametrize("name", ["initialized", "cancelled", "progress", "roots/list_changed", "of/tomorrow"])
def test_notifications_pass(name: str) -> None:
    """COAZ-MCP draft 1, "Pass-through Operations": all notifications."""
    assert treatment(f"notifications/{name}") is Treatment.PASS


@pytest.mark.parametrize("method", ["tools/list", "resources/list", "resources/templates/list", "prompts/list"])
def test_lists_are_filtered(method: str) -> None:
    """Issue 5, item 3: list filters for tools, resources, templates and prompts."""
    assert treatment(method) is Treatment.FILTER


@pytest.mark.parametrize(
    "method",
    [
        *("", "tools", "tools/", "tools/calls", "Tools/call", "tools/call ", "TOOLS/LIST", "tools/list\n", "ping/pong"),
        *("sampling/createMessage", "elicitation/create", "roots/list", "resources/write", "notifications"),
    ],
)
def test_other_methods_are_denied(method: str) -> None:
    """COAZ-MCP draft 1, "Unknown Methods": what nobody knows fails closed, and nothing is guessed from its spelling."""
    assert treatment(method) is Treatment.DENY


@given(st.text())
def test_no_text_passes_but_those_of_the_table(method: str) -> None:
    """COAZ-MCP draft 1, "Unknown Methods"."""
    passes = method in {"ping", "initialize", "server/discover"} or method.startswith("notifications/")
    assert (treatment(method) is Treatment.PASS) is passes


def test_listening_asks_about_each_resource_and_nothing_else() -> None:
    """MCP 2026-07-28: `subscriptions/listen` subscribes to resources as `resources/subscribe` did."""
    uris = ["file:///a", "file:///b"]
    found = targets(Message("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}}), SERVER)
    assert found == tuple(Target("resources/subscribe", "resource", uri) for uri in uris)
    assert targets(Message("subscriptions/listen", {"notifications": {"toolsListChanged": True}}), SERVER) == ()
    for wrong in ("file:///a", {"a": 1}, [7], [""], [None]):
        with pytest.raises(InvalidRequestError):
            targets(Message("subscriptions/listen", {"notifications": {"resourceSubscriptions": wrong}}), SERVER)


@pytest.mark.parametrize("value", [None, "", 7, True, [], ["a"], {}, {"name": "a"}, 1.5])
def test_a_name_that_is_no_text_is_an_error_that_names_it(value: object) -> None:
    """COAZ-MCP draft 1, "Mapping Errors": -32602, for a missing name and for any that is no text."""
    for method, name in (("resources/read", "uri"), ("prompts/get", "name"), ("tasks/get", "taskId")):
        for params in ({name: value}, {}):
            with pytest.raises(InvalidRequestError) as caught:
                targets(Message(method, params), SERVER)
            assert caught.value.field == name
    with pytest.raises(InvalidRequestError):
        tool_call(Message("tools/call", {"name": value}))


@pytest.mark.parametrize("arguments", [[], ["a"], "a", 7, True, False, 0, ""])
def test_arguments_that_are_no_object_are_an_error(arguments: object) -> None:
    """COAZ-MCP draft 1, "Mapping Errors": nothing that is falsy counts as nothing."""
    with pytest.raises(InvalidRequestError) as caught:
        tool_call(Message("tools/call", {"name": "read", "arguments": arguments}))
    assert caught.value.field == "arguments"


@pytest.mark.parametrize("ref", [None, "review", [], {}, {"type": "ref/prompt"}, {"type": "ref/resource", "name": "a"}])
def test_a_completion_of_nothing_is_an_error(ref: object) -> None:
    """COAZ-MCP draft 1, "Mapping Errors"."""
    with pytest.raises(InvalidRequestError):
        targets(Message("completion/complete", {"ref": ref}), SERVER)
