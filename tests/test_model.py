"""Values of the model that are made without their constructor."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from authz.json_form import Call, call_of
from authz.model import Client, Part, Request, Resource, ToolInfo, resource_of, unchecked_request

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

REQUEST = Request(
    tool="t",
    subject="alice",
    scopes=("a", "b"),
    roles=("r",),
    tenant="acme",
    resource=Resource("document", "d", "acme", {"x": 1}, ("folder:1",)),
    arguments={"a": [1]},
    context={"b": None},
    subject_attributes={"c": True},
    client=Client("agent", {"d": 0.5}),
    tool_info=ToolInfo("s", ("x",), read_only=True),
    now=datetime(2026, 1, 1, tzinfo=UTC),
    entities={("folder", "1"): {}},
    unknown=frozenset(),
)
ANYBODYS = Request(tool="u", anonymous=True, unknown=frozenset({Part.ARGUMENTS}))


@pytest.mark.parametrize(
    ("whole", "made"),
    [
        (REQUEST, unchecked_request(*(getattr(REQUEST, field.name) for field in fields(Request)))),
        (ANYBODYS, unchecked_request(*(getattr(ANYBODYS, field.name) for field in fields(Request)))),
        (REQUEST.resource, resource_of("document", "d", "acme", {"x": 1}, ("folder:1",))),
        (Call(REQUEST, True, "id", "r", "token"), call_of(REQUEST, True, "id", "r", "token")),
    ],
)
def test_what_is_made_faster_is_the_same(whole: DataclassInstance, made: DataclassInstance) -> None:
    """Issue 6, build 2: nobody can tell how a value was made, and none can be changed."""
    assert type(made) is type(whole)
    assert made == whole
    assert repr(made) == repr(whole)
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(type(made))[0].name, None)


def test_a_question_is_asked_by_another_caller() -> None:
    """Issue 2: of a batch the caller is one, and the questions are many."""
    asked = ANYBODYS.by(REQUEST)
    assert (asked.tool, asked.unknown, asked.resource) == ("u", ANYBODYS.unknown, None)
    assert (asked.subject, asked.scopes, asked.now, asked.anonymous) == ("alice", ("a", "b"), REQUEST.now, False)
