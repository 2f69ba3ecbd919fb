"""The store as one server process uses it: whoever needs it opens it, in the thread that uses it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from authz.audit.appending import Keeping
from authz.audit.pseudonyms import Pseudonyms
from authz.audit.witness import append_witness
from authz.errors import AuthzError, StoreCorruptError
from authz.server.reload import in_thread
from authz.stores.sqlite.store import SqliteStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from authz.directory.store import DirectoryStore
    from authz.pap.history import PolicyStore
    from authz.server.config import StoreConfig

_WITNESS_S: Final = 60.0
"""Between two looks at how far the log has come."""


class Stored:
    """Opens one store, as often as it is needed."""

    def __init__(self, config: StoreConfig) -> None:
        """Open this store, with this key."""
        self._config = config

    def prepare(self, *, create: bool) -> None:
        """Look the store over before anything relies on it; `create` makes one where there is none.

        Raises `StoreError`, for a damaged store `StoreCorruptError`, and `LoadError` for the key.
        """
        with contextlib.closing(self._open(create=create)) as store:
            problems = store.database.check(quick=True)
        if problems:
            raise StoreCorruptError(f"`{self._config.path}` is damaged ({problems[0]}): restore a backup")

    def log(self, *, durable: bool, pseudonyms: bool) -> Keeping:
        """Open the store for what keeps the decisions."""
        store = self._open(durable=durable)
        names = Pseudonyms(store.pseudonyms).of if pseudonyms else None
        return Keeping(store.log, store.close, names)

    def reader(self) -> SqliteStore:
        """Open the store to read from it."""
        return open_store(self._config.path, readonly=True)

    @contextlib.contextmanager
    def policies(self) -> Iterator[PolicyStore]:
        """Open the policies for one act."""
        with contextlib.closing(self._open()) as store:
            yield store.policies

    @contextlib.contextmanager
    def directory(self) -> Iterator[DirectoryStore]:
        """Open the directory for one act."""
        with contextlib.closing(self._open()) as store:
            yield store.directory

    async def witness(self, path: Path, logger: FilteringBoundLogger) -> None:
        """Write down how far the log has come, now and again, until cancelled, and then once more."""
        try:
            while True:
                await in_thread(lambda: self._see(path, logger))
                await asyncio.sleep(_WITNESS_S)
        finally:
            self._see(path, logger)

    def _see(self, path: Path, logger: FilteringBoundLogger) -> None:
        try:
            with contextlib.closing(self.reader()) as store:
                append_witness(path, store.log.head())
        except AuthzError as error:
            logger.error("log_not_witnessed", problem=str(error))  # noqa: TRY400  # one line says it all

    def _open(self, *, create: bool = False, durable: bool = True) -> SqliteStore:
        return open_store(self._config.path, key=self._config.key, create=create, durable=durable)
