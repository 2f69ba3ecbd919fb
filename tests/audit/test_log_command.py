"""`authz-eval log`, driven as its users do (issue 3, 4)."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner

from authz.audit.pseudonyms import Pseudonyms
from authz.cli.eval import main
from authz.stores.sqlite.log import SqliteLog
from authz.stores.sqlite.pseudonyms import SqlitePseudonymKeys
from authz.stores.sqlite.store import SqliteStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTROLS = "\x1b[2J\r\n\u202e"


class Ran(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the store is."""
    return tmp_path / "authz.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """Return a store with a log of ten records, the seventh refused."""
    with contextlib.closing(open_store(path, create=True)) as opened:
        opened.log.append([decision(number) for number in range(1, 11)])
        yield opened


def decision(number: int, **members: object) -> str:
    """Return the body of a decision's record."""
    record: dict[str, object] = {
        "time": f"2026-01-{number:02}T10:00:00.000000Z",
        "kind": "decision",
        "subject": "alice" if number % 2 else "bob",
        "tenant": "acme",
        "tool": "read_document",
        "resource": {"type": "document", "id": f"d{number}"},
        "decision": "DENY" if number == 7 else "ALLOW",
        "reason": "NO_ALLOW" if number == 7 else "ALLOWED",
        "rules": ["documents:7"],
        "latency_us": number,
    }
    return json.dumps({**record, **members})


def log(path: Path, command: str, *arguments: object) -> Ran:
    """Run `authz-eval log COMMAND` on the store."""
    words = ["log", command, "--store", str(path), *map(str, arguments)]
    result = CliRunner().invoke(main, words, prog_name="authz-eval")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def numbers(ran: Ran) -> list[int]:
    """Return the numbers of the records that were printed as JSON lines."""
    assert ran.code == 0, ran
    return [json.loads(line)["seq"] for line in ran.out.splitlines()]


def test_verify_says_that_a_log_is_whole(store: SqliteStore, path: Path) -> None:
    """Issue 3, 4."""
    assert log(path, "verify") == Ran(0, f"{path} verifies: 10 records, 1 to 10, 1 signature\n", "")
    answer = json.loads(log(path, "verify", "--format", "json").out)
    assert (answer["verifies"], answer["records"], answer["findings"]) == (True, 10, [])


def test_verify_names_the_first_bad_record(store: SqliteStore, path: Path) -> None:
    """Issue 3, Bad input: one clear line, and exit code 7."""
    store.database.connection.execute("UPDATE log_record SET body=replace(body, 'DENY', 'ALLOW') WHERE seq=7")
    ran = log(path, "verify")
    assert ran.code == 7
    problem = "its hash does not follow from its text and the record before it"
    assert ran.out == f"{path} does not verify: record 7: {problem}\n"
    (finding,) = json.loads(log(path, "verify", "--format", "json").out)["findings"]
    assert finding == {"file": str(path), "record": 7, "since": 7, "problem": problem}


@pytest.mark.parametrize("command", ["verify", "query", "tail", "stats"])
def test_a_store_that_is_not_there_is_one_line(path: Path, command: str) -> None:
    """Issue 3, Bad input."""
    ran = log(path, command)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)


def test_query_filters_and_prints_the_newest_first(store: SqliteStore, path: Path) -> None:
    """Issue 3, 4: subject, tool, tenant, reason, time."""
    for arguments, expected in (
        (["--subject", "alice"], [9, 7, 5, 3, 1]),
        (["--subject", "alice", "--limit", 2], [9, 7]),
        (["--subject", "alice", "--limit", 2, "--oldest-first"], [1, 3]),
        (["--decision", "deny"], [7]),
        (["--reason", "no_allow"], [7]),
        (["--resource", "document:d4"], [4]),
        (["--tenant", "globex"], []),
        (["--rule", "documents:7", "--since", "2026-01-08", "--until", "2026-01-10"], [9, 8]),
        (["--since", "2026-01-10T12:00:00+02:00"], [10]),
        (["--kind", "act"], []),
        (["--since", "1h"], []),
    ):
        assert numbers(log(path, "query", "--format", "json", *arguments)) == expected, arguments


