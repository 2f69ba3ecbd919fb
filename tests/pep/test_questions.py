"""What is asked for each caller of a list is written and read once; who asks, and what is answered, never is."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from authz import wire
from authz.errors import InvalidRequestError
from authz.model import Decision, Effect, Part, Request, Resource, ToolInfo
from authz.pdp.reads import ToolReads
from authz.pep.catalogue import Item
from authz.pep.guard import Guard
from authz.pep.mapping import Mapping
from authz.pep.pdp import Questions, parted
from authz.pep.pdps.remote import RemotePdp
from authz.v1 import decision_pb2 as v1
from authz.wire.questions import MOST_WRITTEN, Written, batch_bytes
from authz.wire.strict import AnswerError, batch_answers
from tests.pep.scripted import OTHER, REVISION, answers_batches, scripted
from tests.pep.world import ALICE, EDITH, GLEN, POLICY, ask, local_pdp
from tests.server.support import serving

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from authz.pep.identity import Identity
    from authz.pep.pdp import Answer

PATIENCE_S = 30.0
NOTHING_READ = ToolReads(known=True)


def listed(tool: str = "read", **more: object) -> Request:
    """Return a question about any call of a tool."""
    return Request(anonymous=True, tool=tool, unknown=frozenset(Part), **more)  # type: ignore[arg-type]  # its fields


def caller(who: Identity = ALICE) -> Request:
    """Return who asks, as a request without a question."""
    return ask("-", who, resource=None)


def sent(asked: Sequence[tuple[Request, ToolReads]], written: Written, who: Identity = ALICE) -> v1.BatchCheckRequest:
    """Return the batch that asks, as a server reads it."""
    data, spoilt = batch_bytes(caller(who), asked, "id", written)
    assert not spoilt
    return v1.BatchCheckRequest.FromString(data)


# --- Questions of one caller ----------------------------------------------------------------


def test_questions_of_one_caller_are_the_requests_that_they_make_with_the_caller() -> None:
    """Issue 6: nobody can tell them from requests that were put together beforehand."""
    open_ = [listed("a"), listed("b"), listed("c")]
    questions = Questions(caller(), open_)
    whole = [one.by(caller()) for one in open_]
    assert len(questions) == 3
    assert list(questions) == whole
    assert [questions[index] for index in range(-3, 3)] == [*whole, *whole]
    assert list(questions[1:]) == whole[1:]
    assert isinstance(questions[1:], Questions)
    with pytest.raises(IndexError):
        questions[3]
    assert parted(questions) == (caller(), open_)
    assert parted(whole) == (whole[0], whole)


async def test_a_list_is_asked_about_for_the_caller_who_asks_now() -> None:
    """Issue 6, S71: what was written for one caller is sent for the next, and nothing of the caller with it."""
    tools = {name: Item(name, ToolInfo("documents", read_only=True)) for name in ("a", "b")}

    class Tools:
        async def tools(self) -> list[Item]:
            return list(tools.values())

        async def tool(self, name: str) -> Item | None:
            return tools.get(name)

    async with scripted(BatchCheck=answers_batches()) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        guard = Guard(pdp, Tools(), Mapping(), "documents", lambda _: False, deadline=PATIENCE_S)
        for who in (ALICE, EDITH, GLEN, ALICE):
            assert await guard.visible("tools/list", list(tools.values()), who) == [True, True]
        tools["b"] = Item("b", ToolInfo("documents", read_only=False))
        await guard.visible("tools/list", list(tools.values()), ALICE)
        await pdp.close()
        batches = server.batches()
    assert [(one.subject, one.tenant, *one.scopes) for one in batches] == [
        (who.subject, who.tenant, *who.scopes) for who in (ALICE, EDITH, GLEN, ALICE, ALICE)
    ]
    assert [[one.tool for one in batch.questions] for batch in batches] == [["a", "b"]] * 5
    assert [batch.questions[1].tool_info.read_only for batch in batches] == [True] * 4 + [False]


async def test_a_server_answers_a_list_as_the_engine_does_however_often(tmp_path: Path) -> None:
    """Issue 6: one decision function behind every door; what was written or read before changes no answer."""
    (tmp_path / "world.authz").write_text(POLICY)
    local, tools = local_pdp(), ("list_documents", "read_document", "write_document", "delete_document", "nope")
    open_ = [listed(tool, resource=Resource("document")) for tool in tools]
    async with serving(policies=tmp_path) as running:
        pdp = RemotePdp(running.server.address, deadline=PATIENCE_S)
        for who in (ALICE, EDITH, GLEN, ALICE):
            questions = Questions(caller(who), open_)
            remote, here = [await one.check_all(questions) for one in (pdp, local)]
            assert [replace(one, policy_revision="") for one in decisions(remote)] == [
                replace(one, policy_revision="") for one in decisions(here)
            ]
        await pdp.close()


def decisions(answers: Sequence[Answer]) -> list[Decision]:
    """Return answers that are all decisions."""
    found = [one for one in answers if isinstance(one, Decision)]
    assert len(found) == len(answers)
    return found


# --- Writing them ---------------------------------------------------------------------------


def test_parts_of_a_batch_that_are_written_apart_are_one_message() -> None:
    """Issue 6, L60: a server reads of them what it reads of a message that was written as a whole, and no doubles."""
    written, asked = Written(), [(listed("a"), NOTHING_READ), (listed("b", tool_info=ToolInfo("s")), NOTHING_READ)]
    for who in (ALICE, GLEN):
        data, _ = batch_bytes(caller(who), asked, "id", written)
        assert data == v1.BatchCheckRequest.FromString(data).SerializeToString()
        batch = wire.read_batch_check(data)
        assert list(batch.requests()) == [question.by(caller(who)) for question, _ in asked]
        assert batch.request_id == "id"


def test_only_the_very_same_question_is_found_as_it_was_written() -> None:
    """Issue 6: two questions about one tool differ in their hints, their resource, or what is left open."""
    written = Written()
    different = [
        listed(),
        listed(tool_info=ToolInfo("documents")),
        listed(tool_info=ToolInfo("documents", read_only=False)),
        listed(resource=Resource("document")),
        replace(listed(), unknown=frozenset({Part.ARGUMENTS})),
    ]
    for _ in range(2):
        messages = [sent([(one, NOTHING_READ)], written).SerializeToString() for one in different]
        assert len(set(messages)) == len(different)


@pytest.mark.parametrize("part", ["arguments", "resource"])
def test_what_depends_on_what_the_policy_reads_is_written_each_time(part: str) -> None:
    """Issue 5: what a policy does not read is not sent, whatever one before it has read."""
    written, values = Written(), {"title": "x", "text": "y"}
    question = (
        replace(listed(), arguments=values, unknown=frozenset({Part.CONTEXT}))
        if part == "arguments"
        else replace(listed(), resource=Resource("document", "d1", "", values), unknown=frozenset({Part.ARGUMENTS}))
    )
    for names in (("title",), ("text",), ("text", "title")):
        reads = ToolReads(known=True, **{part: tuple((name,) for name in names)})
        (found,) = sent([(question, reads)], written).questions
        assert tuple(sorted(found.arguments if part == "arguments" else found.resource.attributes)) == names


def test_what_cannot_be_sent_spoils_itself_each_time() -> None:
    """L60: an integer that the wire would change; the questions around it are asked."""
    written, reads = Written(), ToolReads(known=True, arguments=(("n",),))
    bad = replace(listed(), arguments={"n": 2**53 + 1}, unknown=frozenset({Part.CONTEXT}))
    for _ in range(2):
        data, spoilt = batch_bytes(caller(), [(listed("a"), reads), (bad, reads), (listed("c"), reads)], "", written)
        assert [one.tool for one in v1.BatchCheckRequest.FromString(data).questions] == ["a", "c"]
        assert {index: type(error) for index, error in spoilt.items()} == {1: InvalidRequestError}


def test_no_more_questions_are_kept_than_may_be() -> None:
    """Issue 6: bounded; however many there are, each is written as it is."""
    written = Written()
    for number in range(2 * MOST_WRITTEN + 1):
        written.of(listed(f"t{number}"), NOTHING_READ)
    assert 0 < len(written) <= MOST_WRITTEN
    long = listed("x" * 1_000)
    before = len(written)
    assert sent([(long, NOTHING_READ)], written).questions[0].tool == long.tool
    assert len(written) == before


# --- Reading the answers --------------------------------------------------------------------


def answered(*answers: v1.CheckResponse, revision: str = REVISION) -> bytes:
    """Return a batch of answers, each under an id of its own."""
    results = []
    for answer in answers:
        result = v1.CheckResult(response=answer)
        result.response.decision_id = secrets.token_hex(16)
        results.append(result)
    return v1.BatchCheckResponse(results=results, policy_revision=revision).SerializeToString()


CONDITIONAL = v1.CheckResponse(
    decision=v1.DECISION_CONDITIONAL, reason=v1.REASON_CONDITIONAL, message="it depends", policy_revision=REVISION
)


def test_an_answer_that_was_read_before_is_looked_at_in_its_own_place() -> None:
    """L68, issue 5: one that is conditional counts only where something was left open, and by one revision only."""
    closed = replace(listed(), unknown=frozenset())
    for _ in range(2):
        revision, (first, second, third) = batch_answers(
            answered(CONDITIONAL, CONDITIONAL, CONDITIONAL), [listed(), closed, listed()]
        )
        assert revision == REVISION
        assert isinstance(first, Decision)
        assert first.effect is Effect.CONDITIONAL
        assert first == third
        assert isinstance(second, AnswerError)
        _, (other,) = batch_answers(answered(CONDITIONAL, revision=OTHER), [listed()])
        assert isinstance(other, AnswerError)
        assert "two policy revisions" in str(other)


def test_answers_that_differ_in_anything_but_their_id_are_read_apart() -> None:
    """Issue 6: what is remembered is what an answer says, never who was answered."""
    fields: dict[str, Any] = {
        "decision": v1.DECISION_CONDITIONAL,
        "reason": v1.REASON_CONDITIONAL,
        "policy_revision": REVISION,
    }
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"message": "perhaps"},
        {"rules": ["r"]},
        {"reason": v1.REASON_ALLOWED},
        {"decision": 2},
    )
    answers = [v1.CheckResponse(**{**fields, **change}) for change in changes]
    for _ in range(2):
        _, found = batch_answers(answered(*answers), [listed()] * len(answers))
        told = [(one.message, one.rules) if isinstance(one, Decision) else str(one) for one in found]
        assert told[:3] == [("", ()), ("perhaps", ()), ("", ("r",))]
        assert ["contradicts itself" in text for text in told[3:]] == [True, True]
