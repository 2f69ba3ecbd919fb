"""The two transports: which one is taken, and what each of them does with calls that go wrong."""

from __future__ import annotations

import asyncio
import json
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from authz.cli.server import main
from authz.server.asker import Asker, asker_at
from authz.server.config import (
    Config,
    ConfigError,
    DecisionLogConfig,
    ListenError,
    StoreConfig,
    TlsConfig,
    parse_address,
)
from authz.server.transport import way
from authz.v1 import decision_pb2 as v1
from tests.server.support import SERVING, Scripted, ask, code_of, serving, until

if TYPE_CHECKING:
    from authz.model import Request
    from authz.server.config import Transport

CODE = grpc.StatusCode
LOOPBACK = parse_address("127.0.0.1:0")
EVERYWHERE = parse_address("0.0.0.0:0", insecure_bind=True)
FILES = TlsConfig(Path("cert"), Path("key"))


# --- Which one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "native"),
        ({"listen": parse_address("unix:/tmp/s")}, "native"),
        ({"transport": "native"}, "native"),
        ({"transport": "grpcio"}, "grpcio"),
        ({"tls": FILES}, "grpcio"),
        ({"listen": EVERYWHERE}, "grpcio"),
        ({"listen": EVERYWHERE, "tls": FILES}, "grpcio"),
    ],
)
def test_native_is_taken_where_only_this_machine_can_reach_it(settings: dict[str, Any], expected: str) -> None:
    """Issue 6: native by default on plaintext loopback and Unix sockets, grpcio with TLS."""
    assert way(Config(Path("p"), **{"listen": LOOPBACK, **settings})) == expected


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"tls": FILES}, "has no TLS"),
        ({"listen": EVERYWHERE}, "for this machine's own processes"),
    ],
)
def test_native_is_refused_where_it_cannot_be(settings: dict[str, Any], problem: str) -> None:
    """Issue 6: what was asked for and cannot be is refused, not replaced in silence."""
    with pytest.raises(ConfigError, match=problem):
        way(Config(Path("p"), **{"listen": LOOPBACK, "transport": "native", **settings}))


def test_without_the_extra_auto_is_grpcio_and_native_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6: an extra; a usage error says what to do."""
    monkeypatch.setattr("authz.server.transport.find_spec", lambda _name: None)
    assert way(Config(Path("p"), LOOPBACK)) == "grpcio"
    with pytest.raises(SystemExit) as ended:
        main(["--policies", "p", "--transport", "native"])
    assert ended.value.code == 2
    assert 'pip install "authz[native]"' in capsys.readouterr().err


def test_native_with_tls_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Issue 6: refuse to start rather than run weak."""
    with pytest.raises(SystemExit) as ended:
        main(["--policies", "p", "--transport", "native", "--tls-cert", "c", "--tls-key", "k"])
    assert ended.value.code == 2
    assert "no TLS" in capsys.readouterr().err


async def test_the_log_names_the_transport(transport: Transport) -> None:
    """Issue 6: an operator can see what carries the calls."""
    async with serving(Scripted()) as running:
        assert running.records("listening")[0]["transport"] == transport


# --- Calls --------------------------------------------------------------------------------------


async def test_every_method_is_served(transport: Transport) -> None:
    """Issue 6: the fast lane and what is behind it are one server to a client."""
    async with serving(Scripted(), reflection=True, transport=transport) as running:
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
        batch = await running.stub.BatchCheck(v1.BatchCheckRequest(subject="a", questions=[v1.Question(tool="t")]))
        assert batch.results[0].response.decision == v1.DECISION_ALLOW
        stream = running.raw("StreamCheck")()
        await stream.write(v1.StreamCheckRequest(check=ask()).SerializeToString())
        assert await stream.read() is not grpc.aio.EOF
        stream.cancel()
        assert await running.status() == SERVING
        assert (await code_of(running.unary("Plan")(b"")))[0] is CODE.UNIMPLEMENTED
        named = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = running.channel.stream_stream(named)
        reflection = method()
        await reflection.write(b"\x3a\x00")  # list_services
        services = await reflection.read()
        assert isinstance(services, bytes)
        assert b"authz.v1.DecisionService" in services
        reflection.cancel()
        await until(lambda: running.server.under_way == 0)


