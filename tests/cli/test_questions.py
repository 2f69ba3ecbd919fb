"""Requests from a file: one object, or JSON lines."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from authz.cli import questions
from authz.cli.questions import Question, opened, problem_to_json, read_questions
from authz.errors import LoadError

if TYPE_CHECKING:
    from pathlib import Path


def _read(data: bytes, *, lines: bool = False) -> tuple[bool, list[object]]:
    """Return whether it is many, and the values or problems."""
    many, items = read_questions(io.BytesIO(data), lines=lines)
    return many, [item.value if item.problem is None else f"{item.line}: {item.problem.problem}" for item in items]


@pytest.mark.parametrize("data", [b'{"a": 1}', b'{"a": 1}\n', b'\n\n{"a": 1}\n\n', b'{\n  "a": 1\n}\n', b'{"a":\n1}'])
def test_one_object_is_one_question_however_it_is_laid_out(data: bytes) -> None:
    """Issue: check takes a JSON request."""
    assert _read(data) == (False, [{"a": 1}])


def test_objects_on_lines_of_their_own_are_many() -> None:
    """Issue: JSON lines, answers in the same order; blank lines ask nothing."""
    assert _read(b'{"a": 1}\n\n{"a": 2}\r\n{"a": 3}') == (True, [{"a": 1}, {"a": 2}, {"a": 3}])


def test_one_line_is_many_when_the_user_says_so() -> None:
    """Issue: the answer to lines is lines."""
    assert _read(b'{"a": 1}\n', lines=True) == (True, [{"a": 1}])
    assert _read(b"", lines=True) == (True, [])


def test_a_bad_line_in_the_middle_spoils_only_itself() -> None:
    """Issue, Bad input."""
    many, values = _read(b'{"a": 1}\nnope\n{"a": 2}\n')
    assert many
    assert (values[0], values[2]) == ({"a": 1}, {"a": 2})
    assert str(values[1]).startswith("2: is not valid JSON")


@pytest.mark.parametrize("bad", [b"nope", b'{"a": ', b"\xff", b'{"a": 1, "a": 2}', b"[" * 100_000, b'{"a": NaN}', b'"'])
def test_a_bad_first_line_spoils_only_itself(bad: bytes) -> None:
    """Issue, Bad input: also where the first line could open an object of many lines."""
    many, values = _read(bad + b'\n{"a": 1}\n{"a": 2}\n')
    assert many
    assert str(values[0]).startswith("1: ")
    assert values[1:] == [{"a": 1}, {"a": 2}]


def test_bad_lines_at_the_start_spoil_only_themselves() -> None:
    """Issue, Bad input: an object that is not indented stands in a file of lines."""
    many, values = _read(b'{\nnope\n\n{"a": 1}\n{"a": 2}\n')
    assert many
    assert [str(value)[:2] for value in values[:2]] == ["1:", "2:"]
    assert values[2:] == [{"a": 1}, {"a": 2}]


def test_what_was_read_to_tell_lines_from_an_object_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue, Bad input: a line that straddles what one reading takes is still one line."""
    monkeypatch.setattr(questions, "MAX_BYTES", 24)
    _, values = _read(b'nope\n{"a": 1}\n{"a": 2}\n{"a": 3}\n{"a": 4}\n')
    assert values[1:] == [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}]


def test_a_bad_object_of_many_lines_is_one_problem() -> None:
    """Issue: one request, one answer."""
    many, values = _read(b'{\n  "a": 1,\n}\n')
    assert not many
    assert len(values) == 1


def test_a_bad_object_that_holds_objects_is_one_problem() -> None:
    """Issue: what is indented belongs to the object around it."""
    many, values = _read(b'{\n  "a": [\n    {"b": 1},\n    {"b": 2}\n  ],\n}\n')
    assert not many
    assert len(values) == 1


@pytest.mark.parametrize("data", [b"", b"\n \n"])
def test_nothing_is_a_malformed_request(data: bytes) -> None:
    """L60."""
    many, values = _read(data)
    assert not many
    assert str(values[0]).startswith("1: is not valid JSON")


def test_a_line_that_is_not_utf8_says_where() -> None:
    """L60: a string is valid Unicode."""
    _, values = _read(b'{"a": 1}\n{"a": "\xff"}\n{"a": 2}\n')
    assert values == [{"a": 1}, "2: is not valid UTF-8 at byte 8", {"a": 2}]


def test_a_line_over_the_limit_is_passed_over_without_being_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """L60: the whole request passes its limit."""
    monkeypatch.setattr(questions, "MAX_BYTES", 16)
    _, values = _read(b'{"a": 1}\n{"b": "' + b"x" * 100 + b'"}\n{"a": 2}\n', lines=True)
    assert values == [{"a": 1}, "2: is larger than 16 bytes", {"a": 2}]


def test_a_single_request_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """L60."""
    monkeypatch.setattr(questions, "MAX_BYTES", 16)
    assert _read(b'{\n"b": "' + b"x" * 100 + b'"}') == (False, ["1: is larger than 16 bytes"])


def test_lines_are_read_one_by_one() -> None:
    """Issue: JSON lines for many; a file may be longer than memory, and a pipe is answered as it comes."""

    class Pipe(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise AssertionError("read to the end")

    _, items = read_questions(Pipe(b'{"a": 1}\n{"a": 2}\n{"a": 3}\n'))
    assert [item.value for item in items] == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_the_answer_to_a_bad_line_names_line_field_and_problem() -> None:
    """Issue: an error in its place."""
    _, items = read_questions(io.BytesIO(b"nope\n"), lines=True)
    question: Question = next(items)
    error = problem_to_json(question)["error"]
    assert isinstance(error, dict)
    assert {key: error[key] for key in ("code", "field", "line")} == {
        "code": "INVALID_ARGUMENT",
        "field": "request",
        "line": 1,
    }


def test_a_file_that_is_missing_or_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    """Issue, Bad input."""
    with pytest.raises(LoadError, match="cannot be read: no such file"), opened(str(tmp_path / "nope")):
        pass
    with pytest.raises(LoadError, match="is a directory"), opened(str(tmp_path)):
        pass
