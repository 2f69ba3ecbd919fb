"""npm `@modelcontextprotocol/conformance` finds a guarded server to be what the server is (issue 5, tests)."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from authz.fastmcp import protect as protect_fastmcp
from authz.mcp import protect
from tests.mcp.npm.everything_events import Events
from tests.mcp.npm.everything_fastmcp import some
from tests.mcp.npm.everything_server import everything
from tests.mcp.test_http import request
from tests.mcp.world import World, guarded, issuer_config, listening, served, settings, trusting
from tests.npm import environment, installed, node
from tests.oauth.support import Clock, issuing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from authz.pep.config import GuardConfig

# The suite asks for what the newer revision has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

PACKAGES: Final = Path(__file__).parent / "npm"
POLICY: Final = """
role "viewer"
tool "*" { allow role "viewer" }
"""
"""All of it, to somebody whose token says so: the suite has none, `Sends` sends it."""
SCENARIOS: Final = {"2025-11-25": 33, "2026-07-28": 50}
"""Of a server, that the suite runs for a revision."""
both_revisions = pytest.mark.parametrize("revision", SCENARIOS)
Checks = dict[str, list[tuple[str, str, str]]]
"""For each scenario its checks: name, how it ended, and what was wrong."""


class Sends:
    """Sends a token with each request, as the suite cannot."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        """Stand before this app."""
        self.app = app
        self.header = (b"authorization", f"Bearer {token}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add a header, and pass on all else as it came."""
        if scope["type"] == "http":
            scope = {**scope, "headers": [*scope["headers"], self.header]}
        await self.app(scope, receive, send)


@asynccontextmanager
async def plain(app: ASGIApp) -> AsyncIterator[str]:
    """Serve a server that nobody guards, and return its URL."""
    with listening() as (found, url):
        async with served(app, found):
            yield url


@asynccontextmanager
async def behind(folder: Path, protected: Callable[[GuardConfig], ASGIApp]) -> AsyncIterator[str]:
    """Serve a guarded server to somebody who may do everything, and return its URL."""
    with listening() as (found, url), issuing(Clock(time.time()), issuer_config(url)) as (_, browser):
        issuers = trusting(folder, browser.issuer, url)
        app = protected(settings(folder, POLICY, resource=url, issuers=issuers, mapping=()))
        async with served(Sends(app, World(url, browser).token("alice")), found):
            yield url


def resumable(config: GuardConfig) -> ASGIApp:
    """Guard the server with everything, and streams that can be resumed."""
    return protect(everything(), config, event_store=Events(), retry_interval=100)


async def run(url: str, revision: str, folder: Path) -> Checks:
    """Run all that a revision demands of a server, and return how each check ended."""
    program = installed(PACKAGES) / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    command = [node(), str(program), "server", "--url", url, "--requirements", revision, "-o", str(folder)]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(300):
        said, _ = await process.communicate()
    return results(folder) or pytest.fail(said.decode())


def results(folder: Path) -> Checks:
    """Return what the suite has written down."""
    return {
        re.sub(r"^server-|-\d{4}-\d\d-\d\dT.*$", "", path.parent.name): [
            _ended(check) for check in json.loads(path.read_text())
        ]
        for path in sorted(folder.rglob("checks.json"))
    }


def _ended(check: dict[str, Any]) -> tuple[str, str, str]:
    wrong = str(check.get("errorMessage") or "") if check["status"] in {"FAILURE", "WARNING"} else ""
    return f"{check['id']}: {check['name']}", check["status"], wrong


def failed(checks: Checks) -> dict[str, list[tuple[str, str, str]]]:
    """Return what failed."""
    return {
        scenario: found
        for scenario, ended in checks.items()
        if (found := [check for check in ended if check[1] == "FAILURE"])
    }


@pytest.mark.slow
@both_revisions
async def test_the_suite_finds_the_guarded_server_as_it_finds_the_server(tmp_path: Path, revision: str) -> None:
    """Issue 5, tests: every check of every scenario ends the same with and without the guard.

    All that the revision demands passes; what fails is of an extension, `tasks`, that the SDK does not have.
    """
    async with plain(everything().streamable_http_app(event_store=Events(), retry_interval=100)) as url:
        before = await run(url, revision, tmp_path / "plain")
    async with behind(tmp_path, resumable) as url:
        after = await run(url, revision, tmp_path / "guarded")
    assert len(before) == SCENARIOS[revision]
    assert [scenario for scenario in failed(before) if not scenario.startswith("tasks-")] == []
    assert differing(before, after) == []


@pytest.mark.slow
@both_revisions
async def test_the_suite_finds_a_guarded_fastmcp_server_no_worse(tmp_path: Path, revision: str) -> None:
    """Issue 5, tests: the same on FastMCP, which by itself takes requests from pages of other origins (R18)."""
    async with plain(some().http_app(path="/mcp")) as url:
        before = await run(url, revision, tmp_path / "plain")
    async with behind(tmp_path, lambda config: protect_fastmcp(some(), config)) as url:
        after = await run(url, revision, tmp_path / "guarded")
    (difference,) = differing(before, after)
    assert difference[0] == "dns-rebinding-protection"
    assert [status for _, status, _ in after["dns-rebinding-protection"]] == ["SUCCESS"] * 2
    assert [status for _, status, _ in after["tools-call-simple-text"]] == ["SUCCESS"] * 2


def differing(before: Checks, after: Checks) -> list[tuple[str, list[Any], list[Any]]]:
    """Return each scenario that ended otherwise, with what is otherwise on either side."""
    differences = []
    for scenario in before | after:
        one, other = before.get(scenario, []), after.get(scenario, [])
        if one != other:
            pair = [check for check in one if check not in other], [check for check in other if check not in one]
            differences.append((scenario, *pair))
    return differences


async def test_a_method_of_another_revision_is_no_method(tmp_path: Path) -> None:
    """R22, issue 5: -32601 and 404 as without the guard, even where what it should be about is not said."""
    async with guarded(tmp_path, everything(), POLICY, mapping=()) as world:
        answers = [
            await world.post(json.dumps(request(method)), world.token("alice"), **{"Mcp-Method": method})
            for method in ("resources/subscribe", "logging/setLevel", "no/such")
        ]
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [(404, -32601)] * 3
