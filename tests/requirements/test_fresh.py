"""Tokens that were withdrawn: where nothing remembered counts, and what replicas share."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from click.testing import CliRunner

from authz.cli.eval import main
from authz.mcp import protect
from authz.pep.config import Stdio
from authz.pep.opening import protection
from authz.server.config import DecisionLogConfig, StoreConfig
from authz.stores.redis.shared import share
from authz.tokens import Revocation, Revoked
from authz.v1 import decision_pb2 as v1
from tests.mcp.world import World, documents, issuer_config, listening, served, settings, trusting
from tests.oauth.support import Clock, issuing
from tests.pep.gate_world import Catalogue
from tests.requirements.support import ask, read, write
from tests.server.support import code_of, serving
from tests.tokens.test_redis import KEY, PASSWORD, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from authz.pep.config import GuardConfig

OURS: Final = "documents-server"
SECRET: Final = "planted-secret-of-the-server"  # of a server that lives for one test


@asynccontextmanager
async def guarding(
    folder: Path,
    more: str = "",
    **given: Any,  # noqa: ANN401  # other settings
) -> AsyncIterator[tuple[GuardConfig, World]]:
    """Give the settings of a guard whose issuer can be asked about its tokens, and must be for `write_*`."""
    with listening() as (found, url):
        config = issuer_config(url)
        config["clients"][OURS] = {"secret": SECRET, "grants": [], "introspect": True}
        with issuing(Clock(time.time()), config) as (_, browser):
            path = trusting(folder, browser.issuer, url)
            (folder / "secret").write_text(SECRET)
            (folder / "secret").chmod(0o600)
            asked = f'[issuer.introspection]\nclient_id = "{OURS}"\nclient_secret_file = "secret"\n'
            path.write_text(f'fresh_tools = ["write_*"]\n{path.read_text()}{asked}{more}')
            guard = settings(folder, resource=url, issuers=path, **given)
            async with served(protect(documents(), guard), found):
                yield guard, World(url, browser)


async def test_a_tool_that_asks_for_it_is_not_called_with_a_token_that_was_withdrawn(tmp_path: Path) -> None:
    """S49: its issuer is asked anew, although the token is remembered, and good by its signature."""
    async with guarding(tmp_path) as (_, world):
        edith = world.token("edith")
        assert (await ask(world, write(), edith))[0] == 200
        assert (await ask(world, read(), edith))[0] == 200
        world.browser.revoke(edith)
        assert (await ask(world, read(), edith))[0] == 200
        status, text = await ask(world, write(), edith)
    assert (status, "d1 is now x" in text) == (401, False)
    assert "invalid_token" in text


async def test_the_server_asks_anew_as_well(tmp_path: Path) -> None:
    """S49: where a question brings its caller's token, the tool that it is about says whether memory counts."""
    async with guarding(tmp_path) as (guard, world), serving(policies=guard.policies, tokens=guard.issuers) as running:
        edith = world.token("edith")
        document = v1.Resource(type="document", id="d1", tenant="acme")
        reading = v1.CheckRequest(tool="read_document", resource=document, token=edith)
        writing = v1.CheckRequest(tool="write_document", resource=document, token=edith)
        writing.arguments["title"] = "x"
        for question in (reading, writing):
            assert (await running.stub.Check(question)).decision == v1.DECISION_ALLOW
        world.browser.revoke(edith)
        assert (await running.stub.Check(reading)).decision == v1.DECISION_ALLOW
        assert (await code_of(running.stub.Check(writing)))[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_a_token_of_the_environment_is_asked_about_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S49, R1: before the tool is known, so for every message, where any tool asks for it."""
    async with guarding(tmp_path, stdio=Stdio(token_env="EDITHS_TOKEN")) as (guard, world):  # its variable
        edith = world.token("edith")
        monkeypatch.setenv("EDITHS_TOKEN", edith)
        opened = protection(guard, catalogue=Catalogue(()))
        await opened.open()
        try:
            identity = await opened.identity_without_http()
            assert identity is not None
            assert identity.subject == "edith"
            world.browser.revoke(edith)
            assert await opened.identity_without_http() is None
        finally:
            await opened.close()


async def test_what_is_revoked_in_the_guards_own_store_counts_at_once(tmp_path: Path) -> None:
    """S101, S46: every server with this store heeds it, a guard that keeps its log there as well."""
    place = tmp_path / "s.db"
    async with guarding(tmp_path, decision_log=DecisionLogConfig("required"), store=StoreConfig(place)) as (_, world):
        edith = world.token("edith")
        assert (await ask(world, read(), edith))[0] == 200
        meant = ["--store", str(place), "--issuer", world.browser.issuer, "--subject", "edith"]
        ran = CliRunner().invoke(main, ["token", "revoke", *meant])
        assert (ran.exit_code, ran.stderr) == (0, "")
        assert (await ask(world, read(), edith))[0] == 401
        assert (await ask(world, read(), world.token("alice")))[0] == 200


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """Run a Redis; give it, and what an issuers' file says of it."""
    server = Server(tmp_path)
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "password").write_text(PASSWORD)
    for name in ("key", "password"):
        (tmp_path / name).chmod(0o600)
    server.start()
    try:
        yield server, f'[redis]\nurl = "unix://{server.socket}"\npassword_file = "password"\nkey_file = "key"\n'
    finally:
        server.stop()


async def test_what_another_replica_revokes_counts_at_the_guard(tmp_path: Path, redis: tuple[Server, str]) -> None:
    """S47, S101: at once, whatever the guard remembers."""
    async with guarding(tmp_path, redis[1]) as (_, world):
        edith = world.token("edith")
        assert (await ask(world, read(), edith))[0] == 200
        other = share(redis[0].settings, 10)
        await other.revocations.revoke(Revocation(Revoked.SUBJECT, world.browser.issuer, "edith", time.time()), keep=60)
        await other.close()
        assert (await ask(world, read(), edith))[0] == 401
        assert (await ask(world, read(), world.token("alice")))[0] == 200


async def test_while_revocations_cannot_be_known_nobody_comes_in(tmp_path: Path, redis: tuple[Server, str]) -> None:
    """S101: a revoked token might be among those that come."""
    async with guarding(tmp_path, redis[1]) as (_, world):
        edith = world.token("edith")
        assert (await ask(world, read(), edith))[0] == 200
        redis[0].stop()
        assert (await ask(world, read(), edith))[0] == 503
