"""Open one file as the things it holds."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from authz.audit.signing import Signer, create_key, load_signer, public_path
from authz.errors import LoadError, StoreError
from authz.stores.sqlite.database import WAIT_S, Database, open_database
from authz.stores.sqlite.directory import SqliteDirectory
from authz.stores.sqlite.files import beside, put_in_place, refuse_strangers
from authz.stores.sqlite.log import SqliteLog
from authz.stores.sqlite.policies import SqlitePolicies
from authz.stores.sqlite.pseudonyms import SqlitePseudonymKeys
from authz.stores.sqlite.revocations import SqliteRevocations

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SqliteStore:
    """What one file holds, on one connection: for one thread at a time. `pseudonyms` are their keys."""

    database: Database
    log: SqliteLog
    policies: SqlitePolicies
    directory: SqliteDirectory
    pseudonyms: SqlitePseudonymKeys
    revocations: SqliteRevocations

    def close(self) -> None:
        """Close the connection."""
        self.database.close()


def key_path(path: Path) -> Path:
    """Return where the log's signing key is, unless it is said to be elsewhere: beside the store."""
    return path.with_name(path.name + ".key")


def open_store(
    path: Path,
    *,
    key: Path | None = None,
    create: bool = False,
    durable: bool = True,
    readonly: bool = False,
    wait: float = WAIT_S,
) -> SqliteStore:
    """Open a store; `create` makes one, with a new signing key, where there is none.

    `readonly` needs no key, changes nothing, and opens only what is there. `durable` and `wait`, in
    seconds, are as in `open_database`. Raised are `StoreError` and, for the key, `LoadError`: a
    store that exists is opened with the key that signed its log, and no new one is made for it.
    """
    if readonly:
        return _opened(open_database(path, durable=durable, readonly=True, wait=wait), None)
    signer = _signer(path, key or key_path(path), create=create)
    database = open_database(path, create=create, durable=durable, wait=wait)
    try:
        store = _opened(database, signer)
        _refuse_other_key(store, signer, path, key or key_path(path))
    except BaseException:
        database.close()
        raise
    return store


def _opened(database: Database, signer: Signer | None) -> SqliteStore:
    log = SqliteLog(database, signer)
    return SqliteStore(
        database,
        log,
        SqlitePolicies(database, log),
        SqliteDirectory(database, log),
        SqlitePseudonymKeys(database, log),
        SqliteRevocations(database, log),
    )


def _signer(path: Path, key: Path, *, create: bool) -> Signer:
    """Return the key; make one first where there is neither key nor store.

    The key comes before the store: whoever is interrupted in between leaves a key, which the next start uses.
    """
    there = refuse_strangers(path)
    if not there and not create:
        raise StoreError(f"`{path}` does not exist")
    if not key.exists():
        if there:
            raise LoadError(
                f"`{key}` does not exist: it is the key that signs the log of `{path}`; "
                "put it there, or name its place with --log-key"
            )
        _create_key(key)
    signer = load_signer(key)
    if create:
        _publish(signer, public_path(key))
    return signer


def _create_key(key: Path) -> None:
    """Make a key pair under another name, whole, and only then give it its own; another process may be faster."""
    new = key.with_name(f".{key.name}.{secrets.token_hex(6)}.new")
    try:
        create_key(new)
        with contextlib.suppress(FileExistsError):
            put_in_place(new, key)
            public_path(key).unlink(missing_ok=True)  # of a key that is gone
    except LoadError as error:
        raise LoadError(str(error).replace(str(new), str(key))) from None
    except OSError as error:
        raise LoadError(f"`{key}` cannot be written: {(error.strerror or 'it failed').lower()}") from None
    finally:
        for left in (new, public_path(new)):
            left.unlink(missing_ok=True)


def _publish(signer: Signer, public: Path) -> None:
    """Write the public key where there is none, as after a start that was killed in between; a folder may forbid it."""
    if public.exists():
        return
    with contextlib.suppress(StoreError, OSError), beside(public) as new:
        new.write_bytes(signer.public.pem())
        new.chmod(0o644)
        put_in_place(new, public)


def _refuse_other_key(store: SqliteStore, signer: Signer, path: Path, key: Path) -> None:
    """Refuse to go on with a log under another key: from there on nobody could verify it with either."""
    signed = store.log.head()
    if signed.head.seq and not signer.public.verify(signed.head, signed.time, signed.signature):
        raise StoreError(f"the log in `{path}` was not signed with the key in `{key}`: name the right one")
