"""Requests from a file or stdin: one JSON object, or JSON lines.

Lines are read one by one, so a file may be longer than memory; a line that cannot be read spoils
only itself.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from authz.errors import InvalidRequestError, LoadError
from authz.json_form import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 32 * 1024 * 1024
"""Bytes of one request: more than 4 Mi characters (L60) can come to in JSON is not read."""


class Question(NamedTuple):
    """One request as it was read, or why it could not be; `line` is its first line."""

    line: int
    value: object = None
    problem: InvalidRequestError | None = None


class Questions(NamedTuple):
    """What a file asks: `many` says that it holds JSON lines, each to be answered in one line."""

    many: bool
    items: Iterator[Question]


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a file for reading, `-` being stdin; raises `LoadError` when there is none to read."""
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: PTH123, SIM115  # closed below; pathlib costs 8 ms of every start
    except (OSError, ValueError) as error:
        strerror = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise LoadError(f"`{path}` cannot be read: {strerror[:1].lower()}{strerror[1:]}") from None
    with file:
        try:
            yield file
        except IsADirectoryError:
            raise LoadError(f"`{path}` is a folder, not a file") from None


def read_questions(stream: BinaryIO, *, lines: bool = False) -> Questions:
    """Tell one JSON object, however it is laid out, from JSON lines; `lines` says that it is lines."""
    if lines:
        return Questions(many=True, items=_lines(stream, 0))
    number, first = _next_line(stream, 0)
    if first is None:
        return Questions(many=False, items=iter([_question(1, b"")]))
    alone = _question(number, first)
    if alone.problem is None:
        following, second = _next_line(stream, number)
        if second is None:
            return Questions(many=False, items=iter([alone]))
        return Questions(many=True, items=_chain([alone, _question(following, second)], stream, following))
    rest = stream.read(MAX_BYTES + 1)
    whole = _question(number, first + rest)
    if whole.problem is not None and _looks_like_lines(rest):
        rest += stream.readline(MAX_BYTES + 1)  # what was read may end within a line
        spoilt = [alone, *(_question(n, text) for n, text in enumerate(rest.split(b"\n"), number + 1) if text.strip())]
        return Questions(many=True, items=_chain(spoilt, stream, number + rest.count(b"\n")))
    return Questions(many=False, items=iter([whole]))


def _looks_like_lines(below: bytes) -> bool:
    """Tell spoilt JSON lines from one spoilt object: only lines hold an object that is not indented."""
    lines = [line for line in below.split(b"\n") if line.strip()]
    objects = (line for line in lines if line.startswith(b"{"))
    return any(_question(0, line).problem is None for line in (*lines[:1], *objects))


def _chain(read: list[Question], stream: BinaryIO, number: int) -> Iterator[Question]:
    yield from read
    yield from _lines(stream, number)


def _lines(stream: BinaryIO, number: int) -> Iterator[Question]:
    while True:
        number, line = _next_line(stream, number)
        if line is None:
            return
        yield _question(number, line)


def _next_line(stream: BinaryIO, number: int) -> tuple[int, bytes | None]:
    """Return the next line that is not blank, with its number; None at the end."""
    while line := stream.readline(MAX_BYTES + 1):
        number += 1
        while len(line) > MAX_BYTES and not line.endswith(b"\n") and (more := stream.readline(MAX_BYTES)):
            line = line[:MAX_BYTES] + more[-1:]  # too long in any case: only its end still matters
        if line.strip():
            return number, line
    return number, None


def _question(line: int, text: bytes) -> Question:
    if len(text) > MAX_BYTES:
        return Question(line, problem=InvalidRequestError("request", f"is larger than {MAX_BYTES} bytes"))
    try:
        return Question(line, read_json(text.decode()))
    except UnicodeDecodeError as error:
        problem = InvalidRequestError("request", f"is not valid UTF-8 at byte {error.start + 1}")
        return Question(line, problem=problem)
    except InvalidRequestError as error:
        return Question(line, problem=error)


def problem_to_json(question: Question) -> dict[str, object]:
    """Return what answers a request that could not be evaluated."""
    assert question.problem is not None
    error = {
        "code": "INVALID_ARGUMENT",
        "field": question.problem.field,
        "message": question.problem.problem,
        "line": question.line,
    }
    return {"error": error}
