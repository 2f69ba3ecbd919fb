"""What a policy reads for each tool, worked out once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from authz.server.reload import in_thread
from authz.wire.enforcement import Description

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.pdp.program import Program

_MOST: Final = 10_000
_LONGEST_KEPT_NAME: Final = 256


class Descriptions:
    """What one program reads; bounded, since whoever asks chooses the names. For one event loop."""

    def __init__(self, program: Program) -> None:
        """Begin with none."""
        self.program = program
        self._known: dict[str, Description] = {}
        self._one_at_a_time = asyncio.Lock()

    async def of(self, tools: Sequence[str]) -> tuple[Description, ...]:
        """Return what the program reads for tools; a large policy takes a while, so a thread finds it out."""
        known = self._known
        if missing := [tool for tool in dict.fromkeys(tools) if tool not in known]:
            async with self._one_at_a_time:
                found = await in_thread(lambda: {tool: self._described(tool) for tool in missing})
        else:
            found = {}
        answer = tuple(found[tool] if tool in found else known[tool] for tool in tools)
        if len(self._known) + len(found) > _MOST:
            self._known = {}
        self._known |= {name: one for name, one in found.items() if one.known and len(name) <= _LONGEST_KEPT_NAME}
        return answer

    def _described(self, tool: str) -> Description:
        """Work out what the program reads for a tool. Called in a thread, one at a time."""
        return Description(tool, self.program.reads.of(tool), self.program.entry_scopes(tool))
