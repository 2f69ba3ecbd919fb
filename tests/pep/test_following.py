"""Deciding here by a server's policy: by what it says decides now, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from authz.model import Effect, Reason
from authz.pep.pdp import PdpError
from authz.pep.pdps.channel import connection
from authz.pep.pdps.events import standard_logger
from authz.pep.pdps.following import _Follower, follow
from authz.server.config import ConfigError
from authz.v1 import enforcement_pb2, policy_pb2
from tests.pep.scripted import OTHER, fails, scripted
from tests.pep.world import POLICY, ask, program_of
from tests.server.support import serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from authz.pep.pdps.local import LocalPdp
    from tests.pep.scripted import Context, Method

PATIENCE_S = 20.0
DENIED = POLICY + '\ntool "read_document" { deny "closed" }\n'


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """Return a policy directory."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "world.authz").write_text(POLICY)
    return folder


@contextlib.asynccontextmanager
async def following(address: str, **settings: Any) -> AsyncIterator[LocalPdp]:  # noqa: ANN401  # of `follow`
    """Follow a server, patiently."""
    pdp = await follow(address, **{"first": PATIENCE_S, **settings})
    try:
        yield pdp
    finally:
        await pdp.close()


async def decides(pdp: LocalPdp, effect: Effect | None) -> None:
    """Wait until a question is answered so; None is not at all."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                found: Effect | None = (await pdp.check(ask())).effect
            except PdpError:
                found = None
            if found is effect:
                return
            await asyncio.sleep(0.01)


def tells(*messages: tuple[str, str] | bytes, then: asyncio.Event | None = None) -> Method:
    """Return a FollowPolicy that sends these revisions and texts, and then waits for an event or for ever."""

    async def tell(_data: bytes, context: Context) -> None:
        for message in messages:
            if isinstance(message, bytes):
                await context.write(message)
            else:
                await context.write(policy(*message))
        await (then or asyncio.Event()).wait()

    return tell


def policy(revision: str, text: str = "") -> bytes:
    """Return a message that brings a policy, or without a text a sign of life."""
    files = [policy_pb2.PolicyFile(name="world.authz", text=text)] if text else []
    return enforcement_pb2.FollowPolicyResponse(policy_revision=revision, files=files).SerializeToString()


REVISION = program_of().revision


# --- A real server --------------------------------------------------------------------------


async def test_the_servers_policy_decides_here_and_its_changes_follow(policies: Path) -> None:
    """Issue 5: LocalPdp, following a server's active policy by a stream."""
    async with serving(policies=policies, share_policy=True) as running, following(running.server.address) as pdp:
        decision = await pdp.check(ask())
        assert decision.allowed
        assert decision.policy_revision == running.server.engine.program.revision
        (policies / "world.authz").write_text(DENIED)
        assert await running.server.reloader.reload()
        await decides(pdp, Effect.DENY)
        assert (await pdp.check(ask())).reason is Reason.EXPLICIT_DENY


async def test_a_server_that_does_not_share_its_policy_is_not_decided_for(policies: Path) -> None:
    """Issue 5: never connected: every check raises."""
    async with serving(policies=policies) as running, following(running.server.address, first=0.5) as pdp:
        with pytest.raises(PdpError, match="has not arrived"):
            await pdp.check(ask())
        with pytest.raises(PdpError, match="has not arrived"):
            await pdp.check_all([ask()])
        with pytest.raises(PdpError, match="has not arrived"):
            await pdp.describe(["ping"])


async def test_a_server_that_comes_later_is_followed_then(policies: Path, tmp_path: Path) -> None:
    """Issue 5: reconnects with back-off."""
    address = f"unix:{tmp_path}/s.sock"
    async with following(address, first=0.1) as pdp:
        with pytest.raises(PdpError):
            await pdp.check(ask())
        async with scripted(address, FollowPolicy=tells((REVISION, POLICY))):
            await decides(pdp, Effect.ALLOW)


