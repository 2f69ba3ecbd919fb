"""The policy of the example servers is one to copy, and fits their tools (issue 5, items 5 and 7)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLES: Final = ROOT / "examples" / "mcp"
CATALOGUE: Final = """
import asyncio, json
from {module} import server
tools = {listed}
print(json.dumps({{"tools": [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]}}))
"""
LISTED: Final = {
    "sdk_server": "asyncio.run(server.list_tools())",
    "fastmcp_server": "[tool.to_mcp_tool() for tool in asyncio.run(server.list_tools(run_middleware=False))]",
}


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder of the examples."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=EXAMPLES,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def authz_eval(*arguments: str) -> tuple[int, str]:
    """Return how a command ended, and what it said."""
    ended = python("-m", "authz.cli.eval", *arguments, PYTHONPATH=str(ROOT))
    return ended.returncode, ended.stdout + ended.stderr


def test_its_tests_pass() -> None:
    """Issue 5, item 7: what a newcomer copies has tests."""
    code, said = authz_eval("test", "policies")
    assert code == 0, said
    assert "10 passed" in said


def test_it_stands_in_its_canonical_form() -> None:
    """L90: examples show the language's one form."""
    assert authz_eval("fmt", "--check", "policies") == (0, "")


@pytest.mark.parametrize("module", LISTED)
def test_it_fits_the_tools_of_the_server(module: str, tmp_path: Path) -> None:
    """Issue 5, item 5: `lint --tools` finds nothing: no dead pattern, no tool without a rule, no unknown argument."""
    code = CATALOGUE.format(module=module, listed=LISTED[module])
    listed = python("-c", code, PYTHONPATH=os.pathsep.join((str(ROOT), str(EXAMPLES))), DOCUMENTS=str(tmp_path / "db"))
    assert listed.returncode == 0, listed.stderr
    (tmp_path / "tools.json").write_text(listed.stdout)
    assert authz_eval("lint", "policies", "--tools", str(tmp_path / "tools.json")) == (0, "")
