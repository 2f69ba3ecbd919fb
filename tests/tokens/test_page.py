"""docs/tokens.md: what it shows works, and it leaves nothing out (issue 4, done when)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from authz.tokens.config import read_tokens
from authz.tokens.errors import Refusal
from authz.tokens.page import tokens_page
from authz.tokens.settings import Table
from authz.tokens.settings_text import TABLES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tokens.md"
FILES = dict(re.findall(r"^`([\w-]+\.toml)`\n\n```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))


def test_the_generated_sections_are_up_to_date() -> None:
    """Style: reference pages are generated."""
    assert tokens_page(PAGE.read_text()) == PAGE.read_text()


@pytest.mark.parametrize("name", FILES)
def test_every_example_of_a_configuration_loads(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set-up for three providers, as pasted."""
    monkeypatch.setenv("INTROSPECTION_SECRET", "a secret of whoever asks")
    (issuer,) = read_tokens(FILES[name], tmp_path).issuers
    assert issuer.audiences


def test_three_providers_are_shown_and_every_reason_is_explained() -> None:
    """Issue 4, done when: three providers and every refusal reason."""
    assert {"auth0.toml", "keycloak.toml", "entra.toml"} <= FILES.keys()
    for reason in Refusal:
        assert f"\n### {reason.value}\n" in PAGE.read_text()


def test_every_setting_there_is_is_on_the_page_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the reader knows, caught as it reads a file with every table, is what the page names."""
    monkeypatch.setenv("S", "0123456789abcdef0123456789abcdef")
    known: dict[str, set[str]] = {}
    finish = Table.finish

    def noting(self: Table) -> None:
        known[self._name] = set(self._known)
        finish(self)

    monkeypatch.setattr(Table, "finish", noting)
    text = """
[[issuer]]
issuer = "https://id.example.com"
audiences = ["https://mcp.example.com"]
algorithms = ["RS256"]
discovery = true
[issuer.introspection]
client_id = "x"
client_secret_env = "S"
[redis]
url = "unix:///run/redis.sock"
key_env = "S"
"""
    read_tokens(text, tmp_path)
    names = {
        "Top of the file": "",
        "`[[issuer]]`": "[[issuer]] 1",
        "`[issuer.introspection]`": "[[issuer]] 1 [introspection]",
        "`[cache]`": "[cache]",
        "`[failures]`": "[failures]",
        "`[redis]`": "[redis]",
    }
    assert names.keys() == TABLES.keys()
    for title, name in names.items():
        assert {one.name for one in TABLES[title]} == known[name], title


def test_the_example_in_python_runs(tmp_path: Path) -> None:
    """Style: every example is run by the tests."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "tokens.toml").write_text(FILES["tokens.toml"])
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "malformed the token is malformed\n"
