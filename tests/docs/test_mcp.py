"""Everything that docs/mcp.md shows is run, from an empty folder, with real servers and clients (issue 5, Done when).

`python -m tests.docs.test_mcp` writes the answers into the page; read the difference.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from authz.pep.reading import read_guard
from authz.tokens.settings import Table
from tests.docs.pages import ROOT, plainly, run

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = ROOT / "docs" / "mcp.md"
README: Final = ROOT / "README.md"
USUAL: Final = ("8000", "9000")
"""The ports that the page shows; free ones are taken in their place."""
_CODE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_TABLE: Final = re.compile(
    r"^### (?P<name>[^\n]*\[[^\n]*|The file itself)\n(?P<rows>.*?)(?=^##)", re.MULTILINE | re.DOTALL
)
_SETTING: Final = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
EVERY_TABLE: Final = """
policies = "policies"
scopes_supported = ["notes:read"]
stdio = { subject = "alice" }
limits = { calls = 1, seconds = 1 }
pdp_tls = { ca = "ca.pem" }
decision_log = { store = "authz.db" }
obligations = { redact = {}, approval = {}, notify = {} }
tools = [{ match = "*", resource = { type = "note", id = "args.id" } }]
"""

AROUND: Final = {
    "notes_server.py": """
from fastmcp import FastMCP
from mcp.server import MCPServer

mcp, server = FastMCP("notes"), MCPServer("notes")
for one in (mcp, server):
    one.tool(name="read_note")(lambda id: id)
""",
    "issuers.toml": """
[[issuer]]
issuer = "https://id.example.com"
audiences = ["https://mcp.example.com/mcp"]
algorithms = ["RS256"]
jwks_uri = "https://id.example.com/keys"
""",
    "policies/notes.authz": 'tool "read_note" {\n  require scope "notes:read"\n  allow anyone\n}\n',
}
"""What stands beside the three lines of the front page."""
ASK: Final = """
import asyncio
import httpx2
from guarded import app


async def main():
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://mcp.example.com") as client:
        answer = await client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    print(answer.status_code, answer.headers["WWW-Authenticate"])


asyncio.run(main())
"""


@contextlib.contextmanager
def programs_ended(place: Path) -> Iterator[None]:
    """End the programs that the page starts, should the page not come to its end."""
    try:
        yield
    finally:
        for file in place.glob("*.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)


def free_ports() -> dict[str, str]:
    """Return a free port for each of the page's."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in USUAL]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return {usual: str(one.getsockname()[1]) for usual, one in zip(USUAL, sockets, strict=True)}


def replaced(text: str, names: dict[str, str]) -> str:
    """Return a text with other ports."""
    return re.sub(rf"\b({'|'.join(names)})\b", lambda found: names[found[1]], text)


def answered(place: Path) -> str:
    """Return the page as it comes out today."""
    ports = free_ports()
    page = replaced(PAGE.read_text(encoding="utf-8"), ports)
    with programs_ended(place):
        page = run(page, place, {"NO_COLOR": "1", "PYTHONPATH": str(ROOT)})
    return replaced(page, {taken: usual for usual, taken in ports.items()})


@pytest.mark.slow
def test_every_command_of_the_page_prints_what_the_page_shows(tmp_path: Path) -> None:
    """Issue 5: from an unguarded FastMCP server to a guarded one in five minutes, each step executed by a test."""
    assert plainly(answered(tmp_path)) == plainly(PAGE.read_text(encoding="utf-8"))


def test_the_page_names_every_setting_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 5: an operator finds each setting of the guard, and none that is not there."""
    (tmp_path / "ca.pem").write_text("")
    known: dict[str, set[str]] = {}
    finish = Table.finish

    def noted(self: Table) -> None:
        finish(self)
        name = self._name.replace("[[tools]] 1.resource", "[[tools]]: `resource`").replace("[[tools]] 1", "[[tools]]")
        name = re.sub(r"^\[obligations\]\.(\w+)$", r"[obligations.\1]", name)
        if name != "[obligations]" and not name.endswith(".attributes"):
            known[name] = set(self._known)

    monkeypatch.setattr(Table, "finish", noted)
    with contextlib.suppress(Exception):  # not all of it goes together
        read_guard(EVERY_TABLE, tmp_path)
    page = PAGE.read_text(encoding="utf-8")
    tables = {found["name"]: set(_SETTING.findall(found["rows"])) for found in _TABLE.finditer(page)}
    shown = {re.sub(r"`(\[.*?\])`", r"\1", name): settings for name, settings in tables.items()}
    shown[""] = shown.pop("The file itself")
    assert {name: sorted(keys) for name, keys in shown.items()} == {name: sorted(keys) for name, keys in known.items()}


def test_every_example_of_settings_can_be_used(tmp_path: Path) -> None:
    """Style: every example in documents is run by the tests."""
    page = PAGE.read_text(encoding="utf-8")
    (unnamed,) = re.findall(r"(?<!`)\n\n```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    config = read_guard('policies = "policies"\n' + unnamed, tmp_path)
    assert [rule.match for rule in config.mapping] == [("read_*", "write_file"), ("open_document",)]


@pytest.mark.parametrize("number", [0, 1], ids=["fastmcp", "sdk"])
def test_the_three_lines_of_the_front_page_guard_a_server(number: int, tmp_path: Path) -> None:
    """Issue 5, item 3: the three lines that a user adds stand in the README."""
    (section,) = re.findall(
        r"^## [^\n]*three lines\n(.*?)(?=^## )", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    (settings,) = re.findall(r"^```toml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[number]
    assert len([line for line in lines.splitlines() if line]) == 3
    for name, text in {**AROUND, "guard.toml": settings, "guarded.py": lines, "ask.py": ASK}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "ask.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout.startswith("401 Bearer "), ended.stderr
    assert 'scope="notes:read"' in ended.stdout


def test_the_page_says_one_sentence_a_line() -> None:
    """Style: one sentence per line in Markdown, so that a change shows as what it is."""
    prose = _CODE.sub("", PAGE.read_text(encoding="utf-8"))
    lines = [line for line in prose.splitlines() if not line.startswith(("|", "#"))]
    assert [line for line in lines if re.search(r"[.?!] [A-Z]", line)] == []


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(answered(Path(folder)), encoding="utf-8")
