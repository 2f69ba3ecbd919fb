"""The end of a server: NOT_SERVING first, every call under way answered."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from authz.v1 import decision_pb2 as v1
from tests.server.support import NOT_SERVING, SERVING, Scripted, ask, code_of, serving, until

CODE = grpc.StatusCode
QUESTION = v1.StreamCheckRequest(check=ask()).SerializeToString()


async def test_health_turns_before_calls_are_refused() -> None:
    """Issue 2: NOT_SERVING first, so that a balancer stops sending while calls are still answered."""
    async with serving(Scripted()) as running:
        watch = running.health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        stopping = asyncio.create_task(running.server.stop())
        assert (await watch.read()).status == NOT_SERVING
        assert (await running.stub.Check(ask())).decision == v1.DECISION_ALLOW
        assert await watch.read() is grpc.aio.EOF  # a watch has no end of its own and must not hold up the drain
        await stopping
        assert (await code_of(running.stub.Check(ask())))[0] is CODE.UNAVAILABLE


async def test_a_call_whose_message_is_still_coming_is_answered() -> None:
    """Issue 2: every call in flight is answered."""
    async with serving(Scripted()) as running:
        call = running.raw("Check")()
        await call.wait_for_connection()
        await until(lambda: running.server.under_way == 1)
        stopping = asyncio.create_task(running.server.stop())
        await until(lambda: running.server.health._ended)
        await call.write(ask().SerializeToString())
        await call.done_writing()
        data = await call.read()
        assert isinstance(data, bytes)
        assert v1.CheckResponse.FromString(data).decision == v1.DECISION_ALLOW
        await stopping


async def test_an_open_stream_answers_what_it_has_received_and_ends() -> None:
    """Issue 2: streams finish what they have received; OK, since nothing went wrong."""
    async with serving(Scripted()) as running:
        call = running.raw("StreamCheck")()
        await call.write(QUESTION)
        assert await call.read() is not grpc.aio.EOF
        for _ in range(500):
            await call.write(QUESTION)
        stopping = asyncio.create_task(running.server.stop())
        answers = 0
        while await call.read() is not grpc.aio.EOF:
            answers += 1
        assert answers == 500
        assert await call.code() is CODE.OK
        await stopping


async def test_an_idle_stream_does_not_hold_up_the_end() -> None:
    """Issue 2: exit within the grace period."""
    async with serving(Scripted(), grace=300.0) as running:
        call = running.raw("StreamCheck")()
        await call.wait_for_connection()
        await until(lambda: running.server.under_way == 1)
        async with asyncio.timeout(60):
            await running.server.stop()
        assert await call.code() is CODE.OK


async def test_a_call_that_never_comes_to_an_end_is_cut_off_when_the_grace_is_over() -> None:
    """Issue 2: exit within the grace period, whatever a client does."""
    async with serving(Scripted(), grace=0.3) as running:
        call = running.raw("Check")()
        await call.wait_for_connection()
        await until(lambda: running.server.under_way == 1)
        async with asyncio.timeout(60):
            await running.server.stop()
        assert await call.code() in (CODE.CANCELLED, CODE.UNAVAILABLE)


async def test_calls_sent_before_the_end_are_all_answered() -> None:
    """Issue 2: every call in flight is answered, also those that have not reached the program yet."""
    async with serving(Scripted()) as running:
        await running.stub.Check(ask())
        calls = [running.stub.Check(ask()) for _ in range(300)]
        stopping = asyncio.create_task(running.server.stop())
        answers = await asyncio.gather(*calls)
        await stopping
    assert {answer.decision for answer in answers} == {v1.DECISION_ALLOW}
