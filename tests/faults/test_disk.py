"""A disk that is full, gone, read-only or that lies: a clear refusal, and nothing that was acknowledged is lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from authz.errors import StoreCorruptError, StoreError
from authz.stores.sqlite.database import open_database
from tests.faults.child import ACT, records, version
from tests.faults.support import Child, child, make, opened, sound, whole_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 2 MiB, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "none", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user can reach, unlike pytest's own."""
    place = Path(tempfile.mkdtemp(prefix="authz-faults-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def test_a_file_that_may_not_grow_refuses_records_and_versions_and_keeps_what_it_has(tmp_path: Path) -> None:
    """Threats 3d-5, 3d-6: RLIMIT_FSIZE; and once it may grow again, the same process goes on."""
    path = make(tmp_path / "authz.db")
    with child("runs_full", path) as running:
        log, policy, after = running.rest()
    assert "cannot be" in log["full"]
    assert log["head"] == log["acknowledged"] > 0
    assert policy["versions"] == 0
    assert after == {"seq": log["acknowledged"] + 10, "put": 1}
    with opened(path) as store:
        assert [record["n"] for record in whole_log(store) if "n" in record] == list(range(after["seq"]))
        assert store.policies.files(1) == version(1).files
        sound(store)


def test_a_full_disk_refuses_records_and_goes_on_once_there_is_room(small_disk: Path) -> None:
    """Threats 3d-5: ENOSPC, on a real file system."""
    path = make(small_disk / "authz.db")
    with opened(path) as store:
        store.log.append(records(0, 10))
        filler = small_disk / "filler"
        _fill(filler)
        acknowledged = 10

        def append_until_refused() -> None:
            nonlocal acknowledged
            while True:
                acknowledged = store.log.append(records(acknowledged, 10)).seq

        with pytest.raises(StoreError, match=r"the disk is full|takes no more"):
            append_until_refused()
        assert len(whole_log(store)) == acknowledged
        filler.unlink()
        assert store.log.append(records(acknowledged, 10)).seq == acknowledged + 10
        assert [record["n"] for record in whole_log(store)] == list(range(acknowledged + 10))
        sound(store)


def test_no_store_is_left_where_the_disk_is_too_full_to_make_one(small_disk: Path) -> None:
    """Threats 3d-5: neither half a store nor half a key."""
    _fill(small_disk / "filler")
    with pytest.raises(Exception, match="cannot be"):
        opened(small_disk / "authz.db", create=True).__enter__()
    assert not (small_disk / "authz.db").exists()
    (small_disk / "filler").unlink()
    with opened(small_disk / "authz.db", create=True) as store:
        store.log.append(records(0, 1))
        whole_log(store)


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def _remove(path: Path) -> None:
    path.unlink()


def _move(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def _put_another(path: Path) -> None:
    other = make(path.with_name("other.db"))
    other.rename(path)


def _remove_wal(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def _remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("fault", [_remove, _move, _put_another, _remove_wal, _remove_folder])
def test_a_file_that_goes_while_in_use_takes_no_record_that_nobody_will_find(
    fault: Callable[[Path], None], tmp_path: Path
) -> None:
    """Threats 3d-9: SQLite itself would go on writing to a file without a name, and acknowledge it."""
    path = tmp_path / "store" / "authz.db"
    path.parent.mkdir()
    with opened(make(path)) as store:
        store.log.append(records(0, 1))
        fault(path)
        for _ in range(2):
            with pytest.raises(StoreError, match="was removed or replaced while in use"):
                store.log.append(records(1, 1))
            with pytest.raises(StoreError, match="was removed or replaced while in use"):
                store.policies.put(version(1), ACT)
            with pytest.raises(StoreError, match="was removed or replaced while in use"):
                store.database.data_version()


def test_a_reader_notices_that_the_file_was_replaced(tmp_path: Path) -> None:
    """Threats 3d-9: decisions must not go on being made from a directory that is not there any more."""
    path = make(tmp_path / "authz.db")
    with opened(path, readonly=True) as store:
        store.policies.active()
        _put_another(path)

        def ask_until_refused() -> None:
            while True:  # for a tenth of a second it may not notice
                store.policies.active()

        with pytest.raises(StoreError, match="was removed or replaced while in use"):
            ask_until_refused()


def test_the_wal_removed_while_nobody_has_the_store_open_leaves_an_older_whole_state(tmp_path: Path) -> None:
    """Threats 3d-8: what was in it is gone, which only a witness can tell, but nothing is mixed."""
    path = make(tmp_path / "authz.db")
    with child("appends", path) as running:
        told = [running.next() for _ in range(5)] + running.kill()
    path.with_name("authz.db-wal").unlink()
    with opened(path) as store:
        assert len(whole_log(store)) <= told[-1]["seq"]
        sound(store)


def test_the_shared_memory_removed_after_a_crash_loses_nothing(tmp_path: Path) -> None:
    """Threats 3d-8: it is an index that is made anew."""
    path = make(tmp_path / "authz.db")
    with child("appends", path) as running:
        told = [running.next() for _ in range(5)] + running.kill()
    path.with_name("authz.db-shm").unlink()
    with opened(path) as store:
        assert len(whole_log(store)) >= told[-1]["seq"]


def test_a_new_store_is_not_made_where_commits_to_the_old_one_lie(tmp_path: Path) -> None:
    """Threats 3d-8, 3d-9: SQLite would read the old WAL into the new file."""
    path = make(tmp_path / "authz.db")
    with child("appends", path) as running:
        running.next()
        running.kill()
    path.unlink()
    with pytest.raises(StoreError, match=r"is gone, but .*authz.db-wal` holds commits to it"):
        opened(path, create=True).__enter__()


def test_permissions_lost_while_in_use_lose_nothing(tmp_path: Path) -> None:
    """Threats 3d-9: who has the file open may go on; the next start is refused (below)."""
    path = make(tmp_path / "authz.db")
    with opened(path) as store:
        store.log.append(records(0, 1))
        path.chmod(0)
        store.log.append(records(1, 1))
        assert len(whole_log(store)) == 2


def _as_nobody(path: Path) -> list[str]:
    """Return what a process without root's rights is told, reading first and writing then."""
    started = Child("as_nobody", path)
    try:
        started.next()
        return [line.get("refused") or f"opened {line['opened']}" for line in started.rest()]
    finally:
        started.close()


def _filled(path: Path) -> Path:
    with opened(make(path)) as store:
        store.log.append(records(0, 3))
    if os.getuid() == 0:
        shutil.chown(path, 65534, 65534)
    return path


def test_a_file_that_may_not_be_read_is_refused(open_folder: Path) -> None:
    """Threats 3d-9."""
    path = _filled(open_folder / "authz.db")
    path.chmod(0)
    reading, writing = _as_nobody(path)
    assert "out of reach" in reading
    assert "read-only" in writing


def test_a_file_of_mode_0444_is_read_and_not_written(open_folder: Path) -> None:
    """Threats 3d-9: an archived store can be asked."""
    path = _filled(open_folder / "authz.db")
    path.chmod(0o444)
    if os.getuid() == 0:
        shutil.chown(open_folder, 65534, 65534)
    reading, writing = _as_nobody(path)
    assert reading == "opened 3"
    assert writing == f"`{path}` cannot be written: it is read-only"


def test_a_folder_that_cannot_be_written_is_no_place_for_a_store_but_one_for_an_archive(open_folder: Path) -> None:
    """Threats 3d-9: the WAL needs room beside the file."""
    path = _filled(open_folder / "authz.db")
    was = path.read_bytes()
    if os.getuid() != 0:
        open_folder.chmod(0o555)
    reading, writing = _as_nobody(path)
    open_folder.chmod(0o755)
    assert reading == "opened 3"
    assert writing == f"`{path}` cannot be written: it is in a folder that is read-only"
    assert path.read_bytes() == was


def test_a_read_only_file_system_is_refused_for_writing_and_read_as_it_is(small_disk: Path) -> None:
    """Threats 3d-9: remounted read-only."""
    path = make(small_disk / "authz.db")
    with opened(path) as store:
        store.log.append(records(0, 3))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match="read-only"):
        opened(path).__enter__()
    with opened(path, readonly=True) as store:
        assert len(whole_log(store)) == 3


def test_commits_that_only_the_wal_holds_are_not_passed_over_on_a_read_only_file_system(small_disk: Path) -> None:
    """Threats 3d-8, 3d-9: better no answer than one from an older state."""
    path = make(small_disk / "authz.db")
    with child("appends", path) as running:
        told = [running.next() for _ in range(3)] + running.kill()
    path.with_name("authz.db-shm").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        with opened(path, readonly=True) as store:
            assert len(whole_log(store)) >= told[-1]["seq"]
    except StoreError as error:
        assert "out of reach" in str(error)  # noqa: PT017  # either is right; an older state is not


@pytest.mark.parametrize("damage", ["header", "page", "truncated", "empty"])
def test_a_damaged_file_is_refused_in_one_clear_line(damage: str, tmp_path: Path) -> None:
    """Threats 3d-8: what a server's start asks before it believes anything in the file."""
    path = make(tmp_path / "authz.db")
    with opened(path) as store:
        store.log.append(records(0, 2000))
        store.directory.write([], ACT)
    content = bytearray(path.read_bytes())
    match damage:
        case "header":
            content[:64] = b"\xa5" * 64
        case "page":
            content[8 * 4096 : 8 * 4096 + 64] = b"\xa5" * 64
        case "truncated":
            del content[len(content) // 2 :]
        case _:
            content.clear()
    path.write_bytes(content)
    problems = _problems(path)
    assert problems
    assert all("\n" not in problem for problem in problems)


def _problems(path: Path) -> list[str]:
    try:
        database = open_database(path)
    except StoreCorruptError as error:
        return [str(error)]
    try:
        return database.check(quick=True)
    finally:
        database.close()


def test_any_page_that_is_overwritten_is_found_by_the_quick_check(tmp_path: Path) -> None:
    """Threats 3d-8: each page in turn, but for those that hold nothing."""
    path = make(tmp_path / "authz.db")
    with opened(path) as store:
        store.log.append(records(0, 300))
        store.policies.put(version(1), ACT)
    whole = path.read_bytes()
    free = int.from_bytes(whole[36:40], "big")
    missed = []
    for page in range(len(whole) // 4096):
        path.write_bytes(whole[: page * 4096] + b"\xa5" * 4096 + whole[(page + 1) * 4096 :])
        if not _problems(path):
            missed.append(page)
    assert len(missed) <= free + _overflowing(whole)


def _overflowing(content: bytes) -> int:
    """Return how many pages hold nothing but the middle of a long text, which has no form that could be wrong."""
    trees = (0x02, 0x05, 0x0A, 0x0D)
    return sum(content[at] not in trees for at in range(4096, len(content), 4096))
