"""Protected resource metadata (RFC 9728): which issuers a client goes to, and for which scopes at first."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urlsplit

from authz.errors import AuthzError
from authz.pep.guard import MOST_QUESTIONS
from authz.pep.http.asgi import Answer, json_answer
from authz.pep.http.challenge import writable
from authz.tokens.endpoints import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from authz.pep.catalogue import Item
    from authz.pep.guard import Guard
    from authz.wire.enforcement import Description

LOG: Final = logging.getLogger("authz.pep")
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
_FRESH: Final = 5.0
"""Seconds for which nobody is asked again, whether there was an answer or not."""
_PATIENCE: Final = 1.0
"""Seconds that a refusal waits for the scopes it should name."""
_PAUSE: Final = 0.1
"""Seconds between questions to a decision point that has not answered yet: it may have started just now."""
_ANYBODY: Final = (b"access-control-allow-origin", b"*")
_ALLOW: Final = (b"allow", b"GET, HEAD, OPTIONS")
_PREFLIGHT: Final = (
    _ANYBODY,
    (b"access-control-allow-methods", b"GET, HEAD"),
    (b"access-control-allow-headers", b"mcp-protocol-version"),
    (b"access-control-max-age", b"3600"),
)
_KEEP: Final = (b"cache-control", b"public, max-age=60")


def metadata_url(resource: str) -> str:
    """Return where the metadata of a resource stands (RFC 9728, section 3.1).

    Raises `ValueError` for an identifier that is no `https` URL without query and fragment; `http` is taken on
    loopback.
    """
    parts = urlsplit(resource)
    if not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("`resource` must be a URL with a host, and without user, query and fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("`resource` must be an https URL; http is taken on loopback only")
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path.removesuffix('/')}"


class Metadata:
    """The document of one server, at the path of its own and at the root (R2, R3)."""

    def __init__(self, resource: str, authorization_servers: Sequence[str], scopes: Scopes) -> None:
        """Describe this resource. Raises `ValueError` without a single authorization server."""
        if not authorization_servers:
            raise ValueError(
                "`authorization_servers` must name at least one issuer: clients would not know where to go"
            )
        self.url = metadata_url(resource)
        self.paths: Final = frozenset({WELL_KNOWN, unquote(urlsplit(self.url).path)})
        self._resource = resource
        self._servers = list(authorization_servers)
        self._scopes = scopes

    async def answer(self, method: str) -> Answer:
        """Answer a request for the document. It is public: pages of every origin may read it."""
        if method == "OPTIONS":
            return Answer(204, _PREFLIGHT)
        if method not in {"GET", "HEAD"}:
            return json_answer(405, {"error": "method_not_allowed"}, (_ALLOW, _ANYBODY))
        document: dict[str, object] = {
            "resource": self._resource,
            "authorization_servers": self._servers,
            "bearer_methods_supported": ["header"],
        }
        if scopes := await self._scopes():
            document["scopes_supported"] = list(scopes)  # an empty list must be left out (RFC 9728, section 3.2)
        return json_answer(200, document, (_ANYBODY, _KEEP))


class Scopes(Protocol):
    """Tells which scopes a client asks for at first."""

    async def __call__(self) -> tuple[str, ...]:
        """Return them, none where that is not known."""


class GivenScopes:
    """Those that configuration states."""

    def __init__(self, scopes: Iterable[str]) -> None:
        """Take these. Raises `ValueError` for one that no header can hold, and for a wildcard (R13)."""
        found = writable(scopes)
        if found is None or any("*" in scope for scope in found):
            raise ValueError("`scopes_supported` must hold scopes as RFC 6749 spells them, and no wildcard")
        self._scopes = found

    async def __call__(self) -> tuple[str, ...]:
        """Return them."""
        return self._scopes


class ComputedScopes:
    """Those of the active policy that basic use takes (R13), asked for when somebody wants to know, and seldom.

    One question at a time is under way. While the decision point is silent, what it said last is
    repeated; these scopes are a hint to clients, and no permission.
    """

    def __init__(self, guard: Callable[[], Guard], clock: Callable[[], float] = time.monotonic) -> None:
        """Ask the decision point of this guard; `clock` is in seconds and never runs backwards."""
        self._guard = guard
        self._clock = clock
        self._known: tuple[str, ...] = ()
        self._answered = False
        self._until: float | None = None
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self) -> tuple[str, ...]:
        """Return them; never raises for what a decision point does."""
        if self._is_stale():
            async with self._one_at_a_time:
                if self._is_stale():  # else somebody has asked while this one waited
                    await self._ask()
        return self._known

    def _is_stale(self) -> bool:
        return self._until is None or self._clock() >= self._until

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                self._known = await self._answer()
                self._answered = True
        except (AuthzError, TimeoutError) as error:
            LOG.warning("scopes_supported is not known: %s", str(error) or "no answer in time")
        except Exception:
            LOG.exception("scopes_supported is not known")
        self._until = self._clock() + _FRESH

    async def _answer(self) -> tuple[str, ...]:
        """Return what the decision point says.

        Without any scopes a client would ask for all of them, so it is asked again until it has answered once.
        """
        while not self._answered:
            try:
                return await _minimal(self._guard())
            except AuthzError as error:
                LOG.debug("scopes_supported is not known yet: %s", error)
            await asyncio.sleep(_PAUSE)
        return await _minimal(self._guard())


async def _minimal(guard: Guard) -> tuple[str, ...]:
    items = await guard.catalogue.tools()
    described: list[Description] = []
    for start in range(0, len(items), MOST_QUESTIONS):
        names = [item.name for item in items[start : start + MOST_QUESTIONS]]
        described += (await guard.pdp.describe(names))[1]
    return minimal_scopes(items, described)


def minimal_scopes(items: Sequence[Item], described: Sequence[Description]) -> tuple[str, ...]:
    """Return the scopes that the tools ask for which only read; sorted.

    Where no tool says of itself that it only reads, those of the tools that ask for the fewest. A
    tool that asks for none, or that the policy does not know, has no say. Wildcards, `offline_access` and
    what no header can hold are left out (R12, R13).
    """
    asking = {one.tool: one.entry_scopes for one in described if one.known and one.entry_scopes}
    reading = [item.name for item in items if item.info is not None and item.info.read_only is True]
    if reading:
        chosen = [asking[name] for name in reading if name in asking]
    else:
        fewest = min(map(len, asking.values()), default=0)
        chosen = [scopes for scopes in asking.values() if len(scopes) == fewest]
    every = sorted({scope for scopes in chosen for scope in scopes if "*" not in scope})
    return writable(scope for scope in every if writable([scope]) is not None) or ()
