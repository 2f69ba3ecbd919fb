"""The log as its one writing thread sees it: opened there, and opened again where it failed."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from authz.audit.records import decision_record
from authz.errors import AuthzError, StoreBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from authz.audit.chain import Head
    from authz.audit.records import Contents, Decided

_BUSY_S: Final = 60.0
_PAUSE_S: Final = 0.05  # beside the store's own waiting


class Appends(Protocol):
    """What a writer needs of a log (`authz.audit.store.LogStore`)."""

    def append(self, bodies: Sequence[str]) -> Head:
        """Append records, durably, and return the head that follows. Raises `StoreError`; then none was appended."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """An open log: what appends to it, what closes it, and what stands for a subject of a tenant."""

    log: Appends
    close: Callable[[], None]
    pseudonym: Callable[[str, str], str] | None = None


class Appender:
    """Writes records down and appends them. After a failure the log is opened anew."""

    def __init__(self, open_log: Callable[[], Keeping] | None, contents: Contents) -> None:
        """Append to what `open_log` returns; without it there is no log, and records have no numbers."""
        self._open_log = open_log
        self._contents = contents
        self._keeping: Keeping | None = None

    def open(self) -> None:
        """Open the log, if there is one and it is not open. Raises `StoreError` or `LoadError`."""
        if self._keeping is None and self._open_log is not None:
            self._keeping = self._open_log()

    def body(self, entry: Decided | str) -> str:
        """Return the body of a record. Raises `StoreError` where a pseudonym cannot be had."""
        if isinstance(entry, str):
            return entry
        return decision_record(entry, self._contents, self._keeping.pseudonym if self._keeping else None)

    def append(self, bodies: Sequence[str], patient: Callable[[StoreBusyError], bool]) -> int:
        """Append records durably; return the first one's number, 0 where there is no log.

        Raises `StoreError`; then none of them was appended. While the store is locked `patient` is
        asked whether to try again, for a minute at most.
        """
        if self._keeping is None:
            return 0
        ends = time.monotonic() + _BUSY_S
        while True:
            try:
                return self._keeping.log.append(bodies).seq - len(bodies) + 1
            except StoreBusyError as error:
                if time.monotonic() >= ends or not patient(error):
                    raise
                time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Close the log; what follows opens it again."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            with contextlib.suppress(AuthzError):  # it failed already: that is why it is closed
                keeping.close()
