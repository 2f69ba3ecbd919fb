"""The directory in SQLite.

A write is staged first, in a temporary table that nobody else sees, and then copied in one short
transaction: who waits for the write lock meanwhile, such as the decision log, waits for the copy only.
"""

from __future__ import annotations

import contextlib
import json
from itertools import islice
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]  # typeshed lacks the first
from typing import TYPE_CHECKING, Final

from authz.audit.records import act_record
from authz.directory.entities import Entity, Key, Kind
from authz.directory.groups import Group, GroupCycleError, refuse_cycles
from authz.errors import StoreCorruptError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from authz.model import Act, Value
    from authz.stores.sqlite.database import Database
    from authz.stores.sqlite.log import SqliteLog

SCHEMA: Final = (
    """CREATE TABLE entity (
        kind TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT NOT NULL,
        attributes TEXT NOT NULL, within TEXT NOT NULL, PRIMARY KEY (kind, type, id, tenant)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX entity_role ON entity (tenant, type, id) WHERE kind = 'role_binding'",
    "CREATE INDEX entity_tool ON entity (tenant, id, type) WHERE kind = 'tool'",
    "CREATE TABLE directory_revision (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT",
    "INSERT INTO directory_revision VALUES (1, 0)",
)

_STAGE: Final = """CREATE TEMP TABLE staged (
    kind TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT NOT NULL,
    attributes TEXT NOT NULL, within TEXT NOT NULL, PRIMARY KEY (kind, type, id, tenant)
) STRICT, WITHOUT ROWID"""
_COLUMNS: Final = 6
_CHUNK: Final = 2_000
"""Entries that are staged by one statement: a statement for each takes half as long again."""
_STAGE_CACHE_KIB: Final = 64 * 1024
# The kind stands in the text of a statement, one text for each: with the partial indexes above, SQLite looks at a
# kind that is bound, and prepares the statement anew for every call.
_GET: Final = {
    kind: f"SELECT attributes, within FROM entity WHERE kind = '{kind}' AND type = ? AND id = ? AND tenant = ?"  # noqa: S608  # an enum of ours
    for kind in Kind
}
_TENANTS: Final = {
    kind: f"SELECT tenant FROM entity WHERE kind = '{kind}' AND type = ? AND id = ? ORDER BY tenant"  # noqa: S608  # as above
    for kind in Kind
}
_COPY: Final = """INSERT OR REPLACE INTO entity
    SELECT kind, type, id, tenant, attributes, within FROM temp.staged ORDER BY kind, type, id, tenant"""
_LIST: Final = "SELECT kind, type, id, tenant, attributes, within FROM entity"
_ORDER: Final = " ORDER BY kind, type, id, tenant"


class SqliteDirectory:
    """The directory of one store's file (`authz.directory.store.DirectoryStore`)."""

    def __init__(self, database: Database, log: SqliteLog) -> None:
        """Keep entities with this connection, and tell of each act in this log."""
        self._database = database
        self._log = log
        self._known: tuple[int, int, int] = (-1, -1, -1)

    def get(self, key: Key) -> Entity | None:
        """Return one entry, None where there is none."""
        with self._database.reading() as connection:
            row = connection.execute(_GET[key.kind], key[1:]).fetchone()
        return None if row is None else Entity(key, *self._contents(*row))

    def tenants_of(self, kind: Kind, type_: str, id_: str) -> Sequence[str]:
        """Return the tenants that know something under this kind, type and id, sorted bytewise."""
        with self._database.reading() as connection:
            return [tenant for (tenant,) in connection.execute(_TENANTS[kind], (type_, id_))]

    def roles_of(self, tenant: str, principals: Sequence[str]) -> frozenset[str]:
        """Return the roles bound to any of these principals in a tenant."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id FROM entity INDEXED BY entity_role WHERE kind = 'role_binding' AND tenant = ?"
                " AND type IN (SELECT value FROM json_each(?))",
                (tenant, json.dumps(principals)),
            )
            return frozenset(role for (role,) in rows)

    def servers_of(self, tenant: str, tool: str) -> Sequence[str]:
        """Return the servers that offer a tool of this name in a tenant, sorted bytewise."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT type FROM entity INDEXED BY entity_tool WHERE kind = 'tool' AND tenant = ? AND id = ?"
                " ORDER BY type",
                (tenant, tool),
            )
            return [server for (server,) in rows]

    def revision(self) -> int:
        """Return a number that grows with every change; it is read again only when the file has changed."""
        changes = (self._database.data_version(), self._database.connection.total_changes)
        if changes != self._known[:2]:
            with self._database.reading() as connection:
                self._known = (*changes, _revision(connection))
        return self._known[2]

    def write(
        self, entities: Iterable[Entity], act: Act, refused: Callable[[GroupCycleError, Key], None] | None = None
    ) -> int:
        """Put entries in the place of those with the same keys; return how many. All or none."""
        with self._database.reading() as connection, _stage(connection) as put:
            groups = put(entities)

            def leave_out(error: GroupCycleError, group: Group) -> None:
                key = Key(Kind.GROUP, "", group.id, group.tenant)
                connection.execute("DELETE FROM temp.staged WHERE kind = ? AND type = ? AND id = ? AND tenant = ?", key)
                if refused is not None:
                    refused(error, key)

            def check() -> int:
                before = _revision(connection)
                refuse_cycles(groups, self._groups_of, leave_out if refused is not None else None)
                return before

            checked = check()
            written = int(connection.execute("SELECT count(*) FROM temp.staged").fetchone()[0])
            if not written:
                return 0
            with self._database.writing():
                if _revision(connection) != checked:  # another process was faster: look at its groups, too
                    check()
                    written = int(connection.execute("SELECT count(*) FROM temp.staged").fetchone()[0])
                connection.execute(_COPY)
                self._changed(connection, act_record("directory.import", act, {"written": written}))
        return written

    def delete(self, keys: Sequence[Key], act: Act) -> int:
        """Delete entries and return how many there were."""
        with self._database.writing() as connection:
            deleted = connection.executemany(
                "DELETE FROM entity WHERE kind = ? AND type = ? AND id = ? AND tenant = ?", keys
            ).rowcount
            if deleted <= 0:
                return 0
            self._changed(connection, act_record("directory.delete", act, {"deleted": deleted}))
        return deleted

    def entities(self, tenant: str | None = None, kind: Kind | None = None) -> Iterator[Entity]:
        """Yield entries in the order of their keys: of one tenant or all, of one kind or all.

        They are read bit by bit, in one statement, so all of them are of one moment.
        """
        asked = [(" tenant = ?", tenant), (" kind = ?", kind)]
        given = [(condition, value) for condition, value in asked if value is not None]
        where = " WHERE" + " AND".join(condition for condition, _ in given) if given else ""
        with self._database.reading() as connection:
            rows = connection.execute(_LIST + where + _ORDER, [value for _, value in given])
            try:
                for kind_, type_, id_, tenant_, *contents in rows:
                    yield Entity(Key(Kind(kind_), type_, id_, tenant_), *self._contents(*contents))
            finally:
                rows.close()  # a reader that leaves early must not hold on to its snapshot

    def _groups_of(self, group: Group) -> Sequence[str]:
        found = self.get(Key(Kind.GROUP, "", group.id, group.tenant))
        return found.within if found else ()

    def _contents(self, attributes: str, within: str) -> tuple[dict[str, Value], tuple[str, ...]]:
        try:
            return (
                json.loads(attributes) if attributes != "{}" else {},
                tuple(json.loads(within)) if within != "[]" else (),
            )
        except (ValueError, TypeError):
            raise StoreCorruptError(f"`{self._database.path}` is damaged: restore a backup, or move it aside") from None

    def _changed(self, connection: sqlite3.Connection, record: str) -> None:
        connection.execute("UPDATE directory_revision SET revision = revision + 1")
        self._log.append_within(connection, [record])


