"""The proxy in front of the filesystem server from npm: what it does when that server does not (issue 5, item 7)."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shlex
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from tests.mcp.world import WIRES, refused
from tests.npm import installed, node

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import ModuleType

pytestmark = pytest.mark.slow  # the first time, npm has to fetch the server

ROOT: Final = Path(__file__).resolve().parents[2]
SERVER: Final = "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js"
GUARD: Final = """
resource = "http://127.0.0.1:8000/mcp"
issuers = "{root}/examples/issuers.toml"
policies = "policies"
deadline = 5.0

[stdio]
subject = "alice"
tenant = "acme"
scopes = ["files:read"]
"""


def load(name: str) -> ModuleType:
    """Return an example as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / "mcp" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Proxy:
    """The example, with files of its own, for a caller without HTTP."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str = "") -> None:
        """Set up the files; `command` takes the place of the filesystem server."""
        self.files = load("files").prepare(folder).files
        self._id = folder / "id"
        script = folder / "start.sh"
        server = shlex.join([node(), str(installed(ROOT / "tests/mcp/npm") / SERVER)])
        script.write_text(f'#!/bin/sh\necho $$ > {shlex.quote(str(self._id))}\nexec {command or server} "$@"\n')
        script.chmod(0o700)
        guard = folder / "guard.toml"
        guard.write_text(GUARD.format(root=ROOT))
        found = {"FILES": self.files, "GUARD": guard, "FILESYSTEM_SERVER": shlex.quote(str(script))}
        for name, value in found.items():
            monkeypatch.setenv(name, str(value))
        self.module = load("filesystem_proxy")

    @asynccontextmanager
    async def client(self, wire: str = "2026-07-28") -> AsyncIterator[Client]:
        """Return a client of alice's, to whom the server answers within the time that a test has."""
        async with asyncio.timeout(30), Client(self.module.server, mode=WIRES[wire]) as client:
            yield client

    def signal(self, number: int) -> None:
        """Send a signal to the server, and to what started it: the `node` of PyPI is a program around Node."""
        os.killpg(int(self._id.read_text()), number)

    async def read(self, client: Client, path: str) -> str:
        """Read a file of alice's tenant."""
        result = await client.call_tool("read_text_file", {"path": f"{self.files}/acme/{path}"})
        return str(getattr(result.content[0], "text", ""))


@pytest.mark.parametrize("wire", WIRES)
async def test_the_server_behind_the_proxy_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wire: str) -> None:
    """Issue 5, item 7: what is allowed goes on, and nothing else does."""
    proxy = Proxy(tmp_path, monkeypatch)
    async with proxy.client(wire) as client:
        assert await proxy.read(client, "shared/plan.md") == "Three products.\n"
        with pytest.raises(MCPError) as raised:
            await proxy.read(client, "home/bob/diary.md")
        assert refused(raised.value)[0] == -32001
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert "move_file" not in tools  # alice has no role here
    assert tools["read_text_file"].annotations is not None
    assert tools["read_text_file"].annotations.read_only_hint is True


async def test_a_server_that_has_died_answers_nothing_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5, item 7: every call is an error, and none waits for ever."""
    proxy = Proxy(tmp_path, monkeypatch)
    async with proxy.client() as client:
        await proxy.read(client, "shared/plan.md")
        proxy.signal(signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(MCPError) as raised:
                await proxy.read(client, "shared/plan.md")
            assert raised.value.error.code < 0
            with pytest.raises(MCPError) as raised:
                await client.list_tools()
            assert raised.value.error.code < 0


async def test_a_server_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 5, item 7: a call takes no longer than the proxy's patience."""
    proxy = Proxy(tmp_path, monkeypatch)
    async with proxy.client() as client:
        await proxy.read(client, "shared/plan.md")
        monkeypatch.setattr(proxy.module, "PATIENCE", 0.5)
        proxy.signal(signal.SIGSTOP)
        try:
            with pytest.raises(MCPError, match="timed out"):
                await proxy.read(client, "shared/plan.md")
        finally:
            proxy.signal(signal.SIGKILL)


async def test_a_server_that_does_not_start_keeps_the_proxy_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5, item 7: there is no proxy that denies everything and does not say why."""
    proxy = Proxy(tmp_path, monkeypatch, command="false")
    with pytest.raises(ExceptionGroup) as raised:
        async with proxy.client():
            pytest.fail("it began")
    assert raised.group_contains(MCPError, match="Connection closed")


@pytest.fixture(autouse=True)
def _examples_are_apart() -> Any:  # noqa: ANN401  # a generator of nothing
    """Leave no module of an example behind."""
    yield
    for name in [name for name in sys.modules if name.startswith("example_")]:
        del sys.modules[name]
