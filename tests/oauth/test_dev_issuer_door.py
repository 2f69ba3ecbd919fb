"""`authz-server dev-issuer` as a process of its own: where it listens, what it says, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from click.testing import CliRunner

from authz.cli.dev_issuer import main
from authz.oauth.dev_issuer.config import read_config
from authz.oauth.dev_issuer.serving import serving
from tests.oauth.support import CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "dev-issuer.toml"
RUN = "from authz.cli.server import main; main()"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """Start the command on a free port."""
    started = subprocess.Popen(
        [sys.executable, "-c", RUN, "dev-issuer", "--config", str(EXAMPLE), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_name_warns_and_ends_with_0(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Issue 4, item 8; S20: plainly marked as not for production, on loopback; the answer is on stdout."""
    assert process.stdout is not None
    issuer = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", issuer)
    found = httpx2.get(f"{issuer}/.well-known/oauth-authorization-server", trust_env=False).json()
    assert found["issuer"] == issuer
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    assert err.splitlines() == [
        "WARNING: Development issuer: anyone may sign in as anyone. Not for production.",
        "GET /.well-known/oauth-authorization-server 200",
    ]


@pytest.mark.parametrize(
    ("listen", "problem"),
    [
        ("0.0.0.0:0", "is not a loopback address"),
        ("[::]:0", "is not a loopback address"),
        ("192.0.2.1:9000", "is not a loopback address"),
        ("example.com:9000", "is not a loopback address"),
        ("[::ffff:192.0.2.1]:9000", "is not"),
        (":9000", "is not host:port"),
        ("127.0.0.1", "is not host:port"),
        ("127.0.0.1:99999", "is not host:port"),
        ("unix:/tmp/x", "is not host:port"),
    ],
)
def test_it_listens_on_loopback_only(listen: str, problem: str) -> None:
    """Issue 4, item 8; S20: anything else is refused, and there is no option that allows it."""
    result = CliRunner().invoke(main, ["--config", str(EXAMPLE), "--listen", listen], standalone_mode=False)
    assert result.return_value == 2
    assert problem in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_the_issuer_is_named_as_it_was_asked_to_listen(host: str) -> None:
    """RFC 8414, section 3.3: clients compare the name character by character."""
    with serving(read_config(CONFIG), f"{host}:0") as issuer:
        assert re.fullmatch(re.escape(f"http://{host}:") + "[0-9]+", issuer.issuer)
        found = httpx2.get(f"{issuer.issuer}/.well-known/openid-configuration", trust_env=False).json()
        assert found["issuer"] == issuer.issuer


def test_a_body_where_none_belongs_is_not_the_next_request() -> None:
    """What follows a GET on the same connection would else be read as a request of its own."""
    smuggled = b"POST /dev/rotate HTTP/1.1\r\nHost: %b\r\n\r\n"
    with serving(read_config(CONFIG), "127.0.0.1:0") as issuer:
        host = issuer.issuer.removeprefix("http://").encode()
        before = issuer.keys.jwks()
        address, _, port = host.decode().rpartition(":")
        with socket.create_connection((address, int(port)), timeout=10) as connection:
            body = smuggled % host
            connection.sendall(
                b"GET /jwks HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n%b" % (host, len(body), body)
            )
            answers = connection.makefile("rb").read()
        assert answers.count(b"HTTP/1.1 ") == 1
        assert issuer.keys.jwks() == before


def test_a_port_in_use_is_one_line() -> None:
    """House rule: one clear line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        result = CliRunner().invoke(main, ["--config", str(EXAMPLE), "--listen", listen], standalone_mode=False)
    assert result.return_value == 2
    assert result.stderr == f"error: cannot listen on `{listen}`: address already in use\n"


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    """House rule: one clear line, and nothing is served."""
    path = tmp_path / "issuer.toml"
    path.write_text("resources = [1]")
    result = CliRunner().invoke(main, ["--config", str(path)], standalone_mode=False)
    assert (result.return_value, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"error: {path}: `resources`: an item must be a text in quotes",
        f"error: {path}: names no client: begin a table with `[clients.NAME]`",
    ]


def test_without_authlib_it_says_what_to_install() -> None:
    """Issue 4, item 8: extra `authz[dev]`; the rest of the product runs without it."""
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'authlib': raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code + RUN, "dev-issuer", "--config", str(EXAMPLE)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "error: `authz-server dev-issuer` needs `authlib`: run `pip install 'authz[dev]'`\n"


def test_the_command_imports_nothing_heavy_before_it_is_asked() -> None:
    """House rule: `--help` starts without jwt, cryptography and Authlib."""
    code = (
        "import sys; import authz.cli.dev_issuer\n"
        "print(sorted({'jwt', 'cryptography', 'authlib', 'httpx2', 'grpc', 'sqlite3'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"
