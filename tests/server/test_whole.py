"""A real server on a store, against a model that anybody can follow: put, activate, roll back, import, check, kill.

Acts are done by other processes' connections, or rather this one's, while the server runs; it is
killed at any moment and started again. Whatever happens, its answers are the model's, and the log
verifies and holds each answered decision and each act.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from authz.audit.signing import load_verifier, public_path
from authz.audit.verify import verify
from authz.directory.entities import Entity, Key, Kind
from authz.model import Act
from authz.pap import versions
from authz.pap.loader import ReadFile
from authz.stores.sqlite.store import key_path, open_store
from authz.v1 import decision_pb2 as v1
from authz.v1.decision_pb2_grpc import DecisionServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.stores.sqlite.store import SqliteStore

ME: Final = Act("model", "cli")
TOOLS: Final = ("read", "edit", "drop")
PEOPLE: Final = ("alice", "bob")
NOTES: Final = ("n1", "n2")
_PATIENCE_S: Final = 30


def policy(tool: str) -> list[ReadFile]:
    """Return a policy under which the owner may use one tool."""
    text = f"""
resource "note" {{ owner: string }}
tool "{tool}" on "note" {{ allow "owner" when resource.owner == subject.id }}
"""
    return [ReadFile("notes.authz", "notes.authz", text.encode())]


class Whole(RuleBasedStateMachine):
    """The versions, which of them was activated when, who owns what, and what was answered."""

    def __init__(self) -> None:
        """Begin with an active policy and a running server."""
        super().__init__()
        self.ends = contextlib.ExitStack()
        self.place = Path(self.ends.enter_context(tempfile.TemporaryDirectory()))
        self.tools: list[str] = []
        self.activated: list[int] = []
        self.owners: dict[str, str] = {}
        self.acts = 0
        self.answered: set[str] = set()

    @contextlib.contextmanager
    def store(self) -> Iterator[SqliteStore]:
        """Open the store, as another process does."""
        with contextlib.closing(open_store(self.place / "s.db", create=True)) as store:
            yield store

    @initialize(tool=st.sampled_from(TOOLS))
    def begin(self, tool: str) -> None:
        """Put and activate the first policy, and start the server."""
        self.put(tool)
        self.activate(0)
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        address = f"unix:{self.place}/s.sock"
        command = [sys.executable, "-m", "authz.cli.server", "--store", str(self.place / "s.db"), "--listen", address]
        self.server = subprocess.Popen([*command, "--log-format", "json"], stderr=subprocess.PIPE, text=True)
        self.ends.callback(self.server.kill)
        self.reload = threading.Condition()
        self.revision = ""
        assert self.server.stderr is not None
        self.reader = threading.Thread(target=self.follow, args=(self.server.stderr, self.reload), daemon=True)
        self.reader.start()
        self.wait_for(self.expected_revision())
        self.channel = grpc.insecure_channel(address)
        self.ends.callback(self.channel.close)

    def follow(self, lines: Iterator[str], told: threading.Condition) -> None:
        """Read which revision the server says that it serves."""
        for line in lines:
            with told:
                record = json.loads(line)
                if record["event"] in {"listening", "policy_reloaded"}:
                    self.revision = record["policy_revision"]
                told.notify_all()

    def wait_for(self, revision: str) -> None:
        """Wait until the server serves a revision."""
        with self.reload:
            assert self.reload.wait_for(lambda: self.revision == revision, _PATIENCE_S), (self.revision, revision)

    def expected_revision(self) -> str:
        """Return the revision of the version that was activated last."""
        with self.store() as store:
            return store.policies.version(self.activated[-1]).revision

    @rule(tool=st.sampled_from(TOOLS))
    def put(self, tool: str) -> None:
        """Put a policy; the same one again is the version that it was, and no act."""
        with self.store() as store:
            number = versions.put(store.policies, policy(tool), ME).number
        if tool not in self.tools:
            self.tools.append(tool)
            self.acts += 1
        assert number == self.tools.index(tool) + 1

    @rule(choice=st.integers(0, 2))
    def activate(self, choice: int) -> None:
        """Activate one of the versions; the server follows."""
        number = choice % len(self.tools) + 1
        with self.store() as store:
            versions.activate(store.policies, number, ME)
        self.activated.append(number)
        self.acts += 1
        if hasattr(self, "server"):
            self.wait_for(self.expected_revision())

    @precondition(lambda self: self.activated and min(self.activated) < self.activated[-1])
    @rule()
    def roll_back(self) -> None:
        """Go back to the older version that was active last."""
        with self.store() as store:
            activation = versions.rollback(store.policies, None, ME)[0]
        assert activation.version == [number for number in self.activated if number < self.activated[-1]][-1]
        self.activated.append(activation.version)
        self.acts += 1
        self.wait_for(self.expected_revision())

    @rule(owners=st.dictionaries(st.sampled_from(NOTES), st.sampled_from(PEOPLE), min_size=1))
    def bring_in(self, owners: dict[str, str]) -> None:
        """Import who owns what."""
        entries = [Entity(Key(Kind.RESOURCE, "note", note, ""), {"owner": owner}) for note, owner in owners.items()]
        with self.store() as store:
            store.directory.write(entries, ME)
        self.owners |= owners
        self.acts += 1

    @rule(who=st.sampled_from(PEOPLE), tool=st.sampled_from(TOOLS), note=st.sampled_from(NOTES))
    def check(self, who: str, tool: str, note: str) -> None:
        """Ask a question that only the directory can answer."""
        request = v1.CheckRequest(subject=who, tool=tool, resource=v1.Resource(type="note", id=note))
        answer = DecisionServiceStub(self.channel).Check(request, timeout=_PATIENCE_S, wait_for_ready=True)
        self.answered.add(answer.decision_id)
        allowed = self.tools[self.activated[-1] - 1] == tool and self.owners.get(note) == who
        assert answer.decision == (v1.DECISION_ALLOW if allowed else v1.DECISION_DENY), answer

    @rule(number=st.sampled_from((signal.SIGKILL, signal.SIGTERM)))
    def kill(self, number: signal.Signals) -> None:
        """End the server, one way or another, and start it again."""
        self.channel.close()
        self.server.send_signal(number)
        self.server.wait(_PATIENCE_S)
        self.reader.join()
        assert self.server.stderr is not None
        self.server.stderr.close()
        self.start()

    def teardown(self) -> None:
        """Look the log over: it verifies, and holds what was answered and done, each once."""
        try:
            if hasattr(self, "server"):
                self.channel.close()
                assert self.server.poll() is None
                self.server.terminate()
                assert self.server.wait(_PATIENCE_S) == 0
                self.reader.join()
                assert self.server.stderr is not None
                self.server.stderr.close()
                self.look_over()
        finally:
            self.ends.close()

    def look_over(self) -> None:
        """Compare the log with what was answered and done."""
        with contextlib.closing(open_store(self.place / "s.db", readonly=True)) as store:
            key = load_verifier(public_path(key_path(self.place / "s.db")))
            assert verify(store.log, key).findings == ()
            records = [json.loads(link.text) for link in store.log.links()]
        decided = [record["decision_id"] for record in records if record["kind"] == "decision"]
        assert len(decided) == len(set(decided))
        assert set(decided) == self.answered
        assert len([record for record in records if record["kind"] == "act"]) == self.acts


def test_a_server_on_a_store_does_as_the_model_does() -> None:
    """Issue 3: a stateful model test over put, activate, rollback, import, check, kill; a few runs every day."""
    _run(examples=2, steps=12)


@pytest.mark.slow
def test_a_server_on_a_store_does_as_the_model_does_for_longer() -> None:
    """As above, searched for longer."""
    _run(examples=12, steps=30)


def _run(examples: int, steps: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Whole,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            phases=(Phase.generate,),  # each try starts servers: a failure is told as it came
        ),
    )
