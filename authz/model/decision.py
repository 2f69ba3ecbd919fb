"""What is answered: a decision."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authz.model.values import Attributes


class Effect(Enum):
    """The answer. CONDITIONAL is given only for requests with unknown parts (L68)."""

    ALLOW = 1
    DENY = 2
    CONDITIONAL = 3


class Reason(Enum):
    """Which step of L61 decided; the numbers are those of `authz.v1.Reason`."""

    ALLOWED = 1
    UNKNOWN_TOOL = 2
    NO_APPLICABLE_RULE = 3
    TENANT_MISMATCH = 4
    TENANT_UNKNOWN = 5
    EXPLICIT_DENY = 6
    MISSING_ROLE = 7
    REQUIREMENT_NOT_MET = 8
    INDETERMINATE = 9
    NO_ALLOW = 10
    INSUFFICIENT_SCOPE = 11
    RATE_LIMITED = 12
    CONDITIONAL = 13


@dataclass(frozen=True, slots=True)
class Obligation:
    """Something the caller must do when it acts on an ALLOW (L64)."""

    name: str
    parameters: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one request, and why.

    `rules` are the deciding rules' names, sorted. `message` is safe for the caller to see.
    `required_scopes` and `missing_scopes` are sorted, and filled exactly with
    INSUFFICIENT_SCOPE (L67).
    """

    effect: Effect
    reason: Reason
    message: str
    rules: tuple[str, ...]
    policy_revision: str
    obligations: tuple[Obligation, ...] = ()
    required_scopes: tuple[str, ...] = ()
    missing_scopes: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Say whether the call may go ahead; anything but a clear ALLOW may not."""
        return self.effect is Effect.ALLOW
