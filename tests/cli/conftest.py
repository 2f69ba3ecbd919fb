"""How the tests of the command line run it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from click.testing import CliRunner

from authz.cli.eval import main

if TYPE_CHECKING:
    from collections.abc import Callable


class Ran(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run() -> Callable[..., Ran]:
    """Return what runs `authz-eval` with these arguments, and with this on stdin."""

    def invoke(*arguments: object, stdin: str | bytes = b"") -> Ran:
        result = CliRunner().invoke(
            main, [str(argument) for argument in arguments], input=stdin, prog_name="authz-eval"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return invoke
