"""What runs in a process of its own and is killed, starved or locked out: one function for each thing it does.

It tells on stdout, in lines of JSON, what was acknowledged to it, and waits for lines on stdin where
the test decides when it goes on. Run as `child.py WHAT STORE [ARGUMENT…]`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from authz.directory.entities import Entity, Key, Kind
from authz.errors import AuthzError, StoreError
from authz.model import Act
from authz.pap.history import NewVersion, PolicyText
from authz.stores.sqlite.database import open_database
from authz.stores.sqlite.files import held_alone
from authz.stores.sqlite.store import open_store

if TYPE_CHECKING:
    from authz.stores.sqlite.store import SqliteStore

FILES = 12
"""Files of each version that `policies` puts."""
ENTRIES = 300
"""Entries of each import that `imports` makes."""
ACT = Act("child", "cli")
_LIMIT = 256 * 1024


def tell(**what: object) -> None:
    """Tell the test something, at once."""
    os.write(1, json.dumps(what).encode() + b"\n")


def records(first: int, count: int) -> list[str]:
    """Return bodies of records that are told apart by a number, of sizes that differ."""
    return [
        json.dumps({"kind": "decision", "n": n, "filling": "x" * (n * 37 % 400)}) for n in range(first, first + count)
    ]


def appends(store: SqliteStore, count: str = "0") -> None:
    """Append batches of records; tell each that was acknowledged. Without a count, to the end of all days."""
    done = 0
    while not int(count) or done < int(count):
        batch = records(done, 1 + done * 7 % 20)
        head = store.log.append(batch)
        done += len(batch)
        tell(seq=head.seq, done=done)


def version(number: int) -> NewVersion:
    """Return a version whose files say which one they are of."""
    files = tuple(PolicyText(f"{n:02}.authz", f"version {number} file {n}\n" * 40) for n in range(FILES))
    return NewVersion(files, f"r{number}", f"d{number}", 1, 0)


def policies(store: SqliteStore) -> None:
    """Put versions and activate each."""
    number = 0
    while True:
        number += 1
        tell(put=store.policies.put(version(number), ACT).number)
        tell(activated=store.policies.activate(number, "activate", ACT).version)


def entries(batch: int) -> list[Entity]:
    """Return the entries of one import: all of them say which, and each import is of the same keys."""
    return [Entity(Key(Kind.RESOURCE, "document", f"d{n}", "acme"), {"batch": batch}) for n in range(ENTRIES)]


def imports(store: SqliteStore) -> None:
    """Import the same entries again and again, with other contents each time."""
    batch = 0
    while True:
        batch += 1
        store.directory.write(entries(batch), ACT)
        tell(batch=batch)


def steps(store: SqliteStore) -> None:
    """Append a batch for each line on stdin, and after that without a pause."""
    done = 0
    for line in iter(sys.stdin.readline, ""):
        for _ in range(int(line)):
            batch = records(done, 3)
            done += len(batch)
            store.log.append(batch)
        tell(seq=store.log.head().head.seq)


def holds(store: SqliteStore) -> None:
    """Hold the write lock until told to let go."""
    with store.database.writing():
        tell(held=True)
        sys.stdin.readline()
    tell(held=False)


def reads(store: SqliteStore) -> None:
    """Keep a snapshot until told to let go, and tell what it says at its beginning and its end."""
    with store.database.snapshot():
        tell(seq=store.log.head().head.seq)
        sys.stdin.readline()
        tell(seq=store.log.head().head.seq)


def runs_full(store: SqliteStore) -> None:
    """Append until files may not grow any more; tell what was kept; go on once they may."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LIMIT, resource.RLIM_INFINITY))
    acknowledged = 0
    try:
        while True:
            acknowledged = store.log.append(records(acknowledged, 10)).seq
    except StoreError as error:
        tell(full=str(error), acknowledged=acknowledged, head=store.log.head().head.seq)
    try:
        store.policies.put(version(1), ACT)
    except StoreError as error:
        tell(full=str(error), versions=len(store.policies.versions()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    tell(seq=store.log.append(records(acknowledged, 10)).seq, put=store.policies.put(version(1), ACT).number)


def forks(store: SqliteStore) -> None:
    """Fork, and use the parent's store in the child."""
    store.log.append(records(0, 1))
    if (pid := os.fork()) == 0:
        for use in (lambda: store.log.append(records(1, 1)), store.log.head):
            try:
                use()
            except StoreError as error:
                tell(refused=str(error))
        os._exit(0)
    os.waitpid(pid, 0)
    tell(seq=store.log.append(records(1, 1)).seq)


def creates(path: Path) -> None:
    """Make a store once told to."""
    tell(ready=True)
    sys.stdin.readline()
    store = open_store(path, create=True)
    tell(seq=store.log.append(records(0, 1)).seq, log=store.log.head().head.log.hex(), key=_key(path))
    store.close()


def alone(path: Path) -> None:
    """Tell whether no other process has the store open."""
    tell(ready=True)
    try:
        with held_alone(path):
            tell(alone=True)
    except StoreError as error:
        tell(refused=str(error))


def as_nobody(path: Path) -> None:
    """Open a store without root's rights, for writing and for reading."""
    tell(uid=os.getuid())
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    for how in ({"readonly": True}, {}):
        try:
            database = open_database(path, **how)
        except AuthzError as error:
            tell(refused=str(error))
        else:
            tell(opened=database.connection.execute("SELECT count(*) FROM log_record").fetchone()[0])
            database.close()


def _key(path: Path) -> str:
    return path.with_name(path.name + ".key.pub").read_text(encoding="ascii")


_ON_A_PATH = {"alone": alone, "creates": creates, "as_nobody": as_nobody}
_ON_A_STORE = {
    "appends": appends,
    "policies": policies,
    "imports": imports,
    "steps": steps,
    "holds": holds,
    "reads": reads,
    "runs_full": runs_full,
    "forks": forks,
}

if __name__ == "__main__":
    what, where, *arguments = sys.argv[1:]
    if what in _ON_A_PATH:
        _ON_A_PATH[what](Path(where))
    else:
        opened = open_store(Path(where))
        tell(ready=True)
        _ON_A_STORE[what](opened, *arguments)
        opened.close()
