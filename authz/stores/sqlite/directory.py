"""The directory in SQLite.

A write is staged first, in a temporary table that nobody else sees, and then copied in one short
transaction: who waits for the write lock meanwhile, such as the decision log, waits for the copy only.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]  # typeshed lacks the first
from typing import TYPE_CHECKING, Any, Final

from authz.audit.records import act_record
from authz.directory.entities import Entity, Key, Kind
from authz.directory.groups import Group, GroupCycleError, refuse_cycles
from authz.errors import StoreCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from authz.model import Act, Value
    from authz.stores.sqlite.database import Database
    from authz.stores.sqlite.log import SqliteLog

    _Row = tuple[str, str, str, str, str, str]

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
_CHUNK: Final = 2_000
"""Entries that are staged by one statement: a statement for each takes half as long again."""
_CHUNK_CHARACTERS: Final = 4 * 1024 * 1024
"""Characters after which a chunk is staged, however few its entries: two chunks are in memory at a time."""
_STAGE_CACHE_KIB: Final = 64 * 1024
# What is read for a decision comes with the revision that it is of, in one statement, and so of one moment. The kind
# stands in the text, one text for each: with the partial indexes above, SQLite looks at a kind that is bound, and
# prepares the statement anew for every call.
_GET: Final = {
    kind: "SELECT revision, attributes, within FROM directory_revision"  # noqa: S608  # an enum of ours
    f" LEFT JOIN entity ON kind = '{kind}' AND type = ? AND id = ? AND tenant = ?"
    for kind in Kind
}
_TENANTS: Final = {
    kind: "SELECT revision, tenant FROM directory_revision"  # noqa: S608  # as above
    f" LEFT JOIN entity ON kind = '{kind}' AND type = ? AND id = ? ORDER BY tenant"
    for kind in Kind
}
_ROLES: Final = """SELECT revision, id FROM directory_revision
    LEFT JOIN entity INDEXED BY entity_role ON kind = 'role_binding' AND tenant = ?
    AND type IN (SELECT value FROM json_each(?))"""
_SERVERS: Final = """SELECT revision, type FROM directory_revision
    LEFT JOIN entity INDEXED BY entity_tool ON kind = 'tool' AND tenant = ? AND id = ? ORDER BY type"""
_COPY: Final = """INSERT OR REPLACE INTO entity
    SELECT kind, type, id, tenant, attributes, within FROM temp.staged ORDER BY kind, type, id, tenant"""
_LIST: Final = "SELECT kind, type, id, tenant, attributes, within FROM entity"
_ORDER: Final = " ORDER BY kind, type, id, tenant"
_REVISION: Final = "SELECT revision FROM directory_revision"


class SqliteDirectory:
    """The directory of one store's file (`authz.directory.store.DirectoryStore`)."""

    def __init__(self, database: Database, log: SqliteLog) -> None:
        """Keep entities with this connection, and tell of each act in this log."""
        self._database = database
        self._log = log
        self.seen = -1

    def get(self, key: Key) -> Entity | None:
        """Return one entry, None where there is none."""
        kind, type_, id_, tenant = key
        attributes, within = self._seen(_GET[kind], (type_, id_, tenant))[0][1:]
        return None if attributes is None else Entity(key, *self._contents(attributes, within))

    def tenants_of(self, kind: Kind, type_: str, id_: str) -> Sequence[str]:
        """Return the tenants that know something under this kind, type and id, sorted bytewise."""
        return _column(self._seen(_TENANTS[kind], (type_, id_)))

    def roles_of(self, tenant: str, principals: Sequence[str]) -> frozenset[str]:
        """Return the roles bound to any of these principals in a tenant.

        One with a NUL is bound to nothing: SQLite's JSON would end it there, and take it for a shorter one.
        """
        asked = json.dumps([principal for principal in principals if "\0" not in principal])
        return frozenset(_column(self._seen(_ROLES, (tenant, asked))))

    def servers_of(self, tenant: str, tool: str) -> Sequence[str]:
        """Return the servers that offer a tool of this name in a tenant, sorted bytewise."""
        return _column(self._seen(_SERVERS, (tenant, tool)))

    def revision(self) -> int:
        """Return a number that grows with every change; to ask SQLite whether there was one takes as long."""
        self._seen(_REVISION)
        return self.seen

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
                with contextlib.suppress(sqlite3.ProgrammingError):  # the store was closed meanwhile
                    rows.close()  # a reader that leaves early must not hold on to its snapshot

    def _groups_of(self, group: Group) -> Sequence[str]:
        found = self.get(Key(Kind.GROUP, "", group.id, group.tenant))
        return found.within if found else ()

    def _seen(self, statement: str, values: Sequence[str] = ()) -> list[Any]:
        """Return the rows of a statement, at least one, whose first column is the revision that they are of."""
        rows = self._database.rows(statement, values)
        if not rows:
            raise self._damaged()
        self.seen = rows[0][0]
        return rows

    def _contents(self, attributes: str, within: str) -> tuple[dict[str, Value], tuple[str, ...]]:
        try:
            return (
                _decoded(attributes) if attributes != "{}" else {},
                tuple(_decoded(within)) if within != "[]" else (),
            )
        except (ValueError, TypeError):
            raise self._damaged() from None

    def _damaged(self) -> StoreCorruptError:
        return StoreCorruptError(f"`{self._database.path}` is damaged: restore a backup, or move it aside")

    def _changed(self, connection: sqlite3.Connection, record: str) -> None:
        connection.execute("UPDATE directory_revision SET revision = revision + 1")
        self._log.append_within(connection, [record])


