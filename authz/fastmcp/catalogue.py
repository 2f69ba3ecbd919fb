"""The tools of a FastMCP server as the guard sees them: taken from the server itself, whoever may use them.

Mounted and proxied servers' tools come under the names that a caller uses. What is listed to a caller
depends on the caller (`tool(auth=…)`, visibility set for a session, the middleware): here none of it counts.
"""

from __future__ import annotations

import asyncio
import time
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final

from fastmcp.server.context import set_transport
from fastmcp.server.providers import FastMCPProvider, LocalProvider
from fastmcp.server.providers.wrapped_provider import _WrappedProvider
from fastmcp.utilities.versions import version_sort_key

from authz.fastmcp.items import item_of, tool_item
from authz.pep.pdp import PdpError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastmcp import FastMCP
    from fastmcp.server.providers import Provider
    from fastmcp.tools import Tool
    from fastmcp.utilities.components import FastMCPComponent

    from authz.pep.catalogue import Item

KEPT: Final = 5.0
"""Seconds after which the tools are listed anew, although nothing is known to have changed."""

surveying: Final[ContextVar[bool]] = ContextVar("authz_surveying", default=False)
"""Set while a catalogue lists what there is: a guard of a mounted server must not filter then."""


class ServerCatalogue:
    """The tools of one server; `name` is what policies call it (`tool.server`).

    They are listed once, and again when something was registered or removed, which is looked for at
    each question. What says nothing of its changes, such as a proxied server, is listed every few
    seconds, and the question that finds it due does not wait for the answer. `clock` is in seconds.
    """

    def __init__(self, server: FastMCP[Any], name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Look at this server; nothing is listed yet."""
        self.name = name
        self._server = server
        self._clock = clock
        self._until = float("-inf")
        self._parts: tuple[object, ...] | None = None
        self._items: dict[str, Item] = {}
        self._seen: dict[int, tuple[Tool, Item]] = {}
        self._varied: frozenset[str] = frozenset()
        self._survey: asyncio.Task[None] | None = None
        self._problem = ""

    async def tools(self) -> Sequence[Item]:
        """Return all tools; of several versions, the one that a call without a version runs."""
        await self._refresh()
        return list(self._items.values())

    async def tool(self, name: str) -> Item | None:
        """Return one tool."""
        await self._refresh()
        return self._items.get(name)

    def item_of(self, component: FastMCPComponent) -> Item:
        """Return the entry of what FastMCP lists."""
        seen = self._seen.get(id(component))
        return seen[1] if seen is not None and seen[0] is component else item_of(component, self.name)

    async def settled(self, name: str) -> bool:
        """Say whether there is a tool of this name, and all its versions look the same to a policy."""
        await self._refresh()
        return name in self._items and name not in self._varied

    def remembered(self, name: str) -> Item | None:
        """Return one tool as it was when last asked for, without looking whether anything has changed."""
        return self._items.get(name)

    async def settle(self) -> None:
        """Wait for the look that is under way."""
        if self._survey is not None:
            await asyncio.wait([self._survey])

    async def close(self) -> None:
        """End the look that is under way."""
        survey, self._survey = self._survey, None
        if survey is not None and survey.get_loop() is asyncio.get_running_loop():
            survey.cancel()
            await asyncio.wait([survey])

    async def _refresh(self) -> None:
        parts = _parts(self._server)
        if parts == self._parts:  # which looks into those that are not the same object
            if self._clock() >= self._until:
                self._start(parts)
            return
        await asyncio.shield(self._start(parts))  # the deadline of one who waits must not end what all wait for
        if self._problem:
            raise PdpError(self._problem)

    def _start(self, parts: tuple[object, ...]) -> asyncio.Task[None]:
        running = self._survey
        if running is not None and not running.done() and running.get_loop() is asyncio.get_running_loop():
            return running
        # An empty context: no session, no request, no caller.
        self._survey = asyncio.get_running_loop().create_task(self._look(parts), context=Context())
        return self._survey

    async def _look(self, parts: tuple[object, ...]) -> None:
        surveying.set(True)
        set_transport("stdio")  # FastMCP asks a component's own `auth` on every transport but this one
        try:
            self._take(await self._server.list_tools(run_middleware=False))
        except Exception as error:  # noqa: BLE001  # whatever a provider raises, there are no decisions without it
            self._problem = f"the server's tools cannot be listed: {error!r}"
        else:
            self._problem, self._parts, self._until = "", parts, self._clock() + KEPT

    def _take(self, listed: Sequence[Tool]) -> None:
        self._seen = {id(tool): (tool, tool_item(tool, self.name)) for tool in listed}
        versions: dict[str, list[Tool]] = {}
        for tool in listed:
            versions.setdefault(tool.name, []).append(tool)
        self._items = {name: self.item_of(max(tools, key=version_sort_key)) for name, tools in versions.items()}
        self._varied = frozenset(
            name
            for name, tools in versions.items()
            if any(self.item_of(tool).info != self._items[name].info for tool in tools)
        )


def _parts(server: FastMCP[Any]) -> tuple[object, ...]:
    """Return everything that the list of tools is made of, as far as it can be seen without asking anybody."""
    return (*server.transforms, *server.middleware, *map(_parts_of, server.providers))


def _parts_of(provider: Provider) -> tuple[object, ...]:
    own = (provider, *provider.transforms)
    match provider:
        case LocalProvider():
            # Its public lists copy and sort at each call. The objects themselves, not their ids: what is kept
            # cannot make place for another one of the same id.
            return (*own, *provider._components.values())  # noqa: SLF001
        case _WrappedProvider():
            return (*own, *_parts_of(provider._inner))  # noqa: SLF001  # nothing public leads to it
        case FastMCPProvider():
            return (*own, *_parts(provider.server))
        case _:
            return own
