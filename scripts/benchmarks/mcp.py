"""What the guard costs an MCP server: a tool call and a list of tools, with and without it, and where the time goes.

Each answer is looked at before it is timed. What the guard adds is taken within each round, in which servers with
and without it are called in turn. What nobody waits for is measured in the thread's own time ("CPU"), in which
whatever else runs on the machine does not count; the rest by the clock.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fastmcp
import grpc
import httpx2
import mcp
from mcp.client.streamable_http import streamable_http_client

from authz.mcp.catalogue import catalogue_of
from authz.model import Decision, Effect
from authz.pep.guard import Guard
from authz.pep.http.body import understand
from authz.pep.mapping import Mapping
from authz.pep.messages import Message
from authz.pep.pdps.asking import METHODS
from authz.pep.pdps.channel import connection
from authz.pep.pdps.local import open_local
from authz.pep.pdps.remote import RemotePdp
from authz.pep.verdict import DENIED, Verdict
from authz.pep.watching import watch
from authz.tokens import load_issuers, open_service
from authz.wire.questions import check_message
from scripts.benchmarks import mcp_world as world
from scripts.benchmarks.measuring import Measure, measured

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from collections.abc import Mapping as Mapped

    from authz.model import Request
    from authz.pep.pdp import Pdp

    Ask = Callable[[], Awaitable[Any]]
    Clock = Callable[[], int]

_CPU: Final = time.thread_time_ns
_BARS: Final = {"local": "<= 100", "remote": "<= 1000"}
_NAMED: Final = {"local": "LocalPdp", "remote": "RemotePdp, Unix socket"}
_MESSAGE: Final = Message("tools/call", {"name": world.CALLED, "arguments": world.ARGUMENTS})


def measure(quick: bool) -> Iterator[Measure]:  # noqa: FBT001  # the one argument of every group
    """Yield the figures of the guard, each group as soon as it is there."""
    calls, rounds = (30, 7) if quick else (100, 15)
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        world.prepare(folder)
        urls = stack.enter_context(_mcp_servers(folder))
        stack.enter_context(_decision_server(folder))
        for url in urls.values():
            httpx2.get(url, timeout=60, trust_env=False)  # whatever the answer: it is up
        yield from asyncio.run(_parts(folder, calls * rounds))
        yield from asyncio.run(_lists(folder, calls, rounds))
        yield from asyncio.run(_in_memory("SDK", world.sdk_server, mcp.Client, folder, calls, rounds))
        yield from asyncio.run(_in_memory("FastMCP", world.fastmcp_server, fastmcp.Client, folder, calls, rounds))
        yield from asyncio.run(_over_http(folder, urls, calls, rounds))


def p6(quick: bool) -> Iterator[Measure]:  # noqa: FBT001  # as above
    """Yield the figures of lists alone."""
    calls, rounds = (30, 7) if quick else (100, 15)
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as name:
        folder = Path(name)
        world.prepare(folder)
        with _decision_server(folder):
            yield from asyncio.run(_lists(folder, calls, rounds))


# --- Where the time of a guarded call goes --------------------------------------------------


async def _parts(folder: Path, times: int) -> list[Measure]:
    async with AsyncExitStack() as stack:
        local, remote = await _decision_points(folder, stack)
        local_guard, remote_guard = _guard(local, folder), _guard(remote, folder)
        (question,) = await local_guard._questions(_MESSAGE, world.ALICE, world.CONTEXT)  # noqa: SLF001  # a part of it
        _, (needs,) = await remote.describe([world.CALLED])
        channel = connection(f"unix:{folder}/pdp.sock").open()
        stack.push_async_callback(channel.close)
        bare_check: Callable[..., Awaitable[bytes]] = channel.unary_unary(METHODS["Check"])
        message = check_message(question, needs.reads, "").SerializeToString()
        tokens = open_service(load_issuers(folder / "local.toml"))
        stack.push_async_callback(tokens.close)
        token = world.token(folder, "local")
        params = {"name": world.CALLED, "arguments": world.ARGUMENTS}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        assert (await understand(body)).request == _MESSAGE
        assert (await tokens.validate(token)).subject == world.ALICE.subject
        for guard in (local_guard, remote_guard):
            verdict = await guard.decide(_MESSAGE, world.ALICE, world.CONTEXT)
            assert verdict.allowed, verdict
        parts: dict[str, Ask] = {
            "body read and understood": partial(understand, body),
            "token, remembered": partial(tokens.validate, token),
            "question made and checked": partial(local_guard._questions, _MESSAGE, world.ALICE, world.CONTEXT),  # noqa: SLF001  # as above
            "LocalPdp": partial(local.check, question),
            "whole verdict by LocalPdp": partial(local_guard.decide, _MESSAGE, world.ALICE, world.CONTEXT),
        }
        waiting: dict[str, Ask] = {
            "RemotePdp, Unix socket": partial(remote.check, question),
            "of that, gRPC itself": partial(bare_check, message, timeout=5),
            "whole verdict by RemotePdp": partial(remote_guard.decide, _MESSAGE, world.ALICE, world.CONTEXT),
        }
        timed = {f"CPU: {name}": spent for name, spent in (await _timed(parts, times, _CPU)).items()}
        timed |= await _timed(waiting, times)
    return [measured(f"a guarded call, {name}", spent, "µs") for name, spent in timed.items()]


# --- Lists ----------------------------------------------------------------------------------


async def _lists(folder: Path, calls: int, rounds: int) -> list[Measure]:
    async with AsyncExitStack() as stack:
        local, remote = await _decision_points(folder, stack)
        guards = {"local": _guard(local, folder), "remote": _guard(remote, folder)}
        items = await guards["local"].catalogue.tools()
        asked = _Recorded(local)
        await _guard(asked, folder).visible("tools/list", items, world.ALICE)
        answers = await local.check_all(asked.requests)
        assert sum(isinstance(one, Decision) and one.effect is not Effect.DENY for one in answers) == world.VISIBLE
        asks: dict[str, Ask] = {}
        for kind, guard in guards.items():
            shown = await guard.visible("tools/list", items, world.ALICE)
            assert not isinstance(shown, Verdict), shown
            assert sum(shown) == world.VISIBLE
            asks[kind] = partial(guard.visible, "tools/list", items, world.ALICE)
        remote_ask = {"remote": asks.pop("remote")}
        asks["partial"] = partial(local.check_all, asked.requests)
        spent = [
            _medians(await _timed(asks, calls, _CPU)) | _medians(await _timed(remote_ask, calls)) for _ in range(rounds)
        ]
    name = f"{world.TOOLS} tools"
    return [
        _of(f"{name} in one batch, parts unknown, CPU", spent, "partial", "ms", "<= 1"),
        _of(f"a list of {name}, CPU: the guard adds, {_NAMED['local']}", spent, "local", "ms", "<= 3"),
        _of(f"a list of {name}: the guard adds, {_NAMED['remote']}", spent, "remote", "ms", "<= 3"),
    ]


class _Recorded:
    """A decision point that keeps what it was asked last."""

    def __init__(self, pdp: Pdp) -> None:
        self._pdp = pdp
        self.requests: tuple[Request, ...] = ()
        self.check, self.describe, self.close = pdp.check, pdp.describe, pdp.close

    async def check_all(self, requests: Any, *, request_id: str = "") -> Any:  # noqa: ANN401  # as a `Pdp` has them
        self.requests = tuple(requests)
        return await self._pdp.check_all(requests, request_id=request_id)


# --- Whole servers --------------------------------------------------------------------------


async def _in_memory(
    framework: str,
    make: Callable[[str, Path], Any],
    client: Callable[[Any], Any],
    folder: Path,
    calls: int,
    rounds: int,  # two kinds
) -> list[Measure]:
    async with AsyncExitStack() as stack:
        clients = {kind: await stack.enter_async_context(client(make(kind, folder))) for kind in world.KINDS}
        inside = {kind: clients[kind] for kind in ("bare", "local")}
        waiting = {kind: clients[kind] for kind in ("bare", "remote")}
        found = await _called(f"{framework} in memory, CPU", inside, calls, rounds, _CPU)
        return found + await _called(f"{framework} in memory", waiting, calls, rounds)


async def _over_http(folder: Path, urls: Mapped[str, str], calls: int, rounds: int) -> list[Measure]:
    async with AsyncExitStack() as stack:
        clients = {}
        for kind, url in urls.items():
            sent = {} if kind == "bare" else {"Authorization": f"Bearer {world.token(folder, kind)}"}
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=sent, timeout=10, trust_env=False))
            found = mcp.Client(streamable_http_client(url, http_client=http))
            clients[kind] = await stack.enter_async_context(found)
        return await _called("SDK over HTTP", clients, calls, rounds)


async def _called(
    where: str, clients: Mapped[str, Any], calls: int, rounds: int, clock: Clock = time.perf_counter_ns
) -> list[Measure]:
    """Call a tool of each server in turn; the guarded ones refuse another that the bare one runs."""
    for kind, client in clients.items():
        assert (await client.call_tool(world.CALLED, world.ARGUMENTS)).content[0].text == "d1 /srv/a.txt"
        assert await _runs(client, world.REFUSED) == (kind == "bare")
    asks: dict[str, Ask] = {
        kind: partial(client.call_tool, world.CALLED, world.ARGUMENTS) for kind, client in clients.items()
    }
    await _timed(asks, 10)
    spent = [_medians(await _timed(asks, calls, clock)) for _ in range(rounds)]
    found = [_of(f"{where}: a call, unguarded", spent, "bare", "µs")]
    for kind in [one for one in clients if one != "bare"]:
        added = [one[kind] - one["bare"] for one in spent]
        ratios = [one[kind] / one["bare"] for one in spent]
        bar = "" if (kind, clock) == ("local", time.perf_counter_ns) else _BARS[kind]  # it is for the guard by itself
        found.append(measured(f"{where}: the guard adds, {_NAMED[kind]}", added, "µs", bar))
        found.append(measured(f"{where}: guarded over unguarded, {_NAMED[kind]}", ratios, ""))
    return found


async def _runs(client: Any, tool: str) -> bool:  # noqa: ANN401  # as above
    try:
        await client.call_tool(tool, world.ARGUMENTS)
    except mcp.MCPError as error:
        if error.error.code == DENIED:
            return False
        raise
    return True


# --- Around them ----------------------------------------------------------------------------


async def _timed(asks: Mapped[str, Ask], times: int, clock: Clock = time.perf_counter_ns) -> dict[str, list[float]]:
    """Return how long each took, in microseconds: one after the other in turn, so that all have the same weather."""
    spent: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(times):
        for name, ask in asks.items():
            started = clock()
            await ask()
            spent[name].append((clock() - started) / 1_000)
    return spent


def _medians(spent: Mapped[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(times) for name, times in spent.items()}


def _of(name: str, spent: list[dict[str, float]], which: str, unit: str, bar: str = "") -> Measure:
    return measured(name, [one[which] / (1_000 if unit == "ms" else 1) for one in spent], unit, bar)


async def _decision_points(folder: Path, stack: AsyncExitStack) -> tuple[Pdp, Pdp]:
    local, remote = await open_local(folder / "policies"), RemotePdp(f"unix:{folder}/pdp.sock", deadline=5)
    for pdp in (local, remote):
        stack.push_async_callback(pdp.close)
    return local, remote


def _guard(pdp: Pdp, folder: Path) -> Guard:
    server = world.sdk_server("bare", folder)
    return Guard(
        pdp,
        catalogue_of(server, "documents"),
        Mapping(world.mapping()),
        world.resource("local"),
        lambda _: False,
        deadline=5.0,
        observe=watch,
    )


@contextmanager
def _decision_server(folder: Path) -> Iterator[None]:
    address = f"unix:{folder}/pdp.sock"
    command = [sys.executable, "-m", "authz.cli.server", "--policies", str(folder / "policies"), "--listen", address]
    with _process([*command, "--log-level", "warning"]), grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=60)
        yield


@contextmanager
def _mcp_servers(folder: Path) -> Iterator[dict[str, str]]:
    """Serve the servers in a process of their own; whoever connects before they are ready waits."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in world.KINDS]
        descriptors = [one.fileno() for one in sockets]
        command = [sys.executable, "-m", "scripts.benchmarks.mcp_world", str(folder), *map(str, descriptors)]
        stack.enter_context(_process(command, descriptors))
        yield {
            kind: f"http://127.0.0.1:{one.getsockname()[1]}/{kind}"
            for kind, one in zip(world.KINDS, sockets, strict=True)
        }


@contextmanager
def _process(command: list[str], keep: Sequence[int] = ()) -> Iterator[None]:
    process = subprocess.Popen(command, pass_fds=keep)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
