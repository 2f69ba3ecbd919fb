"""`authz-eval`: deciding, explaining, validating, testing, and how each ends."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from authz.cli.eval import main
from authz.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

ROOT = Path(__file__).parents[2]
POLICY = """\
tool "read" on "document" {
  require scope "docs:read"
  allow "owner" when resource.owner == subject.id then "log" { level: 2 }
}
tool "ping" { allow public }
tool "late" { allow when now < time("2026-01-01T00:00:00Z") }
tool "typed" { allow when args.n == 5 and args.s == "5" and args.b and context.list == ["a"] and client.id == "c" }
"""
TESTS = """\
test "everyone may ping" { as anonymous call "ping" expect allow }
test "strangers may not read" {
  as subject "bob" {} with scopes "docs:read"  call "read" on resource "document" "d" { owner: "alice" }
  expect deny NO_ALLOW
}
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """Return a directory with a small policy and its tests."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "p.authz").write_text(POLICY)
    (folder / "p_test.authz").write_text(TESTS)
    return folder


def _json(ran: Ran) -> dict[str, Any]:
    value = json.loads(ran.out)
    assert isinstance(value, dict)
    return value


ALICE = {
    "subject": "alice",
    "scopes": ["docs:read"],
    "tool": "read",
    "resource": {"type": "document", "id": "d", "attributes": {"owner": "alice"}},
}
BOB = {**ALICE, "subject": "bob"}

# --- check ----------------------------------------------------------------------------------


def test_an_allowed_request_ends_with_0(run: Run, policies: Path) -> None:
    """Style, exit codes; the request is the JSON form of CheckRequest, the answer that of CheckResponse."""
    ran = run("check", policies, "--request", "-", "--format", "json", stdin=json.dumps(ALICE))
    assert (ran.code, ran.err) == (0, "")
    answer = _json(ran)
    assert {key: answer[key] for key in ("decision", "reason", "rules", "obligations")} == {
        "decision": "DECISION_ALLOW",
        "reason": "REASON_ALLOWED",
        "rules": ["p:owner"],
        "obligations": [{"name": "log", "parameters": {"level": 2}}],
    }


def test_a_denied_request_ends_with_3(run: Run, policies: Path) -> None:
    """Style, exit codes."""
    ran = run("check", policies, "--request", "-", stdin=json.dumps(BOB, indent=2))
    assert (ran.code, ran.err) == (3, "")
    assert ran.out.startswith("DENY NO_ALLOW")


def test_a_request_may_come_from_a_file(run: Run, policies: Path, tmp_path: Path) -> None:
    """Issue: check."""
    (tmp_path / "request.json").write_text(json.dumps(ALICE))
    assert run("check", policies, "--request", tmp_path / "request.json").code == 0


def test_a_request_may_come_from_flags(run: Run, policies: Path) -> None:
    """Issue: or flags."""
    common = ("check", policies, "--tool", "read", "--scope", "docs:read", "--attr", "owner=alice", "--subject")
    assert run(*common, "alice", "--resource", "document:d").code == 0
    assert run(*common, "bob", "--resource", "document:d").code == 3
    assert run("check", policies, "--tool", "ping", "--anonymous").code == 0


def test_what_depends_on_an_unknown_part_is_no_permission(run: Run, policies: Path) -> None:
    """Issue 5, build 1; L68: CONDITIONAL is neither allowed nor an error; the exit code is that of a denial."""
    flags = ("check", policies, "--tool", "read", "--scope", "docs:read", "--subject", "alice", "--tenant", "acme")
    ran = run(*flags, "--resource", "document:", "--unknown", "resource", "--unknown", "arguments")
    assert (ran.code, ran.err) == (3, "")
    assert ran.out.startswith("CONDITIONAL: depends on resource\n  rules: p:owner\n")
    ran = run(*flags, "--unknown", "resource", "--format", "json")
    assert (ran.code, _json(ran)["decision"], _json(ran)["reason"]) == (3, "DECISION_CONDITIONAL", "REASON_CONDITIONAL")
    assert run(*flags, "--unknown", "tool").code == 2
    assert run(*flags, "--unknown", "arguments", "--arg", "n=1").code == 2


def test_values_of_flags_are_typed(run: Run, policies: Path) -> None:
    """L32: `5` and `"5"` are different values."""
    flags = ("--tool", "typed", "--subject", "a", "--context", 'list=["a"]', "--client", "c", "--arg", "b=true")
    assert run("check", policies, *flags, "--arg", "n=5", "--arg", 's="5"').code == 0
    assert run("check", policies, *flags, "--arg", 'n="5"', "--arg", 's="5"').code == 3
    assert run("check", policies, *flags, "--arg", "n=5", "--arg", "s=5").code == 3


def test_the_time_of_the_decision_can_be_pinned(run: Run, policies: Path) -> None:
    """L30: a dry run can pin `now`."""
    common = ("check", policies, "--tool", "late", "--subject", "a", "--now")
    assert run(*common, "2025-12-31T23:59:59Z").code == 0
    assert run(*common, "2026-01-01T00:59:59+01:00").code == 0
    assert run(*common, "2026-01-01T00:00:00Z").code == 3
    assert run(*common, "2025-12-31T23:59:59.999999Z").code == 0
    for wrong in ("2025-12-31", "2025-12-31T23:59:59", "2025-12-31T23:59:59.9999999Z", "yesterday", ""):
        ran = run(*common, wrong)
        assert (ran.code, ran.out) == (2, "")
        assert "`--now` must be a time" in ran.err


def test_a_resource_is_of_the_callers_tenant_unless_said_otherwise(run: Run, policies: Path) -> None:
    """L61, step 2."""
    flags = (
        "--tool",
        "read",
        "--subject",
        "alice",
        "--tenant",
        "acme",
        "--scope",
        "docs:read",
        "--attr",
        "owner=alice",
    )
    common = ("check", policies, *flags, "--resource", "document:d")
    assert run(*common).code == 0
    assert "TENANT_MISMATCH" in run(*common, "--resource-tenant", "globex").out
    assert "TENANT_UNKNOWN" in run(*common, "--resource-tenant", "").out


def test_many_requests_are_answered_in_order_one_line_each(run: Run, policies: Path) -> None:
    """Issue: JSON lines."""
    lines = "\n".join(json.dumps(request) for request in (ALICE, BOB, {"tool": "ping", "anonymous": True}))
    ran = run("check", policies, "--request", "-", "--format", "json", stdin=lines)
    assert ran.code == 3
    decisions = [json.loads(line)["decision"] for line in ran.out.splitlines()]
    assert decisions == ["DECISION_ALLOW", "DECISION_DENY", "DECISION_ALLOW"]
    human = run("check", policies, "--request", "-", stdin=lines)
    assert [line.split()[0] for line in human.out.splitlines()] == ["ALLOW", "DENY", "ALLOW"]


def test_a_bad_line_spoils_only_itself(run: Run, policies: Path) -> None:
    """Issue, Bad input: answered in its place, and the exit code is 2."""
    bad = {**ALICE, "resource": {"type": "document", "colour": 1}}
    lines = [json.dumps(ALICE), "{", json.dumps(bad), json.dumps(BOB)]
    ran = run("check", policies, "--request", "-", "--format", "json", stdin="\n".join(lines))
    assert ran.code == 2
    answers = [json.loads(line) for line in ran.out.splitlines()]
    assert [answer.get("decision") for answer in answers] == ["DECISION_ALLOW", None, None, "DECISION_DENY"]
    assert [(a["error"]["line"], a["error"]["field"]) for a in answers[1:3]] == [(2, "request"), (3, "resource.colour")]
    human = run("check", policies, "--request", "-", stdin="\n".join(lines)).out.splitlines()
    assert [line.split(":")[0] for line in human[1:3]] == ["ERROR line 2", "ERROR line 3"]


_BAD_LINES = (
    b"{",
    b"[]",
    b'"' + b"\xff" + b'"',
    b"[" * 10_000,
    b'{"tool": "ping", "tool": "ping"}',
    b'{"tool": "", "anonymous": true}',
    b'{"tool": "ping"}',
    b'{"tool": "ping", "anonymous": true, "arguments": {"n": 1e999}}',
)


@pytest.mark.parametrize("place", ["first", "between", "last", "all"])
@pytest.mark.parametrize("door", ["stdin", "file"])
def test_every_line_has_its_answer_whatever_the_others_are(
    policies: Path, tmp_path: Path, place: str, door: str
) -> None:
    """Issue: the same order, one line each, from a file and from a pipe; blank lines ask nothing."""
    good = b'{"tool": "ping", "anonymous": true}'
    lines = {
        "first": [*_BAD_LINES, good, good],
        "between": [good, *_BAD_LINES, good],
        "last": [good, good, *_BAD_LINES],
        "all": [good, *(line for bad in _BAD_LINES for line in (bad, b"", good))],
    }[place]
    text = b"\r\n".join(lines)
    (tmp_path / "requests.jsonl").write_bytes(text)
    source = "-" if door == "stdin" else str(tmp_path / "requests.jsonl")
    command = [sys.executable, "-m", "authz.cli.eval", "check", str(policies), "--request", source, "--format", "json"]
    ran = subprocess.run(command, input=text if door == "stdin" else b"", cwd=ROOT, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (2, b"")
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    found = [answer["decision"] if "decision" in answer else answer["error"]["line"] for answer in answers]
    asked = [(number, line) for number, line in enumerate(lines, start=1) if line]
    assert found == [number if line != good else "DECISION_ALLOW" for number, line in asked]


def test_lines_that_are_all_allowed_end_with_0(run: Run, policies: Path) -> None:
    """Style, exit codes."""
    assert run("check", policies, "--request", "-", stdin=f"{json.dumps(ALICE)}\n" * 3).code == 0


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ("{", "request: is not valid JSON"),
        ('{"tool": "read"}', "subject: must not be empty"),
        ('{"tool": "t", "subject": "a", "subject": "b"}', "subject"),
        ('{"tool": 5, "subject": "a"}', "tool: "),
        ('{"tool": "t", "subject": "a", "toool": "t"}', "toool"),
        ("[]", "request"),
        ('{"tool": "t", "subject": "\\ud800"}', "subject: is not valid Unicode"),
        ('{"tool": "t", "subject": "a", "token": "x"}', "token: "),
    ],
)
def test_a_malformed_request_ends_with_2_and_names_the_field(
    run: Run, policies: Path, request_: str, problem: str
) -> None:
    """L60; style, exit codes: usage, also a malformed request."""
    ran = run("check", policies, "--request", "-", stdin=request_)
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err
    assert ran.err.count("\n") == 1


def test_a_request_for_another_revision_is_not_answered(run: Run, policies: Path) -> None:
    """Architecture: min_policy_revision must not be ignored."""
    ran = run("check", policies, "--request", "-", stdin=json.dumps({**ALICE, "min_policy_revision": "0" * 64}))
    assert (ran.code, ran.out) == (2, "")
    assert "min_policy_revision: is not the revision of this policy" in ran.err


def test_a_request_may_ask_for_its_explanation(run: Run, policies: Path) -> None:
    """Architecture: `explain` in the request."""
    ran = run("check", policies, "--request", "-", "--format", "json", stdin=json.dumps({**BOB, "explain": True}))
    assert "explanation" in _json(ran)


@pytest.mark.parametrize("format_", ["human", "json"])
def test_a_broken_policy_prints_every_diagnostic_and_ends_with_4(run: Run, tmp_path: Path, format_: str) -> None:
    """Issue, Bad input: refused with diagnostics; nothing is answered."""
    (tmp_path / "p.authz").write_text('tool "t" { allow role "nobody" }\nlet a = b\nrole "r" extends "s"\n')
    ran = run("check", tmp_path, "--tool", "t", "--subject", "a", "--format", format_)
    assert (ran.code, ran.out) == (4, "")
    if format_ == "json":
        answer = json.loads(ran.err)
        assert answer["valid"] is False
        assert {finding["line"] for finding in answer["diagnostics"]} >= {2, 3}
    else:
        assert f"--> {tmp_path}/p.authz:2:9" in ran.err
        assert f"--> {tmp_path}/p.authz:3:18" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("check",), 2, "give either POLICIES or `--server`"),
        (("check", "p", "--server", "h:1", "--tool", "t"), 2, "give either POLICIES or `--server`"),
        (("check", "p"), 2, "give a request with `--request`, or `--tool`"),
        (("check", "p", "--request", "-", "--tool", "t"), 2, "`--request` and `--tool` cannot be given together"),
        (("check", "p", "--lines", "--tool", "t"), 2, "`--lines` needs `--request`"),
        (("check", "--server", "h:1", "--tool", "t", "--now", "2026-01-01T00:00:00Z"), 2, "`--now` cannot be sent"),
        (("check", "/nope", "--tool", "t", "--subject", "a"), 1, "`/nope` does not exist"),
        (("check", "p", "--colour"), 2, "no such option"),
        (("check", "p", "--format", "yaml"), 2, "`yaml` is not one of `human`, `json`"),
        (("chekc",), 2, "no such command `chekc`"),
        ((), 2, "missing command"),
        (("explain",), 2, "missing argument"),
        (("test", "/nope"), 1, "`/nope` does not exist"),
        (("test", "p", "--fail-under", "101"), 2, "101"),
        (("validate", "/nope"), 1, "`/nope` does not exist"),
        (("lock", "/nope"), 1, "`/nope` does not exist"),
        (("completion", "tcsh"), 2, "`tcsh` is not one of"),
    ],
)
def test_wrong_usage_is_one_clear_line(run: Run, arguments: tuple[str, ...], code: int, problem: str) -> None:
    """Issue, Bad input: a missing file, an unknown flag: one clear line and its exit code."""
    ran = run(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")
    assert problem in ran.err
    assert ran.err.count("\n") == 1


def test_a_missing_request_file_is_one_clear_line(run: Run, policies: Path) -> None:
    """Issue, Bad input."""
    ran = run("check", policies, "--request", "/nope")
    assert (ran.code, ran.out, ran.err) == (1, "", "error: `/nope` cannot be read: no such file or directory\n")


def test_no_server_is_one_clear_line(run: Run) -> None:
    """Issue, Bad input: UNAVAILABLE ends with 1. Nothing listens at port 1."""
    ran = run("check", "--server", "127.0.0.1:1", "--tool", "t", "--subject", "a")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: no answer from `127.0.0.1:1`")
    assert ran.err.count("\n") == 1


# --- explain --------------------------------------------------------------------------------


def test_explain_shows_conditions_values_and_the_nearest_miss(run: Run, policies: Path) -> None:
    """Issue: explain."""
    ran = run("explain", policies, "--request", "-", stdin=json.dumps(BOB))
    assert ran.code == 3
    for part in ("DENY NO_ALLOW", "p:owner", "resource.owner == subject.id", '"alice"', '"bob"', "p.authz:3:3"):
        assert part in ran.out
    missing = run("explain", policies, "--request", "-", stdin=json.dumps({**ALICE, "scopes": []}))
    assert "nearest miss: " in missing.out
    assert "docs:read" in missing.out


def test_explain_as_json_is_the_response_with_its_explanation(run: Run, policies: Path) -> None:
    """Architecture: one shape of an answer everywhere."""
    answer = _json(run("explain", policies, "--request", "-", "--format", "json", stdin=json.dumps(BOB)))
    assert answer["decision"] == "DECISION_DENY"
    assert {rule["name"] for rule in answer["explanation"]["rules"]} == {"p:2", "p:owner"}


def test_explain_takes_one_request(run: Run, policies: Path) -> None:
    """Issue: explain says how one decision came about."""
    ran = run("explain", policies, "--request", "-", stdin=f"{json.dumps(ALICE)}\n" * 2)
    assert (ran.code, ran.out) == (2, "")


# --- validate, lint, lock -------------------------------------------------------------------


def test_a_valid_policy_says_what_it_holds(run: Run, policies: Path) -> None:
    """Issue: validate."""
    ran = run("validate", policies)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{policies} is valid: 1 file, 5 rules, revision ")
    answer = _json(run("validate", policies, "--format", "json"))
    assert (answer["valid"], answer["files"], answer["rules"]) == (True, [f"{policies}/p.authz"], 5)
    assert len(answer["revision"]) == 64


def test_the_errors_of_a_policy_are_the_answer_of_validate(run: Run, tmp_path: Path) -> None:
    """Style: the answer goes to stdout; L5: all of them, in order."""
    (tmp_path / "p.authz").write_text('let a = 1 == "1"\ntool {\n')
    ran = run("validate", tmp_path)
    assert ran.code == 4
    assert ran.out.index(f"--> {tmp_path}/p.authz:1:9") < ran.out.index(f"--> {tmp_path}/p.authz:2:6")
    answer = _json(run("validate", tmp_path, "--format", "json"))
    assert answer["valid"] is False
    assert [(finding["line"], finding["column"]) for finding in answer["diagnostics"]][:2] == [(1, 9), (2, 6)]


def test_one_file_is_a_policy_too(run: Run, policies: Path) -> None:
    """L1: a path may also name one file; its tests are in its twin."""
    assert run("validate", policies / "p.authz").code == 0
    assert run("test", policies / "p.authz").code == 0
    assert run("check", policies / "p.authz", "--tool", "ping", "--anonymous").code == 0


def test_lint_warns_and_ends_with_7(run: Run, tmp_path: Path) -> None:
    """L10: a used scope that is not declared; style, exit codes."""
    (tmp_path / "p.authz").write_text('tool "t" { require scope "s"  allow anyone }\n')
    ran = run("lint", tmp_path)
    assert ran.code == 7
    assert ran.out.startswith("warning[")
    assert _json(run("lint", tmp_path, "--format", "json"))["diagnostics"][0]["severity"] == "warning"
    (tmp_path / "p.authz").write_text('scope "s"\ntool "t" { require scope "s"  allow anyone }\n')
    assert run("lint", tmp_path) == (0, "", "")


def test_a_locked_policy_that_changed_answers_nothing(run: Run, policies: Path) -> None:
    """L7."""
    assert run("lock", policies) == (0, f"{policies}/authz.sum: 1 file\n", "")
    assert run("check", policies, "--tool", "ping", "--anonymous").code == 0
    (policies / "p.authz").write_text(POLICY + "\n")
    ran = run("check", policies, "--tool", "ping", "--anonymous")
    assert (ran.code, ran.out) == (4, "")
    assert "error[manifest-mismatch]: `p.authz` has changed" in ran.err
    assert run("lock", policies).code == 0
    assert run("check", policies, "--tool", "ping", "--anonymous").code == 0


# --- test -----------------------------------------------------------------------------------


def test_tests_that_pass_end_with_0(run: Run, policies: Path) -> None:
    """L80, S76."""
    ran = run("test", policies)
    assert (ran.code, ran.err) == (0, "")
    assert "everyone may ping" in ran.out
    assert "2 passed" in ran.out


def test_a_test_that_fails_ends_with_5_and_shows_why(run: Run, policies: Path) -> None:
    """S76; issue 2: expected, actual and the trace."""
    (policies / "p_test.authz").write_text(TESTS.replace("deny NO_ALLOW", "allow"))
    ran = run("test", policies)
    assert ran.code == 5
    for part in ("1 failed", "1 passed", "strangers may not read", "resource.owner == subject.id"):
        assert part in ran.out


def test_tests_can_be_chosen(run: Run, policies: Path) -> None:
    """Issue: --filter; nothing chosen proves nothing."""
    ran = run("test", policies, "--filter", "ping")
    assert ran.code == 0
    assert "1 passed" in ran.out
    assert run("test", policies, "--filter", "no such test").code == 5


def test_tests_report_as_json_and_junit(run: Run, policies: Path) -> None:
    """Issue: JSON and JUnit output."""
    assert _json(run("test", policies, "--format", "json", "--coverage"))["coverage"]
    ran = run("test", policies, "--format", "junit", "--coverage")
    assert ran.code == 0
    assert ran.out.startswith("<testsuites ")
    assert ran.out.endswith("</testsuites>\n")
    assert "p:owner" in ran.err


def test_coverage_names_what_no_test_reaches(run: Run, policies: Path) -> None:
    """Issue: --coverage prints uncovered ones with their place, --fail-under N."""
    ran = run("test", policies, "--coverage")
    assert ran.code == 0
    assert f"{policies}/p.authz:6" in ran.out
    assert run("test", policies, "--fail-under", "100").code == 6
    assert run("test", policies, "--fail-under", "1").code == 0


def test_broken_tests_are_reported_like_a_broken_policy(run: Run, policies: Path) -> None:
    """L5, L80."""
    (policies / "p_test.authz").write_text('test "x" { as nobody call "ping" expect allow }')
    ran = run("test", policies)
    assert (ran.code, ran.out) == (4, "")
    assert f"--> {policies}/p_test.authz:1:15" in ran.err


# --- The program ----------------------------------------------------------------------------


def test_every_command_has_one_line_and_an_example() -> None:
    """Style, Command line."""
    for name, command in main.commands.items():
        example = getattr(command, "example", "")
        assert example.startswith(("authz-eval ", "eval ")), name
        summary = command.get_short_help_str(limit=200)
        assert summary.endswith("."), name
        assert len(summary) <= 60, name


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_example_works_as_pasted(run: Run, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Style, Command line: run in a copy of the project's policies."""
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(getattr(main.commands[name], "example", ""))
    if program == "eval":  # of what the command prints
        (inner,) = arguments
        program, *arguments = inner.removeprefix("$(").removesuffix(")").split()
    assert program == "authz-eval"
    ran = run(*arguments)
    assert ran.err == "" or ran.code == ExitCode.DIFFERENCE
    assert ran.code in {ExitCode.OK, ExitCode.DENIED, ExitCode.DIFFERENCE}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(run: Run, shell: str) -> None:
    """Issue: completion for bash, zsh and fish."""
    ran = run("completion", shell)
    assert (ran.code, ran.err) == (0, "")
    assert f"_AUTHZ_EVAL_COMPLETE={shell}_complete" in ran.out


