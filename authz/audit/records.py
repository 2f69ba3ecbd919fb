"""What one record says, as the JSON object that the log keeps."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.model import Act


def act_record(name: str, act: Act, details: Mapping[str, object], time: datetime | None = None) -> str:
    """Return the body of an administrative act's record: `policy.activate`, `directory.import`…."""
    record: dict[str, object] = {
        "time": timestamp(time or datetime.now(UTC)),
        "kind": "act",
        "act": name,
        "author": act.author,
        "via": act.via,
    }
    if act.note:
        record["note"] = act.note
    return json.dumps({**record, **details}, separators=(",", ":"))


def timestamp(time: datetime) -> str:
    """Return a time as RFC 3339 in UTC, to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
