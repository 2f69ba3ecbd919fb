"""What is asked: a `Request` that exists is valid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from authz.model.checks import check
from authz.model.quick import maker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from authz.model.parts import Client, Part, Resource, ToolInfo
    from authz.model.values import Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Ask whether this caller may call this tool, on this resource, with these arguments.

    `now` is the time of the decision; None lets the program read the clock. It must carry an
    offset. `entities` are those that references lead to, by type ("subject" for a subject) and id;
    only the directory supplies them, and what it supplies is not checked again. `unknown` parts are
    left out; of an unknown resource the type may be given (L68).
    Raises `InvalidRequestError`, naming the field, for whatever L60 refuses.
    """

    tool: str
    subject: str = ""
    scopes: Sequence[str] = ()
    roles: Sequence[str] = ()
    tenant: str = ""
    resource: Resource | None = None
    arguments: Attributes = field(default_factory=dict)
    context: Attributes = field(default_factory=dict)
    subject_attributes: Attributes = field(default_factory=dict)
    client: Client | None = None
    tool_info: ToolInfo | None = None
    anonymous: bool = False
    now: datetime | None = None
    entities: Mapping[tuple[str, str], Attributes] = field(default_factory=dict)
    unknown: frozenset[Part] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what L60 refuses."""
        check(self)

    def by(self, caller: Request) -> Request:
        """Return the question that this request asks, as the caller of another one asks it.

        Both were checked, so nothing is checked again: a caller of many questions is looked at once.
        """
        return unchecked_request(
            self.tool,
            caller.subject,
            caller.scopes,
            caller.roles,
            caller.tenant,
            self.resource,
            self.arguments,
            caller.context,
            caller.subject_attributes,
            caller.client,
            self.tool_info,
            caller.anonymous,
            caller.now,
            self.entities,
            self.unknown,
        )


CALLER: Final = (
    "subject",
    "scopes",
    "roles",
    "tenant",
    "context",
    "subject_attributes",
    "client",
    "anonymous",
    "now",
)
"""The fields of a request that say who asks, and when and where; the others are the question."""

unchecked_request: Final[
    Callable[
        [
            str,
            str,
            Sequence[str],
            Sequence[str],
            str,
            Resource | None,
            Attributes,
            Attributes,
            Attributes,
            Client | None,
            ToolInfo | None,
            bool,
            datetime | None,
            Mapping[tuple[str, str], Attributes],
            frozenset[Part],
        ],
        Request,
    ]
] = maker(Request)
"""Return the request of parts that have passed every check of L60 before; none is made here."""
