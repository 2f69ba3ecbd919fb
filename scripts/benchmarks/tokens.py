"""What tokens cost: validation, fresh and remembered, and what an issuer's keys cost when others misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import threading
import time
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from authz.tokens.errors import TokenError
from authz.tokens.http import HttpError, Response, SafeHttp
from authz.tokens.issuer import Issuer
from authz.tokens.jwks import RemoteKeys
from authz.tokens.service import TokenService
from scripts.benchmarks.measuring import Measure, measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

ISSUER, AUDIENCE = "https://idp.example/", "https://mcp.example/"
ALLOWED: Final = frozenset({"RS256"})
_OVERSIZE_MB: Final = 200


def measure(quick: bool) -> Iterator[Measure]:  # noqa: FBT001  # the one argument of every group
    """Yield the figures of tokens."""
    key = generate_private_key(65_537, 2_048)
    jwks = json.dumps({"keys": [{**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "k1"}]})
    yield from asyncio.run(_validation(key, jwks.encode(), rounds=300 if quick else 2_000))
    yield from asyncio.run(_unknown_keys(jwks.encode(), looks=1_000 if quick else 10_000))
    yield from asyncio.run(_while_it_hangs(jwks.encode()))
    yield from asyncio.run(_oversize())


class Published:
    """An issuer's key set without a network: what its address answers, and how often it is asked."""

    def __init__(self, answer: Callable[[], Response]) -> None:
        """Answer so."""
        self.answer = answer
        self.asked = 0
        self.hangs = False

    async def get(self, url: str, *, deadline: float, max_bytes: int) -> Response:
        """Count, and answer within bounds, or not at all."""
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(deadline)
            raise HttpError(f"`{url}` did not answer in time")
        found = self.answer()
        if len(found.body) > max_bytes:
            raise HttpError(f"`{url}` answered more than {max_bytes} bytes")
        return found

    async def post(
        self,
        url: str,
        form: Mapping[str, str],  # noqa: ARG002  # as an `Http` has it
        *,
        basic: tuple[str, str] | None,  # noqa: ARG002  # as above
        deadline: float,
        max_bytes: int,
    ) -> Response:
        """Answer as `get` does."""
        return await self.get(url, deadline=deadline, max_bytes=max_bytes)

    async def close(self) -> None:
        """Do nothing."""


async def _address() -> str:
    return "https://idp.example/keys"


def _found(body: bytes) -> Callable[[], Response]:
    return lambda: Response(200, {"content-type": "application/json", "cache-control": "max-age=3600"}, body)


async def _validation(key: RSAPrivateKey, jwks: bytes, rounds: int) -> list[Measure]:
    issuer = Issuer(ISSUER, frozenset({AUDIENCE}), ALLOWED, jwks_uri="https://idp.example/keys")
    service = TokenService([issuer], Published(_found(jwks)))
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600, "scope": "docs:read"}
    tokens = [
        jwt.encode({**usual, "jti": str(number)}, key, "RS256", headers={"kid": "k1", "typ": "at+jwt"})
        for number in range(rounds)
    ]
    await service.validate(tokens[0])
    fresh, remembered, bare = [], [], []
    public = key.public_key()
    for token in tokens[1:]:
        started = time.perf_counter_ns()
        claims = jwt.decode(token, public, ["RS256"], audience=AUDIENCE, issuer=ISSUER)
        bare.append((time.perf_counter_ns() - started) / 1_000)
        started = time.perf_counter_ns()
        caller = await service.validate(token)
        fresh.append((time.perf_counter_ns() - started) / 1_000)
        started = time.perf_counter_ns()
        again = await service.validate(token)
        remembered.append((time.perf_counter_ns() - started) / 1_000)
        assert caller == again, claims
    await service.close()
    ratio = statistics.median(fresh) / statistics.median(bare)
    return [
        measured("a fresh RS256 token", fresh, "µs"),
        measured("the same by PyJWT's own decode", bare, "µs"),
        Measure("fresh over PyJWT's decode, medians", ratio, ratio, ratio, "", "<= 1.3"),
        measured("a remembered token", remembered, "µs", "<= 5"),
    ]


async def _unknown_keys(jwks: bytes, looks: int) -> list[Measure]:
    good, dead = Published(_found(jwks)), Published(lambda: Response(503, {}, b""))
    asked = []
    for http in (good, dead):
        keys = RemoteKeys(_address, http, ALLOWED)
        for number in range(looks):
            try:
                await keys.key(f"unknown-{number}", "RS256")
            except TokenError:
                continue
        asked.append(float(http.asked))
    return [
        measured(f"requests for {looks:,} unknown keys, the first for the set itself", [asked[0]], "", "<= 2"),
        measured(f"requests for {looks:,} look-ups on a dead endpoint", [asked[1]], "", "<= 10"),
    ]


async def _while_it_hangs(jwks: bytes) -> list[Measure]:
    """Look a known key up while a request for an unknown one hangs."""
    http = Published(_found(jwks))
    keys = RemoteKeys(_address, http, ALLOWED, cooldown=0, deadline=1)
    await keys.key("k1", "RS256")
    http.hangs = True
    unknown = asyncio.create_task(keys.key("unknown", "RS256"))
    await asyncio.sleep(0.05)
    spent = []
    for _ in range(100):
        started = time.perf_counter_ns()
        await keys.key("k1", "RS256")
        spent.append((time.perf_counter_ns() - started) / 1_000_000)
    await asyncio.gather(unknown, return_exceptions=True)
    return [measured("a known key while another request hangs", spent, "ms", "<= 5")]


class _Flood(BaseHTTPRequestHandler):
    """Answers with far too much."""

    def do_GET(self) -> None:  # the name that the server looks for
        """Send until nobody takes any more."""
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(_OVERSIZE_MB):
                self.wfile.write(b" " * 1024 * 1024)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


async def _oversize() -> list[Measure]:
    """Fetch a key set of 200 MB from a real server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Flood)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    async def address() -> str:
        return f"http://127.0.0.1:{server.server_port}/keys"

    http = SafeHttp(loopback_http=True)
    keys = RemoteKeys(address, http, ALLOWED)
    tracemalloc.start()
    with contextlib.suppress(TokenError):
        await keys.key("k1", "RS256")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await http.close()
    server.shutdown()
    return [measured(f"memory for a key set of {_OVERSIZE_MB} MB", [peak / 1024 / 1024], "MB", "<= 20")]
