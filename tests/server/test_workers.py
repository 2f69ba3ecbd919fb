"""`authz-server --workers N`: several processes, one port, one policy."""

from __future__ import annotations

import os
import signal
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from authz.v1 import decision_pb2 as v1
from authz.v1.decision_pb2_grpc import DecisionServiceStub
from tests.server.support import NOT_SERVING, POLICY, SERVING, ask
from tests.server.workers_support import BROKEN, CONNECTIONS, DENY_ALL, crew, put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["grpcio", "native"])
def carrier(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return the option that says what carries the calls."""
    if request.param == "native" and find_spec("pygrpc_native") is None:
        pytest.skip("`authz[native]` is not installed")
    return ("--transport", request.param)


def test_all_workers_answer_on_one_port_and_a_signal_drains_them(policies: Path, carrier: tuple[str, str]) -> None:
    """Issue 6, workers: N processes on one port; SIGTERM answers what is under way, and ends with 0."""
    with crew("--policies", policies, *carrier) as running:
        assert set(running.revisions()) == {running.record("workers_listening")["policy_revision"]}
        running.wait(lambda: {record["worker"] for record in running.records("decision")} == {1, 2})
        with running.channel() as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            statuses = [next(watch).status]
            answers = DecisionServiceStub(channel).StreamCheck(iter([v1.StreamCheckRequest(check=ask())] * 50))
            pending = [DecisionServiceStub(channel).Check.future(ask()) for _ in range(100)]
            running.popen.send_signal(signal.SIGTERM)
            statuses += [answer.status for answer in watch]
            assert statuses == [SERVING, NOT_SERVING]
            assert [answer.response.decision for answer in answers] == [v1.DECISION_ALLOW] * 50
            assert {call.result(30).decision for call in pending} == {v1.DECISION_ALLOW}
        assert running.popen.wait(60) == 0
        running.gone()
        assert {record.get("worker") for record in running.records("stopped")} == {1, 2, None}


def test_a_worker_that_dies_is_started_again_and_the_service_goes_on(policies: Path, carrier: tuple[str, str]) -> None:
    """Issue 6, workers: a dead worker is restarted."""
    with crew("--policies", policies, *carrier) as running:
        os.kill(running.pid(2), signal.SIGKILL)
        assert running.record("worker_ended", worker=2)["status"] == "SIGKILL"
        assert running.check(ask()).decision == v1.DECISION_ALLOW
        running.record("listening", number=2, worker=2)
        assert running.revisions().total() == CONNECTIONS
        new = running.pid(2)
        running.wait(lambda: {r["worker"] for r in running.records("decision")} == {1, 2})
        assert new != running.records("worker_started", worker=2)[0]["pid"]
        assert running.end(signal.SIGINT) == 0


def test_a_worker_that_is_told_to_end_answers_first_and_is_replaced(policies: Path) -> None:
    """Issue 6, workers: one after another they can be made anew while the service goes on."""
    with crew("--policies", policies) as running:
        os.kill(running.pid(1), signal.SIGTERM)
        running.record("stopped", worker=1)
        assert running.record("worker_ended", worker=1)["status"] == "exit code 0"
        running.record("listening", number=2, worker=1)


def test_no_worker_outlives_its_parent(policies: Path) -> None:
    """Issue 6, workers: where the parent is killed, they answer what is under way and end."""
    with crew("--policies", policies) as running:
        running.popen.kill()
        running.gone()
        assert {record["worker"] for record in running.records("stopped")} == {1, 2}


def test_a_second_signal_ends_all_at_once(policies: Path) -> None:
    """Issue 6, workers, after issue 2: whoever insists is not kept waiting by a call that never ends."""
    never = threading.Event()

    def asked() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        never.wait()

    with crew("--policies", policies, "--grace", "3000", "--reflection") as running, running.channel() as channel:
        held = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked())
        assert next(held).HasField("list_services_response")
        running.popen.send_signal(signal.SIGTERM)
        running.record("draining", number=3)
        assert running.end(signal.SIGTERM) == -signal.SIGTERM
        running.gone()
        never.set()


def test_a_change_is_taken_by_all_or_by_none(policies: Path, carrier: tuple[str, str]) -> None:
    """Issue 6, workers: all reload to the same revision; health speaks for all; a broken policy is told once."""
    with crew("--policies", policies, *carrier) as running:
        first = running.record("workers_listening")["policy_revision"]
        put(policies, DENY_ALL)
        second = running.record("policy_reloaded", number=2)["policy_revision"]
        assert {record["worker"] for record in running.records("policy_reloaded")} == {1, 2}
        assert second != first
        assert running.revisions() == {second: CONNECTIONS}
        put(policies, BROKEN)
        assert running.record("policy_broken")["still_serving"] == second
        assert running.revisions() == {second: CONNECTIONS}
        assert running.health() == {NOT_SERVING}
        assert running.health("authz.v1.DecisionService") == {SERVING}
        running.popen.send_signal(signal.SIGHUP)
        running.record("policy_broken", number=2)
        assert len(running.records("policy_error")) == 2
        put(policies, POLICY)
        running.record("policy_reloaded", number=2, policy_revision=first)
        assert running.revisions() == {first: CONNECTIONS}
        assert running.health() == {SERVING}
        assert not running.records("worker_taken_out")
        assert running.end(signal.SIGTERM) == 0
