"""A query of the log as conditions of SQL: constant texts, and the values beside them as parameters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from authz.audit.query import Query

_CONDITIONS: Final = {
    "since": " AND json_extract(body, '$.time') >= ?",
    "until": " AND json_extract(body, '$.time') < ?",
    "subjects": " AND json_extract(body, '$.subject') IN (SELECT value FROM json_each(?))",
    "tool": " AND json_extract(body, '$.tool') = ?",
    "tenant": " AND json_extract(body, '$.tenant') = ?",
    "client": " AND json_extract(body, '$.client') = ?",
    "resource_type": " AND json_extract(body, '$.resource.type') = ?",
    "resource_id": " AND json_extract(body, '$.resource.id') = ?",
    "decision": " AND json_extract(body, '$.decision') = ?",
    "reason": " AND json_extract(body, '$.reason') = ?",
    "kind": " AND json_extract(body, '$.kind') = ?",
    "rule": " AND EXISTS (SELECT 1 FROM json_each(body, '$.rules') WHERE value = ?)",
}


def conditions(query: Query) -> tuple[str, tuple[str, ...]]:
    """Return what follows a WHERE that asks for something already, and the values of its parameters."""
    asked = {name: value for name in _CONDITIONS if (value := getattr(query, name)) is not None}
    values = (json.dumps(value) if name == "subjects" else value for name, value in asked.items())
    return "".join(_CONDITIONS[name] for name in asked), tuple(values)
