"""Everything that docs/operations.md shows is run, from an empty folder, with a real server (issue 3, Done when).

`python -m tests.docs.test_operations` writes the answers into the page; read the difference.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.docs.pages import ROOT, plainly, run

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = ROOT / "docs" / "operations.md"


@contextlib.contextmanager
def server_ended(place: Path) -> Iterator[None]:
    """End the server that the page starts, should the page not come to its end."""
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((place / "server.pid").read_text()), signal.SIGKILL)


def answered(place: Path) -> str:
    """Return the page as it comes out today."""
    with server_ended(place):
        return run(PAGE.read_text(encoding="utf-8"), place, {"LOGNAME": "ana", "NO_COLOR": "1"})


def test_every_command_of_the_page_prints_what_the_page_shows(tmp_path: Path) -> None:
    """Issue 3: docs/operations.md walks from an empty machine to a verified log; every command in it is executed."""
    assert plainly(answered(tmp_path)) == plainly(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(answered(Path(folder)), encoding="utf-8")