@pytest.mark.parametrize("method", ["Check", "BatchCheck"])
async def test_a_message_that_is_too_large_is_refused_in_the_same_words(method: str) -> None:
    """Issue 2: messages are bounded; nothing of such a one is read."""
    scripted = Scripted()
    async with serving(scripted, max_message=2_048) as running:
        code, details = await code_of(running.unary(method)(b"x" * 4_096))
        assert code is CODE.RESOURCE_EXHAUSTED
        assert details == "SERVER: Received message larger than max (4096 vs. 2048)"
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
        await until(lambda: running.server.under_way == 0)
    assert len(scripted.decided) == 1


async def test_one_bound_counts_the_calls_of_both_lanes(transport: Transport) -> None:
    """Issue 2: concurrency is bounded; RESOURCE_EXHAUSTED before evaluation, in the same words."""
    scripted = Scripted()
    async with serving(scripted, max_concurrent=2) as running:
        held = [running.raw("StreamCheck")(), running.slow()]
        for call in held:
            await call.wait_for_connection()
        await until(lambda: running.server.under_way == 2)
        for method, data in (("Check", ask().SerializeToString()), ("BatchCheck", b"")):
            refused = await code_of(running.unary(method)(data))
            assert refused == (CODE.RESOURCE_EXHAUSTED, "the server has 2 calls under way")
        for call in held:
            call.cancel()
        await until(lambda: running.server.under_way == 0)
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
    assert len(scripted.decided) == 1


async def test_a_batch_whose_client_goes_is_given_up_and_its_room_is_free(transport: Transport) -> None:
    """Issue 2: a slot must come back whatever the client does."""
    scripted = Scripted()
    questions = [v1.Question(tool=f"t{n}") for n in range(1_000)]
    async with serving(scripted, max_concurrent=1) as running:
        batch = running.stub.BatchCheck(v1.BatchCheckRequest(subject="a", questions=questions))
        loop = asyncio.get_running_loop()

        def give_up(_request: Request) -> None:
            loop.call_soon_threadsafe(batch.cancel)

        scripted.on_decide = give_up
        with pytest.raises(asyncio.CancelledError):
            await batch
        await until(lambda: running.server.under_way == 0)
        scripted.on_decide = lambda _request: None
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
        assert not running.records("defect")


async def test_a_defect_is_internal_tells_nothing_and_the_next_call_is_answered() -> None:
    """Issue 2: a defect spoils the one answer that it hits, and is on record."""
    scripted = Scripted()

    def fail(request: Request) -> None:
        if request.tool == "defect":
            raise RuntimeError("secret")

    scripted.on_decide = fail
    async with serving(scripted) as running:
        code, details = await code_of(running.stub.Check(ask("defect")))
        assert code is CODE.INTERNAL
        assert "secret" not in details
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
        assert len(running.records("defect")) == 1
        await until(lambda: running.server.under_way == 0)


@pytest.mark.parametrize("store", [True, False], ids=["required", "best effort"])
async def test_a_record_says_who_asked_and_in_which_trace_for_each_method(*, tmp_path: Path, store: bool) -> None:
    """Issue 3: PEP and trace id."""
    one, two = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b700f067aa0ba902b7"
    given = [("traceparent", f"00-{trace}-00f067aa0ba902b7-01") for trace in (one, two)]
    log = DecisionLogConfig("required" if store else "best-effort", tmp_path / "log.json")
    stored = StoreConfig(tmp_path / "s.db") if store else None
    (tmp_path / "p").mkdir()
    async with serving(Scripted(), policies=tmp_path / "p", store=stored, decision_log=log) as running:
        batch = v1.BatchCheckRequest(subject="a", questions=[v1.Question(tool="t")])
        await running.stub.Check(ask("traced"), metadata=given[:1])
        await running.stub.BatchCheck(batch, metadata=given[1:])
    lines = [json.loads(line) for line in (tmp_path / "log.json").read_text().splitlines()]
    records = {line["tool"]: line for line in lines if "tool" in line}
    assert [records[tool]["trace_id"] for tool in ("traced", "t")] == [one, two]
    assert all(records[tool]["pep"].startswith("ipv4:127.0.0.1:") for tool in ("traced", "t"))