# --- What is no policy ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        b"\xff\xff",
        b"",
        policy(OTHER, POLICY),
        policy("", POLICY),
        policy(REVISION),
        policy(REVISION, "tool {"),
        policy(OTHER, 'tool "x" { allow anyone when nonsense }'),
    ],
    ids=["garbage", "empty", "another revision", "no revision", "no files", "broken", "invalid"],
)
async def test_a_policy_that_is_not_what_it_says_decides_nothing(lie: bytes) -> None:
    """Issue 5: checks that the revision equals the server's; a broken policy is refused like the server would."""
    async with scripted(FollowPolicy=tells(lie)) as server, following(server.address, first=0.3) as pdp:
        await until(lambda: len(server.messages("FollowPolicy")) > 1)  # it is asked again, and lies again
        with pytest.raises(PdpError):
            await pdp.check(ask())


@pytest.mark.parametrize(
    "lie",
    [policy(OTHER, POLICY), policy(OTHER), b"\xff", policy(OTHER, "tool {")],
    ids=["files", "sign", "garbage", "broken"],
)
async def test_a_change_that_cannot_be_taken_ends_deciding_by_the_old_policy(lie: bytes) -> None:
    """Issue 5: never decides by an old policy silently: the server decides by another one now."""
    go = asyncio.Event()

    async def tell(_data: bytes, context: Context) -> None:
        await context.write(policy(REVISION, POLICY))
        await go.wait()
        await context.write(lie)
        await asyncio.Event().wait()

    async with scripted(FollowPolicy=tell) as server, following(server.address) as pdp:
        assert (await pdp.check(ask())).allowed
        go.set()
        await decides(pdp, None)


async def test_signs_of_life_keep_the_policy_and_a_break_of_the_stream_does_not_end_it() -> None:
    """Issue 5: a short break is bridged by `stale_after`, and the stream is asked for again."""
    end = asyncio.Event()
    telling = tells((REVISION, POLICY), policy(REVISION), then=end)
    async with scripted(FollowPolicy=telling) as server, following(server.address) as pdp:
        assert (await pdp.check(ask())).allowed
        end.set()
        await until(lambda: len(server.messages("FollowPolicy")) > 1)
        assert (await pdp.check(ask())).allowed


async def test_after_too_long_a_silence_nothing_is_decided() -> None:
    """Issue 5: nothing heard for `stale_after`: every check raises."""
    async with scripted(FollowPolicy=tells((REVISION, POLICY))) as server:
        follower = _Follower(connection(server.address), 30.0, standard_logger())
        task = asyncio.create_task(follower.run())
        async with asyncio.timeout(PATIENCE_S):
            await follower.arrived.wait()
        heard = follower._heard
        follower._now = lambda: heard + 30.0
        assert follower.program().revision == REVISION
        follower._now = lambda: heard + 30.1
        with pytest.raises(PdpError, match="30 seconds"):
            follower.program()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_stream_that_falls_silent_is_left_and_asked_for_again() -> None:
    """Issue 5: half open: connected, and never a sign of life."""
    async with scripted(FollowPolicy=tells()) as server, following(server.address, first=0.1, stale_after=0.1):
        await until(lambda: len(server.messages("FollowPolicy")) > 1)


async def test_a_failing_stream_is_asked_for_again_later_and_later() -> None:
    """Issue 5: back-off: a server in trouble is not hammered."""
    failing = fails(grpc.StatusCode.UNAVAILABLE, "ending", times=3, then=tells((REVISION, POLICY)))
    async with scripted(FollowPolicy=failing) as server, following(server.address) as pdp:
        assert (await pdp.check(ask())).allowed
        assert len(server.messages("FollowPolicy")) == 4


async def test_a_server_on_another_machine_is_followed_by_tls_only() -> None:
    """Issue 5: whoever could change the policy on its way could allow anything."""
    with pytest.raises(ConfigError, match="not encrypted"):
        await follow("pdp.example:8181")