@pytest.mark.parametrize(
    "arguments", [("--resource", "d4"), ("--since", "yesterday"), ("--since", "999999w"), ("--limit", 0)]
)
def test_what_query_cannot_read_is_wrong_usage(store: SqliteStore, path: Path, arguments: tuple[object, ...]) -> None:
    """Issue 3, Bad input."""
    ran = log(path, "query", *arguments)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)


def test_a_table_has_a_line_for_each_record(store: SqliteStore, path: Path) -> None:
    """Issue 3, 4: table, JSON lines, CSV."""
    lines = log(path, "query", "--limit", 2).out.splitlines()
    assert lines[0].split() == ["seq", "time", "subject", "tenant", "tool", "resource", "decision", "reason"]
    assert lines[1].split()[0::5] == ["10", "document:d10"]
    assert len(lines) == 3


def test_csv_is_not_run_by_a_spreadsheet(store: SqliteStore, path: Path) -> None:
    """Threats 3d-47: what a caller chose as a name is no formula where the log is looked at."""
    evil = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '"quoted", and a comma', "plain"]
    store.log.append([decision(11, tool=name) for name in evil])
    out = log(path, "query", "--format", "csv", "--limit", len(evil), "--oldest-first", "--since", "2026-01-11").out
    tools = [row["tool"] for row in csv.DictReader(io.StringIO(out))]
    assert tools == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\\u{9}=1", '"quoted", and a comma', "plain"]


@pytest.mark.parametrize(
    ("command", "format_"),
    [("query", "table"), ("query", "json"), ("query", "csv"), ("tail", "human"), ("tail", "json"), ("stats", "human")],
)
def test_no_name_moves_the_cursor(store: SqliteStore, path: Path, command: str, format_: str) -> None:
    """Threats 3d-47: a terminal shows control characters instead of obeying them; a record is a line."""
    plain = log(path, command, "--format", format_).out.count("\n")
    store.log.append([decision(11, tool=f"a{CONTROLS}b", subject=CONTROLS)])
    ran = log(path, command, "--format", format_)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", ran.out)
    assert (
        ran.out.count("\n") - plain == {"query": 1, "tail": 0, "stats": 2}[command]
    )  # ten at the end; a tool and a day


def test_a_damaged_record_is_shown_as_one_or_named(store: SqliteStore, path: Path) -> None:
    """Issue 3, Bad input: never a traceback."""
    store.database.connection.execute("UPDATE log_record SET body='no json' WHERE seq=9")
    assert log(path, "tail", "-n", 3).code == 0
    for arguments in (["query", "--subject", "alice"], ["stats"]):
        ran = log(path, *arguments)
        assert (ran.code, ran.err.count("\n")) == (1, 1)
        assert "`authz-eval log verify` names it" in ran.err


def test_stats_count_and_rank(store: SqliteStore, path: Path) -> None:
    """Issue 3, 4: `log stats`."""
    store.log.append(['{"time":"2026-01-10T11:00:00.000000Z","kind":"loss","dropped":12}'])
    answer: dict[str, Any] = json.loads(log(path, "stats", "--format", "json", "--per", "hour").out)
    assert answer["records"] == 11
    assert answer["dropped"] == 12
    assert answer["by_decision"] == {"ALLOW": 9, "DENY": 1}
    assert answer["by_reason"] == {"ALLOWED": 9, "NO_ALLOW": 1}
    assert answer["by_tool"] == {"read_document": 10}
    assert answer["by_tenant"] == {"acme": 10}
    assert answer["by_hour"]["2026-01-10T11"] == 1
    assert answer["latency_us"] == {"p50": 5, "p95": 10, "p99": 10}
    assert "12 more were dropped" in log(path, "stats").out


