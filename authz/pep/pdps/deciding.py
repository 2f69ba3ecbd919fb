"""Who decides, as the settings say: a server, this process by a policy directory, or by what a server shares."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from authz.errors import LoadError
from authz.pep.pdps.events import standard_logger
from authz.pep.pdps.local import Keeping, open_local
from authz.server.reload import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from authz.pep.config import GuardConfig
    from authz.pep.pdp import Pdp
    from authz.pep.pdps.channel import Tls


@asynccontextmanager
async def deciding(config: GuardConfig) -> AsyncIterator[Pdp]:
    """Give what decides, and end it afterwards, its log last. Raises an `AuthzError` for what cannot be opened."""
    async with AsyncExitStack() as stack:
        pdp = _remote(config) if config.pdp else await _inside(config, await _keeping(config, stack))
        stack.push_async_callback(pdp.close)
        yield _remembering(config, pdp)


def _remote(config: GuardConfig) -> Pdp:
    from authz.pep.pdps.remote import RemotePdp  # noqa: PLC0415  # gRPC is only for those who ask a server

    return RemotePdp(config.pdp, tls=_tls(config), deadline=config.deadline)


async def _inside(config: GuardConfig, keeping: Keeping) -> Pdp:
    if config.policies is not None:
        if not config.policies.exists():
            raise LoadError(f"`policies`: there is no `{config.policies}`")
        return await open_local(config.policies, keeping)
    from authz.pep.pdps.following import follow  # noqa: PLC0415  # as above

    return await follow(config.follow, keeping, tls=_tls(config))


def _tls(config: GuardConfig) -> Tls | None:
    from authz.pep.pdps.channel import Tls  # noqa: PLC0415  # as above

    given = config.pdp_tls
    return None if given is None else Tls(given.ca, given.cert, given.key, given.name)


def _remembering(config: GuardConfig, pdp: Pdp) -> Pdp:
    if config.remember <= 0:
        return pdp
    from authz.pep.pdps.remembering import Remembering  # noqa: PLC0415  # as above

    return Remembering(pdp, ttl=config.remember)


async def _keeping(config: GuardConfig, stack: AsyncExitStack) -> Keeping:
    """Start what keeps the decisions of this process, as a server's are kept, if anything does."""
    settings = config.decision_log
    if settings is None:
        return Keeping()
    from authz.server.keeping import decision_log  # noqa: PLC0415  # the store is only for those who keep a log

    open_log = None
    if config.store is not None:
        from authz.server.stored import Stored  # noqa: PLC0415  # as above

        stored = Stored(config.store)
        await in_thread(lambda: stored.prepare(create=True))
        open_log = partial(stored.log, durable=settings.mode == "required", pseudonyms=settings.pseudonyms)
    log = decision_log(settings, open_log, standard_logger())
    await in_thread(log.start)
    stack.push_async_callback(in_thread, log.close)
    return Keeping(log)
