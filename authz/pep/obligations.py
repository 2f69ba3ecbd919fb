"""What must be done when a call goes ahead: handlers by the names that policies use (L64)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from authz.errors import AuthzError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from authz.model import Attributes
    from authz.pep.verdict import Verdict

    Elicit = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]

_LOG: Final = logging.getLogger("authz.pep")
_NOT_MET: Final = "a condition of this call could not be met"


class ObligationError(AuthzError):
    """Raised by a handler that cannot do what it must: the call is denied. Its text is safe for the caller."""


@dataclass(frozen=True, slots=True)
class Call:
    """An allowed call that obligations come with.

    `elicit` asks the user: it takes a text and a JSON Schema, and returns what was entered, None when
    the user refuses. It is None where the client cannot ask.
    """

    verdict: Verdict
    elicit: Elicit | None = None


class Handler(Protocol):
    """Meets one kind of obligation. Either method may raise `ObligationError`, and then nothing is returned."""

    async def before(self, call: Call, parameters: Attributes) -> None:
        """Do what must be done before the call."""

    async def after(self, call: Call, parameters: Attributes, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result, in the JSON form of the method's result, as the caller may see it."""


class Obligations:
    """The handlers of one server, by the obligations' names. What has none cannot be met, and is denied."""

    def __init__(self, handlers: Mapping[str, Handler] | None = None) -> None:
        """Begin with these handlers."""
        self._handlers = dict(handlers or {})

    def register(self, name: str, handler: Handler) -> None:
        """Let a handler meet the obligations of a name, in the place of the one before."""
        self._handlers[name] = handler

    def knows(self, name: str) -> bool:
        """Say whether the obligations of a name can be met."""
        return name in self._handlers

    async def run(self, call: Call, proceed: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Make an allowed call, and meet its obligations before and after; return the result for the caller.

        They come in the decision's order before the call, and in reverse after it. What the call
        itself raises goes through as it is. Raises `ObligationError` when any cannot be met: before
        the call, it is not made; after it, its result is withheld.
        """
        decision = call.verdict.decision
        if decision is None or not decision.obligations:
            return await proceed()
        due = [(one.name, self._handler(one.name), one.parameters) for one in decision.obligations]
        for name, handler, parameters in due:
            await _met(name, call, partial(handler.before, call, parameters))
        result = await proceed()
        for name, handler, parameters in reversed(due):
            result = await _met(name, call, partial(handler.after, call, parameters, result))
        return result

    def _handler(self, name: str) -> Handler:
        found = self._handlers.get(name)
        if found is None:
            raise ObligationError(_NOT_MET)
        return found


async def _met(name: str, call: Call, handle: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401  # what it returns
    try:
        return await handle()
    except ObligationError as error:
        _LOG.info("obligation_not_met request_id=%s obligation=%r: %s", call.verdict.request_id, name, error)
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, the obligation is not met
        # Not the error's text, which may hold what the call was about.
        kind = type(error).__name__
        _LOG.warning("obligation_failed request_id=%s obligation=%r error=%s", call.verdict.request_id, name, kind)
        raise ObligationError(_NOT_MET) from None
