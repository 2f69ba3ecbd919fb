"""`authz-eval policy`: the same commands, the same answers, whether a store is used directly or a server is asked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from authz.cli.exit_codes import ExitCode
from authz.cli.policy import told
from authz.cli.policy_doors import is_local
from authz.cli.policy_remote import ServerDoor, ServerPolicyError
from authz.model import Act
from authz.pap.history import NewVersion, PolicyText
from authz.stores.sqlite.store import open_store
from tests.pap.versions_support import policy
from tests.server.policy_support import TOKEN, serving_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

EVAL = (sys.executable, "-m", "authz.cli.eval")


@dataclass
class Door:
    """`authz-eval policy` through one of its doors."""

    run: Run
    where: tuple[str, ...]
    store: Path
    folder: Path

    def __call__(self, command: str, *arguments: object) -> Ran:
        """Run a command."""
        return self.run("policy", command, *arguments, *self.where)

    def json(self, command: str, *arguments: object) -> Any:  # noqa: ANN401  # what the command prints
        """Run a command that works, and return what it prints."""
        ran = self(command, *arguments, "--format", "json")
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    def write(self, tool: str, *, passing: bool | None = True) -> Path:
        """Write a policy that allows one tool, and return its folder."""
        folder = self.folder / f"{tool}-{passing}"
        folder.mkdir(exist_ok=True)
        for file in policy(tool, passing=passing):
            (folder / file.name).write_bytes(file.data)
        return folder

    def acts(self) -> list[dict[str, Any]]:
        """Return what the decision log says was done."""
        with contextlib.closing(open_store(self.store, readonly=True)) as store:
            return [json.loads(link.text) for link in store.log.links()]


@pytest.fixture(params=["store", "server"])
def door(request: pytest.FixtureRequest, run: Run, tmp_path: Path) -> Iterator[Door]:
    """Return each of the two doors to a store that is empty."""
    path = tmp_path / "authz.db"
    if request.param == "store":
        yield Door(run, ("--store", str(path)), path, tmp_path)
        return
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    with serving_in_thread(path, token=TOKEN.encode()) as running:
        yield Door(run, ("--server", running.address, "--token-file", str(token)), path, tmp_path)


def test_a_policy_is_put_and_activated(door: Door) -> None:
    """Issue 3: from a directory to what decides."""
    answer = door.json("put", door.write("one"), "--activate", "--author", "alice", "--note", "first")
    version, activation = answer["version"], answer["activation"]
    assert (version["number"], version["author"], version["note"]) == (1, "alice", "first")
    assert (version["tests_passed"], version["tests_failed"]) == (1, 0)
    assert (activation["version"], activation["kind"]) == (1, "activate")
    assert activation["revision"] == version["revision"]
    assert [(act["act"], act["author"], act["note"]) for act in door.acts()] == [
        ("policy.put", "alice", "first"),
        ("policy.activate", "alice", "first"),
    ]


def test_the_versions_are_listed_with_the_active_one(door: Door) -> None:
    """Issue 3: the newest first."""
    for tool in ("one", "two"):
        door.json("put", door.write(tool), "--author", "alice", "--note", f"about {tool}\x1b[2J")
    door.json("activate", 1)
    listed = door.json("list")
    assert [version["number"] for version in listed["versions"]] == [2, 1]
    assert listed["active"]["version"] == 1
    heads, two, one = door("list").out.splitlines()
    assert heads.split() == ["VERSION", "REVISION", "TIME", "AUTHOR", "TESTS", "NOTE"]
    assert two.split()[0] == "2"
    assert one.split()[:2] == ["*", "1"]
    assert "about one" in one
    assert "\x1b" not in one


def test_a_version_is_shown_with_its_files(door: Door, tmp_path: Path) -> None:
    """Issue 3: a version is canonical text, and can be taken out again."""
    put = door.json("put", door.write("one"), "--activate")
    shown = door.json("show", "active", "--files")
    assert shown["version"] == put["version"]
    assert [file["name"] for file in shown["files"]] == ["main.authz", "main_test.authz"]
    human = door("show", 1, "--files").out
    assert "# main_test.authz" in human
    assert '  allow "all" public\n' in human
    out = tmp_path / "out"
    assert door("show", "--output", out).code == 0
    assert {path.name: path.read_text() for path in out.iterdir()} == {f["name"]: f["text"] for f in shown["files"]}
    assert door.json("put", out)["version"]["number"] == 1
    again = door("show", "--output", out)
    assert (again.code, again.err) == (1, f"error: `{out}` is not empty: name a new folder\n")


def test_a_rollback_brings_back_the_version_before(door: Door) -> None:
    """Issue 3: a policy is taken back with one command."""
    for tool in ("one", "two", "three"):
        door.json("put", door.write(tool), "--activate")
    back = door.json("rollback", "--note", "three is bad")
    assert (back["version"], back["kind"], back["note"]) == (2, "rollback", "three is bad")
    assert "rolled back to version 1 by" in door("rollback", "1").out
    assert [act["act"] for act in door.acts()][-2:] == ["policy.rollback", "policy.rollback"]
    none = door("rollback")
    assert none.code == 1
    assert none.err.startswith("error: no version older than 1 has been active")


def test_a_bad_policy_is_refused_with_its_place(door: Door) -> None:
    """Issue 3: exit code 4, every error, and nothing kept."""
    folder = door.write("one")
    (folder / "main.authz").write_text('tool "one" { allow wenn }\ntool {')
    refused = door("put", folder, "--activate")
    assert refused.code == 4
    assert not refused.out
    assert f"{folder}/main.authz:1:" in refused.err
    assert "error[syntax]" in refused.err
    if door.store.exists():
        assert not door.json("list")["versions"]


def test_a_version_whose_tests_fail_is_kept_and_not_activated(door: Door) -> None:
    """Issue 3: exit code 5, and what decided before goes on."""
    door.json("put", door.write("one"), "--activate")
    failing = door.write("two", passing=False)
    put = door("put", failing)
    assert put.code == 0
    assert "0 tests passed, 1 failed: it cannot be activated" in put.out
    for refused in (door("activate", 2), door("put", failing, "--activate")):
        assert refused.code == 5
        assert refused.err.startswith("error: version 2 fails 1 of its 1 tests: `anybody calls two`; ")
        assert refused.err.count("\n") == 1
    half = door("put", failing, "--activate", "--format", "json")
    assert json.loads(half.out).keys() == {"version"}
    assert door.json("list")["active"]["version"] == 1


def test_what_names_no_version_is_one_clear_line(door: Door) -> None:
    """Issue 3: an unknown version ends with 1."""
    for tool in ("one", "two", "three"):
        door.json("put", door.write(tool))
    for refused in (door("activate", 7), door("show", 7), door("show", 7, "--files")):
        assert (refused.code, refused.out) == (1, "")
        assert refused.err == "error: there is no version 7; the newest is 3\n"
    assert door("show").err == "error: no version is active yet\n"
    assert door("rollback").err == "error: no version is active: there is nothing to roll back from\n"
    for wrong in ("0", "-1", "x", "1.0", "9" * 30, "active"):
        assert door("activate", "--", wrong).code == 2


def test_an_author_must_be_one(door: Door) -> None:
    """Issue 3: who did it stands in the log."""
    refused = door("put", door.write("one"), "--author", "a\nb")
    assert (refused.code, refused.err.splitlines()[-1]) == (
        2,
        "error: the request is malformed: author: holds a control character",
    )


def test_watching_prints_what_decides_and_ends_after_so_many(door: Door) -> None:
    """Issue 3: watch."""
    for tool in ("one", "two"):
        door.json("put", door.write(tool), "--activate", "--author", "alice")
    human = door("watch", "--count", 1)
    assert human.code == 0
    assert "activated version 2 by alice, revision" in human.out
    assert json.loads(door("watch", "--count", 1, "--format", "json").out)["version"] == 2


@contextlib.contextmanager
def watching(door: Door) -> Iterator[subprocess.Popen[str]]:
    """Run a process that watches; it ends with the block, whatever came of it."""
    command = [*EVAL, "policy", "watch", "--format", "json", *door.where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_watching_tells_of_each_activation_until_it_is_interrupted(door: Door) -> None:
    """Issue 3: each activation as it comes; SIGINT is the ordinary end."""
    door.json("put", door.write("one"), "--activate")
    with watching(door) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["version"] == 1
        door.json("put", door.write("two"), "--activate")
        assert json.loads(process.stdout.readline())["version"] == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not process.stderr.read()


def test_watching_ends_when_nobody_reads(door: Door) -> None:
    """Issue 3: a broken pipe is an end, not an error."""
    door.json("put", door.write("one"), "--activate")
    with watching(door) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        door.json("put", door.write("two"), "--activate")
        assert process.wait(30) == 0
        assert not process.stderr.read()


# --- Which door -----------------------------------------------------------------------------


def test_the_first_put_makes_the_store_and_says_so(run: Run, tmp_path: Path) -> None:
    """Issue 3: from an empty machine."""
    path = tmp_path / "authz.db"
    ran = run("policy", "put", "policies/documents", "--store", path)
    assert ran.code == 0
    assert ran.err == f"created the store `{path}`, and the key that signs its log\n"


def test_only_put_makes_a_store(run: Run, tmp_path: Path) -> None:
    """Issue 3: a mistyped name is told, not made."""
    path = tmp_path / "authz.db"
    for command in (("list",), ("show",), ("activate", "1"), ("rollback",), ("watch",)):
        ran = run("policy", *command, "--store", path)
        assert (ran.code, ran.err) == (1, f"error: `{path}` does not exist\n")
    (tmp_path / "bad.authz").write_text("tool {")
    assert run("policy", "put", tmp_path / "bad.authz", "--store", path).code == 4
    assert not path.exists()


def test_a_version_that_was_changed_in_the_store_is_not_believed(door: Door) -> None:
    """Issue 3: the digest must agree; one clear line, and what decides goes on."""
    for tool in ("one", "two"):
        door.json("put", door.write(tool), "--activate")
    with contextlib.closing(open_store(door.store)) as store:
        store.database.connection.execute("UPDATE policy_file SET text = replace(text, 'one', 'two') WHERE version = 1")
    for refused in (door("rollback"), door("activate", 1), door("show", 1, "--files")):
        assert (refused.code, refused.out) == (1, "")
        assert "version 1 in the store is not what was put: restore a backup" in refused.err
        assert refused.err.count("\n") == 1
    assert door.json("list")["active"]["version"] == 2


def test_reading_needs_no_key(door: Door) -> None:
    """Issue 3: only those who write sign."""
    door.json("put", door.write("one"), "--activate")
    key = door.store.with_name("authz.db.key")
    key.rename(key.with_name("elsewhere"))
    if "--store" in door.where:
        assert door.json("list")["active"]["version"] == 1
        assert door("activate", 1).code == 1


def test_one_door_must_be_named(run: Run, tmp_path: Path) -> None:
    """Issue 3: either a store or a server."""
    assert run("policy", "list").code == 2
    both = run("policy", "list", "--store", tmp_path / "a.db", "--server", "127.0.0.1:1")
    assert (both.code, "not both" in both.err) == (2, True)


def test_a_server_wins_over_the_store_of_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 3: a flag says more than the environment."""
    monkeypatch.setenv("AUTHZ_STORE", str(tmp_path / "a.db"))
    ran = run("policy", "list", "--server", f"unix:{tmp_path}/nobody")
    assert ran.code == 1
    assert ran.err.startswith(f"error: the server at `unix:{tmp_path}/nobody` could not answer: ")


