"""What the active policy needs for each tool, as far as its server has told; bounded, since callers choose names."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.pdp.reads import joined
from authz.pep.pdp import PdpError
from authz.v1 import enforcement_pb2 as v1
from authz.wire import enforcement as wire
from authz.wire.strict import message_strictly, revision_strictly

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from authz.pdp.reads import ToolReads

MOST_TOOLS: Final = 10_000
"""Tools that rules speak of whose needs are remembered."""
MOST_OTHERS: Final = 1_000
"""Names beside them: those of tools in a server's catalogue that no rule speaks of, and whatever callers make up."""
MOST_NAMES: Final = wire.MAX_TOOLS
"""Tools that are described at a time."""
_LONGEST_KEPT_NAME: Final = 256


class Known(NamedTuple):
    """What one revision needs for some tools."""

    revision: str
    tools: Mapping[str, wire.Description]


class Needs:
    """The needs of one revision, the last that was heard of; any thread may ask.

    A change replaces the whole; whoever has read the one before goes on with that.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._known = Known("", {})

    def of(self, tools: Iterable[str]) -> Known:
        """Return what is known of these tools, which may be of some of them only, or of none."""
        known = self._known
        return Known(known.revision, {tool: known.tools[tool] for tool in tools if tool in known.tools})

    def learn(self, found: Known) -> None:
        """Remember what has been described."""
        before = self._known
        kept = dict(before.tools) if before.revision == found.revision else {}
        kept |= {name: tool for name, tool in found.tools.items() if len(name) <= _LONGEST_KEPT_NAME}
        for known, most in ((True, MOST_TOOLS), (False, MOST_OTHERS)):
            alike = [name for name, tool in kept.items() if tool.known is known]
            for name in alike[: max(0, len(alike) - most)]:
                del kept[name]
        self._known = Known(found.revision, kept)

    def forget(self, revision: str) -> None:
        """Drop what is known unless it is of this revision."""
        if self._known.revision != revision:
            self._known = Known("", {})


def describe_request(tools: Sequence[str]) -> bytes:
    """Return the message that asks about tools."""
    return wire.describe_request(tools).SerializeToString()


def described(data: bytes, tools: Sequence[str]) -> Known:
    """Read what a server says of tools. Raises `AnswerError` or `PdpError` where it says something else."""
    revision, found = wire.descriptions_from(message_strictly(v1.DescribeToolsResponse, data))
    if [one.tool for one in found] != list(tools):
        raise PdpError("the server described other tools than it was asked about")
    return Known(revision_strictly(revision), {one.tool: one for one in found})


def together(reads: Sequence[ToolReads]) -> ToolReads:
    """Return what several revisions read for one tool, all together."""
    return reduce(joined, reads)
