"""What one may ask a log for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from authz.audit.records import timestamp

_AGO: Final = re.compile(r"([0-9]{1,6})([smhdw])\Z")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Query:
    """Conditions that a record must all meet; those that are None ask for nothing.

    `subjects` holds every name under which the log may know one subject: their id and their pseudonyms.
    """

    subjects: tuple[str, ...] | None = None
    tool: str | None = None
    tenant: str | None = None
    client: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    decision: str | None = None
    reason: str | None = None
    kind: str | None = None
    rule: str | None = None
    since: str | None = None
    """The record's time is this or later, in the log's own form (`moment`)."""
    until: str | None = None
    """The record's time is before this."""
    limit: int | None = None
    newest_first: bool = True


def moment(text: str, now: datetime) -> str:
    """Read a point in time: `2026-11-22`, RFC 3339, or how long ago: `90d`, `12h`, `15m`.

    Returns it in the form that records carry. Raised is ValueError.
    """
    return timestamp(now - span(text) if _AGO.match(text) else _stated(text))


def span(text: str) -> timedelta:
    """Read a length of time, such as `90d`. Raised is ValueError."""
    found = _AGO.match(text)
    if found is None:
        raise ValueError(f"`{text}` is not a length of time such as `90d`, `12h` or `15m`")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _stated(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"`{text}` is not a time such as `2026-11-22`, `2026-11-22T05:00:00Z` or `12h` ago") from None
