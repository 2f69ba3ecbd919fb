"""`authz-eval check --server`: a running `authz-server` gives the answers that the policy gives by itself."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

ROOT: Final = Path(__file__).parents[2]
POLICY: Final = """\
tool "read" on "document" {
  require scope "docs:read"
  allow "owner" when resource.owner == subject.id then "log" { level: 2 }
  deny "secret" when resource.secret because "Secrets stay where they are"
}
tool "ping" { allow public }
"""
READ: Final = {
    "subject": "alice",
    "scopes": ["docs:read"],
    "tool": "read",
    "resource": {"type": "document", "id": "d", "attributes": {"owner": "alice", "secret": False}},
}
SECRET: Final = {**READ, "resource": {"type": "document", "attributes": {"owner": "alice", "secret": True}}}
REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "allowed": READ,
    "nobody in particular": {"tool": "ping", "anonymous": True},
    "no allow": {**READ, "subject": "bob"},
    "insufficient scope": {**READ, "scopes": []},
    "explicit deny": SECRET,
    "indeterminate": {**READ, "resource": {"type": "document", "attributes": {"owner": "alice"}}},
    "unknown tool": {**READ, "tool": "write"},
    "explained": {**READ, "explain": True},
    "malformed": {**READ, "scopes": ["a\n"]},
}


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a small policy."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "p.authz").write_text(POLICY)
    return folder


@pytest.fixture(scope="module")
def address(policies: Path) -> Iterator[str]:
    """Start `authz-server` on a port of its own choice; return where it listens."""
    command = [sys.executable, "-m", "authz.cli.server", "--policies", str(policies), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--log-format", "json"], cwd=ROOT, stderr=subprocess.PIPE, encoding="utf-8"
    ) as server:
        assert server.stderr is not None
        records = (json.loads(line) for line in server.stderr)
        listening = next(record["address"] for record in records if record["event"] == "listening")
        rest = threading.Thread(target=server.stderr.read)  # a full pipe would stop the server
        rest.start()
        yield listening
        server.terminate()
        assert server.wait(60) == 0
        rest.join(60)


@pytest.mark.parametrize("format_", ["human", "json"])
@pytest.mark.parametrize("name", REQUESTS)
def test_a_server_is_answered_by_as_the_policy_itself(
    run: Run, policies: Path, address: str, name: str, format_: str
) -> None:
    """Issue: `--server` asks a running server instead of evaluating; answer and exit code are the same."""
    request = ("--request", "-", "--format", format_)
    asked = run("check", "--server", address, *request, stdin=json.dumps(REQUESTS[name]))
    assert asked == run("check", policies, *request, stdin=json.dumps(REQUESTS[name]))


def test_flags_make_a_request_to_a_server_too(run: Run, address: str) -> None:
    """Issue: check, flags."""
    flags = ("--subject", "alice", "--scope", "docs:read", "--tool", "read", "--resource", "document:d")
    ran = run("check", "--server", address, *flags, "--attr", "owner=alice", "--attr", "secret=false")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("ALLOW ALLOWED: allowed by p:owner\n  rules: p:owner\n")


@pytest.mark.parametrize("format_", ["human", "json"])
def test_many_requests_get_the_same_lines_from_a_server(run: Run, policies: Path, address: str, format_: str) -> None:
    """Issue: answers in the same order, one line each; a bad line spoils only itself."""
    names = ("no allow", "allowed", "malformed", "explicit deny", "unknown tool", "allowed")
    lines = "\n".join([*(json.dumps(REQUESTS[name]) for name in names), "{", json.dumps(READ)])
    request = ("--request", "-", "--format", format_)
    asked = run("check", "--server", address, *request, stdin=lines)
    assert asked.code == 2
    assert len(asked.out.splitlines()) == len(names) + 2
    assert asked == run("check", policies, *request, stdin=lines)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({**READ, "min_policy_revision": "0" * 64}, "min_policy_revision"),
        ({**READ, "arguments": {"text": "東" * 2_000_000}}, "request"),
    ],
    ids=["another revision", "more bytes than a message may have"],
)
def test_what_a_server_will_not_take_spoils_only_its_line(
    run: Run, address: str, request_: dict[str, Any], field: str
) -> None:
    """Issue, Bad input: one bad item in a JSON-lines file spoils only itself."""
    lines = "\n".join(json.dumps(request, ensure_ascii=False) for request in (READ, request_, READ))
    ran = run("check", "--server", address, "--request", "-", "--format", "json", stdin=lines)
    assert (ran.code, ran.err) == (2, "")
    before, spoilt, after = (json.loads(line) for line in ran.out.splitlines())
    assert before == after
    assert (spoilt["error"]["line"], spoilt["error"]["field"]) == (2, field)
