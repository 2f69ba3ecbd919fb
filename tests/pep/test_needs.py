"""What is sent to be decided about: what the policy reads and no more, also while the policy changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from authz import wire
from authz.errors import InvalidRequestError
from authz.model import Client, Decision, Part, Request, Resource
from authz.pdp.reads import ToolReads
from authz.pep.pdp import PdpError
from authz.pep.pdps.asking import Asking, exchange
from authz.pep.pdps.needs import Known, Needs, together
from authz.pep.pdps.remote import RemotePdp
from authz.v1 import decision_pb2 as v1
from authz.v1 import enforcement_pb2
from authz.wire import enforcement
from authz.wire.enforcement import Description
from authz.wire.questions import Written
from tests.pep.scripted import OTHER, REVISION, allow, answers_batches, describes, says, scripted
from tests.pep.world import ALICE, ask
from tests.strategies import build, cases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from authz.pdp.program import Program
    from authz.pep.pdp import Answer
    from authz.pep.pdps.asking import Outgoing
    from tests.strategies import Policy

PATIENCE_S = 20
FILE = "what the file says" * 1_000


def tool(name: str, *arguments: str, known: bool = True, **paths: Any) -> Description:  # noqa: ANN401  # paths
    """Describe a tool that needs some arguments by their dotted names."""
    parts = {"arguments": arguments, **paths}
    given = {part: tuple(tuple(path.split(".")) for path in parts.get(part, ())) for part in _PARTS}
    return Description(name, ToolReads(known=known, **given))


_PARTS = ("arguments", "context", "resource", "subject", "client")


class Server:
    """The other side of an exchange, without a network: replicas that are asked in turn."""

    def __init__(self, *replicas: tuple[str, Sequence[str]]) -> None:
        """Have replicas of these revisions, each with the arguments that it reads."""
        self.replicas = replicas
        self.turn = 0
        self.sent: list[tuple[str, Any]] = []

    def __call__(self, outgoing: Outgoing) -> bytes:
        """Answer a message."""
        revision, reads = self.replicas[self.turn % len(self.replicas)]
        self.turn += 1
        if outgoing.method == "DescribeTools":
            asked = enforcement_pb2.DescribeToolsRequest.FromString(outgoing.data)
            self.sent.append(("DescribeTools", list(asked.tools)))
            paths = [enforcement_pb2.AttributePath(names=path.split(".")) for path in reads]
            tools = [enforcement_pb2.ToolDescription(tool=one, known=True, arguments=paths) for one in asked.tools]
            return enforcement_pb2.DescribeToolsResponse(policy_revision=revision, tools=tools).SerializeToString()
        message = v1.CheckRequest.FromString(outgoing.data)
        self.sent.append(("Check", sorted(message.arguments.fields)))
        return allow(revision).SerializeToString()


def run(server: Callable[[Outgoing], bytes], needs: Needs, *requests: Request) -> Sequence[Answer]:
    """Carry the messages of an exchange."""
    steps = exchange(Asking(needs, Written()), requests, "id")
    try:
        outgoing = next(steps)
        while True:
            outgoing = steps.send(server(outgoing))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # what the exchange returns


QUESTION = ask(arguments={"title": "x", "text": FILE, "size": 7})


# --- Rounds ---------------------------------------------------------------------------------


def test_needs_are_asked_for_once_and_then_known() -> None:
    """Issue 5: the service tells, for each tool, what it reads; the PEP sends that and no others."""
    server, needs = Server((REVISION, ["title"])), Needs()
    for _ in range(3):
        run(server, needs, QUESTION)
    assert server.sent == [("DescribeTools", ["read_document"]), *[("Check", ["title"])] * 3]


def test_an_answer_by_another_revision_is_asked_for_again_with_its_needs() -> None:
    """Issue 5: asks again when the revision changes."""
    needs = Needs()
    run(Server((REVISION, ["title"])), needs, QUESTION)
    server = Server((OTHER, ["size"]))
    (decision,) = run(server, needs, QUESTION)
    assert server.sent == [("Check", ["title"]), ("DescribeTools", ["read_document"]), ("Check", ["size", "title"])]
    assert isinstance(decision, Decision)
    assert decision.policy_revision == OTHER
    server.sent.clear()
    run(server, needs, QUESTION)
    assert server.sent == [("Check", ["size"])]  # what only the old one needed is sent no longer


def test_replicas_of_two_revisions_answer_all_the_same() -> None:
    """Issue 5: round robin over replicas, while a new policy reaches one after the other."""
    replicas = Server((REVISION, ["title"]), (OTHER, ["size"]))
    needs = Needs()
    for start in range(2):
        replicas.turn = start
        for _ in range(5):
            (decision,) = run(replicas, needs, QUESTION)
            assert isinstance(decision, Decision)


def test_a_policy_that_never_rests_is_given_up_on() -> None:
    """Issue 5: at most so many rounds, then there is no decision."""
    server = Server(*((f"{number:064x}", ["title"]) for number in range(1, 50)))
    with pytest.raises(PdpError, match="again and again"):
        run(server, Needs(), QUESTION)
    assert len([one for one in server.sent if one[0] == "Check"]) == 3


def test_what_is_known_is_bounded_and_holds_no_strange_names() -> None:
    """Issue 5: bound everything that comes from outside: callers choose the names of tools."""
    needs = Needs()
    for start in range(0, 30_000, 1_000):
        needs.learn(Known(REVISION, {f"t{n}": tool(f"t{n}") for n in range(start, start + 1_000)}))
        needs.learn(Known(REVISION, {f"x{n}": tool(f"x{n}", known=False) for n in range(start, start + 1_000)}))
    kept = needs._known.tools
    assert len(kept) == 11_000
    assert "t29999" in kept  # made-up names push out each other, never the tools of the policy
    assert "x29999" in kept
    assert not {"t0", "x0"} & set(kept)
    needs.learn(Known(OTHER, {"x" * 1_000: tool("x" * 1_000), "t": tool("t")}))
    assert list(needs._known.tools) == ["t"]
    assert list(needs.of(["t", "nope"]).tools) == ["t"]


def test_only_what_is_not_known_yet_is_asked_for() -> None:
    """Issue 5: one tool more in a list does not have all of them described again."""
    server, needs = Server((REVISION, ["title"])), Needs()
    run(server, needs, QUESTION)
    run(server, needs, replace(QUESTION, tool="x" * 300))
    run(server, needs, replace(QUESTION, tool="x" * 300))
    described = [asked for method, asked in server.sent if method == "DescribeTools"]
    assert described == [["read_document"], ["x" * 300], ["x" * 300]]  # such a name is not worth remembering


async def test_a_list_with_tools_that_no_rule_speaks_of_is_described_once() -> None:
    """Issue 5: a list of 121 tools: a tool that the policy does not know costs no further question."""

    async def describe(data: bytes, _context: object) -> bytes:
        asked = enforcement_pb2.DescribeToolsRequest.FromString(data).tools
        tools = [enforcement_pb2.ToolDescription(tool=one, known=one != "new") for one in asked]
        return enforcement_pb2.DescribeToolsResponse(policy_revision=REVISION, tools=tools).SerializeToString()

    async with scripted(Check=says(allow()), BatchCheck=answers_batches(), DescribeTools=describe) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        for _ in range(3):
            await pdp.check_all([ask("a"), ask("new")])
        await pdp.check_all([ask("a"), ask("b"), ask("new")])
        await pdp.close()
    messages = [enforcement_pb2.DescribeToolsRequest.FromString(data) for data in server.messages("DescribeTools")]
    assert [list(message.tools) for message in messages] == [["a", "new"], ["b"]]


def test_needs_of_a_policy_of_before_are_not_mixed_with_those_of_a_new_one() -> None:
    """Issue 5: a tool that was described by another revision is described again."""
    needs = Needs()
    run(Server((REVISION, ["title"])), needs, QUESTION)
    server = Server((OTHER, ["size"]))
    requests = [QUESTION, replace(QUESTION, tool="write_document")]
    steps = exchange(Asking(needs, Written()), requests, "")
    outgoing = next(steps)
    for _ in range(2):
        assert outgoing.method == "DescribeTools"
        outgoing = steps.send(server(outgoing))
    assert outgoing.method == "BatchCheck"
    batch = v1.BatchCheckRequest.FromString(outgoing.data)
    assert [sorted(question.arguments.fields) for question in batch.questions] == [["size"], ["size"]]
    assert [asked for _, asked in server.sent] == [["write_document"], ["read_document", "write_document"]]


def test_needs_of_two_revisions_together_are_those_of_both() -> None:
    """Issue 5: whichever of the two answers, it had all that it reads."""
    both = together([tool("t", "a.b", context=["ip"]).reads, tool("t", "c", client=["x"]).reads])
    assert both.arguments == (("a", "b"), ("c",))
    assert (both.context, both.client) == ((("ip",),), (("x",),))


# --- What goes over the wire ----------------------------------------------------------------


async def sent_by(request: Request, **paths: tuple[str, ...]) -> v1.CheckRequest:
    """Return what reaches a server that needs these paths of each part, and of the others nothing."""
    describe = describes(REVISION, **{"client": (), **paths})
    async with scripted(Check=says(allow()), DescribeTools=describe) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        await pdp.check(request, request_id="q1")
        await pdp.close()
    (message,) = server.checks()
    return message


async def test_a_files_contents_never_travel_to_be_decided_on() -> None:
    """Issue 5, R23: sends those and no others (a file's contents never travel to be decided on)."""
    message = await sent_by(QUESTION, arguments=("title",))
    assert FILE not in str(message)
    assert list(message.arguments.fields) == ["title"]
    assert message.request_id == "q1"


async def test_every_part_is_cut_down_to_what_is_read_of_it() -> None:
    """Issue 5: arguments and attributes; what identifies caller, tool and resource is always sent."""
    both: dict[str, Any] = {"a": {"b": 1, "c": 2}, "d": 3}
    request = replace(
        ask(arguments=both, context=both),
        subject_attributes=both,
        client=Client("desktop", both),
        resource=Resource("document", "d1", "acme", both, ("folder:f",)),
    )
    parts = {"arguments": ("a.b",), "context": ("a.c",), "resource": ("d",), "subject": ("a",), "client": ("d", "a.c")}
    message = await sent_by(request, **parts)
    assert MessageToDict(message.arguments)["a"] == {"b": 1}
    assert MessageToDict(message.context)["a"] == {"c": 2}
    assert dict(message.resource.attributes) == {"d": 3}
    assert MessageToDict(message.subject_attributes)["a"] == {"b": 1, "c": 2}
    assert sorted(message.client.attributes.fields) == ["a", "d"]
    assert (message.subject, message.tenant, list(message.scopes)) == ("alice", "acme", ["docs:read"])
    assert (message.resource.type, message.resource.id, message.resource.tenant) == ("document", "d1", "acme")
    assert list(message.resource.ancestors) == ["folder:f"]
    assert message.client.id == "desktop"


async def test_a_batch_sends_of_its_caller_what_any_of_its_tools_reads() -> None:
    """Issue 5: one batch names its caller and context once."""

    async def describe(data: bytes, _context: object) -> bytes:
        tools = enforcement_pb2.DescribeToolsRequest.FromString(data).tools
        described = [
            enforcement_pb2.ToolDescription(
                tool=one, known=True, context=[enforcement_pb2.AttributePath(names=[one])], arguments=[]
            )
            for one in tools
        ]
        return enforcement_pb2.DescribeToolsResponse(policy_revision=REVISION, tools=described).SerializeToString()

    async with scripted(BatchCheck=answers_batches(), DescribeTools=describe) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        context = {"a": 1, "b": 2, "c": 3}
        await pdp.check_all([ask("a", context=context), ask("b", context=context, arguments={"a": 1})])
        await pdp.close()
    (batch,) = server.batches()
    assert dict(batch.context) == {"a": 1, "b": 2}
    assert [len(question.arguments.fields) for question in batch.questions] == [0, 0]


@pytest.mark.parametrize("number", [2**53 + 1, -(2**60) - 1, 10**400])
async def test_an_integer_that_the_wire_would_change_is_refused(number: int) -> None:
    """L60: another number would be decided about than the one that the tool gets."""
    with pytest.raises(InvalidRequestError) as refused:
        await sent_by(ask(arguments={"list": [{"n": number}]}), arguments=("list",))
    assert refused.value.field == "arguments.list[0].n"
    assert str(number)[:20] not in str(refused.value)


async def test_an_integer_that_nobody_reads_or_that_fits_is_no_matter() -> None:
    """L60: only what travels has to fit."""
    message = await sent_by(ask(arguments={"n": 2**53 + 1, "m": 2**60}), arguments=("m",))
    assert dict(message.arguments) == {"m": 2**60}


async def test_one_question_that_cannot_be_sent_spoils_no_other() -> None:
    """Issue 5: a malformed question spoils only its own answer, sent or not."""
    async with scripted(BatchCheck=answers_batches()) as server:
        pdp = RemotePdp(server.address, deadline=PATIENCE_S)
        bad = ask("b", arguments={"n": 2**53 + 1})
        first, second, third = await pdp.check_all([ask("a"), bad, ask("c")])
        await pdp.close()
    assert isinstance(first, Decision)
    assert isinstance(second, InvalidRequestError)
    assert isinstance(third, Decision)
    assert (first.message, third.message) == ("a", "c")


async def test_hints_that_are_absent_stay_absent() -> None:
    """Issue 5, R21: absent is not false."""
    from authz.model import ToolInfo

    message = await sent_by(ask(tool_info=ToolInfo("files", ("x",), read_only=False)), arguments=())
    assert message.tool_info.HasField("read_only")
    assert not message.tool_info.HasField("destructive")
    assert (message.tool_info.server, list(message.tool_info.tags)) == ("files", ["x"])


async def test_an_anonymous_caller_stays_anonymous() -> None:
    """L60: a question without a subject says so."""
    message = await sent_by(Request(tool="ping", anonymous=True))
    assert message.anonymous
    assert not message.subject
    assert not message.HasField("resource")
    assert not message.HasField("client")
    assert ALICE.subject not in str(message)


# --- Over the wire, the same decision -------------------------------------------------------


class RealServer:
    """A server's reading, deciding and writing, without a network."""

    def __init__(self, program: Program, now: datetime | None) -> None:
        """Decide by a program, at a time."""
        self.program = program
        self.now = now
        self.reads = program.reads

    def __call__(self, outgoing: Outgoing) -> bytes:
        """Answer a message."""
        revision = self.program.revision
        match outgoing.method:
            case "DescribeTools":
                tools = enforcement.read_describe(outgoing.data)
                described = [enforcement.Description(tool, self.reads.of(tool)) for tool in tools]
                answer = enforcement.describe_response(revision, map(enforcement.description, described))
                return answer.SerializeToString()
            case "Check":
                return self.response(wire.read_check(outgoing.data, self.now).request).SerializeToString()
        requests = wire.read_batch_check(outgoing.data, self.now).requests()
        results = [
            v1.CheckResult(error=wire.error_item(request))
            if isinstance(request, InvalidRequestError)
            else v1.CheckResult(response=self.response(request))
            for request in requests
        ]
        return v1.BatchCheckResponse(results=results, policy_revision=revision).SerializeToString()

    def response(self, request: Request) -> v1.CheckResponse:
        """Return the answer to one request."""
        return wire.response(self.program.decide(request))


@given(cases(count=6), st.sampled_from([frozenset(), frozenset(Part), frozenset({Part.ARGUMENTS, Part.CONTEXT})]))
def test_what_goes_over_the_wire_gets_the_decision_of_the_whole(
    case: tuple[Policy, list[Request]], unknown: frozenset[Part]
) -> None:
    """Issue 5, L68 (property): for any policy and any request, in one call or in a batch, with parts unknown or not."""
    policy, requests = case
    program = build(policy)
    needs = Needs()
    whole = [opened(replace(request, entities={}), unknown) for request in requests]
    for request in whole:
        server = RealServer(program, request.now)
        assert run(server, needs, request) == (program.decide(request),)
        twin = replace(request, arguments={})
        assert list(run(server, needs, request, twin)) == [program.decide(request), program.decide(twin)]


def opened(request: Request, unknown: frozenset[Part]) -> Request:
    """Return a request of which parts are unknown."""
    resource = request.resource
    return replace(
        request,
        unknown=unknown,
        arguments={} if Part.ARGUMENTS in unknown else request.arguments,
        context={} if Part.CONTEXT in unknown else request.context,
        resource=resource and Resource(resource.type) if Part.RESOURCE in unknown else resource,
    )