def test_tail_follows_what_another_process_appends_and_ends_quietly(store: SqliteStore, path: Path) -> None:
    """Issue 3, 4: `log tail -f`; SIGINT is how one ends it."""
    command = [sys.executable, "-m", "authz.cli.eval", "log", "tail", "-f", "-n", "1", "--store", str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("10 ")
        store.log.append([decision(11), decision(12)])
        assert process.stdout.readline().startswith("11 ")
        assert process.stdout.readline().startswith("12 ")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_tail_ends_when_nobody_reads_it_any_more(store: SqliteStore, path: Path) -> None:
    """Issue 3, 4: `log tail -f | head -1` does not stay behind."""
    command = [sys.executable, "-m", "authz.cli.eval", "log", "tail", "-f", "-n", "1", "--store", str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_a_person_is_found_until_erased(store: SqliteStore, path: Path) -> None:
    """Issue 3, 4: erasure of a person by dropping the pseudonym key."""
    name = Pseudonyms(SqlitePseudonymKeys(store.database, store.log)).of("acme", "carol")
    store.log.append([decision(11, subject=name)])
    assert numbers(log(path, "query", "--subject", "carol", "--format", "json")) == [11]
    assert numbers(log(path, "query", "--subject", "carol", "--tenant", "globex", "--format", "json")) == []
    ran = log(path, "erase", "--tenant", "acme", "--subject", "carol", "--author", "olga")
    assert ran == Ran(0, "erased the person\n", "")
    assert numbers(log(path, "query", "--subject", "carol", "--format", "json")) == []
    assert log(path, "erase", "--tenant", "acme", "--subject", "carol").out.startswith("nothing to erase")
    assert "carol" not in log(path, "tail", "--format", "json").out
    assert log(path, "verify").code == 0


def test_old_records_go_and_the_rest_verifies(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    """Issue 3, 4: retention in sealed segments."""
    assert store.log._signer is not None
    SqliteLog(store.database, store.log._signer, 5).append([decision(11)] * 9)
    assert log(path, "witness", "--append", tmp_path / "heads").code == 0
    assert log(path, "retain", "--keep", "1d").out == "retired 0 records\n"
    ran = log(path, "retain", "--keep", "0s", "--archive", tmp_path / "archive", "--author", "olga")
    assert ran == Ran(0, "retired 19 records, archived in 1 segment\n", "")
    assert numbers(log(path, "query", "--format", "json")) == [20]
    assert log(path, "verify").code == 0
    ran = log(path, "verify", "--archive", tmp_path / "archive", "--witness", tmp_path / "heads")
    assert ran == Ran(0, f"{path} verifies: 1 record, 20 to 20, 2 signatures; 1 segment before them\n", "")
    (tmp_path / "archive" / "segment-1-19.jsonl").unlink()
    assert log(path, "verify", "--archive", tmp_path / "archive").code == 7


def test_a_keep_that_is_no_time_retires_nothing(store: SqliteStore, path: Path) -> None:
    """Issue 3, Bad input."""
    for keep in ("", "90", "-1d", "999999w", "d"):
        assert log(path, "retain", "--keep", keep).code == 2
    assert store.log.head().head.seq == 10


def test_a_witness_shows_a_log_that_was_put_back(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    """Issue 3, 4: fork; a backup that was restored has less in it than the witness saw."""
    old = path.read_bytes(), path.with_name("authz.db-wal").read_bytes()
    store.log.append([decision(11)])
    heads = tmp_path / "heads"
    assert log(path, "witness", "--append", heads).out == f"noted the head at record 11: {heads}\n"
    store.close()
    path.write_bytes(old[0])
    path.with_name("authz.db-wal").write_bytes(old[1])
    path.with_name("authz.db-shm").unlink(missing_ok=True)
    ran = log(path, "verify", "--witness", heads)
    assert ran.code == 7
    assert "record 11: it is missing: a witness saw 11 records" in ran.out


@pytest.mark.parametrize(("flag", "name"), [("--decision", "allowed"), ("--reason", "no"), ("--kind", "acts")])
def test_a_name_that_no_record_can_have_is_refused(store: SqliteStore, path: Path, flag: str, name: str) -> None:
    """A misspelt filter that finds nothing would read like an answer."""
    ran = log(path, "query", flag, name)
    assert (ran.code, ran.out) == (2, "")
    assert f"`{name}` is not one of" in ran.err


def test_an_archive_without_segments_is_not_taken_for_a_verified_one(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    """Whoever names the wrong folder must hear of it."""
    (tmp_path / "empty").mkdir()
    ran = log(path, "verify", "--archive", tmp_path / "empty")
    assert (ran.code, ran.out) == (1, "")
    assert "holds no segments" in ran.err
