"""Lists as a caller may see them, on the finished result: items in their order, all else as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from authz.pep.catalogue import Item, tool_item
from authz.pep.messages import LISTS
from authz.pep.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.pep.guard import Guard
    from authz.pep.identity import Identity

MOST_TTL: Final = 5_000
"""Milliseconds for which a client may keep a list that was filtered for it: policies change."""
_NAMED_BY: Final = {
    "tools/list": "name",
    "resources/list": "uri",
    "resources/templates/list": "uriTemplate",
    "prompts/list": "name",
}


async def filtered(
    guard: Guard, method: str, result: Mapping[str, Any], identity: Identity, server: str
) -> dict[str, Any] | Verdict:
    """Return the result of a list without what the caller may not use; a verdict where nobody answered.

    `server` is what policies call the server of these tools. Pages stay pages (`nextCursor`). Raises
    `PdpError` when the server's tools cannot be known.
    """
    member = LISTS[method]
    items = result.get(member) or []
    shown = await guard.visible(method, [await _item(guard, method, item, server) for item in items], identity)
    if isinstance(shown, Verdict):
        return shown
    return {**result, member: [item for item, seen in zip(items, shown, strict=True) if seen]}


def only(result: Mapping[str, Any], tool: object) -> dict[str, Any]:
    """Return a list of tools that holds this one alone; none for None."""
    found = [item for item in result.get("tools") or [] if item.get("name") == tool]
    return {**result, "tools": found}


def private(result: dict[str, Any], version: str, most_ttl: int | None = None) -> dict[str, Any]:
    """Keep a result out of caches that callers share (R15), on versions of the protocol that have a word for it."""
    if version not in MODERN_PROTOCOL_VERSIONS or "cacheScope" not in result:
        return result
    result = {**result, "cacheScope": "private"}
    if most_ttl is not None:
        ttl = result.get("ttlMs")
        result["ttlMs"] = min(ttl, most_ttl) if isinstance(ttl, int) else 0
    return result


async def _item(guard: Guard, method: str, item: Mapping[str, Any], server: str) -> Item:
    name = str(item.get(_NAMED_BY[method], ""))
    if method != "tools/list":
        return Item(name)
    # By what a call would be decided by; the list may say something else, or show tools of other middleware.
    found = await guard.catalogue.tool(name)
    return found if found is not None else tool_item(item, server)
