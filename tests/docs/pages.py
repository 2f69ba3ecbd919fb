"""Run what a page shows: save its files, run its commands in their order, put what they print in its place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
_BLOCK: Final = re.compile(
    r"^`(?P<name>[\w./-]+)`\n\n```\w+\n(?P<text>.*?)^```$|(?<=^```console\n)(?P<console>\$ .*?)(?=^```$)",
    re.MULTILINE | re.DOTALL,
)
_COMMAND: Final = re.compile(r"^\$ (.*)\n", re.MULTILINE)
_TOLD: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d( \d\d:00)?"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8,64}\b"), "<digest>"),
    (re.compile(r"\b[\d.]+ (µs|ms|s)\b"), "<spent>"),
    (re.compile(r" +"), " "),
)


def run(page: str, place: Path, more: Mapping[str, str] | None = None) -> str:
    """Return the page with what its commands print where its files stand in a folder.

    An `export` holds for the commands after it, and `echo $?` is the exit code of the one before.
    """
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80", **(more or {})}
    code = 0

    def answer(command: str) -> str:
        nonlocal code
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            environment[name] = value
            return ""
        if command == "echo $?":
            return f"{code}\n"
        ended = subprocess.run(
            command, shell=True, cwd=place, env=environment, check=False, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=60,
        )  # fmt: skip
        code = ended.returncode
        return ended.stdout

    def replaced(match: re.Match[str]) -> str:
        if match["name"]:
            path = place / match["name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(match["text"], encoding="utf-8")
            return match[0]
        return "".join(f"$ {command}\n{answer(command)}" for command in _COMMAND.findall(match["console"]))

    return _BLOCK.sub(replaced, page)


def plainly(page: str) -> str:
    """Return a page without what differs from run to run: times, digests, how long something took."""
    for pattern, name in _TOLD:
        page = pattern.sub(name, page)
    return page
