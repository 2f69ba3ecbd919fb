"""Lists are asked for again and again: what is remembered of the questions is never an answer, and never a caller."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from authz import wire
from authz.errors import InvalidRequestError
from authz.model import Request, ToolInfo
from authz.pep.catalogue import Item
from authz.pep.guard import Guard
from authz.pep.mapping import Mapping
from authz.v1 import decision_pb2 as v1
from tests.pep.world import ALICE, EDITH, GLEN, local_pdp

POLICY = """
role "viewer"
role "editor"
tool "read" { allow role "viewer" when tool.read_only  allow role "editor" }
"""


@dataclass
class Tools:
    """A catalogue of one tool, which is replaced while the server runs."""

    item: Item = field(default_factory=lambda: Item("read", ToolInfo(read_only=True)))

    async def tools(self) -> list[Item]:
        """Return it."""
        return [self.item]

    async def tool(self, _: str) -> Item:
        """Return it."""
        return self.item


async def test_a_tool_that_is_replaced_is_asked_about_anew_for_every_caller() -> None:
    """Issue 5: no decision is ever reused across subjects; a list shows what a call would be decided by."""
    tools = Tools()
    guard = Guard(local_pdp(POLICY), tools, Mapping(), "documents", lambda _: False)

    async def seen() -> list[object]:
        return [await guard.visible("tools/list", await tools.tools(), who) for who in (ALICE, EDITH, ALICE)]

    assert await seen() == [[True], [True], [True]]
    tools.item = Item("read", ToolInfo(read_only=False))
    assert await seen() == [[False], [True], [False]]
    tools.item = Item("read", ToolInfo(read_only=True))
    assert await seen() == [[True], [True], [True]]


def batch(subject: str, *, context: bool = False, **question: object) -> bytes:
    """Return a batch of one question with parts unknown, as it is sent."""
    message = v1.BatchCheckRequest(subject=subject, tenant="acme")
    if context:
        message.context["ip"] = "10.0.0.1"
    message.questions.add(tool="read", unknown=[v1.PART_ARGUMENTS, v1.PART_CONTEXT], **question)
    return message.SerializeToString()


def read(data: bytes) -> Request | InvalidRequestError:
    """Read a batch of one question."""
    (found,) = wire.read_batch_check(data).requests()
    return found


def test_a_question_that_was_read_before_is_asked_by_the_caller_who_asks_now() -> None:
    """Issue 5, S71: nothing of one caller is left for the next."""
    found = [read(batch(who.subject)) for who in (ALICE, GLEN, ALICE)]
    assert [one.subject for one in found if isinstance(one, Request)] == ["alice", "glen", "alice"]


@pytest.mark.parametrize("_", range(2))
def test_what_is_wrong_with_a_question_is_told_each_time(_: int) -> None:  # only to do it again
    """L60, L68: a context that is given and said to be unknown; a hint that tells two questions apart."""
    assert isinstance(read(batch("alice")), Request)
    assert isinstance(read(batch("alice", context=True)), InvalidRequestError)
    hinted = read(batch("alice", tool_info=v1.ToolInfo(read_only=False)))
    assert isinstance(hinted, Request)
    assert hinted.tool_info == ToolInfo(read_only=False)
    assert isinstance(read(batch("alice", resource=v1.Resource(id="d1"), arguments={"a": 1})), InvalidRequestError)