_INSERT_ONE: Final = "INSERT OR REPLACE INTO temp.staged VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_CHUNK: Final = _INSERT_ONE + ", (?, ?, ?, ?, ?, ?)" * (_CHUNK - 1)


@contextlib.contextmanager
def _stage(connection: sqlite3.Connection) -> Iterator[Callable[[Iterable[Entity]], dict[Group, tuple[str, ...]]]]:
    """Make room for entries that are about to be written; give what puts them there and returns their groups."""
    connection.execute("DROP TABLE IF EXISTS temp.staged")
    connection.execute(f"PRAGMA temp.cache_size=-{_STAGE_CACHE_KIB}")
    connection.execute(_STAGE)

    def insert(rows: list[_Row]) -> None:
        if len(rows) == _CHUNK:
            connection.execute(_INSERT_CHUNK, list(chain.from_iterable(rows)))
        else:
            connection.executemany(_INSERT_ONE, rows)

    def put(entities: Iterable[Entity]) -> dict[Group, tuple[str, ...]]:
        groups: dict[Group, tuple[str, ...]] = {}
        chunks = _chunks(_row(entity, groups) for entity in entities)
        # While SQLite inserts a chunk it lets Python read the next one, which takes a tenth off an import.
        with ThreadPoolExecutor(1) as thread:
            inserting = thread.submit(insert, next(chunks, []))
            for chunk in chunks:
                inserting.result()
                inserting = thread.submit(insert, chunk)
            inserting.result()
        return groups

    try:
        yield put
    finally:
        connection.execute("DROP TABLE IF EXISTS temp.staged")


def _chunks(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    chunk: list[_Row] = []
    characters = 0
    for row in rows:
        chunk.append(row)
        characters += len(row[4]) + len(row[5])
        if len(chunk) == _CHUNK or characters > _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


# `JSONEncoder.encode` makes such a C encoder for every call, which takes as long again as the encoding.
_parts: Final = c_make_encoder(None, dict, encode_basestring, None, ":", ",", False, False, False)


def _encode(value: object) -> str:
    return "".join(_parts(value, 0))


_GROUP: Final = Kind.GROUP  # a name of a module is found in a quarter of the time of an enum's member
_NAMES: Final = {kind: kind.value for kind in Kind}  # plain strings, which SQLite takes without asking for adapters


def _row(entity: Entity, groups: dict[Group, tuple[str, ...]]) -> _Row:
    kind, type_, id_, tenant = entity.key
    if kind is _GROUP:
        group = Group(tenant, id_)
        groups.pop(group, None)  # the last one with a name counts, and it counts as the last
        groups[group] = entity.within
    attributes = _encode(entity.attributes) if entity.attributes else "{}"
    return (_NAMES[kind], type_, id_, tenant, attributes, _encode(entity.within) if entity.within else "[]")


def _revision(connection: sqlite3.Connection) -> int:
    return int(connection.execute(_REVISION).fetchone()[0])


def _column(rows: list[Any]) -> list[str]:
    """Return what was found beside the revision; where that is nothing, there is one row without it."""
    return [found for _, found in rows if found is not None]


_scan: Final = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # typeshed lacks it


def _decoded(text: str) -> Any:  # noqa: ANN401  # as `json.loads`, which takes three times as long for so short a text
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError from None
    return value if end == len(text) else json.loads(text)