def test_a_trace_that_is_given_twice_counts_as_none() -> None:
    """Issue 3: records name a trace only where there is no doubt which."""
    header = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    assert asker_at("peer", [header]) == Asker("peer", "4bf92f3577b34da6a3ce929d0e0e4736")
    assert asker_at("peer", [header, ("other", "x"), header]) == Asker("peer", "")


# --- The native transport's own -----------------------------------------------------------------


async def test_a_call_to_check_whose_message_never_comes_takes_no_room_on_native() -> None:
    """Issue 6: the front keeps it until it is whole; it is under way, and a drain waits for it."""
    async with serving(Scripted(), transport="native", max_concurrent=1) as running:
        held = [running.raw("Check")() for _ in range(5)]
        for call in held:
            await call.wait_for_connection()
        await until(lambda: running.server.under_way == 5)
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
        for call in held:
            call.cancel()
        await until(lambda: running.server.under_way == 0)


async def test_what_is_behind_native_is_for_this_user_only_and_goes_with_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 6: nobody else can reach the grpcio server past the front."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with serving(Scripted(), transport="native") as running:
        (socket,) = tmp_path.glob("*/*")  # noqa: ASYNC240  # local and quick
        folder = socket.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(socket.stat().st_mode)
        assert await running.status() == SERVING
    assert not list(tmp_path.glob("*"))  # noqa: ASYNC240  # as above


async def test_native_without_a_temporary_folder_does_not_start_and_auto_is_grpcio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 6: a file system that nothing may be written to is no reason not to serve."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(ListenError, match="needs a temporary folder"):
        async with serving(Scripted(), transport="native"):
            pass
    async with serving(Scripted(), transport="auto") as running:
        assert running.records("listening")[0]["transport"] == "grpcio"
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW


async def test_a_unix_socket_is_served_and_goes_with_the_server(tmp_path: Path) -> None:
    """Issue 2: a Unix socket of a server that is gone is in nobody's way."""
    listen = parse_address(f"unix:{tmp_path}/s")
    for _ in range(2):
        async with serving(Scripted(), listen=listen) as running:
            assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
            with pytest.raises(ListenError, match="another process listens there"):
                async with serving(Scripted(), listen=listen):
                    pass


async def test_a_defect_in_the_lane_itself_ends_the_server() -> None:
    """Issue 6: refuse to run half dead: nobody would answer, and health would say SERVING."""
    async with serving(Scripted(), transport="native") as running:
        native: Any = running.server._transport
        native._lane._refusal = None  # any defect will do
        call = running.stub.Check(ask())
        await asyncio.wait_for(running.server.ended.wait(), 60)
        assert running.server.broken
        assert running.records("defect")
        call.cancel()


async def test_calls_that_keep_coming_do_not_hold_up_the_end(transport: Transport) -> None:
    """Issue 2: exit within the grace period, every call either answered or told that the server is not there."""
    async with serving(Scripted(), grace=30.0) as running:
        found: set[grpc.StatusCode] = set()

        async def keep_asking() -> None:
            while True:
                code = await running.stub.Check(ask()).code()
                found.add(code)
                if code is not CODE.OK:
                    return

        asking = [asyncio.create_task(keep_asking()) for _ in range(8)]
        await running.stub.Check(ask())
        await asyncio.wait_for(running.server.stop(), 25)
        await asyncio.gather(*asking)
        assert found <= {CODE.OK, CODE.UNAVAILABLE, *([CODE.CANCELLED] if transport == "grpcio" else [])}
