"""What a request is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from authz.model.quick import maker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from authz.model.values import Attributes


class Part(Enum):
    """A part of a request that may be unknown (L68); the numbers are those of `authz.v1.Part`."""

    ARGUMENTS = 1
    RESOURCE = 2
    CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Resource:
    """What the tool call touches. `ancestors` are entities, `"folder:42"`, all levels (L33)."""

    type: str = ""
    id: str = ""
    tenant: str = ""
    attributes: Attributes = field(default_factory=dict)
    ancestors: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """The OAuth client or agent that acts for the subject."""

    id: str = ""
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolInfo:
    """What the MCP server says of the tool. A hint that is None was not given: not False."""

    server: str = ""
    tags: Sequence[str] = ()
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


resource_of: Final[Callable[[str, str, str, Attributes, Sequence[str]], Resource]] = maker(Resource)
"""Return what `Resource` would, sooner: type, id, tenant, attributes, ancestors."""
