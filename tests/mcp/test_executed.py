"""What the gate decided about counts only for a message that means the same (issue 5, item 3)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.mcp.executed import same
from authz.pep.messages import Message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        (1, 1.0),
        ("1", 1),
        (None, ""),
        ([], {}),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1, "b": None}),
    ],
)
def test_values_of_different_kinds_are_different(one: Any, other: Any) -> None:  # noqa: ANN401  # any JSON value
    """Issue 5, item 3: Python takes some of them for equal, policies and tools do not."""
    left, right = (Message("tools/call", {"name": "x", "arguments": {"v": value}}) for value in (one, other))
    assert not same(left, right)
    assert not same(right, left)


@given(JSON, JSON)
def test_two_messages_are_the_same_exactly_when_they_are_written_the_same(one: object, other: object) -> None:
    """Issue 5, item 3."""
    written = [json.dumps(value, sort_keys=True) for value in (one, other)]
    zeros = any("0.0" in text for text in written)  # -0.0 and 0.0 are equal, and no policy tells them apart
    found = same(Message("tools/call", {"v": one}), Message("tools/call", {"v": other}))
    assert found == (written[0] == written[1]) or zeros
    assert same(Message("tools/call", {"v": one}), Message("tools/call", json.loads(f'{{"v": {written[0]}}}')))


def test_another_method_is_another_message() -> None:
    """Issue 5, item 3."""
    assert not same(Message("tools/call", {"name": "x"}), Message("prompts/get", {"name": "x"}))


def test_the_state_of_a_call_is_no_part_of_the_question() -> None:
    """R19: the SDK opens what it sealed, so that the two differ in this alone."""
    sealed, opened = ({"name": "x", "requestState": state} for state in ("sealed", "opened"))
    assert same(Message("tools/call", sealed), Message("tools/call", opened))
    assert same(Message("tools/call", sealed), Message("tools/call", {"name": "x"}))
    assert not same(Message("tools/call", sealed), Message("tools/call", {"name": "y", "requestState": "sealed"}))
