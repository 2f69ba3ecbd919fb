"""Read and write the messages of EnforcementService, for both of its sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from authz.errors import InvalidRequestError
from authz.model import Request
from authz.pdp.reads import ToolReads
from authz.v1 import enforcement_pb2 as v1
from authz.v1 import policy_pb2
from authz.wire.parts import parse
from authz.wire.policies import file_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from authz.lang.source import Source
    from authz.pap.decoding import ReadFile
    from authz.pdp.reads import Paths

MAX_TOOLS: Final = 1_000
"""Names in one DescribeTools."""


class Description(NamedTuple):
    """What an enforcement point is told of one tool: what is read, and the fewest scopes that open it."""

    tool: str
    reads: ToolReads
    entry_scopes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Say whether any rule speaks of the tool."""
        return self.reads.known


# --- The server's side ----------------------------------------------------------------------


def read_describe(data: bytes) -> tuple[str, ...]:
    """Read a DescribeToolsRequest: the names of tools, each as in a question (L60)."""
    message = parse(v1.DescribeToolsRequest, data)
    if len(message.tools) > MAX_TOOLS:
        raise InvalidRequestError("tools", f"holds more than {MAX_TOOLS} items")
    for index, tool in enumerate(message.tools):
        try:
            Request(tool=tool, anonymous=True)  # what a question may not hold is refused here as there
        except InvalidRequestError as error:
            raise InvalidRequestError(f"tools[{index}]", error.problem) from None
    return tuple(message.tools)


def description(given: Description) -> v1.ToolDescription:
    """Return the message that describes one tool."""
    reads = given.reads
    return v1.ToolDescription(
        tool=given.tool,
        known=reads.known,
        arguments=_paths(reads.arguments),
        context=_paths(reads.context),
        resource=_paths(reads.resource),
        subject=_paths(reads.subject),
        client=_paths(reads.client),
        entry_scopes=given.entry_scopes,
    )


def describe_response(revision: str, tools: Iterable[v1.ToolDescription]) -> v1.DescribeToolsResponse:
    """Return the message that describes tools, in the order of the question."""
    return v1.DescribeToolsResponse(policy_revision=revision, tools=tools)


def read_follow(data: bytes) -> None:
    """Read a FollowPolicyRequest, which says nothing."""
    parse(v1.FollowPolicyRequest, data)


def follow_response(revision: str, sources: Iterable[Source] = ()) -> v1.FollowPolicyResponse:
    """Return the message that brings the policy, or without files the sign that nothing has changed."""
    files = [policy_pb2.PolicyFile(name=source.name, text=source.text) for source in sources]
    return v1.FollowPolicyResponse(policy_revision=revision, files=files)


# --- The client's side ----------------------------------------------------------------------


def describe_request(tools: Sequence[str]) -> v1.DescribeToolsRequest:
    """Return the message that asks about tools."""
    return v1.DescribeToolsRequest(tools=tools)


def descriptions_from(message: v1.DescribeToolsResponse) -> tuple[str, tuple[Description, ...]]:
    """Return the revision that a response speaks of, and the tools in the order in which it names them."""
    return message.policy_revision, tuple(map(_description_from, message.tools))


def policy_from(message: v1.FollowPolicyResponse) -> tuple[str, tuple[ReadFile, ...]]:
    """Return the revision that decides now, and its files as if they had been read; none where nothing has changed."""
    return message.policy_revision, file_bytes(message.files)


def _description_from(message: v1.ToolDescription) -> Description:
    reads = ToolReads(
        known=message.known,
        arguments=_paths_from(message.arguments),
        context=_paths_from(message.context),
        resource=_paths_from(message.resource),
        subject=_paths_from(message.subject),
        client=_paths_from(message.client),
    )
    return Description(message.tool, reads, tuple(message.entry_scopes))


def _paths(paths: Paths) -> list[v1.AttributePath]:
    return [v1.AttributePath(names=names) for names in paths]


def _paths_from(messages: Iterable[v1.AttributePath]) -> Paths:
    return tuple(tuple(message.names) for message in messages)
