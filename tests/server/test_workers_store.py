"""Workers on one store: one log that all write to, and activations that all follow."""

from __future__ import annotations

import contextlib
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc

from authz.audit.signing import load_verifier, public_path
from authz.audit.verify import verify
from authz.audit.witness import read_witnesses
from authz.model import Act
from authz.pap import versions
from authz.pap.loader import ReadFile
from authz.stores.sqlite.store import key_path, open_store
from authz.v1 import decision_pb2 as v1
from authz.v1 import policy_pb2
from authz.v1.decision_pb2_grpc import DecisionServiceStub
from authz.v1.policy_pb2_grpc import PolicyServiceStub
from tests.server.support import ask
from tests.server.workers_support import CONNECTIONS, crew

if TYPE_CHECKING:
    from pathlib import Path

ME = Act("tester", "cli")


def test_every_decision_is_in_one_log_that_verifies_whoever_made_it(policies: Path, tmp_path: Path) -> None:
    """Issue 6, workers: one chain of records, however many write to it; one witness sees all of it."""
    store, lines, witness = tmp_path / "s.db", tmp_path / "d.jsonl", tmp_path / "w.jsonl"
    options = ("--store", store, "--decision-log-file", lines, "--log-witness", witness)
    with crew("--policies", policies, *options) as running:

        def many(_number: int) -> list[str]:
            with running.channel() as channel:
                stub = DecisionServiceStub(channel)
                return [stub.Check(ask(), timeout=60).decision_id for _ in range(25)]

        with ThreadPoolExecutor(8) as threads:
            answered = [one for ids in threads.map(many, range(16)) for one in ids]
        assert running.end(signal.SIGTERM) == 0
    with contextlib.closing(open_store(store, readonly=True)) as opened:
        key = load_verifier(public_path(key_path(store)))
        assert verify(opened.log, key, witnesses=tuple(read_witnesses(witness))).findings == ()
        kept = [json.loads(link.text) for link in opened.log.links()]
        head = opened.log.head().head.seq
    assert sorted(record["decision_id"] for record in kept) == sorted(answered)
    written = [json.loads(line)["decision_id"] for line in lines.read_text().splitlines()]
    assert sorted(written) == sorted(answered)
    assert [seen.seq for seen in read_witnesses(witness)][-1] == head == len(answered)


def test_an_activation_is_told_only_when_all_workers_decide_by_it(tmp_path: Path) -> None:
    """Issue 6, workers; issue 3: the administration door is one worker's, and speaks for all."""
    activate(tmp_path / "s.db", "one")
    door = f"unix:{tmp_path}/admin.sock"
    with crew("--store", tmp_path / "s.db", "--admin-listen", door) as running:
        first = running.record("workers_listening")["policy_revision"]
        number = put_version(tmp_path / "s.db", "ping")
        with grpc.insecure_channel(door) as channel:
            request = policy_pb2.ActivatePolicyRequest(number=number, author="me")
            revision = PolicyServiceStub(channel).ActivatePolicy(request, timeout=60).activation.revision
        assert running.revisions() == {revision: CONNECTIONS}
        assert running.check(ask("ping")).decision == v1.DECISION_ALLOW
        activate(tmp_path / "s.db", "one")  # by another process: the parent sees it
        running.record("policy_reloaded", number=2, policy_revision=first)
        assert running.revisions() == {first: CONNECTIONS}


def put_version(path: Path, tool: str) -> int:
    """Put a policy that allows one tool to everybody."""
    text = f'tool "{tool}" {{ allow public }}\n'.encode()
    with contextlib.closing(open_store(path, create=True)) as store:
        return versions.put(store.policies, [ReadFile("a.authz", "a.authz", text)], ME).number


def activate(path: Path, tool: str) -> None:
    """Put and activate a policy, as another process would: with a connection of its own."""
    number = put_version(path, tool)
    with contextlib.closing(open_store(path)) as store:
        versions.activate(store.policies, number, ME)