def _insert(rows: int) -> str:
    """Return the statement that stages so many entries."""
    places = ", ".join(["(?, ?, ?, ?, ?, ?)"] * rows)
    return f"INSERT OR REPLACE INTO temp.staged VALUES {places}"  # noqa: S608  # question marks only


_INSERT: Final = _insert(_CHUNK)


@contextlib.contextmanager
def _stage(connection: sqlite3.Connection) -> Iterator[Callable[[Iterable[Entity]], dict[Group, tuple[str, ...]]]]:
    """Make room for entries that are about to be written; give what puts them there and returns their groups."""
    connection.execute("DROP TABLE IF EXISTS temp.staged")
    connection.execute(f"PRAGMA temp.cache_size=-{_STAGE_CACHE_KIB}")
    connection.execute(_STAGE)

    def insert(values: list[str]) -> None:
        rows = len(values) // _COLUMNS
        connection.execute(_INSERT if rows == _CHUNK else _insert(rows), values)

    def put(entities: Iterable[Entity]) -> dict[Group, tuple[str, ...]]:
        groups: dict[Group, tuple[str, ...]] = {}
        each = iter(entities)
        while values := [value for entity in islice(each, _CHUNK) for value in _row(entity, groups)]:
            insert(values)
        return groups

    try:
        yield put
    finally:
        connection.execute("DROP TABLE IF EXISTS temp.staged")


# `JSONEncoder.encode` makes such a C encoder for every call, which takes as long again as the encoding.
_chunks: Final = c_make_encoder(None, dict, encode_basestring, None, ":", ",", False, False, False)


def _encode(value: object) -> str:
    return "".join(_chunks(value, 0))


_NAMES: Final = {kind: kind.value for kind in Kind}  # plain strings, which SQLite takes without asking for adapters


def _row(entity: Entity, groups: dict[Group, tuple[str, ...]]) -> tuple[str, str, str, str, str, str]:
    kind, type_, id_, tenant = entity.key
    if kind is Kind.GROUP:
        group = Group(tenant, id_)
        groups.pop(group, None)  # the last one with a name counts, and it counts as the last
        groups[group] = entity.within
    attributes = _encode(entity.attributes) if entity.attributes else "{}"
    return (_NAMES[kind], type_, id_, tenant, attributes, _encode(entity.within) if entity.within else "[]")


def _revision(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT revision FROM directory_revision").fetchone()[0])
