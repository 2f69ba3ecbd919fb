"""Workers that cannot do what the others do: none of them goes on with an old policy unnoticed."""

from __future__ import annotations

import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest

from authz.pap.loader import load
from tests.server.support import NOT_SERVING, POLICY, SERVING
from tests.server.workers_support import BROKEN, CONNECTIONS, DENY_ALL, crew, failure, put, until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_worker_that_does_not_answer_is_taken_out_and_begins_anew(policies: Path) -> None:
    """Issue 6, workers: one that cannot reload is taken out, never left on an old policy silently."""
    with crew("--policies", policies) as running:
        stopped = running.pid(2)
        os.kill(stopped, signal.SIGSTOP)
        put(policies, DENY_ALL)
        assert "in time" in running.record("worker_taken_out", worker=2)["problem"]
        revision = running.record("policy_reloaded", worker=1)["policy_revision"]
        assert running.record("worker_ended", worker=2)["status"] == "SIGKILL"
        assert running.record("listening", number=2, worker=2)["policy_revision"] == revision
        assert running.revisions() == {revision: CONNECTIONS}
        assert running.health() == {SERVING}
        assert running.pid(2) != stopped


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can take another process's files away")
def test_a_worker_that_cannot_load_what_the_others_load_is_taken_out(policies: Path) -> None:
    """Issue 6, workers: one that fails alone is tried again, then taken out, and says why."""
    with crew("--policies", policies) as running:
        resource.prlimit(running.pid(2), resource.RLIMIT_NOFILE, (3, 3))  # it can open nothing any more
        put(policies, DENY_ALL)
        assert "that the others have loaded" in running.record("worker_taken_out", worker=2)["problem"]
        revision = running.record("policy_reloaded", worker=1)["policy_revision"]
        assert running.record("policy_broken", worker=2)["still_serving"] != revision
        assert running.record("listening", number=2, worker=2)["policy_revision"] == revision
        assert running.revisions() == {revision: CONNECTIONS}
        assert not running.records("policy_reloaded", worker=2)


def test_a_worker_that_has_no_policy_to_begin_with_does_not_listen(policies: Path) -> None:
    """Issue 6, workers: one that cannot load what the others decide by is not there, until it can."""
    with crew("--policies", policies) as running:
        first = running.record("workers_listening")["policy_revision"]
        put(policies, BROKEN)
        running.record("policy_broken", worker=1)
        os.kill(running.pid(2), signal.SIGKILL)
        running.record("worker_ended", worker=2, status="exit code 4")
        assert running.revisions() == {first: CONNECTIONS}
        assert running.health() == {NOT_SERVING}
        put(policies, POLICY)
        assert running.record("listening", number=2, worker=2)["policy_revision"] == first
        until(lambda: running.health() == {SERVING})


def test_a_policy_that_changes_while_a_worker_starts_is_taken_by_all(policies: Path) -> None:
    """Issue 6, workers: a worker that has read another policy than the others has all load again."""
    with crew("--policies", policies) as running:
        for number, text in enumerate((DENY_ALL, POLICY, DENY_ALL), start=2):
            os.kill(running.pid(2), signal.SIGKILL)
            put(policies, text)
            running.record("worker_started", number, worker=2)
        wanted = load(policies).program.revision
        running.record("policy_reloaded", worker=1, policy_revision=wanted)
        until(lambda: running.revisions() == {wanted: CONNECTIONS})


@pytest.mark.slow
def test_what_cannot_start_is_said_once_with_the_exit_code_of_one_process(policies: Path, tmp_path: Path) -> None:
    """Issue 6, workers: what is wrong is refused before the second worker starts."""
    put(policies, BROKEN)
    broken = failure("--policies", policies, "--listen", "127.0.0.1:0", code=4)
    assert broken.count("a.authz:1:") == 1
    put(policies, POLICY)
    missing = failure("--policies", tmp_path / "none", "--listen", "127.0.0.1:0", code=1)
    no_store = failure("--store", tmp_path / "none.db", "--listen", "127.0.0.1:0", code=1)
    key = ("--tls-cert", tmp_path / "c.pem", "--tls-key", tmp_path / "k.pem")
    no_key = failure("--policies", policies, "--listen", "127.0.0.1:0", *key, code=1)
    absent = failure("--policies", policies, "--listen", "192.0.2.1:80", "--insecure-bind", code=1)
    socket = failure("--policies", policies, "--listen", f"unix:{tmp_path}/s", code=2)
    for line in (missing, no_store, no_key, absent, socket):
        assert line.startswith("error: ")
        assert line.count("\n") == 1
    assert "--workers" in socket
