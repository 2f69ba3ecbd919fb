"""What becomes of a token at a guarded MCP server: where it counts, how often it is looked at, and where it ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from authz.tokens import Caller, Refusal, TokenError, TokenService
from tests.mcp.world import guarded
from tests.oauth.support import CALLBACK
from tests.pep import gate_world
from tests.pep.scripted import allow, answers_batches, scripted
from tests.requirements.support import ask, message, write
from tests.tokens.world import AUDIENCE, ISSUER, FixedKeys, NoHttp, claims, header, issuer, sign

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.pep.scripted import Context, Method


async def test_a_token_in_the_message_is_no_token(tmp_path: Path) -> None:
    """S18, C6: neither instead of the header nor over it."""
    async with guarded(tmp_path) as world:
        alice, edith = world.token("alice"), world.token("edith")
        assert (await ask(world, write(), edith))[0] == 200
        for place in ("authorization", "Authorization", "io.modelcontextprotocol/authorization"):
            hidden = write(**{place: {"type": "bearer", "token": edith}})
            assert (await ask(world, hidden))[0] == 401
            status, text = await ask(world, hidden, alice)
            assert (status, "NO_ALLOW" in text, "d1 is now x" in text) == (200, True, False)
            assert edith not in text


async def test_a_token_is_validated_once_for_each_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S6, S29: at the boundary, whatever the request is about; and again for the next one."""
    seen: list[str] = []
    validate = TokenService.validate

    async def counting(self: TokenService, token: str, *, fresh: bool = False, source: str = "") -> Caller:
        seen.append(token)
        return await validate(self, token, fresh=fresh, source=source)

    monkeypatch.setattr(TokenService, "validate", counting)
    async with guarded(tmp_path) as world:
        edith = world.token("edith")
        assert (await ask(world, write(), edith))[0] == 200
        assert seen == [edith]
        status, text = await ask(world, message("tools/list"), edith)
        assert (status, "write_document" in text) == (200, True)
        assert seen == [edith, edith]


async def test_a_token_goes_no_further_than_the_guard(tmp_path: Path) -> None:
    """R7: who decides learns what the token says, and never the token; it could be used elsewhere."""
    seen: list[str] = []

    def noting(method: Method) -> Method:
        async def note(data: bytes, context: Context) -> object:
            seen.append(f"{data!r} {context.invocation_metadata()}")
            return await method(data, context)

        return note

    async def check(_data: bytes, _context: Context) -> bytes:
        return allow().SerializeToString()

    async with scripted(Check=noting(check), BatchCheck=noting(answers_batches())) as script:
        async with guarded(tmp_path, policies=None, pdp=(script.address,)) as world:
            token = world.token("edith")
            assert (await ask(world, write(), token))[0] == 200
            assert (await ask(world, message("tools/list"), token))[0] == 200
        assert len(seen) == 2
        assert all("edith" in one for one in seen)
        everything = " ".join([*seen, *(repr(data) for _, data in script.asked)])
    for part in (token, *token.split(".")):
        assert part not in everything


async def test_a_token_that_is_refused_is_recorded_by_its_digest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """S62, S64, S99: why, and which one it was for whoever has it, and nothing that could be used."""
    caplog.set_level(logging.INFO, "authz.pep")
    async with guarded(tmp_path) as world:
        good = world.token("edith")
        bad = good[:-8] + ("A" * 8 if good[-8:] != "A" * 8 else "B" * 8)
        assert (await ask(world, write(), bad))[0] == 401
    (line,) = [line for line in caplog.messages if "token refused" in line]
    assert "reason=bad_signature" in line
    assert hashlib.sha256(bad.encode()).hexdigest() in line
    assert "'127.0.0.1'" in line
    assert not any(part in caplog.text for part in (*good.split("."), bad.rpartition(".")[2]))


