"""Log records on their way out: in order, all or counted, and nobody waits for a reader."""

from __future__ import annotations

import os
import select
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from authz.server.outlet import Outlet


class Pipe:
    """An outlet into a pipe that nobody reads before the end."""

    def __init__(self, most: int = 1_000_000, *, blocking: bool = True) -> None:
        """Make the pipe; `most` characters may wait in the outlet."""
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.writer, blocking)
        self.out = Outlet(self.writer, lambda count: f"lost {count}", most)

    def read(self) -> list[str]:
        """Read while the outlet closes; return all its lines."""
        with ThreadPoolExecutor(1) as pool:
            text = pool.submit(Path(f"/dev/fd/{self.reader}").read_text)
            self.out.close(60)
            os.close(self.writer)
            lines = text.result().splitlines()
        os.close(self.reader)
        return lines


@pytest.mark.parametrize("blocking", [True, False])
def test_lines_come_out_whole_and_in_order(*, blocking: bool) -> None:
    """CONTRIBUTING.md: a log is read line by line; whoever shares the pipe may have made it non-blocking."""
    pipe = Pipe(blocking=blocking)
    lines = [f"{number:0100}" for number in range(5_000)]
    for line in lines:
        pipe.out.info(line)
    assert pipe.read() == lines


def test_text_that_is_no_unicode_is_escaped() -> None:
    """Threats: a record must not fail to be written because of what it holds."""
    pipe = Pipe()
    pipe.out.error("a\ud800b")
    assert pipe.read() == [r"a\ud800b"]


def test_a_full_pipe_holds_nobody_up_and_what_is_dropped_is_counted_in_its_place() -> None:
    """Issue 2: whoever stops reading stderr must not stop the server."""
    pipe = Pipe(most=100_000)
    for number in range(5_000):
        pipe.out.info(f"{number:0100}")
    at = kept = 0
    for line in pipe.read():
        if line.startswith("lost "):
            at += int(line.removeprefix("lost "))
        else:
            assert int(line) == at
            at, kept = at + 1, kept + 1
    assert at == 5_000
    assert 500 < kept < 5_000


def test_a_reader_that_has_gone_away_is_no_failure() -> None:
    """Issue 2: the server goes on answering, whatever becomes of its log."""
    pipe = Pipe()
    os.close(pipe.reader)
    pipe.out.info("nobody")
    pipe.out.info("reads")
    pipe.out.close(60)
    os.close(pipe.writer)


def test_lines_reach_a_pipe_whole_whoever_else_writes_to_it() -> None:
    """Issue 6, workers: the kernel lets nothing come between what it takes at once, which is whole lines."""
    reading, writing = os.pipe2(os.O_DIRECT)  # gives back each write by itself
    outlet = Outlet(writing, str)
    lines = [f"{number}{'x' * (number * 37 % 1000)}" for number in range(60)]
    for line in lines:
        outlet.line(line)
    outlet.close()
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        writes = list(iter(lambda: pipe.read(select.PIPE_BUF), b""))
    assert all(data.endswith(b"\n") for data in writes)
    assert b"".join(writes).decode().splitlines() == lines
    assert len(writes) < len(lines)
