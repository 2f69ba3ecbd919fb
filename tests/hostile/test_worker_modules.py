"""Where a server of several processes is started says nothing about whose code it runs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LAUNCHER = "from authz.cli.server import main\nif __name__ == '__main__':\n    main()\n"
"""As an installed command is: what Python looks through first is the command's own folder."""
FORGED = "import pathlib\npathlib.Path(__file__).with_name('taken').touch()\nraise SystemExit(7)\n"


def test_no_worker_takes_modules_from_the_folder_that_the_server_was_started_in(tmp_path: Path) -> None:
    """Issue 6, workers: a spawned interpreter looks into the working directory first, where others may write.

    The policy is wrong, so that the first worker says so, and all is over.
    """
    folders = {name: tmp_path / name for name in ("bin", "policies", "anywhere")}
    for folder in folders.values():
        folder.mkdir()
    (folders["bin"] / "launch.py").write_text(LAUNCHER)
    (folders["policies"] / "p.authz").write_text('tool "t" { allow role }\n')
    for module in ("multiprocessing", "authz", "grpc"):
        (folders["anywhere"] / f"{module}.py").write_text(FORGED)
    command = (sys.executable, folders["bin"] / "launch.py", "--policies", folders["policies"], "--workers", "2")
    done = subprocess.run(
        [*map(str, command), "--listen", "127.0.0.1:0"],
        cwd=folders["anywhere"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not (folders["anywhere"] / "taken").exists()
    assert "p.authz:1" in done.stderr
    assert done.returncode not in {0, 7}