async def test_a_guarded_server_has_no_door_where_tokens_are_made(tmp_path: Path) -> None:
    """S1, S7: whoever signs in, registers or asks for a token is sent to the issuer."""
    async with guarded(tmp_path) as world, world.http("") as http:
        origin = world.url.removesuffix("/mcp")
        for path in ("/authorize", "/token", "/register", "/login", "/revoke", "/callback"):
            form = {"grant_type": "password", "username": "edith", "password": "edith", "client_id": "desktop"}
            answers = [await http.get(origin + path), await http.post(origin + path, data=form)]
            assert {answer.status_code for answer in answers} == {401}
            assert all("resource_metadata=" in answer.headers["WWW-Authenticate"] for answer in answers)
        document = (await http.get(f"{origin}/.well-known/oauth-protected-resource/mcp")).json()
        assert document["authorization_servers"] == [world.browser.issuer]
        for name in ("oauth-authorization-server", "openid-configuration"):
            assert (await http.get(f"{origin}/.well-known/{name}")).status_code in {401, 404}


def test_what_validates_and_decides_holds_no_code_that_makes_tokens() -> None:
    """S1, S7: guard, tokens and server run without the development issuer and without its library."""
    code = (
        "import sys, authz.mcp.protecting, authz.fastmcp.protecting, authz.tokens.opening, authz.server.app\n"
        "print(sorted(n for n in sys.modules if n.partition('.')[0] == 'authlib' or n.startswith('authz.oauth')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


class Badges:
    """Tokens of another kind: a word for each caller."""

    async def validate(self, token: str, *, fresh: bool = False, source: str = "") -> Caller:
        """Return who has this badge."""
        if token != "badge-of-alice":
            raise TokenError(Refusal.MALFORMED, "no badge")
        now = time.time()
        return Caller(
            issuer="https://badges.example",
            subject="alice",
            client="",
            actors=(),
            scopes=("docs:read",),
            roles=("editor",),
            tenant="acme",
            audience=(AUDIENCE,),
            token_id="",
            expires_at=now + 60,
            issued_at=now,
            validated_at=datetime.now(UTC),
            digest="0" * 64,
        )


async def test_tokens_may_be_validated_in_another_way() -> None:
    """S21: whatever has `validate` stands where our service stands, and the rest of the gate is the same."""
    world = gate_world.world(tokens=Badges())
    body = gate_world.call("read_document", id="d1")
    assert (await world.ask(body, (b"authorization", b"Bearer badge-of-alice"))).status == 200
    assert world.reached.admitted.identity.subject == "alice"
    assert (await world.ask(body, (b"authorization", b"Bearer badge-of-bob"))).status == 401


async def test_keys_may_come_from_elsewhere() -> None:
    """S21: a source of one's own takes the place of what an issuer publishes; nothing is asked of a network."""
    keys = FixedKeys()
    service = TokenService((issuer(),), NoHttp(), keys={ISSUER: keys})
    assert (await service.validate(sign(header(), claims(time.time())))).subject == "alice"
    assert keys.asked == ["k1"]
    await service.close()


async def test_a_restart_forgets_what_was_validated() -> None:
    """S46: what is remembered is in memory only, so that the next process looks for itself."""
    token, asked = sign(header(), claims(time.time())), []
    for _ in range(2):
        keys = FixedKeys()
        service = TokenService((issuer(),), NoHttp(), keys={ISSUER: keys})
        await asyncio.gather(service.validate(token), service.validate(token))
        await service.validate(token)
        asked.append(keys.asked)
        await service.close()
    assert asked == [["k1"], ["k1"]]


async def test_what_must_not_be_guessed_does_not_come_from_a_seed(tmp_path: Path) -> None:
    """S98: codes, tokens and ids come from the system, whatever state Python's own generator is in."""
    seen: list[tuple[str, ...]] = []
    async with guarded(tmp_path) as world:
        for _ in range(2):
            random.seed(7)
            code = world.browser.sign_in("edith", resource=world.url, scope="docs:read").parameters["code"]
            issued = world.browser.exchange(code, resource=world.url, redirect_uri=CALLBACK).json()
            _, refusal = await ask(world, write())
            identity = json.loads(refusal)["request_id"]
            seen.append((code, issued["access_token"], issued["refresh_token"], identity))
    assert all(one != other and len(one) >= 32 for one, other in zip(*seen, strict=True))
