"""However a call ends, its room at the gate is free, and whoever answers calls goes on."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
from typing import TYPE_CHECKING, Final

import pytest

from authz.server.config import DecisionLogConfig, StoreConfig
from authz.v1 import decision_pb2 as v1
from tests.hostile.frames import body, connected, ended, headers, message, reset
from tests.server.support import POLICY, ask, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from authz.server.config import Transport

_ROOM: Final = 40
_SERVICE: Final = "/authz.v1.DecisionService/"
GOOD = ask().SerializeToString()
LONG = v1.BatchCheckRequest(subject="a", questions=[v1.Question(tool="ping")] * 1_000).SerializeToString()
LARGE = bytes(50_000)
"""More than the servers here take, and less than a connection's window."""


def answered(stream: int) -> list[bytes]:
    """Return calls that are answered or refused, by their frames."""
    check, batch = _SERVICE + "Check", _SERVICE + "BatchCheck"
    zipped = (("grpc-encoding", b"gzip"),)
    hurried = (("grpc-timeout", b"1m"),)
    return [
        headers(stream, check) + body(stream, message(GOOD)),
        headers(stream, check) + body(stream, message(b"\xff")),
        headers(stream, check) + body(stream, message(LARGE)),
        headers(stream, check) + body(stream, message(GOOD) + b"xyz"),
        headers(stream, check) + body(stream, message(GOOD) * 2),
        headers(stream, check) + body(stream, message(GOOD, flag=2)),
        headers(stream, check) + body(stream, message(gzip.compress(GOOD), flag=1)),
        headers(stream, check, zipped) + body(stream, message(gzip.compress(GOOD), flag=1)),
        headers(stream, check, zipped) + body(stream, message(b"no gzip", flag=1)),
        headers(stream, check, (("traceparent", b"\xff\xfe"),)) + body(stream, message(GOOD)),
        headers(stream, check, (("x-bin", b"!!!"),)) + body(stream, message(GOOD)),
        headers(stream, batch) + body(stream, message(LONG)),
        headers(stream, batch, hurried) + body(stream, message(LONG)),
        headers(stream, batch) + body(stream, message(b"\xff")),
        headers(stream, _SERVICE + "StreamCheck", end=True),
        headers(stream, _SERVICE + "Nothing") + body(stream, message(GOOD)),
    ]


def given_up(stream: int) -> list[bytes]:
    """Return calls that are reset, or whose message never comes, by their frames."""
    check, batch = _SERVICE + "Check", _SERVICE + "BatchCheck"
    return [
        headers(stream, check, end=True),
        headers(stream, check) + body(stream, b"\0\0"),
        headers(stream, check) + body(stream, message(GOOD)[:-1]),
        headers(stream, check) + body(stream, message(GOOD)[:-1], end=False),
        headers(stream, check) + reset(stream),
        headers(stream, check) + body(stream, message(GOOD), end=False) + reset(stream),
        headers(stream, check) + body(stream, message(GOOD)) + reset(stream),
        headers(stream, batch) + body(stream, message(LONG)) + reset(stream),
        headers(stream, _SERVICE + "StreamCheck") + body(stream, message(b"")) + reset(stream),
    ]


@pytest.mark.parametrize("transport", ["grpcio", "native"])
@pytest.mark.parametrize("required", [False, True], ids=["no log", "required log"])
async def test_no_end_of_a_call_keeps_its_room(tmp_path: Path, transport: Transport, required: bool) -> None:  # noqa: FBT001  # both are tried
    """Issue 6 (bound everything that comes from outside): a leak would end in RESOURCE_EXHAUSTED for ever.

    Calls of every kind, some at a time on a connection, which is then read to their ends, or torn down.
    """
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "p.authz").write_text(POLICY)
    log = DecisionLogConfig("required", tmp_path / "log.json") if required else None
    store = StoreConfig(tmp_path / "s.db") if required else None
    chance = random.Random(6)
    async with serving(
        policies=tmp_path / "p",
        transport=transport,
        store=store,
        decision_log=log,
        max_concurrent=_ROOM,
        max_message=40_000,
    ) as running:
        for _ in range(40):
            reader, writer = await connected(running.server.address)
            streams = set()
            with contextlib.suppress(ConnectionError):
                for stream in range(1, 15, 2):
                    if chance.random() < 0.5:
                        writer.write(chance.choice(answered(stream)))
                        streams.add(stream)
                    else:
                        writer.write(chance.choice(given_up(stream)))
                    if chance.random() < 0.5:
                        await writer.drain()
                if chance.random() < 0.5:
                    await asyncio.wait_for(ended(reader, writer, streams), 10)
            writer.transport.abort()
        await until(lambda: running.server.under_way == 0)
        answers = await asyncio.gather(*(running.stub.Check(ask()) for _ in range(_ROOM // 2)))
        assert {answer.decision for answer in answers} == {v1.DECISION_ALLOW}
        assert not running.records("defect")
        await until(lambda: running.server.under_way == 0)
