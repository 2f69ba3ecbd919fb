"""What an enforcement point needs of a decision point, wherever that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from authz.errors import AuthzError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.model import Decision, Request
    from authz.wire.enforcement import Description


class PdpError(AuthzError):
    """Raised when no decision could be had: nobody answered, not in time, or not in a form that counts.

    Its text is for the log of the enforcement point, never for the caller; the call is denied.
    """


Answer: TypeAlias = "Decision | AuthzError"
"""A decision, or why there is none for this question."""


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
