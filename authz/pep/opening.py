"""From settings to a guard: everything that a plug-in needs, opened in the event loop that serves."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from authz.pep.config import GuardConfig, GuardConfigError
from authz.pep.guard import Guard
from authz.pep.handlers import STEP_UP, Approval, Notifier, StepUp, log_notice, stepped_up
from authz.pep.http.bearer import issued_for
from authz.pep.http.settings import GateSettings, accepted_audiences, gate_settings
from authz.pep.identity import identity_of
from authz.pep.limits import CallLimit
from authz.pep.mapping import Mapping
from authz.pep.obligations import Obligations
from authz.pep.pdp import PdpError
from authz.pep.pdps.deciding import deciding
from authz.pep.reading import load_guard
from authz.pep.redaction import Redact
from authz.pep.validating import validating
from authz.pep.watching import watch
from authz.tokens import TokenConfigError, TokenError, load_issuers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from authz.pep.catalogue import Catalogue
    from authz.pep.identity import Identity
    from authz.pep.mapping import Function
    from authz.pep.pdp import Pdp
    from authz.tokens import TokenService
    from authz.tokens.config import Tokens

_LOG: Final = logging.getLogger("authz.pep")


@dataclass(frozen=True, slots=True)
class _Running:
    """What runs in one event loop."""

    loop: asyncio.AbstractEventLoop
    guard: Guard
    tokens: TokenService | None
    closing: AsyncExitStack


class Protection:
    """What stands in front of one MCP server. `open` comes before everything that runs, and `close` last.

    `obligations` may get more handlers until the first call.
    """

    def __init__(
        self, config: GuardConfig, *, catalogue: Catalogue, mapping: Mapping, obligations: Obligations, server: str
    ) -> None:
        """Read the issuers. Raises `GuardConfigError` and `TokenConfigError` for what cannot be used."""
        self.config = config
        self.catalogue = catalogue
        self.obligations = obligations
        self.server = server
        self._mapping = mapping
        self._issuers = _issuers(config)
        self._limit = None
        if config.limits is not None:
            self._limit = CallLimit(config.limits.calls, config.limits.seconds, config.limits.callers)
        self._running: _Running | None = None
        self._servers = 0
        self._opening: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    @property
    def settings(self) -> GateSettings:
        """Return what the HTTP gate needs. Raises `GuardConfigError` where that is not all there."""
        return gate_settings(self.config, self._issuers)

    @property
    def guard(self) -> Guard:
        """Return the guard. Raises `PdpError` unless it is open."""
        return self._started().guard

    @property
    def tokens(self) -> TokenService:
        """Return what validates tokens. Raises `GuardConfigError` without issuers, `PdpError` unless open."""
        found = self._started().tokens
        if found is None:
            raise GuardConfigError("`issuers` is missing: whose tokens count")
        return found

    async def open(self) -> None:
        """Begin to follow the policy, or to ask whoever decides; do nothing where that has been done.

        It is of one event loop at a time. Raises an `AuthzError` that names what cannot be opened.
        """
        loop = asyncio.get_running_loop()
        if self._running is not None and self._running.loop is loop:
            return
        if self._opening is None or self._opening[0] is not loop:
            if self._opening is not None and self._opening[0].is_running():
                raise GuardConfigError("this guard serves another event loop: make one for each")
            self._opening = (loop, asyncio.Lock())
            self._running = None  # of a loop that has ended, and everything in it
        async with self._opening[1]:
            if self._running is None:
                self._running = await self._begin(loop)

    async def close(self) -> None:
        """End what `open` began; it can be opened again."""
        found, self._running = self._running, None
        if found is not None and found.loop is asyncio.get_running_loop():
            await found.closing.aclose()

    @asynccontextmanager
    async def running(self, *ending: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Be open for as long as a server runs, on however many transports at a time.

        When the last of them ends, so do `ending` and the protection. Raises as `open` does.
        """
        self._servers += 1
        try:
            await self.open()
            yield
        finally:
            self._servers -= 1
            if self._servers == 0:
                async with AsyncExitStack() as closing:  # all of them, whatever one does
                    closing.push_async_callback(self.close)
                    for end in reversed(ending):
                        closing.push_async_callback(end)

    async def identity_without_http(self) -> Identity | None:
        """Return who calls over stdio or inside the process, as the settings say; None for nobody (R1).

        A token in the environment is validated for each call, so that one that has expired, or was revoked, ends it.
        """
        stdio = self.config.stdio
        if stdio is None:
            return None
        if stdio.token_env:
            return await self._token_holder(os.environ.get(stdio.token_env, ""), stdio.token_env)
        subject = stdio.subject or os.environ.get(stdio.subject_env, "")
        if not subject:
            _LOG.warning("nobody is known to call: the variable %r is not set", stdio.subject_env)
            return None
        return stdio.caller(subject)

    async def _token_holder(self, token: str, variable: str) -> Identity | None:
        try:
            caller = await self.tokens.validate(token, fresh=self._must_be_fresh, source=variable)
        except TokenError as error:
            _LOG.warning("the token in %r is refused: %s", variable, error.detail)
            return None
        if not issued_for(caller.audience, accepted_audiences(self.config)):
            _LOG.warning("the token in %r was not issued for this server", variable)
            return None
        return identity_of(caller)

    @property
    def _must_be_fresh(self) -> bool:
        """Whether some tool asks for it: what a message calls is not known yet when its caller is."""
        return self._issuers is not None and bool(self._issuers.fresh_tools)

    def _started(self) -> _Running:
        if self._running is None:
            raise PdpError("the guard is not open")
        return self._running

    async def _begin(self, loop: asyncio.AbstractEventLoop) -> _Running:
        async with AsyncExitStack() as stack:
            pdp = await stack.enter_async_context(deciding(self.config))
            tokens = None
            if self._issuers is not None:  # after what decides, which makes the store where there is none
                tokens = await stack.enter_async_context(validating(self._issuers, self.config.store))
            return _Running(loop, self._guard(pdp), tokens, stack.pop_all())

    def _guard(self, pdp: Pdp) -> Guard:
        config = self.config
        return Guard(
            pdp=pdp,
            catalogue=self.catalogue,
            mapping=self._mapping,
            resource=config.resource or self.server,
            knows=self.obligations.knows,
            settle=stepped_up,
            list_mode=config.list_mode,
            deadline=config.deadline,
            limit=self._limit,
            observe=watch,
        )


