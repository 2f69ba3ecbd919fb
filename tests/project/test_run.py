"""What a newcomer sees first: `scripts/run`."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, str(ROOT / "scripts/demo.py")]


def test_once_shows_allowed_and_denied_decisions_with_their_reasons(tmp_path: Path) -> None:
    """Issue 2, Done when: `scripts/run --once` ends 0 and shows decisions with their reasons, from any folder."""
    ended = subprocess.run([*DEMO, "--once"], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    shown = ended.stdout
    assert shown.count("   ALLOW\n") == 3
    for reason in ("TENANT_MISMATCH", "INSUFFICIENT_SCOPE", "EXPLICIT_DENY", "INDETERMINATE"):
        assert f"   DENY {reason}: " in shown
    assert "would be allowed with the scope docs:write" in shown
    assert "the caller must record kind: read" in shown
    assert "calls list_documents\n   ALLOW" in shown  # issue 4: the example server takes a token
    assert "authz.db verifies: 8 records" in shown  # issue 3: and keeps what it answered
    assert "\x1b" not in shown


def test_it_takes_another_port_where_the_usual_one_is_taken() -> None:
    """Issue 2, Project: it works beside whatever else runs on the machine."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8181))
            taken.listen()
        except OSError:
            pass  # someone else has it: as good
        ended = subprocess.run([*DEMO, "--once"], check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    assert "127.0.0.1:8181" not in ended.stdout


def test_ctrl_c_ends_it_and_its_server() -> None:
    """Issue 2, Project: without `--once` the server runs until Ctrl-C."""
    demo = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    try:
        goes_on = next(line for line in demo.stdout if line.startswith("The server goes on at "))
        host, port = goes_on.split()[5].split(":")
        with socket.create_connection((host, int(port)), timeout=10):
            pass
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=30)
        assert (demo.returncode, errors) == (0, "")
        with socket.socket() as probe:
            assert probe.connect_ex((host, int(port))) != 0
    finally:
        demo.kill()
        demo.communicate()
