"""Small logs in real files, for tests that do things to them."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from authz.audit.signing import load_signer
from authz.stores.sqlite.database import open_database
from authz.stores.sqlite.log import SqliteLog
from authz.stores.sqlite.store import key_path, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

    from authz.audit.signing import Signer
    from authz.stores.sqlite.database import Database


class Opened:
    """A log with few records between its checkpoints, and what it is made of."""

    def __init__(self, database: Database, signer: Signer, every: int) -> None:
        """Read and append with this connection."""
        self.database = database
        self.signer = signer
        self.log = SqliteLog(database, signer, every)

    @property
    def size(self) -> int:
        """Return how many records it has."""
        return self.log.head().head.seq

    def fill(self, size: int, batch: int = 1) -> None:
        """Append records, so many at a time."""
        bodies = [body(number) for number in range(self.size + 1, self.size + size + 1)]
        for at in range(0, size, batch):
            self.log.append(bodies[at : at + batch])


def body(number: int, **members: object) -> str:
    """Return the body of a record that no other number has."""
    record = {"time": f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}.000000Z", "kind": "decision"}
    return json.dumps({**record, "subject": f"user-{number % 7}", "tool": f"tool-{number}", **members})


@contextlib.contextmanager
def opened(path: Path, every: int = 8, *, key: Path | None = None) -> Iterator[Opened]:
    """Open a log, made where it is not there; `key` is another log's, to sign with the same."""
    if not path.exists():
        if key is not None:
            for name in (key, key.with_name(key.name + ".pub")):
                target = path.with_name(path.name + name.name.removeprefix(key.name.removesuffix(".key")))
                target.write_bytes(name.read_bytes())
                target.chmod(0o600)
        open_store(path, create=True).close()
    with contextlib.closing(open_database(path, durable=False)) as database:
        yield Opened(database, load_signer(key_path(path)), every)


def random_size(random: Random) -> tuple[int, int, int]:
    """Draw how many records a log has, how many are appended at a time, and how many stand between checkpoints."""
    return random.randint(1, 60), random.randint(1, 6), random.choice((1, 3, 8, 20, 1000))
