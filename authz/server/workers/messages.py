"""What the parent and its workers say to each other. A revision is that of the policy that was loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

# --- From the parent -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listen:
    """Take calls."""

    current: bool
    """Whether what all decide by is the newest policy (`authz.policy` in the health service)."""
    tell: bool
    """Whether to write down what is to be said about the policy; one of those who would say the same."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load the policy, and say what came of it; go on deciding by the one before."""


@dataclass(frozen=True, slots=True)
class Take:
    """Decide by what was loaded last, and say so."""

    tell: bool
    """Whether to write down what is to be said about it; one of those who would say the same."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget what was loaded last."""

    tell: bool
    """Whether to write down why it could not be loaded, if it could not."""


@dataclass(frozen=True, slots=True)
class Current:
    """Say in the health service whether what all decide by is the newest policy."""

    current: bool


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The answer to `Reload`."""

    number: int
    done: bool
    """Whether all decide by the newest policy now."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End: after answering what is under way, or at once."""

    drain: bool


# --- From a worker ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """All is there to answer by, and nothing listens yet."""

    revision: str


@dataclass(frozen=True, slots=True)
class Listening:
    """Calls are taken."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `Load` came to; None where the policy cannot be used."""

    revision: str | None


@dataclass(frozen=True, slots=True)
class Taken:
    """What was loaded last decides now."""


@dataclass(frozen=True, slots=True)
class Reload:
    """Have all load the policy, because an administrator has activated one here."""

    number: int


FromParent: TypeAlias = Listen | Load | Take | Drop | Current | Reloaded | Stop
FromWorker: TypeAlias = Ready | Listening | Loaded | Taken | Reload
