"""PolicyService over gRPC: the same acts as on the command line, and a status for everything that can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from authz.model import Act
from authz.pap.loader import read_all_files
from authz.pap.versions import activate, rollback
from authz.stores.sqlite.store import open_store
from authz.v1 import decision_pb2
from authz.v1 import policy_pb2 as v1
from authz.v1.policy_pb2_grpc import PolicyServiceStub
from tests.pap.versions_support import allows, policy
from tests.server.policy_support import TOKEN, serving
from tests.server.support import code_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from authz.v1.policy_pb2_grpc import PolicyServiceAsyncStub
    from tests.server.policy_support import Running


@contextlib.asynccontextmanager
async def client(running: Running) -> AsyncIterator[PolicyServiceAsyncStub]:
    """Return a client of the service."""
    async with grpc.aio.insecure_channel(running.address) as channel:
        yield PolicyServiceStub(channel)


def put_request(tool: str, *, passing: bool | None = True, author: str = "alice") -> v1.PutPolicyRequest:
    """Return what puts a policy that allows one tool."""
    files = [v1.PolicyFile(name=file.name, text=file.data.decode()) for file in policy(tool, passing=passing)]
    return v1.PutPolicyRequest(files=files, author=author, note="why")


def activate_request(number: int) -> v1.ActivatePolicyRequest:
    """Return what activates a version."""
    return v1.ActivatePolicyRequest(number=number, author="bob")


async def read(call: grpc.aio.UnaryStreamCall[Any, Any]) -> v1.Activation:
    """Return what a watcher is told next."""
    answer = await call.read()
    assert isinstance(answer, v1.WatchPolicyResponse)
    return answer.activation


async def test_a_policy_is_put_listed_and_read_back(tmp_path: Path) -> None:
    """Issue 3, S4: PolicyService."""
    async with serving(tmp_path / "a.db") as running, client(running) as stub:
        version = (await stub.PutPolicy(put_request("one"))).version
        await stub.PutPolicy(put_request("two"))
        assert (version.number, version.author, version.note) == (1, "alice", "why")
        assert (version.tests_passed, version.tests_failed) == (1, 0)
        listed = await stub.ListPolicies(v1.ListPoliciesRequest())
        assert [one.number for one in listed.versions] == [2, 1]
        assert not listed.HasField("active")
        answer = await stub.GetPolicy(v1.GetPolicyRequest(number=1))
        assert answer.version == version
        assert [file.name for file in answer.files] == ["main.authz", "main_test.authz"]
        assert answer.files[0].text.startswith('# Allows one.\ntool "one" {\n')
        assert not running.activated


async def test_this_server_decides_by_a_version_before_it_answers(tmp_path: Path) -> None:
    """Issue 3: ActivatePolicy answers when its own server decides by it."""
    async with serving(tmp_path / "a.db") as running, client(running) as stub:
        await stub.PutPolicy(put_request("one"))
        activation = (await stub.ActivatePolicy(activate_request(1))).activation
        assert (activation.version, activation.kind, activation.author) == (1, v1.ACTIVATION_KIND_ACTIVATE, "bob")
        [(told, loaded)] = running.activated
        assert told.sequence == activation.sequence
        assert allows(loaded, "one")
        assert (await stub.GetPolicy(v1.GetPolicyRequest())).version.number == 1


async def test_activations_take_effect_in_their_order(tmp_path: Path) -> None:
    """Issue 3: of activations at the same time the last in the history is the one that decides."""
    async with serving(tmp_path / "a.db") as running, client(running) as stub:
        for tool in ("one", "two", "three", "four"):
            await stub.PutPolicy(put_request(tool))
        await asyncio.gather(*(stub.ActivatePolicy(activate_request(number)) for number in (3, 1, 4, 2)))
        assert [activation.sequence for activation, _ in running.activated] == [1, 2, 3, 4]


async def test_a_rollback_brings_back_the_version_before(tmp_path: Path) -> None:
    """Issue 3."""
    async with serving(tmp_path / "a.db") as running, client(running) as stub:
        for number, tool in enumerate(("one", "two", "three"), start=1):
            await stub.PutPolicy(put_request(tool))
            await stub.ActivatePolicy(activate_request(number))
        back = (await stub.RollbackPolicy(v1.RollbackPolicyRequest(author="bob"))).activation
        assert (back.version, back.kind) == (2, v1.ACTIVATION_KIND_ROLLBACK)
        assert allows(running.activated[-1][1], "two")
        back = (await stub.RollbackPolicy(v1.RollbackPolicyRequest(number=1, author="bob"))).activation
        assert back.version == 1


async def test_who_asked_for_an_act_stands_in_the_log(tmp_path: Path) -> None:
    """Issue 3: acts through the administration listener say so."""
    path = tmp_path / "a.db"
    async with serving(path) as running, client(running) as stub:
        await stub.PutPolicy(put_request("one"))
        await stub.ActivatePolicy(activate_request(1))
    with contextlib.closing(open_store(path)) as store:
        acts = [json.loads(link.text) for link in store.log.links()]
    assert [(act["act"], act["author"], act["via"]) for act in acts] == [
        ("policy.put", "alice", "admin"),
        ("policy.activate", "bob", "admin"),
    ]


async def test_an_invalid_policy_is_refused_with_its_first_errors(tmp_path: Path) -> None:
    """Issue 3: INVALID_ARGUMENT, one error a line, and no more than metadata can carry."""
    async with serving(tmp_path / "a.db") as running, client(running) as stub:
        broken = "".join(f'tool "t{number}" {{ allow wenn }}\n' for number in range(500)) + "# \U0001f600"
        request = v1.PutPolicyRequest(files=[v1.PolicyFile(name="a.authz", text=broken)], author="alice")
        code, details = await code_of(stub.PutPolicy(request))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        first, *_, last = details.splitlines()
        assert first.startswith("a.authz:1:")
        assert ": error[" in first
        assert last.startswith("and ")
        assert len(details) < 5000
        assert not (await stub.ListPolicies(v1.ListPoliciesRequest())).versions


async def test_a_version_whose_tests_fail_is_kept_and_not_activated(tmp_path: Path) -> None:
    """Issue 3: FAILED_PRECONDITION, and what decided before goes on."""
    async with serving(tmp_path / "a.db") as running, client(running) as stub:
        assert (await stub.PutPolicy(put_request("one", passing=False))).version.tests_failed == 1
        code, details = await code_of(stub.ActivatePolicy(activate_request(1)))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert details == "version 1 fails 1 of its 1 tests: `anybody calls one`"
        assert not running.activated
        assert not (await stub.ListPolicies(v1.ListPoliciesRequest())).HasField("active")


async def test_each_failure_has_its_status(tmp_path: Path) -> None:
    """Issue 3: the statuses that policy.proto promises."""
    async with serving(tmp_path / "a.db") as running, client(running) as stub:
        await stub.PutPolicy(put_request("one"))
        invalid, missing = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
        failed = grpc.StatusCode.FAILED_PRECONDITION
        for call, code, details in (
            (stub.PutPolicy(put_request("two", author="")), invalid, "author: must not be empty"),
            (stub.PutPolicy(put_request("two", author="a\nb")), invalid, "author: holds a control character"),
            (stub.PutPolicy(v1.PutPolicyRequest(author="a")), invalid, "files: holds no policy file"),
            (stub.GetPolicy(v1.GetPolicyRequest()), missing, "no version is active yet"),
            (stub.GetPolicy(v1.GetPolicyRequest(number=7)), missing, "there is no version 7; the newest is 1"),
            (
                stub.GetPolicy(v1.GetPolicyRequest(number=-1)),
                invalid,
                "number: must be the number of a version, from 1",
            ),
            (stub.ActivatePolicy(activate_request(0)), invalid, "number: must be the number of a version, from 1"),
            (stub.ActivatePolicy(activate_request(2)), missing, "there is no version 2; the newest is 1"),
            (stub.ActivatePolicy(v1.ActivatePolicyRequest(number=1)), invalid, "author: must not be empty"),
            (
                stub.RollbackPolicy(v1.RollbackPolicyRequest(author="a")),
                failed,
                "no version is active: there is nothing to roll back from",
            ),
            (stub.DiffPolicies(v1.DiffPoliciesRequest(old=1)), invalid, "new: must be the number of a version, from 1"),
        ):
            assert await code_of(call) == (code, details)


async def test_a_store_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    """Issue 3: UNAVAILABLE; nothing is answered out of a damaged store."""
    path = tmp_path / "a.db"
    async with serving(path) as running, client(running) as stub:
        await stub.PutPolicy(put_request("one"))
        with contextlib.closing(open_store(path)) as store:
            store.database.connection.execute("UPDATE policy_file SET text = '' WHERE name = 'main_test.authz'")
        code, details = await code_of(stub.ActivatePolicy(activate_request(1)))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "version 1 in the store is not what was put" in details
        path.with_name("a.db").write_bytes(b"no database" * 100)
        code, _ = await code_of(stub.ListPolicies(v1.ListPoliciesRequest()))
        assert code is grpc.StatusCode.UNAVAILABLE


async def test_malformed_bytes_are_the_askers_mistake(tmp_path: Path) -> None:
    """Issue 3: malformed messages are INVALID_ARGUMENT for every method, never INTERNAL."""
    async with serving(tmp_path / "a.db") as running, grpc.aio.insecure_channel(running.address) as channel:
        for method in running.service.handlers():
            ask: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
            ask = channel.unary_stream(f"/authz.v1.PolicyService/{method}")
            call = ask(b"\xff\xff")
            code, details = await code_of(call.read())
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "is not a well-formed" in details


async def test_two_versions_are_compared_rule_by_rule_and_in_their_answers(tmp_path: Path) -> None:
    """Issue 3: whose answers would change, those that become ALLOW first."""
    async with serving(tmp_path / "a.db") as running, client(running) as stub:
        await stub.PutPolicy(put_request("one", passing=None))
        await stub.PutPolicy(put_request("two", passing=None))
        await stub.ActivatePolicy(activate_request(1))
        asked = [decision_pb2.CheckRequest(tool=tool, anonymous=True) for tool in ("none", "one", "two")]
        answer = await stub.DiffPolicies(v1.DiffPoliciesRequest(new=2, requests=asked))
        assert [change.index for change in answer.answers] == [2, 1]
        widened = answer.answers[0]
        assert widened.before.decision == decision_pb2.DECISION_DENY
        assert widened.after.decision == decision_pb2.DECISION_ALLOW
        assert any(change.before != change.after for change in answer.changes)
        bad = [decision_pb2.CheckRequest(tool="one", anonymous=True), decision_pb2.CheckRequest(subject="alice")]
        code, details = await code_of(stub.DiffPolicies(v1.DiffPoliciesRequest(new=2, requests=bad)))
        assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "requests[1].tool: must not be empty")
        code, details = await code_of(stub.DiffPolicies(v1.DiffPoliciesRequest(new=2, requests=asked * 334)))
        assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "requests: holds more than 1000 items")


async def test_a_watcher_sees_the_active_version_and_each_activation(tmp_path: Path) -> None:
    """Issue 3: WatchPolicy; also what another process activates is told."""
    async with serving(tmp_path / "a.db") as running, client(running) as stub:
        for tool in ("one", "two"):
            await stub.PutPolicy(put_request(tool))
        await stub.ActivatePolicy(activate_request(1))
        call = stub.WatchPolicy(v1.WatchPolicyRequest())
        assert (await read(call)).version == 1
        with running.store() as store:
            activate(store, 2, Act("carol", "cli"))
            rollback(store, None, Act("carol", "cli"))
        told = [await read(call) for _ in range(2)]
        assert [(activation.version, activation.author) for activation in told] == [(2, "carol"), (1, "carol")]
        call.cancel()


async def test_the_number_of_watchers_is_bounded(tmp_path: Path) -> None:
    """Issue 3: everything from outside is bounded; who goes makes room."""
    async with serving(tmp_path / "a.db", max_watchers=1) as running, client(running) as stub:
        await stub.PutPolicy(put_request("one"))
        await stub.ActivatePolicy(activate_request(1))
        first = stub.WatchPolicy(v1.WatchPolicyRequest())
        await first.read()
        code, _ = await code_of(stub.WatchPolicy(v1.WatchPolicyRequest()).read())
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()
        async with asyncio.timeout(20):
            while True:
                call = stub.WatchPolicy(v1.WatchPolicyRequest())
                with contextlib.suppress(grpc.aio.AioRpcError):
                    if (await call.read()) is not grpc.aio.EOF:
                        break
        call.cancel()


async def test_a_drain_ends_those_who_watch(tmp_path: Path) -> None:
    """Issue 2: a server that ends lets streams end."""
    async with serving(tmp_path / "a.db") as running, client(running) as stub:
        await stub.PutPolicy(put_request("one"))
        call = stub.WatchPolicy(v1.WatchPolicyRequest())
        end = asyncio.ensure_future(call.read())
        await stub.ListPolicies(v1.ListPoliciesRequest())  # the watch is under way by now
        running.service.drain()
        async with asyncio.timeout(20):
            assert await end is grpc.aio.EOF


async def test_without_the_token_nothing_is_answered(tmp_path: Path) -> None:
    """Issue 3: the administration listener asks for its token."""
    async with serving(tmp_path / "a.db", token=TOKEN.encode()) as running, client(running) as stub:
        code, _ = await code_of(stub.PutPolicy(put_request("one")))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        assert (await stub.PutPolicy(put_request("one"), metadata=metadata)).version.number == 1


@pytest.mark.parametrize("folder", ["documents", "filesystem", "secure-mcp"])
async def test_the_example_policies_can_be_put_and_activated(tmp_path: Path, folder: str) -> None:
    """Issue 3: what is shipped works through every door."""
    async with serving(tmp_path / "a.db") as running, client(running) as stub:
        found = read_all_files(f"policies/{folder}")
        files = [v1.PolicyFile(name=file.name, text=file.data.decode()) for file in found]
        version = (await stub.PutPolicy(v1.PutPolicyRequest(files=files, author="alice"))).version
        assert version.tests_passed
        assert not version.tests_failed
        await stub.ActivatePolicy(activate_request(1))
        assert running.activated[0][1].program.revision == version.revision