@pytest.mark.parametrize(
    ("words", "index", "found"), [("authz-eval v", 1, "plain,validate"), ("authz-eval check --te", 2, "plain,--tenant")]
)
def test_completion_knows_commands_and_options(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: str, index: int, found: str
) -> None:
    """Issue: completion; this is what the scripts call."""
    monkeypatch.setenv("_AUTHZ_EVAL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(index))
    ran = run()
    assert (ran.code, ran.out) == (0, f"{found}\n")


def test_the_policy_is_answered_without_grpc_and_other_heavy_modules(policies: Path) -> None:
    """Architecture: `authz-eval` starts without grpc, jwt or sqlite_utils; issue: within 150 ms."""
    code = (
        "import sys\n"
        "from authz.cli.eval import main\n"
        "try:\n"
        f"    main(['check', {str(policies)!r}, '--tool', 'ping', '--anonymous'])\n"
        "finally:\n"
        "    print(*sys.modules, file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0
    loaded = {name.split(".")[0] for name in ran.stderr.split()}
    heavy = {"grpc", "google", "sqlite3", "sqlite_utils", "jwt", "structlog", "lark"}
    heavy |= {"asyncio", "concurrent", "email", "http", "logging", "tempfile", "unittest"}
    assert loaded & heavy == set()
    assert "authz.pdp.program" in ran.stderr.split()


def test_output_that_the_terminal_cannot_show_is_escaped(policies: Path) -> None:
    """Style: never a traceback for a character."""
    (policies / "p.authz").write_text('tool "t" { deny because "é東" }', encoding="utf-8")
    env = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "authz.cli.eval", "check", str(policies), "--tool", "t", "--subject", "a"]
    ran = subprocess.run(command, env=env, capture_output=True, check=False)
    assert ran.returncode == 3
    assert b"\xe9\\u6771" in ran.stdout
