"""Abuse of the administration listener: its token, its places, its texts (threats 5: Admin API)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from authz.directory.entities import Entity, Key, Kind
from authz.model import Act
from authz.server.config import AdminConfig, DecisionLogConfig, ListenError, StoreConfig, claim_socket, parse_address
from authz.stores.sqlite.store import open_store
from authz.v1 import decision_pb2, directory_pb2, policy_pb2
from authz.v1.directory_pb2_grpc import DirectoryServiceStub
from authz.v1.policy_pb2_grpc import PolicyServiceStub
from tests.hostile.support import POLICY, assert_tells_nothing
from tests.server.support import code_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.server.support import Running

TOKEN = "0123456789abcdef0123456789abcdef"
GOOD = f"Bearer {TOKEN}"
CODE = grpc.StatusCode


@contextlib.asynccontextmanager
async def administered(tmp_path: Path, address: str = "127.0.0.1:0") -> AsyncIterator[tuple[Running, grpc.aio.Channel]]:
    """Run a server with a store and a required log, and a channel to its administration.

    The channel takes in no more than what is read: else it would make room for a whole export that nobody reads.
    """
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "a.authz").write_text(POLICY)
    admin = AdminConfig(parse_address(address), None if address.startswith("unix:") else TOKEN.encode())
    settings: dict[str, Any] = {
        "store": StoreConfig(tmp_path / "s.db"),
        "decision_log": DecisionLogConfig("required"),
        "admin": admin,
    }
    async with (
        serving(policies=policies, **settings) as running,
        grpc.aio.insecure_channel(running.server.admin_address, options=[("grpc.http2.bdp_probe", 0)]) as channel,
    ):
        yield running, channel


@pytest.mark.parametrize(
    "metadata",
    [
        (("authorization-bin", GOOD.encode()),),
        (("authorization", GOOD), ("authorization", "Bearer x")),
        (("authorization", "Bearer x"), ("authorization", GOOD)),
        (("authorization", f"Bearer  {TOKEN}"),),
        (("authorization", f"{GOOD},{GOOD}"),),
        (("authorization", f"Bearer {TOKEN.upper()}"),),
        (("authorization", f"Bearer {TOKEN[:16]}"),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer"),),
        (("authorization", f"Bearer {'0' * 7_000}"),),
        (("proxy-authorization", GOOD),),
        (("x-forwarded-authorization", GOOD),),
    ],
    ids=lambda metadata: metadata[0][0] + str(len(metadata[0][1])),
)
async def test_no_other_way_to_say_the_token_counts(
    tmp_path: Path, metadata: tuple[tuple[str, str | bytes], ...]
) -> None:
    """Threats 5: one header, said once, with the whole token; whatever else is sent is refused and never logged."""
    async with administered(tmp_path) as (running, channel):
        call = PolicyServiceStub(channel).ListPolicies(policy_pb2.ListPoliciesRequest(), metadata=metadata)
        code, details = await code_of(call)
        assert code is CODE.UNAUTHENTICATED
        assert details == "the administration token is missing or wrong"
        assert TOKEN[:16] not in running.log.getvalue()


@pytest.mark.parametrize(
    "method",
    [
        "/authz.v1.PolicyService/listpolicies",
        "/authz.v1.policyservice/ListPolicies",
        "//authz.v1.PolicyService/ListPolicies",
        "/authz.v1.PolicyService//ListPolicies",
        "/authz.v1.PolicyService/ListPolicies/",
        "/authz.v1.PolicyService/ListPolicies?x",
        "/authz.v1.PolicyService/../PolicyService/ListPolicies",
        "/authz.v1.PolicyService/List%50olicies",
        "/authz.v1.DecisionService/Check",
    ],
)
async def test_only_the_very_name_of_a_method_is_one(tmp_path: Path, method: str) -> None:
    """Threats 2.3 (CVE-2026-26205): a path is compared, never tidied up; with the token and without."""
    async with administered(tmp_path) as (_, channel):
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        for metadata in ((), (("authorization", GOOD),)):
            assert (await code_of(ask(b"", metadata=metadata)))[0] is CODE.UNIMPLEMENTED


async def test_exports_that_nobody_reads_leave_room_for_acts(tmp_path: Path) -> None:
    """Threats 3d-36, -37: whoever opens streams and never reads must not lock the administrators out."""
    with contextlib.closing(open_store(tmp_path / "s.db", create=True)) as store:
        many = (Entity(Key(Kind.SUBJECT, "", f"u{number}", "acme"), {"x": "x" * 40_000}) for number in range(400))
        store.directory.write(many, Act("me", "cli"))
    async with administered(tmp_path) as (running, channel):
        directory, metadata = DirectoryServiceStub(channel), (("authorization", GOOD),)
        unread = [directory.ExportEntities(directory_pb2.ExportEntitiesRequest(), metadata=metadata) for _ in range(40)]
        answers: Counter[object] = Counter()
        async with asyncio.timeout(20):
            for call in unread:
                try:
                    await call.read()
                    answers["a message"] += 1
                except grpc.aio.AioRpcError as error:
                    answers[error.code()] += 1
        assert answers == {"a message": 16, CODE.RESOURCE_EXHAUSTED: 40 - 16}
        await PolicyServiceStub(channel).ListPolicies(policy_pb2.ListPoliciesRequest(), metadata=metadata)
        for call in unread:
            call.cancel()
        assert "defect" not in running.log.getvalue()


async def test_a_lost_store_is_told_without_its_place(tmp_path: Path) -> None:
    """Threats 5: the peer sees a reason; where the file is stands in the server's own log."""
    async with administered(tmp_path) as (running, channel):
        for name in ("s.db", "s.db-wal", "s.db-shm"):
            (tmp_path / name).rename(tmp_path / f"{name}.gone")
        await asyncio.to_thread(_another_store, tmp_path / "s.db")
        request = decision_pb2.CheckRequest(subject="u", tenant="acme", tool="flag")
        for _ in range(3):
            code, details = await code_of(running.stub.Check(request))
            assert code is CODE.UNAVAILABLE
            assert str(tmp_path) not in details
            assert_tells_nothing(details)
        metadata = (("authorization", GOOD),)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await PolicyServiceStub(channel).ListPolicies(policy_pb2.ListPoliciesRequest(), metadata=metadata)
        await running.server.close()


def _another_store(path: Path) -> None:
    open_store(path, key=path.with_name("other.key"), create=True).close()


def test_a_socket_is_made_where_no_link_leads(tmp_path: Path) -> None:
    """Threats 5: a link at the socket's place is no socket to be cleared away, nor followed."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "admin.sock").symlink_to(victim)
    with pytest.raises(ListenError, match="not a socket"):
        claim_socket(tmp_path / "admin.sock")
    assert victim.read_text() == "kept"


async def test_nobody_else_can_open_the_socket_whatever_the_umask(tmp_path: Path) -> None:
    """Threats 5: the socket has no token, so its mode is all there is, from its first moment."""
    before = os.umask(0)
    try:
        async with administered(tmp_path, f"unix:{tmp_path}/admin.sock"):
            assert (tmp_path / "admin.sock").stat().st_mode & 0o077 == 0
            assert os.umask(0) == 0
    finally:
        os.umask(before)
