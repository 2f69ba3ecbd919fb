"""Run `authz-eval` many times, each in a process of its own, without starting Python each time.

One process imports the command line, reads one small policy to warm up, and then forks for every
command. How long a cold start takes is measured elsewhere; here two hundred of them would only
cost a minute.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command printed, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


class Processes:
    """Starts commands from a process that is ready to fork."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._ready: subprocess.Popen[str] | None = None

    def run(self, *arguments: str, stdin: str = "") -> Ended:
        """Run `authz-eval` with these arguments and wait for it."""
        if self._ready is None or self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="authz-eval-")
            environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
            command = [sys.executable, "-X", "utf8", __file__, self._scratch.name]
            self._ready = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
            )
        place = Path(self._scratch.name)
        (place / "stdin").write_text(stdin, encoding="utf-8", newline="")
        assert self._ready.stdin is not None
        assert self._ready.stdout is not None
        self._ready.stdin.write(json.dumps(arguments) + "\n")
        self._ready.stdin.flush()
        code = int(self._ready.stdout.readline())
        printed = [(place / name).read_bytes().decode() for name in ("stdout", "stderr")]
        return Ended(code, *printed)

    def close(self) -> None:
        """End the process that forks; the next command starts another."""
        if self._ready is not None:
            self._ready.communicate()
            self._ready = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None


def _serve(place: Path) -> None:
    """Fork for every line of arguments; answer with the exit code."""
    from authz.cli.eval import main

    answers = os.fdopen(os.dup(1), "w")
    (place / "warm.authz").write_text('tool "t" { allow anyone }\n', encoding="utf-8")
    from authz.pap.loader import load

    load(place / "warm.authz")
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            _become(place)
            try:
                main(json.loads(line), prog_name="authz-eval")
            except SystemExit as ended:
                _end(int(ended.code or 0))
            except BaseException:  # noqa: BLE001  # a defect must show as one, and the child must not go on
                sys.excepthook(*sys.exc_info())
                _end(70)
            _end(0)
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answers.flush()


def _become(place: Path) -> None:
    """Give the child streams of its own, in files: a pipe would have to be emptied meanwhile."""
    modes = ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_WRONLY), (2, "stderr", os.O_WRONLY))
    for number, name, mode in modes:
        opened = os.open(place / name, mode | (0 if number == 0 else os.O_CREAT | os.O_TRUNC), 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False), encoding="utf-8")  # noqa: SIM115  # the child's to its end
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), encoding="utf-8")  # noqa: SIM115
    sys.stderr = io.TextIOWrapper(open(2, "wb", closefd=False), encoding="utf-8")  # noqa: SIM115


def _end(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
