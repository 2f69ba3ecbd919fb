"""Ask a server: which messages go to and fro until there are answers, whoever carries them.

What is sent depends on what the policy reads, and the policy may change in between: an answer counts
only if it is by a revision whose needs were sent. With replicas of two revisions the needs of both are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import grpc

from authz.errors import AuthzError, InvalidRequestError
from authz.json_form import checked_request_id
from authz.model import Decision
from authz.pep.pdp import PdpError, parted
from authz.pep.pdps.needs import Known, describe_request, described, together
from authz.wire.questions import batch_bytes, check_message
from authz.wire.strict import AnswerError, batch_answers, check_answer, refused

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from authz.model import Request
    from authz.pdp.reads import ToolReads
    from authz.pep.pdp import Answer
    from authz.pep.pdps.needs import Needs
    from authz.wire.questions import Written

Method: TypeAlias = Literal["Check", "BatchCheck", "DescribeTools"]

METHODS: Final[Mapping[Method, str]] = {
    "Check": "/authz.v1.DecisionService/Check",
    "BatchCheck": "/authz.v1.DecisionService/BatchCheck",
    "DescribeTools": "/authz.v1.EnforcementService/DescribeTools",
}

_ROUNDS: Final = 3
_REPLICAS: Final = 2  # descriptions asked for in one round: the second may come from the replica that has answered


class Outgoing(NamedTuple):
    """A message for one method of the server."""

    method: Method
    data: bytes


Exchange: TypeAlias = "Generator[Outgoing, bytes, Sequence[Answer]]"
Round: TypeAlias = "Generator[Outgoing, bytes, tuple[str, Sequence[Answer]]]"
"""Returns the revision that has answered as well."""


class Asking(NamedTuple):
    """What asking a server remembers from one time to the next; any thread may ask."""

    needs: Needs
    written: Written


def exchange(asking: Asking, requests: Sequence[Request], request_id: str) -> Exchange:
    """Yield what to send, take what comes back, and return the answers, all by one revision.

    Raises `AuthzError`: `InvalidRequestError` for a question that cannot be sent, else there are no answers.
    """
    needs = asking.needs
    caller, questions = parted(requests)
    tools = list(dict.fromkeys([question.tool for question in questions]))
    checked_request_id(request_id)
    sent: dict[str, Known] = {}
    wanted = ""
    for _ in range(_ROUNDS):
        known = yield from _needed(needs, tools, wanted)
        sent[known.revision] = known
        reads = {tool: together([one.tools[tool].reads for one in sent.values()]) for tool in tools}
        if len(questions) == 1:
            wanted, answers = yield from _single(requests[0], reads[tools[0]], request_id)
        else:
            asked = [(question, reads[question.tool]) for question in questions]
            wanted, answers = yield from _batch(caller, asked, request_id, asking.written)
        if wanted in sent:
            return answers
        needs.forget(wanted)
    raise PdpError("the policy changed again and again while it was asked about")


def _needed(needs: Needs, tools: Sequence[str], wanted: str) -> Generator[Outgoing, bytes, Known]:
    """Return what one revision needs for all the tools: the `wanted` one, if a replica that has it can be found."""
    known = needs.of(tools)
    missing = [tool for tool in tools if tool not in known.tools]
    if not missing:
        return known
    found = yield from description(missing)
    if found.revision != known.revision and len(missing) < len(tools):
        found = yield from description(tools)  # what was known is of a policy of before
    for _ in range(_REPLICAS - 1):
        if wanted and found.revision != wanted:
            found = yield from description(tools)  # perhaps from the replica that has answered
    needs.learn(found)
    return Known(found.revision, {**known.tools, **found.tools})


def description(tools: Sequence[str]) -> Generator[Outgoing, bytes, Known]:
    """Yield the question what the policy needs for tools, and return the answer."""
    return described((yield Outgoing("DescribeTools", describe_request(tools))), tools)


def _single(request: Request, reads: ToolReads, request_id: str) -> Round:
    message = check_message(request, reads, request_id)
    decision = check_answer((yield Outgoing("Check", message.SerializeToString())), request)
    return decision.policy_revision, (decision,)


def _batch(caller: Request, asked: Sequence[tuple[Request, ToolReads]], request_id: str, written: Written) -> Round:
    data, spoilt = batch_bytes(caller, asked, request_id, written)
    sent = [question for index, (question, _) in enumerate(asked) if index not in spoilt]
    revision, given = batch_answers((yield Outgoing("BatchCheck", data)), sent)
    answers = iter([failure(one) if isinstance(one, AuthzError) else one for one in given])
    return revision, [spoilt.get(index) or next(answers) for index in range(len(asked))]


def only(answers: Sequence[Answer]) -> Decision:
    """Return the decision of a single question. Raises what there is instead of one."""
    (answer,) = answers
    if isinstance(answer, Decision):
        return answer
    raise answer


def failure(error: AuthzError) -> AuthzError:
    """Return an error as an enforcement point tells it: the question's fault, or that there is no decision."""
    return PdpError(str(error)) if isinstance(error, AnswerError) else error


def failed(code: grpc.StatusCode, details: str | None) -> AuthzError:
    """Return what a status says: the question's fault, or that there is no decision."""
    text = " ".join((details or "").split())[:200]
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT:
            return refused(details or "was refused")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return PdpError("no answer within the deadline")
        case grpc.StatusCode.UNIMPLEMENTED:
            return PdpError("the server does not say what its policy reads: it is older than this enforcement point")
        case grpc.StatusCode.UNAVAILABLE:
            return PdpError(f"no answer from the server: {text}")
    return PdpError(f"the server answered {code.name}: {text}")


def copied(error: AuthzError) -> AuthzError:
    """Return an error for another one to raise who waited for the same answer."""
    return (
        InvalidRequestError(error.field, error.problem)
        if isinstance(error, InvalidRequestError)
        else PdpError(str(error))
    )
