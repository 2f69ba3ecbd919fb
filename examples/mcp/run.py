"""Start a development issuer, authz-server and a guarded MCP server, and walk through its answers.

Usage: run.py [sdk | fastmcp | filesystem] [--serve] [--any-ports]
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from files import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE: Final = Path(__file__).resolve().parent
BIN: Final = Path(sysconfig.get_path("scripts"))
SERVERS: Final = {"sdk": "sdk_server:app", "fastmcp": "fastmcp_server:app", "filesystem": "filesystem_proxy:app"}
USUAL: Final = {"server": 8000, "issuer": 9000}
PATIENCE: Final = 60.0
"""Seconds that a program may take to listen."""


def main() -> int:
    """Start all, walk, and end all; with `--serve`, go on until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", nargs="?", choices=SERVERS, default="sdk")
    parser.add_argument("--serve", action="store_true", help="do not walk: serve until Ctrl-C")
    parser.add_argument("--any-ports", action="store_true", help="leave the usual ports to others")
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder, ExitStack() as running:
        ports = {name: free(0 if chosen.any_ports else port) for name, port in USUAL.items()}
        configured = configure(Path(folder), ports)
        server, issuer = (f"http://127.0.0.1:{ports[name]}" for name in ("server", "issuer"))
        environment = {
            "GUARD": str(configured / "mcp" / "guard.toml"),
            "DOCUMENTS": str(configured / "mcp" / "documents.db"),
            "FASTMCP_LOG_LEVEL": "WARNING",
        }
        command = [BIN / "authz-server", "dev-issuer", "--config", configured / "dev-issuer.toml"]
        started = [running.enter_context(program([*command, "--listen", f"127.0.0.1:{ports['issuer']}", "--quiet"]))]
        deciding = configured / "mcp" / "authz.sock"
        policies, options = HERE / "policies", []
        if chosen.server == "filesystem":
            prepared = prepare(configured / "mcp")
            policies, options = prepared.policies, ["--store", store(configured / "mcp")]
            environment["FILES"] = str(prepared.files)
        command = [BIN / "authz-server", "--policies", policies, *options, "--listen", f"unix:{deciding}"]
        started.append(running.enter_context(program([*command, "--log-level", "warning"])))
        command = [sys.executable, "-m", "uvicorn", SERVERS[chosen.server], "--port", str(ports["server"])]
        started.append(
            running.enter_context(program([*command, "--log-level", "warning", "--ws", "none"], environment))
        )
        for place in (str(deciding), *ports.values()):
            wait_for(place, started)
        print(f"MCP server: {server}/mcp\nissuer:     {issuer}\n", flush=True)
        if chosen.serve:
            signal.pause()  # until Ctrl-C, or what is made the same of below
        walk = [HERE / "walk.py", f"{server}/mcp", issuer]
        if chosen.server == "filesystem":
            walk = [HERE / "walk_files.py", f"{server}/mcp", issuer, environment["FILES"]]
        return subprocess.run([sys.executable, *walk], check=False).returncode


def configure(folder: Path, ports: dict[str, int]) -> Path:
    """Copy the configuration files, with the ports that are free."""
    for name in ("mcp/guard.toml", "issuers.toml", "dev-issuer.toml"):
        text = (HERE.parent / name).read_text(encoding="utf-8")
        for what, usual in USUAL.items():
            text = text.replace(f"127.0.0.1:{usual}", f"127.0.0.1:{ports[what]}")
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def store(folder: Path) -> Path:
    """Write what is known of people and programs into a store, which decisions are completed from."""
    file = folder / "authz.db"
    command = [BIN / "authz-eval", "directory", "import", HERE / "directory.jsonl", "--store", file]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return file


@contextmanager
def program(command: Sequence[object], environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=HERE,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,  # the walk's alone; what goes wrong is on stderr
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free(usual: int) -> int:
    """Return a port that nobody listens on: the usual one if it can be."""
    for port in (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("there is no free port")


def wait_for(place: int | str, started: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until somebody listens on a port or a socket file, while all programs run."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends and all(process.poll() is None for process in started):
        with socket.socket(socket.AF_INET if isinstance(place, int) else socket.AF_UNIX) as probe:
            if probe.connect_ex(("127.0.0.1", place) if isinstance(place, int) else place) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nobody listens on {place}: what is written above says why")


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # either ends this program, and all that it has started
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
