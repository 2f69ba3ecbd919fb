"""`authz-eval replay` (issue 3, Build 5)."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from authz.audit.records import NOTHING_MORE
from authz.cli.progress import progress
from authz.model import Act
from authz.pap.decoding import ReadFile
from authz.pap.versions import activate, put
from authz.stores.sqlite.store import open_store
from tests.pap.records import loaded, record
from tests.pap.test_replay import EDITORS, asked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

EDITORS_TEXT = 'tool "t" {\n  allow "e" role "editor"\n}\n'
EVERYBODY_TEXT = 'tool "t" {\n  allow "all" anyone\n}\n'
NOBODY_TEXT = 'tool "t" {}\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log of twelve decisions, a third of them ALLOW, with their requests."""
    path = tmp_path / "log.jsonl"
    lines = [record(EDITORS.program, request, seq) for seq, request in enumerate(asked(12), 1)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def policy(tmp_path: Path) -> Callable[[str], Path]:
    """Return what writes a policy file."""

    def write(text: str) -> Path:
        path = tmp_path / "p.authz"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def stored(tmp_path: Path, log: Path) -> Path:
    """Return a store with that log and two versions, of which the second, for everybody, is active."""
    path = tmp_path / "authz.db"
    with contextlib.closing(open_store(path, create=True)) as store:
        act = Act("ann", "cli")
        for number, text in enumerate((EDITORS_TEXT, EVERYBODY_TEXT), 1):
            put(store.policies, [ReadFile("p.authz", "p.authz", text.encode())], act)
            activate(store.policies, number, act)
        bodies = [f"{{{line.split(',', 1)[1]}" for line in log.read_text().splitlines()]
        store.log.append(bodies)
    return path


def test_equal_answers_are_counted(run: Run, log: Path, policy: Callable[[str], Path]) -> None:
    """Issue 3: also says how many came out equal."""
    ran = run("replay", "--log", log, "--policies", policy(EDITORS_TEXT), "--fail-on", "any")
    assert ran == (0, "12 records decided again: 12 equal, 0 changed\n", "")


def test_changes_are_listed_by_rule_and_tenant(run: Run, log: Path, policy: Callable[[str], Path]) -> None:
    """Issue 3: counts and first examples, DENY→ALLOW first."""
    text = 'tool "t" {\n  allow "all" anyone\n  deny "no" role "editor"\n}\n'
    ran = run("replay", "--log", log, "--policies", policy(text))
    assert ran.code == 0
    assert ran.out.split("\n\n")[0].splitlines() == [
        "DENY -> ALLOW  4 records, tenant tenant1",
        "  was: DENY NO_ALLOW",
        "  now: ALLOW ALLOWED by p:all",
        "  lines: 2 d2, 6 d6, 8 d8, …",
    ]
    assert ran.out.index("DENY -> ALLOW") < ran.out.index("ALLOW -> DENY")
    assert ran.out.endswith("12 records decided again: 0 equal, 12 changed, 8 of them wider\n")


@pytest.mark.parametrize(
    ("text", "fail_on", "code"),
    [
        (EDITORS_TEXT, "any", 0),
        (EVERYBODY_TEXT, None, 0),
        (EVERYBODY_TEXT, "widening", 7),
        (EVERYBODY_TEXT, "any", 7),
        (NOBODY_TEXT, "widening", 0),
        (NOBODY_TEXT, "any", 7),
    ],
)
def test_fail_on_says_which_change_is_a_failure(
    run: Run, log: Path, policy: Callable[[str], Path], text: str, fail_on: str | None, code: int
) -> None:
    """Issue 3: `--fail-on widening|any` for CI (exit 7); without it a change is no failure."""
    options = ("--fail-on", fail_on) if fail_on else ()
    assert run("replay", "--log", log, "--policies", policy(text), *options).code == code


def test_json_holds_the_same(run: Run, log: Path, policy: Callable[[str], Path]) -> None:
    """Style: `--format human|json`."""
    ran = run("replay", "--log", log, "--policies", policy(EVERYBODY_TEXT), "--format", "json", "--tenant", "tenant1")
    answer = json.loads(ran.out)
    (group,) = answer.pop("groups")
    assert group == {
        "change": "NOW_ALLOWED",
        "widening": True,
        "tenant": "tenant1",
        "count": 4,
        "before": {"effect": "DENY", "reason": "NO_ALLOW", "rules": [], "obligations": []},
        "after": {"effect": "ALLOW", "reason": "ALLOWED", "rules": ["p:all"], "obligations": []},
        "examples": [{"line": n, "seq": n, "decision_id": f"d{n}"} for n in (2, 6, 8)],
    }
    assert answer == {
        "policy_revision": loaded({"p.authz": EVERYBODY_TEXT}).program.revision,
        "decided": 6,
        "equal": 2,
        "changed": 4,
        "wider": 4,
        "not_recorded_in_full": 0,
        "malformed": 0,
        "ungrouped": 0,
        "problems": [],
    }


def test_a_log_may_come_on_stdin(run: Run, log: Path, policy: Callable[[str], Path]) -> None:
    """Style: `-` is stdin."""
    arguments = ("replay", "--log", "-", "--policies", policy(EVERYBODY_TEXT), "--limit", "5")
    ran = run(*arguments, stdin=log.read_bytes())
    assert ran.out.endswith("5 records decided again: 2 equal, 3 changed, 3 of them wider\n")


def test_since_and_until_are_times_with_an_offset(run: Run, log: Path, policy: Callable[[str], Path]) -> None:
    """Issue 3: by time; a time without an offset would mean another one elsewhere."""
    arguments = ("replay", "--log", log, "--policies", policy(EDITORS_TEXT))
    ran = run(*arguments, "--since", "2026-01-01T00:00:03Z", "--until", "2026-01-01T01:00:05+01:00")
    assert ran.out == "2 records decided again: 2 equal, 0 changed\n"
    assert run(*arguments, "--since", "2026-01-01T00:00:03").code == 2
    assert run(*arguments, "--until", "soon").code == 2


# --- A store --------------------------------------------------------------------------------


def test_a_store_s_log_is_replayed_by_its_versions(run: Run, stored: Path) -> None:
    """Issue 3: `--log STORE`, `--version N`; a replay before an activation changes nothing in the store."""
    before = stored.read_bytes()
    equal = run("replay", "--log", stored, "--version", "1")
    assert equal == (0, "12 records decided again: 12 equal, 0 changed\n", "")
    active = run("replay", "--log", stored, "--version", "active", "--fail-on", "widening")
    assert active.code == 7
    assert "  records: 5 (seq" not in active.out
    assert "8 changed, 8 of them wider" in active.out
    assert stored.read_bytes() == before


def test_versions_of_a_store_judge_a_log_in_a_file(run: Run, stored: Path, log: Path) -> None:
    """Issue 3: the log of one deployment, the policy of another."""
    ran = run("replay", "--log", log, "--version", "2", "--store", stored, "--fail-on", "any")
    assert ran.code == 7


@pytest.mark.parametrize(
    ("version", "code", "problem"),
    [
        ("9", 1, "9"),
        ("9" * 5_000, 1, "version"),
        ("newest", 2, "`--version` must be a number or `active`"),
    ],
)
def test_a_version_that_is_not_there_is_one_clear_line(
    run: Run, stored: Path, version: str, code: int, problem: str
) -> None:
    """Issue 3, Bad input."""
    ran = run("replay", "--log", stored, "--version", version)
    assert (ran.code, ran.out) == (code, "")
    assert problem in ran.err
    assert ran.err.count("\n") == 1


def test_a_damaged_store_is_one_clear_line(run: Run, stored: Path, policy: Callable[[str], Path]) -> None:
    """Issue 3: a corrupt file is a clear refusal."""
    data = stored.read_bytes()
    stored.write_bytes(data[:100] + b"\xff" * 4_000 + data[4_100:])
    ran = run("replay", "--log", stored, "--policies", policy(EDITORS_TEXT))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1


# --- Bad input ------------------------------------------------------------------------------


def test_bad_lines_are_named_and_a_gate_does_not_pass_over_them(
    run: Run, log: Path, policy: Callable[[str], Path]
) -> None:
    """Issue 3, Bad input: named on stderr, counted; with `--fail-on` what was not read is no success."""
    with log.open("ab") as file:
        file.write(b'\n{"kind":"decision","request":5}\n\xff\x1b[31m\n')
    arguments = ("replay", "--log", log, "--policies", policy(EDITORS_TEXT))
    ran = run(*arguments)
    assert (ran.code, ran.out) == (0, "12 records decided again: 12 equal, 0 changed\n")
    assert ran.err.splitlines() == [
        "error: line 14: request: must be an object",
        "error: line 15: record: is not valid UTF-8 at byte 1",
        "error: 2 lines could not be read and were passed over",
    ]
    assert run(*arguments, "--fail-on", "widening").code == 1


def test_a_gate_over_nothing_is_no_success(run: Run, tmp_path: Path, policy: Callable[[str], Path]) -> None:
    """Issue 3: a full request is recorded only when asked for; a check that checked nothing must not pass."""
    path = tmp_path / "short.jsonl"
    path.write_text(record(EDITORS.program, asked(1)[0], contents=NOTHING_MORE))
    arguments = ("replay", "--log", path, "--policies", policy(EVERYBODY_TEXT))
    ran = run(*arguments)
    assert ran == (0, "0 records decided again: 0 equal, 0 changed\n1 decision not recorded in full\n", "")
    ran = run(*arguments, "--fail-on", "any")
    assert (ran.code, ran.err) == (1, "error: no record holds its request in full, so nothing was decided again\n")


def test_what_a_log_says_cannot_move_the_cursor(run: Run, tmp_path: Path, policy: Callable[[str], Path]) -> None:
    """Threats 3d-47: a log may hold anything."""
    evil = json.loads(record(EDITORS.program, asked(2)[1])) | {
        "tenant": "a\x1b[2J",
        "decision_id": "\u202e",
        "reason": "\n",
        "rules": ["\r"],
    }
    path = tmp_path / "evil.jsonl"
    path.write_text(json.dumps(evil))
    for format_ in ("human", "json"):
        ran = run("replay", "--log", path, "--policies", policy(EVERYBODY_TEXT), "--format", format_)
        assert ran.code == 0
        assert ran.out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("options", "code", "problem"),
    [
        (("--log", "/nope", "--policies", "P"), 1, "`/nope` cannot be read"),
        (("--log", "/", "--policies", "P"), 1, "`/` cannot be read"),
        (("--log", "LOG", "--policies", "/nope"), 1, "`/nope` does not exist"),
        (("--log", "LOG"), 2, "give either `--policies` or `--version`"),
        (("--log", "LOG", "--policies", "P", "--version", "1"), 2, "give either `--policies` or `--version`"),
        (("--log", "LOG", "--version", "1"), 2, "`--store`"),
        (("--policies", "P"), 2, "missing option"),
        (("--log", "LOG", "--policies", "P", "--jobs", "0"), 2, "--jobs"),
    ],
)
def test_wrong_usage_is_one_clear_line(
    run: Run, log: Path, policy: Callable[[str], Path], options: tuple[str, ...], code: int, problem: str
) -> None:
    """Issue 3, Bad input; no version is looked for without a store to look in."""
    names = {"LOG": str(log), "P": str(policy(EDITORS_TEXT))}
    ran = run("replay", *(names.get(option, option) for option in options))
    assert (ran.code, ran.out) == (code, "")
    assert problem in ran.err
    assert ran.err.count("\n") == 1


