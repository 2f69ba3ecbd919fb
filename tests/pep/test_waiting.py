"""Deadlines: they bound whatever waits, and nothing is different for what does not."""

from __future__ import annotations

import asyncio

import pytest

from authz.pep.waiting import within


async def _given(value: str, *, waits: int = 0) -> str:
    for _ in range(waits):
        await asyncio.sleep(0)
    return value


@pytest.mark.parametrize("waits", [0, 1, 3])
async def test_what_ends_in_time_is_returned(waits: int) -> None:
    """Issue 5: a slow decision point is a denial, a quick one is not."""
    assert await within(20, _given("done", waits=waits)) == "done"


@pytest.mark.parametrize("waits", [0, 2])
async def test_what_fails_raises_as_it_is(waits: int) -> None:
    """Issue 5: the guard tells errors apart."""

    async def failing() -> None:
        await _given("", waits=waits)
        raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        await within(20, failing())


async def test_what_waits_too_long_is_ended_where_it_waits() -> None:
    """Issue 5: within its deadline, whatever the work does about it afterwards."""
    heard = []

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    with pytest.raises(TimeoutError):
        await within(0.01, waiting())
    assert heard == ["cancelled"]


async def test_a_deadline_counts_from_the_beginning() -> None:
    """Issue 5: time spent before the first wait is not given again."""
    loop = asyncio.get_running_loop()

    async def busy() -> None:
        until = loop.time() + 0.02
        while loop.time() < until:
            pass
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await within(0.01, busy())


async def test_a_cancellation_from_outside_is_no_deadline() -> None:
    """Issue 5: a client that leaves ends its own call."""
    begun = asyncio.Event()

    async def waiting() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(within(20, waiting()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_may_have_deadlines_of_its_own() -> None:
    """Issue 5: a decision point has one as well."""

    async def careful() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return await _given("denied", waits=1)
        return "never"

    assert await within(20, careful()) == "denied"
