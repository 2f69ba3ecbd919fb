"""What an enforcement point needs of a decision point, wherever that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, overload

from authz.errors import AuthzError
from authz.model import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.model import Decision
    from authz.wire.enforcement import Description


class PdpError(AuthzError):
    """Raised when no decision could be had: nobody answered, not in time, or not in a form that counts.

    Its text is for the log of the enforcement point, never for the caller; the call is denied.
    """


Answer: TypeAlias = "Decision | AuthzError"
"""A decision, or why there is none for this question."""


class Questions(Sequence[Request]):
    """Questions of one caller, each put together with the caller only where somebody looks at it.

    Whoever sends them to a server writes the caller once, and needs none of them: for a list of tools,
    putting them together takes longer than all the rest.
    """

    __slots__ = ("caller", "open")

    def __init__(self, caller: Request, open_: Sequence[Request]) -> None:
        """Let this caller ask what these requests of nobody's ask; what `caller` itself asks does not count."""
        self.caller = caller
        self.open = open_

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.open)

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> Questions: ...
    def __getitem__(self, index: int | slice) -> Request | Questions:
        """Return a question, or some of them."""
        if isinstance(index, slice):
            return Questions(self.caller, self.open[index])
        return self.open[index].by(self.caller)

    def __iter__(self) -> Iterator[Request]:
        """Yield the questions in their order."""
        return (one.by(self.caller) for one in self.open)


def parted(requests: Sequence[Request]) -> tuple[Request, Sequence[Request]]:
    """Return requests as their caller, which is the first one's, and their questions."""
    return (requests.caller, requests.open) if isinstance(requests, Questions) else (requests[0], requests)


class Pdp(Protocol):
    """Decides. Whatever is not a `Decision` with the effect ALLOW and known obligations is a denial."""

    async def check(self, request: Request, *, request_id: str = "") -> Decision:
        """Return the decision. Raises `PdpError`, and `InvalidRequestError` for a malformed question."""

    async def check_all(self, requests: Sequence[Request], *, request_id: str = "") -> Sequence[Answer]:
        """Return the answers to questions of one caller, in their order, all by one policy revision.

        Raises `PdpError` when there is none at all.
        """

    async def describe(self, tools: Sequence[str]) -> tuple[str, tuple[Description, ...]]:
        """Return the active revision and what it needs for these tools. Raises `PdpError`."""

    async def close(self) -> None:
        """End what is under way, and all connections."""