def test_an_invalid_policy_ends_with_its_errors(run: Run, log: Path, policy: Callable[[str], Path]) -> None:
    """Style, exit codes: 4."""
    ran = run("replay", "--log", log, "--policies", policy("tool {"))
    assert (ran.code, ran.out) == (4, "")


def test_the_command_shares_the_work_between_processes(tmp_path: Path, policy: Callable[[str], Path]) -> None:
    """Issue 3: several processes, from the installed command; same output whatever the number of jobs."""
    lines = [record(EDITORS.program, request, seq) for seq, request in enumerate(asked(2_100), 1)]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines))
    command = [sys.executable, "-m", "authz.cli.eval", "replay", "--log", str(path)]
    command += ["--policies", str(policy(EVERYBODY_TEXT))]
    outputs = [
        subprocess.run([*command, "--jobs", str(jobs)], capture_output=True, text=True, timeout=120, check=True)
        for jobs in (1, 2)
    ]
    assert outputs[0].stdout == outputs[1].stdout
    assert [ran.stderr for ran in outputs] == ["", ""]
    assert "2100 records decided again" in outputs[0].stdout


def test_progress_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 3: a progress bar; wiped at the end."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as patch:
            patch.setattr("authz.cli.progress.PATIENCE", -1.0)
            patch.setattr("authz.cli.progress.sys.stderr", terminal)
            with progress("records", lambda: 0.5) as step:
                step(500)
        shown = b""
        with contextlib.suppress(OSError):  # what a terminal says that nobody writes to any more
            while data := screen.read(1_000):
                shown += data
    assert b"[" + b"#" * 15 + b" " * 15 + b"]  50%  500 records" in shown
    assert shown.endswith(b"\r\x1b[K")
