"""Open what decides before the application starts, and close it after the application has ended."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from authz.errors import AuthzError

if TYPE_CHECKING:
    from authz.pep.http.asgi import ASGIApp, Event, Receive, Scope, Send
    from authz.pep.opening import Protection

LOG: Final = logging.getLogger("authz.pep")
_STARTED: Final = frozenset({"lifespan.startup.complete", "lifespan.startup.failed"})
_ENDED: Final = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"})


async def run_lifespan(app: ASGIApp, protection: Protection, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the lifespan of an application inside that of the protection.

    A protection that cannot be opened fails the start, with one line that says why. An application
    without a lifespan of its own gets none, and is protected all the same.
    """
    startup = await receive()
    try:
        await protection.open()
    except Exception as error:  # whatever it is, nothing may be served
        if not isinstance(error, AuthzError):
            LOG.exception("the guard cannot be opened")
        await _closed(protection)
        await send({"type": "lifespan.startup.failed", "message": f"the guard cannot be opened: {_one_line(error)}"})
        return
    try:
        await _inside(app, protection, scope, startup, receive, send)
    finally:
        await _closed(protection)


async def _inside(
    app: ASGIApp, protection: Protection, scope: Scope, startup: Event, receive: Receive, send: Send
) -> None:
    pending = [startup]
    answered = False

    async def first_startup() -> Event:
        return pending.pop() if pending else await receive()

    async def closing(event: Event) -> None:
        nonlocal answered
        answered = answered or event["type"] in _STARTED
        if event["type"] in _ENDED:
            await _closed(protection)  # the server may end the process as soon as it hears of the end
        await send(event)

    try:
        await app(scope, first_startup, closing)
    except Exception:
        if answered:
            raise
        LOG.debug("the application has no lifespan", exc_info=True)
    if not answered:
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await closing({"type": "lifespan.shutdown.complete"})


async def _closed(protection: Protection) -> None:
    """Close, and let nothing that goes wrong with it hide how the application ended."""
    with suppress(Exception):
        await protection.close()


def _one_line(error: Exception) -> str:
    """Return the text of an error that has one for people; of a defect the log knows more."""
    return " ".join(str(error).split()) if isinstance(error, AuthzError) else "see the log"
