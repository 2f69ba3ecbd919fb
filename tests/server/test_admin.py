"""The administration listener: off by default, never open to everybody (threats 5: Admin API)."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from authz.server.admin import read_token
from authz.server.config import AdminConfig, Config, ConfigError, DecisionLogConfig, StoreConfig, parse_address
from authz.stores.sqlite.store import open_store
from authz.v1 import directory_pb2, policy_pb2
from authz.v1.directory_pb2_grpc import DirectoryServiceStub
from authz.v1.policy_pb2_grpc import PolicyServiceStub
from tests.server.support import code_of, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from authz.server.config import LogMode

TOKEN = b"0123456789abcdef0123456789abcdef"
LOCAL = parse_address("127.0.0.1:0")


def settings(place: Path, admin: AdminConfig, mode: LogMode = "required") -> dict[str, Any]:
    """Return the settings of a server with a store in this place."""
    return {"store": StoreConfig(place / "s.db"), "decision_log": DecisionLogConfig(mode), "admin": admin}


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        ((), grpc.StatusCode.UNAUTHENTICATED),
        ((("authorization", "Bearer " + "x" * 32),), grpc.StatusCode.UNAUTHENTICATED),
        ((("authorization", f"Basic {TOKEN.decode()}"),), grpc.StatusCode.UNAUTHENTICATED),
        ((("authorization", TOKEN.decode()),), grpc.StatusCode.UNAUTHENTICATED),
        ((("authorization", f"Bearer {TOKEN.decode()}x"),), grpc.StatusCode.UNAUTHENTICATED),
        ((("authorization", f"Bearer {TOKEN.decode()[:-1]}"),), grpc.StatusCode.UNAUTHENTICATED),
        ((("authorization", f"Bearer {TOKEN.decode()}"),) * 2, grpc.StatusCode.UNAUTHENTICATED),
        ((("authorization", f"Bearer {TOKEN.decode()}"),), None),
    ],
)
async def test_an_act_on_a_port_needs_the_token(
    tmp_path: Path, policies: Path, credentials: tuple[tuple[str, str], ...], code: grpc.StatusCode | None
) -> None:
    """Decision 7: every process of the machine can reach the port; refusals are authentication events of the log."""
    admin = AdminConfig(LOCAL, TOKEN)
    async with serving(policies=policies, **settings(tmp_path, admin)) as running:
        async with grpc.aio.insecure_channel(running.server.admin_address) as channel:
            for call in (
                PolicyServiceStub(channel).ListPolicies(policy_pb2.ListPoliciesRequest(), metadata=credentials),
                DirectoryServiceStub(channel).DeleteEntities(
                    directory_pb2.DeleteEntitiesRequest(author="me"), metadata=credentials
                ),
            ):
                if code is None:
                    await call
                else:
                    assert (await code_of(call))[0] is code
        assert TOKEN.decode() not in running.log.getvalue()
    store = open_store(tmp_path / "s.db", readonly=True)
    texts = [link.text for link in store.log.links()]
    store.close()
    assert len([text for text in texts if '"kind":"authentication"' in text]) == (0 if code is None else 2)
    assert not any(TOKEN.decode() in text for text in texts)


async def test_a_unix_socket_belongs_to_its_user_alone(tmp_path: Path, policies: Path) -> None:
    """Decision 7: there the file system says who may act, and no token is needed."""
    admin = AdminConfig(parse_address(f"unix:{tmp_path}/admin.sock"))
    async with serving(policies=policies, **settings(tmp_path, admin)) as running:
        assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) & 0o077 == 0
        async with grpc.aio.insecure_channel(running.server.admin_address) as channel:
            answer = await PolicyServiceStub(channel).ListPolicies(policy_pb2.ListPoliciesRequest())
    assert list(answer.versions) == []


async def test_acts_are_not_served_where_decisions_are(tmp_path: Path, policies: Path) -> None:
    """Decision 7: an enforcement point cannot change what is decided; nor does the other listener decide."""
    admin = AdminConfig(parse_address(f"unix:{tmp_path}/admin.sock"))
    async with serving(policies=policies, **settings(tmp_path, admin)) as running:
        call = PolicyServiceStub(running.channel).ListPolicies(policy_pb2.ListPoliciesRequest())
        assert (await code_of(call))[0] is grpc.StatusCode.UNIMPLEMENTED
        async with grpc.aio.insecure_channel(running.server.admin_address) as channel:
            for method in ("authz.v1.DecisionService/Check", "authz.v1.PolicyService/listPolicies", "nonsense"):
                ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{method}")
                assert (await code_of(ask(b"")))[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("say", "make"),
    [
        ("--policies", lambda: Config(None, LOCAL)),
        ("needs `--store`", lambda: Config("p", LOCAL, admin=AdminConfig(LOCAL, TOKEN))),  # type: ignore[arg-type]
        ("--admin-token-file", lambda: stored(admin=AdminConfig(LOCAL))),
        (
            "reachable from other machines",
            lambda: stored(admin=AdminConfig(parse_address("0.0.0.0:1", insecure_bind=True), TOKEN)),
        ),
        ("need `--store`", lambda: Config("p", LOCAL, decision_log=DecisionLogConfig("required"))),  # type: ignore[arg-type]
        ("needs `--store`", lambda: Config("p", LOCAL, decision_log=DecisionLogConfig("best-effort"))),  # type: ignore[arg-type]
        ("exclude", lambda: stored(decision_log=DecisionLogConfig("required", requests=True, pseudonyms=True))),
    ],
)
def test_settings_that_would_leave_something_out_are_refused(say: str, make: Callable[[], Config]) -> None:
    """Principle: refuse to start rather than run weak."""
    with pytest.raises(ConfigError, match=say):
        make()


def stored(**given: Any) -> Config:  # noqa: ANN401  # fields of Config
    """Return settings with a store."""
    return Config(None, LOCAL, store=StoreConfig("s.db"), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", [b"", b"short", b"x" * 31, b"x" * 2000, b"x" * 40 + b" " + b"y" * 40, "ü".encode() * 40]
)
def test_a_weak_token_is_refused(tmp_path: Path, text: bytes) -> None:
    """Threats 2.1: an empty or short secret does not start."""
    path = tmp_path / "token"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="token"):
        read_token(path)


def test_a_token_ends_where_its_line_does(tmp_path: Path) -> None:
    """A file written by an editor ends with a newline, which is no part of the token."""
    path = tmp_path / "token"
    path.write_bytes(TOKEN + b"\n")
    assert read_token(path) == TOKEN