def test_without_the_token_a_server_refuses(run: Run, tmp_path: Path) -> None:
    """Issue 3: the administration token."""
    with serving_in_thread(tmp_path / "a.db", token=TOKEN.encode()) as running:
        ran = run("policy", "list", "--server", running.address)
        assert ran.code == 1
        assert "`--token-file` names the file that holds it" in ran.err
        missing = run("policy", "list", "--server", running.address, "--token-file", tmp_path / "none")
        assert (missing.code, "cannot be read" in missing.err) == (1, True)


@pytest.mark.parametrize("address", ["unix:/run/authz", "127.0.0.1:7001", "127.1.2.3:1", "[::1]:7001", "localhost:1"])
def test_an_address_of_this_machine_may_be_asked(address: str) -> None:
    """Issue 3: the administration listener is local."""
    assert is_local(address)


@pytest.mark.parametrize(
    "address", ["10.0.0.1:7001", "example.com:7001", "localhost", "localhost.example.com:1", "dns:x:1", "0.0.0.0:1", ""]
)
def test_a_token_is_never_sent_over_a_network(run: Run, address: str) -> None:
    """Issue 3: what is sent in the clear goes nowhere else."""
    assert not is_local(address)
    assert run("policy", "list", "--server", address).code == 2


def test_what_only_the_server_refuses_is_a_bad_policy_all_the_same(tmp_path: Path) -> None:
    """Issue 3: exit code 4 also where the server is of another version than the command."""
    broken = NewVersion((PolicyText("a.authz", "tool {\n"),), "r", "d", 0, 0)
    with serving_in_thread(tmp_path / "a.db") as running, contextlib.closing(ServerDoor(running.address, None)) as door:
        with pytest.raises(ServerPolicyError, match=r"^a\.authz:1:\d+: error\[syntax\]: "):
            door.put(broken, Act("alice", "cli"))

        @told
        def put() -> ExitCode:
            door.put(broken, Act("alice", "cli"))
            return ExitCode.OK

        assert put() is ExitCode.INVALID_POLICY


def test_no_proxy_of_the_environment_is_asked(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 3: a proxy would see the token."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serving_in_thread(tmp_path / "a.db") as running:
        with running.store():
            pass
        assert run("policy", "list", "--server", running.address).code == 0


def test_the_commands_start_without_grpc() -> None:
    """Architecture: `authz-eval` loads gRPC only to ask a server."""
    code = "import sys, authz.cli.policy; sys.exit(any(m in sys.modules for m in ('grpc', 'sqlite3', 'cryptography')))"
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == 0
