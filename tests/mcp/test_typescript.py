"""The TypeScript SDK's clients, 1.x and 2.x, against the example servers (issue 5, tests)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.npm import environment, installed, node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = Path(__file__).parent / "npm"
CLIENTS: Final = {
    "1.x": ("sdk", "2025-11-25"),
    "2.x on the older wire": ("client", "2025-11-25"),
    "2.x": ("client", "2026-07-28"),
}
every_client = pytest.mark.parametrize("client", CLIENTS)


@contextmanager
def serving(server: str) -> Iterator[tuple[str, str]]:
    """Start an example, and return the URLs of server and issuer."""
    command = [sys.executable, str(ROOT / "examples/mcp/run.py"), server, "--serve", "--any-ports"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline() + process.stdout.readline()
        found = re.findall(r"http\S+", said)
        assert len(found) == 2, said
        yield found[0], found[1]
    finally:
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0  # and nothing that it started goes on


@pytest.fixture(scope="module", params=["sdk", "fastmcp"])
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Return what runs a walk of a client's against a server, once, and returns what came of it."""
    folder = tmp_path_factory.mktemp("walk")
    (folder / "node_modules").symlink_to(installed(PACKAGES) / "node_modules")
    shutil.copy(PACKAGES / "walk.mjs", folder)
    with serving(request.param) as (server, issuer):

        @cache
        def walked(client: str, how: str = "") -> Any:  # noqa: ANN401  # JSON
            command = [node(), "walk.mjs", *CLIENTS[client], server, issuer, how]
            ended = subprocess.run(
                command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=100, check=False
            )
            assert ended.returncode == 0, ended.stderr
            return json.loads(ended.stdout)

        yield walked


@every_client
def test_a_client_gets_a_token_for_basic_use(walk: Callable[..., Any], client: str) -> None:
    """R3, R4, R13: 401, the metadata, and the scopes that reading takes; no request after that is refused by HTTP."""
    said = walk(client)
    assert said["asked"] == ["documents:read"]
    assert said["refusals"] == [401]


@every_client
def test_a_client_sees_and_does_what_its_user_may(walk: Callable[..., Any], client: str) -> None:
    """Issue 5, item 3: filtered lists, allowed calls, and denials as errors of JSON-RPC."""
    said = walk(client)
    assert said["tools"] == ["list_documents", "read_document", "write_document", "delete_document"]
    assert "menu" in said["allowed"]["text"]
    assert (said["otherTenant"]["code"], said["hidden"]["code"]) == (-32001, -32001)
    assert "belongs to another tenant" in said["otherTenant"]["message"]


@every_client
def test_a_client_steps_up(walk: Callable[..., Any], client: str) -> None:
    """R9, R10, C8: 403 with all scopes of the operation, another token, and the call is made.

    Clients of 2025-11-25 ask for these scopes and no others; since writing implies reading, nothing is lost.
    """
    said = walk(client)
    more = "documents:write" if client == "1.x" else "documents:read documents:write"
    assert said["stepUpAsked"] == ["documents:read", more]
    assert said["stepUpRefusals"] == [401, 403]
    assert said["stepUp"] == {"text": "written"}
    assert "Written by" in said["after"]["text"]


def test_a_client_of_2_with_a_refresh_token_steps_up(walk: Callable[..., Any]) -> None:
    """R9: it sees that a refresh would not do, and signs in again."""
    said = walk("2.x", "keep-refresh")
    assert (said["stepUp"], said["stepUpRefusals"]) == ({"text": "written"}, [401, 403])


def test_a_client_of_1_with_a_refresh_token_gives_up(walk: Callable[..., Any]) -> None:
    """R9: it refreshes the token that it has, gets no more by that, and does not go round in circles."""
    said = walk("1.x", "keep-refresh")
    assert (said["stepUp"]["code"], said["stepUpRefusals"]) == (403, [401, 403, 403])
    assert "after trying upscoping" in said["stepUp"]["message"]
    assert said["after"] == said["before"]


@every_client
def test_a_client_that_calls_too_often_is_told_so(walk: Callable[..., Any], client: str) -> None:
    """R16, S27: 429 is an error of the call that says what it is, not tried again by itself."""
    said = walk(client, "flood")
    assert said["limitedRefusals"] == [401, 429]
    assert "too many calls: wait before the next" in said["limited"]["message"]
