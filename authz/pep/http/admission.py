"""What the step-up gate tells the plug-in behind it, in the ASGI scope of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.model import Attributes
    from authz.pep.identity import Identity
    from authz.pep.verdict import Verdict

_KEY: Final = "authz"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request whose caller is known, and what policies may know of the connection.

    `verdict` is that of the message in its body, where one was asked about.
    """

    identity: Identity
    context: Attributes
    verdict: Verdict | None = None


def admit(scope: Mapping[str, Any], admitted: Admitted) -> None:
    """Note in a request's scope who was admitted."""
    scope["state"][_KEY] = admitted


def admitted(scope: Mapping[str, Any]) -> Admitted | None:
    """Return who was admitted; None for a request that did not come through the gate, which must be denied."""
    found = (scope.get("state") or {}).get(_KEY)
    return found if isinstance(found, Admitted) else None
