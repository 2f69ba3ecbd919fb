"""What the directory holds: one entry a fact, each in one tenant.

An entry's key is (kind, type, id, tenant). The same id in two tenants is two entries, which know
nothing of each other. The empty tenant is that of an installation without tenants, of resources of
`global` types, and of tools and clients that all tenants share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from authz.errors import AuthzError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.model import Value

MAX_ENTRY_BYTES: Final = 64 * 1024
"""Bytes of one entry's attributes and of what it is in, each as JSON."""
MCP_HINTS: Final = {
    "readOnlyHint": "read_only",
    "destructiveHint": "destructive",
    "idempotentHint": "idempotent",
    "openWorldHint": "open_world",
}
"""What MCP calls the hints of a tool, and what policies call them."""
HINTS: Final = tuple(MCP_HINTS.values())
"""The attributes of a tool that are true or false; one that is missing was not given."""


class EntityError(AuthzError):
    """Raised when an entry is malformed; `member` is the part of its record that is wrong, "" for the whole."""

    def __init__(self, kind: str, member: str, problem: str) -> None:
        """Say what kind of entry it is, as far as that is known, and what is wrong with it."""
        text = f"`{member}` {problem}" if member else problem
        super().__init__(f"{kind}: {text}" if kind else text)
        self.member = member
        self.problem = problem


class Kind(StrEnum):
    """What an entry is about."""

    SUBJECT = "subject"
    GROUP = "group"
    ROLE_BINDING = "role_binding"
    RESOURCE = "resource"
    TOOL = "tool"
    CLIENT = "client"


class Key(NamedTuple):
    """The one name of an entry.

    `type` is the resource's type; for a tool the server that offers it; for a role binding
    `subject:ID` or `group:ID`, and then `id` is the role. It is empty for the other kinds.
    """

    kind: Kind
    type: str
    id: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Entity:
    """One entry: its key and what is known.

    `attributes` are what policies read; a resource's owner is its attribute `owner`. `within` are
    the groups that a subject or a group is in, as ids, or the entities that a resource is in, each
    as "type:id"; those of outer levels may be left out where the directory knows the inner ones.
    A tool's hints, tags and input schema stand in `attributes` under `read_only`, `destructive`,
    `idempotent`, `open_world`, `tags` and `input_schema`.
    """

    key: Key
    attributes: Mapping[str, Value] = field(default_factory=dict)
    within: tuple[str, ...] = ()