def protection(
    config: GuardConfig | str | Path,
    *,
    catalogue: Catalogue,
    mapping: Mapping | Function | None = None,
    obligations: Obligations | None = None,
    server: str = "",
) -> Protection:
    """Return what protects a server; nothing is opened yet.

    `config` may name the file. `mapping`, or a function for one, takes the place of the rules there,
    `obligations` that of the guard's own handlers. `server` is the server's own name, where the settings say no other.
    Raises `GuardConfigError` and `TokenConfigError` with all problems.
    """
    if not isinstance(config, GuardConfig):
        config = load_guard(config)
    if mapping is not None and config.mapping:
        raise GuardConfigError("`[[tools]]` and a mapping of the program exclude each other: keep one")
    return Protection(
        config,
        catalogue=catalogue,
        mapping=_mapping(config, mapping),
        obligations=obligations if obligations is not None else handlers_of(config),
        server=config.server or server,
    )


def _mapping(config: GuardConfig, given: Mapping | Function | None) -> Mapping:
    if given is None:
        return Mapping(config.mapping)
    return given if isinstance(given, Mapping) else Mapping.by(given)


def handlers_of(config: GuardConfig) -> Obligations:
    """Return the guard's own handlers; `notify` only where its log is said to be enough."""
    settings = config.obligations
    found = Obligations(
        {"redact": Redact(settings.redacted), "approval": Approval(settings.approval_timeout), STEP_UP: StepUp()}
    )
    if settings.log_notices:
        found.register("notify", Notifier(log_notice))
    return found


def _issuers(config: GuardConfig) -> Tokens | None:
    if config.issuers is None:
        return None
    tokens = load_issuers(config.issuers)
    ours = accepted_audiences(config)
    if not any(issued_for(issuer.audiences, ours) for issuer in tokens.issuers):
        raise TokenConfigError(
            f"`{config.issuers}`: no issuer's `audiences` holds {' or '.join(f'`{one}`' for one in sorted(ours))}: "
            "no token would count"
        )
    return tokens
