"""What a server offers, as far as a guard asks about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from authz.directory.entities import MCP_HINTS
from authz.model import ToolInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a list: a tool, a resource, a resource template or a prompt.

    `name` is what a caller uses it by: a tool's or prompt's name, a resource's URI, a template's URI template.
    """

    name: str
    info: ToolInfo | None = None
    """Of a tool."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """Of a tool: the JSON Schema of its arguments."""


class Catalogue(Protocol):
    """The tools of one server."""

    async def tools(self) -> Sequence[Item]:
        """Return all tools, whoever may use them."""

    async def tool(self, name: str) -> Item | None:
        """Return one tool, None where there is none of this name."""


def tool_item(tool: Mapping[str, Any], server: str, tags: Sequence[str] = ()) -> Item:
    """Return the entry of a tool as `tools/list` shows it, in JSON form. A hint that is absent is not false."""
    annotations = tool.get("annotations")
    given = annotations if isinstance(annotations, dict) else {}
    hints = {ours: given[theirs] for theirs, ours in MCP_HINTS.items() if isinstance(given.get(theirs), bool)}
    schema = tool.get("inputSchema")
    return Item(
        str(tool.get("name", "")),
        ToolInfo(server=server, tags=tuple(tags), **hints),
        schema if isinstance(schema, dict) else {},
    )
