"""What FastMCP lists, as the guard asks about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmcp.prompts import Prompt
from fastmcp.resources import Resource, ResourceTemplate
from fastmcp.tools import Tool

from authz.model import ToolInfo
from authz.pep.catalogue import Item

if TYPE_CHECKING:
    from fastmcp.utilities.components import FastMCPComponent


def tool_item(tool: Tool, server: str) -> Item:
    """Return the entry of a tool. A hint that is absent is not false."""
    hints = tool.annotations
    return Item(
        tool.name,
        ToolInfo(
            server=server,
            tags=tuple(sorted(tool.tags)),
            read_only=hints.read_only_hint if hints else None,
            destructive=hints.destructive_hint if hints else None,
            idempotent=hints.idempotent_hint if hints else None,
            open_world=hints.open_world_hint if hints else None,
        ),
        tool.parameters,
    )


def item_of(component: FastMCPComponent, server: str) -> Item:
    """Return the entry of anything that FastMCP lists, by what a caller uses it by. Raises `TypeError` for the rest."""
    match component:
        case Tool():
            return tool_item(component, server)
        case ResourceTemplate():
            return Item(component.uri_template)
        case Resource():
            return Item(str(component.uri))
        case Prompt():
            return Item(component.name)
        case _:
            raise TypeError("FastMCP listed something that is no tool, resource, template or prompt")
