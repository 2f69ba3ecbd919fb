"""The documents of two tenants, in a SQLite file: what the example servers serve."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlite_utils import Database

from authz.model import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from authz.pep import Identity

HERE: Final = Path(__file__).parent
FILE: Final = Path(os.environ.get("DOCUMENTS", HERE / "documents.db"))
GUARD: Final = Path(os.environ.get("GUARD", HERE / "guard.toml"))
_FIRST: Final = (
    ("plan", "acme", "alice", "Plan for the year", "Three products, two of them secret.", True),
    ("menu", "acme", "bob", "Menu", "Soup on Mondays.", False),
    ("notes", "globex", "carol", "Notes", "Globex met on Tuesday.", False),
)


class Documents:
    """A table of documents."""

    def __init__(self, file: Path = FILE) -> None:
        """Open the file; a new one gets three documents."""
        # Tools run in threads, and SQLite lets one at a time in.
        self._table = Database(sqlite3.connect(file, check_same_thread=False)).table("documents")
        if not self._table.exists():
            names = ("id", "tenant", "owner", "title", "body", "confidential")
            self._table.insert_all((dict(zip(names, row, strict=True)) for row in _FIRST), pk="id")

    def find(self, document_id: str) -> dict[str, Any] | None:
        """Return a document, whosever it is."""
        return next(iter(self._table.rows_where("id = ?", [document_id])), None)

    def titles(self, tenant: str) -> list[dict[str, str]]:
        """Return the ids and titles of a tenant's documents."""
        rows = self._table.rows_where("tenant = ?", [tenant], select="id, title", order_by="id")
        return [{"id": row["id"], "title": row["title"]} for row in rows]

    def read(self, document_id: str) -> dict[str, Any]:
        """Return the title and text of a document."""
        row = self._table.get(document_id)
        return {"title": row["title"], "body": row["body"]}

    def write(self, document_id: str, body: str) -> None:
        """Change a document's text."""
        self._table.update(document_id, {"body": body})

    def delete(self, document_id: str) -> None:
        """Delete a document."""
        self._table.delete(document_id)

    def count(self) -> int:
        """Count the documents of all tenants."""
        return int(self._table.count)


def document(documents: Documents) -> Callable[[str, Mapping[str, Any], Identity], Resource | None]:
    """Return what says which document a call touches, whose it is, and what the policy may know of it."""

    def touched(_tool: str, arguments: Mapping[str, Any], _caller: Identity) -> Resource | None:
        found = documents.find(str(arguments.get("id", "")))
        if found is None:
            return None
        known = {"owner": found["owner"], "confidential": bool(found["confidential"])}
        return Resource("document", found["id"], found["tenant"], known)

    return touched
